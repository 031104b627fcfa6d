//! Which strings are late: carried in their raw form and rendered in user space.
//!
//! A string expression is *natively* late if only user space can make it or makes it cheaper:
//! `sprintf` and its like, builtins that say so, texts of the probe point. A place is
//! late if a natively late value of a kernel handler reaches it and nothing in the kernel
//! needs its characters, as comparisons and string functions do; user-side code renders where
//! it needs them. An array's key is late only if everything that becomes that key is made by
//! the same function, one whose equal strings have equal records.
//!
//! Flow is a graph of nodes: places, and the expressions that may be late themselves.

use std::collections::HashMap;

use cranelift_entity::SecondaryMap;

use super::{Slot, number_bodies};
use crate::builtins;
use crate::hir::visit::{Visit, walk_expr, walk_probe};
use crate::hir::{
    AssignOp, Delete, Expr, ExprKind, FuncId, Global, Local, Place, PointText, Print, PrintArg,
    Program, Stmt, StmtKind, Ty,
};
use crate::lir::{Exec, SortBy};

/// The late places.
#[derive(Default)]
pub(super) struct LateSet {
    places: HashMap<Slot, bool>,
    /// Functions with parameters or results that would be late for some calls and cannot
    /// be, for others.
    torn: Vec<FuncId>,
}

impl LateSet {
    /// Whether a place is late.
    pub(super) fn place(&self, slot: Slot) -> bool {
        self.places.get(&slot).copied().unwrap_or(false)
    }

    /// Functions that some calls want late strings of and others characters.
    pub(super) fn torn(&self) -> &[FuncId] {
        &self.torn
    }

    /// All late places.
    pub(super) fn places(&self) -> impl Iterator<Item = Slot> {
        let mut all: Vec<Slot> = self
            .places
            .iter()
            .filter(|(_, late)| **late)
            .map(|(slot, _)| *slot)
            .collect();
        all.sort();
        all.into_iter()
    }
}

/// Decides which places are late (never those of `blocked`), and marks in the tree, in
/// `cap.1`, the expressions that are.
pub(super) fn decide(program: &mut Program, blocked: &[Slot]) -> LateSet {
    let mut graph = Graph::default();
    for slot in blocked {
        let node = graph.place(*slot);
        graph.nodes[node].blocked = true;
    }
    walk(program, &mut graph);
    graph.solve();
    graph.mark = true;
    graph.next_expr = 0;
    walk(program, &mut graph);
    let places = graph
        .places
        .iter()
        .map(|(slot, node)| (*slot, graph.nodes[*node].late()));
    let mut torn: Vec<FuncId> = graph
        .places
        .iter()
        .filter(|(_, node)| graph.nodes[**node].native && graph.nodes[**node].blocked)
        .filter_map(|(slot, _)| match slot {
            Slot::Param(function, _) | Slot::Ret(function) => Some(*function),
            Slot::Local(..) | Slot::Value(_) | Slot::Key(..) => None,
        })
        .collect();
    torn.sort();
    torn.dedup();
    LateSet {
        places: places.collect(),
        torn,
    }
}

/// Who runs a body.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Runs {
    kernel: bool,
    user: bool,
}

#[derive(Default)]
struct Node {
    /// A natively late value of a kernel handler reaches it.
    native: bool,
    /// User-side code that makes it can make it late if it has to be.
    able: bool,
    /// Something needs its characters.
    blocked: bool,
    /// Where its value goes.
    to: Vec<usize>,
    /// What it is made by.
    origin: Origin,
    /// Whether it is an array's key.
    key: bool,
}

/// What makes a value, as far as keys care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Origin {
    /// Nothing yet.
    #[default]
    None,
    /// This function, whose equal strings have equal records.
    One(&'static str),
    /// Several things, or one that will not do for a key.
    Mixed,
}

impl Origin {
    fn join(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::None, other) | (other, Origin::None) => other,
            (a, b) if a == b => a,
            _ => Origin::Mixed,
        }
    }
}

impl Node {
    fn late(&self) -> bool {
        self.native && !self.blocked
    }
}

/// What a string expression's value is for.
#[derive(Clone, Copy)]
enum Sink {
    /// Nothing, or printing.
    Any,
    /// Its characters are needed.
    Chars,
    /// It goes to a node.
    Node(usize),
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    places: HashMap<Slot, usize>,
    /// Nodes of expressions, in the order of the walk.
    exprs: Vec<usize>,
    next_expr: usize,
    /// The second walk: write decisions into the tree.
    mark: bool,
    body: u32,
    function: Option<FuncId>,
    runs: Runs,
}

