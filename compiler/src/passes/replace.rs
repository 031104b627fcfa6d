//! Values that are to be replaced by others.

use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;

use crate::lir::{Function, Value};

/// A map from values to what stands for them, followed to the end.
#[derive(Default)]
pub(super) struct Replacements {
    map: SecondaryMap<Value, PackedOption<Value>>,
    any: bool,
}

impl Replacements {
    /// From now on `new` stands for `old`.
    pub(super) fn set(&mut self, old: Value, new: Value) {
        let new = self.get(new);
        if old != new {
            self.map[old] = new.into();
            self.any = true;
        }
    }

    /// What stands for a value.
    pub(super) fn get(&self, value: Value) -> Value {
        let mut value = value;
        while let Some(next) = self.map[value].expand() {
            value = next;
        }
        value
    }

    /// Whether there is nothing to replace.
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Changes all uses in a function.
    pub(super) fn apply(&self, function: &mut Function) {
        if self.is_empty() {
            return;
        }
        for block in function.blocks.values_mut() {
            for inst in &mut block.insts {
                inst.op.for_each_operand_mut(|v| *v = self.get(*v));
            }
            block.term.for_each_operand_mut(|v| *v = self.get(*v));
        }
    }
}
