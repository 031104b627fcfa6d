//! What flows where: the graph's edges, from a walk over all code.

use rtap_grammar::source::Span;

use super::runs::{Runs, who_runs};
use super::{Graph, Origin};
use crate::builtins;
use crate::hir::{
    AssignOp, Delete, Expr, ExprKind, Global, Local, Place, PointText, Print, PrintArg, PrintKind,
    Program, Stmt, StmtKind, Ty,
};
use crate::infer::widths::{Slot, number_bodies};
use crate::lir::{BinOp, CmpOp, ConvKind, Exec, Piece, SortBy};

/// What a string expression's value is for.
#[derive(Clone, Copy)]
enum Sink {
    /// Nothing, or printing.
    Any,
    /// Its characters are needed.
    Chars(Span),
    /// Whether it is empty.
    Empty(Span),
    /// It goes to a node.
    Node(usize),
}

/// What is done with an array's element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// A number is added to it.
    Add,
    /// It is assigned.
    Assign,
    /// A statistic gets a value.
    Push,
    /// It is looked for.
    LookUp(Span),
}

/// Walks over all code.
pub(super) fn walk(program: &mut Program, graph: &mut Graph) {
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
                graph.parameter(param, local);
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
}

impl Graph {
    /// The node of an array's key.
    fn key(&mut self, global: Global, index: usize, used: Use) -> usize {
        let node = self.place(Slot::Key(global, index));
        let key = self.nodes[node].key.get_or_insert_default();
        if self.runs.kernel {
            key.added |= used == Use::Add;
            key.assigned |= used == Use::Assign;
            if let Use::LookUp(at) = used {
                key.looked_up.get_or_insert(at);
            }
        }
        node
    }

    /// Keys of an array's element.
    fn keys(&mut self, global: Global, keys: &mut [Expr], used: Use) {
        self.slice(global, keys.iter_mut().map(Some), used);
    }

