//! Strings in memory: what they are, copying them, comparing them.
//!
//! Every string buffer is initialised over its whole width as the verifier sees it, so that whole words
//! may be read from it.

use super::call::Arg;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Size, Src};
use crate::image::{Point, width_bytes};
use crate::lir::{Op, PointText, TableId, Ty, Value};

/// Up to so many bytes are copied or cleared by single stores.
const INLINE_BYTES: u32 = 128;

/// A string value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    /// The empty string; as a late one, a zeroed record.
    Empty,
    /// A constant: its number in `Cx::literals`.
    Const(u32),
    /// Bytes in memory.
    Mem(TextMem),
}

/// A string in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextMem {
    /// Where; at least `width` bytes.
    pub mem: Mem,
    /// Most bytes of text.
    pub cap: u32,
    /// Whether all bytes after the text are zero, up to the width.
    pub padded: bool,
    /// Whether it is a late string's record: copied whole.
    pub late: bool,
}

impl TextMem {
    /// Bytes of its slot.
    pub fn width(self) -> u32 {
        width_bytes(Ty::str(self.cap))
    }
}

impl Text {
    /// The empty string.
    pub const EMPTY: Text = Text::Empty;
}

/// Eight bytes as they are loaded.
pub(super) fn word_of(bytes: &[u8]) -> i64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(word)
}

