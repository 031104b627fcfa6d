//! Types of expressions.

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Cx, Slot, noun};
use crate::builtins;
use crate::hir::{AssignOp, Expr, ExprKind, Place, Print, PrintArg, PrintKind, StatRef, Ty};
use crate::lir::{ConvKind, ConvSize, Piece};

impl Cx<'_> {
    /// Types an expression whose use asks for `want`: `Unknown` for a value of any type,
    /// `Void` when no value is needed.
    pub(super) fn expr(&mut self, expr: &mut Expr, want: Ty) -> Ty {
        let by = self.wanted_by.take();
        let beside = self.beside.take();
        let (ty, slot) = self.kind(expr, want);
        self.beside = beside;
        expr.ty = ty;
        if self.report && want == Ty::Void && ty == Ty::Stat {
            self.mismatch(expr, slot, None, Ty::Long, ty);
            expr.ty = Ty::Error;
        }
        if !self.report || want == Ty::Void || want == ty {
            self.beside = None;
            return expr.ty;
        }
        match (want, ty) {
            (_, Ty::Unknown | Ty::Error) | (Ty::Error, _) => ty,
            (_, Ty::Void) => {
                let mut diag =
                    Diagnostic::error(codes::NO_VALUE, "something without a value used as a value")
                        .label(expr.span, "this has no value");
                if let Some(Slot::Ret(function)) = slot {
                    let name = &self.function_names[function];
                    diag = diag
                        .secondary(
                            self.functions[function].ret.span,
                            format!("'{name}' never returns a value"),
                        )
                        .help(format!("give '{name}' a 'return' with a value"));
                }
                self.diags.push(diag);
                expr.ty = Ty::Error;
                Ty::Error
            }
            (Ty::Unknown, _) => ty,
            _ => {
                self.mismatch(expr, slot, by, want, ty);
                expr.ty = Ty::Error;
                Ty::Error
            }
        }
    }

    /// The type that an expression has, and the place it reads if it is one.
    fn kind(&mut self, expr: &mut Expr, want: Ty) -> (Ty, Option<Slot>) {
        let span = expr.span;
        let long = |ty: Ty| (ty, None);
        match &mut expr.kind {
            ExprKind::Int(_)
            | ExprKind::Core(_)
            | ExprKind::Env(_)
            | ExprKind::CtxArg(_)
            | ExprKind::CtxRet
            | ExprKind::CtxReg(_)
            | ExprKind::EntryArg(_) => long(Ty::Long),
            ExprKind::Str(_) | ExprKind::PointText(_) => long(Ty::Str),
            ExprKind::Error => long(Ty::Error),
            ExprKind::Local(local) => {
                let slot = Slot::Local(*local);
                (self.need(slot, want, span), Some(slot))
            }
            ExprKind::Global(global) => {
                let slot = Slot::Value(*global);
                (self.need(slot, want, span), Some(slot))
            }
            ExprKind::Element(global, keys) => {
                let global = *global;
                self.keys(global, keys.iter_mut().map(Some));
                let slot = Slot::Value(global);
                (self.need(slot, want, span), Some(slot))
            }
            ExprKind::Assign { place, op, value } => self.assign(place, *op, value, want, span),
            ExprKind::IncDec { place, .. } => {
                let ty = self.place(place, Ty::Long, span);
                if ty != Ty::Long && self.report && ty != Ty::Error {
                    let at = Expr::new(ExprKind::Error, ty, span);
                    self.mismatch(&at, place_slot(place), None, Ty::Long, ty);
                    return long(Ty::Error);
                }
                long(Ty::Long)
            }
            ExprKind::Push(stat, value) => {
                self.stat(stat, span);
                self.expr(value, Ty::Long);
                long(Ty::Long)
            }
            ExprKind::Neg(e) | ExprKind::BitNot(e) | ExprKind::Not(e) => {
                self.expr(e, Ty::Long);
                long(Ty::Long)
            }
            ExprKind::And(a, b) | ExprKind::Or(a, b) => {
                // `done && exit()`: what has no value counts as 0.
                for operand in [a, b] {
                    let is_void = operand.ty == Ty::Void;
                    self.expr(operand, if is_void { Ty::Void } else { Ty::Long });
                }
                long(Ty::Long)
            }
            ExprKind::Bin(_, a, b) | ExprKind::Div(a, b) | ExprKind::Rem(a, b) => {
                // A message about one of them shows the other, if that is as it should be.
                let (left, right) = ((a.ty, a.span), (b.ty, b.span));
                let shown = |(ty, span)| (ty == Ty::Long).then_some(span);
                self.beside = shown(right);
                self.expr(a, Ty::Long);
                self.beside = shown(left);
                self.expr(b, Ty::Long);
                self.beside = None;
                long(Ty::Long)
            }
            ExprKind::Cmp(_, a, b) => {
                self.both(a, b, Ty::Unknown);
                if self.report && a.ty == Ty::Stat {
                    self.mismatch(a, None, None, Ty::Long, Ty::Stat);
                }
                long(Ty::Long)
            }
            ExprKind::Ternary(c, a, b) => {
                self.expr(c, Ty::Long);
                (self.both(a, b, want), None)
            }
            ExprKind::Concat(parts) => {
                let text = parts.iter().find(|part| part.ty == Ty::Str);
                let text = text.map(|part| part.span);
                for part in parts {
                    self.beside = text;
                    self.expr(part, Ty::Str);
                }
                self.beside = None;
                long(Ty::Str)
            }
            ExprKind::Match(e, _) => {
                self.expr(e, Ty::Str);
                long(Ty::Long)
            }
            ExprKind::In(global, keys) => {
                let global = *global;
                self.keys(global, keys.iter_mut().map(Option::as_mut));
                long(Ty::Long)
            }
            ExprKind::Call(function, args) => {
                let function = *function;
                for (index, arg) in args.iter_mut().enumerate() {
                    let slot = Slot::Param(function, index);
                    let known = self.fact(slot).ty;
                    self.wanted_by = Some(slot);
                    let found = self.expr(arg, known);
                    self.need(slot, found, arg.span);
                }
                let slot = Slot::Ret(function);
                (self.need(slot, want, span), Some(slot))
            }
            ExprKind::Builtin(id, args) => {
                let row = builtins::get(*id);
                for (arg, ty) in args.iter_mut().zip(row.params) {
                    self.expr(arg, *ty);
                }
                long(row.ret)
            }
            ExprKind::Print(print) => {
                self.print(print);
                long(Ty::Void)
            }
            ExprKind::Sprint(print) => {
                self.print(print);
                long(Ty::Str)
            }
            ExprKind::StatGet(stat, _) => {
                self.stat(stat, span);
                long(Ty::Long)
            }
            ExprKind::HistText(stat, _) => {
                self.stat(stat, span);
                long(Ty::Str)
            }
            ExprKind::HistBucket(stat, _, index) => {
                self.stat(stat, span);
                self.expr(index, Ty::Long);
                long(Ty::Long)
            }
            ExprKind::Read { addr, bits, .. } => {
                self.expr(addr, Ty::Long);
                if let Some((left, right)) = bits {
                    self.expr(left, Ty::Long);
                    self.expr(right, Ty::Long);
                }
                long(Ty::Long)
            }
            ExprKind::ReadStr { .. } => long(self.text_or_address(expr, want)),
        }
    }

    /// An array of characters: text where a string is wanted, its address where a number is.
    fn text_or_address(&mut self, expr: &mut Expr, want: Ty) -> Ty {
        let ExprKind::ReadStr { addr, .. } = &mut expr.kind else {
            return expr.ty;
        };
        self.expr(addr, Ty::Long);
        match (expr.ty, want) {
            (Ty::Unknown, Ty::Long) => {
                let span = expr.span;
                let addr =
                    std::mem::replace(&mut **addr, Expr::new(ExprKind::Error, Ty::Error, span));
                *expr = Expr { span, ..addr };
                Ty::Long
            }
            (Ty::Unknown, Ty::Str) => Ty::Str,
            (Ty::Unknown, _) if self.text_by_default => {
                self.changed = true;
                Ty::Str
            }
            (known, _) => known,
        }
    }

    fn assign(
        &mut self,
        place: &mut Place,
        op: Option<AssignOp>,
        value: &mut Expr,
        want: Ty,
        span: Span,
    ) -> (Ty, Option<Slot>) {
        let slot = place_slot(place);
        let known = self.place(place, Ty::Unknown, span);
        let asked = match op {
            None if want == Ty::Void => Ty::Unknown,
            None => want,
            Some(AssignOp::Concat) => Ty::Str,
            Some(AssignOp::Bin(_) | AssignOp::Div | AssignOp::Rem) => Ty::Long,
        };
        let wrong = match (op, known) {
            (None, Ty::Stat) => true,
            (None, _) | (Some(_), Ty::Unknown | Ty::Error) => false,
            (Some(_), known) => known != asked,
        };
        if wrong {
            // One word about it is enough.
            let found = self.peek(value, Ty::Unknown);
            if self.report {
                let need = match (op, found) {
                    (None, Ty::Str) => Ty::Str,
                    (None, _) => Ty::Long,
                    (Some(_), _) => asked,
                };
                let at = Expr::new(ExprKind::Error, known, span);
                self.mismatch(&at, slot, None, need, known);
            }
            return (Ty::Error, None);
        }
        self.wanted_by = slot;
        let found = self.expr(value, if known == Ty::Unknown { asked } else { known });
        (self.place(place, found, value.span), slot)
    }

    /// Two expressions of the same type.
    fn both(&mut self, a: &mut Expr, b: &mut Expr, want: Ty) -> Ty {
        let want = if want == Ty::Void { Ty::Unknown } else { want };
        let known = |ty| ty != Ty::Unknown && ty != Ty::Error;
        if !self.report {
            let first = self.expr(a, want);
            let second = self.expr(b, if known(first) { first } else { want });
            if known(first) || !known(second) {
                return if known(first) { first } else { second };
            }
            return self.expr(a, second);
        }
        // What the walks before have found.
        let ty = [a.ty, b.ty, want].into_iter().find(|ty| known(*ty));
        let ty = ty.unwrap_or(Ty::Unknown);
        let (at_a, at_b) = (a.span, b.span);
        self.beside = Some(at_b);
        self.expr(a, ty);
        self.beside = Some(at_a);
        self.expr(b, ty)
    }

    /// Types an expression without reporting.
    fn peek(&mut self, expr: &mut Expr, want: Ty) -> Ty {
        let report = std::mem::replace(&mut self.report, false);
        let ty = self.expr(expr, want);
        self.report = report;
        if want == Ty::Unknown || ty != Ty::Unknown {
            ty
        } else {
            want
        }
    }

    /// The type of a place that gets a value of type `ty`.
    fn place(&mut self, place: &mut Place, ty: Ty, span: Span) -> Ty {
        match place {
            Place::Local(local) => self.need(Slot::Local(*local), ty, span),
            Place::Global(global) => self.need(Slot::Value(*global), ty, span),
            Place::Element(global, keys) => {
                let global = *global;
                if ty != Ty::Unknown || !self.report {
                    self.keys(global, keys.iter_mut().map(Some));
                }
                self.need(Slot::Value(global), ty, span)
            }
            Place::Memory { addr, .. } => {
                if ty != Ty::Unknown || !self.report {
                    self.expr(addr, Ty::Long);
                }
                Ty::Long
            }
            Place::Error => Ty::Error,
        }
    }

    /// Keys of an array; absent ones are wildcards.
    pub(super) fn keys<'e>(
        &mut self,
        global: crate::hir::Global,
        keys: impl Iterator<Item = Option<&'e mut Expr>>,
    ) {
        for (index, key) in keys.enumerate() {
            let (Some(key), true) = (key, index < self.globals[global].keys.len()) else {
                continue;
            };
            let slot = Slot::Key(global, index);
            let fact = self.fact(slot);
            let found = if self.report && fact.ty != Ty::Unknown {
                let found = self.peek(key, Ty::Unknown);
                if matches!(found, Ty::Long | Ty::Str)
                    && matches!(fact.ty, Ty::Long | Ty::Str)
                    && found != fact.ty
                {
                    self.mismatch(key, Some(slot), None, found, fact.ty);
                    key.ty = Ty::Error;
                    continue;
                }
                self.expr(key, fact.ty)
            } else {
                self.expr(key, fact.ty)
            };
            self.need(slot, found, key.span);
        }
    }

    /// A statistic.
    pub(super) fn stat(&mut self, stat: &mut StatRef, span: Span) {
        self.keys(stat.global, stat.keys.iter_mut().map(Some));
        let slot = Slot::Value(stat.global);
        let ty = self.need(slot, Ty::Stat, span);
        if self.report && !matches!(ty, Ty::Stat | Ty::Error) {
            let at = Expr::new(ExprKind::Error, ty, span);
            self.mismatch(&at, Some(slot), None, Ty::Stat, ty);
        }
    }

    fn print(&mut self, print: &mut Print) {
        let mut wanted = match &print.kind {
            PrintKind::Plain { .. } => Vec::new(),
            PrintKind::Format(format) => wanted_types(&format.pieces),
        }
        .into_iter();
        for arg in &mut print.args {
            let want = wanted.next();
            match arg {
                PrintArg::Value(e) => {
                    let free = self.peek(e, Ty::Unknown);
                    if let (true, Some((conversion, want))) = (self.report, want)
                        && matches!(free, Ty::Long | Ty::Str)
                        && free != want
                    {
                        self.conversion_mismatch(e, conversion, free);
                        e.ty = Ty::Error;
                        continue;
                    }
                    let ty = self.expr(e, want.map_or(Ty::Unknown, |(_, ty)| ty));
                    if self.report && ty == Ty::Stat {
                        self.mismatch(e, None, None, Ty::Long, Ty::Stat);
                        e.ty = Ty::Error;
                    }
                }
                PrintArg::Hist(stat, _) => {
                    let span = Span::NONE;
                    self.stat(stat, span);
                }
            }
        }
    }

    fn conversion_mismatch(&mut self, arg: &Expr, conversion: &'static str, found: Ty) {
        let better = if found == Ty::Str { "%s" } else { "%d" };
        self.diags.push(
            Diagnostic::error(
                codes::FORMAT_TYPE,
                format!("conversion '{conversion}' does not take {}", noun(found)),
            )
            .label(arg.span, format!("this is {}", noun(found)))
            .help(format!("print it with '{better}'")),
        );
    }
}

