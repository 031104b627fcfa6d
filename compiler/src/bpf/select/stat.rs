//! Statistics: per-CPU records that only their own CPU writes.

use regalloc2::VReg;

use super::call::Arg;
use super::template::Template;
use super::{Cx, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Insn, MapId, Size, Src};
use crate::bpf::plan::Place;
use crate::bpf::vcode::BlockId;
use crate::image::{StatRecord, ValueLayout};
use crate::lir::{Global, Histogram, SiteId, StatField, Value};
use crate::target::Feature;

/// CPUs that are merged at most: verifiers follow every round. The loader refuses images that go through
/// CPUs on machines that may have more.
const MAX_CPUS: i32 = 1024;
/// The bucket of `@hist_log` that counts zeroes.
const LOG_ZERO: i32 = 64;

impl Cx<'_> {
    pub(super) fn stat_push(
        &mut self,
        global: Global,
        keys: &[Value],
        value: Value,
        site: SiteId,
    ) -> Lowered<()> {
        let value = match self.int(value) {
            Val::Const(value) => Val::Const(value),
            val => Val::Reg(self.val_reg(val)),
        };
        // One writer at a time needs no atomic instructions.
        let alone = !self.module.globals[global].shared && !self.program.reentrant;
        let done = self.code.block(self.is_cold());
        let add_to = |cx: &mut Self, record: &StatRecord, element| {
            cx.add_value(record, element, value, alone);
            cx.jump(done, Vec::new());
        };
        match self.plan.places[global].clone() {
            Some(Place::Stat(map, record, turns)) => {
                let map = self.in_turn(map, turns.as_ref());
                let element = self.only_element(map, done);
                add_to(self, &record, Mem::Ptr(element, 0));
            }
            Some(Place::Array(map, layout)) => {
                let ValueLayout::Stat(record) = layout.value.clone() else {
                    return Err(self.internal("statistic operation on a plain array"));
                };
                let key = self.key(&layout, keys)?;
                let zeros = self.plan.constant(&vec![0; record.bytes as usize]);
                let initial = |_: &mut Self| Mem::Rodata(zeros);
                let add = |cx: &mut Self, element| add_to(cx, &record, element);
                let array = (self.in_turn(map, layout.turns.as_ref()), &layout);
                self.with_element(array, key, &initial, None, (site, done), &add);
            }
            Some(Place::Scalar(_)) | None => {
                return Err(self.internal("statistic operation on a scalar"));
            }
        }
        self.enter(done);
        Ok(())
    }

    /// The only element of a per-CPU array.
    fn only_element(&mut self, map: Arg, none: BlockId) -> VReg {
        let zero = self.plan_zero_key();
        let found = self.lookup(map, zero);
        self.jump_if(Cond::Eq, found, Src::Imm(0), none);
        found
    }

    /// Four zero bytes: the key of a one-element array.
    fn plan_zero_key(&mut self) -> Mem {
        let key = self.temp(8);
        self.store_imm(key, 0);
        key
    }

    pub(super) fn add_to(&mut self, mem: Mem, value: Val, alone: bool) {
        if alone {
            let value = self.val_src(value);
            self.plain_add(mem, value);
        } else {
            let value = self.val_reg(value);
            self.atomic_add(mem, value);
        }
    }

    fn add_value(&mut self, record: &StatRecord, at: Mem, value: Val, alone: bool) {
        self.add_to(at.at(record.count), Val::Const(1), alone);
        if let Some(sum) = record.sum {
            self.add_to(at.at(sum), value, alone);
        }
        if record.min.is_some() || record.max.is_some() {
            let value = self.val_reg(value);
            let flip = self.imm(i64::MIN);
            let biased = self.alu(AluOp::Xor, value, Src::Reg(flip));
            if let Some(max) = record.max {
                self.raise_word(at.at(max), biased);
            }
            if let Some(min) = record.min {
                let mirrored = self.alu(AluOp::Xor, biased, Src::Imm(-1));
                self.raise_word(at.at(min), mirrored);
            }
        }
        if let Some(squares) = record.squares {
            let value = self.val_reg(value);
            self.add_square(at.at(squares), value);
        }
        for (histogram, first) in record.layout.histograms.iter().zip(&record.histograms) {
            let bucket = match value {
                Val::Const(value) => Val::Const(histogram.bucket_of(value) as i64),
                value => {
                    let value = self.val_reg(value);
                    Val::Reg(self.bucket(*histogram, value))
                }
            };
            let buckets = histogram.buckets() as u32;
            let cell = match bucket {
                Val::Const(bucket) => at.at(first + bucket as u32 * 8),
                bucket => {
                    let bucket = self.val_reg(bucket);
                    self.word_at(at.at(*first), bucket, buckets)
                }
            };
            self.add_to(cell, Val::Const(1), alone);
        }
    }

    /// Raises an unsigned word to `value` if it is less.
    pub(super) fn raise_word(&mut self, mem: Mem, value: VReg) {
        let old = self.load(Size::D, mem);
        let done = self.code.block(self.is_cold());
        self.jump_if(Cond::Ge, old, Src::Reg(value), done);
        self.store(Size::D, mem, Src::Reg(value));
        self.jump(done, Vec::new());
        self.enter(done);
    }

    /// Adds the square of `value` to the unsigned 128-bit number at `mem`.
    fn add_square(&mut self, mem: Mem, value: VReg) {
        let sign = self.alu(AluOp::Arsh, value, Src::Imm(63));
        let abs = self.alu(AluOp::Xor, value, Src::Reg(sign));
        let abs = self.alu(AluOp::Sub, abs, Src::Reg(sign));
        let low = self.extend_reg(abs, 32, false);
        let high = self.alu(AluOp::Rsh, abs, Src::Imm(32));
        // (high·2³² + low)² = high²·2⁶⁴ + 2·high·low·2³² + low²
        let low_square = self.alu(AluOp::Mul, low, Src::Reg(low));
        let cross = self.alu(AluOp::Mul, low, Src::Reg(high));
        let high_square = self.alu(AluOp::Mul, high, Src::Reg(high));
        // The cross product is less than 2⁶³·…: high is at most 2³¹, so doubling fits.
        let cross_low = self.alu(AluOp::Lsh, cross, Src::Imm(33));
        let cross_high = self.alu(AluOp::Rsh, cross, Src::Imm(31));
        let square_low = self.alu(AluOp::Add, low_square, Src::Reg(cross_low));
        let carry = self.flag_value(Cond::Lt, true, square_low, Src::Reg(cross_low));
        let square_high = self.alu(AluOp::Add, high_square, Src::Reg(cross_high));
        let square_high = self.alu(AluOp::Add, square_high, Src::Reg(carry));
        let old = self.load(Size::D, mem);
        let new = self.alu(AluOp::Add, old, Src::Reg(square_low));
        self.store(Size::D, mem, Src::Reg(new));
        let carry = self.flag_value(Cond::Lt, true, new, Src::Reg(square_low));
        let square_high = self.alu(AluOp::Add, square_high, Src::Reg(carry));
        self.plain_add(mem.at(8), Src::Reg(square_high));
    }

    fn bucket(&mut self, histogram: Histogram, value: VReg) -> VReg {
        match histogram {
            Histogram::Log => {
                let sign = self.alu(AluOp::Arsh, value, Src::Imm(63));
                let bits = self.bit_length(value, sign);
                let bits = self.alu(AluOp::Xor, bits, Src::Reg(sign));
                let bits = self.alu(AluOp::Sub, bits, Src::Reg(sign));
                self.alu(AluOp::Add, bits, Src::Imm(LOG_ZERO))
            }
            Histogram::Linear { low, width, .. } => {
                let (done, bucket) = self.join();
                let under = self.code.block(self.is_cold());
                self.in_block(under, |cx| {
                    let zero = cx.imm(0);
                    cx.jump(done, vec![zero]);
                });
                let over = self.code.block(self.is_cold());
                self.in_block(over, |cx| {
                    let last = cx.imm(histogram.buckets() as i64 - 1);
                    cx.jump(done, vec![last]);
                });
                let bound = self.val_src(Val::Const(low));
                self.jump_if(Cond::Slt, value, bound, under);
                let low = self.val_src(Val::Const(low));
                let above = self.alu(AluOp::Sub, value, low);
                // The first distance that is beyond the last whole bucket, if there is any.
                let last = histogram.buckets() as u64 - 3;
                if let Some(end) = (last + 1).checked_mul(width as u64) {
                    let end = self.val_src(Val::Const(end as i64));
                    self.jump_if(Cond::Ge, above, end, over);
                }
                let width = self.val_src(Val::Const(width));
                let step = match width {
                    Src::Imm(1) => above,
                    Src::Imm(width) if width.count_ones() == 1 => {
                        self.alu(AluOp::Rsh, above, Src::Imm(width.trailing_zeros() as i32))
                    }
                    width => self.alu(AluOp::Div, above, width),
                };
                let inner = self.alu(AluOp::Add, step, Src::Imm(1));
                self.jump(done, vec![inner]);
                self.enter(done);
                bucket
            }
        }
    }

    /// Number of bits of the absolute value of a number with that sign, 0 or -1. The verifier is made to forget the result's history:
    /// it would follow each of the 65 outcomes to the end of the program.
    fn bit_length(&mut self, value: VReg, sign: VReg) -> VReg {
        let abs = self.alu(AluOp::Xor, value, Src::Reg(sign));
        let abs = self.alu(AluOp::Sub, abs, Src::Reg(sign));
        let reg = self.code.vreg();
        let rest = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(abs);
        let x = t.write_over(rest, first);
        let bits = t.write_early(reg);
        for step in [32, 16, 8, 4, 2, 1] {
            // While there is something above the low `step` bits: count and drop them.
            if step == 32 {
                t.alu(AluOp::Mov, bits, Src::Reg(x));
                t.alu(AluOp::Rsh, bits, Src::Imm(32));
                t.add(Insn::JumpIf {
                    cond: Cond::Eq,
                    wide: true,
                    left: bits,
                    right: Src::Imm(0),
                    target: 2,
                });
                t.alu(AluOp::Mov, x, Src::Reg(bits));
                t.alu(AluOp::Mov, bits, Src::Imm(32));
            } else {
                t.add(Insn::JumpIf {
                    cond: Cond::Lt,
                    wide: true,
                    left: x,
                    right: Src::Imm(1 << step),
                    target: 2,
                });
                t.alu(AluOp::Add, bits, Src::Imm(step));
                t.alu(AluOp::Rsh, x, Src::Imm(step));
            }
        }
        // What is left is 0 or 1.
        t.alu(AluOp::Add, bits, Src::Reg(x));
        self.push(t);
        self.forget(reg)
    }

    /// A number out of a statistic: merges the records of all CPUs.
    pub(super) fn stat_get(
        &mut self,
        global: Global,
        keys: &[Value],
        field: StatField,
        site: SiteId,
    ) -> Lowered<Val> {
        let (map, record, key) = self.stat_place(global, keys)?;
        let (count, value) = self.stat_field(map, &record, key, field)?;
        if !matches!(field, StatField::Count | StatField::Sum) {
            let fail = self.fail(site, Val::Const(0));
            self.jump_if(Cond::Eq, count, Src::Imm(0), fail);
        }
        Ok(Val::Reg(value))
    }

    /// Where a statistic is: its map, its record, its key in memory.
    pub(super) fn stat_place(
        &mut self,
        global: Global,
        keys: &[Value],
    ) -> Lowered<(MapId, StatRecord, Mem)> {
        match self.plan.places[global].clone() {
            Some(Place::Stat(map, record, _)) => Ok((map, record, self.plan_zero_key())),
            Some(Place::Array(map, layout)) => {
                let ValueLayout::Stat(record) = layout.value.clone() else {
                    return Err(self.internal("statistic operation on a plain array"));
                };
                let key = self.key(&layout, keys)?;
                Ok((map, record, key))
            }
            Some(Place::Scalar(_)) | None => Err(self.internal("statistic operation on a scalar")),
        }
    }

    /// Count and a field of the statistic of a key. Of an empty one it is some number.
    pub(super) fn stat_field(
        &mut self,
        map: MapId,
        record: &StatRecord,
        key: Mem,
        field: StatField,
    ) -> Lowered<(VReg, VReg)> {
        let kept = match field {
            StatField::Count => Some(record.count),
            StatField::Sum | StatField::Avg => record.sum,
            StatField::Min => record.min,
            StatField::Max => record.max,
            StatField::Variance => return self.stat_variance(map, record, key),
        };
        let Some(kept) = kept else {
            return Err(self.internal("statistic without the field that is read"));
        };
        let raises = matches!(field, StatField::Min | StatField::Max);
        let mut second = |_: &mut Self, at: Mem| at.at(kept);
        let (count, merged) = self.merge_cpus(map, key, record.count, &mut second, raises)?;
        let value = match field {
            StatField::Count | StatField::Sum | StatField::Variance => merged,
            StatField::Avg => {
                // The count is positive: only the sum has a sign.
                let sign = self.alu(AluOp::Arsh, merged, Src::Imm(63));
                let abs = self.alu(AluOp::Xor, merged, Src::Reg(sign));
                let abs = self.alu(AluOp::Sub, abs, Src::Reg(sign));
                let mean = self.alu(AluOp::Div, abs, Src::Reg(count));
                let mean = self.alu(AluOp::Xor, mean, Src::Reg(sign));
                self.alu(AluOp::Sub, mean, Src::Reg(sign))
            }
            StatField::Min => {
                let biased = self.alu(AluOp::Xor, merged, Src::Imm(-1));
                let flip = self.imm(i64::MIN);
                self.alu(AluOp::Xor, biased, Src::Reg(flip))
            }
            StatField::Max => {
                let flip = self.imm(i64::MIN);
                self.alu(AluOp::Xor, merged, Src::Reg(flip))
            }
        };
        Ok((count, value))
    }

    /// The count in a bucket of a histogram.
    pub(super) fn stat_bucket(
        &mut self,
        global: Global,
        keys: &[Value],
        bucket: Value,
        which: u8,
        site: SiteId,
    ) -> Lowered<Val> {
        let (map, record, key) = self.stat_place(global, keys)?;
        let which = usize::from(which);
        let (Some(first), Some(histogram)) = (
            record.histograms.get(which).copied(),
            record.layout.histograms.get(which),
        ) else {
            return Err(self.internal("a histogram that is not kept"));
        };
        let buckets = histogram.buckets() as u32;
        let bucket = self.reg(bucket);
        let mut cell = |cx: &mut Self, at: Mem| cx.word_at(at.at(first), bucket, buckets);
        let (count, merged) = self.merge_cpus(map, key, record.count, &mut cell, false)?;
        // An empty statistic first, then a bucket out of range.
        let fail = self.fail(site, Val::Const(i64::MIN));
        self.jump_if(Cond::Eq, count, Src::Imm(0), fail);
        let fail = self.fail(site, Val::Reg(bucket));
        self.jump_if(Cond::Ge, bucket, Src::Imm(buckets as i32), fail);
        Ok(Val::Reg(merged))
    }

    /// Resets a statistic that is not in an array, on all CPUs.
    pub(super) fn clear_stat(&mut self, map: MapId, record: &StatRecord) -> Lowered<()> {
        let key = self.plan_zero_key();
        let bytes = record.bytes;
        self.for_each_cpu("resetting a statistic", map, key, &mut |cx, at| {
            cx.zero(at, bytes);
        })
    }

    /// Makes code for the record of each CPU.
    pub(super) fn for_each_cpu(
        &mut self,
        what: &str,
        map: MapId,
        key: Mem,
        body: &mut dyn FnMut(&mut Self, Mem),
    ) -> Lowered<()> {
        if !self.features.has(Feature::LookupPercpuElem) {
            return Err(self.needs_kernel(what, "5.19", "do it in an end or timer probe"));
        }
        self.plan.max_cpus = Some(MAX_CPUS as u32);
        let start = self.imm(0);
        let done = self.code.block(self.is_cold());
        let (head, cpu) = self.long_loop(MAX_CPUS as u32, done);
        self.jump(head, vec![start]);
        self.enter(head);
        self.jump_if(Cond::Ge, cpu, Src::Imm(MAX_CPUS), done);
        let found = self.call(
            Helper::MapLookupPercpuElem,
            &[Arg::Map(map), Arg::Addr(key), Arg::Reg(cpu)],
        );
        // There is no such CPU, or no such element.
        self.jump_if(Cond::Eq, found, Src::Imm(0), done);
        body(self, Mem::Ptr(found, 0));
        let next = self.alu(AluOp::Add, cpu, Src::Imm(1));
        self.jump(head, vec![next]);
        self.enter(done);
        Ok(())
    }

    /// Count, and a second word: its sum over the CPUs, or the greatest.
    fn merge_cpus(
        &mut self,
        map: MapId,
        key: Mem,
        count: u32,
        second: &mut dyn FnMut(&mut Self, Mem) -> Mem,
        raises: bool,
    ) -> Lowered<(VReg, VReg)> {
        // In memory, where verifiers do not follow them.
        let (have, word) = (self.temp(8), self.temp(8));
        self.store_imm(have, 0);
        self.store_imm(word, 0);
        self.for_each_cpu("reading a statistic", map, key, &mut |cx, at| {
            let more = cx.load(Size::D, at.at(count));
            cx.plain_add(have, Src::Reg(more));
            let from = second(cx, at);
            let more = cx.load(Size::D, from);
            if raises {
                cx.raise_word(word, more);
            } else {
                cx.plain_add(word, Src::Reg(more));
            }
        })?;
        Ok((self.load(Size::D, have), self.load(Size::D, word)))
    }
}
