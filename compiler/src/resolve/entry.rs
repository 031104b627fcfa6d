//! `@entry(e)`: values taken when the function was entered.
//!
//! A probe on the entry is added. It keeps the values in arrays by thread and depth (a
//! function may be entered again before it returns); the return probe takes them out first
//! thing. The arrays replace their oldest elements when full: an entry that never returns
//! must not stop the session. A return whose entry was missed finds 0 and "".

use rtap_grammar::ast;
use rtap_grammar::diag::codes;
use rtap_grammar::source::Span;

use super::scope::Scope;
use super::{Cx, int};
use crate::hir::{
    Delete, Expr, ExprKind, Global, GlobalData, Local, LocalData, Place, Probe, Stmt, StmtKind, Ty,
    Variant,
};
use crate::image::Point;
use crate::lir::{BinOp, CmpOp, Env, StatLayout};
use crate::probes::Candidate;

/// A value that the entry keeps for the return.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// What is evaluated at the entry.
    value: ast::Expr,
    /// The return probe's variable.
    local: Local,
}

impl Cx<'_> {
    /// The value that an expression had at the function's entry.
    pub(crate) fn snapshot(&mut self, value: &ast::Expr, span: Span) -> Expr {
        let is_return = self
            .scope
            .vars
            .as_ref()
            .is_some_and(|vars| vars.is_return());
        if !is_return {
            return self.fail(
                codes::NO_CONTEXT,
                "@entry outside of a return probe",
                span,
                "only '.return' probes have an entry",
            );
        }
        let known = self
            .scope
            .snapshots
            .iter()
            .find(|known| same(&known.value, value));
        let local = if let Some(known) = known {
            known.local
        } else {
            let local = self.scope.hidden("entry", span, Ty::Unknown);
            self.scope.assigned(local);
            self.scope.snapshots.push(Snapshot {
                value: value.clone(),
                local,
            });
            local
        };
        Expr::new(ExprKind::Local(local), Ty::Unknown, span)
    }

    /// Adds the entry's probe for a return probe that has just been resolved, before it, and
    /// the statements that take the values out.
    pub(super) fn add_entry(
        &mut self,
        number: usize,
        candidates: &[Candidate],
        snapshots: &[Snapshot],
        file: rtap_grammar::source::FileId,
    ) {
        let entries: Option<Vec<Candidate>> = candidates
            .iter()
            .map(|c| c.entry.as_ref().map(|entry| entry()))
            .collect();
        let Some(probe) = self.program.probes.get(number) else {
            return;
        };
        let (span, name) = (probe.span, probe.name.clone());
        let (Some(entries), false) = (entries, snapshots.is_empty()) else {
            if !snapshots.is_empty() {
                self.fail(
                    codes::NOT_SUPPORTED,
                    "this return probe has no entry to take values at",
                    span,
                    "this probe",
                );
            }
            return;
        };
        let Some(first) = entries.first() else { return };
        // A thread is in one system call at most.
        let depth = first
            .selector
            .is_none()
            .then(|| self.hidden_array("entry_depth", 1, span));
        let keys = 1 + usize::from(depth.is_some());
        let values: Vec<Global> = snapshots
            .iter()
            .map(|_| self.hidden_array("entry_value", keys, span))
            .collect();

        self.scope = Scope::new(file, None);
        self.scope.vars = Some(std::rc::Rc::clone(&first.vars));
        let selector = first.vars.selector(self, span);
        let mut stmts = Vec::new();
        let mut level = None;
        if let Some(depth) = depth {
            let variable = self.scope.hidden("depth", span, Ty::Long);
            level = Some(variable);
            let one_more = binary(
                BinOp::Add,
                element(depth, keys_at(None, span), span),
                int(1, span),
            );
            let deeper = local(variable, Ty::Long, span);
            stmts.push(assign(Place::Local(variable), one_more));
            stmts.push(assign(Place::Element(depth, keys_at(None, span)), deeper));
        }
        for (snapshot, array) in snapshots.iter().zip(&values) {
            let value = self.expr(&snapshot.value);
            stmts.push(assign(Place::Element(*array, keys_at(level, span)), value));
        }
        let scope = std::mem::take(&mut self.scope);
        let points = entries.iter().map(|entry| Point {
            text: entry.text.clone(),
            function: entry.function.clone(),
            module: entry.module.clone(),
            attach: entry.attach.clone(),
            selector: entry.selector,
            optional: true,
        });
        let points: Vec<Point> = points.collect();
        let entry = Probe {
            name: format!("{name} (entry)"),
            span,
            exec: first.exec,
            context: first.context,
            syscall: first.vars.is_syscall(),
            early: false,
            selector,
            locals: scope.locals,
            variants: vec![Variant {
                points: (0..points.len() as u32).collect(),
                ..Variant::default()
            }],
            points,
            stmts,
        };

        let depth = depth.map(|depth| {
            let data = LocalData {
                name: "depth".to_owned(),
                span,
                ty: Ty::Long,
                cap: (0, false),
            };
            (depth, self.program.probes[number].locals.push(data))
        });
        let taken = take(depth, &values, snapshots, span);
        for variant in &mut self.program.probes[number].variants {
            // What was kept is taken out even if a condition then ends the handler.
            let guards = std::mem::take(&mut variant.conditions);
            let guards = guards.into_iter().map(|condition| {
                let span = condition.span;
                let next = Stmt {
                    kind: StmtKind::Next,
                    span,
                };
                Stmt {
                    kind: StmtKind::If(condition, Vec::new(), vec![next]),
                    span,
                }
            });
            let first: Vec<Stmt> = taken.iter().cloned().chain(guards).collect();
            variant.prologue.splice(0..0, first);
        }
        self.program.probes.insert(number, entry);
        for held in &mut self.held {
            held.moved(number);
        }
    }

    fn hidden_array(&mut self, name: &str, keys: usize, span: Span) -> Global {
        let number = self.program.globals.len();
        self.program.globals.push(GlobalData {
            name: format!("__{name}{number}"),
            span,
            keys: vec![Ty::Long; keys],
            key_caps: Vec::new(),
            value: if keys == 1 { Ty::Long } else { Ty::Unknown },
            value_cap: (0, false),
            max_entries: self.session.options.limits.max_map_entries,
            forms: 1,
            wrap: true,
            init: None,
            given: None,
            read: true,
            written: true,
            library: true,
            stat: StatLayout::default(),
        })
    }
}

