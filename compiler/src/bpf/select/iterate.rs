//! `foreach` over an array. At its beginning all keys and values are copied to a snapshot, so that the
//! body may change the array; each round takes one, of a sorted one the top of its heap.

use super::apart::INDEX;
use super::each::Slice;
use super::heap::Entry;
use super::snapshot::{COUNT, Iteration, LIMIT, TAKEN};
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::insn::{AluOp, Cond, MapId, Size, Src};
use crate::bpf::plan::Plan;
use crate::image::ValueLayout;
use crate::lir::{BlockCall, Global, Op, SiteId, Sort, Terminator, Ty, Value};

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
                        iteration.comparison = self.comparison(&iteration);
                        self.vals[handle] = Some(Val::Const(self.iterations.len() as i64));
                        self.iterations.push(iteration);
                    }
                }
            }
        }
        self.span = Some(func.span);
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
        let index = self.frame_index();
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
