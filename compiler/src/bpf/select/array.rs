//! Arrays: hash maps with exact keys.

use regalloc2::VReg;

use super::call::Arg;
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{Cond, MapId, Size, Src};
use crate::bpf::plan::Place;
use crate::bpf::vcode::BlockId;
use crate::image::{ArrayLayout, ValueLayout, width_bytes};
use crate::lir::{Global, SiteId, Ty, Value};

/// `BPF_ANY`: make or replace.
const ANY: i64 = 0;
/// `BPF_NOEXIST`: only make.
pub(super) const NOEXIST: i64 = 1;
/// `BPF_EXIST`: only replace.
const EXIST: i64 = 2;
/// `-ENOENT`: there is no such element.
const ENOENT: i32 = -2;
/// `-EEXIST`: somebody else made the element in between.
const EEXIST: i32 = -17;
/// `-E2BIG`: the map is full.
pub(super) const E2BIG: i32 = -7;

impl Cx<'_> {
    pub(super) fn array_place(&mut self, array: Global) -> Lowered<(MapId, ArrayLayout)> {
        match &self.plan.places[array] {
            Some(Place::Array(map, layout)) => Ok((*map, layout.clone())),
            _ => Err(self.internal("array operation on a scalar")),
        }
    }

    /// The key in memory: the string itself where it has the right form, else a copy.
    pub(super) fn key(&mut self, layout: &ArrayLayout, keys: &[Value]) -> Lowered<Mem> {
        if keys.len() != layout.keys.len() {
            return Err(self.internal("wrong number of keys"));
        }
        if let ([key], [slot]) = (keys, layout.keys.as_slice())
            && slot.ty.is_str()
        {
            let text = self.text(*key);
            if let Some(mem) = self.text_for(layout, text, slot.width()) {
                return Ok(mem);
            }
        }
        let mem = self.temp(layout.key_bytes);
        for (key, slot) in keys.iter().zip(&layout.keys) {
            let at = mem.at(slot.offset);
            match slot.ty {
                Ty::I64 => {
                    let val = self.int(*key);
                    self.store_val(at, val);
                }
                Ty::Str { .. } => {
                    let text = self.text(*key);
                    self.copy_text(text, at, slot.width(), true);
                }
            }
        }
        Ok(mem)
    }

    /// A text as a key or value of the array, where it has the right form already and stays where it is while an element is
    /// made: addresses do not go along into the function of a loop.
    fn text_for(&mut self, layout: &ArrayLayout, text: Text, width: u32) -> Option<Mem> {
        let mem = self.text_in_place(text, width)?;
        (!makes_in_loops(layout) || !matches!(mem, Mem::Ptr(..))).then_some(mem)
    }

    pub(super) fn lookup(&mut self, map: impl Into<Arg>, key: Mem) -> VReg {
        self.call(Helper::MapLookupElem, &[map.into(), Arg::Addr(key)])
    }

    pub(super) fn array_get(&mut self, array: Global, keys: &[Value], dest: Dest) -> Lowered<Val> {
        let (map, layout) = self.array_place(array)?;
        let ValueLayout::Plain(slot) = layout.value else {
            return Err(self.internal("plain operation on a statistic"));
        };
        let key = self.key(&layout, keys)?;
        let found = self.lookup(map, key);
        match slot.ty {
            Ty::I64 => {
                let (done, value) = self.join();
                let none = self.code.block(self.is_cold());
                self.in_block(none, |cx| {
                    let zero = cx.imm(0);
                    cx.jump(done, vec![zero]);
                });
                self.jump_if(Cond::Eq, found, Src::Imm(0), none);
                let old = self.load(Size::D, Mem::Ptr(found, 0));
                self.jump(done, vec![old]);
                self.enter(done);
                Ok(Val::Reg(value))
            }
            Ty::Str { cap, late } => {
                let text = self.fresh_text(cap, late, dest);
                let done = self.code.block(self.is_cold());
                let none = self.code.block(self.is_cold());
                self.in_block(none, |cx| {
                    cx.copy_text(Text::EMPTY, text.mem, text.width(), text.padded);
                    cx.jump(done, Vec::new());
                    Ok(())
                })?;
                self.jump_if(Cond::Eq, found, Src::Imm(0), none);
                let element = Text::Mem(TextMem {
                    mem: Mem::Ptr(found, 0),
                    cap,
                    padded: true,
                    late,
                });
                self.copy_text(element, text.mem, text.width(), text.padded);
                self.jump(done, Vec::new());
                self.enter(done);
                Ok(Val::Text(Text::Mem(text)))
            }
        }
    }

    pub(super) fn array_has(&mut self, array: Global, keys: &[Value]) -> Lowered<Val> {
        let (map, layout) = self.array_place(array)?;
        let key = self.key(&layout, keys)?;
        let found = self.lookup(map, key);
        let flag = self.flag_value(Cond::Ne, true, found, Src::Imm(0));
        Ok(Val::Reg(flag))
    }

    pub(super) fn array_set(
        &mut self,
        array: Global,
        keys: &[Value],
        value: Value,
        site: SiteId,
    ) -> Lowered<()> {
        let (map, layout) = self.array_place(array)?;
        let ValueLayout::Plain(slot) = layout.value else {
            return Err(self.internal("plain operation on a statistic"));
        };
        let key = self.key(&layout, keys)?;
        match slot.ty {
            Ty::I64 => {
                // An element that is there is stored to in place: no lock, no allocation.
                let val = self.int(value);
                let val = match val {
                    Val::Const(_) => val,
                    val => Val::Reg(self.val_reg(val)),
                };
                let done = self.code.block(self.is_cold());
                let initial = self.temp(8);
                if layout.wrap.is_some() {
                    let store = |cx: &mut Self| {
                        cx.store_val(initial, val);
                        initial
                    };
                    let set = |cx: &mut Self, element| {
                        cx.store_val(element, val);
                        cx.jump(done, Vec::new());
                    };
                    let array = (map.into(), &layout);
                    self.with_element(array, key, &store, Some(done), (site, done), &set);
                    self.enter(done);
                    return Ok(());
                }
                let found = self.lookup(map, key);
                let make = self.code.block(true);
                let failed = self.update_failed(site, done);
                self.in_block(make, |cx| {
                    cx.store_val(initial, val);
                    let result = cx.update(map, key, initial, ANY);
                    cx.jump_if_int(Cond::Ne, result, 0, failed.0);
                    cx.jump(done, Vec::new());
                    cx.in_block(failed.0, |cx| cx.finish_failed(failed, result));
                });
                self.jump_if(Cond::Eq, found, Src::Imm(0), make);
                self.store_val(Mem::Ptr(found, 0), val);
                self.jump(done, Vec::new());
                self.enter(done);
            }
            Ty::Str { .. } => {
                let text = self.text(value);
                let mem = if let Some(mem) = self.text_for(&layout, text, slot.width()) {
                    mem
                } else {
                    let mem = self.temp(slot.width());
                    self.copy_text(text, mem, slot.width(), true);
                    mem
                };
                let done = self.code.block(self.is_cold());
                if layout.wrap.is_some() {
                    self.replace_or_make((map, &layout), key, mem, done);
                } else {
                    let failed = self.update_failed(site, done);
                    let result = self.update(map, key, mem, ANY);
                    self.jump_if_int(Cond::Ne, result, 0, failed.0);
                    self.jump(done, Vec::new());
                    self.in_block(failed.0, |cx| cx.finish_failed(failed, result));
                }
                self.enter(done);
            }
        }
        Ok(())
    }

    /// Replaces the value of an element, or makes it with that where the array forgets others for it.
    fn replace_or_make(
        &mut self,
        (map, layout): (MapId, &ArrayLayout),
        key: Mem,
        value: Mem,
        done: BlockId,
    ) {
        let skipped = self.cold(|cx| {
            cx.count_skipped();
            cx.jump(done, Vec::new());
        });
        let result = self.update(map, key, value, EXIST);
        self.jump_if_int(Cond::Eq, result, 0, done);
        self.jump_if_int(Cond::Ne, result, ENOENT, skipped);
        let result = self.make(map.into(), layout, key, value);
        self.jump_if_int(Cond::Eq, result, 0, done);
        self.jump_if_int(Cond::Ne, result, EEXIST, skipped);
        let result = self.update(map, key, value, EXIST);
        self.jump_if_int(Cond::Eq, result, 0, done);
        // Removed again at once by somebody else: their removal came last.
        self.jump_if_int(Cond::Eq, result, ENOENT, done);
        self.jump(skipped, Vec::new());
    }

    /// `map[key] = value`; the register is 0 on success.
    pub(super) fn update(&mut self, map: impl Into<Arg>, key: Mem, value: Mem, flags: i64) -> VReg {
        self.call(
            Helper::MapUpdateElem,
            &[
                map.into(),
                Arg::Addr(key),
                Arg::Addr(value),
                Arg::Imm(flags),
            ],
        )
    }

    /// Blocks for an update that did not work: the first (still empty) is where to go, the second
    /// raises the error.
    pub(super) fn update_failed(
        &mut self,
        site: SiteId,
        done: BlockId,
    ) -> (BlockId, BlockId, BlockId) {
        let overflow = self.fail(site, Val::Const(0));
        (self.code.block(true), overflow, done)
    }

    /// Fills in the block: an array that is full is an error. An update that the kernel refused because
    /// this handler interrupted one of the same bucket (EBUSY; EDEADLK and ETIMEDOUT since 6.15), or
    /// because its element could not be kept (ENOMEM), is counted as skipped.
    pub(super) fn finish_failed(
        &mut self,
        (_, overflow, done): (BlockId, BlockId, BlockId),
        result: VReg,
    ) {
        self.jump_if_int(Cond::Eq, result, E2BIG, overflow);
        self.count_skipped();
        self.jump(done, Vec::new());
    }

    /// Does `work` with the element, which is made out of `initial` if it is not there yet; `done` is where
    /// to go without one. `fresh` is where to go when this run made it; else the new element is worked with.
    pub(super) fn with_element(
        &mut self,
        (map, layout): (Arg, &ArrayLayout),
        key: Mem,
        initial: &dyn Fn(&mut Self) -> Mem,
        fresh: Option<BlockId>,
        (site, done): (SiteId, BlockId),
        work: &dyn Fn(&mut Self, Mem),
    ) {
        let found = self.lookup(map, key);
        // Where a way with loops comes in no address can be in a register: there the work is written twice.
        let joined = (!makes_in_loops(layout)).then(|| self.join());
        let go_on = |cx: &mut Self, found: VReg| match joined {
            Some((have, _)) => cx.jump(have, vec![found]),
            None => work(cx, Mem::Ptr(found, 0)),
        };
        let make = self.code.block(true);
        let failed = self.update_failed(site, done);
        let again = self.code.block(true);
        self.in_block(make, |cx| {
            let value = initial(cx);
            let result = cx.make(map, layout, key, value);
            cx.jump_if_int(Cond::Eq, result, 0, fresh.unwrap_or(again));
            cx.jump_if_int(Cond::Eq, result, EEXIST, again);
            cx.jump(failed.0, Vec::new());
            cx.in_block(failed.0, |cx| cx.finish_failed(failed, result));
        });
        self.in_block(again, |cx| {
            let found = cx.lookup(map, key);
            // Removed again at once by somebody else: their removal came last.
            cx.jump_if(Cond::Eq, found, Src::Imm(0), fresh.unwrap_or(done));
            go_on(cx, found);
        });
        self.jump_if(Cond::Eq, found, Src::Imm(0), make);
        go_on(self, found);
        if let Some((have, element)) = joined {
            self.enter(have);
            work(self, Mem::Ptr(element, 0));
        }
    }

    pub(super) fn array_add(
        &mut self,
        array: Global,
        keys: &[Value],
        value: Value,
        site: SiteId,
        fetch: bool,
    ) -> Lowered<Option<Val>> {
        let (map, layout) = self.array_place(array)?;
        let key = self.key(&layout, keys)?;
        let val = match self.int(value) {
            Val::Const(value) => Val::Const(value),
            val => Val::Reg(self.val_reg(val)),
        };
        let (done, old) = if fetch {
            let (done, old) = self.join();
            (done, Some(old))
        } else {
            (self.code.block(self.is_cold()), None)
        };
        let made = self.code.block(true);
        self.in_block(made, |cx| {
            let args = if fetch { vec![cx.imm(0)] } else { Vec::new() };
            cx.jump(done, args);
        });
        let initial = self.temp(8);
        let store = |cx: &mut Self| {
            cx.store_val(initial, val);
            initial
        };
        let add = |cx: &mut Self, element| {
            let amount = cx.val_reg(val);
            let args = if fetch {
                vec![cx.fetch_add(element, amount)]
            } else {
                cx.atomic_add(element, amount);
                Vec::new()
            };
            cx.jump(done, args);
        };
        let array = (self.in_turn(map, layout.turns.as_ref()), &layout);
        self.with_element(array, key, &store, Some(made), (site, made), &add);
        self.enter(done);
        Ok(old.map(Val::Reg))
    }

    pub(super) fn array_del(&mut self, array: Global, keys: &[Value]) -> Lowered<()> {
        let (map, layout) = self.array_place(array)?;
        let key = self.key(&layout, keys)?;
        self.call_void(Helper::MapDeleteElem, &[Arg::Map(map), Arg::Addr(key)]);
        Ok(())
    }

    pub(super) fn clear(&mut self, global: Global, slice: &[Option<Value>]) -> Lowered<()> {
        match self.plan.places[global].clone() {
            Some(Place::Scalar(slot)) => {
                for word in 0..width_bytes(slot.ty) / 8 {
                    self.store_imm(Mem::Globals(slot.offset + word * 8), 0);
                }
                Ok(())
            }
            Some(Place::Array(..)) if slice.iter().all(Option::is_some) && !slice.is_empty() => {
                let keys: Vec<Value> = slice.iter().flatten().copied().collect();
                self.array_del(global, &keys)
            }
            Some(Place::Array(map, layout)) => self.clear_slice(map, &layout, slice),
            Some(Place::Stat(map, record, _)) => self.clear_stat(map, &record),
            None => Err(self.internal("a global without a place")),
        }
    }
}

/// Whether an element is made in loops, which are functions.
fn makes_in_loops(layout: &ArrayLayout) -> bool {
    matches!(&layout.wrap, Some(wrap) if wrap.deleted.is_some())
}
