//! Conditions whose value can be told while names are resolved.

use rtap_grammar::ast::{self, AtOp, BinaryOp, ExprKind as Ast, UnaryOp};
use rtap_grammar::diag::Severity;

use super::Cx;

impl Cx<'_> {
    /// What a condition comes to that asks what there is (`@defined`, `@probewrite`): what it does not
    /// choose is not looked at. What other constant conditions do not choose is part of the
    /// script: it must be right, and its uses of names tell their types.
    pub(crate) fn decided(&mut self, cond: &ast::Expr) -> Option<i64> {
        asks(cond).then(|| self.constant(cond)).flatten()
    }

    /// The value of a condition, where that can be told from the script and the target alone.
    pub(crate) fn constant(&mut self, expr: &ast::Expr) -> Option<i64> {
        match &expr.kind {
            Ast::Number(n) => Some(*n),
            Ast::At {
                op: AtOp::Defined,
                args,
            } => {
                let what = args.first()?;
                let (_, diags) = self.capture(|cx| cx.expr(what));
                let fails = diags.iter().any(|d| d.severity == Severity::Error);
                Some(i64::from(!fails))
            }
            Ast::At {
                op: AtOp::Probewrite,
                args,
            } => {
                let (Ast::Name(name) | Ast::ContextVar(name)) = &args.first()?.kind else {
                    return None;
                };
                Some(i64::from(self.scope.writes.contains(&name.name)))
            }
            Ast::Unary {
                op: UnaryOp::Not,
                operand,
            } => self.constant(operand).map(|n| i64::from(n == 0)),
            Ast::Binary { op, lhs, rhs } => {
                let a = self.constant(lhs);
                match op {
                    BinaryOp::AndAnd if a == Some(0) => return Some(0),
                    BinaryOp::OrOr if a.is_some_and(|a| a != 0) => return Some(1),
                    _ => {}
                }
                let (a, b) = (a?, self.constant(rhs)?);
                Some(match op {
                    BinaryOp::AndAnd => i64::from(a != 0 && b != 0),
                    BinaryOp::OrOr => i64::from(a != 0 || b != 0),
                    BinaryOp::Eq => i64::from(a == b),
                    BinaryOp::Ne => i64::from(a != b),
                    BinaryOp::Lt => i64::from(a < b),
                    BinaryOp::Le => i64::from(a <= b),
                    BinaryOp::Gt => i64::from(a > b),
                    BinaryOp::Ge => i64::from(a >= b),
                    _ => return None,
                })
            }
            _ => None,
        }
    }
}

/// Whether a condition asks what there is.
fn asks(cond: &ast::Expr) -> bool {
    match &cond.kind {
        Ast::At { op, .. } => matches!(op, AtOp::Defined | AtOp::Probewrite),
        Ast::Unary { operand, .. } => asks(operand),
        Ast::Binary { lhs, rhs, .. } => asks(lhs) || asks(rhs),
        _ => false,
    }
}
