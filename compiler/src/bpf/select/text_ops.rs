//! Operations on strings: joining, cutting, comparing, searching, numbers out of text.
//!
//! Loops count with a register of their own from 0, so that every verifier sees their end;
//! what leaves a loop is forgotten by the verifier, or it would follow the rest of the program
//! once for each round.

use regalloc2::VReg;

use super::build::{Arg, Template};
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Insn, Size, Src};
use crate::bpf::vcode::BlockId;
use crate::image::width_bytes;
use crate::lir::{Ty, Value};

/// Up to so many words are compared one after another without a loop.
const UNROLLED_WORDS: u32 = 16;
/// Constants up to this size are stored inline when joined.
const INLINE_PIECE_BYTES: usize = 24;
/// A longer string that is searched for and is not a constant is compared in a loop.
const UNROLLED_NEEDLE_BYTES: u32 = 64;

impl Cx<'_> {
    /// All operands one after another.
    pub(super) fn text_concat(&mut self, values: &[Value], cap: u32, dest: Dest) -> Val {
        let texts: Vec<Text> = values.iter().map(|value| self.text(*value)).collect();
        if texts.iter().all(|text| self.const_bytes(*text).is_some()) {
            let mut bytes = Vec::new();
            for text in texts {
                bytes.extend(self.const_bytes(text).unwrap_or_default());
            }
            bytes.truncate(cap as usize);
            return Val::Text(self.literal(&bytes));
        }
        let mut builder = self.build_text(&texts, cap, dest);
        for text in texts {
            self.append(&mut builder, text);
        }
        self.built(&builder)
    }

    /// Begins a string made of pieces; `texts` say how long it can become.
    fn build_text(&mut self, texts: &[Text], cap: u32, dest: Dest) -> TextBuilder {
        let most = texts
            .iter()
            .map(|text| self.text_cap(*text))
            .collect::<Vec<_>>();
        self.begin_text(&most, cap, dest)
    }

    /// Begins a string made of pieces that have at most so many bytes each.
    pub(super) fn begin_text(&mut self, pieces: &[u32], cap: u32, dest: Dest) -> TextBuilder {
        let width = width_bytes(Ty::str(cap));
        let total: u32 = pieces.iter().sum();
        // A piece may begin anywhere below `cap`, and be copied whole.
        let longest = pieces.iter().copied().max().unwrap_or(0);
        let bound = (total.min(cap) + 1).next_power_of_two();
        let bytes = (bound + width_bytes(Ty::str(longest)) + 8).max(width);
        let mem = self.buffers.alloc(bytes, Access::Variable, dest.range);
        if dest.padded {
            self.zero(mem, width);
        } else {
            self.store_imm(mem, 0);
        }
        TextBuilder {
            mem,
            cap,
            bound,
            cuts: total > cap,
            padded: dest.padded,
            cursor: Val::Const(0),
        }
    }

    /// Most bytes of a string.
    pub(super) fn text_cap(&self, text: Text) -> u32 {
        match text {
            Text::Mem(text) => text.cap,
            Text::Empty | Text::Const(_) => {
                self.const_bytes(text).map_or(0, |bytes| bytes.len() as u32)
            }
        }
    }

    /// Where the next piece of a string goes.
    pub(super) fn cursor_mem(&mut self, builder: &TextBuilder) -> Mem {
        match builder.cursor {
            Val::Const(at) => builder.mem.at((at as u32).min(builder.cap)),
            cursor => {
                let cursor = self.val_reg(cursor);
                Mem::Ptr(self.address_at(builder.mem, cursor, builder.bound), 0)
            }
        }
    }

    /// Moves the end of a string by `len` bytes.
    pub(super) fn advance(&mut self, builder: &mut TextBuilder, len: Val) {
        builder.cursor = match (builder.cursor, len) {
            (Val::Const(at), Val::Const(len)) => Val::Const((at + len).min(i64::from(builder.cap))),
            (cursor, len) => {
                let cursor = self.val_reg(cursor);
                let len = self.val_src(len);
                let mut next = self.alu(AluOp::Add, cursor, len);
                if builder.cuts {
                    next = self.at_most(next, builder.cap);
                }
                Val::Reg(next)
            }
        };
    }

    /// The lesser of an unsigned number and a constant.
    pub(super) fn at_most(&mut self, value: VReg, most: u32) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(value);
        let dst = t.write_over(reg, first);
        t.add(Insn::JumpIf {
            cond: Cond::Le,
            wide: true,
            left: dst,
            right: Src::Imm(most as i32),
            target: 1,
        });
        t.alu(AluOp::Mov, dst, Src::Imm(most as i32));
        self.push(t);
        self.forget(reg)
    }

    /// Adds a piece.
    pub(super) fn append(&mut self, builder: &mut TextBuilder, text: Text) {
        let to = self.cursor_mem(builder);
        if let Some(mut bytes) = self.const_bytes(text)
            && bytes.len() <= INLINE_PIECE_BYTES
        {
            let len = bytes.len();
            bytes.push(0);
            for (n, chunk) in bytes.chunks(8).enumerate() {
                self.store_imm(to.at(n as u32 * 8), super::text::word_of(chunk));
            }
            self.advance(builder, Val::Const(len as i64));
            return;
        }
        let cap = self.text_cap(text);
        let from = match text {
            Text::Mem(from) => from.mem,
            Text::Empty | Text::Const(_) => {
                let mut bytes = self.const_bytes(text).unwrap_or_default();
                bytes.push(0);
                Mem::Rodata(self.plan.constant(&bytes))
            }
        };
        let from = self.address(from);
        let copied = self.call(
            Helper::ProbeReadKernelStr,
            &[Arg::Addr(to), Arg::Imm(i64::from(cap) + 1), Arg::Reg(from)],
        );
        let len = self.alu(AluOp::Sub, copied, Src::Imm(1));
        self.advance(builder, Val::Reg(len));
    }

    /// Ends a string made of pieces.
    pub(super) fn built(&mut self, builder: &TextBuilder) -> Val {
        let width = width_bytes(Ty::str(builder.cap));
        if builder.cuts {
            // What was written beyond is cut off.
            for at in builder.cap..width {
                self.store(Size::B, builder.mem.at(at), Src::Imm(0));
            }
        }
        Val::Text(Text::Mem(TextMem {
            mem: builder.mem,
            cap: builder.cap,
            padded: builder.padded,
            late: false,
        }))
    }

    /// The string zero-padded in memory that takes variable offsets, at least `width` bytes.
    fn padded_text(&mut self, text: Text, width: u32) -> TextMem {
        let cap = width - 1;
        if let Some(mem) = self.text_in_place(text, width) {
            return TextMem {
                mem,
                cap,
                padded: true,
                late: false,
            };
        }
        let mem = self.temp_variable(width);
        self.copy_text(text, mem, width, true);
        TextMem {
            mem,
            cap,
            padded: true,
            late: false,
        }
    }

    /// Width of the slot that a string would take.
    fn text_width(&self, text: Text) -> u32 {
        width_bytes(Ty::str(self.text_cap(text)))
    }

    /// The address of byte `index` of a string. The index is known to be inside of it or a few
    /// bytes behind; the mask only shows the verifier a bound.
    pub(super) fn byte_address(&mut self, text: TextMem, index: VReg) -> VReg {
        let bound = (text.width() + 2).next_power_of_two();
        self.buffers.reserve_slack(bound);
        self.plan.reserve_rodata_slack(text.mem, bound);
        self.address_at(text.mem, index, bound)
    }

    /// The same for any index: beyond the end, the address of the last NUL.
    fn byte_address_checked(&mut self, text: TextMem, index: VReg) -> VReg {
        // What the verifier learns from the comparison would stick to the index: every
        // access would split what it knows of it once more.
        let index = self.forget(index);
        self.clamped_address(text.mem, index, text.width() - 1)
    }

    /// Byte `index`, 0 outside of the string.
    pub(super) fn text_byte(&mut self, text: Value, index: Value) -> Val {
        let text = self.text(text);
        let index = self.int(index);
        if let (Some(bytes), Val::Const(index)) = (self.const_bytes(text), index) {
            let byte = usize::try_from(index).ok().and_then(|at| bytes.get(at));
            return Val::Const(byte.copied().map_or(0, i64::from));
        }
        let width = self.text_width(text);
        let text = self.padded_text(text, width);
        if let Val::Const(index) = index {
            if !(0..i64::from(text.width())).contains(&index) {
                return Val::Const(0);
            }
            return Val::Reg(self.load(Size::B, text.mem.at(index as u32)));
        }
        let index = self.val_reg(index);
        let address = self.byte_address_checked(text, index);
        Val::Reg(self.load(Size::B, Mem::Ptr(address, 0)))
    }

    /// `substr`: empty when the start is outside of the string or the length is not positive.
    pub(super) fn text_sub(
        &mut self,
        text: Value,
        start: Value,
        len: Value,
        cap: u32,
        dest: Dest,
    ) -> Val {
        let text = self.text(text);
        let start = self.reg(start);
        let len = self.int(len);
        let width = self.text_width(text);
        let text = self.padded_text(text, width);
        let total = self.text_len(Text::Mem(text));
        // Copying a number of bytes that is not constant wants memory that is initialised,
        // or not on the stack.
        let to = self
            .buffers
            .alloc(width_bytes(Ty::str(cap)), Access::Variable, dest.range);
        if dest.padded {
            self.zero(to, width_bytes(Ty::str(cap)));
        } else {
            self.store_imm(to, 0);
        }
        let done = self.code.block(self.is_cold());
        let total = self.val_src(total);
        self.jump_if(Cond::Ge, start, total, done);
        let size = match len {
            Val::Const(len) => {
                if len <= 0 {
                    self.jump(done, Vec::new());
                    let dead = self.code.block(true);
                    self.enter(dead);
                }
                Arg::Imm(len.clamp(0, i64::from(cap)) + 1)
            }
            len => {
                let len = self.val_reg(len);
                self.jump_if(Cond::Sle, len, Src::Imm(0), done);
                Arg::Clamped(len, cap as i32)
            }
        };
        let from = self.byte_address(text, start);
        self.call_void(
            Helper::ProbeReadKernelStr,
            &[Arg::Addr(to), size, Arg::Reg(from)],
        );
        self.jump(done, Vec::new());
        self.enter(done);
        Val::Text(Text::Mem(TextMem {
            mem: to,
            cap,
            padded: dest.padded,
            late: false,
        }))
    }

    /// 1 if two strings are equal.
    pub(super) fn text_eq(&mut self, a: Value, b: Value) -> Val {
        let (a, b) = (self.text(a), self.text(b));
        match (self.const_bytes(a), self.const_bytes(b)) {
            (Some(a), Some(b)) => return Val::Const(i64::from(a == b)),
            (Some(bytes), None) if bytes.len() < UNROLLED_WORDS as usize * 8 => {
                return self.eq_const(b, &bytes);
            }
            (None, Some(bytes)) if bytes.len() < UNROLLED_WORDS as usize * 8 => {
                return self.eq_const(a, &bytes);
            }
            _ => {}
        }
        let (done, result) = self.join();
        let differ = self.code.block(self.is_cold());
        let params = [self.code.vreg(), self.code.vreg()];
        self.code.blocks[differ.0 as usize].params.extend(params);
        self.in_block(differ, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        self.compare_words(a, b, differ);
        let one = self.imm(1);
        self.jump(done, vec![one]);
        self.enter(done);
        Val::Reg(result)
    }

    /// Compares with a constant, word by word up to its NUL.
    fn eq_const(&mut self, text: Text, bytes: &[u8]) -> Val {
        let Text::Mem(text) = text else {
            return Val::Const(0);
        };
        if bytes.len() > text.cap as usize {
            return Val::Const(0);
        }
        let (done, result) = self.join();
        let differ = self.code.block(self.is_cold());
        self.in_block(differ, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        let mut wanted = bytes.to_vec();
        wanted.push(0);
        for (n, chunk) in wanted.chunks(8).enumerate() {
            let mut word = self.load(Size::D, text.mem.at(n as u32 * 8));
            let mut value = super::text::word_of(chunk);
            // What follows the NUL does not count.
            if chunk.len() < 8 && !text.padded {
                let unused = 64 - chunk.len() as i32 * 8;
                word = self.alu(AluOp::Lsh, word, Src::Imm(unused));
                value <<= unused;
            }
            let value = self.val_src(Val::Const(value));
            self.jump_if(Cond::Ne, word, value, differ);
        }
        let one = self.imm(1);
        self.jump(done, vec![one]);
        self.enter(done);
        Val::Reg(result)
    }

    /// -1, 0 or 1.
    pub(super) fn text_cmp(&mut self, a: Value, b: Value) -> Val {
        let (a, b) = (self.text(a), self.text(b));
        if let (Some(a), Some(b)) = (self.const_bytes(a), self.const_bytes(b)) {
            return Val::Const(a.cmp(&b) as i64);
        }
        let (done, result) = self.join();
        let differ = self.code.block(self.is_cold());
        let (left, right) = (self.code.vreg(), self.code.vreg());
        self.code.blocks[differ.0 as usize]
            .params
            .extend([left, right]);
        self.in_block(differ, |cx| {
            // The first byte that differs decides: the most significant in big-endian order.
            let left = cx.big_endian(left);
            let right = cx.big_endian(right);
            let less = cx.flag_value(Cond::Lt, true, left, Src::Reg(right));
            let twice = cx.alu(AluOp::Lsh, less, Src::Imm(1));
            let one = cx.imm(1);
            let sign = cx.alu(AluOp::Sub, one, Src::Reg(twice));
            cx.jump(done, vec![sign]);
        });
        self.compare_words(a, b, differ);
        let zero = self.imm(0);
        self.jump(done, vec![zero]);
        self.enter(done);
        Val::Reg(result)
    }

    /// Goes on if two strings are equal, and to `differ` with the first words that are not.
    fn compare_words(&mut self, a: Text, b: Text, differ: BlockId) {
        let width = self.text_width(a).max(self.text_width(b));
        let a = self.padded_text(a, width);
        let b = self.padded_text(b, width);
        let words = width / 8;
        let unequal = |cx: &mut Self, left: VReg, right: VReg| {
            let out = cx.code.block(cx.is_cold());
            cx.in_block(out, |cx| cx.jump(differ, vec![left, right]));
            cx.jump_if(Cond::Ne, left, Src::Reg(right), out);
        };
        if words <= UNROLLED_WORDS {
            for n in 0..words {
                let left = self.load(Size::D, a.mem.at(n * 8));
                let right = self.load(Size::D, b.mem.at(n * 8));
                unequal(self, left, right);
            }
            return;
        }
        let after = self.code.block(self.is_cold());
        let zero = self.imm(0);
        let (head, index) = self.counted_loop(words);
        self.jump(head, vec![zero]);
        self.enter(head);
        self.jump_if(Cond::Ge, index, Src::Imm(words as i32), after);
        let at = self.word_at(a.mem, index, words);
        let left = self.load(Size::D, at);
        let at = self.word_at(b.mem, index, words);
        let right = self.load(Size::D, at);
        unequal(self, left, right);
        let next = self.alu(AluOp::Add, index, Src::Imm(1));
        self.jump(head, vec![next]);
        self.enter(after);
    }

    /// The bytes of a register in the opposite order.
    pub(super) fn big_endian(&mut self, a: VReg) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let dst = t.write_over(reg, first);
        t.add(Insn::ToBe { dst, bits: 64 });
        self.push(t);
        reg
    }

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
        let is_long = constant.is_none() && needle_cap >= UNROLLED_NEEDLE_BYTES;
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
                for (n, chunk) in bytes.chunks(8).enumerate() {
                    let mut word = self.load(Size::D, Mem::Ptr(at, n as i32 * 8));
                    let unused = 64 - chunk.len() as i32 * 8;
                    let mut value = super::text::word_of(chunk);
                    if unused != 0 {
                        word = self.alu(AluOp::Lsh, word, Src::Imm(unused));
                        value <<= unused;
                    }
                    let value = self.val_src(Val::Const(value));
                    self.jump_if(Cond::Ne, word, value, next);
                }
            }
            Pattern::Mem(needle) if is_long => {
                self.compare_long_needle(hay, index, needle, width - 8, [next, found]);
            }
            Pattern::Mem(needle) => {
                let at = self.clamped_address(hay, index, text_cap);
                for n in 0..needle.width() / 8 {
                    let right = self.load(Size::D, needle.mem.at(n * 8));
                    let left = self.load(Size::D, Mem::Ptr(at, n as i32 * 8));
                    // Bytes that the needle has not got: a mask that is set from the needle's
                    // first zero byte on, which only its last word can have.
                    let mask = self.nonzero_bytes(right);
                    let left = self.alu(AluOp::And, left, Src::Reg(mask));
                    self.jump_if(Cond::Ne, left, Src::Reg(right), next);
                }
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
        let zero = self.imm(0);
        let (head, n) = self.counted_loop(words);
        self.jump(head, vec![zero]);
        self.enter(head);
        self.jump_if(Cond::Ge, n, Src::Imm(words as i32), found);
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

    /// The address `mem` plus an offset, which the verifier sees to be `last` at most.
    fn clamped_address(&mut self, mem: Mem, offset: VReg, last: u32) -> VReg {
        let base = self.address(mem);
        let reg = self.code.vreg();
        let mut t = Template::default();
        let offset = t.read(offset);
        let base = t.read_late(base);
        let dst = t.write_over(reg, offset);
        t.add(Insn::JumpIf {
            cond: Cond::Le,
            wide: true,
            left: dst,
            right: Src::Imm(last as i32),
            target: 1,
        });
        t.alu(AluOp::Mov, dst, Src::Imm(last as i32));
        t.alu(AluOp::Add, dst, Src::Reg(base));
        self.push(t);
        reg
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

    /// C's strtol with 64 bits.
    pub(super) fn text_to_int(&mut self, text: Value, base: Value) -> Val {
        let text = self.text(text);
        let width = self.text_width(text);
        let text = self.padded_text(text, width);
        let rounds = text.width() as i32;
        let base = self.reg(base);
        let (done, result) = self.join();
        let refuse = self.code.block(self.is_cold());
        self.in_block(refuse, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        self.jump_if(Cond::Gt, base, Src::Imm(36), refuse);
        self.jump_if(Cond::Eq, base, Src::Imm(1), refuse);
        let byte_at = |cx: &mut Self, index: VReg| {
            let address = cx.byte_address(text, index);
            cx.load(Size::B, Mem::Ptr(address, 0))
        };

        // White space: a space, or one of the five control characters from \t to \r.
        let zero = self.imm(0);
        let (head, index) = self.counted_loop(rounds as u32);
        self.jump(head, vec![zero]);
        self.enter(head);
        self.jump_if(Cond::Ge, index, Src::Imm(rounds), refuse);
        let byte = byte_at(self, index);
        let more = self.code.block(self.is_cold());
        self.in_block(more, |cx| {
            let next = cx.alu(AluOp::Add, index, Src::Imm(1));
            cx.jump(head, vec![next]);
        });
        self.jump_if(Cond::Eq, byte, Src::Imm(i32::from(b' ')), more);
        let control = self.alu(AluOp::Sub, byte, Src::Imm(9));
        self.jump_if(Cond::Le, control, Src::Imm(4), more);
        let start = self.forget(index);

        // A sign: -1 in `negative` for a minus, else 0.
        let minus = self.flag_value(Cond::Eq, true, byte, Src::Imm(i32::from(b'-')));
        let plus = self.flag_value(Cond::Eq, true, byte, Src::Imm(i32::from(b'+')));
        let sign = self.alu(AluOp::Or, plus, Src::Reg(minus));
        let start = self.alu(AluOp::Add, start, Src::Reg(sign));
        let negative = self.neg(minus);

        // A prefix: 0x with base 16 or 0; a 0 alone makes base 0 mean 8.
        let first = byte_at(self, start);
        let after = self.alu(AluOp::Add, start, Src::Imm(1));
        let second = byte_at(self, after);
        let lower = self.alu(AluOp::Or, second, Src::Imm(0x20));
        let third = self.alu(AluOp::Add, start, Src::Imm(2));
        let third = byte_at(self, third);
        let (ready, digits, radix) = {
            let (block, start) = self.join();
            let radix = self.code.vreg();
            self.code.blocks[block.0 as usize].params.push(radix);
            (block, start, radix)
        };
        let plain = self.code.block(self.is_cold());
        self.in_block(plain, |cx| {
            // Not hexadecimal.
            let octal = cx.code.block(cx.is_cold());
            let given = cx.code.block(cx.is_cold());
            cx.in_block(octal, |cx| {
                let eight = cx.imm(8);
                cx.jump(ready, vec![start, eight]);
            });
            cx.in_block(given, |cx| cx.jump(ready, vec![start, base]));
            cx.jump_if(Cond::Ne, base, Src::Imm(0), given);
            cx.jump_if(Cond::Eq, first, Src::Imm(i32::from(b'0')), octal);
            let ten = cx.imm(10);
            cx.jump(ready, vec![start, ten]);
        });
        self.jump_if(Cond::Ne, first, Src::Imm(i32::from(b'0')), plain);
        self.jump_if(Cond::Ne, lower, Src::Imm(i32::from(b'x')), plain);
        let other = self.alu(AluOp::And, base, Src::Imm(!16));
        self.jump_if(Cond::Ne, other, Src::Imm(0), plain);
        // "0x" without a digit behind it is the number 0.
        let digit = self.digit(third);
        self.jump_if(Cond::Ge, digit, Src::Imm(16), plain);
        let sixteen = self.imm(16);
        let behind = self.alu(AluOp::Add, start, Src::Imm(2));
        self.jump(ready, vec![behind, sixteen]);

        // Digits. Beyond the limit the result stays there.
        self.enter(ready);
        let radix = self.forget(radix);
        let most = self.imm(i64::MAX);
        let limit = self.alu(AluOp::Sub, most, Src::Reg(negative));
        let zero = self.imm(0);
        let first_round = self.imm(0);
        let (head, round) = self.counted_loop(rounds as u32);
        let sum = self.code.vreg();
        self.code.blocks[head.0 as usize].params.push(sum);
        let (end, total) = self.join();
        self.jump(head, vec![first_round, zero]);
        self.enter(head);
        let out = self.code.block(self.is_cold());
        self.in_block(out, |cx| cx.jump(end, vec![sum]));
        self.jump_if(Cond::Ge, round, Src::Imm(rounds), out);
        let at = self.alu(AluOp::Add, digits, Src::Reg(round));
        let byte = byte_at(self, at);
        let digit = self.digit(byte);
        self.jump_if(Cond::Ge, digit, Src::Reg(radix), out);
        let room = self.alu(AluOp::Sub, limit, Src::Reg(digit));
        let room = self.alu(AluOp::Div, room, Src::Reg(radix));
        let over = self.code.block(self.is_cold());
        self.in_block(over, |cx| cx.jump(end, vec![limit]));
        self.jump_if(Cond::Gt, sum, Src::Reg(room), over);
        let next = self.alu(AluOp::Mul, sum, Src::Reg(radix));
        let next = self.alu(AluOp::Add, next, Src::Reg(digit));
        let following = self.alu(AluOp::Add, round, Src::Imm(1));
        self.jump(head, vec![following, next]);

        self.enter(end);
        let signed = self.alu(AluOp::Xor, total, Src::Reg(negative));
        let signed = self.alu(AluOp::Sub, signed, Src::Reg(negative));
        self.jump(done, vec![signed]);
        self.enter(done);
        Val::Reg(result)
    }

    /// The value of a digit or letter; 36 or more for anything else.
    fn digit(&mut self, byte: VReg) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let byte = t.read(byte);
        let dst = t.write_early(reg);
        let jump = |cond, left, imm, target| Insn::JumpIf {
            cond,
            wide: true,
            left,
            right: Src::Imm(imm),
            target,
        };
        // '0'..'9'
        t.alu(AluOp::Mov, dst, Src::Reg(byte));
        t.alu(AluOp::Sub, dst, Src::Imm(48));
        t.add(jump(Cond::Lt, dst, 10, 6));
        // Letters of either case.
        t.alu(AluOp::Mov, dst, Src::Reg(byte));
        t.alu(AluOp::Or, dst, Src::Imm(0x20));
        t.alu(AluOp::Sub, dst, Src::Imm(97 - 10));
        t.add(jump(Cond::Lt, dst, 10, 1));
        t.add(jump(Cond::Lt, dst, 36, 1));
        t.alu(AluOp::Mov, dst, Src::Imm(255));
        self.push(t);
        self.forget(reg)
    }
}

/// What is searched for.
enum Pattern {
    Const(Vec<u8>),
    Mem(TextMem),
}

/// A string under construction.
pub(super) struct TextBuilder {
    /// Its buffer, with slack behind.
    pub mem: Mem,
    /// Most bytes of the result.
    pub cap: u32,
    /// A power of two above every offset at which a piece can begin.
    pub bound: u32,
    /// Whether the pieces can be longer than the result.
    pub cuts: bool,
    /// Whether the buffer was zeroed.
    pub padded: bool,
    /// Length so far.
    pub cursor: Val,
}
