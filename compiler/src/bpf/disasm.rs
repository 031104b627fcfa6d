//! Text form of instructions, as `--emit=bpf` prints it: the kernel's own notation
//! (`bpftool prog dump xlated`), with maps and subprograms by name.

use std::fmt::{self, Display, Formatter, Write as _};

use super::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Reg, Size, Src, Wide};

/// Names for what instructions refer to.
pub trait Names {
    /// A map's name.
    fn map(&self, map: MapId) -> String;
    /// A subprogram's name.
    fn subprogram(&self, func: u32) -> String;
}

/// One line for each instruction, numbered by slot.
pub fn disassemble(insns: &[Insn<Reg>], names: &dyn Names) -> String {
    let mut slots = Vec::new();
    let mut slot = 0;
    for insn in insns {
        slots.push(slot);
        slot += insn.slots();
    }
    slots.push(slot);
    let mut text = String::new();
    for (index, insn) in insns.iter().enumerate() {
        let target = |t: i32| {
            slots
                .get((index as i32 + 1 + t) as usize)
                .copied()
                .unwrap_or(-1)
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:4}: {}", slots[index], line(insn, names, target));
    }
    text
}

fn line(insn: &Insn<Reg>, names: &dyn Names, target: impl Fn(i32) -> i32) -> String {
    match *insn {
        Insn::Alu { op, wide, dst, src } => {
            let p = if wide { 'r' } else { 'w' };
            let sign = match op {
                AluOp::Add => "+=",
                AluOp::Sub => "-=",
                AluOp::Mul => "*=",
                AluOp::Div => "/=",
                AluOp::Or => "|=",
                AluOp::And => "&=",
                AluOp::Lsh => "<<=",
                AluOp::Rsh => ">>=",
                AluOp::Mod => "%=",
                AluOp::Xor => "^=",
                AluOp::Mov => "=",
                AluOp::Arsh => "s>>=",
            };
            format!("{p}{} {sign} {}", dst.0, source(src, p))
        }
        Insn::Neg { dst } => format!("{dst} = -{dst}"),
        Insn::ToLe { dst, bits } => format!("{dst} = le{bits} {dst}"),
        Insn::ToBe { dst, bits } => format!("{dst} = be{bits} {dst}"),
        Insn::LoadWide { dst, value } => match value {
            Wide::Imm(imm) => format!("{dst} = {imm:#x} ll"),
            Wide::Function(number) => format!("{dst} = {}", names.subprogram(number)),
            Wide::Map(map) => format!("{dst} = map[{}]", names.map(map)),
            Wide::MapValue(map, off) => format!("{dst} = map[{}][0]+{off}", names.map(map)),
        },
        Insn::Load {
            size,
            signed,
            dst,
            base,
            off,
        } => format!("{dst} = *({} *)({base} {off:+})", size_name(size, signed)),
        Insn::Store {
            size,
            base,
            off,
            src,
        } => format!(
            "*({} *)({base} {off:+}) = {}",
            size_name(size, false),
            source(src, 'r')
        ),
        Insn::Atomic {
            op,
            size,
            base,
            off,
            src,
        } => {
            let cell = format!("({} *)({base} {off:+})", size_name(size, false));
            match op {
                AtomicOp::Add => format!("lock *{cell} += {src}"),
                AtomicOp::FetchAdd => format!("{src} = atomic64_fetch_add({cell}, {src})"),
                AtomicOp::Xchg => format!("{src} = atomic64_xchg({cell}, {src})"),
            }
        }
        Insn::Jump { target: t } => format!("goto {}", target(t)),
        Insn::JumpIf {
            cond,
            wide,
            left,
            right,
            target: t,
        } => {
            let p = if wide { 'r' } else { 'w' };
            let sign = match cond {
                Cond::Eq => "==",
                Cond::Gt => ">",
                Cond::Ge => ">=",
                Cond::Set => "&",
                Cond::Ne => "!=",
                Cond::Sgt => "s>",
                Cond::Sge => "s>=",
                Cond::Lt => "<",
                Cond::Le => "<=",
                Cond::Slt => "s<",
                Cond::Sle => "s<=",
            };
            format!(
                "if {p}{} {sign} {} goto {}",
                left.0,
                source(right, p),
                target(t)
            )
        }
        Insn::Call(helper) => format!("call {}", helper.name()),
        Insn::CallKernel(function) => format!("call kernel-function#{function}"),
        Insn::CallFn(func) | Insn::CallApart(func) => format!("call {}", names.subprogram(func)),
        Insn::Exit => "exit".to_owned(),
    }
}

fn source(src: Src<Reg>, prefix: char) -> String {
    match src {
        Src::Reg(reg) => format!("{prefix}{}", reg.0),
        Src::Imm(imm) => imm.to_string(),
    }
}

fn size_name(size: Size, signed: bool) -> &'static str {
    match (size, signed) {
        (Size::B, false) => "u8",
        (Size::H, false) => "u16",
        (Size::W, false) => "u32",
        (Size::D, false) => "u64",
        (Size::B, true) => "s8",
        (Size::H, true) => "s16",
        (Size::W, true) => "s32",
        (Size::D, true) => "s64",
    }
}

impl Display for Reg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoNames;

    impl Names for NoNames {
        fn map(&self, map: MapId) -> String {
            format!("m{}", map.0)
        }
        fn subprogram(&self, func: u32) -> String {
            format!("f{func}")
        }
    }

    #[test]
    fn reads_like_bpftool() {
        let insns = [
            Insn::LoadWide {
                dst: Reg(1),
                value: Wide::MapValue(MapId(0), 64),
            },
            Insn::Load {
                size: Size::D,
                signed: false,
                dst: Reg(2),
                base: Reg(1),
                off: -8,
            },
            Insn::JumpIf {
                cond: Cond::Sgt,
                wide: true,
                left: Reg(2),
                right: Src::Imm(5),
                target: 1,
            },
            Insn::Atomic {
                op: AtomicOp::Add,
                size: Size::D,
                base: Reg(1),
                off: 0,
                src: Reg(2),
            },
            Insn::Exit,
        ];
        assert_eq!(
            disassemble(&insns, &NoNames),
            "   0: r1 = map[m0][0]+64\n   2: r2 = *(u64 *)(r1 -8)\n   3: if r2 s> 5 goto 5\n   \
             4: lock *(u64 *)(r1 +0) += r2\n   5: exit\n"
        );
    }
}
