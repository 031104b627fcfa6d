//! `@variance` in the kernel: (n·Σx² - (Σx)²) / (n·(n-1)), exact, as `runtime/src/values/stat.rs`
//! has it, in three words of 64 bits.

use regalloc2::VReg;

use super::{Cx, Lowered};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, MapId, Size, Src};
use crate::image::StatRecord;

/// Bits of the number that is divided.
const NUMERATOR_BITS: i32 = 192;
/// Where the remainder is, behind the three words.
const REMAINDER: u32 = 24;

impl Cx<'_> {
    /// Count and variance of the statistic of a key.
    pub(super) fn stat_variance(
        &mut self,
        map: MapId,
        record: &StatRecord,
        key: Mem,
    ) -> Lowered<(VReg, VReg)> {
        let (Some(sum), Some(squares)) = (record.sum, record.squares) else {
            return Err(self.internal("statistic without the field that is read"));
        };
        let offsets = [record.count, sum, squares, squares + 8];
        // In memory, where verifiers do not follow them.
        let merged = self.temp(offsets.len() as u32 * 8);
        for n in 0..offsets.len() as u32 {
            self.store_imm(merged.at(n * 8), 0);
        }
        self.for_each_cpu("reading a statistic", map, key, &mut |cx, at| {
            let mut low = None;
            for (n, offset) in (0..).zip(offsets) {
                let to = merged.at(n * 8);
                let more = cx.load(Size::D, at.at(offset));
                cx.plain_add(to, Src::Reg(more));
                if offset == squares {
                    low = Some(more);
                }
                if let (Some(low), true) = (low, offset > squares) {
                    let total = cx.load(Size::D, merged.at(16));
                    let carry = cx.flag_value(Cond::Lt, true, total, Src::Reg(low));
                    cx.plain_add(to, Src::Reg(carry));
                }
            }
        })?;
        let count = self.load(Size::D, merged);
        let words = self.numerator(merged);

        let (done, variance) = self.join();
        let zero = self.code.block(self.is_cold());
        self.in_block(zero, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        self.jump_if(Cond::Lt, count, Src::Imm(2), zero);
        // Less than 0: another CPU was adding a value meanwhile.
        let high = self.load(Size::D, words.at(16));
        self.jump_if(Cond::Slt, high, Src::Imm(0), zero);
        self.divide_words(words, count);
        let less = self.alu(AluOp::Sub, count, Src::Imm(1));
        self.divide_words(words, less);

        let huge = self.code.block(self.is_cold());
        self.in_block(huge, |cx| {
            let most = cx.imm(i64::MAX);
            cx.jump(done, vec![most]);
        });
        for word in [16, 8] {
            let word = self.load(Size::D, words.at(word));
            self.jump_if(Cond::Ne, word, Src::Imm(0), huge);
        }
        let quotient = self.load(Size::D, words);
        self.jump_if(Cond::Slt, quotient, Src::Imm(0), huge);
        self.jump(done, vec![quotient]);
        self.enter(done);
        Ok((count, variance))
    }

    /// n·Σx² - (Σx)² of count, sum and squares at `merged`: three words, the lowest first, with
    /// room for a remainder.
    fn numerator(&mut self, merged: Mem) -> Mem {
        let words = self.temp(REMAINDER + 8);
        let count = self.load(Size::D, merged);
        let low = self.load(Size::D, merged.at(16));
        let (first, carried) = self.multiply_wide(count, low);
        self.store(Size::D, words, Src::Reg(first));
        self.store(Size::D, words.at(8), Src::Reg(carried));
        let count = self.load(Size::D, merged);
        let high = self.load(Size::D, merged.at(24));
        let (second, third) = self.multiply_wide(count, high);
        let carried = self.load(Size::D, words.at(8));
        let second = self.alu(AluOp::Add, second, Src::Reg(carried));
        let carry = self.flag_value(Cond::Lt, true, second, Src::Reg(carried));
        let third = self.alu(AluOp::Add, third, Src::Reg(carry));
        self.store(Size::D, words.at(8), Src::Reg(second));
        self.store(Size::D, words.at(16), Src::Reg(third));

        let sum = self.load(Size::D, merged.at(8));
        let sign = self.alu(AluOp::Arsh, sum, Src::Imm(63));
        let abs = self.alu(AluOp::Xor, sum, Src::Reg(sign));
        let abs = self.alu(AluOp::Sub, abs, Src::Reg(sign));
        let (low, high) = self.multiply_wide(abs, abs);
        let borrow = self.subtract_word(words, low);
        let first = self.subtract_word(words.at(8), high);
        let second = self.subtract_word(words.at(8), borrow);
        self.subtract_word(words.at(16), first);
        self.subtract_word(words.at(16), second);
        words
    }

    /// Subtracts from the word at `at`; 1 if it was less.
    fn subtract_word(&mut self, at: Mem, less: VReg) -> VReg {
        let old = self.load(Size::D, at);
        let new = self.alu(AluOp::Sub, old, Src::Reg(less));
        self.store(Size::D, at, Src::Reg(new));
        self.flag_value(Cond::Lt, true, old, Src::Reg(less))
    }

    /// The 128 bits of a product, the lower half first.
    fn multiply_wide(&mut self, a: VReg, b: VReg) -> (VReg, VReg) {
        let half = |cx: &mut Self, word| {
            let low = cx.extend_reg(word, 32, false);
            (low, cx.alu(AluOp::Rsh, word, Src::Imm(32)))
        };
        let (a_low, a_high) = half(self, a);
        let (b_low, b_high) = half(self, b);
        let lowest = self.alu(AluOp::Mul, a_low, Src::Reg(b_low));
        let cross = self.alu(AluOp::Mul, a_low, Src::Reg(b_high));
        let other = self.alu(AluOp::Mul, a_high, Src::Reg(b_low));
        let highest = self.alu(AluOp::Mul, a_high, Src::Reg(b_high));
        let (cross_low, cross_high) = half(self, cross);
        let (other_low, other_high) = half(self, other);
        let (low, carried) = half(self, lowest);
        let middle = self.alu(AluOp::Add, cross_low, Src::Reg(other_low));
        let middle = self.alu(AluOp::Add, middle, Src::Reg(carried));
        let shifted = self.alu(AluOp::Lsh, middle, Src::Imm(32));
        let low = self.alu(AluOp::Or, low, Src::Reg(shifted));
        let carried = self.alu(AluOp::Rsh, middle, Src::Imm(32));
        let high = self.alu(AluOp::Add, highest, Src::Reg(cross_high));
        let high = self.alu(AluOp::Add, high, Src::Reg(other_high));
        (low, self.alu(AluOp::Add, high, Src::Reg(carried)))
    }

    /// Divides the three words by a number from 1 to 2⁶³, bit by bit and without branches.
    fn divide_words(&mut self, words: Mem, divisor: VReg) {
        self.store_imm(words.at(REMAINDER), 0);
        let zero = self.imm(0);
        let done = self.code.block(self.is_cold());
        let (head, round) = self.long_loop(NUMERATOR_BITS as u32, done);
        self.jump(head, vec![zero]);
        self.enter(head);
        self.jump_if(Cond::Ge, round, Src::Imm(NUMERATOR_BITS), done);
        // All four words move up by a bit; each takes the highest of the one below.
        let mut below = self.load(Size::D, words);
        for at in [8, 16, REMAINDER] {
            let word = self.load(Size::D, words.at(at));
            let bit = self.alu(AluOp::Rsh, below, Src::Imm(63));
            let up = self.alu(AluOp::Lsh, word, Src::Imm(1));
            let up = self.alu(AluOp::Or, up, Src::Reg(bit));
            self.store(Size::D, words.at(at), Src::Reg(up));
            below = word;
        }
        let remainder = self.load(Size::D, words.at(REMAINDER));
        let rest = self.alu(AluOp::Sub, remainder, Src::Reg(divisor));
        // All ones if the divisor does not go into it.
        let less = self.alu(AluOp::Arsh, rest, Src::Imm(63));
        let back = self.alu(AluOp::And, less, Src::Reg(divisor));
        let rest = self.alu(AluOp::Add, rest, Src::Reg(back));
        self.store(Size::D, words.at(REMAINDER), Src::Reg(rest));
        let bit = self.alu(AluOp::Add, less, Src::Imm(1));
        let low = self.load(Size::D, words);
        let low = self.alu(AluOp::Lsh, low, Src::Imm(1));
        let low = self.alu(AluOp::Or, low, Src::Reg(bit));
        self.store(Size::D, words, Src::Reg(low));
        let next = self.alu(AluOp::Add, round, Src::Imm(1));
        self.jump(head, vec![next]);
        self.enter(done);
    }
}
