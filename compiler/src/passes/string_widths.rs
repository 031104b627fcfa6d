//! Makes operations give strings of the width that is wanted, instead of cutting or widening
//! their results afterwards.
//!
//! Where the only use of a string is a `str.cut`, and its operation leaves the width to the
//! instruction, the operation's result gets the cut's type and the cut disappears.

use cranelift_entity::SecondaryMap;

use super::replace::Replacements;
use crate::lir::{Function, Op, Ty, Value};

/// Removes such cuts; says whether there were any.
pub(super) fn run(function: &mut Function) -> bool {
    let mut uses: SecondaryMap<Value, u32> = SecondaryMap::new();
    let mut is_flexible: SecondaryMap<Value, bool> = SecondaryMap::new();
    let mut cuts = Vec::new();
    for block in function.blocks.values() {
        for inst in &block.insts {
            inst.op.for_each_operand(|v| uses[v] += 1);
            if let Some(result) = inst.result {
                is_flexible[result] = chooses_width(&inst.op);
                if let Op::StrCut(from) = inst.op {
                    cuts.push((from, result));
                }
            }
        }
        block.term.for_each_operand(|v| uses[v] += 1);
    }
    let mut replacements = Replacements::default();
    for (from, result) in cuts {
        let is_late = |value| matches!(function.ty(value), Ty::Str { late: true, .. });
        if uses[from] == 1 && is_flexible[from] && !is_late(from) && !is_late(result) {
            function.values[from].ty = function.ty(result);
            // A cut of the cut's own result may follow.
            uses[from] = uses[result];
            replacements.set(result, from);
        }
    }
    if replacements.is_empty() {
        return false;
    }
    for block in function.blocks.values_mut() {
        block.insts.retain(|inst| match (&inst.op, inst.result) {
            (Op::StrCut(_), Some(result)) => replacements.get(result) == result,
            _ => true,
        });
    }
    replacements.apply(function);
    true
}

/// Whether the result of an operation is cut to whatever width the instruction says.
fn chooses_width(op: &Op) -> bool {
    matches!(
        op,
        Op::StrConst(_)
            | Op::StrConcat(_)
            | Op::StrSub(..)
            | Op::StrFormat(..)
            | Op::Matched(..)
            | Op::MemReadStr { .. }
            | Op::MemReadStrN { .. }
            | Op::MemReadHex { .. }
            | Op::StrTable(..)
            | Op::StrFlags(..)
            | Op::PointText(..)
            | Op::ErrText(..)
    )
}
