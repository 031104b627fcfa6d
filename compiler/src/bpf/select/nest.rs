//! The slots of calls and loops that go by a hub (`hub`). Functions that recurse have one buffer with a set of slots for each
//! level, and the number of the innermost level before it; where nothing recurses, each slot has a place of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::analysis::for_each_op;
use crate::bpf::frame::{Access, Mem};
use crate::bpf::hub;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::vcode::{Loop, LoopKind};
use crate::image::width_bytes;
use crate::lir::{ErrorKind, NestOp, NestSlot, Op, SiteId, Ty, Value};

/// Most bytes of all levels: each scratch frame has as many.
const MAX_BYTES: u32 = 1 << 20;

/// Sets of slots.
#[derive(Clone, Debug)]
pub(super) enum Nest {
    /// One for each level.
    Levels {
        /// Where the number of the innermost level is.
        level: Mem,
        levels: Mem,
        /// Bytes of a level.
        bytes: u32,
        /// Where in it each slot is.
        slots: BTreeMap<u32, u32>,
    },
    /// One: where each slot is.
    One(BTreeMap<u32, Mem>),
}

impl Cx<'_> {
    /// Makes the slots that the function uses.
    pub(super) fn declare_nests(&mut self) {
        let func = self.func;
        let mut widths: BTreeMap<u8, BTreeMap<u32, u32>> = BTreeMap::new();
        let mut with_levels = BTreeSet::new();
        for_each_op(func, |op| {
            if let Op::Nest(nest, op) = op {
                if let NestOp::Push(_) = op {
                    with_levels.insert(*nest);
                }
                let slots = widths.entry(*nest).or_default();
                if let NestOp::Set(slot, value) = op {
                    let width = slots.entry(slot.number()).or_insert(0);
                    *width = width_bytes(func.ty(*value)).max(*width);
                }
            }
        });
        let always = (0, u32::MAX);
        for (nest, widths) in widths {
            if !with_levels.contains(&nest) {
                let slots = widths.into_iter();
                let slots = slots
                    .map(|(slot, width)| (slot, self.buffers.alloc(width, Access::Fixed, always)));
                let slots = Nest::One(slots.collect());
                self.nests.insert(nest, slots);
                continue;
            }
            let mut bytes = 0;
            let mut slots = BTreeMap::new();
            for (slot, width) in widths {
                slots.insert(slot, bytes);
                bytes += width;
            }
            let mut all = hub::levels(self.module).saturating_mul(bytes);
            if all > MAX_BYTES {
                self.span = Some(func.span);
                // It is recorded; there is nothing more to do here.
                let _ = self.too_large(
                    "what a function that recurses must remember in each call",
                    "lower MAXNESTING or MAXSTRINGLEN with -D",
                );
                all = bytes;
            }
            let nest_of = Nest::Levels {
                level: self.buffers.alloc(8, Access::Fixed, always),
                levels: self.buffers.alloc(all, Access::Variable, always),
                bytes,
                slots,
            };
            self.nests.insert(nest, nest_of);
        }
    }

    /// Where the number of the innermost level is, of the slots of this number.
    pub(super) fn nest_level(&self, number: u8) -> Option<Mem> {
        match self.nests.get(&number)? {
            Nest::Levels { level, .. } => Some(*level),
            Nest::One(_) => None,
        }
    }

    pub(super) fn nest(&mut self, number: u8, op: NestOp, dest: Dest) -> Lowered<Option<Val>> {
        let Some(nest) = self.nests.get(&number).cloned() else {
            return Err(self.internal("slots of no function"));
        };
        match op {
            NestOp::Begin | NestOp::Push(_) | NestOp::Pop => {
                let Nest::Levels { level, .. } = nest else {
                    return Err(self.internal("slots without levels"));
                };
                match op {
                    NestOp::Push(site) => self.next_level(level, site),
                    NestOp::Pop => self.plain_add(level, Src::Imm(-1)),
                    _ => self.store_imm(level, 0),
                }
            }
            NestOp::Hub(passes) => self.hub(passes),
            NestOp::Set(slot, value) => {
                let to = self.nest_slot(&nest, slot);
                self.set_slot(to, value);
            }
            NestOp::Get(slot) => {
                let from = self.nest_slot(&nest, slot);
                return Ok(Some(match dest.ty {
                    Some(Ty::Str { cap, late }) => {
                        let text = TextMem {
                            mem: from,
                            cap,
                            padded: true,
                            late,
                        };
                        self.private_copy(Text::Mem(text), dest)
                    }
                    Some(Ty::I64) | None => Val::Reg(self.load(Size::D, from)),
                }));
            }
        }
        Ok(None)
    }

    fn next_level(&mut self, number: Mem, site: SiteId) {
        let last = self.module.limits.nested_calls();
        let level = self.load(Size::D, number);
        let fail = self.fail(site, Val::Const(0));
        self.jump_if(
            Cond::Ge,
            level,
            Src::Imm(last.min(i32::MAX as u32) as i32),
            fail,
        );
        let next = self.alu(AluOp::Add, level, Src::Imm(1));
        self.store(Size::D, number, Src::Reg(next));
    }

    /// Where a slot is.
    fn nest_slot(&mut self, nest: &Nest, slot: NestSlot) -> Mem {
        let (number, levels, bytes, slots) = match nest {
            Nest::One(slots) => {
                let place = slots.get(&slot.number()).copied();
                // A slot that is only read is one of a call that cannot be.
                return place.unwrap_or(Mem::Frame(0));
            }
            Nest::Levels {
                level,
                levels,
                bytes,
                slots,
            } => (*level, *levels, *bytes, slots),
        };
        let mut level = self.load(Size::D, number);
        if let NestSlot::Next(_) = slot {
            level = self.alu(AluOp::Add, level, Src::Imm(1));
        }
        let count = hub::levels(self.module);
        let set = self.slot_address(levels, level, count, bytes);
        Mem::Ptr(
            set,
            slots.get(&slot.number()).map_or(0, |offset| *offset as i32),
        )
    }

    fn set_slot(&mut self, to: Mem, value: Value) {
        match self.func.ty(value) {
            Ty::I64 => {
                let value = self.int(value);
                self.store_val(to, value);
            }
            ty @ Ty::Str { .. } => {
                let text = self.text(value);
                self.copy_text(text, to, width_bytes(ty), true);
            }
        }
    }

    /// The head of the loop through which calls, returns and rounds go: as often as the rounds that are counted allow.
    fn hub(&mut self, passes: u32) {
        let most = self.module.limits.max_action.saturating_add(2);
        let most = most.saturating_mul(passes).min(i32::MAX as u32 - 1);
        let mut sites = self.module.sites.iter();
        let give_up = match sites.find(|(_, site)| site.kind == ErrorKind::MaxAction) {
            Some((site, _)) => self.fail(site, Val::Const(0)),
            None => self.exit_block(),
        };
        self.code.loops.push(Loop {
            head: self.cur,
            kind: LoopKind::Rounds { most, give_up },
        });
    }
}
