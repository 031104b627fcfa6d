//! Expressions.

use bstr::BStr;
use rtap_grammar::source::Span;

use super::{Lower, Lowered, function, lir_ty};
use crate::builtins::{self, BuiltinId, Call};
use crate::hir::{self, Expr, ExprKind, FuncId, PointText, StatRef};
use crate::lir::{PointText as LirText, *};

impl Lower<'_> {
    /// The value of an expression that has one.
    pub(super) fn value(&mut self, expr: &Expr) -> Lowered<Value> {
        let ty = lir_ty(expr.ty, expr.cap).unwrap_or(Ty::I64);
        self.value_sized(expr, ty)
    }

    /// The value of an expression, brought to exactly this type.
    pub(super) fn value_as(&mut self, expr: &Expr, ty: Ty) -> Lowered<Value> {
        let value = self.value_sized(expr, ty)?;
        self.fit(value, ty, expr.span)
    }

    /// The value of an expression as a string of characters.
    pub(super) fn chars(&mut self, expr: &Expr) -> Lowered<Value> {
        let value = self.value(expr)?;
        self.rendered(value, expr.span)
    }

    /// A value, of a late string its characters.
    pub(crate) fn rendered(&mut self, value: Value, span: Span) -> Lowered<Value> {
        match self.builder.ty(value) {
            Ty::Str { late: true, .. } => self.fit(value, Ty::str(self.max_cap()), span),
            Ty::I64 | Ty::Str { late: false, .. } => Ok(value),
        }
    }

    /// Gives a value another width.
    pub(super) fn fit(&mut self, value: Value, ty: Ty, span: Span) -> Lowered<Value> {
        let from = self.builder.ty(value);
        if from == ty {
            return Ok(value);
        }
        match (from, ty) {
            (Ty::Str { late: true, .. }, Ty::Str { late: false, .. })
                if self.exec() == Some(Exec::Kernel) =>
            {
                self.no_characters(span, "this string")
            }
            (Ty::Str { late: false, .. }, Ty::Str { late: true, .. }) => {
                let format = self.format(Format {
                    pieces: vec![Piece::Conv(Conv::plain(ConvKind::Str))],
                    channel: Channel::Out,
                });
                Ok(self
                    .builder
                    .value(Op::StrLate(format, vec![value]), ty, span))
            }
            (Ty::Str { .. }, Ty::Str { .. }) => Ok(self.builder.value(Op::StrCut(value), ty, span)),
            // Only trees with type errors mix the two; a diagnostic has been given.
            (Ty::I64, _) | (_, Ty::I64) => Ok(self.nothing(ty, span)),
        }
    }

    /// The value of an expression; where its operation chooses the width of a string itself,
    /// it is made as wide as `ty` says.
    fn value_sized(&mut self, expr: &Expr, ty: Ty) -> Lowered<Value> {
        let span = expr.span;
        // Lateness is the expression's own; the width is the one wanted.
        let (cap, late) = match ty {
            Ty::Str { cap, late } if late == expr.cap.1 => (cap, late),
            Ty::I64 | Ty::Str { .. } => expr.cap,
        };
        Ok(match &expr.kind {
            ExprKind::Int(n) => self.const_int(*n, span),
            ExprKind::Str(text) => self.const_text(text, cap, span),
            ExprKind::Core(core) => self.int(Op::Core(*core), span),
            ExprKind::Local(local) => {
                let variable = self.local(*local);
                self.builder.read(variable)
            }
            ExprKind::Global(global) => self.get_global(*global, span),
            ExprKind::Element(array, keys) => {
                let keys = self.keys(*array, keys)?;
                self.get_element(*array, keys, span)
            }
            ExprKind::Assign { .. } | ExprKind::IncDec { .. } => {
                match self.assignment(expr, true)? {
                    Some(value) => value,
                    None => self.nothing(ty, span),
                }
            }
            ExprKind::Push(stat, value) => self.push(stat, value, span)?,
            ExprKind::Neg(e) => {
                let zero = self.const_int(0, span);
                let e = self.value(e)?;
                self.int(Op::Bin(BinOp::Sub, zero, e), span)
            }
            ExprKind::BitNot(e) => {
                let e = self.value(e)?;
                let ones = self.const_int(-1, span);
                self.int(Op::Bin(BinOp::Xor, e, ones), span)
            }
            ExprKind::Not(e) => {
                let e = self.value(e)?;
                let zero = self.const_int(0, span);
                self.compare(CmpOp::Eq, e, zero, span)
            }
            ExprKind::Bin(op, a, b) => {
                let a = self.value(a)?;
                let b = self.value(b)?;
                self.int(Op::Bin(*op, a, b), span)
            }
            ExprKind::Div(a, b) => {
                let site = self.division_site(span, a, b, '/');
                let a = self.value(a)?;
                let b = self.value(b)?;
                self.int(Op::Div(a, b, site), span)
            }
            ExprKind::Rem(a, b) => {
                let site = self.division_site(span, a, b, '%');
                let a = self.value(a)?;
                let b = self.value(b)?;
                self.int(Op::Rem(a, b, site), span)
            }
            ExprKind::Cmp(op, a, b) => self.comparison(*op, a, b, span)?,
            ExprKind::And(..) | ExprKind::Or(..) => self.truth(expr)?,
            ExprKind::Ternary(cond, yes, no) => self.ternary(cond, yes, no, ty, span)?,
            ExprKind::Concat(parts) => {
                let parts = parts.iter().map(|part| self.chars(part));
                let parts = parts.collect::<Lowered<Vec<Value>>>()?;
                self.text(Op::StrConcat(parts), cap, span)
            }
            ExprKind::Match(e, regex) => {
                let e = self.chars(e)?;
                let regex = self.tables.regex(BStr::new(regex));
                self.int(Op::StrMatch(regex, e), span)
            }
            ExprKind::In(array, keys) => self.membership(*array, keys, span)?,
            ExprKind::Call(function, args) => match self.call(*function, args, span)? {
                Some(value) => value,
                None => self.nothing(ty, span),
            },
            ExprKind::Builtin(id, args) => match self.builtin(*id, args, (cap, late), span)? {
                Some(value) => value,
                None => self.nothing(ty, span),
            },
            ExprKind::Print(print) => {
                self.print(print, span)?;
                self.nothing(ty, span)
            }
            ExprKind::Sprint(print) => self.sprint(print, (cap, late), span)?,
            ExprKind::StatGet(stat, field) => {
                let keys = self.keys(stat.global, &stat.keys)?;
                let site = self.site(ErrorKind::EmptyStat, span);
                self.int(Op::StatGet(stat.global, keys, *field, site), span)
            }
            ExprKind::HistBucket(stat, histogram, bucket) => {
                let keys = self.keys(stat.global, &stat.keys)?;
                let bucket = self.value(bucket)?;
                let site = self.site(ErrorKind::HistRange, span);
                let op = Op::StatBucket(stat.global, keys, bucket, *histogram, site);
                self.int(op, span)
            }
            ExprKind::HistText(..) if !late && self.exec() == Some(Exec::Kernel) => {
                self.no_characters(span, "the text of a histogram")?
            }
            ExprKind::HistText(stat, histogram) => {
                let keys = self.keys(stat.global, &stat.keys)?;
                let site = self.site(ErrorKind::EmptyStat, span);
                let format = self.histogram_format(stat.global, *histogram);
                let op = Op::StrHist(format, stat.global, keys, *histogram, site);
                self.string(op, (cap, late), span)
            }
            ExprKind::Read {
                addr,
                space,
                size,
                signed,
                bits,
            } => {
                let addr = self.value(addr)?;
                let site = self.site(ErrorKind::ReadFault(*space), span);
                let op = Op::MemRead {
                    addr,
                    space: *space,
                    size: *size,
                    signed: *signed,
                    site,
                };
                let value = self.int(op, span);
                match bits {
                    None => value,
                    Some((left, right)) => self.bit_field(value, left, right, *signed, span)?,
                }
            }
            ExprKind::ReadStr { addr, space } => {
                let addr = self.value(addr)?;
                let site = self.site(ErrorKind::ReadFault(*space), span);
                let op = Op::MemReadStr {
                    addr,
                    space: *space,
                    site,
                };
                self.text(op, cap, span)
            }
            ExprKind::Env(Env::Point) => self.point_number(span),
            ExprKind::Env(env) => self.int(Op::Env(*env), span),
            ExprKind::CtxArg(n) => self.int(Op::CtxArg(*n), span),
            ExprKind::CtxRet => self.int(Op::CtxRet, span),
            ExprKind::CtxReg(reg) => self.int(Op::CtxReg(*reg), span),
            ExprKind::EntryArg(n) => {
                let site = self.site(ErrorKind::NoEntry, span);
                self.int(Op::EntryArg(*n, site), span)
            }
            ExprKind::PointText(text) => self.point_text(*text, (cap, late), span),
            ExprKind::Error => self.nothing(ty, span),
        })
    }

    /// An expression for its effect alone.
    pub(super) fn effect_of(&mut self, expr: &Expr) -> Lowered<()> {
        match &expr.kind {
            ExprKind::Assign { .. } | ExprKind::IncDec { .. } => {
                self.assignment(expr, false)?;
            }
            ExprKind::Print(print) => self.print(print, expr.span)?,
            ExprKind::Call(function, args) => {
                self.call(*function, args, expr.span)?;
            }
            ExprKind::Builtin(id, args) => {
                self.builtin(*id, args, expr.cap, expr.span)?;
            }
            _ => {
                self.value(expr)?;
            }
        }
        Ok(())
    }

    /// Goes to `yes` if the expression is not zero, else to `no`.
    pub(super) fn condition(&mut self, expr: &Expr, yes: Block, no: Block) -> Lowered<()> {
        match &expr.kind {
            ExprKind::Not(e) => self.condition(e, no, yes),
            ExprKind::And(a, b) => {
                let second = self.builder.new_block();
                self.condition(a, second, no)?;
                self.builder.seal(second);
                self.builder.switch_to(second);
                self.condition(b, yes, no)
            }
            ExprKind::Or(a, b) => {
                let second = self.builder.new_block();
                self.condition(a, yes, second)?;
                self.builder.seal(second);
                self.builder.switch_to(second);
                self.condition(b, yes, no)
            }
            _ => {
                let value = self.value(expr)?;
                self.builder.branch(value, yes, no, expr.span);
                Ok(())
            }
        }
    }

    /// `a && b`, `a || b` as a number.
    fn truth(&mut self, expr: &Expr) -> Lowered<Value> {
        let span = expr.span;
        let (yes, no) = (self.builder.new_block(), self.builder.new_block());
        let join = self.builder.new_block();
        let result = self.builder.block_param(join, Ty::I64);
        self.condition(expr, yes, no)?;
        for (block, n) in [(yes, 1), (no, 0)] {
            self.builder.seal(block);
            self.builder.switch_to(block);
            let n = self.const_int(n, span);
            self.builder.jump_with(join, vec![n], span);
        }
        self.builder.seal(join);
        self.builder.switch_to(join);
        Ok(result)
    }

    fn ternary(
        &mut self,
        cond: &Expr,
        yes: &Expr,
        no: &Expr,
        ty: Ty,
        span: Span,
    ) -> Lowered<Value> {
        let (yes_block, no_block) = (self.builder.new_block(), self.builder.new_block());
        let join = self.builder.new_block();
        let result = self.builder.block_param(join, ty);
        self.condition(cond, yes_block, no_block)?;
        for (block, arm) in [(yes_block, yes), (no_block, no)] {
            self.builder.seal(block);
            self.builder.switch_to(block);
            let value = self.value_as(arm, ty)?;
            self.builder.jump_with(join, vec![value], span);
        }
        self.builder.seal(join);
        self.builder.switch_to(join);
        Ok(result)
    }

    fn comparison(&mut self, op: CmpOp, a: &Expr, b: &Expr, span: Span) -> Lowered<Value> {
        if a.ty != hir::Ty::Str {
            let a = self.value(a)?;
            let b = self.value(b)?;
            return Ok(self.compare(op, a, b, span));
        }
        if let CmpOp::Eq | CmpOp::Ne = op
            && let Some(late) = hir::compared_with_empty(a, b)
            && late.cap.1
            && self.exec() != Some(Exec::User)
        {
            let text = self.value(late)?;
            let some = self.int(Op::StrSome(text), span);
            let zero = self.const_int(0, span);
            return Ok(self.compare(op, some, zero, span));
        }
        let a = self.chars(a)?;
        let b = self.chars(b)?;
        let zero = self.const_int(0, span);
        Ok(match op {
            CmpOp::Eq => self.int(Op::StrEq(a, b), span),
            CmpOp::Ne => {
                let equal = self.int(Op::StrEq(a, b), span);
                self.compare(CmpOp::Eq, equal, zero, span)
            }
            CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge | CmpOp::Ult => {
                let order = self.int(Op::StrCmp(a, b), span);
                self.compare(op, order, zero, span)
            }
        })
    }

    fn bit_field(
        &mut self,
        value: Value,
        left: &Expr,
        right: &Expr,
        signed: bool,
        span: Span,
    ) -> Lowered<Value> {
        let left = self.value(left)?;
        let value = self.int(Op::Bin(BinOp::Shl, value, left), span);
        let right = self.value(right)?;
        let op = if signed { BinOp::Sar } else { BinOp::Shr };
        Ok(self.int(Op::Bin(op, value, right), span))
    }

    /// The site of a division, which names the operator.
    fn division_site(&mut self, span: Span, a: &Expr, b: &Expr, operator: char) -> SiteId {
        let at = self.between(span, a.span, b.span, operator);
        let near = format!("operator '{operator}'");
        self.site_near(ErrorKind::DivisionByZero, near, at)
    }

    /// The values of an array's keys, as wide as the array has them.
    pub(super) fn keys(&mut self, array: Global, keys: &[Expr]) -> Lowered<Vec<Value>> {
        let types = self.tables.key_types(array);
        let types = types.into_iter().chain(std::iter::repeat(Ty::I64));
        keys.iter()
            .zip(types)
            .map(|(key, ty)| self.value_as(key, ty))
            .collect()
    }

    /// The same where `*` matches any key.
    pub(super) fn slice(
        &mut self,
        array: Global,
        keys: &[Option<Expr>],
    ) -> Lowered<Vec<Option<Value>>> {
        let types = self.tables.key_types(array);
        let types = types.into_iter().chain(std::iter::repeat(Ty::I64));
        keys.iter()
            .zip(types)
            .map(|(key, ty)| key.as_ref().map(|key| self.value_as(key, ty)).transpose())
            .collect()
    }

    fn membership(&mut self, array: Global, keys: &[Option<Expr>], span: Span) -> Lowered<Value> {
        let keys = self.slice(array, keys)?;
        let all: Option<Vec<Value>> = keys.iter().copied().collect();
        Ok(match all {
            Some(keys) => self.int(Op::ArrayHas(array, keys), span),
            None => self.int(Op::ArrayHasSlice(array, keys), span),
        })
    }

    /// `s <<< v`
    fn push(&mut self, stat: &StatRef, value: &Expr, span: Span) -> Lowered<Value> {
        let keys = self.keys(stat.global, &stat.keys)?;
        let value = self.value(value)?;
        let site = self.overflow_site(stat.global, span);
        self.effect(Op::StatPush(stat.global, keys, value, site), span);
        Ok(value)
    }

    /// Calls a function of the program.
    fn call(&mut self, id: FuncId, args: &[Expr], span: Span) -> Lowered<Option<Value>> {
        let func = function::request(self.program, self.needs, self.tables, id, self.spec);
        let callee = &self.tables.module.functions[func];
        let (params, ret) = (callee.params.clone(), callee.ret);
        let callee_name = callee.name.clone();
        let mut values = Vec::with_capacity(params.len());
        for (arg, ty) in args.iter().zip(&params) {
            values.push(self.value_as(arg, *ty)?);
        }
        if self.needs.point(id) {
            values.push(self.point_number(span));
        }
        let site = self.site_near(ErrorKind::Call, callee_name, span);
        Ok(self.emit(Op::Call(func, values, site), ret, span))
    }

    /// Calls a builtin.
    fn builtin(
        &mut self,
        id: BuiltinId,
        args: &[Expr],
        cap: (u32, bool),
        span: Span,
    ) -> Lowered<Option<Value>> {
        let builtin = builtins::get(id);
        let args = args.iter().map(|arg| {
            if builtin.late_args {
                self.value(arg)
            } else {
                self.chars(arg)
            }
        });
        let args = args.collect::<Lowered<Vec<Value>>>()?;
        (builtin.lower)(
            self,
            &Call {
                builtin,
                args: &args,
                cap,
                span,
            },
        )
    }

    /// A text of the point that fired.
    fn point_text(&mut self, text: PointText, (cap, late): (u32, bool), span: Span) -> Value {
        let (kind, function) = match text {
            PointText::Full => (LirText::Full, "pp"),
            PointText::Function | PointText::Syscall => (LirText::Function, "probefunc"),
            PointText::Module => (LirText::Module, "probemod"),
        };
        if !late {
            let number = self.point_number(span);
            return self.text(Op::PointText(kind, number), cap, span);
        }
        let (function, arg) = match (text, self.selected) {
            (PointText::Syscall, Some(selector)) => ("syscall_name", selector),
            _ => (function, self.point_number(span)),
        };
        let format = self.format(Format {
            pieces: vec![Piece::Call(UserFn(function.to_owned()), 1)],
            channel: Channel::Out,
        });
        let ty = Ty::Str { cap, late };
        self.builder.value(Op::StrLate(format, vec![arg]), ty, span)
    }
}
