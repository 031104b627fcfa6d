//! Scalar globals: words and string slots of the globals map.

use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AtomicOp, Size};
use crate::bpf::plan::Place;
use crate::image::Slot;
use crate::lir::{Global, Ty, Value};
use crate::target::Feature;

impl Cx<'_> {
    fn scalar(&mut self, global: Global) -> Lowered<Slot> {
        match self.plan.places[global] {
            Some(Place::Scalar(slot)) => Ok(slot),
            _ => Err(self.internal("scalar operation on an array or statistic")),
        }
    }

    pub(super) fn global_get(&mut self, global: Global, dest: Dest) -> Lowered<Val> {
        let slot = self.scalar(global)?;
        let from = Mem::Globals(slot.offset);
        match slot.ty {
            Ty::I64 => Ok(Val::Reg(self.load(Size::D, from))),
            // Others may change it at any time: what is used is a copy.
            Ty::Str { cap, late } => {
                let text = Text::Mem(TextMem {
                    mem: from,
                    cap,
                    padded: true,
                    late,
                });
                Ok(self.private_copy(text, dest))
            }
        }
    }

    pub(super) fn global_set(&mut self, global: Global, value: Value) -> Lowered<()> {
        let slot = self.scalar(global)?;
        let to = Mem::Globals(slot.offset);
        match slot.ty {
            Ty::I64 => {
                let val = self.int(value);
                self.store_val(to, val);
                Ok(())
            }
            Ty::Str { .. } => {
                let text = self.text(value);
                self.copy_text(text, to, slot.width(), true);
                Ok(())
            }
        }
    }

    pub(super) fn global_add(&mut self, global: Global, value: Value) -> Lowered<()> {
        let slot = self.scalar(global)?;
        let value = self.reg(value);
        self.atomic_add(Mem::Globals(slot.offset), value);
        Ok(())
    }

    /// Before 5.12 there is no atomic operation that gives the old value: the addition itself
    /// still loses nothing, but two handlers may be given the same old value.
    pub(super) fn global_fetch_add(&mut self, global: Global, value: Value) -> Lowered<Val> {
        let slot = self.scalar(global)?;
        let value = self.reg(value);
        Ok(Val::Reg(self.fetch_add(Mem::Globals(slot.offset), value)))
    }

    /// Adds and gives the old value, as atomically as the kernel can.
    pub(super) fn fetch_add(&mut self, mem: Mem, value: regalloc2::VReg) -> regalloc2::VReg {
        if self.features.has(Feature::AtomicFetch) {
            return self.atomic_fetch(AtomicOp::FetchAdd, mem, value);
        }
        let old = self.load(Size::D, mem);
        self.atomic_add(mem, value);
        old
    }
}
