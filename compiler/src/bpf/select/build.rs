//! Emission of single machine instructions: constants, arithmetic, loads, stores. With `call` and `flow`, everything
//! else in `select` is written with these.

use regalloc2::VReg;

use super::template::Template;
use super::{Cx, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::insn::{AluOp, AtomicOp, Insn, MapId, Reg, Size, Src, Wide};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::{TReg, VInst};
use crate::lir::CoreId;

impl Cx<'_> {
    /// Adds a template to the current block.
    pub(super) fn push(&mut self, template: Template) {
        let inst = VInst {
            code: template.code,
            operands: template.operands,
            clobbers: template.clobbers,
            core: template.core,
            span: self.span,
        };
        self.code.blocks[self.cur.0 as usize].insts.push(inst);
    }

    /// A constant in a register.
    pub(super) fn imm(&mut self, value: i64) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let dst = t.write(reg);
        t.add(load_imm(dst, value));
        self.push(t);
        reg
    }

    /// A relocatable kernel fact in a register.
    pub(super) fn core(&mut self, core: CoreId) -> VReg {
        let value = self.module.core[core].value;
        let reg = self.code.vreg();
        let mut t = Template::default();
        let dst = t.write(reg);
        t.add(load_imm(dst, value));
        t.core = Some((0, core));
        self.push(t);
        reg
    }

    /// `a` plus a relocatable kernel fact.
    pub(super) fn add_core(&mut self, a: VReg, core: CoreId) -> VReg {
        let Ok(value) = i32::try_from(self.module.core[core].value) else {
            let b = self.core(core);
            return self.alu(AluOp::Add, a, Src::Reg(b));
        };
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let dst = t.write_over(reg, first);
        t.alu(AluOp::Add, dst, Src::Imm(value));
        t.core = Some((0, core));
        self.push(t);
        reg
    }

    /// An address in the only element of a map, in a register.
    fn map_value(&mut self, map: MapId, offset: u32) -> VReg {
        self.load_wide(Wide::MapValue(map, offset))
    }

    /// A constant of 64 bits or an address in a register.
    pub(super) fn load_wide(&mut self, value: Wide) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let dst = t.write(reg);
        t.add(Insn::LoadWide { dst, value });
        self.push(t);
        reg
    }

    /// `a op b`.
    pub(super) fn alu(&mut self, op: AluOp, a: VReg, b: Src<VReg>) -> VReg {
        self.alu_sized(op, true, a, b)
    }

    /// `a op b` on 64 bits, or on 32 bits with the upper half zeroed.
    pub(super) fn alu_sized(&mut self, op: AluOp, wide: bool, a: VReg, b: Src<VReg>) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let src = b.map(|b| t.read(b));
        let dst = t.write_over(reg, first);
        t.add(Insn::Alu { op, wide, dst, src });
        self.push(t);
        reg
    }

    /// `-a`.
    pub(super) fn neg(&mut self, a: VReg) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let dst = t.write_over(reg, first);
        t.add(Insn::Neg { dst });
        self.push(t);
        reg
    }

    /// The same number, which the verifier takes for a number only: what is loaded from
    /// a BTF-typed context may be a pointer to it, which it lets nobody calculate with.
    /// (What it knows of a number it may keep: see `forget`.)
    pub(super) fn launder(&mut self, a: VReg) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let dst = t.write_over(reg, first);
        t.add(Insn::ToLe { dst, bits: 64 });
        self.push(t);
        reg
    }

    /// The same number, of which the verifier knows nothing any more. Where it would follow
    /// the rest of the program once for each value that it knows to be possible, this
    /// makes it stop. Exclusive or, twice, with a number unknown to it: the address of the stack.
    pub(super) fn forget(&mut self, a: VReg) -> VReg {
        let reg = self.code.vreg();
        let scratch = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let dst = t.write_over(reg, first);
        let unknown = t.write_early(scratch);
        t.alu(AluOp::Mov, unknown, Src::Reg(TReg::Phys(Reg::FP)));
        t.add(Insn::ToLe {
            dst: unknown,
            bits: 64,
        });
        t.alu(AluOp::Xor, dst, Src::Reg(unknown));
        t.alu(AluOp::Xor, dst, Src::Reg(unknown));
        self.push(t);
        reg
    }

    /// Register and offset for `mem`, good until the next call.
    fn base(&mut self, mem: Mem) -> (Option<VReg>, i16) {
        let (reg, off) = match self.buffers.locate(mem) {
            Mem::Stack(off) => (None, off),
            Mem::Frame(off) => match self.frame {
                Some(frame) => (Some(frame), off as i32),
                // The recording run: any register will do.
                None => (None, -8),
            },
            Mem::Ptr(reg, off) => (Some(reg), off),
            Mem::Globals(off) => {
                if i16::try_from(off).is_err() {
                    return (Some(self.map_value(Plan::GLOBALS, off)), 0);
                }
                let reg = match self.globals {
                    Some(reg) => reg,
                    None => self.map_value(Plan::GLOBALS, 0),
                };
                self.globals = Some(reg);
                (Some(reg), off as i32)
            }
            Mem::Rodata(off) => return (Some(self.map_value(Plan::RODATA, off)), 0),
            // A buffer is in no other.
            Mem::Buffer(..) => (None, -8),
        };
        if let Ok(off) = i16::try_from(off) {
            return (reg, off);
        }
        let far = reg.map(|reg| self.alu(AluOp::Add, reg, Src::Imm(off)));
        (far, 0)
    }

    /// Loads an integer, zero-extended.
    pub(super) fn load(&mut self, size: Size, mem: Mem) -> VReg {
        let (base, off) = self.base(mem);
        let reg = self.code.vreg();
        let mut t = Template::default();
        let base = base.map_or(TReg::Phys(Reg::FP), |base| t.read(base));
        let dst = t.write(reg);
        t.add(Insn::Load {
            size,
            signed: false,
            dst,
            base,
            off,
        });
        self.push(t);
        reg
    }

    /// Stores an integer.
    pub(super) fn store(&mut self, size: Size, mem: Mem, value: Src<VReg>) {
        let (base, off) = self.base(mem);
        let mut t = Template::default();
        let base = base.map_or(TReg::Phys(Reg::FP), |base| t.read(base));
        let src = value.map(|value| t.read(value));
        t.add(Insn::Store {
            size,
            base,
            off,
            src,
        });
        self.push(t);
    }

    /// Stores eight constant bytes.
    pub(super) fn store_imm(&mut self, mem: Mem, value: i64) {
        let src = match i32::try_from(value) {
            Ok(imm) => Src::Imm(imm),
            Err(_) => Src::Reg(self.imm(value)),
        };
        self.store(Size::D, mem, src);
    }

    /// Stores an integer value in a slot.
    pub(super) fn store_val(&mut self, mem: Mem, val: Val) {
        match val {
            Val::Const(value) => self.store_imm(mem, value),
            val => {
                let reg = self.val_reg(val);
                self.store(Size::D, mem, Src::Reg(reg));
            }
        }
    }

    /// Adds to eight bytes atomically.
    pub(super) fn atomic_add(&mut self, mem: Mem, value: VReg) {
        let (base, off) = self.base(mem);
        let mut t = Template::default();
        let base = base.map_or(TReg::Phys(Reg::FP), |base| t.read(base));
        let src = t.read(value);
        t.add(Insn::Atomic {
            op: AtomicOp::Add,
            size: Size::D,
            base,
            off,
            src,
        });
        self.push(t);
    }

    /// An atomic operation that gives the old value (kernel 5.12).
    pub(super) fn atomic_fetch(&mut self, op: AtomicOp, mem: Mem, value: VReg) -> VReg {
        let (base, off) = self.base(mem);
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(value);
        let base = base.map_or(TReg::Phys(Reg::FP), |base| t.read(base));
        let src = t.write_over(reg, first);
        t.add(Insn::Atomic {
            op,
            size: Size::D,
            base,
            off,
            src,
        });
        self.push(t);
        reg
    }

    /// Adds to eight bytes that nobody else changes at this moment.
    pub(super) fn plain_add(&mut self, mem: Mem, value: Src<VReg>) {
        let old = self.load(Size::D, mem);
        let new = self.alu(AluOp::Add, old, value);
        self.store(Size::D, mem, Src::Reg(new));
    }

    /// The address `mem` in a register.
    pub(super) fn address(&mut self, mem: Mem) -> VReg {
        match mem {
            Mem::Rodata(off) => self.map_value(Plan::RODATA, off),
            Mem::Globals(off) => self.map_value(Plan::GLOBALS, off),
            mem => {
                let (base, off) = self.base(mem);
                let reg = self.code.vreg();
                let mut t = Template::default();
                let base = base.map_or(TReg::Phys(Reg::FP), |base| t.read_late(base));
                let dst = t.write_early(reg);
                t.alu(AluOp::Mov, dst, Src::Reg(base));
                if off != 0 {
                    t.alu(AluOp::Add, dst, Src::Imm(i32::from(off)));
                }
                self.push(t);
                reg
            }
        }
    }

    /// `mem` plus a variable offset, which is kept below `bound` (a power of two) by a mask
    /// that the verifier sees.
    pub(super) fn address_at(&mut self, mem: Mem, offset: VReg, bound: u32) -> VReg {
        let base = self.address(mem);
        let reg = self.code.vreg();
        let mut t = Template::default();
        let offset = t.read(offset);
        let base = t.read_late(base);
        let dst = t.write_over(reg, offset);
        t.alu(AluOp::And, dst, Src::Imm(bound as i32 - 1));
        t.alu(AluOp::Add, dst, Src::Reg(base));
        self.push(t);
        reg
    }

    /// Word number `index` of `count` at `mem`. The index is in range already; it
    /// is bounded again where the verifier sees it.
    pub(super) fn word_at(&mut self, mem: Mem, index: VReg, count: u32) -> Mem {
        let (base, off) = match self.buffers.locate(mem) {
            Mem::Ptr(base, off) => (base, off),
            _ => (self.address(mem), 0),
        };
        let reg = self.code.vreg();
        let mut t = Template::default();
        let index = t.read(index);
        let base = t.read_late(base);
        let dst = t.write_over(reg, index);
        t.keep_below(dst, count);
        t.alu(AluOp::Lsh, dst, Src::Imm(3));
        t.alu(AluOp::Add, dst, Src::Reg(base));
        self.push(t);
        Mem::Ptr(reg, off)
    }

    /// The address of slot number `index` of `count`, of `width` bytes each, at `mem`. A count that is a
    /// power of two costs the verifier less.
    pub(super) fn slot_address(&mut self, mem: Mem, index: VReg, count: u32, width: u32) -> VReg {
        // See `forget`: what a comparison tells must not stick to the index.
        let index = if count.is_power_of_two() {
            index
        } else {
            self.forget(index)
        };
        let base = self.address(mem);
        let reg = self.code.vreg();
        let mut t = Template::default();
        let index = t.read(index);
        let base = t.read_late(base);
        let dst = t.write_over(reg, index);
        t.keep_below(dst, count);
        t.alu(AluOp::Mul, dst, Src::Imm(width as i32));
        t.alu(AluOp::Add, dst, Src::Reg(base));
        self.push(t);
        reg
    }

    /// A buffer for the operation being lowered only.
    pub(super) fn temp(&mut self, bytes: u32) -> Mem {
        self.buffers
            .alloc(bytes, Access::Fixed, (self.pos, self.pos))
    }

    /// A buffer for the operation being lowered only, addressed at variable offsets.
    pub(super) fn temp_variable(&mut self, bytes: u32) -> Mem {
        self.buffers
            .alloc(bytes, Access::Variable, (self.pos, self.pos))
    }
}

/// The shortest load of a constant.
pub(super) fn load_imm(dst: TReg, value: i64) -> Insn<TReg> {
    if let Ok(imm) = i32::try_from(value) {
        Insn::Alu {
            op: AluOp::Mov,
            wide: true,
            dst,
            src: Src::Imm(imm),
        }
    } else if let Ok(imm) = u32::try_from(value) {
        // 32-bit moves clear the upper half.
        Insn::Alu {
            op: AluOp::Mov,
            wide: false,
            dst,
            src: Src::Imm(imm as i32),
        }
    } else {
        Insn::LoadWide {
            dst,
            value: Wide::Imm(value),
        }
    }
}
