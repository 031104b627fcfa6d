//! `foreach` over an array. At its beginning all keys and values are copied to a snapshot (one map
//! element for each scratch frame, which has a part for each foreach of the program), so that the
//! body may change the array; in a function that recurses, a part for each level of calls. For a sorted one the snapshot has a heap of the numbers to
//! sort by, smallest first; each round takes the top off.

use regalloc2::VReg;

use super::apart::INDEX;
use super::each::Slice;
use super::order;
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::hub;
use crate::bpf::insn::{AluOp, Cond, MapId, Size, Src};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::{BlockId, Term};
use crate::image::{ArrayLayout, Slot, ValueLayout};
use crate::lir::{BlockCall, Global, Op, SiteId, Sort, SortBy, Terminator, Ty, Value};

/// Most bytes of a snapshot's elements.
const SNAPSHOT_BYTES: u32 = 256 << 10;
/// The same where there is one for each level of calls, of all together.
const LEVELS_BYTES: u32 = 1 << 20;
/// How many elements were copied.
const COUNT: u32 = 0;
/// How many of them were taken.
const TAKEN: u32 = 8;
/// How many may be taken.
const LIMIT: u32 = 16;
/// For comparing texts.
const SCRATCH: u32 = 24;
/// The numbers of the elements that are compared in a function apart; in the first one's place what came of it.
const COMPARED: [u32; 2] = [32, 40];
/// Bytes of these numbers.
const HEAD_BYTES: u32 = 48;
/// Texts of more words are compared in a function apart: it is looked at by the verifier once, not for each round of a search.
const MOST_WORDS: u32 = 2;
/// Longest string to sort by.
const MAX_SORT_TEXT_BYTES: u32 = 512;
/// Bytes of a heap's entry: what is sorted by, the element's number.
const HEAP_ENTRY_BYTES: u32 = 16;

/// An iteration of the program.
#[derive(Clone, Debug)]
pub(super) struct Iteration {
    layout: ArrayLayout,
    /// Where its part of the snapshot begins.
    offset: u32,
    /// Most elements.
    capacity: u32,
    sorted: bool,
    /// The string that is sorted by, if it is one.
    text: Option<SortText>,
    /// The function apart that compares such strings, if they are long.
    comparison: Option<u32>,
    /// Where the number of the level is that it is of, if each level of calls has its own.
    level: Option<Mem>,
    /// How many levels there are: a power of two.
    levels: u32,
}

/// A string in elements by which they are sorted.
#[derive(Clone, Copy, Debug)]
struct SortText {
    /// Where in an element it is.
    offset: u32,
    width: u32,
    descending: bool,
}

impl SortText {
    /// Words after the first, which is in the heap.
    fn more_words(&self) -> u32 {
        self.width / 8 - 1
    }
}

impl Iteration {
    fn value_bytes(&self) -> u32 {
        match &self.layout.value {
            ValueLayout::Plain(slot) => slot.width(),
            ValueLayout::Stat(_) => 0,
        }
    }

    fn element_bytes(&self) -> u32 {
        self.layout.key_bytes + self.value_bytes()
    }

    /// Places for elements: a power of two, so that an index is kept in bounds without a branch.
    fn slots(&self) -> u32 {
        self.capacity.next_power_of_two()
    }

    fn heap_bytes(&self) -> u32 {
        if self.sorted {
            self.slots() * HEAP_ENTRY_BYTES
        } else {
            0
        }
    }

    /// End of its part of the snapshot: heads of all levels, then heaps, then elements.
    fn end(&self) -> u32 {
        let level_bytes = HEAD_BYTES + self.heap_bytes() + self.slots() * self.element_bytes();
        let beyond = self
            .text
            .map_or(0, |text| order::bytes_read(text.more_words()));
        self.offset + self.levels * level_bytes + beyond
    }

    /// Those of all levels.
    fn places(&self) -> u32 {
        self.levels * self.slots()
    }

    /// The most steps from a heap's top to its bottom.
    fn depth(&self) -> u32 {
        self.capacity.ilog2() + 1
    }
}

/// A snapshot in memory.
#[derive(Clone, Copy)]
struct Snapshot {
    head: Mem,
    heap: Mem,
    elements: Mem,
    /// The number of the level's first place for an element, where there are levels.
    first: Option<VReg>,
}