    /// Keys of an array; absent ones are wildcards.
    fn slice<'e>(
        &mut self,
        global: Global,
        keys: impl Iterator<Item = Option<&'e mut Expr>>,
        used: Use,
    ) {
        for (index, key) in keys.enumerate() {
            let Some(key) = key else { continue };
            if key.ty != Ty::Str {
                self.expr(key, Sink::Any);
                continue;
            }
            let node = self.key(global, index, used);
            // User-side code finds elements by their text, whatever it has itself.
            let sink = if matches!(used, Use::LookUp(_)) && !self.runs.kernel {
                Sink::Any
            } else {
                Sink::Node(node)
            };
            self.expr(key, sink);
        }
    }

    /// A value held by a node is used.
    fn give(&mut self, node: usize, sink: Sink) {
        match sink {
            Sink::Any => {}
            Sink::Chars(why) => self.chars_needed(node, why),
            Sink::Empty(at) if self.runs.kernel => self.nodes[node].asked = at,
            Sink::Empty(_) => {}
            Sink::Node(to) => self.edge(node, to),
        }
    }

    /// The characters of a node's value are needed; user-side code can render them.
    fn chars_needed(&mut self, node: usize, why: Span) {
        if self.runs.kernel {
            self.block(node, why);
        }
    }

    fn stmts(&mut self, stmts: &mut [Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        let at = stmt.span;
        match &mut stmt.kind {
            StmtKind::Expr(e) => self.effect(e),
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
                    self.effect(e);
                }
            }
            StmtKind::Foreach(foreach) => {
                if let Some(value) = foreach.value {
                    let (from, to) = (self.place(Slot::Value(foreach.array)), self.local(value));
                    self.edge(from, to);
                }
                for (index, key) in foreach.keys.iter().enumerate() {
                    let from = self.key(foreach.array, index, Use::LookUp(at));
                    let to = self.local(*key);
                    self.edge(from, to);
                }
                let slice = foreach.slice.iter_mut().map(Option::as_mut);
                self.slice(foreach.array, slice, Use::LookUp(at));
                // Sorting needs the characters.
                match foreach.sort.map(|sort| sort.by) {
                    Some(SortBy::Value) if self.runs.kernel => {
                        let node = self.place(Slot::Value(foreach.array));
                        self.block(node, at);
                    }
                    Some(SortBy::Key(index)) if self.runs.kernel => {
                        let node = self.key(foreach.array, usize::from(index), Use::LookUp(at));
                        self.block(node, at);
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
                self.keys(stat.global, &mut stat.keys, Use::LookUp(at));
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
                Delete::Element(global, keys) => self.keys(*global, keys, Use::LookUp(at)),
                Delete::Slice(global, keys) => {
                    self.slice(
                        *global,
                        keys.iter_mut().map(Option::as_mut),
                        Use::LookUp(at),
                    );
                }
            },
            StmtKind::Try { body, var, catch } => {
                self.stmts(body);
                if let Some(var) = var {
                    // The message comes as characters.
                    let node = self.local(*var);
                    self.block(node, at);
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
        let at = expr.span;
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
                self.keys(global, keys, Use::LookUp(at));
                if is_str {
                    let node = self.place(Slot::Value(global));
                    self.give(node, sink);
                }
            }
            ExprKind::Assign { place, op, value } => {
                let used = if op.is_none() {
                    Use::Assign
                } else {
                    Use::LookUp(at)
                };
                self.assign(place, *op, value, used, sink);
            }
            ExprKind::IncDec { place, .. } => self.target(place, Use::LookUp(at)),
            ExprKind::Cmp(CmpOp::Eq | CmpOp::Ne, a, b)
                if crate::hir::compared_with_empty(a, b).is_some() =>
            {
                self.expr(a, Sink::Empty(at));
                self.expr(b, Sink::Empty(at));
            }
            ExprKind::Ternary(c, a, b) => {
                self.expr(c, Sink::Any);
                let node = self.expr_node();
                self.expr(a, Sink::Node(node));
                self.expr(b, Sink::Node(node));
                self.produced(expr, node, false, Origin::None, sink);
            }
            ExprKind::Concat(parts) => {
                let node = self.expr_node();
                self.whole(node, parts.iter().any(is_some));
                self.exprs(parts, Sink::Node(node));
                self.produced(expr, node, false, Origin::Mixed, sink);
            }
            ExprKind::Sprint(print) => {
                let node = self.expr_node();
                self.whole(node, prints_some(print));
                self.print(print, Sink::Node(node), at);
                self.produced(expr, node, true, Origin::Mixed, sink);
            }
            ExprKind::Print(print) => self.print(print, Sink::Any, at),
            ExprKind::Builtin(id, args) => {
                let row = builtins::get(*id);
                self.exprs(
                    args,
                    if row.late_args {
                        Sink::Any
                    } else {
                        Sink::Chars(at)
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
                    self.nodes[node].raw |= self.runs.kernel;
                    self.nodes[node].empty |= late.empty;
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
                self.nodes[node].empty = true;
                self.produced(expr, node, true, origin, sink);
            }
            ExprKind::In(global, keys) => {
                self.slice(
                    *global,
                    keys.iter_mut().map(Option::as_mut),
                    Use::LookUp(at),
                );
            }
            ExprKind::Push(stat, value) => {
                self.keys(stat.global, &mut stat.keys, Use::Push);
                self.expr(value, Sink::Any);
            }
            ExprKind::StatGet(stat, _) => self.keys(stat.global, &mut stat.keys, Use::LookUp(at)),
            ExprKind::HistText(stat, _) => {
                self.keys(stat.global, &mut stat.keys, Use::LookUp(at));
                let node = self.expr_node();
                self.nodes[node].raw |= self.runs.kernel;
                self.produced(expr, node, true, Origin::Mixed, sink);
            }
            ExprKind::HistBucket(stat, _, index) => {
                self.keys(stat.global, &mut stat.keys, Use::LookUp(at));
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
                let mut rest = Rest { graph: self, at };
                crate::hir::visit::walk_expr_mut(&mut rest, expr);
            }
        }
    }

    /// A record of several strings is one of zeros for none of them: it has to have `some` text
    /// whatever they are, or it can be empty unseen.
    fn whole(&mut self, node: usize, some: bool) {
        self.nodes[node].some = some;
        self.nodes[node].empty = !some;
    }

    /// An expression that may be late itself.
    fn produced(&mut self, expr: &mut Expr, node: usize, native: bool, origin: Origin, sink: Sink) {
        if expr.ty != Ty::Str {
            return;
        }
        if self.mark {
            let made = &self.nodes[node];
            expr.cap.1 = made.late();
            if made.blocked && self.runs.kernel && !made.why.is_none() {
                self.needs.push((expr.span, made.why));
            }
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

    /// An expression whose value is not used.
    fn effect(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::IncDec { place, .. } => self.target(place, Use::Add),
            ExprKind::Assign {
                place,
                op: op @ Some(AssignOp::Bin(BinOp::Add | BinOp::Sub)),
                value,
            } => self.assign(place, *op, value, Use::Add, Sink::Any),
            _ => self.expr(expr, Sink::Any),
        }
    }

    fn assign(
        &mut self,
        place: &mut Place,
        op: Option<AssignOp>,
        value: &mut Expr,
        used: Use,
        sink: Sink,
    ) {
        let node = match place {
            Place::Local(local) if value.ty == Ty::Str => Some(self.local(*local)),
            Place::Global(global) | Place::Element(global, _) if value.ty == Ty::Str => {
                Some(self.place(Slot::Value(*global)))
            }
            _ => None,
        };
        self.target(place, used);
        let Some(node) = node else {
            self.expr(value, Sink::Any);
            return;
        };
        if op.is_some() {
            // A record would grow by each `.=`; user-side code renders and begins a new one.
            self.chars_needed(node, value.span);
            self.expr(value, Sink::Chars(value.span));
        } else {
            self.expr(value, Sink::Node(node));
        }
        self.give(node, sink);
    }

    fn target(&mut self, place: &mut Place, used: Use) {
        match place {
            Place::Element(global, keys) => self.keys(*global, keys, used),
            Place::Memory { addr, .. } => self.expr(addr, Sink::Any),
            Place::Local(_) | Place::Global(_) | Place::Error => {}
        }
    }

    fn print(&mut self, print: &mut Print, sink: Sink, at: Span) {
        for arg in &mut print.args {
            match arg {
                PrintArg::Value(e) => self.expr(e, sink),
                PrintArg::Hist(stat, _) => self.keys(stat.global, &mut stat.keys, Use::LookUp(at)),
            }
        }
    }
}

/// Whether a string is never empty.
fn is_some(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Str(text) => !text.is_empty(),
        ExprKind::Builtin(id, _) => builtins::get(*id).late.is_some_and(|late| !late.empty),
        ExprKind::Concat(parts) => parts.iter().any(is_some),
        ExprKind::Ternary(_, a, b) => is_some(a) && is_some(b),
        ExprKind::Sprint(print) => prints_some(print),
        ExprKind::HistText(..) => true,
        _ => expr.ty == Ty::Long,
    }
}

/// Whether what is printed is never empty.
fn prints_some(print: &Print) -> bool {
    let values = |arg: &PrintArg| matches!(arg, PrintArg::Value(e) if is_some(e));
    match &print.kind {
        PrintKind::Plain { delimiter, newline } => {
            let delimited = print.args.len() > 1 && !delimiter.is_empty();
            *newline || delimited || print.args.iter().any(values)
        }
        PrintKind::Format(format) => format.pieces.iter().any(|piece| match piece {
            Piece::Text(text) => !text.is_empty(),
            Piece::Conv(conv) => !matches!(
                conv.kind,
                ConvKind::Str
                    | ConvKind::Char
                    | ConvKind::Binary
                    | ConvKind::Memory
                    | ConvKind::MemoryHex
            ),
            Piece::Call(..) => false,
        }),
    }
}

/// Parts of expressions whose characters are needed.
struct Rest<'g> {
    graph: &'g mut Graph,
    at: Span,
}

impl crate::hir::visit::VisitMut for Rest<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        self.graph.expr(expr, Sink::Chars(self.at));
    }
}
