//! The heap of a sorted `foreach`: what is sorted by, as an unsigned number of which the least comes first, and the number of the element in the snapshot;
//! the smallest on top. Of a string that is its first word; where these are the same, the rest is compared.

use regalloc2::VReg;

use super::apart::INDEX;
use super::snapshot::{COMPARED, HEAP_ENTRY_BYTES, Iteration, SCRATCH, Snapshot};
use super::{Cx, Lowered};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, MapId, Size, Src};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::{BlockId, Term};
use crate::image::{ArrayLayout, Slot, ValueLayout};
use crate::lir::{Sort, SortBy, Ty};

/// Texts of more words are compared in a function apart: it is looked at by the verifier once, not for each round of a search.
const MOST_WORDS: u32 = 2;

/// Longest string to sort by.
const MAX_SORT_TEXT_BYTES: u32 = 512;

/// A string in elements by which they are sorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct SortText {
    /// Where in an element it is.
    offset: u32,
    width: u32,
    descending: bool,
}

impl SortText {
    /// Words after the first, which is in the heap.
    pub(super) fn more_words(&self) -> u32 {
        self.width / 8 - 1
    }
}

/// An entry of a heap in registers.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) word: VReg,
    pub(super) number: VReg,
}

impl Cx<'_> {
    /// The string that is sorted by, if it is one.
    pub(super) fn sort_text(
        &mut self,
        layout: &ArrayLayout,
        sort: Option<Sort>,
    ) -> Lowered<Option<SortText>> {
        let Some(sort) = sort else {
            return Ok(None);
        };
        let slot = match (sort.by, &layout.value) {
            (SortBy::Key(n), _) => layout.keys.get(usize::from(n)).copied(),
            (SortBy::Value, ValueLayout::Plain(slot)) => Some(Slot {
                offset: layout.key_bytes,
                ty: slot.ty,
            }),
            _ => None,
        };
        match slot {
            Some(Slot {
                ty: Ty::Str { late, .. },
                ..
            }) if late || slot.is_some_and(|slot| slot.width() > MAX_SORT_TEXT_BYTES) => Err(self
                .unsupported(
                    "foreach sorted by a string this long",
                    "sort by a number, or do it in an end or timer probe",
                )),
            Some(slot) if slot.ty.is_str() => Ok(Some(SortText {
                offset: slot.offset,
                width: slot.width(),
                descending: sort.descending,
            })),
            _ => Ok(None),
        }
    }

    /// What an element is sorted by, as an unsigned number of which the least comes first.
    pub(super) fn sort_word(
        &mut self,
        map: MapId,
        iteration: &Iteration,
        sort: Sort,
        element: Mem,
    ) -> Lowered<VReg> {
        if let Some(text) = iteration.text {
            let word = self.load(Size::D, element.at(text.offset));
            let word = self.big_endian(word);
            return Ok(if text.descending {
                self.alu(AluOp::Xor, word, Src::Imm(-1))
            } else {
                word
            });
        }
        let layout = &iteration.layout;
        let value = match (sort.by, &layout.value) {
            (SortBy::Key(n), _) => {
                let slot = layout.keys.get(usize::from(n));
                let offset = slot.map_or(0, |slot| slot.offset);
                self.load(Size::D, element.at(offset))
            }
            (SortBy::Stat(field), ValueLayout::Stat(record)) => {
                // Loops over CPUs become functions, to which no address of an element goes along.
                let key = self.temp_variable(layout.key_bytes);
                self.copy_block(element, key, layout.key_bytes);
                let (_, value) = self.stat_field(map, record, key, field)?;
                value
            }
            _ => self.load(Size::D, element.at(layout.key_bytes)),
        };
        let flip = self.imm(if sort.descending { i64::MAX } else { i64::MIN });
        Ok(self.alu(AluOp::Xor, value, Src::Reg(flip)))
    }

    pub(super) fn heap_entry(
        &mut self,
        iteration: &Iteration,
        snapshot: Snapshot,
        at: VReg,
    ) -> Mem {
        let at = self.place_of_level(snapshot, at);
        let count = iteration.places();
        Mem::Ptr(
            self.slot_address(snapshot.heap, at, count, HEAP_ENTRY_BYTES),
            0,
        )
    }

    pub(super) fn load_entry_of_heap(&mut self, at: Mem) -> Entry {
        Entry {
            word: self.load(Size::D, at),
            number: self.load(Size::D, at.at(8)),
        }
    }

    fn store_entry(&mut self, at: Mem, entry: Entry) {
        self.store(Size::D, at, Src::Reg(entry.word));
        self.store(Size::D, at.at(8), Src::Reg(entry.number));
    }

    /// Adds an entry, the last by its number, to a heap. (Here and in `sift_down` the loop is short,
    /// and must stay where it is: pointers to the snapshot are used in it.)
    pub(super) fn sift_up(&mut self, iteration: &Iteration, snapshot: Snapshot, entry: Entry) {
        let (head, round) = self.join();
        let place = self.code.vreg();
        self.code.blocks[head.0 as usize].params.push(place);
        let end = self.code.block(self.is_cold());
        let zero = self.imm(0);
        self.jump(head, vec![zero, entry.number]);
        self.enter(head);
        self.jump_if(Cond::Ge, round, Src::Imm(iteration.depth() as i32), end);
        self.jump_if(Cond::Eq, place, Src::Imm(0), end);
        let parent = self.alu(AluOp::Sub, place, Src::Imm(1));
        let parent = self.alu(AluOp::Rsh, parent, Src::Imm(1));
        let at = self.heap_entry(iteration, snapshot, parent);
        let above = self.load_entry_of_heap(at);
        self.jump_unless_before(iteration, snapshot, [entry, above], end);
        let at = self.heap_entry(iteration, snapshot, place);
        self.store_entry(at, above);
        let parent = self.forget(parent);
        let next = self.alu(AluOp::Add, round, Src::Imm(1));
        self.jump(head, vec![next, parent]);
        self.enter(end);
        let at = self.heap_entry(iteration, snapshot, place);
        self.store_entry(at, entry);
    }

    /// Puts an entry in the place of a heap's top; `count` are left in the heap.
    pub(super) fn sift_down(
        &mut self,
        iteration: &Iteration,
        snapshot: Snapshot,
        entry: Entry,
        count: VReg,
    ) {
        let (head, round) = self.join();
        let place = self.code.vreg();
        self.code.blocks[head.0 as usize].params.push(place);
        let end = self.code.block(self.is_cold());
        let start = vec![self.imm(0), self.imm(0)];
        self.jump(head, start);
        self.enter(head);
        self.jump_if(Cond::Ge, round, Src::Imm(iteration.depth() as i32), end);
        let left = self.alu(AluOp::Lsh, place, Src::Imm(1));
        let left = self.alu(AluOp::Add, left, Src::Imm(1));
        self.jump_if(Cond::Ge, left, Src::Reg(count), end);
        let at = self.heap_entry(iteration, snapshot, left);
        let lower = self.load_entry_of_heap(at);

        // The lesser of the two below.
        let (chosen, child) = self.join();
        let params = [self.code.vreg(), self.code.vreg()];
        self.code.blocks[chosen.0 as usize].params.extend(params);
        let one = self.code.block(self.is_cold());
        self.in_block(one, |cx| {
            cx.jump(chosen, vec![left, lower.word, lower.number]);
        });
        let right = self.alu(AluOp::Add, left, Src::Imm(1));
        self.jump_if(Cond::Ge, right, Src::Reg(count), one);
        let at = self.heap_entry(iteration, snapshot, right);
        let other = self.load_entry_of_heap(at);
        self.jump_unless_before(iteration, snapshot, [other, lower], one);
        self.jump(chosen, vec![right, other.word, other.number]);
        self.enter(chosen);
        let lesser = Entry {
            word: params[0],
            number: params[1],
        };
        self.jump_unless_before(iteration, snapshot, [lesser, entry], end);
        let at = self.heap_entry(iteration, snapshot, place);
        self.store_entry(at, lesser);
        let child = self.forget(child);
        let next = self.alu(AluOp::Add, round, Src::Imm(1));
        self.jump(head, vec![next, child]);
        self.enter(end);
        let at = self.heap_entry(iteration, snapshot, place);
        self.store_entry(at, entry);
    }

    /// Goes to `to` unless `a` comes before `b`: equal ones keep the order of the snapshot.
    fn jump_unless_before(
        &mut self,
        iteration: &Iteration,
        snapshot: Snapshot,
        [a, b]: [Entry; 2],
        to: BlockId,
    ) {
        let before = self.code.block(self.is_cold());
        self.jump_if(Cond::Lt, a.word, Src::Reg(b.word), before);
        self.jump_if(Cond::Gt, a.word, Src::Reg(b.word), to);
        if let Some(number) = iteration.comparison {
            let places = COMPARED.map(|place| snapshot.head.at(place));
            for (place, entry) in places.into_iter().zip([a, b]) {
                self.store(Size::D, place, Src::Reg(entry.number));
            }
            let index = self.frame_index();
            self.call_apart(number, index);
            let order = self.load(Size::D, places[0]);
            self.jump_if(Cond::Slt, order, Src::Imm(0), before);
            self.jump_if(Cond::Sgt, order, Src::Imm(0), to);
        } else if let Some(text) = iteration.text {
            self.order_elements(
                iteration,
                snapshot,
                text,
                [a.number, b.number],
                [before, to],
            );
        }
        self.jump_if(Cond::Gt, a.number, Src::Reg(b.number), to);
        self.jump(before, Vec::new());
        self.enter(before);
    }

    /// Goes to `before` if the text of the first of two elements comes before that of the second, to `after` if it comes after that, or on
    /// if they are the same.
    fn order_elements(
        &mut self,
        iteration: &Iteration,
        snapshot: Snapshot,
        text: SortText,
        elements: [VReg; 2],
        [before, after]: [BlockId; 2],
    ) {
        let elements = elements.map(|number| self.element_address(iteration, snapshot, number));
        let ways = if text.descending {
            [after, before]
        } else {
            [before, after]
        };
        let place = snapshot.head.at(SCRATCH);
        self.order_words(elements, text.offset + 8, text.more_words(), place, ways);
    }

    /// Makes a function that compares the elements named in the snapshot, if their texts are long; gives its number.
    pub(super) fn comparison(&mut self, iteration: &Iteration) -> Option<u32> {
        let text = iteration
            .text
            .filter(|text| text.more_words() > MOST_WORDS)?;
        let made = self.apart(false, &mut |cx| {
            let index = cx.argument();
            cx.store(Size::W, INDEX, Src::Reg(index));
            let found = cx.lookup(Plan::SNAPSHOTS, INDEX);
            let stop = cx.stop();
            cx.jump_if(Cond::Eq, found, Src::Imm(0), stop);
            let snapshot = cx.snapshot_at(found, iteration);
            let places = COMPARED.map(|place| snapshot.head.at(place));
            let elements = places.map(|place| cx.load(Size::D, place));
            let [before, after] = [-1, 1].map(|order| {
                cx.cold(|cx| {
                    cx.store_imm(places[0], order);
                    let zero = cx.imm(0);
                    cx.finish_block(Term::Exit(zero));
                })
            });
            cx.order_elements(iteration, snapshot, text, elements, [before, after]);
            cx.store_imm(places[0], 0);
            Ok(())
        });
        made.ok()
    }
}
