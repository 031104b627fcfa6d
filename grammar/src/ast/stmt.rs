//! Statements.

use super::{AtOp, Expr, Ident, Indexable, Key};
use crate::source::Span;

/// A statement. Made by [`Stmt::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Its place, without a semicolon after it.
    pub span: Span,
    depth: u16,
}

/// The kinds of statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StmtKind {
    /// `;` where a statement has to be, as in `while (x++ < 5) ;`. Others leave no trace.
    Null,
    /// `{ … }`
    Block(Block),
    /// `if (cond) then else otherwise`
    If {
        /// The condition.
        cond: Expr,
        /// Done if it is not zero.
        then: Box<Stmt>,
        /// Done if it is zero.
        otherwise: Option<Box<Stmt>>,
    },
    /// `while (cond) body`
    While {
        /// The condition.
        cond: Expr,
        /// The body.
        body: Box<Stmt>,
    },
    /// `for (init; cond; step) body`
    For {
        /// What stands in the brackets.
        head: Box<ForHead>,
        /// The body.
        body: Box<Stmt>,
    },
    /// `foreach (…) body`
    Foreach(Box<Foreach>),
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `next`
    Next,
    /// `return value`
    Return(Option<Expr>),
    /// `delete lvalue`: a scalar, a whole array, an element, or a slice (with wildcard keys).
    Delete(Expr),
    /// `try { … } catch (message) { … }`
    Try {
        /// What is tried.
        body: Block,
        /// The variable that gets the error's text.
        message: Option<Ident>,
        /// What is done after an error.
        handler: Block,
    },
    /// An expression.
    Expr(Expr),
    /// Text that could not be understood; already reported.
    Error,
}

/// `{ … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The statements.
    pub stmts: Vec<Stmt>,
    /// The braces and what is between them.
    pub span: Span,
}

/// The head of `for`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForHead {
    /// Evaluated once before.
    pub init: Option<Expr>,
    /// The condition; none is true.
    pub cond: Option<Expr>,
    /// Evaluated after each round.
    pub step: Option<Expr>,
}

/// The head of `foreach` and its body.
///
/// `foreach (value = [k1+, k2] in array[slice] @op- limit n) body`. At most one of the value, the keys and
/// the array has a sort mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreach {
    /// The variable that gets each element's value.
    pub value: Option<ForeachVar>,
    /// The variables that get its keys (the bucket's index, for a histogram), at least one.
    pub keys: Vec<ForeachVar>,
    /// What is iterated.
    pub array: Indexable,
    /// `[*, "x"]` after the array: only elements with these keys. Empty if not written.
    pub slice: Vec<Key>,
    /// A sort mark after the array: by value.
    pub array_sort: Option<Sort>,
    /// The operator before that mark, by which statistics are sorted; `@count` if not written.
    pub sort_op: Option<AtOp>,
    /// How many elements at most.
    pub limit: Option<Expr>,
    /// The body.
    pub body: Stmt,
}

/// A variable in the head of `foreach`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeachVar {
    /// The variable.
    pub name: Ident,
    /// Its sort mark.
    pub sort: Option<Sort>,
}

/// A sort mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// Which way.
    pub dir: SortDir,
    /// The place of the mark.
    pub span: Span,
}

/// The direction of a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortDir {
    /// `+`: smallest first.
    Ascending,
    /// `-`: largest first.
    Descending,
}

impl Stmt {
    /// A statement at a place.
    pub fn new(kind: StmtKind, span: Span) -> Stmt {
        let depth = kind.depth_of_children().saturating_add(1);
        Stmt { kind, span, depth }
    }

    /// How many levels of nodes it has, itself included. The parser keeps it within
    /// [`super::MAX_DEPTH`].
    pub fn depth(&self) -> u16 {
        self.depth
    }
}

impl Block {
    /// How many levels of nodes its statements have.
    pub fn depth(&self) -> u16 {
        self.stmts.iter().map(|s| s.depth).max().unwrap_or(0)
    }
}

impl StmtKind {
    fn depth_of_children(&self) -> u16 {
        let of_opt = |e: &Option<Expr>| e.as_ref().map_or(0, Expr::depth);
        match self {
            StmtKind::Null
            | StmtKind::Break
            | StmtKind::Continue
            | StmtKind::Next
            | StmtKind::Error => 0,
            StmtKind::Block(block) => block.depth(),
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                let otherwise = otherwise.as_ref().map_or(0, |s| s.depth);
                cond.depth().max(then.depth).max(otherwise)
            }
            StmtKind::While { cond, body } => cond.depth().max(body.depth),
            StmtKind::For { head, body } => of_opt(&head.init)
                .max(of_opt(&head.cond))
                .max(of_opt(&head.step))
                .max(body.depth),
            StmtKind::Foreach(f) => {
                let of_key = |k: &Key| if let Key::Expr(e) = k { e.depth() } else { 0 };
                let slice = f.slice.iter().map(of_key).max().unwrap_or(0);
                let array = if let Indexable::Hist(e) = &f.array {
                    e.depth()
                } else {
                    0
                };
                slice.max(array).max(of_opt(&f.limit)).max(f.body.depth)
            }
            StmtKind::Return(value) => of_opt(value),
            StmtKind::Delete(e) | StmtKind::Expr(e) => e.depth(),
            StmtKind::Try { body, handler, .. } => body.depth().max(handler.depth()),
        }
    }
}
