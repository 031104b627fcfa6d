//! Wraps what is not late and goes to a late place into a late `sprint`, so that lowering
//! never has to convert.

use cranelift_entity::PrimaryMap;

use crate::hir::visit::{VisitMut, walk_expr_mut, walk_probe_mut, walk_stmt_mut};
use crate::hir::{
    Expr, ExprKind, FuncId, Global, Local, LocalData, Place, Print, PrintArg, PrintKind, Program,
    Stmt, StmtKind, Ty,
};
use crate::lir::Channel;

/// A width, and whether it is late.
type Cap = (u32, bool);

/// Wraps in all code.
pub(super) fn wrap(program: &mut Program) {
    let values = program
        .globals
        .values()
        .map(|global| global.value_cap)
        .collect();
    let params = program
        .functions
        .values()
        .map(|function| function.param_caps.clone())
        .collect();
    let mut wrap = Wrap {
        values,
        params,
        locals: Vec::new(),
        ret: (0, false),
    };
    for function in program.functions.values_mut() {
        wrap.ret = function.ret_cap;
        for body in &mut function.overloads {
            wrap.enter(&body.locals);
            wrap.stmts(&mut body.stmts);
        }
    }
    for probe in &mut program.probes {
        wrap.enter(&probe.locals);
        walk_probe_mut(&mut wrap, probe);
    }
}

struct Wrap {
    values: PrimaryMap<Global, Cap>,
    params: PrimaryMap<FuncId, Vec<Cap>>,
    /// Of the current body.
    locals: Vec<Cap>,
    ret: Cap,
}

impl Wrap {
    fn enter(&mut self, locals: &PrimaryMap<Local, LocalData>) {
        self.locals = locals.values().map(|local| local.cap).collect();
    }
}

/// Makes an expression late with the width of the place it goes to.
fn to_late(expr: &mut Expr, place: Cap) {
    if !place.1 || expr.cap.1 || expr.ty != Ty::Str {
        return;
    }
    let span = expr.span;
    let inner = std::mem::replace(expr, Expr::new(ExprKind::Error, Ty::Error, span));
    let print = Print {
        kind: PrintKind::Plain {
            delimiter: bstr::BString::default(),
            newline: false,
        },
        args: vec![PrintArg::Value(inner)],
        channel: Channel::Out,
    };
    *expr = Expr::new(ExprKind::Sprint(print), Ty::Str, span);
    expr.cap = place;
}

impl VisitMut for Wrap {
    fn expr(&mut self, expr: &mut Expr) {
        walk_expr_mut(self, expr);
        let cap = expr.cap;
        match &mut expr.kind {
            ExprKind::Assign {
                place,
                op: None,
                value,
            } => {
                let place = match place {
                    Place::Local(local) => self.locals[local.as_u32() as usize],
                    Place::Global(global) | Place::Element(global, _) => self.values[*global],
                    Place::Memory { .. } | Place::Error => return,
                };
                to_late(value, place);
            }
            ExprKind::Ternary(_, a, b) => {
                to_late(a, cap);
                to_late(b, cap);
            }
            ExprKind::Call(function, args) => {
                for (arg, cap) in args.iter_mut().zip(&self.params[*function]) {
                    to_late(arg, *cap);
                }
            }
            // A late concatenation is a record of its parts.
            ExprKind::Concat(parts) if cap.1 => {
                let args = std::mem::take(parts)
                    .into_iter()
                    .map(PrintArg::Value)
                    .collect();
                let kind = PrintKind::Plain {
                    delimiter: bstr::BString::default(),
                    newline: false,
                };
                expr.kind = ExprKind::Sprint(Print {
                    kind,
                    args,
                    channel: Channel::Out,
                });
            }
            _ => {}
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        walk_stmt_mut(self, stmt);
        if let StmtKind::Return(Some(value)) = &mut stmt.kind {
            to_late(value, self.ret);
        }
    }
}
