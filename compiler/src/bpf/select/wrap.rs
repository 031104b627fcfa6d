//! Arrays that forget their oldest element when they are full; [`WrapLayout`] says by what maps they know it.
//!
//! Only making an element costs more than in other arrays. On several CPUs at once each queue still gives each entry
//! to one of them; then an element can be forgotten a little before one that is older.

use regalloc2::VReg;

use super::Cx;
use super::array::{E2BIG, NOEXIST};
use super::call::Arg;
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, MapId, Size, Src};
use crate::bpf::vcode::BlockId;
use crate::image::{ArrayLayout, DeletedLayout, WrapLayout};

/// `-ENOENT`: the queue is empty.
const ENOENT: i32 = -2;
/// `-ENOMEM`: the element could not be kept.
const ENOMEM: i64 = -12;
/// So often an element of an array from which scripts delete nothing is tried to be made: other CPUs may take the room.
const TRIES: u32 = 4;
/// So often that of another array finds nothing to forget: other CPUs hold entries that they are about to add.
const MISSES: i32 = 32;

/// An element that is to be made.
struct Making<'a> {
    map: MapId,
    layout: &'a ArrayLayout,
    queue: MapId,
    deleted: Option<Deleted>,
    /// Where entries of queues are read and made.
    entry: Mem,
}

/// What arrays take from which scripts delete elements.
#[derive(Clone, Copy)]
struct Deleted {
    other: MapId,
    born: MapId,
    turn: Mem,
    /// How often nothing was found to forget.
    misses: Mem,
}

/// One of two queues.
#[derive(Clone, Copy)]
enum Age {
    Younger,
    Older,
}

