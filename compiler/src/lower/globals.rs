//! Globals: what they hold, which are printed at the end, which are shared.

use cranelift_entity::{EntitySet, SecondaryMap};

use super::lir_ty;
use super::tables::Tables;
use crate::hir::{self, Literal, Program};
use crate::image::Point;
use crate::lir::cfg::for_each_callee;
use crate::lir::*;

/// Lowers the globals; they keep their numbers.
pub(super) fn lower(program: &Program, tables: &mut Tables) {
    for global in program.globals.values() {
        let print_at_end = global.written && !global.read && !global.library;
        tables.module.globals.push(GlobalData {
            name: global.name.clone(),
            kind: kind(global, print_at_end),
            print_at_end,
            shared: false,
        });
    }
}

fn kind(global: &hir::GlobalData, print_at_end: bool) -> GlobalKind {
    let stat = || {
        let mut layout = global.stat.clone();
        // What nobody reads is printed with all of these.
        if print_at_end {
            layout.sum = true;
            layout.min = true;
            layout.max = true;
        }
        layout
    };
    let value = lir_ty(global.value, global.value_cap);
    if global.keys.is_empty() {
        return match value {
            None => GlobalKind::Stat(stat()),
            Some(ty) => GlobalKind::Scalar {
                ty,
                init: initial(global, ty),
            },
        };
    }
    let caps = global
        .key_caps
        .iter()
        .copied()
        .chain(std::iter::repeat((0, false)));
    GlobalKind::Array {
        keys: global
            .keys
            .iter()
            .zip(caps)
            .map(|(ty, cap)| lir_ty(*ty, cap).unwrap_or(Ty::I64))
            .collect(),
        value: match value {
            None => ElementKind::Stat(stat()),
            Some(ty) => ElementKind::Plain(ty),
        },
        max_entries: global.max_entries.saturating_mul(global.forms),
        wrap: global.wrap,
    }
}

fn initial(global: &hir::GlobalData, ty: Ty) -> Init {
    match (ty, &global.init) {
        (Ty::I64, Some(Literal::Int(n))) => Init::Int(*n),
        (Ty::I64, _) => Init::Int(0),
        (Ty::Str { cap, late: false }, Some(Literal::Str(text))) => {
            Init::Str(text[..text.len().min(cap as usize)].into())
        }
        (Ty::Str { .. }, _) => Init::Str("".into()),
    }
}

/// Marks the globals that more than one program updates: a handler on several typed points has one for each, of which
/// one can interrupt another.
pub(super) fn mark_shared(module: &mut Module) {
    let mut updated_by: SecondaryMap<Global, u32> = SecondaryMap::new();
    for handler in module.handlers.values() {
        let programs = 1 + u32::from(has_programs(handler));
        let mut seen = EntitySet::new();
        for func in reachable(module, handler.func) {
            for_each_update(&module.functions[func], |global| {
                if !seen.contains(global) {
                    seen.insert(global);
                    updated_by[global] += programs;
                }
            });
        }
    }
    for (id, global) in &mut module.globals {
        global.shared = updated_by[id] > 1;
    }
}

/// Whether a handler has several programs.
fn has_programs(handler: &Handler) -> bool {
    let is_typed = match handler.context {
        Context::BtfTracepoint | Context::Fentry | Context::Fexit { .. } => true,
        Context::None
        | Context::RawTracepoint
        | Context::RawSyscall { .. }
        | Context::Regs
        | Context::PerfEvent => false,
    };
    let differ = |two: &[Point]| two[0].attach != two[1].attach;
    is_typed && handler.points.windows(2).any(differ)
}

/// A function and all it can call.
fn reachable(module: &Module, root: Func) -> Vec<Func> {
    let mut seen = EntitySet::new();
    let mut list = vec![root];
    seen.insert(root);
    let mut at = 0;
    while let Some(&func) = list.get(at) {
        for_each_callee(&module.functions[func], |callee| {
            if !seen.contains(callee) {
                seen.insert(callee);
                list.push(callee);
            }
        });
        at += 1;
    }
    list
}

fn for_each_update(func: &Function, mut f: impl FnMut(Global)) {
    let mut see = |op: &Op| {
        if op.updates_global() {
            op.global().into_iter().for_each(&mut f);
        }
    };
    for block in func.blocks.values() {
        block.insts.iter().for_each(|inst| see(&inst.op));
        if let Terminator::Try { op, .. } = &block.term {
            see(op);
        }
    }
}
