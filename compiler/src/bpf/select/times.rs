//! `-t`: how often handlers run, and how long.
//!
//! A run is measured from where its point is known to the end of the program. What it adds to is its own processor's.

use super::call::Arg;
use super::{Cx, Half, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::image::{MOST_POINTS_APART, ProgramCounter, times};
use crate::lir::Value;

/// Bytes of what is remembered of a run: its begin, then its element.
const RUN_BYTES: u32 = 16;
/// Where the element is.
const ELEMENT: u32 = 8;
/// The element of a run that is not of any point.
const NO_ELEMENT: i32 = -1;

impl Cx<'_> {
    /// Makes room for what is remembered of the run; that of an entry half begins here.
    pub(super) fn declare_run(&mut self, half: Half) {
        let Some(element) = self.program.times else {
            return;
        };
        let run = self.buffers.alloc(RUN_BYTES, Access::Fixed, (0, u32::MAX));
        self.run = Some(run);
        if half == Half::Entry {
            let begin = self.call(Helper::KtimeGetNs, &[]);
            self.store(Size::D, run, Src::Reg(begin));
            self.store_imm(run.at(ELEMENT), i64::from(element));
        } else {
            self.store_imm(run.at(ELEMENT), i64::from(NO_ELEMENT));
        }
    }

    /// `hit`.
    pub(super) fn hit(&mut self, point: Value) {
        let (Some(run), Some(first)) = (self.run, self.program.times) else {
            return;
        };
        let point = self.reg(point);
        let element = self.alu(AluOp::Add, point, Src::Imm(first as i32));
        self.store(Size::D, run.at(ELEMENT), Src::Reg(element));
        let begin = self.call(Helper::KtimeGetNs, &[]);
        self.store(Size::D, run, Src::Reg(begin));
    }

    /// Notes the run that ends here.
    pub(super) fn end_run(&mut self) {
        let (Some(run), Some(map)) = (self.run, self.plan.times) else {
            return;
        };
        let done = self.code.block(false);
        let element = self.load(Size::D, run.at(ELEMENT));
        self.jump_if(Cond::Eq, element, Src::Imm(NO_ELEMENT), done);
        let end = self.call(Helper::KtimeGetNs, &[]);
        let begin = self.load(Size::D, run);
        let took = self.alu(AluOp::Sub, end, Src::Reg(begin));
        let found = self.lookup(map, run.at(ELEMENT));
        self.jump_if(Cond::Eq, found, Src::Imm(0), done);
        let at = |word: u32| Mem::Ptr(found, word as i32);
        // No other run adds to the element on this processor meanwhile, unless programs share it.
        let points = &self.module.handlers[self.program.handler].points;
        let alone = !self.program.reentrant && points.len() <= MOST_POINTS_APART;
        self.add_to(at(times::HITS), Val::Const(1), alone);
        self.add_to(at(times::TOTAL_NS), Val::Reg(took), alone);
        self.raise_word(at(times::LONGEST_NS), took);
        let flipped = self.alu(AluOp::Xor, took, Src::Imm(-1));
        self.raise_word(at(times::SHORTEST_NS_FLIPPED), flipped);
        self.jump(done, Vec::new());
        self.enter(done);
    }

    /// Counts something that the handler does not do as the kernel does not let it.
    pub(super) fn count_skipped(&mut self) {
        self.count(ProgramCounter::Skipped);
        if let Some(run) = self.run {
            self.add_skipped(run.at(ELEMENT));
        }
    }

    /// Counts a run that is skipped before its point is known; `key` has room for the element.
    pub(super) fn skip_run(&mut self, key: Mem) {
        self.count(ProgramCounter::Skipped);
        if let (Some(first), true, Some(ctx)) =
            (self.program.times, self.program.by_cookie, self.ctx)
        {
            let point = self.call(Helper::GetAttachCookie, &[Arg::Reg(ctx)]);
            let element = self.alu(AluOp::Add, point, Src::Imm(first as i32));
            self.store(Size::W, key, Src::Reg(element));
            self.add_skipped(key);
        }
    }

    /// Adds one to the skipped runs of an element, if there is one.
    fn add_skipped(&mut self, element: Mem) {
        let Some(map) = self.plan.times else {
            return;
        };
        let done = self.code.block(true);
        let found = self.lookup(map, element);
        self.jump_if(Cond::Eq, found, Src::Imm(0), done);
        let one = self.imm(1);
        self.atomic_add(Mem::Ptr(found, times::SKIPPED as i32), one);
        self.jump(done, Vec::new());
        self.enter(done);
    }
}