/// An entry of a heap in registers.
#[derive(Clone, Copy)]
struct Entry {
    word: VReg,
    number: VReg,
}

impl Cx<'_> {
    /// Finds out about the iterations of the program: their handles are their numbers.
    pub(super) fn declare_iterations(&mut self) {
        let func = self.func;
        for data in func.blocks.values() {
            let insts = data.insts.iter();
            let insts = insts.map(|inst| (&inst.op, inst.result, inst.span));
            let tried = match &data.term {
                Terminator::Try { op, ok, .. } => {
                    let handle = func.blocks[ok.block].params.first().copied();
                    Some((op, handle, data.term_span))
                }
                _ => None,
            };
            for (op, handle, span) in insts.chain(tried) {
                if let (
                    Op::IterBegin {
                        array, sort, nest, ..
                    },
                    Some(handle),
                ) = (op, handle)
                {
                    self.span = Some(span);
                    // What is not possible is recorded.
                    if let Ok(mut iteration) = self.iteration(*array, *sort, *nest) {
                        if let Some(text) = iteration.text
                            && text.more_words() > MOST_WORDS
                        {
                            iteration.comparison = self.comparison(&iteration, text).ok();
                        }
                        self.vals[handle] = Some(Val::Const(self.iterations.len() as i64));
                        self.iterations.push(iteration);
                    }
                }
            }
        }
        self.span = Some(func.span);
    }

    fn iteration(
        &mut self,
        array: Global,
        sort: Option<Sort>,
        nest: Option<u8>,
    ) -> Lowered<Iteration> {
        let (_, layout) = self.array_place(array)?;
        let level = nest.and_then(|nest| self.nest_level(nest));
        let levels = match level {
            Some(_) => hub::levels(self.module).next_power_of_two(),
            None => 1,
        };
        let text = self.sort_text(&layout, sort)?;
        // Verifiers follow comparisons of strings in all levels' snapshots for too long.
        if level.is_some() && text.is_some() {
            return Err(self.unsupported(
                "foreach sorted by a string around a call of the function that it is in",
                "sort by a number, or do it in an end or timer probe",
            ));
        }
        let mut iteration = Iteration {
            offset: self.iterations.last().map_or(0, Iteration::end),
            capacity: 1,
            sorted: sort.is_some(),
            text,
            comparison: None,
            layout,
            level,
            levels,
        };
        let bytes = match level {
            Some(_) => LEVELS_BYTES / levels,
            None => SNAPSHOT_BYTES,
        };
        let room = bytes / iteration.element_bytes();
        iteration.capacity = iteration.layout.max_entries.min(room).max(1);
        self.plan.reserve_snapshot(iteration.end());
        Ok(iteration)
    }

    /// The iteration of a handle.
    fn iteration_of(&mut self, handle: Value) -> Lowered<Iteration> {
        let number = match self.int(handle) {
            Val::Const(number) => usize::try_from(number).ok(),
            _ => None,
        };
        match number.and_then(|n| self.iterations.get(n).cloned()) {
            Some(iteration) => Ok(iteration),
            None => Err(self.internal("an iteration that is not known")),
        }
    }

    /// Takes the snapshot; gives the iteration's number.
    pub(super) fn iter_begin(
        &mut self,
        array: Global,
        slice: &[Option<Value>],
        sort: Option<Sort>,
        limit: Option<Value>,
        site: SiteId,
        dest: Dest,
    ) -> Lowered<Val> {
        let (map, _) = self.array_place(array)?;
        let Some(handle) = dest.value else {
            return Err(self.internal("an iteration without a handle"));
        };
        let (number, iteration) = (self.int(handle), self.iteration_of(handle)?);

        let limit = limit.map(|limit| self.reg(limit));
        let key = self.buffers.alloc(8, Access::Stack, (self.pos, self.pos));
        let snapshot = self.snapshot_of_frame(&iteration, key, site);
        self.store_imm(snapshot.head.at(COUNT), 0);
        self.store_imm(snapshot.head.at(TAKEN), 0);
        match limit {
            Some(limit) => self.store(Size::D, snapshot.head.at(LIMIT), Src::Reg(limit)),
            None => self.store_imm(snapshot.head.at(LIMIT), i64::MAX),
        }
        let slice = self.slice(&iteration.layout, slice);
        self.copy_elements(map, &iteration, &slice, sort)?;
        let snapshot = self.snapshot_of_frame(&iteration, key, site);
        let count = self.load(Size::D, snapshot.head.at(COUNT));
        let fail = self.fail(site, Val::Const(0));
        self.jump_if(Cond::Gt, count, Src::Imm(iteration.capacity as i32), fail);
        Ok(number)
    }

    /// The string that is sorted by, if it is one.
    fn sort_text(&mut self, layout: &ArrayLayout, sort: Option<Sort>) -> Lowered<Option<SortText>> {
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

    /// The snapshot of the program's frame; `key` is for the look-up.
    fn snapshot_of_frame(&mut self, iteration: &Iteration, key: Mem, site: SiteId) -> Snapshot {
        let index = match self.code.frame_index {
            Some(index) => index,
            // The recording run: there is no frame yet.
            None => self.imm(0),
        };
        self.store(Size::W, key, Src::Reg(index));
        let found = self.lookup(Plan::SNAPSHOTS, key);
        let fail = self.fail(site, Val::Const(0));
        self.jump_if(Cond::Eq, found, Src::Imm(0), fail);
        self.snapshot_at(found, iteration)
    }

    /// Copies what is in the slice.
    fn copy_elements(
        &mut self,
        map: MapId,
        iteration: &Iteration,
        slice: &Slice<'_>,
        sort: Option<Sort>,
    ) -> Lowered<()> {
        self.for_each(map, "foreach", &mut |cx, element| {
            cx.skip_others(slice, element);
            let found = cx.lookup(Plan::SNAPSHOTS, INDEX);
            let stop = cx.stop();
            cx.jump_if(Cond::Eq, found, Src::Imm(0), stop);
            let snapshot = cx.snapshot_at(found, iteration);
            let count = cx.load(Size::D, snapshot.head.at(COUNT));
            let next = cx.alu(AluOp::Add, count, Src::Imm(1));
            cx.store(Size::D, snapshot.head.at(COUNT), Src::Reg(next));
            let capacity = iteration.capacity;
            // One too many is counted: that is how it is noticed.
            cx.jump_if(Cond::Ge, count, Src::Imm(capacity as i32), stop);
            let to = Mem::Ptr(cx.element_address(iteration, snapshot, count), 0);
            let key_bytes = iteration.layout.key_bytes;
            cx.copy_block(element.key, to, key_bytes);
            if iteration.value_bytes() != 0 {
                cx.copy_block(element.value, to.at(key_bytes), iteration.value_bytes());
            }
            if let Some(sort) = sort {
                let word = cx.sort_word(map, iteration, sort, to)?;
                let entry = Entry {
                    word,
                    number: count,
                };
                cx.sift_up(iteration, snapshot, entry);
            }
            Ok(())
        })
    }

    /// What an element is sorted by, as an unsigned number of which the least comes first.
    fn sort_word(
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

    fn heap_entry(&mut self, iteration: &Iteration, snapshot: Snapshot, at: VReg) -> Mem {
        let at = self.place_of_level(snapshot, at);
        let count = iteration.places();
        Mem::Ptr(
            self.slot_address(snapshot.heap, at, count, HEAP_ENTRY_BYTES),
            0,
        )
    }

    fn element_address(&mut self, iteration: &Iteration, snapshot: Snapshot, at: VReg) -> VReg {
        let at = self.place_of_level(snapshot, at);
        let (count, bytes) = (iteration.places(), iteration.element_bytes());
        self.slot_address(snapshot.elements, at, count, bytes)
    }

    /// The number of a place of the present level among those of all levels.
    fn place_of_level(&mut self, snapshot: Snapshot, at: VReg) -> VReg {
        match snapshot.first {
            Some(first) => self.alu(AluOp::Add, at, Src::Reg(first)),
            None => at,
        }
    }

    /// The iteration's part of a frame's snapshot, of the present level.
    fn snapshot_at(&mut self, found: VReg, iteration: &Iteration) -> Snapshot {
        let part = Mem::Ptr(found, iteration.offset as i32);
        let heap = part.at(iteration.levels * HEAD_BYTES);
        let elements = heap.at(iteration.levels * iteration.heap_bytes());
        let (head, first) = match iteration.level {
            Some(level) => {
                let level = self.load(Size::D, level);
                let head = self.slot_address(part, level, iteration.levels, HEAD_BYTES);
                let shift = iteration.slots().ilog2() as i32;
                let first = self.alu(AluOp::Lsh, level, Src::Imm(shift));
                (Mem::Ptr(head, 0), Some(first))
            }
            None => (part, None),
        };
        Snapshot {
            head,
            heap,
            elements,
            first,
        }
    }

    fn load_entry_of_heap(&mut self, at: Mem) -> Entry {
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
    fn sift_up(&mut self, iteration: &Iteration, snapshot: Snapshot, entry: Entry) {
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
    fn sift_down(&mut self, iteration: &Iteration, snapshot: Snapshot, entry: Entry, count: VReg) {
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

    /// Makes a function that compares the elements named in the snapshot; gives its number.
    fn comparison(&mut self, iteration: &Iteration, text: SortText) -> Lowered<u32> {
        self.apart(false, &mut |cx| {
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
        })
    }

    /// Takes the next element and goes on with `body`, or with `done` if there is none.
    pub(super) fn iter_next(
        &mut self,
        iter: Value,
        body: &BlockCall,
        with_value: bool,
        done: &BlockCall,
    ) -> Lowered<()> {
        let iteration = self.iteration_of(iter)?;
        let end = self.code.block(self.is_cold());
        self.in_block(end, |cx| cx.edge(done, &[]))?;
        let key = self.buffers.alloc(8, Access::Stack, (self.pos, self.pos));
        let index = match self.code.frame_index {
            Some(index) => index,
            None => self.imm(0),
        };
        self.store(Size::W, key, Src::Reg(index));
        let found = self.lookup(Plan::SNAPSHOTS, key);
        self.jump_if(Cond::Eq, found, Src::Imm(0), end);
        let snapshot = self.snapshot_at(found, &iteration);
        let taken = self.load(Size::D, snapshot.head.at(TAKEN));
        let limit = self.load(Size::D, snapshot.head.at(LIMIT));
        self.jump_if(Cond::Sge, taken, Src::Reg(limit), end);
        let count = self.load(Size::D, snapshot.head.at(COUNT));
        self.jump_if(Cond::Ge, taken, Src::Reg(count), end);
        let next = self.alu(AluOp::Add, taken, Src::Imm(1));
        self.store(Size::D, snapshot.head.at(TAKEN), Src::Reg(next));
        let element = if iteration.sorted {
            let left = self.alu(AluOp::Sub, count, Src::Reg(next));
            let top = match snapshot.first {
                Some(_) => {
                    let zero = self.imm(0);
                    self.heap_entry(&iteration, snapshot, zero)
                }
                None => snapshot.heap,
            };
            let top = self.load_entry_of_heap(top);
            let at = self.heap_entry(&iteration, snapshot, left);
            let last = self.load_entry_of_heap(at);
            self.sift_down(&iteration, snapshot, last, left);
            top.number
        } else {
            taken
        };
        let at = self.element_address(&iteration, snapshot, element);
        let params = self.func.blocks[body.block].params.clone();
        let mut slots: Vec<(u32, Ty)> = iteration
            .layout
            .keys
            .iter()
            .map(|slot| (slot.offset, slot.ty))
            .collect();
        if let (true, ValueLayout::Plain(slot)) = (with_value, &iteration.layout.value) {
            slots.push((iteration.layout.key_bytes, slot.ty));
        }
        let mut supplied = Vec::new();
        for ((offset, ty), param) in slots.into_iter().zip(params) {
            let from = Mem::Ptr(at, offset as i32);
            supplied.push(match ty {
                Ty::I64 => Val::Reg(self.load(Size::D, from)),
                Ty::Str { cap, late } => {
                    let text = Text::Mem(TextMem {
                        mem: from,
                        cap,
                        padded: true,
                        late,
                    });
                    // The place in the snapshot is not known in a loop's own function.
                    let dest = self.dest(Some(param), Some(ty));
                    self.private_copy(text, dest)
                }
            });
        }
        self.edge(body, &supplied)
    }
}
