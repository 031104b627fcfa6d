//! Which names a piece of syntax mentions, and whether it mentions the probe's context.

use std::collections::HashSet;

use rtap_grammar::ast::{self, AtOp, ExprKind, Indexable, Key, Name, StmtKind};

/// Names and context.
#[derive(Default)]
pub(super) struct Mentions {
    /// Plain names of variables and arrays.
    pub(super) names: HashSet<Name>,
    /// Those of them that are changed.
    pub(super) writes: HashSet<Name>,
    /// Whether `$x` or `@entry` occurs.
    pub(super) context: bool,
}

impl Mentions {
    /// Adds a block's.
    pub(super) fn block(&mut self, block: &ast::Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
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
                self.stmt(then);
                if let Some(otherwise) = otherwise {
                    self.stmt(otherwise);
                }
            }
            StmtKind::While { cond, body } => {
                self.expr(cond);
                self.stmt(body);
            }
            StmtKind::For {
                init,
                cond,
                step,
                body,
            } => {
                [init, cond, step]
                    .into_iter()
                    .flatten()
                    .for_each(|e| self.expr(e));
                self.stmt(body);
            }
            StmtKind::Foreach(foreach) => {
                for var in foreach.value.iter().chain(&foreach.keys) {
                    self.names.insert(Name::clone(&var.name.name));
                }
                self.indexable(&foreach.array);
                self.keys(&foreach.slice);
                if let Some(limit) = &foreach.limit {
                    self.expr(limit);
                }
                self.stmt(&foreach.body);
            }
            StmtKind::Return(Some(e)) | StmtKind::Delete(e) | StmtKind::Expr(e) => self.expr(e),
            StmtKind::Try {
                body,
                message,
                handler,
            } => {
                self.block(body);
                if let Some(message) = message {
                    self.names.insert(Name::clone(&message.name));
                }
                self.block(handler);
            }
        }
    }

    /// Adds what is changed.
    fn target(&mut self, target: &ast::Expr) {
        match &target.kind {
            ExprKind::Name(name) => {
                self.writes.insert(Name::clone(&name.name));
            }
            ExprKind::Index {
                array: Indexable::Array(name),
                ..
            } => {
                self.writes.insert(Name::clone(&name.name));
            }
            _ => {}
        }
        self.expr(target);
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
            Indexable::Array(name) => {
                self.names.insert(Name::clone(&name.name));
            }
            Indexable::Hist(e) => self.expr(e),
        }
    }

    /// Adds an expression's.
    pub(super) fn expr(&mut self, expr: &ast::Expr) {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Embedded(_) | ExprKind::Error => {
            }
            ExprKind::Name(name) => {
                self.names.insert(Name::clone(&name.name));
            }
            ExprKind::ContextVar(_) => self.context = true,
            ExprKind::Index { array, keys } | ExprKind::In { keys, array } => {
                self.indexable(array);
                self.keys(keys);
            }
            ExprKind::Call { args, .. } => args.iter().for_each(|e| self.expr(e)),
            ExprKind::At { op, args } => {
                self.context |= matches!(op, AtOp::Entry | AtOp::Uregister | AtOp::Kregister);
                for arg in args {
                    self.expr(arg);
                }
            }
            ExprKind::Member { base: e, .. }
            | ExprKind::AddressOf(e)
            | ExprKind::Pretty { base: e, .. }
            | ExprKind::Unary { operand: e, .. }
            | ExprKind::Regex { expr: e, .. } => self.expr(e),
            ExprKind::IncDec { operand, .. } => self.target(operand),
            ExprKind::Assign { target, value, .. } => {
                self.target(target);
                self.expr(value);
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
                self.expr(then);
                self.expr(otherwise);
            }
        }
    }
}
