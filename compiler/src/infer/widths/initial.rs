//! Initial texts of late globals. What is in memory before any handler runs would have to be a record, so the first
//! of all `begin` handlers assigns them instead.

use cranelift_entity::PrimaryMap;

use super::Slot;
use super::late::LateSet;
use crate::hir::{
    Expr, ExprKind, GlobalData, Literal, Place, Probe, Program, Stmt, StmtKind, Ty, Variant,
};
use crate::image::{Attach, Point};
use crate::lir::{Context, Exec};

/// Whether a place is a global with an initial text.
pub(super) fn has_text(program: &Program, slot: Slot) -> bool {
    matches!(slot, Slot::Value(id) if is_text(&program.globals[id]))
}

fn is_text(global: &GlobalData) -> bool {
    matches!(&global.init, Some(Literal::Str(text)) if !text.is_empty())
}

/// Moves the initial texts of late globals to a handler of their own. Whether there are any.
pub(super) fn assign_late(program: &mut Program, late: &LateSet) -> bool {
    let mut stmts = Vec::new();
    for (id, global) in &mut program.globals {
        if !is_text(global) || !late.place(Slot::Value(id)) {
            continue;
        }
        let Some(Literal::Str(text)) = global.init.take() else {
            continue;
        };
        let span = global.span;
        let assign = ExprKind::Assign {
            place: Place::Global(id),
            op: None,
            value: Box::new(Expr::new(ExprKind::Str(text), Ty::Str, span)),
        };
        stmts.push(Stmt {
            kind: StmtKind::Expr(Expr::new(assign, Ty::Str, span)),
            span,
        });
    }
    let Some(first) = stmts.first() else {
        return false;
    };
    let priority = i64::MIN;
    program.probes.push(Probe {
        name: "initial texts".to_owned(),
        span: first.span,
        exec: Exec::User,
        context: Context::None,
        syscall: false,
        early: false,
        points: vec![Point {
            text: format!("begin({priority})"),
            function: String::new(),
            module: String::new(),
            attach: Attach::Begin { priority },
            selector: None,
            optional: false,
        }],
        selector: None,
        locals: PrimaryMap::new(),
        variants: vec![Variant {
            points: vec![0],
            ..Variant::default()
        }],
        stmts,
    });
    true
}
