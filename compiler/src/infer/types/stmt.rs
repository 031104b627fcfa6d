//! Types in statements.

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Cx, Slot};
use crate::hir::text::stat_field;
use crate::hir::{Delete, Foreach, Global, Local, Stmt, StmtKind, Ty};
use crate::lir::{Sort, SortBy, StatField};

impl Cx<'_> {
    pub(super) fn stmts(&mut self, stmts: &mut [Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        let span = stmt.span;
        match &mut stmt.kind {
            StmtKind::Expr(e) => {
                self.expr(e, Ty::Void);
            }
            StmtKind::Block(body) => self.stmts(body),
            StmtKind::If(cond, yes, no) => {
                self.expr(cond, Ty::Long);
                self.stmts(yes);
                self.stmts(no);
            }
            StmtKind::Loop { cond, body, step } => {
                if let Some(cond) = cond {
                    self.expr(cond, Ty::Long);
                }
                self.stmts(body);
                if let Some(step) = step {
                    self.expr(step, Ty::Void);
                }
            }
            StmtKind::Foreach(foreach) => self.foreach(foreach, span),
            StmtKind::ForeachBucket {
                stat,
                var,
                value,
                limit,
                body,
                ..
            } => {
                self.stat(stat, span);
                self.need(Slot::Local(*var), Ty::Long, span);
                if let Some(value) = value {
                    self.need(Slot::Local(*value), Ty::Long, span);
                }
                if let Some(limit) = limit {
                    self.expr(limit, Ty::Long);
                }
                self.stmts(body);
            }
            StmtKind::Return(value) => {
                let (Some(value), Some(function)) = (value, self.function) else {
                    return;
                };
                let slot = Slot::Ret(function);
                let known = self.fact(slot).ty;
                self.wanted_by = Some(slot);
                let found = self.expr(value, known);
                self.need(slot, found, value.span);
            }
            StmtKind::Delete(what) => match what {
                Delete::Global(_) | Delete::Local(_) => {}
                Delete::Element(global, keys) => {
                    self.keys(*global, keys.iter_mut().map(Some));
                }
                Delete::Slice(global, keys) => {
                    self.keys(*global, keys.iter_mut().map(Option::as_mut));
                }
            },
            StmtKind::Try { body, var, catch } => {
                self.stmts(body);
                if let Some(var) = var {
                    self.same(*var, Ty::Str, span, "the message of an error");
                }
                self.stmts(catch);
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Next => {}
        }
    }

    fn foreach(&mut self, foreach: &mut Foreach, span: Span) {
        let array = foreach.array;
        for (index, local) in foreach.keys.iter().enumerate() {
            if index < self.globals[array].keys.len() {
                self.join(*local, Slot::Key(array, index), span);
            }
        }
        self.keys(array, foreach.slice.iter_mut().map(Option::as_mut));
        if let Some(value) = foreach.value {
            let slot = Slot::Value(array);
            if self.fact(slot).ty == Ty::Stat {
                // SystemTap gives the count of a statistic here.
                self.need(Slot::Local(value), Ty::Long, span);
            } else {
                self.join(value, slot, span);
            }
        }
        if let Some(Sort {
            by: SortBy::Stat(field),
            ..
        }) = foreach.sort
        {
            self.sorted_by(array, field, foreach.sort_span);
        }
        if let Some(limit) = &mut foreach.limit {
            self.expr(limit, Ty::Long);
        }
        self.stmts(&mut foreach.body);
    }

    /// An array that a loop sorts by a field of its statistics.
    fn sorted_by(&mut self, array: Global, field: StatField, span: Span) {
        let slot = Slot::Value(array);
        let found = self.need(slot, Ty::Stat, span);
        if !self.report || matches!(found, Ty::Stat | Ty::Error) {
            return;
        }
        let title = format!(
            "'{}' has no {} to sort by",
            self.names[array],
            stat_field(field)
        );
        let diag = Diagnostic::error(codes::NOT_A_STATISTIC, title)
            .label(span, "only statistics have that")
            .secondary(
                self.fact(slot).span,
                format!("{} because of this", super::noun(found)),
            )
            .help("write the sign alone: it sorts by the value");
        self.diags.push(diag);
    }

    /// A loop variable and the part of the array it takes.
    fn join(&mut self, local: Local, slot: Slot, span: Span) {
        let fact = self.fact(slot);
        let ty = self.need(Slot::Local(local), fact.ty, span);
        self.need(slot, ty, span);
        let fact = self.fact(slot);
        if fact.ty != Ty::Unknown {
            let what = self.describe(slot);
            self.same(local, fact.ty, span, &what);
        }
    }

    /// A local that is given a value of type `ty`, which `what` says in words.
    fn same(&mut self, local: Local, ty: Ty, span: Span, what: &str) {
        let slot = Slot::Local(local);
        let found = self.need(slot, ty, span);
        if self.report && found != ty && found != Ty::Error && ty != Ty::Error {
            let fact = self.fact(slot);
            self.diags.push(
                Diagnostic::error(
                    codes::TYPE_CONFLICT,
                    format!("{} cannot take {what}", self.describe(slot)),
                )
                .label(span, format!("{what} is {}", super::noun(ty)))
                .secondary(fact.span, format!("{} because of this", super::noun(found)))
                .help("use another variable here"),
            );
        }
    }
}
