//! Terminals: what the grammar sees of tokens.
//!
//! Names and strings are in tables beside them, so that terminals are small and cheap to read again when
//! the parser recovers from an error.

use crate::ast::{AssignOp, AtOp, BinaryOp, IncDecOp, Name, UnaryOp};
use crate::source::Span;
use bstr::BString;

/// An index into [`Terminals::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameId(pub(super) u32);

/// An index into [`Terminals::strings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StrId(pub(super) u32);

/// What kind of terminal it is. Spellings are in the grammar's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tok {
    Probe,
    Global,
    Private,
    Function,
    If,
    Else,
    /// `; else`: the semicolon ends the statement before and does not end the `if`.
    SemiElse,
    For,
    Foreach,
    In,
    Limit,
    Return,
    /// `return` before anything that ends a statement.
    ReturnVoid,
    Delete,
    While,
    Break,
    Continue,
    Next,
    TypeString,
    TypeLong,
    Try,
    Catch,
    Ident(NameId),
    Context(NameId),
    /// `$` (false) or `$$` (true) after a value.
    Suffix(bool),
    /// A part of a probe point, wildcards and keywords included.
    Component(NameId),
    At(AtOp),
    Number(i64),
    Str(StrId),
    Embedded(NameId),
    /// Anything in the place of a value; already reported.
    Error,
    /// The same, in the place of a statement.
    ErrorStmt,
    /// The same, at the top level.
    ErrorItem,
    Assign,
    AddAssign,
    AssignOp(AssignOp),
    OrOr,
    AndAnd,
    Pipe,
    Caret,
    Amp,
    Compare(BinaryOp),
    /// `=~` (false) or `!~` (true).
    Match(bool),
    Shift(BinaryOp),
    Dot,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    /// `~` and `+` before an operand.
    Unary(UnaryOp),
    PrefixMinus,
    Bang,
    PrefixInc(IncDecOp),
    PostfixInc(IncDecOp),
    AddressOf,
    Arrow,
    LParen,
    /// `(` after a name.
    CallParen,
    RParen,
    LSquare,
    /// `[` after a value.
    IndexSquare,
    RSquare,
    /// `{` around statements.
    LBrace,
    /// `{` around alternatives of a probe point.
    PointBrace,
    RBrace,
    Comma,
    Semi,
    Colon,
    Question,
}

/// A terminal and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    pub(crate) tok: Tok,
    pub(crate) span: Span,
    /// It is the first of its line.
    pub(crate) first_on_line: bool,
    /// Something about it has been reported already: what the parser makes of it may be a consequence.
    pub(crate) flawed: bool,
}

impl Terminal {
    /// Whether it is a string or embedded code without an end, which may have eaten a closing bracket.
    pub(super) fn may_have_swallowed(&self) -> bool {
        self.flawed && matches!(self.tok, Tok::Str(_) | Tok::Embedded(_) | Tok::Error)
    }
}

/// The terminals of a file.
#[derive(Debug, Default)]
pub(crate) struct Terminals {
    pub(crate) list: Vec<Terminal>,
    pub(crate) names: Vec<Name>,
    pub(crate) strings: Vec<BString>,
    /// Where top-level items begin in the list: each can be parsed alone.
    pub(crate) starts: Vec<usize>,
}

impl Tok {
    /// Whether it begins a statement and cannot be part of one.
    pub(super) fn begins_stmt(self) -> bool {
        use Tok::*;
        matches!(
            self,
            If | For
                | Foreach
                | Return
                | ReturnVoid
                | Delete
                | While
                | Break
                | Continue
                | Next
                | Try
                | ErrorStmt
        )
    }

    /// Whether it is a reserved word.
    pub(super) fn is_keyword(self) -> bool {
        use Tok::*;
        matches!(
            self,
            Probe
                | Global
                | Private
                | Function
                | If
                | Else
                | SemiElse
                | For
                | Foreach
                | In
                | Limit
                | Return
                | ReturnVoid
                | Delete
                | While
                | Break
                | Continue
                | Next
                | TypeString
                | TypeLong
                | Try
                | Catch
        )
    }

    /// Whether a value or a whole statement can end with it.
    pub(super) fn ends_value(self) -> bool {
        use Tok::*;
        matches!(
            self,
            Ident(_)
                | Context(_)
                | Suffix(_)
                | At(_)
                | Number(_)
                | Str(_)
                | Embedded(_)
                | Error
                | PostfixInc(_)
                | RParen
                | RSquare
        )
    }

    /// Whether it stands for text that has been reported.
    pub(super) fn is_error(self) -> bool {
        matches!(self, Tok::Error | Tok::ErrorStmt | Tok::ErrorItem)
    }

    pub(super) fn opens(self) -> bool {
        use Tok::*;
        matches!(
            self,
            LParen | CallParen | LSquare | IndexSquare | LBrace | PointBrace
        )
    }

    pub(super) fn closes(self) -> bool {
        matches!(self, Tok::RParen | Tok::RSquare | Tok::RBrace)
    }

    /// The closing bracket of an opening one.
    pub(super) fn closer(self) -> Tok {
        match self {
            Tok::LParen | Tok::CallParen => Tok::RParen,
            Tok::LSquare | Tok::IndexSquare => Tok::RSquare,
            _ => Tok::RBrace,
        }
    }
}
