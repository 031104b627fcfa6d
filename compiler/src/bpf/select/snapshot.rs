//! Where `foreach` copies an array to: a map with an element for each scratch frame, which has a part for each foreach of the
//! program; in a function that recurses, a part for each level of calls. A part begins with a few numbers; then, if
//! it is sorted, comes its heap, then the elements.

use regalloc2::VReg;

use super::heap::SortText;
use super::{Cx, Lowered, Val, order};
use crate::bpf::frame::Mem;
use crate::bpf::hub;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::plan::Plan;
use crate::image::{ArrayLayout, ValueLayout};
use crate::lir::{Global, SiteId, Sort};

/// How many elements were copied.
pub(super) const COUNT: u32 = 0;
/// How many of them were taken.
pub(super) const TAKEN: u32 = 8;
/// How many may be taken.
pub(super) const LIMIT: u32 = 16;
/// For comparing texts.
pub(super) const SCRATCH: u32 = 24;
/// The numbers of the elements that are compared in a function apart; in the first one's place what came of it.
pub(super) const COMPARED: [u32; 2] = [32, 40];

/// Most bytes of a snapshot's elements.
const SNAPSHOT_BYTES: u32 = 256 << 10;

/// The same where there is one for each level of calls, of all together.
const LEVELS_BYTES: u32 = 1 << 20;

/// Bytes of these numbers.
const HEAD_BYTES: u32 = 48;

/// Bytes of a heap's entry: what is sorted by, the element's number.
pub(super) const HEAP_ENTRY_BYTES: u32 = 16;

/// An iteration of the program.
#[derive(Clone, Debug)]
pub(super) struct Iteration {
    pub(super) layout: ArrayLayout,
    /// Where its part of the snapshot begins.
    offset: u32,
    /// Most elements.
    pub(super) capacity: u32,
    pub(super) sorted: bool,
    /// The string that is sorted by, if it is one.
    pub(super) text: Option<SortText>,
    /// The function apart that compares such strings, if they are long.
    pub(super) comparison: Option<u32>,
    /// Where the number of the level is that it is of, if each level of calls has its own.
    level: Option<Mem>,
    /// How many levels there are: a power of two.
    levels: u32,
}

impl Iteration {
    pub(super) fn value_bytes(&self) -> u32 {
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
    pub(super) fn places(&self) -> u32 {
        self.levels * self.slots()
    }

    /// The most steps from a heap's top to its bottom.
    pub(super) fn depth(&self) -> u32 {
        self.capacity.ilog2() + 1
    }
}

/// A snapshot in memory.
#[derive(Clone, Copy)]
pub(super) struct Snapshot {
    pub(super) head: Mem,
    pub(super) heap: Mem,
    pub(super) elements: Mem,
    /// The number of the level's first place for an element, where there are levels.
    pub(super) first: Option<VReg>,
}

impl Cx<'_> {
    /// Where the elements of an iteration are copied to.
    pub(super) fn iteration(
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

    /// The snapshot of the program's frame; `key` is for the look-up.
    pub(super) fn snapshot_of_frame(
        &mut self,
        iteration: &Iteration,
        key: Mem,
        site: SiteId,
    ) -> Snapshot {
        let index = self.frame_index();
        self.store(Size::W, key, Src::Reg(index));
        let found = self.lookup(Plan::SNAPSHOTS, key);
        let fail = self.fail(site, Val::Const(0));
        self.jump_if(Cond::Eq, found, Src::Imm(0), fail);
        self.snapshot_at(found, iteration)
    }

    /// The iteration's part of a frame's snapshot, of the present level.
    pub(super) fn snapshot_at(&mut self, found: VReg, iteration: &Iteration) -> Snapshot {
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

    pub(super) fn element_address(
        &mut self,
        iteration: &Iteration,
        snapshot: Snapshot,
        at: VReg,
    ) -> VReg {
        let at = self.place_of_level(snapshot, at);
        let (count, bytes) = (iteration.places(), iteration.element_bytes());
        self.slot_address(snapshot.elements, at, count, bytes)
    }

    /// The number of a place of the present level among those of all levels.
    pub(super) fn place_of_level(&mut self, snapshot: Snapshot, at: VReg) -> VReg {
        match snapshot.first {
            Some(first) => self.alu(AluOp::Add, at, Src::Reg(first)),
            None => at,
        }
    }
}
