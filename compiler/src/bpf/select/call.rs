//! Calls: of helpers, of the kernel's own functions, of functions apart.

use regalloc2::VReg;

use super::build::load_imm;
use super::template::Template;
use super::{Cx, Val};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Src, Wide};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::{TReg, call_clobbers};

/// An argument of a helper call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg {
    /// A register.
    Reg(VReg),
    /// A constant.
    Imm(i64),
    /// An address.
    Addr(Mem),
    /// A map.
    Map(MapId),
    /// A callback, by its number.
    Function(u32),
    /// A register of which only the bits of this mask are taken: a size that the verifier must
    /// see bounded.
    Masked(VReg, i32),
    /// One more than the register (not negative), or than the limit if that is less.
    Clamped(VReg, i32),
}

impl From<MapId> for Arg {
    fn from(map: MapId) -> Arg {
        Arg::Map(map)
    }
}

impl From<Val> for Arg {
    fn from(val: Val) -> Arg {
        match val {
            Val::Const(value) => Arg::Imm(value),
            Val::Reg(reg) => Arg::Reg(reg),
            Val::Core(_) | Val::Flag(..) | Val::Text(_) => Arg::Imm(0),
        }
    }
}

impl Cx<'_> {
    /// Calls a helper; its result is in the register.
    pub(super) fn call(&mut self, helper: Helper, args: &[Arg]) -> VReg {
        let reg = self.code.vreg();
        self.call_into(helper, args, Some(reg));
        reg
    }

    /// Calls a function apart with the frame's index.
    pub(super) fn call_apart(&mut self, number: u32, index: VReg) {
        let mut t = Template::default();
        t.read_fixed(index, Reg::R1);
        t.add(Insn::CallApart(number));
        t.clobbers = call_clobbers(false);
        self.push(t);
        self.globals = None;
    }

    /// Calls a helper whose result is of no interest.
    pub(super) fn call_void(&mut self, helper: Helper, args: &[Arg]) {
        self.call_into(helper, args, None);
    }

    /// Calls a function of the kernel, by its id in the kernel's BTF; its result is in the register.
    pub(super) fn call_kernel(&mut self, function: u32, args: &[Arg]) -> VReg {
        let reg = self.code.vreg();
        self.push_call(Insn::CallKernel(function), args, Some(reg));
        reg
    }

    fn call_into(&mut self, helper: Helper, args: &[Arg], result: Option<VReg>) {
        self.push_call(Insn::Call(helper), args, result);
    }

    fn push_call(&mut self, call: Insn<TReg>, args: &[Arg], result: Option<VReg>) {
        let mut t = Template::default();
        for (n, arg) in args.iter().enumerate() {
            let phys = Reg(n as u8 + 1);
            let dst = TReg::Phys(phys);
            match *arg {
                Arg::Reg(reg) => t.read_fixed(reg, phys),
                Arg::Imm(value) => t.add(load_imm(dst, value)),
                Arg::Masked(reg, mask) => {
                    t.read_fixed(reg, phys);
                    t.alu(AluOp::And, dst, Src::Imm(mask));
                }
                Arg::Clamped(reg, limit) => {
                    t.read_fixed(reg, phys);
                    t.add(Insn::JumpIf {
                        cond: Cond::Le,
                        wide: true,
                        left: dst,
                        right: Src::Imm(limit),
                        target: 1,
                    });
                    t.alu(AluOp::Mov, dst, Src::Imm(limit));
                    t.alu(AluOp::Add, dst, Src::Imm(1));
                }
                Arg::Map(map) => t.add(Insn::LoadWide {
                    dst,
                    value: Wide::Map(map),
                }),
                Arg::Function(number) => t.add(Insn::LoadWide {
                    dst,
                    value: Wide::Function(number),
                }),
                Arg::Addr(Mem::Rodata(off)) => t.add(Insn::LoadWide {
                    dst,
                    value: Wide::MapValue(Plan::RODATA, off),
                }),
                Arg::Addr(Mem::Globals(off)) => t.add(Insn::LoadWide {
                    dst,
                    value: Wide::MapValue(Plan::GLOBALS, off),
                }),
                Arg::Addr(mem) => {
                    let (base, off) = match self.buffers.locate(mem) {
                        Mem::Stack(off) => (None, off),
                        Mem::Frame(off) => (self.frame, off as i32),
                        Mem::Ptr(reg, off) => (Some(reg), off),
                        Mem::Rodata(_) | Mem::Globals(_) | Mem::Buffer(..) => (None, 0),
                    };
                    match base {
                        None => {
                            t.alu(AluOp::Mov, dst, Src::Reg(TReg::Phys(Reg::FP)));
                        }
                        // Nothing else is to be done with it: let it come in the right
                        // register.
                        Some(reg) if off == 0 => {
                            t.read_fixed(reg, phys);
                            continue;
                        }
                        Some(reg) => {
                            let base = t.read_late(reg);
                            t.alu(AluOp::Mov, dst, Src::Reg(base));
                        }
                    }
                    if off != 0 {
                        t.alu(AluOp::Add, dst, Src::Imm(off));
                    }
                }
            }
        }
        t.add(call);
        t.clobbers = call_clobbers(result.is_some());
        if let Some(reg) = result {
            t.write_r0(reg);
        }
        self.push(t);
        self.globals = None;
    }
}
