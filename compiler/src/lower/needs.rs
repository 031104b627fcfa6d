//! What a function needs of those who call it: the number of the point that fired, a copy for
//! one executor, a copy for one kind of context. What its callees need, it needs too.

use cranelift_entity::SecondaryMap;

use super::Spec;
use crate::builtins;
use crate::hir::visit::{Visit, walk_expr, walk_probe};
use crate::hir::{Expr, ExprKind, FuncId, PointText, Probe, Program};
use crate::lir::{Env, Place};

/// The needs of all functions of a program.
pub(super) struct Needs {
    functions: SecondaryMap<FuncId, Need>,
}

/// What one body needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Need {
    point: bool,
    exec: bool,
    context: bool,
}

impl Need {
    fn add(&mut self, other: Need) {
        self.point |= other.point;
        self.exec |= other.exec;
        self.context |= other.context;
    }
}

impl Needs {
    /// Works out what every function needs.
    pub(super) fn new(program: &Program) -> Self {
        let mut functions = SecondaryMap::new();
        let mut callees: SecondaryMap<FuncId, Vec<FuncId>> = SecondaryMap::new();
        for (id, function) in &program.functions {
            let mut finder = Finder::default();
            for body in &function.overloads {
                finder.stmts(&body.stmts);
            }
            functions[id] = finder.need;
            callees[id] = finder.callees;
        }
        // Each round carries needs one call further; recursion ends it when nothing changes.
        let mut changed = true;
        while changed {
            changed = false;
            for id in program.functions.keys().rev() {
                let before: Need = functions[id];
                let mut need = before;
                for callee in &callees[id] {
                    need.add(functions[*callee]);
                }
                functions[id] = need;
                changed |= need != before;
            }
        }
        Needs { functions }
    }

    /// Whether the function has to be told which point fired.
    pub(super) fn point(&self, function: FuncId) -> bool {
        self.functions[function].point
    }

    /// Whether anything in a probe's code asks which point fired.
    pub(super) fn probe_point(&self, probe: &Probe) -> bool {
        let mut finder = Finder {
            has_selector: probe.selector.is_some(),
            ..Finder::default()
        };
        walk_probe(&mut finder, probe);
        finder.need.point || finder.callees.iter().any(|callee| self.point(*callee))
    }

    /// What of `caller` matters to the function.
    pub(super) fn spec(&self, function: FuncId, caller: Spec) -> Spec {
        let need = self.functions[function];
        Spec {
            exec: caller.exec.filter(|_| need.exec),
            context: caller.context.filter(|_| need.context),
            syscall: caller.syscall && need.context,
        }
    }
}

/// Looks for needs and calls in a body.
#[derive(Default)]
struct Finder {
    need: Need,
    callees: Vec<FuncId>,
    /// Whether the selector's value is at hand, which late names of system calls are made of.
    has_selector: bool,
}

impl Visit for Finder {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::PointText(PointText::Syscall) if self.has_selector && expr.cap.1 => {}
            ExprKind::PointText(_) | ExprKind::Env(Env::Point) => self.need.point = true,
            ExprKind::Call(callee, _) if !self.callees.contains(callee) => {
                self.callees.push(*callee);
            }
            ExprKind::HistText(..) if !expr.cap.1 => self.need.exec = true,
            ExprKind::Builtin(id, _) => {
                let row = builtins::get(*id);
                let made_here = row.place == Place::Kernel || !expr.cap.1;
                self.need.exec |= row.place == Place::User || (row.late.is_some() && made_here);
                self.need.context |= row.place == Place::Kernel || row.by_context;
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}