impl Cx<'_> {
    /// A constant string.
    pub(super) fn literal(&mut self, bytes: &[u8]) -> Text {
        let known = self.literals.iter().position(|known| known == bytes);
        Text::Const(known.unwrap_or_else(|| {
            self.literals.push(bytes.to_vec());
            self.literals.len() - 1
        }) as u32)
    }

    /// `pp()` and the like. For a point that is only known when it fires, the texts of the
    /// handler's points are a table of slots among the constants.
    pub(super) fn point_text(&mut self, what: PointText, number: Value) -> Val {
        let module = self.module;
        let text = |point: &Point| match what {
            PointText::Full => point.text.clone(),
            PointText::Function => point.function.clone(),
            PointText::Module => point.module.clone(),
        };
        let number = match self.int(number) {
            Val::Const(number) => {
                let text = module.point(number).map(text).unwrap_or_default();
                return Val::Text(self.literal(text.as_bytes()));
            }
            number => self.val_reg(number),
        };
        let handler = self.program.handler;
        let texts: Vec<String> = module.handlers[handler].points.iter().map(text).collect();
        let cap = texts.iter().map(String::len).max().unwrap_or(0) as u32;
        let cap = cap.min(module.limits.max_string_len.saturating_sub(1));
        let width = width_bytes(Ty::str(cap));
        let mut table = Vec::with_capacity(texts.len() * width as usize);
        for text in &texts {
            let bytes = &text.as_bytes()[..text.len().min(cap as usize)];
            table.extend(bytes);
            table.resize(table.len().next_multiple_of(width as usize), 0);
            if bytes.is_empty() {
                table.resize(table.len() + width as usize, 0);
            }
        }
        let table = Mem::Rodata(self.plan.constant(&table));
        let first = self.val_src(Val::Const(module.first_point(handler)));
        let index = self.alu(AluOp::Sub, number, first);
        let at = self.slot_address(table, index, texts.len() as u32, width);
        Val::Text(Text::Mem(TextMem {
            mem: Mem::Ptr(at, 0),
            cap,
            padded: true,
            late: false,
        }))
    }

    /// A string of a table: slots of one width in the constants, with an empty one behind them for
    /// numbers out of range.
    pub(super) fn str_table(&mut self, table: TableId, number: Value, dest: Dest) -> Val {
        let module = self.module;
        let texts = &module.tables[table];
        let cap = match dest.ty {
            Some(Ty::Str { cap, .. }) => cap,
            Some(Ty::I64) | None => 0,
        };
        let width = width_bytes(Ty::str(cap));
        let mut slots = vec![0; (texts.len() + 1) * width as usize];
        for (slot, text) in slots.chunks_mut(width as usize).zip(texts) {
            let len = text.len().min(cap as usize);
            slot[..len].copy_from_slice(&text[..len]);
        }
        let bound = (slots.len() as u32).next_power_of_two();
        let at = Mem::Rodata(self.plan.constant(&slots));
        self.plan.reserve_rodata_slack(at, bound);
        let number = self.int(number);
        let number = self.val_reg(number);
        let slot = self.at_most(number, texts.len() as u32);
        let offset = self.alu(AluOp::Mul, slot, Src::Imm(width as i32));
        let mem = Mem::Ptr(self.address_at(at, offset, bound), 0);
        let found = Text::Mem(TextMem {
            mem,
            cap,
            padded: true,
            late: false,
        });
        self.private_copy(found, dest)
    }

    /// The bytes of a constant.
    pub(super) fn const_bytes(&self, text: Text) -> Option<Vec<u8>> {
        match text {
            Text::Empty => Some(Vec::new()),
            Text::Const(id) => self.literals.get(id as usize).cloned(),
            Text::Mem(_) => None,
        }
    }

    /// A buffer for a string.
    pub(super) fn fresh_text(&mut self, cap: u32, late: bool, dest: Dest) -> TextMem {
        let width = width_bytes(Ty::str(cap));
        TextMem {
            mem: self.buffers.alloc(width, dest.access(), dest.range),
            cap,
            padded: dest.padded || late,
            late,
        }
    }

    /// The buffer of a block parameter.
    pub(super) fn param_text(&mut self, param: Value, ty: Ty) -> Text {
        let (cap, late) = match ty {
            Ty::Str { cap, late } => (cap, late),
            Ty::I64 => (0, false),
        };
        let dest = self.dest(Some(param), Some(ty));
        let range = self.uses.range[param];
        Text::Mem(self.fresh_text(cap, late, Dest { range, ..dest }))
    }

    /// A copy that nobody else changes.
    pub(super) fn private_copy(&mut self, text: Text, dest: Dest) -> Val {
        let Text::Mem(from) = text else {
            return Val::Text(text);
        };
        let to = self.fresh_text(from.cap, from.late, dest);
        self.copy_text(text, to.mem, to.width(), to.padded);
        Val::Text(Text::Mem(to))
    }

    /// The string's own memory, if it can serve as a padded slot of `width` bytes.
    pub(super) fn text_in_place(&mut self, text: Text, width: u32) -> Option<Mem> {
        match text {
            Text::Mem(text) if text.padded && text.width() == width => Some(text.mem),
            Text::Mem(_) => None,
            Text::Empty | Text::Const(_) => {
                let bytes = self.const_bytes(text)?;
                let mut slot = vec![0; width as usize];
                let len = bytes.len().min(width as usize - 1);
                slot[..len].copy_from_slice(&bytes[..len]);
                Some(Mem::Rodata(self.plan.constant(&slot)))
            }
        }
    }

    /// Zeroes `bytes` (a multiple of 8).
    pub(super) fn zero(&mut self, mem: Mem, bytes: u32) {
        if bytes <= INLINE_BYTES {
            for at in (0..bytes).step_by(8) {
                self.store_imm(mem.at(at), 0);
            }
        } else {
            let zeros = self.plan.constant(&vec![0; bytes as usize]);
            self.copy_block(Mem::Rodata(zeros), mem, bytes);
        }
    }

    /// Copies bytes (a multiple of 8) that do not overlap.
    pub(super) fn copy_block(&mut self, from: Mem, to: Mem, bytes: u32) {
        if bytes <= INLINE_BYTES {
            for at in (0..bytes).step_by(8) {
                let word = self.load(Size::D, from.at(at));
                self.store(Size::D, to.at(at), Src::Reg(word));
            }
        } else {
            let from = self.address(from);
            self.call_void(
                Helper::ProbeReadKernel,
                &[Arg::Addr(to), Arg::Imm(i64::from(bytes)), Arg::Reg(from)],
            );
        }
    }

    /// Stores a string in a slot of `width` bytes, cut if it is too long. All of the slot is
    /// written; with `padded`, with zeroes after the text.
    pub(super) fn copy_text(&mut self, text: Text, to: Mem, width: u32, padded: bool) {
        let Text::Mem(from) = text else {
            let mut bytes = self.const_bytes(text).unwrap_or_default();
            bytes.truncate(width as usize - 1);
            if width <= INLINE_BYTES {
                bytes.resize(width as usize, 0);
                for (n, word) in bytes.chunks(8).enumerate() {
                    self.store_imm(to.at(n as u32 * 8), word_of(word));
                }
            } else {
                bytes.resize(width as usize, 0);
                let at = self.plan.constant(&bytes);
                self.copy_block(Mem::Rodata(at), to, width);
            }
            return;
        };
        let have = from.width();
        let whole = from.late || (from.padded && have <= width) || have <= 64 && !padded;
        if whole {
            let common = have.min(width);
            self.copy_block(from.mem, to, common);
            if have < width {
                self.zero(to.at(common), width - common);
            }
            if have > width && !from.late {
                self.store(Size::B, to.at(width - 1), Src::Imm(0));
            }
            return;
        }
        if padded {
            self.zero(to, width);
        } else {
            self.store_imm(to.at(width - 8), 0);
        }
        let size = (from.cap + 1).min(width);
        let from = self.address(from.mem);
        self.call_void(
            Helper::ProbeReadKernelStr,
            &[Arg::Addr(to), Arg::Imm(i64::from(size)), Arg::Reg(from)],
        );
    }

    /// Copies a string, NUL included, to memory that has room for `width` bytes; gives its
    /// length. What follows the NUL is unspecified.
    pub(super) fn copy_text_len(&mut self, text: Text, to: Mem, width: u32) -> Lowered<Val> {
        if let Some(mut bytes) = self.const_bytes(text) {
            bytes.truncate(width as usize - 1);
            let len = bytes.len();
            bytes.push(0);
            let slot = bytes.len().next_multiple_of(8);
            bytes.resize(slot, 0);
            let at = self.plan.constant(&bytes);
            self.copy_block(Mem::Rodata(at), to, slot as u32);
            return Ok(Val::Const(len as i64));
        }
        let Text::Mem(from) = text else {
            return Err(self.internal("constant string without bytes"));
        };
        let size = (from.cap + 1).min(width);
        let from = self.address(from.mem);
        let copied = self.call(
            Helper::ProbeReadKernelStr,
            &[Arg::Addr(to), Arg::Imm(i64::from(size)), Arg::Reg(from)],
        );
        Ok(Val::Reg(self.alu(AluOp::Sub, copied, Src::Imm(1))))
    }

    pub(super) fn text_op(&mut self, op: &Op, dest: Dest) -> Lowered<Option<Val>> {
        let cap = dest.cap();
        match op {
            Op::Comm => {
                let text = self.fresh_text(15, false, dest);
                // Linux 5.17 to 6.4 leave alone what follows the NUL.
                self.zero(text.mem, 16);
                self.call_void(Helper::GetCurrentComm, &[Arg::Addr(text.mem), Arg::Imm(16)]);
                let text = TextMem {
                    padded: true,
                    ..text
                };
                Ok(Some(Val::Text(Text::Mem(text))))
            }
            Op::StrCut(value) => {
                let text = self.text(*value);
                let fits = match text {
                    Text::Mem(from) => from.cap <= cap || from.late,
                    Text::Empty => true,
                    Text::Const(_) => self
                        .const_bytes(text)
                        .is_some_and(|bytes| bytes.len() <= cap as usize),
                };
                if fits {
                    return Ok(Some(Val::Text(text)));
                }
                let to = self.fresh_text(cap, false, dest);
                self.copy_cut(text, to);
                Ok(Some(Val::Text(Text::Mem(to))))
            }
            Op::StrFromByte(value) => {
                let byte = self.int(*value);
                let to = self.fresh_text(cap.max(1), false, dest);
                let byte = match byte {
                    Val::Const(value) => Val::Const(value & 0xff),
                    val => {
                        let reg = self.val_reg(val);
                        Val::Reg(self.extend_reg(reg, 8, false))
                    }
                };
                self.store_val(to.mem, byte);
                if to.width() > 8 {
                    self.zero(to.mem.at(8), to.width() - 8);
                }
                let to = TextMem { padded: true, ..to };
                Ok(Some(Val::Text(Text::Mem(to))))
            }
            Op::StrEq(a, b) => Ok(Some(self.text_eq(*a, *b))),
            Op::StrSome(value) => {
                let text = self.text(*value);
                Ok(Some(match text {
                    // The number of the record's layout.
                    Text::Mem(text) if text.late => Val::Reg(self.load(Size::W, text.mem)),
                    Text::Mem(text) => Val::Reg(self.load(Size::B, text.mem)),
                    Text::Empty | Text::Const(_) => {
                        let some = self
                            .const_bytes(text)
                            .is_some_and(|bytes| !bytes.is_empty());
                        Val::Const(i64::from(some))
                    }
                }))
            }
            Op::StrLen(value) => {
                let text = self.text(*value);
                Ok(Some(self.text_len(text)))
            }
            Op::StrFormat(format, args) => self.text_format(*format, args, cap, dest).map(Some),
            Op::StrLate(format, args) => self.text_late(*format, args, cap, dest).map(Some),
            Op::StrStack(format, args, of) => {
                self.text_stack(*format, args, *of, cap, dest).map(Some)
            }
            Op::StrSymbol { addr, offset } => self.text_symbol(*addr, *offset, cap, dest).map(Some),
            Op::StrHist(format, global, keys, which, site) => self
                .text_hist(*format, (*global, keys, *which, *site), cap, dest)
                .map(Some),
            Op::StrMatch(regex, text) => self.text_match(*regex, *text).map(Some),
            Op::Matched(group, site) => self.matched_text(*group, *site, cap, dest).map(Some),
            Op::MatchedGroups => self.matched_groups().map(Some),
            Op::StrQuote(text) => self.text_quote(*text, cap, dest).map(Some),
            Op::StrConcat(values) => Ok(Some(self.text_concat(values, cap, dest))),
            Op::StrCmp(a, b) => Ok(Some(self.text_cmp(*a, *b))),
            Op::StrByte(text, index) => Ok(Some(self.text_byte(*text, *index))),
            Op::StrSub(text, start, len) => Ok(Some(self.text_sub(*text, *start, *len, cap, dest))),
            Op::StrFind(text, needle) => self.text_find(*text, *needle).map(Some),
            Op::StrToInt(text, base) => Ok(Some(self.text_to_int(*text, *base))),
            _ => Err(self.unsupported("this string operation", "do it in an end or timer probe")),
        }
    }

    /// Copies a string to a slot that is too short for it: the text is cut to the slot's cap.
    pub(super) fn copy_cut(&mut self, text: Text, to: TextMem) {
        if let Some(mut bytes) = self.const_bytes(text) {
            bytes.truncate(to.cap as usize);
            bytes.resize(to.width() as usize, 0);
            let at = self.plan.constant(&bytes);
            self.copy_block(Mem::Rodata(at), to.mem, to.width());
            return;
        }
        let Text::Mem(from) = text else {
            return;
        };
        if to.padded {
            self.zero(to.mem, to.width());
        } else {
            self.store_imm(to.mem.at(to.width() - 8), 0);
        }
        let from = self.address(from.mem);
        self.call_void(
            Helper::ProbeReadKernelStr,
            &[
                Arg::Addr(to.mem),
                Arg::Imm(i64::from(to.cap) + 1),
                Arg::Reg(from),
            ],
        );
    }

    /// Length of a string: a copy into nowhere counts it.
    pub(super) fn text_len(&mut self, text: Text) -> Val {
        if let Some(bytes) = self.const_bytes(text) {
            return Val::Const(bytes.len() as i64);
        }
        let Text::Mem(from) = text else {
            return Val::Const(0);
        };
        let scratch = self
            .buffers
            .alloc(from.width(), Access::Fixed, (self.pos, self.pos));
        let address = self.address(from.mem);
        let copied = self.call(
            Helper::ProbeReadKernelStr,
            &[
                Arg::Addr(scratch),
                Arg::Imm(i64::from(from.cap) + 1),
                Arg::Reg(address),
            ],
        );
        Val::Reg(self.alu(AluOp::Sub, copied, Src::Imm(1)))
    }
}
