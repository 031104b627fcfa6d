//! Tokens to terminals.
//!
//! In: preprocessed tokens. Out: [`Terminals`], split where top-level items begin. Adjacent string literals
//! are joined, the parts of probe points (which may be keywords and hold wildcards) glued, and everything
//! whose meaning depends on the token before or after it is told apart, so that the grammar itself needs
//! neither lookahead nor context. The rule for `- + & ++ -- ( [`: after a token that can end a value they
//! go on with the expression, else they begin one. This is what SystemTap's own recursive descent does.

use super::terminal::{NameId, StrId, Terminal, Terminals, Tok};
use crate::ast::{AssignOp, AtOp, BinaryOp, IncDecOp, UnaryOp};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::dialect::Dialect;
use crate::lexer::{Token, TokenKind, number_value, string_value};
use crate::source::Span;
use bstr::BString;
use rustc_hash::FxHashMap;

/// Turns tokens into terminals.
pub(super) fn classify(
    tokens: &[Token<'_>],
    dialect: Dialect,
    diagnostics: &mut Diagnostics,
) -> Terminals {
    let mut cx = Cx {
        tokens,
        dialect,
        at: 0,
        out: Terminals::default(),
        known: FxHashMap::default(),
        mode: Mode::Other,
        brackets: Vec::new(),
        after_prefix: vec![false],
        ends_value: false,
        diagnostics,
    };
    cx.out.list.reserve(tokens.len());
    while cx.at < tokens.len() {
        cx.step();
    }
    cx.out
}

/// Where in an item the reader is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// In the head of a probe or alias.
    ProbeHead,
    /// In a handler's body.
    Body,
    /// Anywhere else.
    Other,
}

/// An open bracket.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bracket {
    /// Around a value, arguments, keys.
    Value,
    /// `(` of `if`, `while`, `for`, `foreach`, `catch`: a statement follows its end.
    StmtHead,
    /// Around statements.
    Block,
    /// Around alternatives of a probe point.
    Points,
}

struct Cx<'t, 's> {
    tokens: &'t [Token<'s>],
    dialect: Dialect,
    at: usize,
    out: Terminals,
    known: FxHashMap<&'s str, NameId>,
    mode: Mode,
    brackets: Vec<Bracket>,
    /// For each open bracket and outside them: the value being read has `++` or `--` before it.
    after_prefix: Vec<bool>,
    /// The last terminal can end a value.
    ends_value: bool,
    diagnostics: &'t mut Diagnostics,
}

