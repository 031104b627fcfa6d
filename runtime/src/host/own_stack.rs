//! Where the kernel stack of this thread is. Handlers compare it with the address of their
//! context to know events of rtap itself ([`rtap_compiler::image::header`]).
//!
//! A program that the kernel runs for us at once (`BPF_PROG_TEST_RUN`, Linux 5.10) reads
//! `task_struct.stack`. How far its own frame is above that gives the stack's size, a power of two: it
//! runs near the upper end, where system calls begin.

use rtap_compiler::bpf::encode::encode;
use rtap_compiler::bpf::helpers::Helper;
use rtap_compiler::bpf::insn::{AluOp, Cond, Insn, Reg, Size, Src};
use rtap_compiler::btf::{Btf, Kind};

use crate::bpf::{ProgSpec, ProgType};

/// Sizes that stacks have: from a page to four times the largest of today's.
const STACK_BYTES: std::ops::RangeInclusive<u64> = 1 << 12..=1 << 18;

/// The stack of a thread in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnStack {
    /// Its lowest address.
    pub begin: u64,
    /// Its size.
    pub bytes: u64,
}

impl OwnStack {
    /// No memory at all: nothing is looked for.
    pub const NOWHERE: OwnStack = OwnStack { begin: 0, bytes: 0 };

    /// The calling thread's; `None` if the kernel does not tell.
    pub fn find(types: &Btf) -> Option<OwnStack> {
        let task = types.find(Kind::Struct, "task_struct")?;
        let stack = types.find_member(task, "stack").ok()??.member;
        let code = encode(&program(i32::try_from(stack.bit_offset / 8).ok()?)).ok()?;
        let (code, _) = code.bytes.as_chunks();
        let code: Vec<u64> = code.iter().map(|insn| u64::from_le_bytes(*insn)).collect();
        let program = ProgSpec::new("rtap_stack", ProgType::RawTracepoint, &code)
            .load_quietly()
            .ok()?;
        // A result has 32 bits.
        let result = |which| -> Option<u64> {
            let low = program.test_run(&[which, 0]).ok()?;
            let high = program.test_run(&[which, 32]).ok()?;
            Some(u64::from(high) << 32 | u64::from(low))
        };
        let begin = result(BEGIN)?;
        let bytes = result(OWN_FRAME)?.checked_next_power_of_two()?;
        (begin != 0 && STACK_BYTES.contains(&bytes)).then_some(OwnStack { begin, bytes })
    }
}

/// Argument of the program: where the stack begins.
const BEGIN: u64 = 0;
/// Argument of the program: how far above that its own frame ends.
const OWN_FRAME: u64 = 1;

/// The program. Its arguments say what is wanted, and how many of the lower bits not.
fn program(stack_offset: i32) -> [Insn<Reg>; 17] {
    let alu = |op, dst, src| Insn::Alu {
        op,
        wide: true,
        dst,
        src,
    };
    let load = |dst, base, off| Insn::Load {
        size: Size::D,
        signed: false,
        dst,
        base,
        off,
    };
    let (what, shift) = (Reg(6), Reg(7));
    [
        load(what, Reg::R1, 0),
        load(shift, Reg::R1, 8),
        Insn::Call(Helper::GetCurrentTask),
        alu(AluOp::Mov, Reg::R3, Src::Reg(Reg::R0)),
        alu(AluOp::Add, Reg::R3, Src::Imm(stack_offset)),
        alu(AluOp::Mov, Reg::R2, Src::Imm(8)),
        alu(AluOp::Mov, Reg::R1, Src::Reg(Reg::FP)),
        alu(AluOp::Add, Reg::R1, Src::Imm(-8)),
        Insn::Call(Helper::ProbeReadKernel),
        load(Reg::R0, Reg::FP, -8),
        Insn::JumpIf {
            cond: Cond::Eq,
            wide: true,
            left: what,
            right: Src::Imm(BEGIN as i32),
            target: 4,
        },
        alu(AluOp::Mov, Reg::R1, Src::Reg(Reg::FP)),
        // Only a number to the verifier after this.
        Insn::ToLe {
            dst: Reg::R1,
            bits: 64,
        },
        alu(AluOp::Sub, Reg::R1, Src::Reg(Reg::R0)),
        alu(AluOp::Mov, Reg::R0, Src::Reg(Reg::R1)),
        alu(AluOp::Rsh, Reg::R0, Src::Reg(shift)),
        Insn::Exit,
    ]
}

#[cfg(test)]
mod tests {
    use rtap_compiler::target::Target;

    use super::*;
    use crate::host::{LiveTarget, Rights};

    #[test]
    fn the_stack_of_this_thread_is_found() {
        if !Rights::of_self().missing_for_tracing().is_empty() {
            println!("SKIPPED: may not load programs");
            return;
        }
        let types = LiveTarget::new().btf().expect("the kernel's types");
        let own = OwnStack::find(&types).expect("a stack");
        assert_eq!(own.begin % own.bytes.min(1 << 12), 0, "{own:x?}");
        assert!(own.begin >> 63 == 1, "{own:x?}");
        assert_eq!(OwnStack::find(&types), Some(own));
        let other = std::thread::scope(|scope| {
            let other = scope.spawn(|| OwnStack::find(&types));
            other.join().expect("no panic")
        });
        let other = other.expect("a stack");
        assert_eq!(other.bytes, own.bytes);
        assert!(
            other.begin.abs_diff(own.begin) >= own.bytes,
            "{other:x?} {own:x?}"
        );
    }
}
