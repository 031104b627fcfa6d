//! Walks over the tree. [`Visit`] reads, [`VisitMut`] changes; each calls back for every
//! expression and statement, and goes into them with `walk_…`. Order is the order of
//! evaluation.

use super::{Delete, Expr, ExprKind, Place, Print, PrintArg, Probe, StatRef, Stmt, StmtKind};

macro_rules! visitor {
    ($(#[$doc:meta])* $name:ident, $walk_expr:ident, $walk_stmt:ident, $walk_probe:ident, $iter:ident, ($($m:tt)?)) => {
        $(#[$doc])*
        pub trait $name {
            /// An expression; the default goes into it.
            fn expr(&mut self, expr: & $($m)? Expr) {
                $walk_expr(self, expr);
            }

            /// A statement; the default goes into it.
            fn stmt(&mut self, stmt: & $($m)? Stmt) {
                $walk_stmt(self, stmt);
            }

            /// Statements in their order.
            fn stmts(&mut self, stmts: & $($m)? [Stmt]) {
                for stmt in stmts {
                    self.stmt(stmt);
                }
            }

            /// A place that is assigned; the default goes into its keys or address.
            fn place(&mut self, place: & $($m)? Place) {
                match place {
                    Place::Element(_, keys) => {
                        for key in keys {
                            self.expr(key);
                        }
                    }
                    Place::Memory { addr, .. } => self.expr(addr),
                    Place::Local(_) | Place::Global(_) | Place::Error => {}
                }
            }

            /// A statistic; the default goes into its keys.
            fn stat(&mut self, stat: & $($m)? StatRef) {
                for key in & $($m)? stat.keys {
                    self.expr(key);
                }
            }
        }

        /// Goes into an expression's parts.
        pub fn $walk_expr<V: $name + ?Sized>(v: &mut V, expr: & $($m)? Expr) {
            match & $($m)? expr.kind {
                ExprKind::Int(_)
                | ExprKind::Str(_)
                | ExprKind::Core(_)
                | ExprKind::Local(_)
                | ExprKind::Global(_)
                | ExprKind::Env(_)
                | ExprKind::CtxArg(_)
                | ExprKind::CtxRet
                | ExprKind::CtxReg(_)
                | ExprKind::EntryArg(_)
                | ExprKind::PointText(_)
                | ExprKind::Error => {}
                ExprKind::Assign { place, value, .. } => {
                    v.place(place);
                    v.expr(value);
                }
                ExprKind::IncDec { place, .. } => v.place(place),
                ExprKind::Push(stat, value) => {
                    v.stat(stat);
                    v.expr(value);
                }
                ExprKind::Neg(e)
                | ExprKind::BitNot(e)
                | ExprKind::Not(e)
                | ExprKind::Match(e, _)
                | ExprKind::ReadStr { addr: e, .. } => v.expr(e),
                ExprKind::Bin(_, a, b)
                | ExprKind::Div(a, b)
                | ExprKind::Rem(a, b)
                | ExprKind::Cmp(_, a, b)
                | ExprKind::And(a, b)
                | ExprKind::Or(a, b) => {
                    v.expr(a);
                    v.expr(b);
                }
                ExprKind::Ternary(c, a, b) => {
                    v.expr(c);
                    v.expr(a);
                    v.expr(b);
                }
                ExprKind::Element(_, args)
                | ExprKind::Concat(args)
                | ExprKind::Call(_, args)
                | ExprKind::Builtin(_, args) => {
                    for arg in args {
                        v.expr(arg);
                    }
                }
                ExprKind::In(_, keys) => {
                    for key in keys.$iter().flatten() {
                        v.expr(key);
                    }
                }
                ExprKind::Print(Print { args, .. }) | ExprKind::Sprint(Print { args, .. }) => {
                    for arg in args {
                        match arg {
                            PrintArg::Value(e) => v.expr(e),
                            PrintArg::Hist(stat, _) => v.stat(stat),
                        }
                    }
                }
                ExprKind::StatGet(stat, _) | ExprKind::HistText(stat, _) => v.stat(stat),
                ExprKind::HistBucket(stat, _, index) => {
                    v.stat(stat);
                    v.expr(index);
                }
                ExprKind::Read { addr, bits, .. } => {
                    v.expr(addr);
                    if let Some((left, right)) = bits {
                        v.expr(left);
                        v.expr(right);
                    }
                }
            }
        }

        /// Goes into a statement's parts.
        pub fn $walk_stmt<V: $name + ?Sized>(v: &mut V, stmt: & $($m)? Stmt) {
            match & $($m)? stmt.kind {
                StmtKind::Expr(e) => v.expr(e),
                StmtKind::Block(body) => v.stmts(body),
                StmtKind::If(cond, yes, no) => {
                    v.expr(cond);
                    v.stmts(yes);
                    v.stmts(no);
                }
                StmtKind::Loop { cond, body, step } => {
                    if let Some(cond) = cond {
                        v.expr(cond);
                    }
                    v.stmts(body);
                    if let Some(step) = step {
                        v.expr(step);
                    }
                }
                StmtKind::Foreach(foreach) => {
                    for key in foreach.slice.$iter().flatten() {
                        v.expr(key);
                    }
                    if let Some(limit) = & $($m)? foreach.limit {
                        v.expr(limit);
                    }
                    v.stmts(& $($m)? foreach.body);
                }
                StmtKind::ForeachBucket { stat, limit, body, .. } => {
                    v.stat(stat);
                    if let Some(limit) = limit {
                        v.expr(limit);
                    }
                    v.stmts(body);
                }
                StmtKind::Return(value) => {
                    if let Some(value) = value {
                        v.expr(value);
                    }
                }
                StmtKind::Delete(what) => match what {
                    Delete::Global(_) | Delete::Local(_) => {}
                    Delete::Element(_, keys) => {
                        for key in keys {
                            v.expr(key);
                        }
                    }
                    Delete::Slice(_, keys) => {
                        for key in keys.$iter().flatten() {
                            v.expr(key);
                        }
                    }
                },
                StmtKind::Try { body, catch, .. } => {
                    v.stmts(body);
                    v.stmts(catch);
                }
                StmtKind::Break | StmtKind::Continue | StmtKind::Next => {}
            }
        }

        /// Goes through all of a probe's code.
        pub fn $walk_probe<V: $name + ?Sized>(v: &mut V, probe: & $($m)? Probe) {
            if let Some(selector) = & $($m)? probe.selector {
                v.expr(selector);
            }
            for variant in & $($m)? probe.variants {
                for condition in & $($m)? variant.conditions {
                    v.expr(condition);
                }
                v.stmts(& $($m)? variant.prologue);
            }
            v.stmts(& $($m)? probe.stmts);
            for variant in & $($m)? probe.variants {
                v.stmts(& $($m)? variant.epilogue);
            }
        }
    };
}

visitor!(
    /// Reads a tree.
    Visit, walk_expr, walk_stmt, walk_probe, iter, ()
);
visitor!(
    /// Changes a tree.
    VisitMut, walk_expr_mut, walk_stmt_mut, walk_probe_mut, iter_mut, (mut)
);
