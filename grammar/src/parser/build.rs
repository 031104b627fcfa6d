//! What the grammar's productions make: short calls that build syntax nodes.
//!
//! Here are also the checks that need no more than the node itself. Nodes that would nest too deeply are
//! replaced by `Error` nodes, which is what keeps every later pass free to recurse.

use super::terminal::{NameId, StrId, Terminal, Terminals};
use crate::ast::*;
use crate::diag::{Diagnostic, codes};
use crate::source::Span;
use bstr::BString;
use std::cell::{Cell, RefCell};

/// What the productions know and note while one piece of a file is parsed.
pub(crate) struct Cx<'c> {
    /// The terminals that are being parsed; locations are indices into these.
    terminals: &'c [Terminal],
    tables: &'c Terminals,
    pub(super) diagnostics: RefCell<Vec<Diagnostic>>,
    /// The end of the last statement that was understood, as a location.
    pub(super) last_stmt_end: Cell<u32>,
    too_deep: Cell<bool>,
}

/// The head of `foreach`.
pub(crate) struct ForeachHead {
    pub(super) value: Option<ForeachVar>,
    pub(super) keys: Vec<ForeachVar>,
    pub(super) array: Indexable,
    pub(super) slice: Vec<Key>,
    pub(super) sort: Option<(Option<AtOp>, Sort)>,
    pub(super) limit: Option<Expr>,
}

/// The parts of a probe point.
pub(crate) struct PointHead {
    pub(super) components: Vec<Component>,
    pub(super) sufficiency: Sufficiency,
    pub(super) condition: Option<Box<Expr>>,
}

impl<'c> Cx<'c> {
    pub(super) fn new(terminals: &'c [Terminal], tables: &'c Terminals) -> Cx<'c> {
        Cx {
            terminals,
            tables,
            diagnostics: RefCell::new(Vec::new()),
            last_stmt_end: Cell::new(0),
            too_deep: Cell::new(false),
        }
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    // ---- Places, names, literals

    fn place(&self, at: u32) -> Span {
        self.terminals
            .get(at as usize)
            .map_or(Span::NONE, |t| t.span)
    }

    /// The place of the terminals `l..r`.
    pub(crate) fn span(&self, l: u32, r: u32) -> Span {
        if r > l {
            self.place(l).to(self.place(r - 1))
        } else {
            self.place(l).at_start()
        }
    }

