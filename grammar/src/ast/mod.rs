//! The syntax tree.
//!
//! What a file says, nothing more: names are unresolved, types only where written, parentheses and
//! comments are gone, macros and conditionals are already carried out. Invariants:
//!
//! - every node has the [`Span`] of its text; what a macro brought in has the span of the macro's use;
//! - expressions and statements nest at most [`MAX_DEPTH`] deep, so that walking a tree recursively is
//!   safe; they are made by [`Expr::new`] and [`Stmt::new`], which keep count;
//! - `Error` nodes stand where the text could not be understood; a diagnostic has said so already, and
//!   whoever meets one stays silent about it and all that depends on it.
//!
//! The printer turns a tree back into source.

mod at;
mod expr;
mod item;
mod ops;
mod stmt;
mod strip;
mod visit;

pub use at::{ArgKind, AtOp};
pub use expr::*;
pub use item::*;
pub use ops::*;
pub use stmt::*;
pub use strip::strip_spans;
pub use visit::{Visitor, walk_expr, walk_stmt};

use crate::source::Span;
use std::sync::Arc;

/// The deepest nesting of expressions and statements, together, in one tree.
pub const MAX_DEPTH: u16 = 400;

/// A name as written.
pub type Name = Arc<str>;

/// A name and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub name: Name,
    /// Its place.
    pub span: Span,
}

impl Ident {
    /// A name at a place.
    pub fn new(name: impl Into<Name>, span: Span) -> Ident {
        Ident {
            name: name.into(),
            span,
        }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// A constant as it is written where only constants may be: global initialisers, probe point arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// The value.
    pub value: LiteralValue,
    /// Its place, sign included.
    pub span: Span,
}

/// The value of a [`Literal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiteralValue {
    /// A number, its sign applied.
    Number(i64),
    /// A string of any bytes.
    String(bstr::BString),
    /// Text that could not be understood; already reported.
    Error,
}

/// `%{ ... %}`: embedded code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// The text between `%{` and `%}`, as it stands.
    pub code: Name,
    /// The whole, delimiters included. The code starts two bytes after its start.
    pub span: Span,
}