/// Takes the values of the innermost open entry. `depth`: the array that counts the open
/// entries, and the variable for the count.
fn take(
    depth: Option<(Global, Local)>,
    values: &[Global],
    snapshots: &[Snapshot],
    span: Span,
) -> Vec<Stmt> {
    let mut stmts = Vec::new();
    let delete = |array, keys| Stmt {
        kind: StmtKind::Delete(Delete::Element(array, keys)),
        span,
    };
    if let Some((depth, level)) = depth {
        stmts.push(assign(
            Place::Local(level),
            element(depth, keys_at(None, span), span),
        ));
    }
    let level = depth.map(|(_, level)| level);
    for (snapshot, array) in snapshots.iter().zip(values) {
        let value = element(*array, keys_at(level, span), span);
        stmts.push(assign(Place::Local(snapshot.local), value));
        stmts.push(delete(*array, keys_at(level, span)));
    }
    if let Some((depth, level)) = depth {
        let level = || local(level, Ty::Long, span);
        let nested = ExprKind::Cmp(CmpOp::Gt, Box::new(level()), Box::new(int(1, span)));
        let less = binary(BinOp::Sub, level(), int(1, span));
        let back = assign(Place::Element(depth, keys_at(None, span)), less);
        let gone = delete(depth, keys_at(None, span));
        let kind = StmtKind::If(Expr::new(nested, Ty::Long, span), vec![back], vec![gone]);
        stmts.push(Stmt { kind, span });
    }
    stmts
}

/// The thread (process and thread id in one number) and perhaps the depth.
fn keys_at(level: Option<Local>, span: Span) -> Vec<Expr> {
    let thread = Expr::new(ExprKind::Env(Env::PidTgid), Ty::Long, span);
    std::iter::once(thread)
        .chain(level.map(|level| local(level, Ty::Long, span)))
        .collect()
}

fn local(local: Local, ty: Ty, span: Span) -> Expr {
    Expr::new(ExprKind::Local(local), ty, span)
}

fn element(array: Global, keys: Vec<Expr>, span: Span) -> Expr {
    Expr::new(ExprKind::Element(array, keys), Ty::Unknown, span)
}

fn binary(op: BinOp, a: Expr, b: Expr) -> Expr {
    let span = a.span;
    Expr::new(ExprKind::Bin(op, Box::new(a), Box::new(b)), Ty::Long, span)
}

fn assign(place: Place, value: Expr) -> Stmt {
    let span = value.span;
    let kind = ExprKind::Assign {
        place,
        op: None,
        value: Box::new(value),
    };
    Stmt {
        kind: StmtKind::Expr(Expr::new(kind, Ty::Unknown, span)),
        span,
    }
}

/// Whether two expressions say the same: the same text, or the same variable.
fn same(a: &ast::Expr, b: &ast::Expr) -> bool {
    match (&a.kind, &b.kind) {
        (ast::ExprKind::ContextVar(a), ast::ExprKind::ContextVar(b)) => a.name == b.name,
        _ => a.span == b.span && !a.span.is_none(),
    }
}
