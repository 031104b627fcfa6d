//! Which names a piece of syntax mentions, and whether it mentions the probe's context.

use rtap_grammar::ast::{AtOp, Expr, ExprKind, Ident, Indexable, Name, Visitor, walk_expr};
use rustc_hash::FxHashSet;

/// Names and context.
#[derive(Default)]
pub(super) struct Mentions {
    /// Plain names of variables and arrays.
    pub(super) names: FxHashSet<Name>,
    /// Those of them that are changed, and `$x` that are.
    pub(super) writes: FxHashSet<Name>,
    /// Whether `$x` or `@entry` occurs.
    pub(super) context: bool,
    /// Whether registers are read by operators.
    pub(super) registers: bool,
    /// Functions that are called.
    pub(super) calls: FxHashSet<Name>,
}

impl Mentions {
    /// Notes what is changed.
    fn target(&mut self, target: &Expr) {
        match &target.kind {
            ExprKind::Name(name)
            | ExprKind::ContextVar(name)
            | ExprKind::Index {
                array: Indexable::Array(name),
                ..
            } => {
                self.writes.insert(Name::clone(&name.name));
            }
            _ => {}
        }
    }
}

impl Visitor for Mentions {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.binding(name),
            ExprKind::ContextVar(_) => self.context = true,
            ExprKind::Call { name, .. } => {
                self.calls.insert(Name::clone(&name.name));
            }
            ExprKind::At { op, .. } => {
                let register = matches!(op, AtOp::Uregister | AtOp::Kregister);
                self.registers |= register;
                self.context |= register || matches!(op, AtOp::Entry);
            }
            ExprKind::IncDec {
                operand: target, ..
            }
            | ExprKind::Assign { target, .. } => self.target(target),
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn array(&mut self, array: &Indexable) {
        match array {
            Indexable::Array(name) => self.binding(name),
            Indexable::Hist(expr) => self.expr(expr),
        }
    }

    fn binding(&mut self, name: &Ident) {
        self.names.insert(Name::clone(&name.name));
    }
}
