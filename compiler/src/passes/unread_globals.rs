//! Globals that nothing reads and that are not printed at the end need not be written: tapsets
//! keep state for functions that a script does not call.

use cranelift_entity::EntitySet;

use crate::lir::{Func, Global, Module, Op, Terminator};

/// Removes updates that nobody can see; gives the functions that had some.
pub(super) fn run(module: &mut Module) -> EntitySet<Func> {
    let mut read: EntitySet<Global> = EntitySet::new();
    for (id, global) in &module.globals {
        if global.print_at_end {
            read.insert(id);
        }
    }
    for function in module.functions.values() {
        for block in function.blocks.values() {
            let tried = match &block.term {
                Terminator::Try { op, .. } => Some(op),
                _ => None,
            };
            for op in block.insts.iter().map(|inst| &inst.op).chain(tried) {
                if let Some(global) = op.global()
                    && !is_only_update(op)
                {
                    read.insert(global);
                }
            }
        }
    }
    let is_idle = |op: &Op| is_only_update(op) && op.global().is_some_and(|g| !read.contains(g));
    let mut changed = EntitySet::new();
    for (id, function) in &mut module.functions {
        for block in function.blocks.values_mut() {
            let before = block.insts.len();
            block.insts.retain(|inst| !is_idle(&inst.op));
            if block.insts.len() != before {
                changed.insert(id);
            }
            if let Terminator::Try { op, ok, .. } = &block.term
                && is_idle(op)
            {
                block.term = Terminator::Jump(ok.clone());
                changed.insert(id);
            }
        }
    }
    changed
}

/// Whether the operation changes its global and tells nothing of it.
fn is_only_update(op: &Op) -> bool {
    op.updates_global() && !matches!(op, Op::GlobalFetchAdd(..) | Op::ArrayFetchAdd(..))
}
