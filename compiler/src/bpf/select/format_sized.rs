//! Conversions of `sprintf` whose sizes are only known when they are made (`*`), wide fields, escaped
//! characters, bytes of numbers and memory in hexadecimal.
//!
//! A field is added piece by piece: blanks, what stands before the digits, zeros, digits, blanks.

use regalloc2::VReg;

use super::call::Arg;
use super::format_number::{MAX_DIGITS, prefix_of, sign_byte};
use super::quote::escape;
use super::text::{Text, TextMem};
use super::text_ops::TextBuilder;
use super::{Cx, Val};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Size, Src};
use crate::image::width_bytes;
use crate::lir::{ConvFlag, ConvKind, Ty};

/// Bytes of the field that digits are made in.
const DIGITS_BYTES: u32 = MAX_DIGITS + 2;
/// Bytes of an escaped character's slot in its table.
const ESCAPE_BYTES: usize = 8;

/// The largest size: no more of a field would fit into any string.
const MAX_SIZE: u32 = 8192;

/// A field: its sizes are numbers from 0 to [`MAX_SIZE`], `None` where there is none.
pub(super) struct SizedField {
    /// What is shown.
    pub kind: ConvKind,
    /// Its flag.
    pub flag: Option<ConvFlag>,
    /// The least bytes that are shown.
    pub width: Option<VReg>,
    /// The most bytes of a string, or the least digits of a number.
    pub precision: Option<VReg>,
}

