//! Scalars that nothing changes are constants: `global debug = 0` costs nothing.

use cranelift_entity::EntitySet;

use super::for_each_function;
use super::interner::Interner;
use crate::lir::{Global, GlobalKind, Init, Module, Op, Terminator, Ty};

/// Replaces reads of unchanging scalars.
pub(super) fn run(module: &mut Module, texts: &mut Interner) {
    let mut updated: EntitySet<Global> = EntitySet::new();
    for function in module.functions.values() {
        for block in function.blocks.values() {
            let tried = match &block.term {
                Terminator::Try { op, .. } => Some(op),
                _ => None,
            };
            for op in block.insts.iter().map(|inst| &inst.op).chain(tried) {
                if op.updates_global()
                    && let Some(global) = op.global()
                {
                    updated.insert(global);
                }
            }
        }
    }
    for_each_function(module, |module, _, function| {
        for block in function.blocks.values_mut() {
            for inst in &mut block.insts {
                if let Op::GlobalGet(global) = inst.op
                    && !updated.contains(global)
                    && let Some(constant) = constant(module, texts, global)
                {
                    inst.op = constant;
                }
            }
        }
    });
}

/// The constant that a scalar starts with.
fn constant(module: &mut Module, texts: &mut Interner, global: Global) -> Option<Op> {
    match &module.globals[global].kind {
        GlobalKind::Scalar {
            ty: Ty::I64,
            init: Init::Int(n),
        } => Some(Op::Const(*n)),
        GlobalKind::Scalar {
            ty: Ty::Str { late: false, .. },
            init: Init::Str(text),
        } => {
            let text = text.clone();
            Some(Op::StrConst(texts.get(module, &text)))
        }
        _ => None,
    }
}
