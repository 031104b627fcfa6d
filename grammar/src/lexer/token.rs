//! Tokens, as the lexer finds them and the preprocessor passes them on.

use crate::source::Span;
use logos::Logos;

/// A token of a source text that lives for `'s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'s> {
    /// What it is.
    pub kind: TokenKind,
    /// What is wrong with it, if anything; reported only if the token survives preprocessing.
    pub flaw: Option<Flaw>,
    /// It is the first of its line.
    pub first_on_line: bool,
    /// The place to blame: its own, or that of the macro or script argument that brought it in.
    pub span: Span,
    /// Its characters, which need not be those at `span`.
    pub text: &'s str,
}

/// What can be wrong with a token by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A string without its closing quote.
    UnterminatedString,
    /// `/*` without `*/`.
    UnterminatedComment,
    /// `%{` without `%}`.
    UnterminatedEmbedded,
    /// One or more characters that begin no token.
    BadCharacter,
    /// `$5` or `@5` where there is no fifth argument (or it stands in an argument's text).
    NoSuchArgument,
}

impl Flaw {
    /// Whether text that should have been other tokens may have become part of this one.
    pub(crate) fn swallows(self) -> bool {
        matches!(
            self,
            Flaw::UnterminatedString | Flaw::UnterminatedComment | Flaw::UnterminatedEmbedded
        )
    }
}

/// The kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Logos)]
#[logos(skip r"[ \t\r\n\x0b\x0c]+")]
#[logos(skip(r"(//|#)[^\n]*", allow_greedy = true))]
#[expect(missing_docs, reason = "the spelling is beside each")]
pub enum TokenKind {
    #[token("probe")]
    Probe,
    #[token("global")]
    Global,
    #[token("private")]
    Private,
    #[token("function")]
    Function,
    #[token("if")]
    If,
    #[token("else")]
    Else,
    #[token("for")]
    For,
    #[token("foreach")]
    Foreach,
    #[token("in")]
    In,
    #[token("limit")]
    Limit,
    #[token("return")]
    Return,
    #[token("delete")]
    Delete,
    #[token("while")]
    While,
    #[token("break")]
    Break,
    #[token("continue")]
    Continue,
    #[token("next")]
    Next,
    #[token("string")]
    TypeString,
    #[token("long")]
    TypeLong,
    #[token("try")]
    Try,
    #[token("catch")]
    Catch,

    /// A name, or a context variable with its dollars: `pid`, `$fd`, `$$parms$`; `$` and `$$` alone.
    #[regex(r"[A-Za-z_][A-Za-z0-9_$]*")]
    #[regex(r"\$+([A-Za-z_][A-Za-z0-9_$]*)?")]
    Ident,
    /// `@word`: an operator or a macro.
    #[regex(r"@[A-Za-z_$][A-Za-z0-9_$]*")]
    AtWord,
    /// `$1`, `@1`, `$#`, `@#` that no argument was put in for.
    #[regex(r"[$@]([0-9]+|#)")]
    ScriptArg,
    /// Anything that begins with a digit.
    #[regex(r"[0-9][A-Za-z0-9_]*")]
    Number,
    /// `"…"`, quotes and escapes included.
    #[token("\"", string)]
    String,
    /// `%{ … %}`, delimiters included.
    #[token("%{", embedded)]
    Embedded,
    /// `/*` without an end, or characters that begin no token.
    #[token("/*", comment)]
    Junk,

    #[token("<<<")]
    Push,
    #[token(">>>")]
    ShrLogical,
    #[token("<<=")]
    ShlAssign,
    #[token(">>=")]
    ShrAssign,
    #[token("==")]
    EqEq,
    #[token("!=")]
    NotEq,
    #[token("<=")]
    Le,
    #[token(">=")]
    Ge,
    #[token("=~")]
    Match,
    #[token("!~")]
    NotMatch,
    #[token("+=")]
    AddAssign,
    #[token("-=")]
    SubAssign,
    #[token("*=")]
    MulAssign,
    #[token("/=")]
    DivAssign,
    #[token("%=")]
    RemAssign,
    #[token("&=")]
    AndAssign,
    #[token("|=")]
    OrAssign,
    #[token("^=")]
    XorAssign,
    #[token(".=")]
    ConcatAssign,
    #[token("&&")]
    AndAnd,
    #[token("||")]
    OrOr,
    #[token("++")]
    PlusPlus,
    #[token("--")]
    MinusMinus,
    #[token("->")]
    Arrow,
    #[token("<<")]
    Shl,
    #[token(">>")]
    Shr,
    #[token("%(")]
    PpOpen,
    #[token("%?")]
    PpThen,
    #[token("%:")]
    PpElse,
    #[token("%)")]
    PpClose,
    #[token("=")]
    Assign,
    #[token("<")]
    Lt,
    #[token(">")]
    Gt,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("&")]
    Amp,
    #[token("|")]
    Pipe,
    #[token("^")]
    Caret,
    #[token("!")]
    Bang,
    #[token("~")]
    Tilde,
    #[token(".")]
    Dot,
    #[token(",")]
    Comma,
    #[token(";")]
    Semi,
    #[token(":")]
    Colon,
    #[token("?")]
    Question,
    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LSquare,
    #[token("]")]
    RSquare,
    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
}

impl TokenKind {
    /// Whether it is a reserved word.
    pub fn is_keyword(self) -> bool {
        self as u8 <= TokenKind::Catch as u8
    }
}

type Lexer<'s> = logos::Lexer<'s, TokenKind>;

/// After the opening quote: to the closing one, or to the end of the line.
fn string(lexer: &mut Lexer<'_>) {
    let rest = lexer.remainder().as_bytes();
    let mut at = 0;
    loop {
        match rest.get(at) {
            None | Some(b'\n') => break,
            Some(b'"') => {
                at += 1;
                break;
            }
            Some(b'\\') if at + 1 < rest.len() => at += 2,
            Some(_) => at += 1,
        }
    }
    // Two bytes after a backslash may be the first half of a character.
    lexer.bump(ceil_char_boundary(lexer.remainder(), at));
}

/// After `%{`: to `%}`, or to the end of the text.
fn embedded(lexer: &mut Lexer<'_>) {
    let rest = lexer.remainder();
    lexer.bump(rest.find("%}").map_or(rest.len(), |at| at + 2));
}

/// After `/*`: skips to `*/`; a token only if there is none.
fn comment(lexer: &mut Lexer<'_>) -> logos::Filter<()> {
    let rest = lexer.remainder();
    if let Some(at) = rest.find("*/") {
        lexer.bump(at + 2);
        logos::Filter::Skip
    } else {
        lexer.bump(rest.len());
        logos::Filter::Emit(())
    }
}

fn ceil_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// What is wrong with a token of this kind and text, if it can be seen from these alone.
pub(super) fn flaw(kind: TokenKind, text: &str) -> Option<Flaw> {
    match kind {
        TokenKind::String => (!is_closed_string(text)).then_some(Flaw::UnterminatedString),
        TokenKind::Embedded => {
            (text.len() < 4 || !text.ends_with("%}")).then_some(Flaw::UnterminatedEmbedded)
        }
        TokenKind::Junk if text.starts_with("/*") => Some(Flaw::UnterminatedComment),
        TokenKind::Junk => Some(Flaw::BadCharacter),
        TokenKind::ScriptArg => Some(Flaw::NoSuchArgument),
        _ => None,
    }
}

/// Whether the text ends with a quote that is not the opening one and not escaped.
fn is_closed_string(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return false;
    };
    let backslashes = inside.bytes().rev().take_while(|&b| b == b'\\').count();
    backslashes % 2 == 0
}
