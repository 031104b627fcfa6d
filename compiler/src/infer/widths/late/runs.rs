//! Which executors run each function.

use cranelift_entity::SecondaryMap;

use crate::hir::visit::{Visit, walk_expr, walk_probe};
use crate::hir::{Expr, ExprKind, FuncId, Program};
use crate::lir::Exec;

/// Who runs a body.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) kernel: bool,
    pub(super) user: bool,
}

/// Which executors run each function.
pub(super) fn who_runs(program: &Program) -> SecondaryMap<FuncId, Runs> {
    struct Calls(Vec<FuncId>);
    impl Visit for Calls {
        fn expr(&mut self, expr: &Expr) {
            if let ExprKind::Call(id, _) = &expr.kind {
                self.0.push(*id);
            }
            walk_expr(self, expr);
        }
    }
    let mut runs: SecondaryMap<FuncId, Runs> = SecondaryMap::new();
    let mut queue = Vec::new();
    for probe in &program.probes {
        let mut calls = Calls(Vec::new());
        walk_probe(&mut calls, probe);
        let by = Runs {
            kernel: probe.exec == Exec::Kernel,
            user: probe.exec == Exec::User,
        };
        queue.extend(calls.0.into_iter().map(|id| (id, by)));
    }
    while let Some((id, by)) = queue.pop() {
        let known = &mut runs[id];
        let both = Runs {
            kernel: known.kernel || by.kernel,
            user: known.user || by.user,
        };
        if both == *known {
            continue;
        }
        *known = both;
        let mut calls = Calls(Vec::new());
        for body in &program.functions[id].overloads {
            calls.stmts(&body.stmts);
        }
        queue.extend(calls.0.into_iter().map(|id| (id, both)));
    }
    runs
}
