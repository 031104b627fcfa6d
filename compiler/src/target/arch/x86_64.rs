//! x86-64: `struct pt_regs` and the table of system calls.
//!
//! Source: `arch/x86/include/uapi/asm/ptrace.h`, the System V AMD64 ABI.

use super::Register;

/// `rdi rsi rdx rcx r8 r9`.
pub(super) const ARGUMENTS: [u32; 6] = [112, 104, 96, 88, 72, 64];
/// `rdi rsi rdx r10 r8 r9`.
pub(super) const SYSCALL_ARGUMENTS: [u32; 6] = [112, 104, 96, 56, 72, 64];
pub(super) const RESULT: u32 = 80;
pub(super) const IP: u32 = 128;
pub(super) const SP: u32 = 152;
pub(super) const PT_REGS_BYTES: u32 = 168;
/// `__START_KERNEL_map`, where physical address 0 would be.
pub(super) const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
/// The default of CONFIG_PHYSICAL_START.
pub(super) const PHYSICAL_START: u64 = 0x100_0000;

/// Numbers and names.
pub(super) const SYSCALLS: &str = include_str!("x86_64.syscalls");

/// Registers of `struct pt_regs` in order, by their 64-bit names.
const REGISTERS: [&str; 21] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
    "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss",
];

pub(super) fn register(name: &str) -> Option<Register> {
    let (full, size) = widen(name);
    let index = REGISTERS.iter().position(|&register| register == full)?;
    Some(Register {
        offset: index as u32 * 8,
        size,
    })
}

/// The 64-bit register that a name is part of, and how many of its bytes.
fn widen(name: &str) -> (String, u32) {
    // r8 to r15: r8, r8d, r8w, r8b.
    if let Some(number) = name.strip_prefix('r')
        && number.starts_with(|c: char| c.is_ascii_digit())
    {
        let size = match number.bytes().last() {
            Some(b'd') => 4,
            Some(b'w') => 2,
            Some(b'b') => 1,
            _ => 8,
        };
        return (name.trim_end_matches(['d', 'w', 'b']).to_owned(), size);
    }
    let (full, size) = match name {
        "al" | "bl" | "cl" | "dl" => (format!("r{}x", &name[..1]), 1),
        "sil" | "dil" | "bpl" | "spl" => (format!("r{}", &name[..2]), 1),
        "ax" | "bx" | "cx" | "dx" | "si" | "di" | "bp" | "sp" | "ip" => (format!("r{name}"), 2),
        "eax" | "ebx" | "ecx" | "edx" | "esi" | "edi" | "ebp" | "esp" | "eip" => {
            (format!("r{}", &name[1..]), 4)
        }
        "flags" | "rflags" => ("eflags".to_owned(), 8),
        "orig_ax" => ("orig_rax".to_owned(), 8),
        _ => (name.to_owned(), 8),
    };
    (full, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_where_the_abi_says() {
        let at = |name| register(name).map(|r| (r.offset, r.size));
        assert_eq!(at("rdi"), Some((ARGUMENTS[0], 8)));
        assert_eq!(at("r9"), Some((ARGUMENTS[5], 8)));
        assert_eq!(at("eax"), Some((RESULT, 4)));
        assert_eq!(at("rip"), Some((IP, 8)));
        assert_eq!(at("esp"), Some((SP, 4)));
        assert_eq!(at("r10b"), Some((56, 1)));
        assert_eq!(at("r15"), Some((0, 8)));
        assert_eq!(at("dl"), Some((96, 1)));
        assert_eq!(at("sil"), Some((104, 1)));
        assert_eq!(at("xmm0"), None);
        assert_eq!(at("ré"), None);
    }
}
