//! Going through all elements of an array: the kernel calls a function of ours for each (5.13).
//! Emptying arrays, and questions about slices, are made with it; `foreach` in `iterate`.
//!
//! The function shares nothing with the program but the scratch frame, whose index it is
//! given.

use regalloc2::VReg;

use super::call::Arg;
use super::template::Template;
use super::{Cx, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{Cond, MapId, Reg, Size, Src};
use crate::bpf::vcode::{BlockId, Term};
use crate::image::ArrayLayout;
use crate::lir::{Ty, Value};
use crate::target::Feature;

/// The element that a callback is called for.
pub(super) struct Element {
    /// Its key.
    pub key: Mem,
    /// Its value; of a per-CPU array this CPU's.
    pub value: Mem,
}

/// Keys of a slice, in memory.
pub(super) struct Slice<'a> {
    layout: &'a ArrayLayout,
    fixed: Vec<bool>,
    keys: Mem,
}

impl Cx<'_> {
    /// Runs the code that `body` makes for each element of a map. It goes on with the next
    /// element; `stop` ends it.
    pub(super) fn for_each(
        &mut self,
        map: MapId,
        what: &str,
        body: &mut dyn FnMut(&mut Self, &Element) -> Lowered<()>,
    ) -> Lowered<()> {
        if !self.features.has(Feature::ForEachMapElem) {
            return Err(self.needs_kernel(what, "5.13", "do it in an end or timer probe"));
        }
        let context = self.buffers.alloc(8, Access::Stack, (self.pos, self.pos));
        let index = self.frame_index();
        self.store(Size::W, context, Src::Reg(index));
        let callback = self.callback(body)?;
        self.call_void(
            Helper::ForEachMapElem,
            &[
                Arg::Map(map),
                Arg::Function(callback),
                Arg::Addr(context),
                Arg::Imm(0),
            ],
        );
        Ok(())
    }

    /// Makes a callback; gives its number.
    fn callback(
        &mut self,
        body: &mut dyn FnMut(&mut Self, &Element) -> Lowered<()>,
    ) -> Lowered<u32> {
        self.apart(true, &mut |cx| {
            let [map, key, value, context] = [0; 4].map(|_| cx.code.vreg());
            let mut t = Template::default();
            for (n, arg) in [map, key, value, context].into_iter().enumerate() {
                t.write_fixed(arg, Reg(n as u8 + 1));
            }
            cx.push(t);
            let index = cx.load(Size::W, Mem::Ptr(context, 0));
            cx.find_frame(index);
            let element = Element {
                key: Mem::Ptr(key, 0),
                value: Mem::Ptr(value, 0),
            };
            body(cx, &element)
        })
    }

    /// In a callback: the block that ends the iteration.
    pub(super) fn stop(&mut self) -> BlockId {
        self.cold(|cx| {
            let one = cx.imm(1);
            cx.finish_block(Term::Exit(one));
        })
    }

    /// In a callback: a block that goes on with the next element.
    fn next(&mut self) -> BlockId {
        self.cold(|cx| {
            let zero = cx.imm(0);
            cx.finish_block(Term::Exit(zero));
        })
    }

    /// Stores the keys of a slice where a callback finds them.
    pub(super) fn slice<'l>(
        &mut self,
        layout: &'l ArrayLayout,
        slice: &[Option<Value>],
    ) -> Slice<'l> {
        let keys = self.temp_variable(layout.key_bytes);
        for (value, slot) in slice.iter().zip(&layout.keys) {
            let Some(value) = value else { continue };
            let at = keys.at(slot.offset);
            match slot.ty {
                Ty::I64 => {
                    let val = self.int(*value);
                    self.store_val(at, val);
                }
                Ty::Str { .. } => {
                    let text = self.text(*value);
                    self.copy_text(text, at, slot.width(), true);
                }
            }
        }
        let fixed = (0..layout.keys.len())
            .map(|n| slice.get(n).is_some_and(Option::is_some))
            .collect();
        Slice {
            layout,
            fixed,
            keys,
        }
    }

    /// In a callback: goes on with the next element if this one is not in the slice.
    pub(super) fn skip_others(&mut self, slice: &Slice<'_>, element: &Element) {
        if !slice.fixed.contains(&true) {
            return;
        }
        let next = self.next();
        let slots = slice.layout.keys.iter().zip(&slice.fixed);
        for (slot, _) in slots.filter(|(_, fixed)| **fixed) {
            for at in (slot.offset..slot.offset + slot.width()).step_by(8) {
                let wanted: VReg = self.load(Size::D, slice.keys.at(at));
                let key = self.load(Size::D, element.key.at(at));
                self.jump_if(Cond::Ne, key, Src::Reg(wanted), next);
            }
        }
    }

    /// Removes the elements of a slice.
    pub(super) fn clear_slice(
        &mut self,
        map: MapId,
        layout: &ArrayLayout,
        slice: &[Option<Value>],
    ) -> Lowered<()> {
        let slice = self.slice(layout, slice);
        self.for_each(map, "emptying an array", &mut |cx, element| {
            cx.skip_others(&slice, element);
            let key = cx.address(element.key);
            cx.call_void(Helper::MapDeleteElem, &[Arg::Map(map), Arg::Reg(key)]);
            Ok(())
        })
    }

    /// 1 if there is an element in the slice.
    pub(super) fn has_slice(
        &mut self,
        map: MapId,
        layout: &ArrayLayout,
        slice: &[Option<Value>],
    ) -> Lowered<Val> {
        let slice = self.slice(layout, slice);
        let flag = self.temp_variable(8);
        self.store_imm(flag, 0);
        self.for_each(map, "'in' with a slice", &mut |cx, element| {
            cx.skip_others(&slice, element);
            cx.store_imm(flag, 1);
            let stop = cx.stop();
            cx.jump(stop, Vec::new());
            let dead = cx.code.block(true);
            cx.enter(dead);
            Ok(())
        })?;
        Ok(Val::Reg(self.load(Size::D, flag)))
    }
}
