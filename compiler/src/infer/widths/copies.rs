//! Copies of functions, so that what one call needs does not bind the others.
//!
//! Whether a parameter or a result is late is decided once for a function. Where some calls pass or
//! print what only user space can make (`errno_str(e)`) and others need characters
//! (`errno_str(e) == "EINTR"`), the function is copied for each call; copies that turn out alike are
//! one again afterwards. Functions that recurse are not copied.

use cranelift_entity::{EntitySet, SecondaryMap};
use rustc_hash::FxHashMap;

use super::Slot;
use super::late::LateSet;
use crate::hir::visit::{Visit, VisitMut, walk_expr, walk_expr_mut, walk_probe_mut};
use crate::hir::{Expr, ExprKind, FuncId, Program};

/// Copies in one program; beyond them functions are shared as they are.
const MOST: usize = 256;

/// The copies made so far.
#[derive(Default)]
pub(super) struct Copies {
    /// What each copy is a copy of.
    original: SecondaryMap<FuncId, Option<FuncId>>,
    /// Functions that have one call each.
    split: EntitySet<FuncId>,
    count: usize,
}

impl Copies {
    /// Copies functions for each of their calls; says whether that changed anything.
    pub(super) fn split(&mut self, program: &mut Program, functions: &[FuncId]) -> bool {
        let mut splitter = Splitter {
            wanted: EntitySet::new(),
            seen: EntitySet::new(),
            copies: Vec::new(),
            next: program.functions.len() as u32,
            left: MOST - self.count,
        };
        for id in functions {
            if !self.split.contains(*id) && !is_recursive(program, *id) {
                splitter.wanted.insert(*id);
                self.split.insert(*id);
            }
        }
        for_each_call(program, |call| splitter.call(call));
        let copies = splitter.copies;
        for original in &copies {
            let copy = program.functions[*original].clone();
            let id = program.functions.push(copy);
            self.original[id] = Some(self.original[*original].unwrap_or(*original));
            self.split.insert(id);
        }
        self.count += copies.len();
        !copies.is_empty()
    }

    /// Lets calls of copies that are late alike go to one of them. Says whether there are any.
    pub(super) fn merge(&self, program: &mut Program, late: &LateSet) -> bool {
        if self.count == 0 {
            return false;
        }
        let mut kept: FxHashMap<(FuncId, Vec<bool>), FuncId> = FxHashMap::default();
        let mut stands_for: SecondaryMap<FuncId, Option<FuncId>> = SecondaryMap::new();
        for (id, function) in &program.functions {
            let params = (0..function.params.len()).map(|i| late.place(Slot::Param(id, i)));
            let kind = params.chain([late.place(Slot::Ret(id))]).collect();
            let original = self.original[id].unwrap_or(id);
            stands_for[id] = Some(*kept.entry((original, kind)).or_insert(id));
        }
        for_each_call(program, |call| *call = stands_for[*call].unwrap_or(*call));
        true
    }
}

/// Gives each call of the wanted functions a function of its own.
struct Splitter {
    wanted: EntitySet<FuncId>,
    /// Functions whose first call was met, which keeps them.
    seen: EntitySet<FuncId>,
    /// What is to be copied, for the functions from `next` on.
    copies: Vec<FuncId>,
    next: u32,
    left: usize,
}

impl Splitter {
    fn call(&mut self, call: &mut FuncId) {
        if !self.wanted.contains(*call) || self.seen.insert(*call) || self.left == 0 {
            return;
        }
        self.copies.push(*call);
        *call = FuncId::from_u32(self.next);
        self.next += 1;
        self.left -= 1;
    }
}

/// Calls `f` on the function of every call in the program.
fn for_each_call(program: &mut Program, f: impl FnMut(&mut FuncId)) {
    struct Calls<F>(F);
    impl<F: FnMut(&mut FuncId)> VisitMut for Calls<F> {
        fn expr(&mut self, expr: &mut Expr) {
            if let ExprKind::Call(id, _) = &mut expr.kind {
                (self.0)(id);
            }
            walk_expr_mut(self, expr);
        }
    }
    let mut calls = Calls(f);
    for probe in &mut program.probes {
        walk_probe_mut(&mut calls, probe);
    }
    for function in program.functions.values_mut() {
        for body in &mut function.overloads {
            calls.stmts(&mut body.stmts);
        }
    }
}

/// Whether a function can come to call itself.
fn is_recursive(program: &Program, id: FuncId) -> bool {
    let mut reached = EntitySet::new();
    let mut work = callees(program, id);
    while let Some(callee) = work.pop() {
        if callee == id {
            return true;
        }
        if reached.insert(callee) {
            work.extend(callees(program, callee));
        }
    }
    false
}

fn callees(program: &Program, id: FuncId) -> Vec<FuncId> {
    struct Calls(Vec<FuncId>);
    impl Visit for Calls {
        fn expr(&mut self, expr: &Expr) {
            if let ExprKind::Call(id, _) = &expr.kind {
                self.0.push(*id);
            }
            walk_expr(self, expr);
        }
    }
    let mut calls = Calls(Vec::new());
    for body in &program.functions[id].overloads {
        calls.stmts(&body.stmts);
    }
    calls.0
}
