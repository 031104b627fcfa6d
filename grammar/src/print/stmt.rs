//! Statements as source.

use super::{ERROR, Printer};
use crate::ast::*;

impl Printer {
    pub(super) fn block(&mut self, block: &Block) {
        if block.stmts.is_empty() {
            self.put("{ }");
            return;
        }
        self.put("{");
        self.indent += 1;
        for stmt in &block.stmts {
            self.line();
            self.stmt(stmt);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    /// A statement that belongs to the line before.
    fn body(&mut self, stmt: &Stmt) {
        if let StmtKind::Block(block) = &stmt.kind {
            self.put(" ");
            self.block(block);
            return;
        }
        self.indent += 1;
        self.line();
        self.stmt(stmt);
        self.indent -= 1;
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Null => self.put(";"),
            StmtKind::Block(block) => self.block(block),
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.head("if", cond);
                self.body(then);
                if let Some(otherwise) = otherwise {
                    if matches!(then.kind, StmtKind::Block(_)) {
                        self.put(" ");
                    } else {
                        self.line();
                    }
                    self.put("else");
                    if matches!(otherwise.kind, StmtKind::If { .. }) {
                        self.put(" ");
                        self.stmt(otherwise);
                    } else {
                        self.body(otherwise);
                    }
                }
            }
            StmtKind::While { cond, body } => {
                self.head("while", cond);
                self.body(body);
            }
            StmtKind::For { head, body } => {
                self.put("for (");
                self.optional(head.init.as_ref());
                self.put("; ");
                self.optional(head.cond.as_ref());
                self.put("; ");
                self.optional(head.step.as_ref());
                self.put(")");
                self.body(body);
            }
            StmtKind::Foreach(f) => self.foreach(f),
            StmtKind::Break => self.put("break;"),
            StmtKind::Continue => self.put("continue;"),
            StmtKind::Next => self.put("next;"),
            StmtKind::Return(None) => self.put("return;"),
            StmtKind::Return(Some(e)) => {
                self.put("return ");
                self.whole(e);
                self.put(";");
            }
            StmtKind::Delete(e) => {
                self.put("delete ");
                self.whole(e);
                self.put(";");
            }
            StmtKind::Try {
                body,
                message,
                handler,
            } => {
                self.put("try ");
                self.block(body);
                self.put(" catch ");
                if let Some(name) = message {
                    self.put("(");
                    self.put(name.as_str());
                    self.put(") ");
                }
                self.block(handler);
            }
            StmtKind::Expr(e) => {
                self.whole(e);
                self.put(";");
            }
            StmtKind::Error => self.put(ERROR),
        }
    }

    fn head(&mut self, keyword: &str, cond: &Expr) {
        self.put(keyword);
        self.put(" (");
        self.whole(cond);
        self.put(")");
    }

    /// An expression that nothing else is part of.
    fn whole(&mut self, e: &Expr) {
        self.expr(e, Precedence::Assign);
    }

    fn optional(&mut self, e: Option<&Expr>) {
        if let Some(e) = e {
            self.whole(e);
        }
    }

    fn foreach(&mut self, f: &Foreach) {
        self.put("foreach (");
        if let Some(value) = &f.value {
            self.foreach_var(value);
            self.put(" = ");
        }
        match f.keys.as_slice() {
            [key] => self.foreach_var(key),
            keys => {
                self.put("[");
                self.list(keys, Printer::foreach_var);
                self.put("]");
            }
        }
        self.put(" in ");
        self.indexable(&f.array);
        if !f.slice.is_empty() {
            self.put("[");
            self.list(&f.slice, Printer::key);
            self.put("]");
        }
        if let Some(op) = f.sort_op {
            self.put(" @");
            self.put(op.name());
        }
        if let Some(sort) = &f.array_sort {
            self.sort(*sort);
        }
        if let Some(limit) = &f.limit {
            self.put(" limit ");
            self.whole(limit);
        }
        self.put(")");
        self.body(&f.body);
    }

    fn foreach_var(&mut self, var: &ForeachVar) {
        self.put(var.name.as_str());
        if let Some(sort) = var.sort {
            self.sort(sort);
        }
    }

    fn sort(&mut self, sort: Sort) {
        self.put(match sort.dir {
            SortDir::Ascending => "+",
            SortDir::Descending => "-",
        });
    }
}
