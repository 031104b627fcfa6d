//! Which names a block may read as they were before it: those that it does not surely assign
//! first. What an alias sets of the others is of no use to it.

use std::collections::HashSet;

use rtap_grammar::ast::{self, AssignOp, BinaryOp, ExprKind, Indexable, Key, Name, StmtKind};

/// Names whose values from before the block may matter in it.
pub(super) fn live_names(block: &ast::Block) -> HashSet<Name> {
    let mut live = Live::default();
    live.block(block);
    live.read
}

#[derive(Default)]
struct Live {
    /// Read when they may not have been assigned yet.
    read: HashSet<Name>,
    /// Assigned on every way to here.
    assigned: HashSet<Name>,
}

impl Live {
    fn block(&mut self, block: &ast::Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    /// Something that may not be done, or not to its end.
    /// Gives what it assigns.
    fn maybe(&mut self, part: impl FnOnce(&mut Self)) -> HashSet<Name> {
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

    fn stmt(&mut self, stmt: &ast::Stmt) {
        match &stmt.kind {
            StmtKind::Null
            | StmtKind::Break
            | StmtKind::Continue
            | StmtKind::Next
            | StmtKind::Return(None)
            | StmtKind::Error => {}
            StmtKind::Block(block) => self.block(block),
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
            StmtKind::For {
                init,
                cond,
                step,
                body,
            } => {
                [init, cond]
                    .into_iter()
                    .flatten()
                    .for_each(|e| self.expr(e));
                self.maybe(|cx| cx.stmt(body));
                // `continue` may have left the body early.
                self.maybe(|cx| step.iter().for_each(|e| cx.expr(e)));
            }
            StmtKind::Foreach(foreach) => {
                self.indexable(&foreach.array);
                self.keys(&foreach.slice);
                foreach.limit.iter().for_each(|limit| self.expr(limit));
                self.maybe(|cx| {
                    for var in foreach.value.iter().chain(&foreach.keys) {
                        cx.assigned.insert(Name::clone(&var.name.name));
                    }
                    cx.stmt(&foreach.body);
                });
            }
            StmtKind::Return(Some(e)) | StmtKind::Delete(e) | StmtKind::Expr(e) => self.expr(e),
            StmtKind::Try {
                body,
                message,
                handler,
            } => {
                self.maybe(|cx| cx.block(body));
                self.maybe(|cx| {
                    if let Some(message) = message {
                        cx.assigned.insert(Name::clone(&message.name));
                    }
                    cx.block(handler);
                });
            }
        }
    }

    fn name(&mut self, name: &Name) {
        if !self.assigned.contains(name) {
            self.read.insert(Name::clone(name));
        }
    }

    fn keys(&mut self, keys: &[Key]) {
        for key in keys {
            if let Key::Expr(e) = key {
                self.expr(e);
            }
        }
    }

    fn indexable(&mut self, array: &Indexable) {
        match array {
            Indexable::Array(name) => self.name(&name.name),
            Indexable::Hist(e) => self.expr(e),
        }
    }

    fn expr(&mut self, expr: &ast::Expr) {
        match &expr.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::ContextVar(_)
            | ExprKind::Embedded(_)
            | ExprKind::Error => {}
            ExprKind::Name(name) => self.name(&name.name),
            ExprKind::Assign { op, target, value } => match (&target.kind, op) {
                (ExprKind::Name(name), AssignOp::Set) => {
                    self.expr(value);
                    self.assigned.insert(Name::clone(&name.name));
                }
                (_, AssignOp::Set | AssignOp::Push | AssignOp::Compute(_)) => {
                    self.expr(target);
                    self.expr(value);
                }
            },
            ExprKind::Index { array, keys } | ExprKind::In { keys, array } => {
                self.indexable(array);
                self.keys(keys);
            }
            ExprKind::Call { args, .. } | ExprKind::At { args, .. } => {
                args.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Member { base: e, .. }
            | ExprKind::AddressOf(e)
            | ExprKind::Pretty { base: e, .. }
            | ExprKind::Unary { operand: e, .. }
            | ExprKind::Regex { expr: e, .. }
            | ExprKind::IncDec { operand: e, .. } => self.expr(e),
            ExprKind::Binary {
                op: BinaryOp::AndAnd | BinaryOp::OrOr,
                lhs,
                rhs,
            } => {
                self.expr(lhs);
                self.maybe(|cx| cx.expr(rhs));
            }
            ExprKind::Subscript { base: a, index: b } | ExprKind::Binary { lhs: a, rhs: b, .. } => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond);
                self.either(|cx| cx.expr(then), |cx| cx.expr(otherwise));
            }
        }
    }
}
