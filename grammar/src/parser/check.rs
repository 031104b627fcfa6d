//! Checks of a parsed file that need to know where a node stands.
//!
//! In: a file's tree. Out: diagnostics. The tree stays as it is.

use crate::ast::*;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::source::Span;

/// What is wrong with the arguments of an `@` operator.
pub(super) fn at_args(op: AtOp, args: &[Expr], span: Span) -> Option<Diagnostic> {
    if args.iter().any(Expr::is_error) {
        return None;
    }
    let (min, max) = (op.min_args(), op.max_args());
    if !(min..=max).contains(&args.len()) {
        let takes = if min == max {
            format!("{min}")
        } else {
            format!("{min} to {max}")
        };
        let plural = if (min, max) == (1, 1) { "" } else { "s" };
        let title = format!("'@{}' takes {takes} argument{plural}", op.name());
        let d = Diagnostic::error(codes::BAD_OPERATOR_ARGUMENTS, title);
        return Some(d.label(span, format!("{} given", args.len())));
    }
    for (arg, kind) in args.iter().zip(op.arg_kinds()) {
        let (fits, wanted) = match kind {
            ArgKind::Expr => (true, ""),
            ArgKind::String => (matches!(arg.kind, ExprKind::String(_)), "a string literal"),
            ArgKind::Variable => (
                matches!(arg.kind, ExprKind::Name(_) | ExprKind::ContextVar(_)),
                "a variable's name",
            ),
            ArgKind::Number => (is_number(arg), "a number literal"),
        };
        if !fits {
            let title = format!("'@{}' needs {wanted} here", op.name());
            let d = Diagnostic::error(codes::BAD_OPERATOR_ARGUMENTS, title);
            return Some(d.label(arg.span, format!("expected {wanted}")));
        }
    }
    None
}

/// A number literal, perhaps with a sign.
fn is_number(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Number(_) => true,
        ExprKind::Unary {
            op: UnaryOp::Neg,
            operand,
        } => matches!(operand.kind, ExprKind::Number(_)),
        _ => false,
    }
}

/// Checks a file. `embedded` tells whether it may hold embedded code.
pub(super) fn check(file: &File, embedded: bool, diagnostics: &mut Diagnostics) {
    let mut cx = Cx {
        diagnostics,
        embedded,
        in_function: false,
        in_loop: false,
        mute: false,
    };
    for item in &file.items {
        cx.item(item);
    }
}

struct Cx<'d> {
    diagnostics: &'d mut Diagnostics,
    embedded: bool,
    in_function: bool,
    in_loop: bool,
    /// The item's head could not be understood, so it is not known what its body may hold.
    mute: bool,
}

impl Cx<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.mute {
            self.diagnostics.push(diagnostic);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Probe(p) => self.points(&p.points, [Some(&p.body), None]),
            Item::Alias(a) => self.points(&a.points, [a.prologue.as_ref(), a.epilogue.as_ref()]),
            Item::Function(f) => match &f.body {
                FunctionBody::Block(body) => {
                    self.in_function = true;
                    self.block(body);
                    self.in_function = false;
                }
                FunctionBody::Embedded(code) => self.code(code),
            },
            Item::Embedded(code) => self.code(code),
            Item::Global(_) | Item::Error(_) => {}
        }
    }

    fn points(&mut self, points: &[ProbePoint], bodies: [Option<&Block>; 2]) {
        for condition in points.iter().filter_map(|p| p.condition.as_ref()) {
            self.expr(condition);
        }
        self.mute = points.iter().any(ProbePoint::is_error);
        bodies.into_iter().flatten().for_each(|b| self.block(b));
        self.mute = false;
    }

    fn code(&mut self, code: &Embedded) {
        if !self.embedded {
            let d = Diagnostic::error(codes::EMBEDDED_NEEDS_GURU, "embedded code needs guru mode")
                .label(code.span, "embedded here")
                .note("it runs in the kernel as it stands, without the script language's checks")
                .help("start rtap with -g if you trust the script");
            self.report(d);
        }
    }

    fn misplaced(&mut self, span: Span, what: &str, why: &str) {
        let d = Diagnostic::error(codes::MISPLACED_STATEMENT, format!("'{what}' {why}"))
            .label(span, "here")
            .help(if self.in_function {
                "to end a function, write 'return'"
            } else {
                "to end a probe handler, write 'next'"
            });
        self.report(d);
    }

    /// The keys of what may be a slice.
    fn slice(&mut self, keys: &[Key]) {
        for key in keys {
            if let Key::Expr(e) = key {
                self.expr(e);
            }
        }
    }

    fn delete(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Index {
                array: Indexable::Array(_),
                keys,
            } => self.slice(keys),
            ExprKind::Name(_) | ExprKind::Error => {}
            _ => {
                let d = Diagnostic::error(codes::NOT_ASSIGNABLE, "this cannot be deleted").label(
                    e.span,
                    "expected a global variable, an array or elements of one",
                );
                self.report(d);
            }
        }
    }

    /// A histogram in a place where it may be.
    fn hist(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::At { args, .. } => args.iter().for_each(|a| self.expr(a)),
            _ => self.expr(e),
        }
    }
}

impl Visitor for Cx<'_> {
    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Break if !self.in_loop => {
                self.misplaced(stmt.span, "break", "outside a loop");
            }
            StmtKind::Continue if !self.in_loop => {
                self.misplaced(stmt.span, "continue", "outside a loop");
            }
            StmtKind::While { .. } | StmtKind::For { .. } => {
                let outer = std::mem::replace(&mut self.in_loop, true);
                walk_stmt(self, stmt);
                self.in_loop = outer;
            }
            StmtKind::Foreach(f) => {
                self.array(&f.array);
                self.slice(&f.slice);
                f.limit.iter().for_each(|e| self.expr(e));
                let outer = std::mem::replace(&mut self.in_loop, true);
                self.stmt(&f.body);
                self.in_loop = outer;
            }
            StmtKind::Delete(e) => self.delete(e),
            StmtKind::Return(_) if !self.in_function => {
                self.misplaced(stmt.span, "return", "outside a function");
                walk_stmt(self, stmt);
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Expr(e) => self.expr(e),
            Key::Any(star) => {
                let d = Diagnostic::error(
                    codes::MISPLACED_WILDCARD,
                    "'*' as a key where one element is meant",
                )
                .label(*star, "expected a value")
                .note("slices are for 'foreach', 'delete' and 'in'");
                self.report(d);
            }
        }
    }

    fn array(&mut self, array: &Indexable) {
        if let Indexable::Hist(e) = array {
            self.hist(e);
        }
    }

    fn expr(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Embedded(code) => self.code(code),
            ExprKind::In { keys, array } => {
                self.array(array);
                self.slice(keys);
            }
            ExprKind::Call { name, args } => {
                let prints = matches!(name.as_str(), "print" | "println" | "sprint" | "sprintln");
                match args.as_slice() {
                    [arg] if prints => self.hist(arg),
                    _ => walk_expr(self, e),
                }
            }
            ExprKind::At { op, .. } => {
                if op.is_hist() {
                    let title = format!("'@{}' is no value", op.name());
                    let d = Diagnostic::error(codes::MISPLACED_HISTOGRAM, title)
                        .label(e.span, "a histogram")
                        .note(
                            "a histogram can be printed alone, indexed and iterated, nothing else",
                        )
                        .help(format!(
                            "write 'print(@{}(…))', '@{0}(…)[i]' or 'foreach (i in @{0}(…))'",
                            op.name()
                        ));
                    self.report(d);
                }
                walk_expr(self, e);
            }
            _ => walk_expr(self, e),
        }
    }
}
