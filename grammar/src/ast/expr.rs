//! Expressions.

use super::{AssignOp, AtOp, BinaryOp, Embedded, Ident, IncDecOp, UnaryOp};
use crate::source::Span;
use bstr::BString;

/// An expression. Made by [`Expr::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its place, without parentheses around it.
    pub span: Span,
    depth: u16,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// `5`, `0x7f`, `017`; values above `i64::MAX` have wrapped.
    Number(i64),
    /// `"text"`, escapes resolved, adjacent literals joined. Any bytes, NUL among them.
    String(BString),
    /// `x`: a local or global variable, or a whole array where only `delete` and the like take one.
    Name(Ident),
    /// `array[k1, k2]`, `@hist_log(s)[i]`. Wildcard keys only in `delete` and `in`.
    Index {
        /// The array.
        array: Indexable,
        /// Its keys, at least one.
        keys: Vec<Key>,
    },
    /// `f(a, b)`; also `printf(…)`, `print(…)` and their family.
    Call {
        /// The function.
        name: Ident,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `$name`, `$$parms`: the name with its leading dollars and without a pretty-print suffix.
    ContextVar(Ident),
    /// `base->field`.
    Member {
        /// What has the field.
        base: Box<Expr>,
        /// The field, without a pretty-print suffix. May be spelt like a keyword.
        field: Ident,
    },
    /// `base[index]` where `base` is not a plain name: element of a C array or pointer.
    Subscript {
        /// The array or pointer.
        base: Box<Expr>,
        /// Which element.
        index: Box<Expr>,
    },
    /// `&x`, of a context variable path.
    AddressOf(Box<Expr>),
    /// `x$` or `x$$`: the value and its members as text.
    Pretty {
        /// What is printed.
        base: Box<Expr>,
        /// `$$`: members of members too.
        deep: bool,
    },
    /// `-x`, `!x`, …
    Unary {
        /// The operator.
        op: UnaryOp,
        /// Its operand.
        operand: Box<Expr>,
    },
    /// `x++`, `--x`, …
    IncDec {
        /// `++` or `--`.
        op: IncDecOp,
        /// Whether it stands before its operand.
        prefix: bool,
        /// What is changed.
        operand: Box<Expr>,
    },
    /// `a + b`, `a && b`, `a . b`, …
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        lhs: Box<Expr>,
        /// Right operand.
        rhs: Box<Expr>,
    },
    /// `cond ? then : otherwise`.
    Ternary {
        /// The condition.
        cond: Box<Expr>,
        /// The value if it is not zero.
        then: Box<Expr>,
        /// The value if it is zero.
        otherwise: Box<Expr>,
    },
    /// `target = value`, `target <<< value`, `target += value`, …
    Assign {
        /// The operator.
        op: AssignOp,
        /// What is changed.
        target: Box<Expr>,
        /// By what.
        value: Box<Expr>,
    },
    /// `expr =~ "pattern"`, `expr !~ "pattern"`.
    Regex {
        /// The text that is searched.
        expr: Box<Expr>,
        /// `!~`.
        negated: bool,
        /// The regular expression.
        pattern: StrLit,
    },
    /// `key in array`, `[k1, *] in array`.
    In {
        /// The keys, at least one.
        keys: Vec<Key>,
        /// The array.
        array: Indexable,
    },
    /// `@count(s)`, `@cast(p, "type")`, …: the number and kinds of the arguments have been checked
    /// against the operator's row.
    At {
        /// The operator.
        op: AtOp,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `%{ … %}` as a value.
    Embedded(Embedded),
    /// Text that could not be understood; already reported.
    Error,
}

/// A string literal with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrLit {
    /// Its bytes, escapes resolved.
    pub value: BString,
    /// Its place.
    pub span: Span,
}

/// One key of an index, a slice or a membership test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A value.
    Expr(Expr),
    /// `*`: any.
    Any(Span),
}

impl Key {
    /// Its place.
    pub fn span(&self) -> Span {
        match self {
            Key::Expr(e) => e.span,
            Key::Any(span) => *span,
        }
    }
}

/// What can be indexed and iterated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexable {
    /// An array.
    Array(Ident),
    /// The buckets of a histogram: an [`ExprKind::At`] with `@hist_log` or `@hist_linear`.
    Hist(Box<Expr>),
}

impl Indexable {
    /// Its place.
    pub fn span(&self) -> Span {
        match self {
            Indexable::Array(name) => name.span,
            Indexable::Hist(e) => e.span,
        }
    }

    fn depth(&self) -> u16 {
        match self {
            Indexable::Array(_) => 0,
            Indexable::Hist(e) => e.depth,
        }
    }
}

impl Expr {
    /// An expression at a place.
    pub fn new(kind: ExprKind, span: Span) -> Expr {
        let depth = kind.depth_of_children().saturating_add(1);
        Expr { kind, span, depth }
    }

    /// How many levels of nodes it has, itself included. The parser keeps it within
    /// [`super::MAX_DEPTH`].
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// Whether it is an `Error` node.
    pub fn is_error(&self) -> bool {
        matches!(self.kind, ExprKind::Error)
    }
}

impl ExprKind {
    fn depth_of_children(&self) -> u16 {
        let of_exprs = |list: &[Expr]| list.iter().map(|e| e.depth).max().unwrap_or(0);
        let of_keys = |list: &[Key]| {
            list.iter()
                .map(|k| if let Key::Expr(e) = k { e.depth } else { 0 })
                .max()
                .unwrap_or(0)
        };
        match self {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Name(_)
            | ExprKind::ContextVar(_)
            | ExprKind::Embedded(_)
            | ExprKind::Error => 0,
            ExprKind::Index { array, keys } | ExprKind::In { keys, array } => {
                of_keys(keys).max(array.depth())
            }
            ExprKind::Call { args, .. } | ExprKind::At { args, .. } => of_exprs(args),
            ExprKind::Member { base: e, .. }
            | ExprKind::AddressOf(e)
            | ExprKind::Pretty { base: e, .. }
            | ExprKind::Unary { operand: e, .. }
            | ExprKind::IncDec { operand: e, .. }
            | ExprKind::Regex { expr: e, .. } => e.depth,
            ExprKind::Subscript { base: a, index: b }
            | ExprKind::Binary { lhs: a, rhs: b, .. }
            | ExprKind::Assign {
                target: a,
                value: b,
                ..
            } => a.depth.max(b.depth),
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => cond.depth.max(then.depth).max(otherwise.depth),
        }
    }
}