    fn text(&self, id: NameId) -> Name {
        self.tables
            .names
            .get(id.0 as usize)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn ident(&self, id: NameId, at: u32) -> Ident {
        Ident {
            name: self.text(id),
            span: self.place(at),
        }
    }

    pub(crate) fn string(&self, id: StrId) -> BString {
        self.tables
            .strings
            .get(id.0 as usize)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn literal(&self, value: LiteralValue, l: u32, r: u32) -> Literal {
        Literal {
            value,
            span: self.span(l, r),
        }
    }

    pub(crate) fn type_ref(&self, name: TypeName, l: u32, r: u32) -> TypeRef {
        TypeRef {
            name,
            span: self.span(l, r),
        }
    }

    pub(crate) fn embedded_code(&self, code: NameId, at: u32) -> Embedded {
        Embedded {
            code: self.text(code),
            span: self.place(at),
        }
    }

    // ---- Items

    pub(crate) fn globals(&self, private: bool, vars: Vec<GlobalVar>, l: u32, r: u32) -> Item {
        Item::Global(GlobalDecl {
            private,
            vars,
            span: self.span(l, r),
        })
    }

    pub(crate) fn global(
        &self,
        name: Ident,
        wrap: bool,
        size: Option<Literal>,
        init: Option<Literal>,
    ) -> GlobalVar {
        if let Some(size) = &size {
            let fits = match size.value {
                LiteralValue::Number(n) => (1..=i64::from(i32::MAX)).contains(&n),
                LiteralValue::String(_) => false,
                LiteralValue::Error => true,
            };
            if !fits {
                let d = Diagnostic::error(codes::BAD_GLOBAL, "bad array size").label(
                    size.span,
                    format!("expected a number from 1 to {}", i32::MAX),
                );
                self.report(d);
            }
        }
        if let (true, Some(init)) = (wrap || size.is_some(), &init) {
            let d = Diagnostic::error(codes::BAD_GLOBAL, "an array cannot have an initial value")
                .label(init.span, "given here")
                .help("fill it in a 'probe begin'");
            self.report(d);
        }
        GlobalVar {
            name,
            wrap,
            size,
            init,
        }
    }

    pub(crate) fn function(
        &self,
        private: bool,
        name: Ident,
        ret: Option<TypeRef>,
        params: Vec<Option<Param>>,
        priority: Option<Literal>,
        body: FunctionBody,
        l: u32,
        r: u32,
    ) -> Item {
        let params: Vec<Param> = params.into_iter().flatten().collect();
        for (i, param) in params.iter().enumerate() {
            if let Some(first) = params[..i].iter().find(|p| p.name.name == param.name.name) {
                let title = format!("two parameters are named '{}'", param.name.as_str());
                let d = Diagnostic::error(codes::BAD_FUNCTION, title)
                    .label(param.name.span, "the second")
                    .secondary(first.name.span, "the first")
                    .help("give one of them another name");
                self.report(d);
            }
        }
        if let Some(priority) = &priority {
            let fits = match priority.value {
                LiteralValue::Number(n) => n > 0,
                LiteralValue::String(_) => false,
                LiteralValue::Error => true,
            };
            if !fits {
                let d = Diagnostic::error(codes::BAD_FUNCTION, "bad function priority")
                    .label(priority.span, "expected a number of 1 or more");
                self.report(d);
            }
        }
        Item::Function(Function {
            private,
            name,
            ret,
            params,
            priority,
            body,
            span: self.span(l, r),
        })
    }

    pub(crate) fn probe(
        &self,
        names: Vec<(ProbePoint, bool)>,
        points: Vec<ProbePoint>,
        first: Block,
        second: Option<Block>,
        l: u32,
        r: u32,
    ) -> Item {
        let span = self.span(l, r);
        if names.is_empty() {
            if let Some(second) = second {
                let d = Diagnostic::error(codes::BAD_ALIAS, "a probe has only one body")
                    .label(second.span, "a second one")
                    .note("only an alias, 'probe NAME = POINT { … }, { … }', has a prologue and an epilogue");
                self.report(d);
            }
            return Item::Probe(Probe {
                points,
                body: first,
                span,
            });
        }
        // One '+=' among several makes it an epilogue.
        let epilogue_style = names.iter().any(|(_, epilogue)| *epilogue);
        if let (true, Some(second)) = (epilogue_style, &second) {
            let d = Diagnostic::error(
                codes::BAD_ALIAS,
                "an alias defined with '+=' has only one body",
            )
            .label(second.span, "a second one")
            .help("write '=' to give a prologue and an epilogue");
            self.report(d);
        }
        let names = names
            .into_iter()
            .map(|(point, _)| self.alias_name(point))
            .collect();
        let (prologue, epilogue) = match second {
            Some(second) => (Some(first), Some(second)),
            None if epilogue_style => (None, Some(first)),
            None => (Some(first), None),
        };
        Item::Alias(Alias {
            names,
            points,
            prologue,
            epilogue,
            span,
        })
    }

    fn alias_name(&self, point: ProbePoint) -> AliasName {
        let plain = point.sufficiency == Sufficiency::Required && point.condition.is_none();
        let mut bad = (!plain).then_some(point.span);
        let mut parts = Vec::with_capacity(point.components.len());
        for component in point.components {
            let span = component.span();
            match component {
                Component::Name { name, arg: None } if !name.name.contains('*') => parts.push(name),
                Component::Error(_) => {}
                Component::Name { .. } | Component::Braces { .. } => bad = bad.or(Some(span)),
            }
        }
        if let Some(place) = bad {
            let d = Diagnostic::error(codes::BAD_ALIAS, "bad alias name")
                .label(place, "expected nothing but names joined by dots")
                .note(
                    "arguments, '*', braces, '?', '!' and 'if' belong to the points after the '='",
                );
            self.report(d);
        }
        AliasName {
            parts,
            span: point.span,
        }
    }

    pub(crate) fn point(&self, head: PointHead, l: u32, r: u32) -> ProbePoint {
        let PointHead {
            components,
            sufficiency,
            condition,
        } = head;
        let before_last = &components[..components.len().saturating_sub(1)];
        for component in before_last {
            let Component::Braces { points, .. } = component else {
                continue;
            };
            let marked =
                |p: &&ProbePoint| p.sufficiency != Sufficiency::Required || p.condition.is_some();
            if let Some(point) = points.iter().find(marked) {
                let d = Diagnostic::error(
                    codes::BAD_PROBE_POINT,
                    "'?', '!' or 'if' inside a probe point",
                )
                .label(point.span, "more components follow this")
                .help("put it at the end of the whole probe point");
                self.report(d);
            }
        }
        ProbePoint {
            components,
            sufficiency,
            condition,
            span: self.span(l, r),
        }
    }

    // ---- Statements

    pub(crate) fn stmt(&self, kind: StmtKind, l: u32, r: u32) -> Stmt {
        self.last_stmt_end.set(self.last_stmt_end.get().max(r));
        let stmt = Stmt::new(kind, self.span(l, r));
        if stmt.depth() <= MAX_DEPTH {
            return stmt;
        }
        self.report_depth(stmt.span);
        Stmt::new(StmtKind::Error, stmt.span)
    }

    #[expect(clippy::unused_self, reason = "all productions call the context")]
    pub(crate) fn push_stmt(&self, list: &mut Vec<Stmt>, stmt: Stmt) {
        if stmt.kind != StmtKind::Null {
            list.push(stmt);
        }
    }

    pub(crate) fn if_stmt(
        &self,
        cond: Expr,
        then: Stmt,
        otherwise: Option<Stmt>,
        l: u32,
        r: u32,
    ) -> Stmt {
        self.stmt(
            StmtKind::If {
                cond,
                then: Box::new(then),
                otherwise: otherwise.map(Box::new),
            },
            l,
            r,
        )
    }

    pub(crate) fn while_stmt(&self, cond: Expr, body: Stmt, l: u32, r: u32) -> Stmt {
        self.stmt(
            StmtKind::While {
                cond,
                body: Box::new(body),
            },
            l,
            r,
        )
    }

    pub(crate) fn for_stmt(&self, head: Option<Box<ForHead>>, body: Stmt, l: u32, r: u32) -> Stmt {
        match head {
            Some(head) => {
                let body = Box::new(body);
                self.stmt(StmtKind::For { head, body }, l, r)
            }
            None => self.loop_with_bad_head(body, l, r),
        }
    }

    pub(crate) fn foreach_stmt(
        &self,
        head: Option<Box<ForeachHead>>,
        body: Stmt,
        l: u32,
        r: u32,
    ) -> Stmt {
        let Some(head) = head else {
            return self.loop_with_bad_head(body, l, r);
        };
        let ForeachHead {
            value,
            keys,
            array,
            slice,
            sort,
            limit,
        } = *head;
        let (sort_op, array_sort) = match sort {
            Some((op, sort)) => (op, Some(sort)),
            None => (None, None),
        };
        let vars = value.iter().chain(&keys);
        let mut sorts = vars.filter_map(|v| v.sort).chain(array_sort);
        if let (Some(first), Some(second)) = (sorts.next(), sorts.next()) {
            let d = Diagnostic::error(codes::BAD_FOREACH, "a loop is sorted by two things")
                .label(second.span, "the second sort mark")
                .secondary(first.span, "the first one")
                .help("remove one");
            self.report(d);
        }
        let foreach = Foreach {
            value,
            keys,
            array,
            slice,
            array_sort,
            sort_op,
            limit,
            body,
        };
        self.stmt(StmtKind::Foreach(Box::new(foreach)), l, r)
    }

    /// A loop of which only the body is known.
    fn loop_with_bad_head(&self, body: Stmt, l: u32, r: u32) -> Stmt {
        let cond = self.expr(ExprKind::Error, l, l + 1);
        self.while_stmt(cond, body, l, r)
    }

    pub(crate) fn sort_op(&self, op: AtOp, at: u32) -> AtOp {
        if !op.sorts() {
            let d = Diagnostic::error(
                codes::BAD_FOREACH,
                format!("a loop cannot be sorted by '@{}'", op.name()),
            )
            .label(
                self.place(at),
                "expected @count, @sum, @min, @max, @avg or @variance",
            );
            self.report(d);
        }
        op
    }

    // ---- Expressions

    pub(crate) fn expr(&self, kind: ExprKind, l: u32, r: u32) -> Expr {
        self.node(kind, self.span(l, r))
    }

    fn node(&self, kind: ExprKind, span: Span) -> Expr {
        let expr = Expr::new(kind, span);
        if expr.depth() <= MAX_DEPTH {
            return expr;
        }
        self.report_depth(span);
        Expr::new(ExprKind::Error, span)
    }

    fn report_depth(&self, span: Span) {
        if !self.too_deep.replace(true) {
            let d = Diagnostic::error(codes::NESTED_TOO_DEEPLY, "too many levels of nesting")
                .label(span, format!("more than {MAX_DEPTH} levels"))
                .help("compute parts of it into variables first, or move them into functions");
            self.report(d);
        }
    }

    pub(crate) fn name(&self, name: Ident) -> Expr {
        let span = name.span;
        self.node(ExprKind::Name(name), span)
    }

    pub(crate) fn embedded(&self, code: Embedded) -> Expr {
        let span = code.span;
        self.node(ExprKind::Embedded(code), span)
    }

    pub(crate) fn binary(&self, op: BinaryOp, lhs: Expr, rhs: Expr) -> Expr {
        let span = lhs.span.to(rhs.span);
        self.node(
            ExprKind::Binary {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
            },
            span,
        )
    }

    pub(crate) fn assign(&self, op: AssignOp, target: Expr, value: Expr) -> Expr {
        self.check_assignable(&target);
        let span = target.span.to(value.span);
        self.node(
            ExprKind::Assign {
                op,
                target: Box::new(target),
                value: Box::new(value),
            },
            span,
        )
    }

    pub(crate) fn ternary(&self, cond: Expr, then: Expr, otherwise: Expr) -> Expr {
        let span = cond.span.to(otherwise.span);
        let (cond, then, otherwise) = (Box::new(cond), Box::new(then), Box::new(otherwise));
        self.node(
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            },
            span,
        )
    }

    pub(crate) fn unary(&self, op: UnaryOp, operand: Expr, l: u32, r: u32) -> Expr {
        self.expr(
            ExprKind::Unary {
                op,
                operand: Box::new(operand),
            },
            l,
            r,
        )
    }

    pub(crate) fn incdec(&self, op: IncDecOp, prefix: bool, operand: Expr, l: u32, r: u32) -> Expr {
        self.check_assignable(&operand);
        self.expr(
            ExprKind::IncDec {
                op,
                prefix,
                operand: Box::new(operand),
            },
            l,
            r,
        )
    }

    fn check_assignable(&self, target: &Expr) {
        let assignable = match &target.kind {
            ExprKind::Name(_)
            | ExprKind::Index { .. }
            | ExprKind::ContextVar(_)
            | ExprKind::Member { .. }
            | ExprKind::Subscript { .. }
            | ExprKind::Error => true,
            ExprKind::At { op, .. } => {
                matches!(
                    op,
                    AtOp::Var
                        | AtOp::Cast
                        | AtOp::Kregister
                        | AtOp::Uregister
                        | AtOp::Kderef
                        | AtOp::Uderef
                )
            }
            _ => false,
        };
        if !assignable {
            let d = Diagnostic::error(codes::NOT_ASSIGNABLE, "this cannot be changed").label(
                target.span,
                "expected a variable, an array's element or a context variable",
            );
            self.report(d);
        }
    }

    pub(crate) fn regex(&self, expr: Expr, negated: bool, pattern: StrId, l: u32, r: u32) -> Expr {
        let pattern = StrLit {
            value: self.string(pattern),
            span: self.span(l, r),
        };
        let span = expr.span.to(pattern.span);
        self.node(
            ExprKind::Regex {
                expr: Box::new(expr),
                negated,
                pattern,
            },
            span,
        )
    }

    pub(crate) fn member_of(&self, keys: Vec<Key>, array: Indexable, l: u32, r: u32) -> Expr {
        self.expr(ExprKind::In { keys, array }, l, r)
    }

    pub(crate) fn address_of(&self, e: Expr, l: u32, r: u32) -> Expr {
        self.expr(ExprKind::AddressOf(Box::new(e)), l, r)
    }

    pub(crate) fn member(&self, base: Expr, field: Ident, l: u32, r: u32) -> Expr {
        self.check_not_pretty(&base);
        self.expr(
            ExprKind::Member {
                base: Box::new(base),
                field,
            },
            l,
            r,
        )
    }

    pub(crate) fn subscript(&self, base: Expr, keys: Vec<Key>, l: u32, r: u32) -> Expr {
        if matches!(&base.kind, ExprKind::At { op, .. } if op.is_hist()) {
            return self.expr(
                ExprKind::Index {
                    array: Indexable::Hist(Box::new(base)),
                    keys,
                },
                l,
                r,
            );
        }
        self.check_not_pretty(&base);
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (Some(Key::Expr(index)), None) => {
                let (base, index) = (Box::new(base), Box::new(index));
                self.expr(ExprKind::Subscript { base, index }, l, r)
            }
            (Some(Key::Any(star)), None) => {
                let d = Diagnostic::error(codes::MISPLACED_WILDCARD, "'*' is no index")
                    .label(star, "expected a number")
                    .note("only the script's own arrays have slices");
                self.report(d);
                self.expr(ExprKind::Error, l, r)
            }
            (_, second) => {
                let place = second.map_or(base.span, |k| k.span());
                let d = Diagnostic::error(codes::UNEXPECTED_TOKEN, "too many indices")
                    .label(place, "expected ']' before this")
                    .note("only the script's own arrays have several keys");
                self.report(d);
                self.expr(ExprKind::Error, l, r)
            }
        }
    }

