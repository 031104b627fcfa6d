//! Names of the bits of a number: a loop through a table of masks, values and names.

use regalloc2::VReg;

use super::{Cx, Dest, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::builtins::names::{Item, items_of};
use crate::image::width_bytes;
use crate::lir::{Conv, ConvKind, TableId, Ty, Value};

/// Where an entry's mask, value and name are. The name has the bar in front that stands between two.
const MASK: i32 = 0;
const VALUE: i32 = 8;
const NAME: i32 = 16;
/// What stands before bits without names.
const HEX: &[u8] = b"|0x";
/// Most digits of them.
const HEX_DIGITS: u32 = 16;

impl Cx<'_> {
    pub(super) fn str_flags(&mut self, table: TableId, number: Value, dest: Dest) -> Val {
        let module = self.module;
        let items: Vec<Item<'_>> = items_of(&module.tables[table]).collect();
        let zero = items.iter().find(|item| item.value == Some((0, 0)));
        let zero = self.literal(zero.map_or("0x0", |item| item.name).as_bytes());
        let named: Vec<(i64, i64, &str)> = items
            .iter()
            .filter_map(|item| Some((item.value?, item.name)))
            .filter(|((_, mask), _)| *mask != 0)
            .map(|((value, mask), name)| (value, mask, name))
            .collect();
        let mut pieces: Vec<u32> = named.iter().map(|named| named.2.len() as u32 + 1).collect();
        let longest = pieces.iter().copied().max().unwrap_or(0);
        pieces.extend([HEX.len() as u32, HEX_DIGITS, self.text_cap(zero)]);
        let cap = match dest.ty {
            Some(Ty::Str { cap, .. }) => cap,
            Some(Ty::I64) | None => 0,
        };
        let mut builder = self.begin_text(&pieces, cap, dest);

        let name_bytes = width_bytes(Ty::str(longest));
        let entry_bytes = NAME as u32 + name_bytes;
        let mut entries = Vec::with_capacity(named.len() * entry_bytes as usize);
        for (value, mask, name) in &named {
            entries.extend(mask.to_le_bytes());
            entries.extend(value.to_le_bytes());
            entries.push(b'|');
            entries.extend(name.as_bytes());
            entries.resize(entries.len().next_multiple_of(entry_bytes as usize), 0);
        }
        let count = named.len() as u32;
        let entries = Mem::Rodata(self.plan.constant(&entries));
        let bits = self.reg(number);

        let (head, index) = self.counted_loop(count + 1);
        let (rest, cursor) = (self.code.vreg(), self.code.vreg());
        self.code.blocks[head.0 as usize]
            .params
            .extend([rest, cursor]);
        let start = vec![self.imm(0), bits, self.imm(0)];
        self.jump(head, start);
        self.enter(head);
        let end = self.code.block(self.is_cold());
        self.jump_if(Cond::Ge, index, Src::Imm(count as i32), end);
        let following = self.alu(AluOp::Add, index, Src::Imm(1));
        let entry = self.slot_address(entries, index, count, entry_bytes);
        let mask = self.load(Size::D, Mem::Ptr(entry, MASK));
        let value = self.load(Size::D, Mem::Ptr(entry, VALUE));
        let other = self.code.block(self.is_cold());
        self.in_block(other, |cx| cx.jump(head, vec![following, rest, cursor]));
        let here = self.alu(AluOp::And, bits, Src::Reg(mask));
        self.jump_if(Cond::Ne, here, Src::Reg(value), other);
        // Bits that an earlier item has taken are not shown again.
        let here = self.alu(AluOp::And, rest, Src::Reg(mask));
        self.jump_if(Cond::Ne, here, Src::Reg(value), other);
        let others = self.alu(AluOp::Xor, mask, Src::Imm(-1));
        let without = self.alu(AluOp::And, rest, Src::Reg(others));
        builder.cursor = Val::Reg(cursor);
        let name = self.behind_bar(Mem::Ptr(entry, NAME), cursor);
        self.append_memory(&mut builder, name, name_bytes - 1);
        let after = self.val_reg(builder.cursor);
        // The table is known to the verifier: it would go on once for each set of names.
        let [without, after] = [without, after].map(|number| self.forget(number));
        self.jump(head, vec![following, without, after]);

        self.enter(end);
        let done = self.code.block(self.is_cold());
        let named_only = self.code.block(self.is_cold());
        self.in_block(named_only, |cx| {
            cx.jump_if(Cond::Ne, cursor, Src::Imm(0), done);
            builder.cursor = Val::Const(0);
            cx.append(&mut builder, zero);
            cx.jump(done, Vec::new());
        });
        builder.cursor = Val::Reg(cursor);
        self.jump_if(Cond::Eq, rest, Src::Imm(0), named_only);
        let mut hex = HEX.to_vec();
        hex.push(0);
        let hex = Mem::Rodata(self.plan.constant(&hex));
        let hex = self.behind_bar(hex, cursor);
        self.append_memory(&mut builder, hex, HEX.len() as u32);
        self.append_number(
            &mut builder,
            &Conv::plain(ConvKind::HexLower),
            Val::Reg(rest),
        );
        self.jump(done, Vec::new());
        self.enter(done);
        self.built(&builder)
    }

    /// The address of what comes next: without its bar if nothing stands before it.
    fn behind_bar(&mut self, text: Mem, cursor: VReg) -> VReg {
        let something = self.at_most(cursor, 1);
        let skipped = self.alu(AluOp::Xor, something, Src::Imm(1));
        self.address_at(text, skipped, 2)
    }
}