/// Walks over all code.
fn walk(program: &mut Program, graph: &mut Graph) {
    let runs = who_runs(program);
    let (_, first_probe) = number_bodies(program);
    let mut number = 0;
    for (id, function) in &mut program.functions {
        graph.function = Some(id);
        graph.runs = runs[id];
        let params = function.params.clone();
        for body in &mut function.overloads {
            graph.body = number;
            for (index, _) in params.iter().enumerate().filter(|(_, ty)| **ty == Ty::Str) {
                let param = graph.place(Slot::Param(id, index));
                let local = graph.place(Slot::Local(number, Local::from_u32(index as u32)));
                graph.edge(param, local);
                // One value: they are late together.
                graph.edge(local, param);
            }
            graph.stmts(&mut body.stmts);
            number += 1;
        }
    }
    debug_assert_eq!(number as usize, first_probe);
    graph.function = None;
    for probe in &mut program.probes {
        graph.body = number;
        graph.runs = Runs {
            kernel: probe.exec == Exec::Kernel,
            user: probe.exec == Exec::User,
        };
        for variant in &mut probe.variants {
            for condition in &mut variant.conditions {
                graph.expr(condition, Sink::Any);
            }
            graph.stmts(&mut variant.prologue);
        }
        graph.stmts(&mut probe.stmts);
        for variant in &mut probe.variants {
            graph.stmts(&mut variant.epilogue);
        }
        number += 1;
    }
    if graph.mark {
        return;
    }
    for (id, global) in &program.globals {
        // An initial text is there before any handler runs.
        if matches!(&global.init, Some(crate::hir::Literal::Str(text)) if !text.is_empty()) {
            let node = graph.place(Slot::Value(id));
            graph.nodes[node].blocked = true;
        }
    }
}