/// The slot of a place that has one.
fn place_slot(place: &Place) -> Option<Slot> {
    match place {
        Place::Local(local) => Some(Slot::Local(*local)),
        Place::Global(global) | Place::Element(global, _) => Some(Slot::Value(*global)),
        Place::Memory { .. } | Place::Error => None,
    }
}

/// The conversions' letters and types of their arguments, `*` included.
fn wanted_types(pieces: &[Piece]) -> Vec<(&'static str, Ty)> {
    let mut wanted = Vec::new();
    for piece in pieces {
        let Piece::Conv(conv) = piece else { continue };
        for size in [conv.width, conv.precision] {
            if size == ConvSize::Arg {
                wanted.push(("*", Ty::Long));
            }
        }
        wanted.push(match conv.kind {
            ConvKind::Decimal => ("%d", Ty::Long),
            ConvKind::Unsigned => ("%u", Ty::Long),
            ConvKind::Octal => ("%o", Ty::Long),
            ConvKind::HexLower => ("%x", Ty::Long),
            ConvKind::HexUpper => ("%X", Ty::Long),
            ConvKind::Pointer => ("%p", Ty::Long),
            ConvKind::Char => ("%c", Ty::Long),
            ConvKind::Binary => ("%b", Ty::Long),
            ConvKind::Str => ("%s", Ty::Str),
            ConvKind::Memory => ("%m", Ty::Long),
            ConvKind::MemoryHex => ("%M", Ty::Long),
        });
    }
    wanted
}
