//! `str.find`: where a string occurs in another.

use regalloc2::VReg;

use super::text::TextMem;
use super::{Cx, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::vcode::BlockId;
use crate::image::width_bytes;
use crate::lir::{Ty, Value};

/// A longer string that is searched for and is not a constant is compared in a loop.
const UNROLLED_NEEDLE_BYTES: u32 = 64;
/// Words compared at all places together that a verifier follows: it gives up after 8192 jumps.
const WORDS_FOLLOWED: u32 = 4000;

/// What is searched for.
enum Pattern {
    Const(Vec<u8>),
    Mem(TextMem),
}

/// The bits by which words behind the first differ from what they should be. They are looked at together: a verifier follows
/// every jump, in each round of the loop.
#[derive(Default)]
struct Rest(Option<VReg>);

impl Cx<'_> {
    /// Where the needle first occurs in the text, or -1.
    pub(super) fn text_find(&mut self, text: Value, needle: Value) -> Lowered<Val> {
        let (text, needle) = (self.text(text), self.text(needle));
        if let (Some(text), Some(needle)) = (self.const_bytes(text), self.const_bytes(needle)) {
            let found = (0..=text.len()).find(|&at| text[at..].starts_with(&needle));
            return Ok(Val::Const(found.map_or(-1, |at| at as i64)));
        }
        let needle_cap = self.text_cap(needle);
        let constant = self.const_bytes(needle);
        let text_cap = self.text_cap(text);
        // Whole words are compared at every offset: there must be something to read behind.
        let slack = needle_cap.next_multiple_of(8) + 8;
        let width = width_bytes(Ty::str(text_cap)) + slack;
        let hay = self.temp_variable(width);
        self.copy_text(text, hay, width_bytes(Ty::str(text_cap)), true);
        self.zero(hay.at(width_bytes(Ty::str(text_cap))), slack);
        let (done, result) = self.join();
        let missing = self.code.block(self.is_cold());
        let is_long = match &constant {
            Some(_) => (text_cap + 1) * (needle_cap / 8 + 2) > WORDS_FOLLOWED,
            None => needle_cap >= UNROLLED_NEEDLE_BYTES,
        };
        let (head, index) = if is_long {
            self.long_loop(text_cap + 1, missing)
        } else {
            self.counted_loop(text_cap + 1)
        };
        self.in_block(missing, |cx| {
            let none = cx.imm(-1);
            cx.jump(done, vec![none]);
        });
        // A needle that is not constant is compared under a mask of its length.
        let pattern = if let Some(bytes) = constant {
            Pattern::Const(bytes)
        } else {
            let width = width_bytes(Ty::str(needle_cap));
            Pattern::Mem(self.padded_text(needle, width))
        };
        let zero = self.imm(0);
        self.jump(head, vec![zero]);
        self.enter(head);
        self.jump_if(Cond::Gt, index, Src::Imm(text_cap as i32), missing);
        let next = self.code.block(self.is_cold());
        let found = self.code.block(self.is_cold());
        match pattern {
            Pattern::Const(bytes) => {
                let at = self.clamped_address(hay, index, text_cap);
                let mut rest = Rest::default();
                for (n, chunk) in bytes.chunks(8).enumerate() {
                    let mut word = self.load(Size::D, Mem::Ptr(at, n as i32 * 8));
                    let unused = 64 - chunk.len() as i32 * 8;
                    let mut value = super::text::word_of(chunk);
                    if unused != 0 {
                        word = self.alu(AluOp::Lsh, word, Src::Imm(unused));
                        value <<= unused;
                    }
                    let value = self.val_src(Val::Const(value));
                    self.must_equal(&mut rest, n == 0, word, value, next);
                }
                self.end_of(rest, next);
            }
            Pattern::Mem(needle) if is_long => {
                self.compare_long_needle(hay, index, needle, width - 8, [next, found]);
            }
            Pattern::Mem(needle) => {
                let at = self.clamped_address(hay, index, text_cap);
                let mut rest = Rest::default();
                for n in 0..needle.width() / 8 {
                    let right = self.load(Size::D, needle.mem.at(n * 8));
                    let left = self.load(Size::D, Mem::Ptr(at, n as i32 * 8));
                    // Bytes that the needle has not got: a mask that is set from the needle's
                    // first zero byte on, which only its last word can have.
                    let mask = self.nonzero_bytes(right);
                    let left = self.alu(AluOp::And, left, Src::Reg(mask));
                    self.must_equal(&mut rest, n == 0, left, Src::Reg(right), next);
                }
                self.end_of(rest, next);
            }
        }
        self.jump(found, Vec::new());
        self.in_block(found, |cx| {
            let at = cx.forget(index);
            cx.jump(done, vec![at]);
        });
        self.enter(next);
        let following = self.alu(AluOp::Add, index, Src::Imm(1));
        self.jump(head, vec![following]);
        self.enter(done);
        Ok(Val::Reg(result))
    }

    /// Goes to `next` if a word is not what it should be: now if it is the first, else at the end of all.
    fn must_equal(
        &mut self,
        rest: &mut Rest,
        is_first: bool,
        word: VReg,
        wanted: Src<VReg>,
        next: BlockId,
    ) {
        if is_first {
            return self.jump_if(Cond::Ne, word, wanted, next);
        }
        let differs = self.alu(AluOp::Xor, word, wanted);
        rest.0 = Some(match rest.0 {
            Some(before) => self.alu(AluOp::Or, before, Src::Reg(differs)),
            None => differs,
        });
    }

    /// Goes to `next` if a word behind the first was not what it should be.
    fn end_of(&mut self, rest: Rest, next: BlockId) {
        if let Some(differs) = rest.0 {
            self.jump_if(Cond::Ne, differs, Src::Imm(0), next);
        }
    }

    /// Compares a needle with what is at `index`, a word in each round of a loop: goes to `next` if they differ, else on. No
    /// word of it begins behind byte `last`.
    fn compare_long_needle(
        &mut self,
        hay: Mem,
        index: VReg,
        needle: TextMem,
        last: u32,
        [next, found]: [BlockId; 2],
    ) {
        let words = needle.width() / 8;
        let (head, n) = self.count_up(words, found);
        let offset = self.alu(AluOp::Lsh, n, Src::Imm(3));
        let at = self.clamped_address(needle.mem, offset, needle.width() - 8);
        let wanted = self.load(Size::D, Mem::Ptr(at, 0));
        self.jump_if(Cond::Eq, wanted, Src::Imm(0), found);
        let offset = self.alu(AluOp::Add, offset, Src::Reg(index));
        let at = self.clamped_address(hay, offset, last);
        let word = self.load(Size::D, Mem::Ptr(at, 0));
        let mask = self.nonzero_bytes(wanted);
        let word = self.alu(AluOp::And, word, Src::Reg(mask));
        self.jump_if(Cond::Ne, word, Src::Reg(wanted), next);
        let following = self.alu(AluOp::Add, n, Src::Imm(1));
        self.jump(head, vec![following]);
        let dead = self.code.block(true);
        self.enter(dead);
    }

    /// 0xff for every byte of the word that is not zero.
    fn nonzero_bytes(&mut self, word: VReg) -> VReg {
        // The high bit of each byte: set if any bit of the byte is.
        let low = self.imm(0x7f7f_7f7f_7f7f_7f7f);
        let sum = self.alu(AluOp::And, word, Src::Reg(low));
        let sum = self.alu(AluOp::Add, sum, Src::Reg(low));
        let any = self.alu(AluOp::Or, sum, Src::Reg(word));
        let high = self.imm(0x8080_8080_8080_8080_u64 as i64);
        let any = self.alu(AluOp::And, any, Src::Reg(high));
        let ones = self.alu(AluOp::Rsh, any, Src::Imm(7));
        self.alu(AluOp::Mul, ones, Src::Imm(255))
    }
}
