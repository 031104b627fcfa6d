//! What handlers of a side do: kernel handlers and user-side ones share globals.

use std::collections::HashSet;

use rtap_compiler::lir::{Exec, Func, Module, Op, Terminator};

/// Calls `f` on each operation of the handlers that `exec` runs and the functions they call.
pub(super) fn for_each_op_of(exec: Exec, module: &Module, f: impl FnMut(&Op)) {
    let handlers = module.handlers.values();
    let functions = handlers
        .filter(|handler| handler.exec == exec)
        .map(|handler| handler.func)
        .collect();
    for_each_op_from(functions, module, f);
}

/// Calls `f` on each operation of the functions and those they call.
pub(super) fn for_each_op_from(mut functions: Vec<Func>, module: &Module, mut f: impl FnMut(&Op)) {
    let mut known: HashSet<Func> = HashSet::new();
    while let Some(id) = functions.pop() {
        let Some(function) = module.functions.get(id).filter(|_| known.insert(id)) else {
            continue;
        };
        for block in function.blocks.values() {
            let last = match &block.term {
                Terminator::Try { op, .. } => Some(op),
                _ => None,
            };
            for op in block.insts.iter().map(|inst| &inst.op).chain(last) {
                if let Op::Call(callee, ..) = op {
                    functions.push(*callee);
                }
                f(op);
            }
        }
    }
}