impl<'s> Cx<'_, 's> {
    fn name(&mut self, text: &'s str) -> NameId {
        let next = NameId(self.out.names.len() as u32);
        let names = &mut self.out.names;
        *self.known.entry(text).or_insert_with(|| {
            names.push(text.into());
            next
        })
    }

    fn last(&self) -> Option<Tok> {
        let start = self.out.starts.last().copied().unwrap_or(0);
        self.out.list[start..].last().map(|t| t.tok)
    }

    fn push(&mut self, tok: Tok, span: Span, flawed: bool) {
        self.note_prefix(tok);
        self.ends_value = tok.ends_value();
        let first_on_line = self.tokens.get(self.at).is_some_and(|t| t.first_on_line);
        self.out.list.push(Terminal {
            tok,
            span,
            first_on_line,
            flawed,
        });
    }

    /// Keeps `after_prefix` true.
    fn note_prefix(&mut self, tok: Tok) {
        if tok.opens() {
            self.after_prefix.push(false);
            return;
        }
        if tok.closes() {
            if self.after_prefix.len() > 1 {
                self.after_prefix.pop();
            }
            return;
        }
        let same_value = match tok {
            Tok::Arrow | Tok::Suffix(_) | Tok::AddressOf => true,
            tok if tok.ends_value() => !self.ends_value,
            _ => false,
        };
        if let Some(flag) = self.after_prefix.last_mut() {
            *flag = matches!(tok, Tok::PrefixInc(_)) || (*flag && same_value);
        }
    }

    fn next_kind(&self) -> Option<TokenKind> {
        self.tokens.get(self.at + 1).map(|t| t.kind)
    }

    /// In a probe's head, outside parentheses.
    fn in_point(&self) -> bool {
        self.mode == Mode::ProbeHead && matches!(self.brackets.last(), None | Some(Bracket::Points))
    }

    /// Deals with the token at `at`, and moves on.
    fn step(&mut self) {
        let token = self.tokens[self.at];
        if self.begins_item(token.kind) {
            self.out.starts.push(self.out.list.len());
            self.brackets.clear();
            self.after_prefix = vec![false];
            self.mode = if token.kind == TokenKind::Probe {
                Mode::ProbeHead
            } else {
                Mode::Other
            };
        } else if self.in_point() && self.component(&token) {
            return;
        }
        let flawed = token.flaw.is_some();
        match token.kind {
            TokenKind::Ident => self.ident(&token),
            TokenKind::String => {
                self.string();
                return;
            }
            TokenKind::Number => self.number(&token),
            kind if kind.is_keyword() && self.last() == Some(Tok::Arrow) => {
                let name = self.name(token.text);
                self.push(Tok::Ident(name), token.span, false);
            }
            TokenKind::Embedded => {
                let code = token.text.strip_prefix("%{").unwrap_or(token.text);
                let name = self.name(code.strip_suffix("%}").unwrap_or(code));
                self.push(Tok::Embedded(name), token.span, flawed);
            }
            TokenKind::AtWord => {
                let tok = AtOp::from_name(&token.text[1..]).map_or(Tok::Error, Tok::At);
                self.push(tok, token.span, tok == Tok::Error);
            }
            TokenKind::Junk | TokenKind::ScriptArg => self.push(Tok::Error, token.span, true),
            // The preprocessor lets none of these through.
            TokenKind::PpOpen | TokenKind::PpThen | TokenKind::PpElse | TokenKind::PpClose => {
                self.push(Tok::Error, token.span, true);
            }
            TokenKind::Semi if self.next_kind() == Some(TokenKind::Else) && self.ends_stmt() => {
                self.at += 1;
                self.push(Tok::SemiElse, self.tokens[self.at].span, false);
            }
            TokenKind::LParen => self.open_paren(token.span),
            TokenKind::LSquare => {
                let tok = if self.ends_value {
                    Tok::IndexSquare
                } else {
                    Tok::LSquare
                };
                self.brackets.push(Bracket::Value);
                self.push(tok, token.span, false);
            }
            TokenKind::LBrace => self.open_brace(token.span),
            TokenKind::RParen | TokenKind::RSquare | TokenKind::RBrace => self.close(&token),
            kind => {
                let tok = self.plain(kind);
                self.push(tok, token.span, flawed);
            }
        }
        self.at += 1;
    }

    /// Whether a semicolon here ends a statement: in `if (x) ; else …` it is one.
    fn ends_stmt(&self) -> bool {
        let in_parens = matches!(
            self.brackets.last(),
            Some(Bracket::Value | Bracket::StmtHead)
        );
        let after_head = matches!(self.last(), Some(Tok::Else | Tok::SemiElse))
            || (self.last() == Some(Tok::RParen) && !self.ends_value);
        !in_parens && !after_head
    }

    /// Whether a token of this kind, here, begins a top-level item.
    fn begins_item(&self, kind: TokenKind) -> bool {
        let last = self.last();
        match kind {
            TokenKind::Probe | TokenKind::Private | TokenKind::Global | TokenKind::Function => {}
            _ => return false,
        }
        let is_part = self.in_point()
            && (last == Some(Tok::Dot)
                || self.brackets.last() == Some(&Bracket::Points)
                || (last == Some(Tok::Probe) && self.next_kind() == Some(TokenKind::Dot)));
        let after_private =
            last == Some(Tok::Private) && !matches!(kind, TokenKind::Probe | TokenKind::Private);
        !is_part && !after_private && last != Some(Tok::Arrow)
    }

    /// Takes a component of a probe point, if here is one: names, keywords, numbers and stars without
    /// blanks between them.
    fn component(&mut self, first: &Token<'s>) -> bool {
        let is_part = |kind: TokenKind| {
            kind.is_keyword()
                || matches!(kind, TokenKind::Ident | TokenKind::Star | TokenKind::Number)
        };
        let condition =
            first.kind == TokenKind::If && !matches!(self.last(), Some(Tok::Dot | Tok::Probe));
        if !is_part(first.kind) || first.kind == TokenKind::Number || condition {
            return false;
        }
        let mut end = self.at + 1;
        let mut span = first.span;
        while let Some(next) = self.tokens.get(end) {
            if !is_part(next.kind) || !touches(&self.tokens[end - 1], next) {
                break;
            }
            span = span.to(next.span);
            end += 1;
        }
        let name = if end == self.at + 1 {
            self.name(first.text)
        } else {
            let text: String = self.tokens[self.at..end].iter().map(|t| t.text).collect();
            self.out.names.push(text.into());
            NameId(self.out.names.len() as u32 - 1)
        };
        self.push(Tok::Component(name), span, false);
        self.at = end;
        true
    }

    /// A name, a context variable, or a pretty-print suffix.
    fn ident(&mut self, token: &Token<'s>) {
        let text = token.text;
        let inner = text.trim_start_matches('$');
        let dollars = text.len() - inner.len();
        let is_member = self.last() == Some(Tok::Arrow);
        if dollars == 0 && !is_member {
            let name = self.name(text);
            self.push(Tok::Ident(name), token.span, false);
            return;
        }
        if inner.is_empty() && dollars <= 2 && self.ends_value {
            self.push(Tok::Suffix(dollars == 2), token.span, false);
            return;
        }
        let core = inner.trim_end_matches('$');
        let suffix = inner.len() - core.len();
        if core.is_empty() || dollars > 2 || suffix > 2 {
            let d = Diagnostic::error(
                codes::BAD_CONTEXT_VARIABLE,
                format!("'{text}' is no variable"),
            )
            .label(token.span, "too few letters, or too many dollars")
            .help("context variables look like '$name', '$$parms', '$name$' or '$name$$'");
            self.diagnostics.push(d);
            self.push(Tok::Error, token.span, true);
            return;
        }
        let name = self.name(&text[..dollars + core.len()]);
        let length = token.span.len();
        // What a macro brought in has the macro's place.
        let own_place = length as usize == text.len();
        let mut span = token.span;
        let mut suffix_span = token.span;
        if own_place {
            span.end -= suffix as u32;
            suffix_span.start = span.end;
        }
        let tok = if dollars == 0 {
            Tok::Ident(name)
        } else {
            Tok::Context(name)
        };
        self.push(tok, span, false);
        if suffix > 0 {
            self.push(Tok::Suffix(suffix == 2), suffix_span, false);
        }
    }

    fn string(&mut self) {
        let mut value = BString::default();
        let mut span = self.tokens[self.at].span;
        let mut flawed = false;
        while let Some(token) = self
            .tokens
            .get(self.at)
            .filter(|t| t.kind == TokenKind::String)
        {
            string_value(token.text, self.dialect, &mut value);
            span = span.to(token.span);
            flawed |= token.flaw.is_some();
            self.at += 1;
        }
        let id = StrId(self.out.strings.len() as u32);
        self.out.strings.push(value);
        self.push(Tok::Str(id), span, flawed);
    }

    fn number(&mut self, token: &Token<'s>) {
        let value = number_value(token.text);
        if let Err(why) = value {
            let d = Diagnostic::error(codes::BAD_NUMBER, format!("bad number '{}'", token.text))
                .label(token.span, why)
                .help("write decimal digits, '0x' and hexadecimal digits, or '0' and octal digits");
            self.diagnostics.push(d);
        }
        self.push(Tok::Number(value.unwrap_or(0)), token.span, value.is_err());
    }

    fn open_paren(&mut self, span: Span) {
        let before = self
            .out
            .list
            .len()
            .checked_sub(2)
            .map(|i| self.out.list[i].tok);
        let (bracket, tok) = match self.last() {
            Some(Tok::If | Tok::While | Tok::For | Tok::Foreach | Tok::Catch) => {
                (Bracket::StmtHead, Tok::LParen)
            }
            // A member or an array cannot be called: a statement begins here.
            Some(Tok::Ident(_)) if matches!(before, Some(Tok::Arrow | Tok::In)) => {
                (Bracket::Value, Tok::LParen)
            }
            Some(Tok::Ident(_) | Tok::Component(_) | Tok::At(_)) => {
                (Bracket::Value, Tok::CallParen)
            }
            _ => (Bracket::Value, Tok::LParen),
        };
        self.brackets.push(bracket);
        self.push(tok, span, false);
    }

    fn open_brace(&mut self, span: Span) {
        let at_component = matches!(
            self.last(),
            Some(
                Tok::Probe | Tok::Dot | Tok::Assign | Tok::AddAssign | Tok::Comma | Tok::PointBrace
            )
        );
        if self.in_point() && at_component {
            self.brackets.push(Bracket::Points);
            self.push(Tok::PointBrace, span, false);
            return;
        }
        if self.mode == Mode::ProbeHead {
            self.mode = Mode::Body;
        }
        self.brackets.push(Bracket::Block);
        self.push(Tok::LBrace, span, false);
    }

    fn close(&mut self, token: &Token<'s>) {
        let closed = self.brackets.pop();
        let tok = match token.kind {
            TokenKind::RParen => Tok::RParen,
            TokenKind::RSquare => Tok::RSquare,
            _ => Tok::RBrace,
        };
        self.push(tok, token.span, false);
        if closed == Some(Bracket::StmtHead) {
            self.ends_value = false;
        }
    }

    /// Everything that is a terminal of its own.
    fn plain(&self, kind: TokenKind) -> Tok {
        use TokenKind as K;
        let value = self.ends_value;
        match kind {
            K::Probe => Tok::Probe,
            K::Global => Tok::Global,
            K::Private => Tok::Private,
            K::Function => Tok::Function,
            K::If => Tok::If,
            K::Else => Tok::Else,
            K::For => Tok::For,
            K::Foreach => Tok::Foreach,
            K::In => Tok::In,
            K::Limit => Tok::Limit,
            K::Return => self.return_kind(),
            K::Delete => Tok::Delete,
            K::While => Tok::While,
            K::Break => Tok::Break,
            K::Continue => Tok::Continue,
            K::Next => Tok::Next,
            K::TypeString => Tok::TypeString,
            K::TypeLong => Tok::TypeLong,
            K::Try => Tok::Try,
            K::Catch => Tok::Catch,
            K::Push => Tok::AssignOp(AssignOp::Push),
            K::ShlAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Shl)),
            K::ShrAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Shr)),
            K::SubAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Sub)),
            K::MulAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Mul)),
            K::DivAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Div)),
            K::RemAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Rem)),
            K::AndAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::BitAnd)),
            K::OrAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::BitOr)),
            K::XorAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::BitXor)),
            K::ConcatAssign => Tok::AssignOp(AssignOp::Compute(BinaryOp::Concat)),
            K::AddAssign => Tok::AddAssign,
            K::Assign => Tok::Assign,
            K::ShrLogical => Tok::Shift(BinaryOp::ShrLogical),
            K::Shl => Tok::Shift(BinaryOp::Shl),
            K::Shr => Tok::Shift(BinaryOp::Shr),
            K::EqEq => Tok::Compare(BinaryOp::Eq),
            K::NotEq => Tok::Compare(BinaryOp::Ne),
            K::Le => Tok::Compare(BinaryOp::Le),
            K::Ge => Tok::Compare(BinaryOp::Ge),
            K::Lt => Tok::Compare(BinaryOp::Lt),
            K::Gt => Tok::Compare(BinaryOp::Gt),
            K::Match => Tok::Match(false),
            K::NotMatch => Tok::Match(true),
            K::AndAnd => Tok::AndAnd,
            K::OrOr => Tok::OrOr,
            K::PlusPlus => self.incdec(IncDecOp::Inc),
            K::MinusMinus => self.incdec(IncDecOp::Dec),
            K::Arrow => Tok::Arrow,
            K::Plus if value => Tok::Plus,
            K::Plus => Tok::Unary(UnaryOp::Plus),
            K::Minus if value => Tok::Minus,
            K::Minus => Tok::PrefixMinus,
            K::Amp if value => Tok::Amp,
            K::Amp => Tok::AddressOf,
            K::Star => Tok::Star,
            K::Slash => Tok::Slash,
            K::Percent => Tok::Percent,
            K::Pipe => Tok::Pipe,
            K::Caret => Tok::Caret,
            K::Bang => Tok::Bang,
            K::Tilde => Tok::Unary(UnaryOp::BitNot),
            K::Dot => Tok::Dot,
            K::Comma => Tok::Comma,
            K::Semi => Tok::Semi,
            K::Colon => Tok::Colon,
            K::Question => Tok::Question,
            // Dealt with before.
            K::Ident | K::AtWord | K::ScriptArg | K::Number | K::String | K::Embedded | K::Junk => {
                Tok::Error
            }
            K::PpOpen | K::PpThen | K::PpElse | K::PpClose => Tok::Error,
            K::LParen | K::RParen | K::LSquare | K::RSquare | K::LBrace | K::RBrace => Tok::Error,
        }
    }

    /// `x++ ++y` and `++x --y` are two statements: a value has only one of these.
    fn incdec(&self, op: IncDecOp) -> Tok {
        let has_one = matches!(self.last(), Some(Tok::PostfixInc(_)))
            || self.after_prefix.last().is_some_and(|&flag| flag);
        if self.ends_value && !has_one {
            Tok::PostfixInc(op)
        } else {
            Tok::PrefixInc(op)
        }
    }

    /// `return` has a value unless the statement ends after it.
    fn return_kind(&self) -> Tok {
        use TokenKind as K;
        match self.next_kind() {
            None
            | Some(
                K::Semi | K::RBrace | K::Else | K::If | K::While | K::For | K::Foreach | K::Try,
            ) => Tok::ReturnVoid,
            Some(K::Return | K::Break | K::Continue | K::Next | K::Delete) => Tok::ReturnVoid,
            Some(K::Probe | K::Function | K::Global | K::Private) => Tok::ReturnVoid,
            Some(_) => Tok::Return,
        }
    }
}

/// Whether nothing stands between two tokens, wherever they come from.
fn touches(a: &Token<'_>, b: &Token<'_>) -> bool {
    a.text.as_bytes().as_ptr_range().end == b.text.as_ptr()
}
