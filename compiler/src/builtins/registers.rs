//! Registers of what is traced, by position or by name: what `int_arg(n)`, `returnval()` and
//! `register("rax")` are made of. Which operation it is depends on how the probe is attached.

use rtap_grammar::source::Span;

use super::{Builtin, Call};
use crate::hir::Ty::{Long, Str};
use crate::lir::{BinOp, CmpOp, Context, CtxReg, ErrorKind, Op, Place, Space, Value};
use crate::lower::{Lower, Lowered};

/// Most arguments that a trampoline or tracepoint hands over.
const MOST_ARGS: u8 = 12;

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        name: "__arg",
        params: &[Long],
        place: Place::Kernel,
        pure: false,
        lower: argument,
        doc: "argument n (from 0) of the probed function or tracepoint, as 64 bits",
        ..Builtin::BASE
    },
    Builtin {
        name: "__ret",
        place: Place::Kernel,
        lower: returned,
        doc: "what the probed function returned, as 64 bits",
        ..Builtin::BASE
    },
    Builtin {
        name: "__ip",
        registers: true,
        by_context: true,
        lower: |l, c| match l.context() {
            Some(Context::Regs | Context::PerfEvent) => register(l, c, CtxReg::Ip),
            Some(_) | None => Ok(Some(l.const_int(0, c.span))),
        },
        doc: "the instruction pointer; 0 where there are no registers",
        ..Builtin::BASE
    },
    Builtin {
        name: "__sp",
        by_context: true,
        lower: |l, c| match l.context() {
            Some(Context::Regs | Context::PerfEvent) => register(l, c, CtxReg::Sp),
            Some(_) | None => Ok(Some(l.const_int(0, c.span))),
        },
        doc: "the stack pointer; 0 where there are no registers",
        ..Builtin::BASE
    },
    Builtin {
        name: "__fp",
        place: Place::Kernel,
        lower: |l, c| register(l, c, CtxReg::Fp),
        doc: "the frame pointer",
        ..Builtin::BASE
    },
    Builtin {
        name: "__has_regs",
        lower: |l, c| {
            let has = matches!(l.context(), Some(Context::Regs | Context::PerfEvent));
            Ok(Some(l.const_int(i64::from(has), c.span)))
        },
        by_context: true,
        doc: "whether registers can be read here",
        ..Builtin::BASE
    },
    Builtin {
        name: "__user_mode",
        by_context: true,
        lower: user_mode,
        doc: "whether the processor was in user mode; 0 where there are no registers",
        ..Builtin::BASE
    },
    Builtin {
        name: "register",
        registers: true,
        params: &[Str],
        place: Place::Kernel,
        lower: named,
        doc: "a register by its name (a constant), sign-extended",
        ..Builtin::BASE
    },
    Builtin {
        name: "u_register",
        registers: true,
        params: &[Str],
        place: Place::Kernel,
        lower: named,
        doc: "a register by its name (a constant), zero-extended",
        ..Builtin::BASE
    },
];

/// How an argument by number is read.
#[derive(Clone, Copy)]
enum Argument {
    /// A register at the probe point.
    Register,
    /// Handed over by a trampoline or tracepoint.
    Given,
    /// A register of the task that made the system call.
    OfCall,
}

impl Argument {
    fn read(self, l: &mut Lower<'_>, n: u8, span: Span) -> Value {
        match self {
            Argument::Register => l.int(Op::CtxReg(CtxReg::Arg(n)), span),
            Argument::Given => l.int(Op::CtxArg(n), span),
            Argument::OfCall => {
                let registers = l.int(Op::CtxArg(0), span);
                let offsets = l.arch().syscall_argument_offsets();
                let offset = offsets.get(usize::from(n)).copied().unwrap_or(0);
                let offset = l.const_int(i64::from(offset), span);
                let op = Op::MemRead {
                    addr: l.int(Op::Bin(BinOp::Add, registers, offset), span),
                    space: Space::Kernel,
                    size: 8,
                    signed: false,
                    site: l.site(ErrorKind::ReadFault(Space::Kernel), span),
                };
                l.int(op, span)
            }
        }
    }
}

