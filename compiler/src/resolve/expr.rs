//! Expressions.

use rtap_grammar::ast::{self, AtOp, BinaryOp, ExprKind as Ast, IncDecOp, Indexable, Key, UnaryOp};
use rtap_grammar::diag::codes;
use rtap_grammar::source::Span;

use super::scope::Named;
use super::{Cx, error, int};
use crate::access::CType;
use crate::hir::{AssignOp, Expr, ExprKind, Place, StatRef, Ty};
use crate::lir::{BinOp, CmpOp};

impl Cx<'_> {
    /// An expression whose value is used.
    pub(crate) fn expr(&mut self, expr: &ast::Expr) -> Expr {
        self.any_expr(expr, true)
    }

    /// An expression that stands for its effect alone: `x++` does not read `x` there.
    pub(crate) fn effect(&mut self, expr: &ast::Expr) -> Expr {
        self.any_expr(expr, false)
    }

    fn any_expr(&mut self, expr: &ast::Expr, used: bool) -> Expr {
        let span = expr.span;
        let long = |kind| Expr::new(kind, Ty::Long, span);
        match &expr.kind {
            Ast::Number(n) => int(*n, span),
            Ast::String(s) => Expr::new(ExprKind::Str(super::until_nul(s).into()), Ty::Str, span),
            Ast::Name(name) => self.variable(name),
            Ast::Index { array, keys } => self.index(array, keys, span),
            Ast::Call { name, args } => self.call(name, args, span),
            Ast::ContextVar(_)
            | Ast::Member { .. }
            | Ast::Subscript { .. }
            | Ast::AddressOf(_)
            | Ast::Pretty { .. } => self.access(expr),
            Ast::Unary { op, operand } => self.unary(*op, operand, span),
            Ast::IncDec {
                op,
                prefix,
                operand,
            } => {
                let place = self.place(operand, used);
                let delta = if *op == IncDecOp::Inc { 1 } else { -1 };
                if matches!(place, Place::Memory { .. }) {
                    return self.fail(
                        codes::UNCHANGEABLE,
                        format!("'{}' does not work on context variables", op.symbol()),
                        span,
                        "write it as an assignment",
                    );
                }
                long(ExprKind::IncDec {
                    place,
                    prefix: *prefix,
                    delta,
                })
            }
            Ast::Binary { op, lhs, rhs } => self.binary(*op, lhs, rhs, span),
            Ast::Ternary {
                cond,
                then,
                otherwise,
            } => match self.decided(cond) {
                Some(0) => self.expr(otherwise),
                Some(_) => self.expr(then),
                None => {
                    let (c, a, b) = (self.expr(cond), self.expr(then), self.expr(otherwise));
                    let kind = ExprKind::Ternary(Box::new(c), Box::new(a), Box::new(b));
                    Expr::new(kind, Ty::Unknown, span)
                }
            },
            Ast::Assign { op, target, value } => self.assign(*op, target, value, span, used),
            Ast::Regex {
                expr,
                negated,
                pattern,
            } => {
                let subject = Box::new(self.expr(expr));
                self.check_regex(pattern);
                let found = long(ExprKind::Match(subject, pattern.value.clone()));
                if *negated {
                    long(ExprKind::Not(Box::new(found)))
                } else {
                    found
                }
            }
            Ast::In { keys, array } => match array {
                Indexable::Array(name) => {
                    let global = self.array(name, keys.len());
                    let keys = self.keys(keys);
                    let Some(global) = global else {
                        return error(span);
                    };
                    self.program.globals[global].read = true;
                    long(ExprKind::In(global, keys))
                }
                Indexable::Hist(e) => self.fail_with(
                    codes::MISPLACED,
                    "'in' does not work on a histogram",
                    (e.span, "not an array"),
                    "read the bucket, @hist_log(s)[bucket]: it is 0 where nothing was counted",
                ),
            },
            Ast::At { op, args } => self.at_op(*op, args, expr),
            Ast::Embedded(code) => self.embedded(code.span),
            Ast::Error => error(span),
        }
    }

    /// A plain name.
    fn variable(&mut self, name: &ast::Ident) -> Expr {
        match self.lookup(name) {
            Named::Local(local) => {
                self.scope.read(local, name.span);
                let ty = self.scope.locals[local].ty;
                Expr::new(ExprKind::Local(local), ty, name.span)
            }
            Named::Global(index) => {
                let Some(global) = self.use_global(index, 0, name.span) else {
                    return error(name.span);
                };
                let data = &mut self.program.globals[global];
                data.read = true;
                Expr::new(ExprKind::Global(global), data.value, name.span)
            }
        }
    }

    /// `array[keys]` as a value.
    fn index(&mut self, array: &Indexable, keys: &[Key], span: Span) -> Expr {
        match array {
            Indexable::Array(name) => {
                // A local that holds an address, indexed: a C array.
                if self.visible_local(&name.name).is_some() {
                    self.fail(
                        codes::UNKNOWN_ARRAY,
                        format!("'{}' is a variable, not an array", name.as_str()),
                        name.span,
                        "arrays have to be global",
                    );
                    return error(span);
                }
                let Some(global) = self.array(name, keys.len()) else {
                    return error(span);
                };
                self.program.globals[global].read = true;
                match self.exact_keys(keys) {
                    Some(keys) => Expr::new(ExprKind::Element(global, keys), Ty::Unknown, span),
                    None => error(span),
                }
            }
            Indexable::Hist(hist) => {
                let Some((stat, number, _)) = self.histogram(hist) else {
                    return error(span);
                };
                let Some(keys) = self.exact_keys(keys) else {
                    return error(span);
                };
                let Ok([bucket]) = <[Expr; 1]>::try_from(keys) else {
                    return self.fail_with(
                        codes::KEYS_DIFFER,
                        "a histogram has one index",
                        (span, "more than one index here"),
                        "write @hist_log(s)[bucket]",
                    );
                };
                Expr::new(
                    ExprKind::HistBucket(stat, number, Box::new(bucket)),
                    Ty::Long,
                    span,
                )
            }
        }
    }

    /// Keys with wildcards as `None`.
    pub(crate) fn keys(&mut self, keys: &[Key]) -> Vec<Option<Expr>> {
        let one = |key: &Key| match key {
            Key::Expr(e) => Some(self.expr(e)),
            Key::Any(_) => None,
        };
        keys.iter().map(one).collect()
    }

    /// Keys where none may be a wildcard.
    fn exact_keys(&mut self, keys: &[Key]) -> Option<Vec<Expr>> {
        let mut exact = Vec::new();
        let mut fine = true;
        for key in keys {
            match key {
                Key::Expr(e) => exact.push(self.expr(e)),
                Key::Any(span) => {
                    fine = false;
                    self.fail(
                        codes::MISPLACED,
                        "'*' as a key of a single element",
                        *span,
                        "only 'delete', 'in' and 'foreach' take a whole slice",
                    );
                }
            }
        }
        fine.then_some(exact)
    }

    fn unary(&mut self, op: UnaryOp, operand: &ast::Expr, span: Span) -> Expr {
        let value = self.expr(operand);
        let kind = match (op, &value.kind) {
            (UnaryOp::Neg, ExprKind::Int(n)) => ExprKind::Int(n.wrapping_neg()),
            (UnaryOp::Neg, _) => ExprKind::Neg(Box::new(value)),
            (UnaryOp::Plus, _) => {
                ExprKind::Bin(BinOp::Add, Box::new(value), Box::new(int(0, span)))
            }
            (UnaryOp::Not, _) => ExprKind::Not(Box::new(value)),
            (UnaryOp::BitNot, _) => ExprKind::BitNot(Box::new(value)),
        };
        Expr::new(kind, Ty::Long, span)
    }

    fn binary(&mut self, op: BinaryOp, lhs: &ast::Expr, rhs: &ast::Expr, span: Span) -> Expr {
        match (op, self.decided(lhs)) {
            (BinaryOp::AndAnd, Some(0)) => return int(0, span),
            (BinaryOp::OrOr, Some(n)) if n != 0 => return int(1, span),
            _ => {}
        }
        if op == BinaryOp::Concat {
            let mut parts = Vec::new();
            self.concat(lhs, &mut parts);
            self.concat(rhs, &mut parts);
            return Expr::new(ExprKind::Concat(parts), Ty::Str, span);
        }
        let (a, b) = (Box::new(self.expr(lhs)), Box::new(self.expr(rhs)));
        let kind = match op {
            BinaryOp::OrOr => ExprKind::Or(a, b),
            BinaryOp::AndAnd => ExprKind::And(a, b),
            BinaryOp::Div => ExprKind::Div(a, b),
            BinaryOp::Rem => ExprKind::Rem(a, b),
            BinaryOp::Lt => ExprKind::Cmp(CmpOp::Lt, a, b),
            BinaryOp::Le => ExprKind::Cmp(CmpOp::Le, a, b),
            BinaryOp::Gt => ExprKind::Cmp(CmpOp::Gt, a, b),
            BinaryOp::Ge => ExprKind::Cmp(CmpOp::Ge, a, b),
            BinaryOp::Eq => ExprKind::Cmp(CmpOp::Eq, a, b),
            BinaryOp::Ne => ExprKind::Cmp(CmpOp::Ne, a, b),
            BinaryOp::BitOr => ExprKind::Bin(BinOp::Or, a, b),
            BinaryOp::BitXor => ExprKind::Bin(BinOp::Xor, a, b),
            BinaryOp::BitAnd => ExprKind::Bin(BinOp::And, a, b),
            BinaryOp::Shl => ExprKind::Bin(BinOp::Shl, a, b),
            BinaryOp::Shr => ExprKind::Bin(BinOp::Sar, a, b),
            BinaryOp::ShrLogical => ExprKind::Bin(BinOp::Shr, a, b),
            BinaryOp::Add => ExprKind::Bin(BinOp::Add, a, b),
            BinaryOp::Sub => ExprKind::Bin(BinOp::Sub, a, b),
            BinaryOp::Mul => ExprKind::Bin(BinOp::Mul, a, b),
            BinaryOp::Concat => ExprKind::Concat(vec![*a, *b]),
        };
        Expr::new(kind, Ty::Long, span)
    }

    /// Takes the operands of a chain of concatenations apart.
    fn concat(&mut self, expr: &ast::Expr, parts: &mut Vec<Expr>) {
        if let Ast::Binary {
            op: BinaryOp::Concat,
            lhs,
            rhs,
        } = &expr.kind
        {
            self.concat(lhs, parts);
            self.concat(rhs, parts);
        } else {
            let part = self.expr(expr);
            parts.push(part);
        }
    }

    fn assign(
        &mut self,
        op: ast::AssignOp,
        target: &ast::Expr,
        value: &ast::Expr,
        span: Span,
        used: bool,
    ) -> Expr {
        let op = match op {
            ast::AssignOp::Set => None,
            ast::AssignOp::Push => {
                let stat = self.stat_target(target);
                let value = Box::new(self.expr(value));
                let Some(stat) = stat else { return error(span) };
                self.program.globals[stat.global].written = true;
                return Expr::new(ExprKind::Push(stat, value), Ty::Long, span);
            }
            ast::AssignOp::Compute(op) => match compute(op) {
                Some(op) => Some(op),
                None => {
                    return self.fail(
                        codes::MISPLACED,
                        format!("there is no operator '{}='", op.symbol()),
                        span,
                        "not an assignment",
                    );
                }
            },
        };
        // The right side is looked at first: what it mentions is there already.
        let c_type = if op.is_none() {
            self.c_type_of(value)
        } else {
            None
        };
        let value = Box::new(self.expr(value));
        let place = self.place(target, used && op.is_some());
        if let Place::Local(local) = place {
            self.scope.set_c_type(local, c_type.unwrap_or(CType::Long));
        }
        if matches!(place, Place::Error) {
            return error(span);
        }
        if op.is_some() && matches!(place, Place::Memory { .. }) {
            return self.fail(
                codes::UNCHANGEABLE,
                "context variables take plain '=' only",
                span,
                "write it as '$x = $x + …'",
            );
        }
        Expr::new(ExprKind::Assign { place, op, value }, Ty::Unknown, span)
    }

    /// Something that is assigned; `read` says that its old value is used, too.
    fn place(&mut self, target: &ast::Expr, read: bool) -> Place {
        match &target.kind {
            Ast::Name(name) => match self.lookup(name) {
                Named::Local(local) => {
                    self.scope.assigned(local);
                    if read {
                        self.scope.read(local, name.span);
                    }
                    Place::Local(local)
                }
                Named::Global(index) => match self.use_global(index, 0, name.span) {
                    Some(global) => {
                        let data = &mut self.program.globals[global];
                        data.written = true;
                        data.read |= read;
                        Place::Global(global)
                    }
                    None => Place::Error,
                },
            },
            Ast::Index {
                array: Indexable::Array(name),
                keys,
            } => {
                let global = self.array(name, keys.len());
                let keys = self.exact_keys(keys);
                let (Some(global), Some(keys)) = (global, keys) else {
                    return Place::Error;
                };
                let data = &mut self.program.globals[global];
                data.written = true;
                data.read |= read;
                Place::Element(global, keys)
            }
            Ast::ContextVar(_) | Ast::Member { .. } | Ast::Subscript { .. } => {
                self.access_place(target)
            }
            Ast::At {
                op: AtOp::Cast | AtOp::Var,
                ..
            } => self.access_place(target),
            Ast::Error => Place::Error,
            _ => {
                self.fail(
                    codes::UNCHANGEABLE,
                    "this cannot be assigned",
                    target.span,
                    "neither a variable nor an array's element",
                );
                Place::Error
            }
        }
    }

    /// The statistic that `<<<` or `@count(…)` names.
    pub(crate) fn stat_target(&mut self, target: &ast::Expr) -> Option<StatRef> {
        let (global, keys) = match &target.kind {
            Ast::Name(name) => {
                if self.visible_local(&name.name).is_some() {
                    self.not_a_statistic(target.span);
                    return None;
                }
                (self.array(name, 0)?, Vec::new())
            }
            Ast::Index {
                array: Indexable::Array(name),
                keys,
            } => {
                let global = self.array(name, keys.len());
                let keys = self.exact_keys(keys);
                (global?, keys?)
            }
            Ast::Error => return None,
            _ => {
                self.not_a_statistic(target.span);
                return None;
            }
        };
        Some(StatRef { global, keys })
    }

    fn not_a_statistic(&mut self, span: Span) {
        let title = "statistics are globals or elements of global arrays";
        let help = "declare one, 'global s', put numbers into it, 's <<< n', and name it here";
        self.fail_with(
            codes::NOT_A_STATISTIC,
            title,
            (span, "neither of these"),
            help,
        );
    }
}

/// The operation of `op=`.
fn compute(op: BinaryOp) -> Option<AssignOp> {
    Some(match op {
        BinaryOp::Add => AssignOp::Bin(BinOp::Add),
        BinaryOp::Sub => AssignOp::Bin(BinOp::Sub),
        BinaryOp::Mul => AssignOp::Bin(BinOp::Mul),
        BinaryOp::BitAnd => AssignOp::Bin(BinOp::And),
        BinaryOp::BitOr => AssignOp::Bin(BinOp::Or),
        BinaryOp::BitXor => AssignOp::Bin(BinOp::Xor),
        BinaryOp::Shl => AssignOp::Bin(BinOp::Shl),
        BinaryOp::Shr => AssignOp::Bin(BinOp::Sar),
        BinaryOp::Div => AssignOp::Div,
        BinaryOp::Rem => AssignOp::Rem,
        BinaryOp::Concat => AssignOp::Concat,
        BinaryOp::ShrLogical
        | BinaryOp::OrOr
        | BinaryOp::AndAnd
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::Eq
        | BinaryOp::Ne => return None,
    })
}
