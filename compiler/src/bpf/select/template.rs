//! Machine instructions that stay together, with what the register allocator is told of them.

use regalloc2::{Operand, PRegSet, VReg};

use crate::bpf::insn::{AluOp, Cond, Insn, Reg, Src};
use crate::bpf::vcode::{Insns, Operands, TReg, preg};
use crate::lir::CoreId;

/// A template under construction.
#[derive(Default)]
pub(super) struct Template {
    pub code: Insns,
    pub operands: Operands,
    pub clobbers: PRegSet,
    pub core: Option<(usize, CoreId)>,
}

impl Template {
    fn operand(&mut self, operand: Operand) -> TReg {
        self.operands.push(operand);
        TReg::Op(self.operands.len() as u8 - 1)
    }

    /// A register that is read before any result is written.
    pub fn read(&mut self, reg: VReg) -> TReg {
        self.operand(Operand::reg_use(reg))
    }

    /// A register that may be read anywhere in the template.
    pub fn read_late(&mut self, reg: VReg) -> TReg {
        self.operand(Operand::reg_use_at_end(reg))
    }

    /// A value that must be in `phys` when the template begins.
    pub fn read_fixed(&mut self, reg: VReg, phys: Reg) {
        self.operand(Operand::reg_fixed_use(reg, preg(phys)));
    }

    /// A value that is in `phys` at this point already.
    pub fn write_fixed(&mut self, reg: VReg, phys: Reg) {
        self.operand(Operand::reg_fixed_def(reg, preg(phys)));
    }

    /// A result that is written after all `read` registers were read.
    pub fn write(&mut self, reg: VReg) -> TReg {
        self.operand(Operand::reg_def(reg))
    }

    /// A result that may be written while other registers are still to be read.
    pub fn write_early(&mut self, reg: VReg) -> TReg {
        self.operand(Operand::reg_def_at_start(reg))
    }

    /// A result in the register of operand `first` (made by `read`).
    pub fn write_over(&mut self, reg: VReg, first: TReg) -> TReg {
        let TReg::Op(index) = first else {
            return first;
        };
        self.operand(Operand::reg_reuse_def(reg, index as usize))
    }

    /// A result in r0.
    pub fn write_r0(&mut self, reg: VReg) {
        self.operand(Operand::reg_fixed_def(reg, preg(Reg::R0)));
    }

    /// Adds an instruction.
    pub fn add(&mut self, insn: Insn<TReg>) {
        self.code.push(insn);
    }

    /// Bounds a number that is below `count` already where the verifier sees it: by a mask, which has no branch to follow,
    /// if that can be.
    pub fn keep_below(&mut self, dst: TReg, count: u32) {
        let last = count.saturating_sub(1) as i32;
        if count.is_power_of_two() {
            self.alu(AluOp::And, dst, Src::Imm(last));
        } else {
            self.add(Insn::JumpIf {
                cond: Cond::Le,
                wide: true,
                left: dst,
                right: Src::Imm(last),
                target: 1,
            });
            self.alu(AluOp::Mov, dst, Src::Imm(last));
        }
    }

    /// Adds `dst op= src`, 64 bits.
    pub fn alu(&mut self, op: AluOp, dst: TReg, src: Src<TReg>) {
        self.add(Insn::Alu {
            op,
            wide: true,
            dst,
            src,
        });
    }
}