impl Cx<'_> {
    /// The size that an argument gives: what is negative counts as 0.
    pub(super) fn field_size(&mut self, size: Val) -> VReg {
        let size = self.val_reg(size);
        let sign = self.alu(AluOp::Arsh, size, Src::Imm(63));
        let keep = self.alu(AluOp::Xor, sign, Src::Imm(-1));
        let size = self.alu(AluOp::And, size, Src::Reg(keep));
        self.at_most(size, MAX_SIZE)
    }

    fn longest_text(&self) -> u32 {
        self.module.limits.max_string_len.saturating_sub(1)
    }

    /// What a field can get to, bytes: more than any string.
    pub(super) fn field_cap(&self, text: Option<Text>) -> u32 {
        let own = text.map_or(0, |text| self.text_cap(text));
        own.max(self.longest_text() + 1)
    }

    /// Adds a string: cut to its precision, padded to its width.
    pub(super) fn append_sized_text(
        &mut self,
        builder: &mut TextBuilder,
        field: &SizedField,
        text: Text,
    ) {
        let text = self.text_in_memory(text);
        let len = self.text_len(Text::Mem(text));
        let mut len = self.val_reg(len);
        if let Some(precision) = field.precision {
            len = self.lesser(len, precision);
        }
        let blanks = field.width.map(|width| self.short_of(len, width));
        let left = field.flag == Some(ConvFlag::Left);
        if let (Some(blanks), false) = (blanks, left) {
            self.append_fill(builder, b' ', blanks);
        }
        let to = self.cursor_mem(builder);
        let from = self.address(text.mem);
        let copied = self.call(
            Helper::ProbeReadKernelStr,
            &[
                Arg::Addr(to),
                Arg::Clamped(len, text.cap as i32),
                Arg::Reg(from),
            ],
        );
        let added = self.alu(AluOp::Sub, copied, Src::Imm(1));
        self.advance(builder, Val::Reg(added));
        if let (Some(blanks), true) = (blanks, left) {
            self.append_fill(builder, b' ', blanks);
        }
    }

    /// Adds a number.
    pub(super) fn append_sized_number(
        &mut self,
        builder: &mut TextBuilder,
        field: &SizedField,
        value: Val,
    ) {
        let bound = (DIGITS_BYTES + 1).next_power_of_two();
        let place = self.temp_variable(bound + 8);
        for at in (0..bound + 8).step_by(8) {
            self.store_imm(place.at(at), 0);
        }
        let value = self.val_reg(value);
        let signed = matches!(field.kind, ConvKind::Decimal | ConvKind::Str);
        let before = self.temp(8);
        let (magnitude, before_len) = if signed {
            let sign = self.alu(AluOp::Arsh, value, Src::Imm(63));
            let abs = self.alu(AluOp::Xor, value, Src::Reg(sign));
            let abs = self.alu(AluOp::Sub, abs, Src::Reg(sign));
            let plus = i32::from(sign_byte(field.kind, field.flag).unwrap_or(0));
            // The sign's byte, 0 if there is none.
            let shown = self.alu(AluOp::And, sign, Src::Imm(i32::from(b'-') - plus));
            let shown = self.alu(AluOp::Add, shown, Src::Imm(plus));
            self.store(Size::D, before, Src::Reg(shown));
            let len = if plus == 0 {
                self.neg(sign)
            } else {
                self.imm(1)
            };
            (abs, len)
        } else {
            let prefix = prefix_of(field.kind, field.flag);
            self.store_imm(before, super::text::word_of(prefix));
            (value, self.imm(prefix.len() as i64))
        };
        let digits = self.digits(place, DIGITS_BYTES, magnitude, field.kind);
        let zeros = match field.precision {
            Some(precision) => self.short_of(digits, precision),
            None => self.imm(0),
        };
        let total = self.alu(AluOp::Add, digits, Src::Reg(zeros));
        let total = self.alu(AluOp::Add, total, Src::Reg(before_len));
        let fill = field.width.map(|width| self.short_of(total, width));
        let (zeros, blanks) = match (fill, field.flag) {
            (Some(fill), Some(ConvFlag::Zero)) => {
                (self.alu(AluOp::Add, zeros, Src::Reg(fill)), None)
            }
            (fill, _) => (zeros, fill),
        };
        let left = field.flag == Some(ConvFlag::Left);
        if let (Some(blanks), false) = (blanks, left) {
            self.append_fill(builder, b' ', blanks);
        }
        let from = self.address(before);
        self.append_memory(builder, from, 7);
        self.append_fill(builder, b'0', zeros);
        let at = self.field_offset(DIGITS_BYTES, digits);
        let from = self.address_at(place, at, bound);
        self.append_memory(builder, from, DIGITS_BYTES);
        if let (Some(blanks), true) = (blanks, left) {
            self.append_fill(builder, b' ', blanks);
        }
    }

    /// A character as a string, escaped as C would if it is asked for.
    pub(super) fn character_text(&mut self, flag: Option<ConvFlag>, value: Val) -> Text {
        let value = self.val_reg(value);
        let byte = self.extend_reg(value, 8, false);
        if flag != Some(ConvFlag::Alternate) {
            return self.short_text(1, byte);
        }
        let mut table = Vec::with_capacity(256 * ESCAPE_BYTES);
        for byte in 0..=255 {
            table.extend(escaped(byte));
            table.resize(table.len().next_multiple_of(ESCAPE_BYTES), 0);
        }
        let table = Mem::Rodata(self.plan.constant(&table));
        let at = self.slot_address(table, byte, 256, ESCAPE_BYTES as u32);
        Text::Mem(TextMem {
            mem: Mem::Ptr(at, 0),
            cap: 4,
            padded: true,
            late: false,
        })
    }

    /// The lowest bytes (1, 2, 4, else 8) of a number as a string, which ends at the first 0; and how many
    /// bytes it would have without.
    pub(super) fn bytes_text(&mut self, bytes: Option<VReg>, value: Val) -> (Text, VReg) {
        let value = self.val_reg(value);
        let Some(bytes) = bytes else {
            return (self.short_text(8, value), self.imm(8));
        };
        let masks = [-1, 0xff, 0xffff, -1, 0xffff_ffff, -1_i64];
        let table: Vec<u8> = masks.iter().flat_map(|mask| mask.to_le_bytes()).collect();
        let table = Mem::Rodata(self.plan.constant(&table));
        let at = self.slot_address(table, bytes, masks.len() as u32, 8);
        let mask = self.load(Size::D, Mem::Ptr(at, 0));
        let value = self.alu(AluOp::And, value, Src::Reg(mask));
        let counts: Vec<u8> = [8, 1, 2, 8, 4, 8_i64]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        let counts = Mem::Rodata(self.plan.constant(&counts));
        let at = self.slot_address(counts, bytes, masks.len() as u32, 8);
        let count = self.load(Size::D, Mem::Ptr(at, 0));
        (self.short_text(8, value), count)
    }

    /// A string of at most eight bytes, given as a little-endian word.
    fn short_text(&mut self, cap: u32, word: VReg) -> Text {
        let mem = self.temp(16);
        self.store(Size::D, mem, Src::Reg(word));
        self.store_imm(mem.at(8), 0);
        Text::Mem(TextMem {
            mem,
            cap,
            padded: false,
            late: false,
        })
    }

    /// The string in memory that takes variable offsets.
    pub(super) fn text_in_memory(&mut self, text: Text) -> TextMem {
        match text {
            Text::Mem(text) => text,
            Text::Empty | Text::Const(_) => {
                let cap = self.text_cap(text);
                let width = width_bytes(Ty::str(cap));
                let mem = self.temp_variable(width);
                self.copy_text(text, mem, width, true);
                TextMem {
                    mem,
                    cap,
                    padded: true,
                    late: false,
                }
            }
        }
    }

    /// How much `have` is short of `wanted`; 0 if it is not. Both are small.
    fn short_of(&mut self, have: VReg, wanted: VReg) -> VReg {
        let short = self.alu(AluOp::Sub, wanted, Src::Reg(have));
        let sign = self.alu(AluOp::Arsh, short, Src::Imm(63));
        let keep = self.alu(AluOp::Xor, sign, Src::Imm(-1));
        self.alu(AluOp::And, short, Src::Reg(keep))
    }

    /// The lesser of two small numbers.
    fn lesser(&mut self, a: VReg, b: VReg) -> VReg {
        let above = self.short_of(b, a);
        self.alu(AluOp::Sub, a, Src::Reg(above))
    }

    /// Adds `count` bytes.
    fn append_fill(&mut self, builder: &mut TextBuilder, byte: u8, count: VReg) {
        let most = self.longest_text();
        let count = self.at_most(count, most);
        let mut fill = vec![byte; most as usize];
        fill.push(0);
        let bound = (most + 1).next_power_of_two();
        let at = Mem::Rodata(self.plan.constant(&fill));
        self.plan.reserve_rodata_slack(at, bound);
        let offset = self.field_offset(most, count);
        let from = self.address_at(at, offset, bound);
        self.append_memory(builder, from, most);
    }
}

/// A byte as `%#c` shows it: as in a quoted string, but for the two quotes.
fn escaped(byte: u8) -> Vec<u8> {
    match byte {
        b'"' => vec![byte],
        b'\'' => vec![b'\\', byte],
        _ => escape(byte),
    }
}
