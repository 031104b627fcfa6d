//! Operations on strings: joining, cutting, comparing.
//!
//! Loops count with a register of their own from 0, so that every verifier sees their end;
//! what leaves a loop is forgotten by the verifier, or it would follow the rest of the program
//! once for each round.

use regalloc2::VReg;

use super::call::Arg;
use super::template::Template;
use super::text::{Text, TextMem};
use super::{Cx, Dest, Val};
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
    pub(super) fn padded_text(&mut self, text: Text, width: u32) -> TextMem {
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
    pub(super) fn text_width(&self, text: Text) -> u32 {
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
        let (head, index) = self.count_up(words, after);
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

    /// The address `mem` plus an offset, which the verifier sees to be `last` at most.
    pub(super) fn clamped_address(&mut self, mem: Mem, offset: VReg, last: u32) -> VReg {
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
