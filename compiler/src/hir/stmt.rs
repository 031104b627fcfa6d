//! Statements.

use rtap_grammar::source::Span;

use super::{Expr, Global, Local, StatRef};
use crate::lir::Sort;

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where it stands in the source.
    pub span: Span,
}

/// Kinds of statement.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// An expression for its effect.
    Expr(Expr),
    /// `{ … }`
    Block(Vec<Stmt>),
    /// `if`
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    /// `while` and `for`: condition (none is true), body, step.
    Loop {
        /// Checked before each round.
        cond: Option<Expr>,
        /// The body.
        body: Vec<Stmt>,
        /// After each round, and on `continue`.
        step: Option<Expr>,
    },
    /// `foreach` over an array.
    Foreach(Box<Foreach>),
    /// `foreach` over a histogram's buckets: `var` takes each index.
    ForeachBucket {
        /// The statistic.
        stat: StatRef,
        /// Number of the histogram.
        histogram: u8,
        /// Bucket index.
        var: Local,
        /// The bucket's count (`v = [k] in …`).
        value: Option<Local>,
        /// Most rounds.
        limit: Option<Expr>,
        /// The body.
        body: Vec<Stmt>,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `next`: ends the handler; in a function, goes to the next overload.
    Next,
    /// `return`
    Return(Option<Expr>),
    /// `delete`
    Delete(Delete),
    /// `try { … } catch (var) { … }`
    Try {
        /// Guarded statements.
        body: Vec<Stmt>,
        /// Takes the message.
        var: Option<Local>,
        /// What is done on error.
        catch: Vec<Stmt>,
    },
}

/// A `foreach` over an array.
#[derive(Clone, Debug)]
pub struct Foreach {
    /// The array.
    pub array: Global,
    /// Key variables.
    pub keys: Vec<Local>,
    /// Value variable, for arrays of longs and strings.
    pub value: Option<Local>,
    /// Only elements with these keys; `None` matches all. One per key.
    pub slice: Vec<Option<Expr>>,
    /// Order.
    pub sort: Option<Sort>,
    /// Where the order is asked for, if it is.
    pub sort_span: Span,
    /// Most rounds.
    pub limit: Option<Expr>,
    /// The body.
    pub body: Vec<Stmt>,
}

/// What is deleted.
#[derive(Clone, Debug)]
pub enum Delete {
    /// A scalar global or scalar statistic: back to 0, "" or empty.
    Global(Global),
    /// A local: back to 0 or "".
    Local(Local),
    /// One element.
    Element(Global, Vec<Expr>),
    /// All elements with these keys; `None` matches all. No keys: the whole array.
    Slice(Global, Vec<Option<Expr>>),
}
