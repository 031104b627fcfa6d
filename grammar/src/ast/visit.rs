//! Looking at every part of a tree.
//!
//! A [`Visitor`] overrides the methods for what it is interested in and calls [`walk_stmt`] or
//! [`walk_expr`] for the rest. Parts come in the order in which they are written.

use super::{Block, Expr, ExprKind, Ident, Indexable, Key, Stmt, StmtKind};

/// Something that looks at every part of statements and expressions.
pub trait Visitor {
    /// A block: its statements.
    fn block(&mut self, block: &Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    /// A statement.
    fn stmt(&mut self, stmt: &Stmt) {
        walk_stmt(self, stmt);
    }

    /// An expression.
    fn expr(&mut self, expr: &Expr) {
        walk_expr(self, expr);
    }

    /// A key of an array.
    fn key(&mut self, key: &Key) {
        if let Key::Expr(expr) = key {
            self.expr(expr);
        }
    }

    /// An array or histogram that has keys, or is iterated.
    fn array(&mut self, array: &Indexable) {
        if let Indexable::Hist(expr) = array {
            self.expr(expr);
        }
    }

    /// A variable that `foreach` or `catch` sets.
    fn binding(&mut self, _: &Ident) {}
}

/// Visits the parts of a statement.
pub fn walk_stmt<V: Visitor + ?Sized>(visitor: &mut V, stmt: &Stmt) {
    match &stmt.kind {
        StmtKind::Null
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Return(None)
        | StmtKind::Error => {}
        StmtKind::Block(block) => visitor.block(block),
        StmtKind::If {
            cond,
            then,
            otherwise,
        } => {
            visitor.expr(cond);
            visitor.stmt(then);
            otherwise.iter().for_each(|stmt| visitor.stmt(stmt));
        }
        StmtKind::While { cond, body } => {
            visitor.expr(cond);
            visitor.stmt(body);
        }
        StmtKind::For { head, body } => {
            let parts = [&head.init, &head.cond, &head.step].into_iter().flatten();
            parts.for_each(|expr| visitor.expr(expr));
            visitor.stmt(body);
        }
        StmtKind::Foreach(foreach) => {
            let vars = foreach.value.iter().chain(&foreach.keys);
            vars.for_each(|var| visitor.binding(&var.name));
            visitor.array(&foreach.array);
            foreach.slice.iter().for_each(|key| visitor.key(key));
            foreach.limit.iter().for_each(|limit| visitor.expr(limit));
            visitor.stmt(&foreach.body);
        }
        StmtKind::Return(Some(expr)) | StmtKind::Delete(expr) | StmtKind::Expr(expr) => {
            visitor.expr(expr);
        }
        StmtKind::Try {
            body,
            message,
            handler,
        } => {
            visitor.block(body);
            message.iter().for_each(|message| visitor.binding(message));
            visitor.block(handler);
        }
    }
}

/// Visits the parts of an expression.
pub fn walk_expr<V: Visitor + ?Sized>(visitor: &mut V, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::Name(_)
        | ExprKind::ContextVar(_)
        | ExprKind::Embedded(_)
        | ExprKind::Error => {}
        ExprKind::Index { array, keys } | ExprKind::In { keys, array } => {
            visitor.array(array);
            keys.iter().for_each(|key| visitor.key(key));
        }
        ExprKind::Call { args, .. } | ExprKind::At { args, .. } => {
            args.iter().for_each(|arg| visitor.expr(arg));
        }
        ExprKind::Member { base: e, .. }
        | ExprKind::AddressOf(e)
        | ExprKind::Pretty { base: e, .. }
        | ExprKind::Unary { operand: e, .. }
        | ExprKind::IncDec { operand: e, .. }
        | ExprKind::Regex { expr: e, .. } => visitor.expr(e),
        ExprKind::Subscript { base: a, index: b }
        | ExprKind::Binary { lhs: a, rhs: b, .. }
        | ExprKind::Assign {
            target: a,
            value: b,
            ..
        } => {
            visitor.expr(a);
            visitor.expr(b);
        }
        ExprKind::Ternary {
            cond,
            then,
            otherwise,
        } => {
            visitor.expr(cond);
            visitor.expr(then);
            visitor.expr(otherwise);
        }
    }
}
