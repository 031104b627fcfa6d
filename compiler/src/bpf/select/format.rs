//! `sprintf` in the kernel.
//!
//! What the conversions print is what `runtime/src/values/number.rs` prints, to the byte.

use regalloc2::VReg;

use super::call::Arg;
use super::format_number::field_bytes;
use super::format_sized::SizedField;
use super::text::{Text, TextMem};
use super::text_ops::TextBuilder;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Src};
use crate::bpf::vcode::BlockId;
use crate::lir::{Conv, ConvFlag, ConvKind, ConvSize, FormatId, Piece, Value};

/// Widest field that is made in one piece, bytes.
const MAX_FIELD_BYTES: u32 = 128;

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
    pub(super) fn append_blanks(&mut self, builder: &mut TextBuilder, width: u32, len: VReg) {
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
}

/// A size that the format says; 0 for others.
pub(super) fn fixed(size: ConvSize) -> u32 {
    match size {
        ConvSize::Fixed(n) => n,
        ConvSize::None | ConvSize::Arg => 0,
    }
}
