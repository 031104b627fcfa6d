//! Which of two long strings comes first. Each way out of a comparison is followed by the verifier with all
//! that comes after it: words are therefore compared four at a time, without a branch for each, until
//! four differ; only these are then looked at one by one, in one place for all.

use regalloc2::VReg;

use super::Cx;
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::vcode::BlockId;

/// Words that are compared at a time.
const CHUNK_WORDS: u32 = 4;
/// Bytes of them.
const CHUNK_BYTES: u32 = CHUNK_WORDS * 8;

/// Bytes from the begin of a text of so many words on that may be read (though not used).
pub(super) fn bytes_read(words: u32) -> u32 {
    let chunks = words / CHUNK_WORDS;
    (words * 8).max(chunks.next_power_of_two() * CHUNK_BYTES)
}

impl Cx<'_> {
    /// Compares the texts of `words` words at two pointers plus `at`, padded with zeros. Goes to `less` or `more`, or on if they are
    /// the same. `place` is a word of memory that is free.
    pub(super) fn order_words(
        &mut self,
        texts: [VReg; 2],
        at: u32,
        words: u32,
        place: Mem,
        [less, more]: [BlockId; 2],
    ) {
        let chunks = words / CHUNK_WORDS;
        if chunks > 1 {
            let rest = self.code.block(self.is_cold());
            let (differ, found) = self.join();
            let (head, offset) = self.join();
            let zero = self.imm(0);
            self.jump(head, vec![zero]);
            self.enter(head);
            let end = (chunks * CHUNK_BYTES) as i32;
            self.jump_if(Cond::Ge, offset, Src::Imm(end), rest);
            let [left, right] = texts.map(|text| self.alu(AluOp::Add, text, Src::Reg(offset)));
            let mut difference = self.imm(0);
            for word in 0..CHUNK_WORDS {
                let [a, b] = [left, right].map(|chunk| self.word(chunk, at, word));
                let bits = self.alu(AluOp::Xor, a, Src::Reg(b));
                difference = self.alu(AluOp::Or, difference, Src::Reg(bits));
            }
            let unlike = self.code.block(self.is_cold());
            self.in_block(unlike, |cx| cx.jump(differ, vec![offset]));
            self.jump_if(Cond::Ne, difference, Src::Imm(0), unlike);
            let next = self.alu(AluOp::Add, offset, Src::Imm(CHUNK_BYTES as i32));
            self.jump(head, vec![next]);

            self.enter(differ);
            // What is read back from memory the verifier does not know: it follows this once for all rounds.
            self.store(Size::D, place, Src::Reg(found));
            let offset = self.load(Size::D, place);
            let mask = (chunks.next_power_of_two() - 1) * CHUNK_BYTES;
            let offset = self.alu(AluOp::And, offset, Src::Imm(mask as i32));
            let pair = texts.map(|text| self.alu(AluOp::Add, text, Src::Reg(offset)));
            self.compare_each(pair, at, 0..CHUNK_WORDS, [less, more]);
            self.jump(rest, Vec::new());
            self.enter(rest);
            self.compare_each(texts, at, chunks * CHUNK_WORDS..words, [less, more]);
        } else {
            self.compare_each(texts, at, 0..words, [less, more]);
        }
    }

    fn compare_each(
        &mut self,
        texts: [VReg; 2],
        at: u32,
        words: std::ops::Range<u32>,
        [less, more]: [BlockId; 2],
    ) {
        for word in words {
            let [a, b] = texts.map(|text| {
                let word = self.word(text, at, word);
                self.big_endian(word)
            });
            self.jump_if(Cond::Lt, a, Src::Reg(b), less);
            self.jump_if(Cond::Gt, a, Src::Reg(b), more);
        }
    }

    fn word(&mut self, text: VReg, at: u32, word: u32) -> VReg {
        self.load(Size::D, Mem::Ptr(text, (at + word * 8) as i32))
    }
}
