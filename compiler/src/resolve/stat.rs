//! `@`-operators: statistics, histograms and the others.

use rtap_grammar::ast::{self, AtOp, ExprKind as Ast};
use rtap_grammar::diag::codes;
use rtap_grammar::source::Span;

use super::{Cx, error, int};
use crate::builtins;
use crate::hir::{Expr, ExprKind, StatRef, Ty};
use crate::lir::{CtxReg, Histogram, Space, StatField};

/// Greatest bit shift of a variance. (It is checked and has no effect: ours is exact.)
const MAX_VARIANCE_SHIFT: i64 = 62;

impl Cx<'_> {
    /// `@op(args)`; `whole` is the expression itself.
    pub(crate) fn at_op(&mut self, op: AtOp, args: &[ast::Expr], whole: &ast::Expr) -> Expr {
        let span = whole.span;
        match op {
            AtOp::Count => self.stat_get(args, StatField::Count, span),
            AtOp::Sum => self.stat_get(args, StatField::Sum, span),
            AtOp::Min => self.stat_get(args, StatField::Min, span),
            AtOp::Max => self.stat_get(args, StatField::Max, span),
            AtOp::Avg => self.stat_get(args, StatField::Avg, span),
            AtOp::Variance => {
                let shift = args.get(1).map_or(Some(0), literal_number).unwrap_or(-1);
                if !(0..=MAX_VARIANCE_SHIFT).contains(&shift) {
                    let title = "the bit shift of @variance is 0 to 62";
                    let help = "leave it out: the variance is exact without";
                    return self.fail_with(codes::MISPLACED, title, (span, "out of range"), help);
                }
                self.stat_get(args, StatField::Variance, span)
            }
            AtOp::HistLog | AtOp::HistLinear => self.fail(
                codes::MISPLACED,
                "a histogram is no value",
                span,
                "it can be printed with print(), indexed and iterated",
            ),
            AtOp::Cast | AtOp::Var => self.access(whole),
            AtOp::Defined | AtOp::Probewrite => int(self.constant(whole).unwrap_or(0), span),
            AtOp::Entry => self.entry(args, span),
            AtOp::Enum => self.enumerator(args, span),
            AtOp::Const => self.c_constant(args, span),
            AtOp::Kderef | AtOp::Uderef => self.deref(op, args, span),
            AtOp::Uregister | AtOp::Kregister => self.dwarf_register(args, span),
            AtOp::EnumName => self.enumerator_name(args, span),
            AtOp::Perf => self.perf_count(args, span),
        }
    }

    fn stat_get(&mut self, args: &[ast::Expr], field: StatField, span: Span) -> Expr {
        let Some(stat) = self.stat_ref(args) else {
            return error(span);
        };
        self.program.globals[stat.global].stat.require(field);
        Expr::new(ExprKind::StatGet(stat, field), Ty::Long, span)
    }

    /// The statistic that an operator reads.
    fn stat_ref(&mut self, args: &[ast::Expr]) -> Option<StatRef> {
        let target = args.first()?;
        let stat = self.stat_target(target)?;
        self.program.globals[stat.global].read = true;
        Some(stat)
    }

    /// `@hist_log(s)` or `@hist_linear(s, low, high, width)`: the statistic and the number of the
    /// histogram among those kept for it.
    pub(crate) fn histogram(&mut self, hist: &ast::Expr) -> Option<(StatRef, u8, Histogram)> {
        let Ast::At { op, args } = &hist.kind else {
            return None;
        };
        let kind = match op {
            AtOp::HistLog => Histogram::Log,
            AtOp::HistLinear => {
                let numbers: Vec<i64> = args.iter().skip(1).filter_map(literal_number).collect();
                let [low, high, width] = numbers[..] else {
                    return None;
                };
                self.linear(low, high, width, hist.span)?
            }
            _ => return None,
        };
        let stat = self.stat_ref(args)?;
        let data = &mut self.program.globals[stat.global];
        let number = data.histogram(kind);
        Some((stat, number, kind))
    }

    fn linear(&mut self, low: i64, high: i64, width: i64, span: Span) -> Option<Histogram> {
        const MOST: i64 = Histogram::MOST_LINEAR_BUCKETS;
        let (problem, help) = if width < 1 {
            let problem = "the width of a bucket is at least 1".to_owned();
            (
                problem,
                "the arguments are the statistic, low, high and width".to_owned(),
            )
        } else if low >= high {
            let problem = format!("the lower end {low} is not below the upper end {high}");
            (
                problem,
                "the arguments are the statistic, low, high and width".to_owned(),
            )
        } else {
            let buckets = high
                .checked_sub(low)
                .map_or(i64::MAX, |range| range / width + 1);
            if buckets <= MOST {
                return Some(Histogram::Linear { low, high, width });
            }
            let problem = format!("{buckets} buckets are more than the {MOST} there may be");
            let least = high.abs_diff(low) / MOST as u64 + 1;
            (problem, format!("a width of {least} is enough"))
        };
        self.fail_with(
            codes::BAD_HISTOGRAM,
            problem,
            (span, "this histogram"),
            help,
        );
        None
    }

    fn enumerator(&mut self, args: &[ast::Expr], span: Span) -> Expr {
        let Some(Ast::String(name)) = args.first().map(|a| &a.kind) else {
            return error(span);
        };
        let name = name.to_string();
        self.enum_value(&name, span)
    }

    /// `@enumname(number, "type", "module")`: the enumerator's name, or the number.
    fn enumerator_name(&mut self, args: &[ast::Expr], span: Span) -> Expr {
        let Some(value) = args.first() else {
            return error(span);
        };
        let Some(names) = self.enumerators(value, args.get(1), args.get(2), span) else {
            return error(span);
        };
        let list: Vec<String> = names
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let value = self.expr(value);
        let list = Expr::new(ExprKind::Str(list.join(" ").into()), Ty::Str, span);
        match builtins::find("__enum") {
            Some(id) => Expr::new(ExprKind::Builtin(id, vec![value, list]), Ty::Str, span),
            None => error(span),
        }
    }

    /// `@const("…")`: a number or an enumerator.
    fn c_constant(&mut self, args: &[ast::Expr], span: Span) -> Expr {
        if !self.privileged(span) {
            return self.fail(
                codes::PRIVILEGED,
                "@const is for guru mode",
                span,
                "needs -g",
            );
        }
        let Some(Ast::String(text)) = args.first().map(|a| &a.kind) else {
            return error(span);
        };
        let text = text.to_string();
        if let Some(number) = super::globals::parse_number(text.trim()) {
            return int(number, span);
        }
        self.enum_value(text.trim(), span)
    }

    /// `@kderef(size, address)` and `@uderef`.
    fn deref(&mut self, op: AtOp, args: &[ast::Expr], span: Span) -> Expr {
        if op == AtOp::Kderef && !self.privileged(span) {
            return self.fail(
                codes::PRIVILEGED,
                "@kderef is for guru mode",
                span,
                "needs -g",
            );
        }
        let [size, addr] = args else {
            return error(span);
        };
        let addr = Box::new(self.expr(addr));
        let size = match literal_number(size) {
            Some(n @ (1 | 2 | 4 | 8)) => n as u8,
            _ => {
                return self.fail(
                    codes::MISPLACED,
                    format!("@{} reads 1, 2, 4 or 8 bytes", op.name()),
                    size.span,
                    "must be written as one of these numbers",
                );
            }
        };
        let space = if op == AtOp::Kderef {
            Space::Kernel
        } else {
            Space::User
        };
        let kind = ExprKind::Read {
            addr,
            space,
            size,
            signed: false,
            bits: None,
        };
        Expr::new(kind, Ty::Long, span)
    }

    /// `@uregister(n)` and `@kregister(n)`: a register by its DWARF number.
    fn dwarf_register(&mut self, args: &[ast::Expr], span: Span) -> Expr {
        let number = args
            .first()
            .and_then(literal_number)
            .and_then(|n| u8::try_from(n).ok());
        let has_registers = self
            .scope
            .vars
            .as_ref()
            .is_some_and(|vars| vars.has_registers());
        match number {
            Some(n) if has_registers => {
                Expr::new(ExprKind::CtxReg(CtxReg::Dwarf(n)), Ty::Long, span)
            }
            Some(_) => self.fail(
                codes::NO_CONTEXT,
                "there are no registers here",
                span,
                "only kprobes, uprobes and timer.profile have them",
            ),
            None => self.fail(
                codes::MISPLACED,
                "a DWARF register number is needed",
                span,
                "must be written as a number from 0 to 255",
            ),
        }
    }
}

/// The number that a literal is.
pub(crate) fn literal_number(expr: &ast::Expr) -> Option<i64> {
    match &expr.kind {
        Ast::Number(n) => Some(*n),
        Ast::Unary {
            op: ast::UnaryOp::Neg,
            operand,
        } => literal_number(operand).map(i64::wrapping_neg),
        Ast::Unary {
            op: ast::UnaryOp::Plus,
            operand,
        } => literal_number(operand),
        _ => None,
    }
}
