//! Strings that user space makes of what is kept in their stead.

use super::text::Text;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::insn::{AluOp, Size, Src};
use crate::image::{Field, width_bytes};
use crate::lir::{FormatId, Ty, Value};

/// Bytes of a late string before its fields.
pub(super) const LATE_HEAD_BYTES: u32 = 8;

impl Cx<'_> {
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
}