/// Which executors run each function.
fn who_runs(program: &Program) -> SecondaryMap<FuncId, Runs> {
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

impl Graph {
    fn node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn place(&mut self, slot: Slot) -> usize {
        if let Some(node) = self.places.get(&slot) {
            return *node;
        }
        let node = self.node();
        self.places.insert(slot, node);
        node
    }

    fn edge(&mut self, from: usize, to: usize) {
        if !self.mark {
            self.nodes[from].to.push(to);
        }
    }

    fn block(&mut self, node: usize) {
        if !self.mark {
            self.nodes[node].blocked = true;
        }
    }

    /// The node of the next expression that may be late itself.
    fn expr_node(&mut self) -> usize {
        let index = self.next_expr;
        self.next_expr += 1;
        if self.mark {
            return self.exprs[index];
        }
        let node = self.node();
        self.exprs.push(node);
        node
    }

    /// `native` and `origin` go along the edges, `blocked` against them.
    fn solve(&mut self) {
        self.spread_native();
        self.spread_origins();
        let mut from: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for to in &node.to {
                from[*to].push(index);
            }
        }
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].blocked)
            .collect();
        while let Some(node) = queue.pop() {
            for source in from[node].clone() {
                if !std::mem::replace(&mut self.nodes[source].blocked, true) {
                    queue.push(source);
                }
            }
        }
    }

    fn spread_native(&mut self) {
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].native)
            .collect();
        loop {
            while let Some(node) = queue.pop() {
                for to in self.nodes[node].to.clone() {
                    if !std::mem::replace(&mut self.nodes[to].native, true) {
                        queue.push(to);
                    }
                }
            }
            // What user-side code gives to a late place is made late, where it can be.
            for node in 0..self.nodes.len() {
                let wanted = self.nodes[node].to.iter().any(|to| self.nodes[*to].native);
                if self.nodes[node].able && !self.nodes[node].native && wanted {
                    self.nodes[node].native = true;
                    queue.push(node);
                }
            }
            if queue.is_empty() {
                return;
            }
        }
    }

    fn spread_origins(&mut self) {
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].origin != Origin::None)
            .collect();
        while let Some(node) = queue.pop() {
            let origin = self.nodes[node].origin;
            for to in self.nodes[node].to.clone() {
                let joined = self.nodes[to].origin.join(origin);
                if joined != self.nodes[to].origin {
                    self.nodes[to].origin = joined;
                    queue.push(to);
                }
            }
        }
        for node in &mut self.nodes {
            node.blocked |= node.key && !matches!(node.origin, Origin::One(_));
        }
    }

    /// The node of an array's key.
    fn key(&mut self, global: Global, index: usize) -> usize {
        let node = self.place(Slot::Key(global, index));
        self.nodes[node].key = true;
        node
    }

    /// Keys of an array; absent ones are wildcards.
    fn keys<'e>(&mut self, global: Global, keys: impl Iterator<Item = Option<&'e mut Expr>>) {
        for (index, key) in keys.enumerate() {
            let Some(key) = key else { continue };
            if key.ty == Ty::Str {
                let node = self.key(global, index);
                self.expr(key, Sink::Node(node));
            } else {
                self.expr(key, Sink::Any);
            }
        }
    }

    /// A value held by a node is used.
    fn give(&mut self, node: usize, sink: Sink) {
        match sink {
            Sink::Any => {}
            Sink::Chars => {
                // User-side code can render.
                if self.runs.kernel {
                    self.block(node);
                }
            }
            Sink::Node(to) => self.edge(node, to),
        }
    }

    fn stmts(&mut self, stmts: &mut [Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        match &mut stmt.kind {
            StmtKind::Expr(e) => self.expr(e, Sink::Any),
            StmtKind::Block(body) => self.stmts(body),
            StmtKind::If(cond, yes, no) => {
                self.expr(cond, Sink::Any);
                self.stmts(yes);
                self.stmts(no);
            }
            StmtKind::Loop { cond, body, step } => {
                for e in cond.iter_mut() {
                    self.expr(e, Sink::Any);
                }
                self.stmts(body);
                for e in step.iter_mut() {
                    self.expr(e, Sink::Any);
                }
            }
            StmtKind::Foreach(foreach) => {
                if let Some(value) = foreach.value {
                    let (from, to) = (self.place(Slot::Value(foreach.array)), self.local(value));
                    self.edge(from, to);
                }
                for (index, key) in foreach.keys.iter().enumerate() {
                    let (from, to) = (self.key(foreach.array, index), self.local(*key));
                    self.edge(from, to);
                }
                self.keys(foreach.array, foreach.slice.iter_mut().map(Option::as_mut));
                // Sorting needs the characters.
                match foreach.sort.map(|sort| sort.by) {
                    Some(SortBy::Value) if self.runs.kernel => {
                        let node = self.place(Slot::Value(foreach.array));
                        self.block(node);
                    }
                    Some(SortBy::Key(index)) if self.runs.kernel => {
                        let node = self.key(foreach.array, usize::from(index));
                        self.block(node);
                    }
                    _ => {}
                }
                if let Some(e) = &mut foreach.limit {
                    self.expr(e, Sink::Any);
                }
                self.stmts(&mut foreach.body);
            }
            StmtKind::ForeachBucket {
                stat, limit, body, ..
            } => {
                self.keys(stat.global, stat.keys.iter_mut().map(Some));
                for e in limit.iter_mut() {
                    self.expr(e, Sink::Any);
                }
                self.stmts(body);
            }
            StmtKind::Return(Some(e)) => {
                let sink = match (self.function, e.ty) {
                    (Some(function), Ty::Str) => Sink::Node(self.place(Slot::Ret(function))),
                    _ => Sink::Any,
                };
                self.expr(e, sink);
            }
            StmtKind::Delete(what) => match what {
                Delete::Global(_) | Delete::Local(_) => {}
                Delete::Element(global, keys) => self.keys(*global, keys.iter_mut().map(Some)),
                Delete::Slice(global, keys) => {
                    self.keys(*global, keys.iter_mut().map(Option::as_mut));
                }
            },
            StmtKind::Try { body, var, catch } => {
                self.stmts(body);
                if let Some(var) = var {
                    // The message comes as characters.
                    let node = self.local(*var);
                    self.block(node);
                }
                self.stmts(catch);
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Next | StmtKind::Return(None) => {}
        }
    }

    fn local(&mut self, local: Local) -> usize {
        self.place(Slot::Local(self.body, local))
    }

    fn exprs(&mut self, list: &mut [Expr], sink: Sink) {
        for e in list.iter_mut() {
            self.expr(e, sink);
        }
    }

    fn expr(&mut self, expr: &mut Expr, sink: Sink) {
        let is_str = expr.ty == Ty::Str;
        match &mut expr.kind {
            ExprKind::Local(local) if is_str => {
                let node = self.local(*local);
                self.give(node, sink);
            }
            ExprKind::Global(global) if is_str => {
                let node = self.place(Slot::Value(*global));
                self.give(node, sink);
            }
            ExprKind::Element(global, keys) => {
                let global = *global;
                self.keys(global, keys.iter_mut().map(Some));
                if is_str {
                    let node = self.place(Slot::Value(global));
                    self.give(node, sink);
                }
            }
            ExprKind::Assign { place, op, value } => self.assign(place, *op, value, sink),
            ExprKind::IncDec { place, .. } => self.target(place),
            ExprKind::Ternary(c, a, b) => {
                self.expr(c, Sink::Any);
                let node = self.expr_node();
                self.expr(a, Sink::Node(node));
                self.expr(b, Sink::Node(node));
                self.produced(expr, node, false, Origin::None, sink);
            }
            ExprKind::Concat(parts) => {
                let node = self.expr_node();
                self.exprs(parts, Sink::Node(node));
                self.produced(expr, node, false, Origin::Mixed, sink);
            }
            ExprKind::Sprint(print) => {
                let node = self.expr_node();
                self.print(print, Sink::Node(node));
                self.produced(expr, node, true, Origin::Mixed, sink);
            }
            ExprKind::Print(print) => self.print(print, Sink::Any),
            ExprKind::Builtin(id, args) => {
                let row = builtins::get(*id);
                self.exprs(
                    args,
                    if row.late_args {
                        Sink::Any
                    } else {
                        Sink::Chars
                    },
                );
                if let (Some(late), true) = (&row.late, is_str) {
                    let name = row.name.trim_start_matches('_');
                    let origin = if late.key {
                        Origin::One(name)
                    } else {
                        Origin::Mixed
                    };
                    let node = self.expr_node();
                    self.produced(expr, node, true, origin, sink);
                } else {
                    self.plain(is_str, sink);
                }
            }
            ExprKind::PointText(text) => {
                // The name that the function of that record has in user space.
                let origin = match text {
                    PointText::Syscall => Origin::One("syscall_name"),
                    PointText::Full | PointText::Function | PointText::Module => Origin::Mixed,
                };
                let node = self.expr_node();
                self.produced(expr, node, true, origin, sink);
            }
            ExprKind::In(global, keys) => self.keys(*global, keys.iter_mut().map(Option::as_mut)),
            ExprKind::Push(stat, value) => {
                self.keys(stat.global, stat.keys.iter_mut().map(Some));
                self.expr(value, Sink::Any);
            }
            ExprKind::StatGet(stat, _) => self.keys(stat.global, stat.keys.iter_mut().map(Some)),
            ExprKind::HistBucket(stat, _, index) => {
                self.keys(stat.global, stat.keys.iter_mut().map(Some));
                self.expr(index, Sink::Any);
            }
            ExprKind::Call(function, args) => {
                let function = *function;
                for (index, arg) in args.iter_mut().enumerate() {
                    let sink = if arg.ty == Ty::Str {
                        Sink::Node(self.place(Slot::Param(function, index)))
                    } else {
                        Sink::Any
                    };
                    self.expr(arg, sink);
                }
                if is_str {
                    let node = self.place(Slot::Ret(function));
                    self.give(node, sink);
                }
            }
            _ => {
                self.plain(is_str, sink);
                let mut rest = Rest { graph: self };
                crate::hir::visit::walk_expr_mut(&mut rest, expr);
            }
        }
    }

    /// An expression that may be late itself.
    fn produced(&mut self, expr: &mut Expr, node: usize, native: bool, origin: Origin, sink: Sink) {
        if expr.ty != Ty::Str {
            return;
        }
        if self.mark {
            expr.cap.1 = self.nodes[node].late();
            return;
        }
        self.nodes[node].native |= native && self.runs.kernel;
        self.nodes[node].able |= native && !self.runs.kernel;
        self.nodes[node].origin = origin;
        self.give(node, sink);
    }

    /// A string that is never late itself.
    fn plain(&mut self, is_str: bool, sink: Sink) {
        if let (Sink::Node(node), true, false) = (sink, is_str, self.mark) {
            self.nodes[node].origin = Origin::Mixed;
        }
    }

    fn assign(&mut self, place: &mut Place, op: Option<AssignOp>, value: &mut Expr, sink: Sink) {
        let node = match place {
            Place::Local(local) if value.ty == Ty::Str => Some(self.local(*local)),
            Place::Global(global) | Place::Element(global, _) if value.ty == Ty::Str => {
                Some(self.place(Slot::Value(*global)))
            }
            _ => None,
        };
        self.target(place);
        let Some(node) = node else {
            self.expr(value, Sink::Any);
            return;
        };
        if op.is_some() {
            self.block(node);
            self.expr(value, Sink::Chars);
        } else {
            self.expr(value, Sink::Node(node));
        }
        self.give(node, sink);
    }

    fn target(&mut self, place: &mut Place) {
        match place {
            Place::Element(global, keys) => self.keys(*global, keys.iter_mut().map(Some)),
            Place::Memory { addr, .. } => self.expr(addr, Sink::Any),
            Place::Local(_) | Place::Global(_) | Place::Error => {}
        }
    }

    fn print(&mut self, print: &mut Print, sink: Sink) {
        for arg in &mut print.args {
            match arg {
                PrintArg::Value(e) => self.expr(e, sink),
                PrintArg::Hist(stat, _) => self.keys(stat.global, stat.keys.iter_mut().map(Some)),
            }
        }
    }
}

/// Parts of expressions whose characters are needed.
struct Rest<'g> {
    graph: &'g mut Graph,
}

impl crate::hir::visit::VisitMut for Rest<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        self.graph.expr(expr, Sink::Chars);
    }
}