fn argument(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let (count, how) = match l.context() {
        Some(_) if l.is_syscall() => (
            l.arch().syscall_argument_offsets().len() as u8,
            Argument::OfCall,
        ),
        Some(Context::Regs | Context::PerfEvent) => {
            let registers = l.arch().argument_offsets();
            (registers.len() as u8, Argument::Register)
        }
        Some(Context::RawSyscall { .. }) => (2, Argument::Given),
        Some(Context::Fexit { args }) => (args, Argument::Given),
        Some(Context::RawTracepoint | Context::BtfTracepoint | Context::Fentry) => {
            (MOST_ARGS, Argument::Given)
        }
        Some(Context::None) | None => {
            return l.fault(
                call.span,
                "there are no arguments to read here",
                "probe a function, a tracepoint or a system call",
            );
        }
    };
    if let Some(n) = l.as_const(call.args[0]) {
        return match u8::try_from(n) {
            Ok(n) if n < count => Ok(Some(how.read(l, n, call.span))),
            _ => l.fault(
                call.span,
                format!(
                    "argument {} is not passed in a register",
                    n.saturating_add(1)
                ),
                "those behind the last register lie on the stack: read them there, or by `$name`",
            ),
        };
    }
    let numbers: Vec<i64> = (0..i64::from(count)).collect();
    let span = call.span;
    let value = l.select(call.args[0], &numbers, crate::lir::Ty::I64, span, |l, i| {
        if i < numbers.len() {
            return Ok(how.read(l, i as u8, span));
        }
        let site = l.site(ErrorKind::Script, span);
        let message = l.const_text(b"no such argument", 16, span);
        l.effect(Op::ErrSet(message), span);
        l.raise_site(site, span);
        Ok(l.const_int(0, span))
    })?;
    Ok(Some(value))
}

fn returned(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let op = match l.context() {
        Some(Context::Regs) => Op::CtxReg(CtxReg::Ret),
        Some(Context::Fexit { .. }) => Op::CtxRet,
        // sys_exit's arguments are the registers and the result.
        Some(
            Context::RawTracepoint
            | Context::BtfTracepoint
            | Context::RawSyscall { is_return: true },
        ) => Op::CtxArg(1),
        Some(Context::RawSyscall { .. } | Context::Fentry | Context::PerfEvent | Context::None)
        | None => {
            return l.fault(
                call.span,
                "nothing has returned here: this is no `.return` probe",
                "put `.return` behind the probe point",
            );
        }
    };
    Ok(Some(l.int(op, call.span)))
}

fn register(l: &mut Lower<'_>, call: &Call<'_>, reg: CtxReg) -> Lowered<Option<Value>> {
    want_registers(l, call)?;
    Ok(Some(l.int(Op::CtxReg(reg), call.span)))
}

fn want_registers(l: &Lower<'_>, call: &Call<'_>) -> Lowered<()> {
    match l.context() {
        Some(Context::Regs | Context::PerfEvent) => Ok(()),
        Some(_) | None => l.fault(
            call.span,
            "this probe has no registers to read: it is not attached by kprobe, uprobe or sampling",
            "read the arguments by `$name`, or probe a function of the kernel or of a program",
        ),
    }
}

/// Both contexts that have registers begin with `struct pt_regs`.
/// The privilege level is in the low bits of the code segment.
fn user_mode(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let span = call.span;
    let has_registers = matches!(l.context(), Some(Context::Regs | Context::PerfEvent));
    let Some(segment) = l.arch().register("cs").filter(|_| has_registers) else {
        return Ok(Some(l.const_int(0, span)));
    };
    let cs = Op::CtxLoad {
        offset: segment.offset,
        size: segment.size as u8,
        signed: false,
    };
    let cs = l.int(cs, span);
    let three = l.const_int(3, span);
    let level = l.int(Op::Bin(BinOp::And, cs, three), span);
    Ok(Some(l.compare(CmpOp::Eq, level, three, span)))
}

fn named(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let Some(name) = l.as_const_text(call.args[0]) else {
        return l.fault(
            call.span,
            "the register's name must be a constant",
            "write it as a literal",
        );
    };
    let name = name.to_string();
    let Some(register) = l.arch().register(&name) else {
        return l.fault(
            call.span,
            format!("there is no register '{name}'"),
            "names are those of function::register, as \"rax\", \"eax\" or \"sp\"",
        );
    };
    want_registers(l, call)?;
    let op = Op::CtxLoad {
        offset: register.offset,
        size: register.size as u8,
        // `register("eax")` is an int, `u_register("eax")` an unsigned one.
        signed: call.builtin.name == "register",
    };
    Ok(Some(l.int(op, call.span)))
}