impl Cx<'_> {
    /// Makes an element, for which an array that forgets makes room: 0, or why not.
    pub(super) fn make(&mut self, map: Arg, layout: &ArrayLayout, key: Mem, value: Mem) -> VReg {
        let Some(wrap) = &layout.wrap else {
            return self.update(map, key, value, NOEXIST);
        };
        let making = self.making(layout, wrap);
        let outcome = self.temp(8);
        let tried = self.code.block(true);
        if let Some(deleted) = making.deleted {
            self.store_imm(deleted.misses, 0);
            let moved = self.code.block(true);
            let (head, count) = self.count_up(DeletedLayout::MOVED, moved);
            self.move_entry(&making, deleted, moved);
            let next = self.alu(AluOp::Add, count, Src::Imm(1));
            self.jump(head, vec![next]);
            self.enter(moved);
            // As many entries as there can be.
            let most = DeletedLayout::room(layout.max_entries).saturating_mul(2);
            let start = self.imm(0);
            let (head, round) = self.long_loop(most, tried);
            self.jump(head, vec![start]);
            self.enter(head);
            self.try_to_make(&making, key, value, outcome, tried);
            let next = self.alu(AluOp::Add, round, Src::Imm(1));
            self.jump(head, vec![next]);
        } else {
            for _ in 0..TRIES {
                self.try_to_make(&making, key, value, outcome, tried);
            }
            let last = self.update(making.map, key, value, NOEXIST);
            self.store(Size::D, outcome, Src::Reg(last));
            self.jump(tried, Vec::new());
        }
        self.enter(tried);
        self.finish_making(&making, key, outcome)
    }

    fn making<'a>(&mut self, layout: &'a ArrayLayout, wrap: &WrapLayout) -> Making<'a> {
        let entry = self.temp(layout.entry_bytes());
        let deleted = wrap.deleted.as_ref().map(|deleted| Deleted {
            other: self.plan.map_named(&deleted.other),
            born: self.plan.map_named(&deleted.born),
            turn: Mem::Globals(deleted.turn),
            misses: self.temp(8),
        });
        Making {
            map: self.plan.map_named(&layout.map),
            layout,
            queue: self.plan.map_named(&wrap.queue),
            deleted,
            entry,
        }
    }

    /// Makes the element if there is room, else forgets one. `tried` is where to go when that is all; the
    /// outcome is left in memory.
    fn try_to_make(
        &mut self,
        making: &Making<'_>,
        key: Mem,
        value: Mem,
        outcome: Mem,
        tried: BlockId,
    ) {
        let result = self.update(making.map, key, value, NOEXIST);
        self.store(Size::D, outcome, Src::Reg(result));
        self.jump_if_int(Cond::Ne, result, E2BIG, tried);
        let next = self.code.block(true);
        match making.deleted {
            None => {
                let popped = self.pop(making.queue, making.entry);
                self.jump_if_int(Cond::Ne, popped, 0, next);
            }
            Some(deleted) => {
                let got = self.code.block(true);
                for age in [Age::Older, Age::Younger] {
                    let popped = self.pop_of(making, deleted, age);
                    self.jump_if_int(Cond::Eq, popped, 0, got);
                }
                let misses = self.load(Size::D, deleted.misses);
                let misses = self.alu(AluOp::Add, misses, Src::Imm(1));
                self.store(Size::D, deleted.misses, Src::Reg(misses));
                self.jump_if(Cond::Lt, misses, Src::Imm(MISSES), next);
                self.jump(tried, Vec::new());
                self.enter(got);
                self.leave_if_stale(making, deleted, next);
            }
        }
        let gone = self.code.block(true);
        let forgotten = self.delete(making.map, making.entry);
        self.jump_if_int(Cond::Eq, forgotten, 0, gone);
        self.jump_if_int(Cond::Eq, forgotten, ENOENT, gone);
        // This handler interrupted one that changes the array: another will have to forget it.
        self.put_back(making, next);
        self.enter(gone);
        if let Some(deleted) = making.deleted {
            self.delete(deleted.born, making.entry);
        }
        self.jump(next, Vec::new());
        self.enter(next);
    }

    /// Adds an entry that was taken off for nothing, then goes on with `next`.
    fn put_back(&mut self, making: &Making<'_>, next: BlockId) {
        match making.deleted {
            None => self.push_entry(making.queue, making.entry),
            Some(deleted) => {
                let turn = self.load(Size::D, deleted.turn);
                self.by_turn(making, deleted, Age::Younger, turn, &|cx, queue| {
                    cx.push_entry(queue, making.entry)
                })
            }
        };
        self.jump(next, Vec::new());
    }

    /// Adds the entry of an element that was made.
    fn finish_making(&mut self, making: &Making<'_>, key: Mem, outcome: Mem) -> VReg {
        let (end, result) = self.join();
        let outcome = self.load(Size::D, outcome);
        let full = self.cold(|cx| {
            let nothing = cx.imm(ENOMEM);
            cx.jump(end, vec![nothing]);
        });
        // All elements there are were made by other CPUs in the same moment: it is as if this one was, too, and
        // was forgotten for the last of them.
        let forgotten = self.cold(|cx| {
            let zero = cx.imm(0);
            cx.jump(end, vec![zero]);
        });
        self.jump_if_int(Cond::Eq, outcome, E2BIG, forgotten);
        let failed = self.cold(|cx| cx.jump(end, vec![outcome]));
        self.jump_if_int(Cond::Ne, outcome, 0, failed);
        // Without an entry it would never be forgotten.
        let forget = self.cold(|cx| {
            cx.delete(making.map, key);
            cx.jump(full, Vec::new());
        });
        let pushed = match making.deleted {
            None => self.push_entry(making.queue, key),
            Some(deleted) => {
                let time = self.call(Helper::KtimeGetNs, &[]);
                let bytes = making.layout.key_bytes;
                self.copy_block(key, making.entry, bytes);
                let at = making.entry.at(bytes);
                self.store(Size::D, at, Src::Reg(time));
                let noted = self.update(deleted.born, key, at, 0);
                // Where times are too many, one that is not kept has no older entries either.
                let kept = self.code.block(true);
                self.jump_if_int(Cond::Eq, noted, E2BIG, kept);
                self.jump_if_int(Cond::Ne, noted, 0, forget);
                self.jump(kept, Vec::new());
                self.enter(kept);
                let turn = self.load(Size::D, deleted.turn);
                self.by_turn(making, deleted, Age::Younger, turn, &|cx, queue| {
                    cx.push_entry(queue, making.entry)
                })
            }
        };
        self.jump_if_int(Cond::Ne, pushed, 0, forget);
        let zero = self.imm(0);
        self.jump(end, vec![zero]);
        self.enter(end);
        result
    }

    /// Moves an entry from the younger queue to the older one, or drops it if it is stale. Changes the queues' places if
    /// the younger one is empty: then it goes on with `last`.
    fn move_entry(&mut self, making: &Making<'_>, deleted: Deleted, last: BlockId) {
        let turn = self.load(Size::D, deleted.turn);
        let next = self.code.block(true);
        let popped = self.by_turn(making, deleted, Age::Younger, turn, &|cx, queue| {
            cx.pop(queue, making.entry)
        });
        let none = self.cold(|cx| {
            cx.jump_if_int(Cond::Ne, popped, ENOENT, last);
            let turned = cx.alu(AluOp::Xor, turn, Src::Imm(1));
            cx.store(Size::D, deleted.turn, Src::Reg(turned));
            cx.jump(last, Vec::new());
        });
        self.jump_if_int(Cond::Ne, popped, 0, none);
        let gone = self.cold(|cx| {
            cx.delete(deleted.born, making.entry);
            cx.jump(next, Vec::new());
        });
        let element = self.lookup(making.map, making.entry);
        self.jump_if(Cond::Eq, element, Src::Imm(0), gone);
        self.leave_if_stale(making, deleted, next);
        let pushed = self.by_turn(making, deleted, Age::Older, turn, &|cx, queue| {
            cx.push_entry(queue, making.entry)
        });
        self.jump_if_int(Cond::Eq, pushed, 0, next);
        // Without an entry it would never be forgotten.
        self.delete(making.map, making.entry);
        self.jump(next, Vec::new());
        self.enter(next);
    }

    /// Goes to `stale` if the entry is of an element that was deleted and made again.
    fn leave_if_stale(&mut self, making: &Making<'_>, deleted: Deleted, stale: BlockId) {
        let fresh = self.code.block(true);
        let born = self.lookup(deleted.born, making.entry);
        self.jump_if(Cond::Eq, born, Src::Imm(0), fresh);
        let latest = self.load(Size::D, Mem::Ptr(born, 0));
        let time = self.load(Size::D, making.entry.at(making.layout.key_bytes));
        self.jump_if(Cond::Ne, latest, Src::Reg(time), stale);
        self.jump(fresh, Vec::new());
        self.enter(fresh);
    }

    fn pop_of(&mut self, making: &Making<'_>, deleted: Deleted, age: Age) -> VReg {
        let turn = self.load(Size::D, deleted.turn);
        self.by_turn(making, deleted, age, turn, &|cx, queue| {
            cx.pop(queue, making.entry)
        })
    }

    /// What `work` gives with the younger or older queue: which that is, is only known when it runs.
    fn by_turn(
        &mut self,
        making: &Making<'_>,
        deleted: Deleted,
        age: Age,
        turn: VReg,
        work: &dyn Fn(&mut Self, MapId) -> VReg,
    ) -> VReg {
        let (usual, turned) = match age {
            Age::Younger => (making.queue, deleted.other),
            Age::Older => (deleted.other, making.queue),
        };
        let (done, result) = self.join();
        let else_block = self.cold(|cx| {
            let result = work(cx, turned);
            cx.jump(done, vec![result]);
        });
        self.jump_if(Cond::Ne, turn, Src::Imm(0), else_block);
        let first = work(self, usual);
        self.jump(done, vec![first]);
        self.enter(done);
        result
    }

    /// Takes an entry off the front of a queue: 0, or why not.
    fn pop(&mut self, queue: MapId, entry: Mem) -> VReg {
        self.call(Helper::MapPopElem, &[Arg::Map(queue), Arg::Addr(entry)])
    }

    /// Adds an entry to the end of a queue: 0, or why not.
    fn push_entry(&mut self, queue: MapId, entry: Mem) -> VReg {
        let args = [Arg::Map(queue), Arg::Addr(entry), Arg::Imm(0)];
        self.call(Helper::MapPushElem, &args)
    }

    fn delete(&mut self, map: MapId, key: Mem) -> VReg {
        self.call(Helper::MapDeleteElem, &[Arg::Map(map), Arg::Addr(key)])
    }
}
