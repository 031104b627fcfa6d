//! The instructions that stand at the borders of functions: slots of the scratch frame, calls, finding the frame.

use regalloc2::{Operand, VReg};

use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Insn, Reg, Size, Src, Wide};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::{Insns, Operands, TReg, VCode, VInst, call_clobbers, preg};

/// The stack slot in which a function keeps the frame's index.
pub const KEY_OFFSET: i16 = -8;

/// Tells registers apart while an instruction is put together.
#[derive(Default)]
struct Draft {
    code: Insns,
    operands: Operands,
}

impl Draft {
    fn operand(&mut self, operand: Operand) -> TReg {
        self.operands.push(operand);
        TReg::Op(self.operands.len() as u8 - 1)
    }

    fn alu(&mut self, op: AluOp, dst: TReg, src: Src<TReg>) {
        self.code.push(Insn::Alu {
            op,
            wide: true,
            dst,
            src,
        });
    }

    fn done(self) -> VInst {
        VInst {
            code: self.code,
            operands: self.operands,
            clobbers: regalloc2::PRegSet::empty(),
            core: None,
            span: None,
        }
    }
}

/// Puts a number in a register.
pub fn imm(value: VReg, number: i64) -> VInst {
    let mut draft = Draft::default();
    let dst = draft.operand(Operand::reg_def(value));
    draft.alu(AluOp::Mov, dst, Src::Imm(number as i32));
    draft.done()
}

/// One more.
pub fn add_one(sum: VReg, value: VReg) -> VInst {
    let mut draft = Draft::default();
    draft.operand(Operand::reg_use(value));
    let dst = draft.operand(Operand::reg_reuse_def(sum, 0));
    draft.alu(AluOp::Add, dst, Src::Imm(1));
    draft.done()
}

/// Loads a slot of the scratch frame.
pub fn load_slot(value: VReg, frame: VReg, slot: u32) -> VInst {
    let mut draft = Draft::default();
    let base = draft.operand(Operand::reg_use_at_end(frame));
    let dst = draft.operand(Operand::reg_def_at_start(value));
    let (base, off) = if let Ok(off) = i16::try_from(slot) {
        (base, off)
    } else {
        draft.alu(AluOp::Mov, dst, Src::Reg(base));
        draft.alu(AluOp::Add, dst, Src::Imm(slot as i32));
        (dst, 0)
    };
    draft.code.push(Insn::Load {
        size: Size::D,
        signed: false,
        dst,
        base,
        off,
    });
    draft.done()
}

/// Stores to a slot of the scratch frame.
pub fn store_slot(code: &mut VCode, value: VReg, frame: VReg, slot: u32) -> VInst {
    let mut draft = Draft::default();
    let src = draft.operand(Operand::reg_use_at_end(value));
    let base = draft.operand(Operand::reg_use_at_end(frame));
    let (base, off) = if let Ok(off) = i16::try_from(slot) {
        (base, off)
    } else {
        let far = code.vreg();
        let dst = draft.operand(Operand::reg_def_at_start(far));
        draft.alu(AluOp::Mov, dst, Src::Reg(base));
        draft.alu(AluOp::Add, dst, Src::Imm(slot as i32));
        (dst, 0)
    };
    draft.code.push(Insn::Store {
        size: Size::D,
        base,
        off,
        src: Src::Reg(src),
    });
    draft.done()
}

/// Calls a function with the frame's index.
pub fn call_function(function: u32, index: VReg, result: VReg) -> VInst {
    let mut draft = Draft::default();
    draft.operand(Operand::reg_fixed_use(index, preg(Reg(1))));
    draft.operand(Operand::reg_fixed_def(result, preg(Reg::R0)));
    draft.code.push(Insn::CallFn(function));
    VInst {
        clobbers: call_clobbers(true),
        ..draft.done()
    }
}

/// Takes the frame's index, a function's argument.
pub fn take_index(index: VReg) -> VInst {
    let mut take = Draft::default();
    take.operand(Operand::reg_fixed_def(index, preg(Reg::R1)));
    take.done()
}

/// Takes the frame's index and the number that says which body of a function is to run.
pub fn take_index_and_number(index: VReg, number: VReg) -> VInst {
    let mut take = Draft::default();
    take.operand(Operand::reg_fixed_def(index, preg(Reg::R1)));
    take.operand(Operand::reg_fixed_def(number, preg(Reg(2))));
    take.done()
}

/// Copies a register.
pub fn copy(to: VReg, from: VReg) -> VInst {
    let mut draft = Draft::default();
    let src = draft.operand(Operand::reg_use(from));
    let dst = draft.operand(Operand::reg_def(to));
    draft.alu(AluOp::Mov, dst, Src::Reg(src));
    draft.done()
}

/// Takes the frame's index and looks the frame up.
pub fn find_frame(frame: VReg, index: VReg) -> Vec<VInst> {
    let mut keep = Draft::default();
    let src = keep.operand(Operand::reg_use(index));
    keep.code.push(Insn::Store {
        size: Size::W,
        base: TReg::Phys(Reg::FP),
        off: KEY_OFFSET,
        src: Src::Reg(src),
    });
    let mut find = Draft::default();
    find.operand(Operand::reg_fixed_def(frame, preg(Reg::R0)));
    find.code.push(Insn::LoadWide {
        dst: TReg::Phys(Reg::R1),
        value: Wide::Map(Plan::FRAMES),
    });
    let key = TReg::Phys(Reg(2));
    find.alu(AluOp::Mov, key, Src::Reg(TReg::Phys(Reg::FP)));
    find.alu(AluOp::Add, key, Src::Imm(i32::from(KEY_OFFSET)));
    find.code.push(Insn::Call(Helper::MapLookupElem));
    let find = VInst {
        clobbers: call_clobbers(true),
        ..find.done()
    };
    vec![take_index(index), keep.done(), find]
}
