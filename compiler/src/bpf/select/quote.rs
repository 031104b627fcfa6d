//! `string_quoted`: a string as a C literal. A table of constants says for each byte what stands for
//! it; the loop stores four characters at a time and goes on behind those that count.

use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::image::width_bytes;
use crate::lir::{Op, Ty, Value};

/// What follows the text when it was cut.
const CUT: &[u8; 4] = b"\"...";
/// The most characters that stand for one byte.
const LONGEST: u32 = 4;
/// Bytes of the shortest result: of a quote and what follows a text that was cut.
const LEAST_CAP: u32 = 5;

/// What stands for a byte.
pub(super) fn escape(byte: u8) -> Vec<u8> {
    let letter = match byte {
        0x07 => b'a',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        b'\\' | b'"' => byte,
        0x20..=0x7e => return vec![byte],
        _ => {
            return vec![
                b'\\',
                b'0' + (byte >> 6),
                b'0' + (byte >> 3 & 7),
                b'0' + (byte & 7),
            ];
        }
    };
    vec![b'\\', letter]
}

/// For each byte eight: the characters, and in the last one how many.
fn table() -> Vec<u8> {
    let mut table = Vec::with_capacity(256 * 8);
    for byte in 0..=255 {
        let mut entry = escape(byte);
        let count = entry.len() as u8;
        entry.resize(7, 0);
        entry.push(count);
        table.extend(entry);
    }
    table
}

impl Cx<'_> {
    pub(super) fn text_quote(&mut self, text: Value, cap: u32, dest: Dest) -> Lowered<Val> {
        if cap < LEAST_CAP {
            return Err(self.internal("a quoted string without room for the quotes"));
        }
        let long = self.is_long(text);
        let text = self.text(text);
        let shared = match self.quoting.get(&cap) {
            Some(shared) if long => *shared,
            _ if !long || !self.is_shared(quoted) => {
                let text = self.text_in_memory(text);
                return Ok(Val::Text(self.quote_memory(text, cap, dest)));
            }
            _ => {
                let own = Dest {
                    value: None,
                    range: (0, u32::MAX),
                    padded: false,
                    variable: false,
                    ..dest
                };
                let shared = self.share_text(&|cx, text| cx.quote_memory(text, cap, own))?;
                self.quoting.insert(cap, shared);
                shared
            }
        };
        let quoted = self.call_shared(shared, text);
        Ok(self.private_copy(quoted, dest))
    }

    fn quote_memory(&mut self, text: TextMem, cap: u32, dest: Dest) -> Text {
        let table = self.plan.constant(&table());
        let bound = (cap + LONGEST + 1).next_power_of_two();
        let to = self.buffers.alloc(bound + 16, Access::Variable, dest.range);
        let width = width_bytes(Ty::str(cap));
        if dest.padded {
            self.zero(to, width);
        }
        self.store_imm(to, i64::from(b'"'));
        let done = self.code.block(self.is_cold());

        let (head, index) = self.counted_loop(text.cap + 1);
        let (at, fit) = (self.code.vreg(), self.code.vreg());
        self.code.blocks[head.0 as usize].params.extend([at, fit]);
        let start = vec![self.imm(0), self.imm(1), self.imm(1)];
        self.jump(head, start);
        self.enter(head);
        let end = self.code.block(self.is_cold());
        self.jump_if(Cond::Ge, index, Src::Imm(text.cap as i32), end);
        let from = self.byte_address(text, index);
        let byte = self.load(Size::B, Mem::Ptr(from, 0));
        self.jump_if(Cond::Eq, byte, Src::Imm(0), end);
        let entry = self.word_at(Mem::Rodata(table), byte, 256);
        let entry = self.load(Size::D, entry);
        let place = self.address_at(to, at, bound);
        self.store(Size::W, Mem::Ptr(place, 0), Src::Reg(entry));
        let count = self.alu(AluOp::Rsh, entry, Src::Imm(56));
        let next = self.alu(AluOp::Add, at, Src::Reg(count));
        let cut = self.code.block(self.is_cold());
        self.in_block(cut, |cx| {
            let place = cx.address_at(to, fit, bound);
            let word = i64::from(u32::from_le_bytes(*CUT));
            cx.store_imm(Mem::Ptr(place, 0), word);
            cx.store_imm(Mem::Ptr(place, 4), 0);
            cx.jump(done, Vec::new());
        });
        self.jump_if(Cond::Ge, next, Src::Imm(cap as i32), cut);
        let fits = self.code.block(self.is_cold());
        let following = self.alu(AluOp::Add, index, Src::Imm(1));
        self.in_block(fits, |cx| cx.jump(head, vec![following, next, next]));
        let last_fit = (cap - LONGEST) as i32;
        self.jump_if(Cond::Le, next, Src::Imm(last_fit), fits);
        self.jump(head, vec![following, next, fit]);

        self.enter(end);
        let place = self.address_at(to, at, bound);
        self.store(Size::B, Mem::Ptr(place, 0), Src::Imm(i32::from(b'"')));
        self.store(Size::B, Mem::Ptr(place, 1), Src::Imm(0));
        self.jump(done, Vec::new());
        self.enter(done);
        Text::Mem(TextMem {
            mem: to,
            cap,
            padded: dest.padded,
            late: false,
        })
    }
}

/// What an operation puts quotes around.
fn quoted(op: &Op) -> Option<Value> {
    match op {
        Op::StrQuote(text) => Some(*text),
        _ => None,
    }
}
