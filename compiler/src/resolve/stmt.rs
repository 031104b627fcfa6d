//! Statements.

use rtap_grammar::ast::{self, AtOp, Indexable, Key, SortDir, StmtKind as Ast};
use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::Cx;
use super::scope::Named;
use crate::hir::{Delete, Expr, ExprKind, Foreach, Local, Place, Stmt, StmtKind, Ty};
use crate::lir::{Sort, SortBy, StatField};

impl Cx<'_> {
    /// Statements in their order.
    pub(crate) fn stmts(&mut self, stmts: &[ast::Stmt]) -> Vec<Stmt> {
        let mut out = Vec::with_capacity(stmts.len());
        for stmt in stmts {
            self.stmt(stmt, &mut out);
        }
        out
    }

    /// The body of a loop or branch.
    fn body(&mut self, stmt: &ast::Stmt) -> Vec<Stmt> {
        let mut out = Vec::new();
        match &stmt.kind {
            Ast::Block(block) => out = self.stmts(&block.stmts),
            _ => self.stmt(stmt, &mut out),
        }
        out
    }

    fn loop_body(&mut self, stmt: &ast::Stmt) -> Vec<Stmt> {
        self.scope.loops += 1;
        let body = self.body(stmt);
        self.scope.loops -= 1;
        body
    }

    fn stmt(&mut self, stmt: &ast::Stmt, out: &mut Vec<Stmt>) {
        let span = stmt.span;
        let kind = match &stmt.kind {
            Ast::Null | Ast::Error => return,
            Ast::Block(block) => {
                out.extend(self.stmts(&block.stmts));
                return;
            }
            Ast::If {
                cond,
                then,
                otherwise,
            } => {
                match self.decided(cond) {
                    Some(0) => {
                        if let Some(otherwise) = otherwise {
                            out.extend(self.body(otherwise));
                        }
                        return;
                    }
                    Some(_) => {
                        out.extend(self.body(then));
                        return;
                    }
                    None => {}
                }
                let cond = self.expr(cond);
                let then = self.body(then);
                let otherwise = otherwise.as_ref().map(|s| self.body(s)).unwrap_or_default();
                StmtKind::If(cond, then, otherwise)
            }
            Ast::While { cond, body } => {
                let cond = Some(self.expr(cond));
                StmtKind::Loop {
                    cond,
                    body: self.loop_body(body),
                    step: None,
                }
            }
            Ast::For { head, body } => {
                let ast::ForHead { init, cond, step } = &**head;
                if let Some(init) = init {
                    let init = self.effect(init);
                    out.push(Stmt {
                        span: init.span,
                        kind: StmtKind::Expr(init),
                    });
                }
                let cond = cond.as_ref().map(|e| self.expr(e));
                let body = self.loop_body(body);
                let step = step.as_ref().map(|e| self.effect(e));
                StmtKind::Loop { cond, body, step }
            }
            Ast::Foreach(foreach) => match self.foreach(foreach, span) {
                Some(kind) => kind,
                None => return,
            },
            Ast::Break | Ast::Continue => {
                let (word, kind) = match stmt.kind {
                    Ast::Break => ("break", StmtKind::Break),
                    _ => ("continue", StmtKind::Continue),
                };
                if self.scope.loops == 0 {
                    let title = format!("'{word}' outside of a loop");
                    self.fail(codes::MISPLACED, title, span, "no loop around this");
                    return;
                }
                kind
            }
            Ast::Next => StmtKind::Next,
            Ast::Return(value) => {
                if self.scope.function.is_none() {
                    self.fail(
                        codes::MISPLACED,
                        "'return' outside of a function",
                        span,
                        "'next' ends a probe's handler",
                    );
                    return;
                }
                StmtKind::Return(value.as_ref().map(|e| self.expr(e)))
            }
            Ast::Delete(target) => match self.delete(target) {
                Some(what) => StmtKind::Delete(what),
                None => return,
            },
            Ast::Try {
                body,
                message,
                handler,
            } => {
                let body = self.stmts(&body.stmts);
                let mut after = Vec::new();
                let var = message
                    .as_ref()
                    .and_then(|name| self.loop_variable(name, Ty::Str, &mut after));
                let mut catch = after;
                catch.extend(self.stmts(&handler.stmts));
                StmtKind::Try { body, var, catch }
            }
            Ast::Expr(e) => StmtKind::Expr(self.effect(e)),
        };
        out.push(Stmt { kind, span });
    }

    /// A variable that a statement assigns: a local, or a hidden one that `copies` then copies
    /// to the global of that name.
    fn loop_variable(
        &mut self,
        name: &ast::Ident,
        ty: Ty,
        copies: &mut Vec<Stmt>,
    ) -> Option<Local> {
        match self.lookup(name) {
            Named::Local(local) => {
                self.scope.assigned(local);
                Some(local)
            }
            Named::Global(index) => {
                let global = self.use_global(index, 0, name.span)?;
                self.program.globals[global].written = true;
                let local = self
                    .scope
                    .hidden(&format!("each {}", name.as_str()), name.span, ty);
                self.scope.assigned(local);
                let value = Box::new(Expr::new(ExprKind::Local(local), ty, name.span));
                let kind = ExprKind::Assign {
                    place: Place::Global(global),
                    op: None,
                    value,
                };
                let assign = Expr::new(kind, Ty::Unknown, name.span);
                copies.push(Stmt {
                    kind: StmtKind::Expr(assign),
                    span: name.span,
                });
                Some(local)
            }
        }
    }

    fn foreach(&mut self, foreach: &ast::Foreach, span: Span) -> Option<StmtKind> {
        let mut copies = Vec::new();
        let limit = foreach.limit.as_ref().map(|e| self.expr(e));
        let sort = sort(foreach);
        match &foreach.array {
            Indexable::Array(name) => {
                let array = self.array(name, foreach.keys.len());
                let slice = self.foreach_slice(&foreach.slice, foreach.keys.len(), span)?;
                let mut keys = Vec::new();
                for key in &foreach.keys {
                    keys.push(self.loop_variable(&key.name, Ty::Unknown, &mut copies)?);
                }
                let value = match &foreach.value {
                    Some(var) => Some(self.loop_variable(&var.name, Ty::Unknown, &mut copies)?),
                    None => None,
                };
                let mut body = copies;
                body.extend(self.loop_body(&foreach.body));
                let array = array?;
                let data = &mut self.program.globals[array];
                data.read = true;
                if let Some(Sort {
                    by: SortBy::Stat(field),
                    ..
                }) = sort
                {
                    data.stat.require(field);
                }
                let foreach = Foreach {
                    array,
                    keys,
                    value,
                    slice,
                    sort,
                    sort_span: sort_mark(foreach).unwrap_or(span),
                    limit,
                    body,
                };
                Some(StmtKind::Foreach(Box::new(foreach)))
            }
            Indexable::Hist(hist) => {
                let found = self.histogram(hist);
                if let Some(sort) = sort_mark(foreach) {
                    self.report(
                        Diagnostic::warning(
                            codes::SORT_IGNORED,
                            "a histogram's buckets are not sorted",
                        )
                        .label(sort, "they come in the order of their values")
                        .help("leave the sign out"),
                    );
                }
                if foreach.keys.len() != 1 {
                    self.fail_with(
                        codes::KEYS_DIFFER,
                        "a histogram has one index",
                        (span, "more than one here"),
                        "the loop variable is the bucket: foreach (bucket in @hist_log(s))",
                    );
                    return None;
                }
                let var = self.loop_variable(&foreach.keys.first()?.name, Ty::Long, &mut copies)?;
                let value = match &foreach.value {
                    Some(value) => Some(self.loop_variable(&value.name, Ty::Long, &mut copies)?),
                    None => None,
                };
                let mut body = copies;
                body.extend(self.loop_body(&foreach.body));
                let (stat, histogram, _) = found?;
                Some(StmtKind::ForeachBucket {
                    stat,
                    histogram,
                    var,
                    value,
                    limit,
                    body,
                })
            }
        }
    }

    fn foreach_slice(
        &mut self,
        slice: &[Key],
        keys: usize,
        span: Span,
    ) -> Option<Vec<Option<Expr>>> {
        if slice.is_empty() {
            return Some((0..keys).map(|_| None).collect());
        }
        if slice.len() != keys {
            self.fail_with(
                codes::KEYS_DIFFER,
                format!("{} loop variables, but {} in the slice", keys, slice.len()),
                (span, "one for each key is needed"),
                "write '*' in the slice for a key that may be any",
            );
            return None;
        }
        Some(self.keys(slice))
    }

    fn delete(&mut self, target: &ast::Expr) -> Option<Delete> {
        match &target.kind {
            ast::ExprKind::Name(name) => match self.lookup(name) {
                Named::Local(local) => {
                    self.scope.assigned(local);
                    Some(Delete::Local(local))
                }
                // Whether it is a whole array or a scalar shows when all uses are known.
                Named::Global(index) => {
                    let global = self.global_id(index);
                    self.program.globals[global].written = true;
                    Some(Delete::Global(global))
                }
            },
            ast::ExprKind::Index {
                array: Indexable::Array(name),
                keys,
            } => {
                let global = self.array(name, keys.len());
                let keys = self.keys(keys);
                let global = global?;
                self.program.globals[global].written = true;
                if keys.iter().all(Option::is_some) {
                    Some(Delete::Element(
                        global,
                        keys.into_iter().flatten().collect(),
                    ))
                } else {
                    Some(Delete::Slice(global, keys))
                }
            }
            ast::ExprKind::Error => None,
            _ => {
                self.fail(
                    codes::UNCHANGEABLE,
                    "this cannot be deleted",
                    target.span,
                    "neither a variable nor an array nor an array's element",
                );
                None
            }
        }
    }
}

