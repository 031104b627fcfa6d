//! `sprintf` in the kernel, late strings, and the messages of caught errors.
//!
//! What the conversions print is what `runtime/src/values/number.rs` prints, to the byte.

use std::collections::BTreeSet;

use regalloc2::VReg;

use super::build::{Arg, Template};
use super::format_sized::SizedField;
use super::text::{Text, TextMem};
use super::text_ops::TextBuilder;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::analysis::for_each_op;
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Insn, Size, Src};
use crate::bpf::vcode::BlockId;
use crate::image::{Field, width_bytes};
use crate::lir::{
    Conv, ConvFlag, ConvKind, ConvSize, ErrorKind, ErrorPart, FormatId, Function, Piece, SiteId,
    Ty, Value,
};

/// The most digits that a number has: octal.
pub(super) const MAX_DIGITS: u32 = 22;
/// Widest field that is made in one piece, bytes.
const MAX_FIELD_BYTES: u32 = 128;
/// Bytes of a late string before its fields.
pub(super) const LATE_HEAD_BYTES: u32 = 8;

/// A part of a string to be made.
enum Part<'a> {
    /// Constant text.
    Literal(Text),
    /// A string, whole.
    Whole(Text),
    /// A string with width or precision.
    Padded(&'a Conv, Text),
    /// A number.
    Number(Conv, Val),
    /// A string whose sizes are not constant, or large.
    SizedText(SizedField, Text),
    /// The same of a number.
    SizedNumber(SizedField, Val),
    /// A part that may be the last: a string ends at the first 0 that is put into it.
    Ending(Box<Part<'a>>, End),
}

impl Part<'_> {
    /// Whether blanks may stand behind what is shown.
    fn is_left(&self) -> bool {
        let flag = match self {
            Part::Padded(Conv { flag, .. }, _) | Part::Number(Conv { flag, .. }, _) => *flag,
            Part::SizedText(field, _) | Part::SizedNumber(field, _) => field.flag,
            Part::Ending(part, _) => return part.is_left(),
            Part::Literal(_) | Part::Whole(_) => None,
        };
        flag == Some(ConvFlag::Left)
    }
}

/// When a part is the last.
enum End {
    /// If the low byte of this is 0.
    Zero(Val),
    /// If fewer bytes were added than this.
    Short(VReg),
}

