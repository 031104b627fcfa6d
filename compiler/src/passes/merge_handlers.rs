//! Kernel handlers on the same points become one program: what comes first is run first, and then, without another
//! entry and look at the session's state, what follows.
//!
//! Only neighbours are merged, so that the order of handlers stays; and only where nothing in front can keep what
//! follows from running: no error, `exit()` or loop (whose rounds are counted for each handler), no matches that
//! would be seen behind. Handlers that are measured stay apart.

use cranelift_entity::PrimaryMap;

use super::interner::Interner;
use crate::lir::*;

/// The functions of user space that look points up by their numbers, which merging would change.
const BY_POINT: &[&str] = &["pp", "probefunc", "probemod"];

/// Merges handlers.
pub(super) fn run(module: &mut Module, texts: &mut Interner) {
    if asks_for_points(module) {
        return;
    }
    let mut merged: PrimaryMap<HandlerId, Handler> = PrimaryMap::new();
    // The last kernel handler so far.
    let mut last: Option<HandlerId> = None;
    for (_, handler) in std::mem::take(&mut module.handlers) {
        if handler.exec == Exec::User {
            merged.push(handler);
            continue;
        }
        if let Some(id) = last
            && let first = &merged[id]
            && is_same(first, &handler)
            && goes_on(&module.functions[first.func])
        {
            // It calls what either calls, and callees stand before their callers.
            let func = first.func.max(handler.func);
            let mut function = module.functions[first.func].clone();
            append(&mut function, &module.functions[handler.func]);
            module.functions[func] = super::stand_in(&function);
            super::clean(module, texts, &mut function);
            module.functions[func] = function;
            merged[id].func = func;
            continue;
        }
        last = Some(merged.push(handler));
    }
    module.handlers = merged;
}

/// Whether a point's number is looked up when the script runs.
fn asks_for_points(module: &Module) -> bool {
    let by_point = |function: &UserFn| BY_POINT.contains(&function.0.as_str());
    let mut pieces = module.formats.values().flat_map(|format| &format.pieces);
    let in_format = pieces.any(|piece| matches!(piece, Piece::Call(name, _) if by_point(name)));
    let is_asked = |op: &Op| matches!(op, Op::User(name, ..) if by_point(name));
    let mut functions = module.functions.values();
    in_format || functions.any(|function| ops(function).any(is_asked))
}

/// Whether handlers are run by the same things in the same way.
fn is_same(a: &Handler, b: &Handler) -> bool {
    a.context == b.context && a.early == b.early && a.points == b.points
}

/// Whether what follows a body is run in any case, and as if the body had not been there.
fn goes_on(function: &Function) -> bool {
    let ends =
        |op: &Op| op.can_fail() || matches!(op, Op::RequestExit | Op::StrMatch(..) | Op::Hit(_));
    let blocks = || function.blocks.values();
    !ops(function).any(ends)
        && blocks().all(|block| block.loop_head.is_none())
        && !blocks().any(|block| matches!(block.term, Terminator::Raise { .. }))
}

fn ops(function: &Function) -> impl Iterator<Item = &Op> {
    function.blocks.values().flat_map(|block| {
        let caught = match &block.term {
            Terminator::Try { op, .. } => Some(op),
            _ => None,
        };
        block.insts.iter().map(|inst| &inst.op).chain(caught)
    })
}

/// Puts a handler's body behind another's.
fn append(function: &mut Function, second: &Function) {
    let ends: Vec<Block> = function
        .blocks
        .keys()
        .filter(|block| matches!(function.blocks[*block].term, Terminator::Return(_)))
        .collect();
    let entry = function.append(second);
    for block in ends {
        function.blocks[block].term = Terminator::Jump(BlockCall {
            block: entry,
            args: Vec::new(),
        });
    }
}