/// The order that the marks ask for.
fn sort(foreach: &ast::Foreach) -> Option<Sort> {
    let descending = |sort: &ast::Sort| sort.dir == SortDir::Descending;
    let by_array = foreach.array_sort.as_ref().map(|sort| {
        let by = match foreach.sort_op {
            None => SortBy::Value,
            Some(AtOp::Sum) => SortBy::Stat(StatField::Sum),
            Some(AtOp::Min) => SortBy::Stat(StatField::Min),
            Some(AtOp::Max) => SortBy::Stat(StatField::Max),
            Some(AtOp::Avg) => SortBy::Stat(StatField::Avg),
            Some(AtOp::Variance) => SortBy::Stat(StatField::Variance),
            Some(_) => SortBy::Stat(StatField::Count),
        };
        Sort {
            by,
            descending: descending(sort),
        }
    });
    let by_value = foreach.value.as_ref().and_then(|value| value.sort.as_ref());
    let by_value = by_value.map(|sort| Sort {
        by: SortBy::Value,
        descending: descending(sort),
    });
    let by_key = foreach.keys.iter().enumerate().find_map(|(index, key)| {
        let sort = key.sort.as_ref()?;
        Some(Sort {
            by: SortBy::Key(u8::try_from(index).ok()?),
            descending: descending(sort),
        })
    });
    by_array.or(by_value).or(by_key)
}

/// The place of any sort mark.
fn sort_mark(foreach: &ast::Foreach) -> Option<Span> {
    let vars = foreach.value.iter().chain(&foreach.keys);
    vars.filter_map(|var| var.sort)
        .chain(foreach.array_sort)
        .map(|sort| sort.span)
        .next()
}
