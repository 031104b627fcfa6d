//! The one place that knows the processor: where registers are in `struct pt_regs`
//! (arch/x86/include/asm/ptrace.h), by calling convention and by DWARF number.

use crate::lir::CtxReg;

/// Offsets in `struct pt_regs`.
mod offset {
    pub const R15: i32 = 0;
    pub const R14: i32 = 8;
    pub const R13: i32 = 16;
    pub const R12: i32 = 24;
    pub const BP: i32 = 32;
    pub const BX: i32 = 40;
    pub const R11: i32 = 48;
    pub const R10: i32 = 56;
    pub const R9: i32 = 64;
    pub const R8: i32 = 72;
    pub const AX: i32 = 80;
    pub const CX: i32 = 88;
    pub const DX: i32 = 96;
    pub const SI: i32 = 104;
    pub const DI: i32 = 112;
    pub const IP: i32 = 128;
    pub const SP: i32 = 152;
}

/// The registers of a function's arguments, in their order.
const ARGUMENTS: [i32; 6] = [
    offset::DI,
    offset::SI,
    offset::DX,
    offset::CX,
    offset::R8,
    offset::R9,
];

/// Bytes of a register, and of a place on the stack.
const WORD_BYTES: i32 = 8;

/// Where the record of `raw_syscalls:sys_enter` and `sys_exit` has the number, and the latter
/// the result (include/trace/events/syscalls.h).
pub const RAW_SYSCALL_NUMBER: i32 = 8;
/// See [`RAW_SYSCALL_NUMBER`].
pub const RAW_SYSCALL_RESULT: i32 = 16;

/// An offset in `struct pt_regs` at which a whole register is saved on every kernel: from r15 to the
/// instruction pointer. Behind that are segments, of which some kernels know the parts.
pub fn saved_register(offset: i64) -> Option<u16> {
    let offset = u16::try_from(offset).ok()?;
    (offset.is_multiple_of(8) && i32::from(offset) <= offset::IP).then_some(offset)
}

/// Where a function finds an argument when it begins.
pub enum Argument {
    /// In a register, which is at this offset in `struct pt_regs`.
    Register(i32),
    /// So many bytes above the stack pointer, behind the return address.
    Stack(i32),
}

/// Where argument `n` of [`crate::lir::Op::EntryArg`] is.
pub fn argument(n: u8) -> Argument {
    let on_stack = usize::from(n).saturating_sub(ARGUMENTS.len());
    match ARGUMENTS.get(usize::from(n)) {
        Some(&offset) => Argument::Register(offset),
        None => Argument::Stack(WORD_BYTES * (1 + on_stack as i32)),
    }
}

/// Offset of a register in the context, if it is kept there.
pub fn register(reg: CtxReg) -> Option<i32> {
    use offset::*;
    let of = |regs: &[i32], n: u8| regs.get(usize::from(n)).copied();
    match reg {
        CtxReg::Arg(n) => of(&ARGUMENTS, n),
        CtxReg::SyscallArg(n) => of(&[DI, SI, DX, R10, R8, R9], n),
        CtxReg::Ret => Some(AX),
        CtxReg::RetHigh => Some(DX),
        CtxReg::Ip => Some(IP),
        CtxReg::Sp => Some(SP),
        CtxReg::Fp => Some(BP),
        CtxReg::Dwarf(n) => of(
            &[
                AX, DX, CX, BX, SI, DI, BP, SP, R8, R9, R10, R11, R12, R13, R14, R15, IP,
            ],
            n,
        ),
    }
}