impl Cx<'_> {
    pub(super) fn text_format(
        &mut self,
        format: FormatId,
        args: &[Value],
        cap: u32,
        dest: Dest,
    ) -> Lowered<Val> {
        let module = self.module;
        let mut args = args.iter();
        let mut parts = Vec::new();
        for piece in &module.formats[format].pieces {
            match piece {
                Piece::Text(text) => parts.push(Part::Literal(self.literal(text))),
                Piece::Call(function, _) => {
                    return Err(self.unsupported(
                        &format!("the text of {}()", function.0),
                        "print it, or use it in an end or timer probe",
                    ));
                }
                Piece::Conv(conv) => {
                    let mut sizes = [conv.width, conv.precision].into_iter();
                    let sizes = sizes.by_ref().filter(|size| *size == ConvSize::Arg);
                    let given: Vec<Value> = args.by_ref().take(sizes.count()).copied().collect();
                    let Some(arg) = args.next() else {
                        return Err(self.internal("format with too few arguments"));
                    };
                    parts.push(self.part(conv, &given, *arg));
                }
            }
        }
        Ok(self.text_of_parts(parts, cap, dest))
    }

    /// A conversion; `sizes` are the arguments for its `*`.
    fn part<'b>(&mut self, conv: &'b Conv, sizes: &[Value], arg: Value) -> Part<'b> {
        let is_text = self.func.ty(arg).is_str();
        let in_one_piece =
            sizes.is_empty() && fixed(conv.width).max(fixed(conv.precision)) <= MAX_FIELD_BYTES;
        if in_one_piece {
            match conv.kind {
                ConvKind::Str if is_text => {
                    let text = self.text(arg);
                    return match (conv.width, conv.precision) {
                        (ConvSize::None, ConvSize::None) => Part::Whole(text),
                        _ => Part::Padded(conv, text),
                    };
                }
                ConvKind::Char if conv.flag == Some(ConvFlag::Alternate) => {}
                ConvKind::Binary | ConvKind::MemoryHex => {}
                _ if is_text => {}
                _ => {
                    let value = self.int(arg);
                    let part = Part::Number(conv.clone(), value);
                    return match conv.kind {
                        ConvKind::Char => Part::Ending(Box::new(part), End::Zero(value)),
                        _ => part,
                    };
                }
            }
        }
        let mut sizes = sizes.iter();
        let mut size = |cx: &mut Self, size| match size {
            ConvSize::None => None,
            ConvSize::Fixed(n) => Some(cx.field_size(Val::Const(i64::from(n)))),
            ConvSize::Arg => sizes.next().map(|size| {
                let size = cx.int(*size);
                cx.field_size(size)
            }),
        };
        let field = SizedField {
            kind: conv.kind,
            flag: conv.flag,
            width: size(self, conv.width),
            precision: size(self, conv.precision),
        };
        let whole = SizedField {
            precision: None,
            ..field
        };
        match conv.kind {
            _ if is_text => Part::SizedText(field, self.text(arg)),
            ConvKind::Char => {
                let value = self.int(arg);
                let part = Part::SizedText(whole, self.character_text(conv.flag, value));
                match conv.flag {
                    Some(ConvFlag::Alternate) => part,
                    _ => Part::Ending(Box::new(part), End::Zero(value)),
                }
            }
            ConvKind::MemoryHex => self.memory_hex(conv, arg),
            ConvKind::Binary => {
                let value = self.int(arg);
                let (text, bytes) = self.bytes_text(field.width, value);
                Part::Ending(Box::new(Part::Whole(text)), End::Short(bytes))
            }
            _ => Part::SizedNumber(field, self.int(arg)),
        }
    }

    /// The bytes of a number as they lie in memory, in hexadecimal.
    fn memory_hex<'b>(&mut self, conv: &Conv, arg: Value) -> Part<'b> {
        let bytes = fixed(conv.width).clamp(1, 8);
        let value = self.reg(arg);
        let swapped = self.big_endian(value);
        let value = self.alu(AluOp::Rsh, swapped, Src::Imm(64 - bytes as i32 * 8));
        let conv = Conv {
            flag: Some(ConvFlag::Zero),
            width: ConvSize::Fixed(bytes * 2),
            precision: ConvSize::None,
            kind: ConvKind::HexLower,
        };
        Part::Number(conv, Val::Reg(value))
    }

    fn text_of_parts(&mut self, parts: Vec<Part<'_>>, cap: u32, dest: Dest) -> Val {
        let caps: Vec<u32> = parts.iter().map(|part| self.part_cap(part)).collect();
        let mut builder = self.begin_text(&caps, cap, dest);
        let mut ends = parts.iter().map(|part| matches!(part, Part::Ending(..)));
        if !ends.any(|ends| ends) {
            for part in parts {
                self.append_part(&mut builder, part);
            }
            return self.built(&builder);
        }
        let done = self.code.block(self.is_cold());
        for part in parts {
            let before = builder.cursor;
            let (part, end) = match part {
                Part::Ending(part, end) => (*part, Some(end)),
                part => (part, None),
            };
            // A 0 comes before the blanks behind it.
            if let Some(end @ End::Zero(_)) = &end
                && part.is_left()
            {
                self.end_at(end, (before, before), done);
            }
            self.append_part(&mut builder, part);
            if let Some(end) = end {
                self.end_at(&end, (before, builder.cursor), done);
            }
        }
        self.jump(done, Vec::new());
        self.enter(done);
        self.built(&builder)
    }

    /// Most bytes of a part.
    fn part_cap(&self, part: &Part<'_>) -> u32 {
        match part {
            Part::Literal(text) | Part::Whole(text) => self.text_cap(*text),
            Part::Padded(conv, text) => self.text_cap(*text).max(fixed(conv.width)),
            Part::Number(conv, _) => field_bytes(conv),
            Part::SizedText(_, text) => self.field_cap(Some(*text)),
            Part::SizedNumber(..) => self.field_cap(None),
            Part::Ending(part, _) => self.part_cap(part),
        }
    }

    fn append_part(&mut self, builder: &mut TextBuilder, part: Part<'_>) {
        match part {
            Part::Literal(text) | Part::Whole(text) => self.append(builder, text),
            Part::Padded(conv, text) => self.append_padded(builder, conv, text),
            Part::Number(conv, value) => self.append_number(builder, &conv, value),
            Part::SizedText(field, text) => self.append_sized_text(builder, &field, text),
            Part::SizedNumber(field, value) => self.append_sized_number(builder, &field, value),
            Part::Ending(part, _) => self.append_part(builder, *part),
        }
    }

    /// Goes to `done` if the part that moved the cursor so was the last.
    fn end_at(&mut self, end: &End, (before, after): (Val, Val), done: BlockId) {
        match end {
            End::Zero(value) => {
                let value = self.val_reg(*value);
                let byte = self.extend_reg(value, 8, false);
                self.jump_if(Cond::Eq, byte, Src::Imm(0), done);
            }
            End::Short(bytes) => {
                let (before, after) = (self.val_reg(before), self.val_reg(after));
                let added = self.alu(AluOp::Sub, after, Src::Reg(before));
                self.jump_if(Cond::Ne, added, Src::Reg(*bytes), done);
            }
        }
    }

    /// Adds a string cut to its precision and padded to its width.
    fn append_padded(&mut self, builder: &mut TextBuilder, conv: &Conv, text: Text) {
        let cap = self.text_cap(text);
        let most = match conv.precision {
            ConvSize::Fixed(n) => n.min(cap),
            ConvSize::None | ConvSize::Arg => cap,
        };
        let text = match text {
            Text::Mem(from) => Text::Mem(TextMem { cap: most, ..from }),
            Text::Empty | Text::Const(_) => {
                let bytes = self.const_bytes(text).unwrap_or_default();
                let bytes = bytes[..most as usize].to_vec();
                self.literal(&bytes)
            }
        };
        let width = fixed(conv.width);
        if width == 0 {
            self.append(builder, text);
            return;
        }
        let len = self.text_len(text);
        let left = conv.flag == Some(ConvFlag::Left);
        if left {
            self.append(builder, text);
        }
        let len = self.val_reg(len);
        self.append_blanks(builder, width, len);
        if !left {
            self.append(builder, text);
        }
    }

    /// Adds as many blanks as `len` is short of `width`.
    fn append_blanks(&mut self, builder: &mut TextBuilder, width: u32, len: VReg) {
        let have = self.at_most(len, width);
        let mut blanks = vec![b' '; width as usize];
        blanks.push(0);
        let bound = (width + 1).next_power_of_two();
        let at = Mem::Rodata(self.plan.constant(&blanks));
        self.plan.reserve_rodata_slack(at, bound);
        let from = self.address_at(at, have, bound);
        self.append_memory(builder, from, width);
    }

    /// Adds the string at an address, of at most `cap` bytes.
    pub(super) fn append_memory(&mut self, builder: &mut TextBuilder, from: VReg, cap: u32) {
        let to = self.cursor_mem(builder);
        let copied = self.call(
            Helper::ProbeReadKernelStr,
            &[Arg::Addr(to), Arg::Imm(i64::from(cap) + 1), Arg::Reg(from)],
        );
        let len = self.alu(AluOp::Sub, copied, Src::Imm(1));
        self.advance(builder, Val::Reg(len));
    }

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
            self.store_imm(field.at(n as u32 * 8), super::text::word_of(word));
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
        let letters = if kind == ConvKind::HexUpper {
            b'A'
        } else {
            b'a'
        };
        let char = {
            let reg = self.code.vreg();
            let mut t = Template::default();
            let digit = t.read(digit);
            let dst = t.write_over(reg, digit);
            t.add(Insn::JumpIf {
                cond: Cond::Lt,
                wide: true,
                left: dst,
                right: Src::Imm(10),
                target: 1,
            });
            t.alu(
                AluOp::Add,
                dst,
                Src::Imm(i32::from(letters) - 10 - i32::from(b'0')),
            );
            t.alu(AluOp::Add, dst, Src::Imm(i32::from(b'0')));
            self.push(t);
            reg
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

    /// `sprintf` left to user space: the number of the record's layout, then the arguments.
    pub(super) fn text_late(
        &mut self,
        format: FormatId,
        args: &[Value],
        cap: u32,
        dest: Dest,
    ) -> Lowered<Val> {
        let func = self.func;
        let width = width_bytes(Ty::str(cap));
        let fields: Vec<Field> = args
            .iter()
            .map(|arg| match func.ty(*arg) {
                Ty::I64 => Field::Int,
                ty @ Ty::Str { late, .. } => Field::Fixed {
                    width: width_bytes(ty),
                    late,
                },
            })
            .collect();
        let text = self.fresh_text(cap, true, dest);
        let shape = &self.module.formats[format];
        // The record of zeros is the empty string.
        let id = if shape.pieces.is_empty() {
            0
        } else {
            self.plan.record(format, fields.clone())
        };
        let one_string =
            shape.is_one_string() && matches!(fields[..], [Field::Fixed { late: false, .. }]);
        self.store_imm(text.mem, i64::from(id));
        let mut at = LATE_HEAD_BYTES;
        for (arg, field) in args.iter().zip(&fields) {
            let to = text.mem.at(at);
            match field {
                Field::Int | Field::Variable { .. } => {
                    let val = self.int(*arg);
                    self.store_val(to, val);
                    at += 8;
                }
                Field::Fixed { width, .. } => {
                    let text = self.text(*arg);
                    self.copy_text(text, to, *width, true);
                    at += width;
                }
            }
            if at > width {
                return Err(self.internal("late string longer than its record"));
            }
        }
        if one_string {
            let first = self.load(Size::B, text.mem.at(LATE_HEAD_BYTES));
            // 0 for an empty string, else 1.
            let some = self.alu(AluOp::Add, first, Src::Imm(255));
            let some = self.alu(AluOp::Rsh, some, Src::Imm(8));
            let number = self.alu(AluOp::Mul, some, Src::Imm(id as i32));
            self.store(Size::D, text.mem, Src::Reg(number));
        }
        if at < width {
            self.zero(text.mem.at(at), width - at);
        }
        Ok(Val::Text(Text::Mem(text)))
    }

    /// The message of an error whose site is only known when it happens.
    pub(super) fn error_text(&mut self, site: Value, arg: Value, cap: u32, dest: Dest) -> Val {
        let site = self.int(site);
        let arg = self.int(arg);
        let arg = match arg {
            Val::Const(_) => arg,
            arg => Val::Reg(self.val_reg(arg)),
        };
        let module = self.module;
        let raised = raised_in(self.func);
        let raised = raised.iter().filter(|id| match site {
            Val::Const(site) => i64::from(id.as_u32()) == site,
            _ => true,
        });
        let kinds: Vec<(SiteId, ErrorKind)> = raised
            .filter_map(|id| Some((*id, module.sites.get(*id)?.kind)))
            .collect();
        // One piece of code for each kind of error, whatever its site.
        let mut distinct: Vec<ErrorKind> = Vec::new();
        for (_, kind) in &kinds {
            if !distinct.contains(kind) {
                distinct.push(*kind);
            }
        }
        let bound = self.module.limits.max_string_len;
        let caps: Vec<u32> = distinct
            .iter()
            .map(|kind| {
                kind.parts()
                    .iter()
                    .map(|part| match part {
                        ErrorPart::Text(text) => text.len() as u32,
                        ErrorPart::Hex => 18,
                        ErrorPart::Decimal => 20,
                        ErrorPart::Buffer => bound,
                    })
                    .sum()
            })
            .collect();
        let most = caps.iter().copied().max().unwrap_or(0);
        let builder = self.begin_text(&[most], cap, dest);
        let done = self.code.block(self.is_cold());
        let blocks: Vec<BlockId> = distinct
            .iter()
            .map(|kind| {
                let block = self.code.block(true);
                self.in_block(block, |cx| {
                    if *kind == ErrorKind::HistRange {
                        // An empty statistic has no buckets to be out of range of.
                        let empty = cx.code.block(true);
                        cx.in_block(empty, |cx| {
                            cx.error_parts(&builder, ErrorKind::EmptyStat, arg, done);
                        });
                        let arg = cx.val_reg(arg);
                        let none = cx.imm(i64::MIN);
                        cx.jump_if(Cond::Eq, arg, Src::Reg(none), empty);
                    }
                    cx.error_parts(&builder, *kind, arg, done);
                });
                block
            })
            .collect();
        if let (Val::Const(_), [block]) = (site, blocks.as_slice()) {
            self.jump(*block, Vec::new());
        } else if let [block] = blocks.as_slice() {
            self.jump(*block, Vec::new());
        } else {
            let mut cases: Vec<(i64, BlockId)> = kinds
                .iter()
                .filter_map(|(id, kind)| {
                    let at = distinct.iter().position(|known| known == kind)?;
                    Some((i64::from(id.as_u32()), blocks[at]))
                })
                .collect();
            cases.sort_unstable_by_key(|(site, _)| *site);
            let site = self.val_reg(site);
            self.search(site, &cases, done);
        }
        self.enter(done);
        self.built(&builder)
    }

    /// Writes the message of a kind of error and goes on.
    fn error_parts(&mut self, builder: &TextBuilder, kind: ErrorKind, arg: Val, done: BlockId) {
        let mut branch = TextBuilder { ..*builder };
        for part in kind.parts() {
            self.append_error_part(&mut branch, &part, arg);
        }
        self.jump(done, Vec::new());
    }

    fn append_error_part(&mut self, builder: &mut TextBuilder, part: &ErrorPart, arg: Val) {
        let number = |kind, flag, width| Conv {
            flag,
            width,
            precision: ConvSize::None,
            kind,
        };
        match part {
            ErrorPart::Text(text) => {
                let text = self.literal(text.as_bytes());
                self.append(builder, text);
            }
            ErrorPart::Hex => {
                let conv = number(
                    ConvKind::HexLower,
                    Some(ConvFlag::Zero),
                    ConvSize::Fixed(16),
                );
                self.append_number(builder, &conv, arg);
            }
            ErrorPart::Decimal => {
                let conv = number(ConvKind::Decimal, None, ConvSize::None);
                self.append_number(builder, &conv, arg);
            }
            ErrorPart::Buffer => {
                if let Some(mem) = self.message_text() {
                    let cap = self.module.limits.max_string_len.saturating_sub(1);
                    let text = Text::Mem(TextMem {
                        mem,
                        cap,
                        padded: false,
                        late: false,
                    });
                    self.append(builder, text);
                }
            }
        }
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

fn fixed(size: ConvSize) -> u32 {
    match size {
        ConvSize::Fixed(n) => n,
        ConvSize::None | ConvSize::Arg => 0,
    }
}

/// Bytes of the field that a number is made in: digits or precision with a prefix, or
/// the width.
fn field_bytes(conv: &Conv) -> u32 {
    let number = MAX_DIGITS.max(fixed(conv.precision)) + 2;
    number.max(fixed(conv.width))
}

/// The sites of all errors that can be raised in a body.
fn raised_in(func: &Function) -> BTreeSet<SiteId> {
    let mut sites: BTreeSet<SiteId> = func.blocks.values().filter_map(|b| b.loop_head).collect();
    for_each_op(func, |op| sites.extend(op.any_site()));
    sites
}
