//! Whether code reads registers, itself or in functions that it calls: a probe is attached by a kprobe then, for
//! trampolines hand over arguments only.

use rtap_grammar::ast::{FunctionBody, Name, Visitor as _};
use rustc_hash::FxHashSet;

use super::Cx;
use super::mentions::Mentions;
use crate::builtins;

impl Cx<'_> {
    /// Whether what has these mentions reads registers.
    pub(super) fn needs_registers(&mut self, mentions: &Mentions) -> bool {
        if mentions.registers {
            return true;
        }
        let mut asked = FxHashSet::default();
        let mut open: Vec<Name> = mentions.calls.iter().cloned().collect();
        while let Some(name) = open.pop() {
            if self.without_registers.contains(&name) || !asked.insert(Name::clone(&name)) {
                continue;
            }
            if self.symbols.functions(&name).is_empty() && !self.pull_functions(&name) {
                if builtins::find(&name).is_some_and(|id| builtins::get(id).registers) {
                    return true;
                }
                continue;
            }
            for function in self.symbols.functions(&name) {
                let FunctionBody::Block(block) = &function.body else {
                    continue;
                };
                let mut body = Mentions::default();
                body.block(block);
                if body.registers {
                    return true;
                }
                open.extend(body.calls);
            }
        }
        self.without_registers.extend(asked);
        false
    }
}
