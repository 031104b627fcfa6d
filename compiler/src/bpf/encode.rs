//! Instructions to bytes (little-endian `struct bpf_insn`), with the places that the ELF
//! writer must relocate.

use super::insn::{Insn, MapId, Reg, Src, Wide};

/// What an instruction refers to by symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocTarget {
    /// A map (`ld_imm64`); its address when the map is a data section.
    Map(MapId),
    /// A subprogram (`call`).
    Subprogram(u32),
    /// A subprogram's address (`ld_imm64`).
    Address(u32),
}

/// A place to relocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloc {
    /// Bytes from the start of the function.
    pub offset: u32,
    /// What is referred to.
    pub target: RelocTarget,
}

/// Encoded instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The instructions, 8 bytes a slot.
    pub bytes: Vec<u8>,
    /// Places to relocate.
    pub relocs: Vec<Reloc>,
    /// The slot at which each instruction begins.
    pub slots: Vec<u32>,
}

/// A jump is longer than the 16 bits of its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFar;

const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
const MODE_MEM: u8 = 0x60;
const MODE_MEMSX: u8 = 0x80;
const MODE_ATOMIC: u8 = 0xc0;
const SRC_X: u8 = 0x08;

/// Encodes a function's instructions.
pub fn encode(insns: &[Insn<Reg>]) -> Result<Code, TooFar> {
    let mut slots = Vec::with_capacity(insns.len() + 1);
    let mut slot = 0;
    for insn in insns {
        slots.push(slot);
        slot += insn.slots() as u32;
    }
    slots.push(slot);
    let mut code = Code::default();
    for (index, insn) in insns.iter().enumerate() {
        let jump = |target: i32| -> Result<i16, TooFar> {
            let to = slots
                .get((index as i32 + 1 + target) as usize)
                .copied()
                .ok_or(TooFar)?;
            i16::try_from(to as i32 - slots[index] as i32 - 1).map_err(|_| TooFar)
        };
        let mut put = |op: u8, dst: u8, src: u8, off: i16, imm: i32| {
            code.bytes.extend([op, dst | src << 4]);
            code.bytes.extend(off.to_le_bytes());
            code.bytes.extend(imm.to_le_bytes());
        };
        match *insn {
            Insn::Alu { op, wide, dst, src } => {
                let class = if wide { ALU64 } else { ALU };
                match src {
                    Src::Reg(src) => put(op as u8 | SRC_X | class, dst.0, src.0, 0, 0),
                    Src::Imm(imm) => put(op as u8 | class, dst.0, 0, 0, imm),
                }
            }
            Insn::Neg { dst } => put(0x80 | ALU64, dst.0, 0, 0, 0),
            Insn::ToLe { dst, bits } => put(0xd0 | ALU, dst.0, 0, 0, bits),
            Insn::ToBe { dst, bits } => put(0xd0 | SRC_X | ALU, dst.0, 0, 0, bits),
            Insn::LoadWide { dst, value } => {
                let (imm, reloc) = match value {
                    Wide::Imm(imm) => (imm, None),
                    Wide::Map(map) => (0, Some(RelocTarget::Map(map))),
                    // The addend stands in the first half, as compilers write it.
                    Wide::MapValue(map, offset) => (i64::from(offset), Some(RelocTarget::Map(map))),
                    Wide::Function(number) => (0, Some(RelocTarget::Address(number))),
                };
                put(LD | 0x18, dst.0, 0, 0, imm as i32);
                put(0, 0, 0, 0, (imm >> 32) as i32);
                if let Some(target) = reloc {
                    code.relocs.push(Reloc {
                        offset: slots[index] * 8,
                        target,
                    });
                }
            }
            Insn::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => {
                let mode = if signed { MODE_MEMSX } else { MODE_MEM };
                put(LDX | mode | size as u8, dst.0, base.0, off, 0);
            }
            Insn::Store {
                size,
                base,
                off,
                src,
            } => match src {
                Src::Reg(src) => put(STX | MODE_MEM | size as u8, base.0, src.0, off, 0),
                Src::Imm(imm) => put(ST | MODE_MEM | size as u8, base.0, 0, off, imm),
            },
            Insn::Atomic {
                op,
                size,
                base,
                off,
                src,
            } => put(
                STX | MODE_ATOMIC | size as u8,
                base.0,
                src.0,
                off,
                op as i32,
            ),
            Insn::Jump { target } => put(JMP, 0, 0, jump(target)?, 0),
            Insn::JumpIf {
                cond,
                wide,
                left,
                right,
                target,
            } => {
                let class = if wide { JMP } else { JMP32 };
                let off = jump(target)?;
                match right {
                    Src::Reg(src) => put(cond as u8 | SRC_X | class, left.0, src.0, off, 0),
                    Src::Imm(imm) => put(cond as u8 | class, left.0, 0, off, imm),
                }
            }
            Insn::Call(helper) => put(0x80 | JMP, 0, 0, 0, helper as i32),
            // BPF_PSEUDO_KFUNC_CALL
            Insn::CallKernel(function) => put(0x80 | JMP, 0, 2, 0, function as i32),
            Insn::CallFn(func) | Insn::CallApart(func) => {
                // src_reg 1 is BPF_PSEUDO_CALL; the linker fills the distance in.
                put(0x80 | JMP, 0, 1, 0, -1);
                code.relocs.push(Reloc {
                    offset: slots[index] * 8,
                    target: RelocTarget::Subprogram(func),
                });
            }
            Insn::Exit => put(0x90 | JMP, 0, 0, 0, 0),
        }
    }
    slots.pop();
    code.slots = slots;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::helpers::Helper;
    use crate::bpf::insn::{AluOp, AtomicOp, Cond, Size};

    /// Bytes as llvm-mc gives them for the same instructions.
    #[test]
    fn matches_llvm() {
        let r = Reg;
        let cases: Vec<(Insn<Reg>, &[u8])> = vec![
            (
                Insn::Alu {
                    op: AluOp::Add,
                    wide: true,
                    dst: r(1),
                    src: Src::Imm(-4),
                },
                &[0x07, 0x01, 0, 0, 0xfc, 0xff, 0xff, 0xff],
            ),
            (
                Insn::Alu {
                    op: AluOp::Mov,
                    wide: false,
                    dst: r(2),
                    src: Src::Reg(r(3)),
                },
                &[0xbc, 0x32, 0, 0, 0, 0, 0, 0],
            ),
            (Insn::Neg { dst: r(4) }, &[0x87, 0x04, 0, 0, 0, 0, 0, 0]),
            (
                Insn::ToLe {
                    dst: r(4),
                    bits: 64,
                },
                &[0xd4, 0x04, 0, 0, 0x40, 0, 0, 0],
            ),
            (
                Insn::Load {
                    size: Size::W,
                    signed: false,
                    dst: r(0),
                    base: r(1),
                    off: 16,
                },
                &[0x61, 0x10, 0x10, 0, 0, 0, 0, 0],
            ),
            (
                Insn::Store {
                    size: Size::D,
                    base: r(10),
                    off: -8,
                    src: Src::Imm(7),
                },
                &[0x7a, 0x0a, 0xf8, 0xff, 7, 0, 0, 0],
            ),
            (
                Insn::Atomic {
                    op: AtomicOp::Add,
                    size: Size::D,
                    base: r(1),
                    off: 8,
                    src: r(2),
                },
                &[0xdb, 0x21, 8, 0, 0, 0, 0, 0],
            ),
            (
                Insn::Call(Helper::MapLookupElem),
                &[0x85, 0, 0, 0, 1, 0, 0, 0],
            ),
            (Insn::Exit, &[0x95, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (insn, bytes) in cases {
            assert_eq!(encode(&[insn]).expect("near").bytes, bytes, "{insn:?}");
        }
    }

    #[test]
    fn jumps_count_slots() {
        let insns = [
            Insn::JumpIf {
                cond: Cond::Eq,
                wide: true,
                left: Reg(1),
                right: Src::Imm(0),
                target: 1,
            },
            Insn::LoadWide {
                dst: Reg(1),
                value: Wide::Imm(1 << 40),
            },
            Insn::Jump { target: -3 },
        ];
        let code = encode(&insns).expect("near");
        assert_eq!(code.slots, [0, 1, 3]);
        assert_eq!(code.bytes[..8], [0x15, 0x01, 2, 0, 0, 0, 0, 0]);
        assert_eq!(code.bytes[24..], [0x05, 0, 0xfc, 0xff, 0, 0, 0, 0]);
    }
}
