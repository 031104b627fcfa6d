//! Which names a block may read as they were before it: those that it does not surely assign
//! first. What an alias sets of the others is of no use to it.

use rtap_grammar::ast::{
    AssignOp, BinaryOp, Block, Expr, ExprKind, Ident, Indexable, Name, Stmt, StmtKind, Visitor,
    walk_expr, walk_stmt,
};
use rustc_hash::FxHashSet;

/// Names whose values from before the block may matter in it.
pub(super) fn live_names(block: &Block) -> FxHashSet<Name> {
    let mut live = Live::default();
    live.block(block);
    live.read
}

#[derive(Default)]
struct Live {
    /// Read when they may not have been assigned yet.
    read: FxHashSet<Name>,
    /// Assigned on every way to here.
    assigned: FxHashSet<Name>,
}

impl Live {
    /// Something that may not be done, or not to its end.
    /// Gives what it assigns.
    fn maybe(&mut self, part: impl FnOnce(&mut Self)) -> FxHashSet<Name> {
        let before = self.assigned.clone();
        part(self);
        std::mem::replace(&mut self.assigned, before)
    }

    /// One of two ways is taken.
    fn either(&mut self, one: impl FnOnce(&mut Self), other: impl FnOnce(&mut Self)) {
        let one = self.maybe(one);
        let other = self.maybe(other);
        self.assigned.extend(one.intersection(&other).cloned());
    }

    fn name(&mut self, name: &Name) {
        if !self.assigned.contains(name) {
            self.read.insert(Name::clone(name));
        }
    }
}

impl Visitor for Live {
    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond);
                self.either(
                    |cx| cx.stmt(then),
                    |cx| otherwise.iter().for_each(|stmt| cx.stmt(stmt)),
                );
            }
            StmtKind::While { cond, body } => {
                self.expr(cond);
                self.maybe(|cx| cx.stmt(body));
            }
            StmtKind::For { head, body } => {
                let first = [&head.init, &head.cond].into_iter().flatten();
                first.for_each(|expr| self.expr(expr));
                self.maybe(|cx| cx.stmt(body));
                // `continue` may have left the body early.
                self.maybe(|cx| head.step.iter().for_each(|expr| cx.expr(expr)));
            }
            StmtKind::Foreach(foreach) => {
                self.array(&foreach.array);
                foreach.slice.iter().for_each(|key| self.key(key));
                foreach.limit.iter().for_each(|limit| self.expr(limit));
                self.maybe(|cx| {
                    let vars = foreach.value.iter().chain(&foreach.keys);
                    vars.for_each(|var| cx.binding(&var.name));
                    cx.stmt(&foreach.body);
                });
            }
            StmtKind::Try {
                body,
                message,
                handler,
            } => {
                self.maybe(|cx| cx.block(body));
                self.maybe(|cx| {
                    message.iter().for_each(|message| cx.binding(message));
                    cx.block(handler);
                });
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.name(&name.name),
            ExprKind::Assign {
                op: AssignOp::Set,
                target,
                value,
            } if let ExprKind::Name(name) = &target.kind => {
                self.expr(value);
                self.binding(name);
            }
            ExprKind::Binary {
                op: BinaryOp::AndAnd | BinaryOp::OrOr,
                lhs,
                rhs,
            } => {
                self.expr(lhs);
                self.maybe(|cx| cx.expr(rhs));
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond);
                self.either(|cx| cx.expr(then), |cx| cx.expr(otherwise));
            }
            _ => walk_expr(self, expr),
        }
    }

    fn array(&mut self, array: &Indexable) {
        match array {
            Indexable::Array(name) => self.name(&name.name),
            Indexable::Hist(expr) => self.expr(expr),
        }
    }

    fn binding(&mut self, name: &Ident) {
        self.assigned.insert(Name::clone(&name.name));
    }
}
