//! Numbers in strings: digits, zeros, signs and prefixes.

use regalloc2::VReg;

use super::format::fixed;
use super::template::Template;
use super::text::word_of;
use super::text_ops::TextBuilder;
use super::{Cx, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, Insn, Size, Src};
use crate::lir::{Conv, ConvFlag, ConvKind};

/// The most digits that a number has: octal.
pub(super) const MAX_DIGITS: u32 = 22;

impl Cx<'_> {
    /// Adds a number. It is made in a field of its own, from the right: digits, zeros that the
    /// precision asks for, sign or prefix, blanks or zeros that the width asks for.
    pub(super) fn append_number(&mut self, builder: &mut TextBuilder, conv: &Conv, value: Val) {
        let bytes = field_bytes(conv);
        let bound = (bytes + 1).next_power_of_two();
        // Slack behind: an offset is only known to be below `bound`.
        let field = self.temp_variable(bound + 8);
        let zero_flag = conv.flag == Some(ConvFlag::Zero);
        let width = fixed(conv.width);
        let precision = fixed(conv.precision);
        let fill = if zero_flag { b'0' } else { b' ' };
        let mut initial = vec![fill; bytes as usize];
        for byte in &mut initial[(bytes - precision.min(bytes)) as usize..] {
            *byte = b'0';
        }
        initial.push(0);
        let slot = initial.len().next_multiple_of(8);
        initial.resize(slot, 0);
        for (n, word) in initial.chunks(8).enumerate() {
            self.store_imm(field.at(n as u32 * 8), word_of(word));
        }
        let value = self.val_reg(value);
        if conv.kind == ConvKind::Char {
            self.store(Size::B, field.at(bytes - 1), Src::Reg(value));
            let one = self.imm(1);
            self.append_field(builder, field, bytes, bound, conv, one);
            return;
        }
        let signed = matches!(conv.kind, ConvKind::Decimal | ConvKind::Str);
        let (negative, magnitude) = if signed {
            let sign = self.alu(AluOp::Arsh, value, Src::Imm(63));
            let abs = self.alu(AluOp::Xor, value, Src::Reg(sign));
            let abs = self.alu(AluOp::Sub, abs, Src::Reg(sign));
            (Some(self.neg(sign)), abs)
        } else {
            (None, value)
        };
        let mut length = self.digits(field, bytes, magnitude, conv.kind);
        if precision > 1 {
            length = self.at_least(length, precision);
        }
        // What stands before the digits: its length is 0 or 1 for a sign.
        let prefix = prefix_of(conv.kind, conv.flag);
        let plus = sign_byte(conv.kind, conv.flag);
        let sign_len = match (negative, plus) {
            (Some(_), Some(_)) => Val::Const(1),
            (Some(negative), None) => Val::Reg(negative),
            (None, _) => Val::Const(prefix.len() as i64),
        };
        if zero_flag && width > 0 {
            // Zeros up to the width, less what stands before them.
            let digits = match sign_len {
                Val::Const(len) => self.imm((i64::from(width) - len).max(0)),
                len => {
                    let width = self.imm(i64::from(width));
                    let len = self.val_src(len);
                    self.alu(AluOp::Sub, width, len)
                }
            };
            length = self.greater(length, digits);
        }
        let total = {
            let more = self.val_src(sign_len);
            self.alu(AluOp::Add, length, more)
        };
        let at = self.field_offset(bytes, total);
        if let Some(negative) = negative {
            let go_on = self.code.block(self.is_cold());
            let sign = self.code.block(self.is_cold());
            self.in_block(sign, |cx| {
                let to = cx.address_at(field, at, bound);
                cx.store(Size::B, Mem::Ptr(to, 0), Src::Imm(i32::from(b'-')));
                cx.jump(go_on, Vec::new());
            });
            self.jump_if(Cond::Ne, negative, Src::Imm(0), sign);
            if let Some(plus) = plus {
                let to = self.address_at(field, at, bound);
                self.store(Size::B, Mem::Ptr(to, 0), Src::Imm(i32::from(plus)));
            }
            self.jump(go_on, Vec::new());
            self.enter(go_on);
        } else if !prefix.is_empty() {
            let to = self.address_at(field, at, bound);
            for (n, byte) in prefix.iter().enumerate() {
                self.store(Size::B, Mem::Ptr(to, n as i32), Src::Imm(i32::from(*byte)));
            }
        }
        self.append_field(builder, field, bytes, bound, conv, total);
    }

    /// Adds the last `total` bytes of a field, padded to the width.
    fn append_field(
        &mut self,
        builder: &mut TextBuilder,
        field: Mem,
        bytes: u32,
        bound: u32,
        conv: &Conv,
        total: VReg,
    ) {
        let width = fixed(conv.width);
        let left = conv.flag == Some(ConvFlag::Left);
        let shown = if left || width < 2 {
            total
        } else {
            self.at_least(total, width)
        };
        let at = self.field_offset(bytes, shown);
        let from = self.address_at(field, at, bound);
        self.append_memory(builder, from, bytes);
        if left && width > 0 {
            self.append_blanks(builder, width, total);
        }
    }

    /// Where the last `len` bytes of a field begin.
    pub(super) fn field_offset(&mut self, bytes: u32, len: VReg) -> VReg {
        let end = self.imm(i64::from(bytes));
        self.alu(AluOp::Sub, end, Src::Reg(len))
    }

    /// Writes the digits of a number to the end of a field; gives how many there are.
    pub(super) fn digits(&mut self, field: Mem, bytes: u32, number: VReg, kind: ConvKind) -> VReg {
        let (done, count) = self.join();
        let (head, round) = self.counted_loop(MAX_DIGITS);
        let rest = self.code.vreg();
        self.code.blocks[head.0 as usize].params.push(rest);
        let zero = self.imm(0);
        self.jump(head, vec![zero, number]);
        self.enter(head);
        let out = self.code.block(self.is_cold());
        self.in_block(out, |cx| {
            let count = cx.forget(round);
            cx.jump(done, vec![count]);
        });
        self.jump_if(Cond::Ge, round, Src::Imm(MAX_DIGITS as i32), out);
        let (digit, next) = match kind {
            ConvKind::Octal | ConvKind::HexLower | ConvKind::HexUpper | ConvKind::Pointer => {
                let bits = if kind == ConvKind::Octal { 3 } else { 4 };
                let digit = self.alu(AluOp::And, rest, Src::Imm((1 << bits) - 1));
                let next = self.alu(AluOp::Rsh, rest, Src::Imm(bits));
                (digit, next)
            }
            _ => {
                let next = self.alu(AluOp::Div, rest, Src::Imm(10));
                let tens = self.alu(AluOp::Mul, next, Src::Imm(10));
                (self.alu(AluOp::Sub, rest, Src::Reg(tens)), next)
            }
        };
        let char = match kind {
            ConvKind::HexUpper => self.hex_digit(digit, b'A'),
            ConvKind::HexLower | ConvKind::Pointer => self.hex_digit(digit, b'a'),
            _ => self.alu(AluOp::Add, digit, Src::Imm(i32::from(b'0'))),
        };
        let last = self.imm(i64::from(bytes) - 1);
        let at = self.alu(AluOp::Sub, last, Src::Reg(round));
        let to = self.address_at(field, at, (bytes + 1).next_power_of_two());
        self.store(Size::B, Mem::Ptr(to, 0), Src::Reg(char));
        let following = self.alu(AluOp::Add, round, Src::Imm(1));
        let end = self.code.block(self.is_cold());
        self.in_block(end, |cx| {
            let count = cx.forget(following);
            cx.jump(done, vec![count]);
        });
        self.jump_if(Cond::Eq, next, Src::Imm(0), end);
        self.jump(head, vec![following, next]);
        self.enter(done);
        count
    }

    /// The character of a number below 16, without branches: loops would be followed along each.
    pub(super) fn hex_digit(&mut self, nibble: VReg, letter_a: u8) -> VReg {
        // 1 from 10 on.
        let letter = self.alu(AluOp::Add, nibble, Src::Imm(6));
        let letter = self.alu(AluOp::Rsh, letter, Src::Imm(4));
        let beyond = i32::from(letter_a) - 10 - i32::from(b'0');
        let beyond = self.alu(AluOp::Mul, letter, Src::Imm(beyond));
        let digit = self.alu(AluOp::Add, nibble, Src::Imm(i32::from(b'0')));
        self.alu(AluOp::Add, digit, Src::Reg(beyond))
    }

    /// The greater of two unsigned numbers.
    fn greater(&mut self, a: VReg, b: VReg) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let first = t.read(a);
        let other = t.read_late(b);
        let dst = t.write_over(reg, first);
        t.add(Insn::JumpIf {
            cond: Cond::Ge,
            wide: true,
            left: dst,
            right: Src::Reg(other),
            target: 1,
        });
        t.alu(AluOp::Mov, dst, Src::Reg(other));
        self.push(t);
        self.forget(reg)
    }

    /// The greater of an unsigned number and a constant.
    fn at_least(&mut self, a: VReg, least: u32) -> VReg {
        let least = self.imm(i64::from(least));
        self.greater(a, least)
    }
}

/// What stands before the digits of a number without a sign.
pub(super) fn prefix_of(kind: ConvKind, flag: Option<ConvFlag>) -> &'static [u8] {
    let alternate = flag == Some(ConvFlag::Alternate);
    match kind {
        ConvKind::Octal if alternate => b"0",
        ConvKind::Pointer => b"0x",
        ConvKind::HexLower if alternate => b"0x",
        ConvKind::HexUpper if alternate => b"0X",
        _ => b"",
    }
}

/// What stands before the digits of a number that is not negative.
pub(super) fn sign_byte(kind: ConvKind, flag: Option<ConvFlag>) -> Option<u8> {
    match (kind, flag) {
        (ConvKind::Decimal | ConvKind::Str, Some(ConvFlag::Plus)) => Some(b'+'),
        (ConvKind::Decimal | ConvKind::Str, Some(ConvFlag::Space)) => Some(b' '),
        _ => None,
    }
}

/// Bytes of the field that a number is made in: digits or precision with a prefix, or
/// the width.
pub(super) fn field_bytes(conv: &Conv) -> u32 {
    let number = MAX_DIGITS.max(fixed(conv.precision)) + 2;
    number.max(fixed(conv.width))
}