    pub(crate) fn pretty(&self, base: Expr, deep: bool, l: u32, r: u32) -> Expr {
        self.check_not_pretty(&base);
        self.expr(
            ExprKind::Pretty {
                base: Box::new(base),
                deep,
            },
            l,
            r,
        )
    }

    fn check_not_pretty(&self, base: &Expr) {
        if let ExprKind::Pretty { .. } = base.kind {
            let d = Diagnostic::error(
                codes::BAD_CONTEXT_VARIABLE,
                "nothing can follow a '$' suffix",
            )
            .label(base.span, "this is a string")
            .help("put the '$' or '$$' at the very end");
            self.report(d);
        }
    }

    pub(crate) fn index(&self, array: Ident, keys: Vec<Key>, l: u32, r: u32) -> Expr {
        self.expr(
            ExprKind::Index {
                array: Indexable::Array(array),
                keys,
            },
            l,
            r,
        )
    }

    pub(crate) fn call(&self, name: Ident, args: Vec<Expr>, l: u32, r: u32) -> Expr {
        self.expr(ExprKind::Call { name, args }, l, r)
    }

    pub(crate) fn hist(&self, e: Expr) -> Indexable {
        if !matches!(&e.kind, ExprKind::At { op, .. } if op.is_hist()) && !e.is_error() {
            let d = Diagnostic::error(codes::UNEXPECTED_TOKEN, "this is no array").label(
                e.span,
                "expected an array's name, '@hist_log(…)' or '@hist_linear(…)'",
            );
            self.report(d);
        }
        Indexable::Hist(Box::new(e))
    }

    pub(crate) fn at(&self, op: AtOp, args: Vec<Expr>, l: u32, r: u32) -> Expr {
        let span = self.span(l, r);
        if let Some(d) = super::check::at_args(op, &args, span) {
            self.report(d);
            return self.node(ExprKind::Error, span);
        }
        self.node(ExprKind::At { op, args }, span)
    }
}
