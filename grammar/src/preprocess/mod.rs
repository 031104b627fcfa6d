//! The preprocessor: macros, then conditionals.
//!
//! In: a file's tokens. Out: those that are left when macros ([`macros`]) are expanded and `%( … %)`
//! ([`condition`]) decided; what is wrong with any of these has been reported. A branch that is not taken
//! is skipped as it stands: its macros are not expanded, its mistakes not reported.

mod compare;
mod condition;
mod facts;
mod library;
mod macros;

pub use compare::matches_pattern;
pub(crate) use compare::versions;
pub use facts::{PreprocessorFacts, SYSTEMTAP_VERSION, StaticFacts, base_version};
pub use library::MacroLibrary;
pub use macros::Expansion;

use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::lexer::{self, Flaw, Token, TokenKind};
use crate::source::{FileId, Files, Span};
use indexmap::IndexMap;
use macros::{Macro, Stream, junk};

/// What preprocessing made of a file.
pub(crate) struct Preprocessed<'s> {
    pub(crate) tokens: Vec<Token<'s>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) expansions: Vec<Expansion>,
    macros: IndexMap<&'s str, Macro<'s>>,
}

/// Expands and decides.
pub(crate) fn preprocess<'s>(
    tokens: Vec<Token<'s>>,
    end: Span,
    facts: &dyn PreprocessorFacts,
    library: &'s MacroLibrary,
) -> Preprocessed<'s> {
    let out = Vec::with_capacity(tokens.len());
    let stream = Stream::new(tokens, end, library);
    let mut cx = Cx {
        stream,
        facts,
        open: Vec::new(),
        out,
    };
    cx.run();
    let diagnostics = std::mem::take(&mut cx.stream.diagnostics);
    let expansions = std::mem::take(&mut cx.stream.expansions);
    Preprocessed {
        tokens: cx.out,
        diagnostics,
        expansions,
        macros: cx.stream.into_macros(),
    }
}

/// Adds the macros of a `.stpm` file, which may hold nothing but `@define` and conditionals.
pub fn add_macros(
    files: &Files,
    id: FileId,
    facts: &dyn PreprocessorFacts,
    library: &mut MacroLibrary,
) -> Diagnostics {
    let text = files.text_arc(id);
    let none = MacroLibrary::new();
    let end = Span::new(id, text.len() as u32, text.len() as u32);
    let done = preprocess(lexer::tokens(id, &text, None), end, facts, &none);
    let mut diagnostics = Diagnostics::new();
    diagnostics.extend(done.diagnostics);
    if let Some(first) = done.tokens.first() {
        let d = Diagnostic::error(codes::NOT_A_MACRO, "a macro library holds something else")
            .label(first.span, "expected '@define'")
            .help("move it to a file whose name does not end in .stpm");
        diagnostics.push(d);
    }
    for (name, again, first) in library.add(&text, done.macros) {
        let d = Diagnostic::error(
            codes::MACRO_REDEFINED,
            format!("macro '@{name}' is defined twice"),
        )
        .label(again, "defined again here")
        .secondary(first, "first defined here")
        .help("rename one of them");
        diagnostics.push(d);
    }
    diagnostics
}

/// A conditional whose branch is being read.
struct Open {
    /// Its `%(`.
    span: Span,
    /// The branch is the one after `%?`; one after `%:` is still to be skipped.
    then: bool,
}

struct Cx<'s, 'f> {
    stream: Stream<'s>,
    facts: &'f dyn PreprocessorFacts,
    open: Vec<Open>,
    out: Vec<Token<'s>>,
}

impl<'s> Cx<'s, '_> {
    fn run(&mut self) {
        while let Some(token) = self.stream.next() {
            let mut next = Some(token);
            while let Some(token) = next.take() {
                next = self.token(token);
            }
        }
        for open in std::mem::take(&mut self.open) {
            self.unclosed(open.span);
        }
    }

    /// Deals with a token; returns the one to deal with next if that has been taken already.
    fn token(&mut self, token: Token<'s>) -> Option<Token<'s>> {
        match token.kind {
            TokenKind::PpOpen => return self.conditional(&token),
            TokenKind::PpElse if self.open.last().is_some_and(|o| o.then) => {
                // The branch after this is not taken.
                let open = self.open.pop();
                self.skip(open.map_or(token.span, |o| o.span), false);
            }
            TokenKind::PpClose if !self.open.is_empty() => {
                self.open.pop();
            }
            TokenKind::PpThen | TokenKind::PpElse | TokenKind::PpClose => {
                self.stray(&token);
                self.poison(&token);
            }
            _ => self.emit(token),
        }
        None
    }

    fn stray(&mut self, token: &Token<'s>) {
        let (title, label) = match token.kind {
            TokenKind::PpElse => (
                "'%:' that follows no '%?'",
                "a conditional has at most one of these",
            ),
            TokenKind::PpThen => (
                "'%?' outside a conditional",
                "no condition begins before this",
            ),
            _ => (
                "'%)' outside a conditional",
                "there is no '%(' that this could belong to",
            ),
        };
        let d = Diagnostic::error(codes::UNBALANCED_CONDITIONAL, title).label(token.span, label);
        self.stream.report(d);
    }

    /// Passes on a token that stands for anything, so that what is wrong here is reported only once.
    fn poison(&mut self, token: &Token<'s>) {
        self.out.push(junk(token.span));
    }

    /// Passes a token on, its flaw reported.
    fn emit(&mut self, token: Token<'s>) {
        self.report_flaw(&token);
        self.out.push(token);
    }

    fn report_flaw(&mut self, token: &Token<'s>) {
        if let Some(flaw) = token.flaw {
            self.stream
                .report(describe(flaw, token, self.facts.args().len()));
        }
    }

    /// After `%(`: decides which branch is read, and goes there. If no condition follows, returns the
    /// token that showed it.
    fn conditional(&mut self, open: &Token<'s>) -> Option<Token<'s>> {
        use TokenKind::{Function, Global, LBrace, PpClose, PpElse, PpOpen, PpThen, Probe};
        use TokenKind::{RBrace, RParen, Semi};
        let mut condition = Vec::new();
        let mut place = open.span;
        loop {
            let token = self.stream.next();
            match token.map(|t| t.kind) {
                Some(PpThen) => break,
                Some(PpElse | PpClose) => {
                    self.not_a_condition(open.span);
                    self.poison(open);
                    if token.is_some_and(|t| t.kind == PpElse) {
                        self.skip(open.span, false);
                    }
                    return None;
                }
                None
                | Some(PpOpen | Semi | LBrace | RBrace | RParen | Probe | Global | Function) => {
                    self.not_a_condition(open.span);
                    if token.is_some_and(|t| t.kind == RParen) {
                        // The remainder of a division by something in parentheses.
                        let (percent, paren) = open.text.split_at(1);
                        self.out.push(Token {
                            kind: TokenKind::Percent,
                            text: percent,
                            ..*open
                        });
                        self.out.push(Token {
                            kind: TokenKind::LParen,
                            text: paren,
                            ..*open
                        });
                    } else {
                        self.poison(open);
                    }
                    self.out.append(&mut condition);
                    return token;
                }
                Some(_) => {}
            }
            if let Some(token) = token {
                self.report_flaw(&token);
                place = place.to(token.span);
                condition.push(token);
            }
        }
        let poisoned = condition
            .iter()
            .any(|t| t.flaw.is_some() || t.kind == TokenKind::Junk);
        let truth = if poisoned {
            false
        } else {
            condition::evaluate(&condition, place, self.facts).unwrap_or_else(|wrong| {
                let mut d = Diagnostic::error(codes::BAD_CONDITION, "malformed condition")
                    .label(wrong.span, wrong.text);
                d = d.help_if(wrong.help);
                self.stream.report(d);
                false
            })
        };
        if truth || self.skip(open.span, true) {
            self.open.push(Open {
                span: open.span,
                then: truth,
            });
        }
        None
    }

    fn not_a_condition(&mut self, span: Span) {
        let d = Diagnostic::error(
            codes::BAD_CONDITION,
            "'%(' begins a conditional, but there is no '%?'",
        )
        .label(span, "this")
        .note("conditionals look like '%( kernel_v >= \"5.10\" %? … %: … %)'")
        .help(
            "for the remainder of a division by something in parentheses, write '% (' with a blank",
        );
        self.stream.report(d);
    }

    /// Skips a branch with all conditionals in it: to the `%)`, or to the `%:` if `else_too`. True if it
    /// stopped at the latter.
    fn skip(&mut self, open: Span, else_too: bool) -> bool {
        let mut depth = 0usize;
        // A string or the like without an end may have eaten what is looked for.
        let mut swallower = None;
        while let Some(token) = self.stream.next_raw() {
            match token.kind {
                TokenKind::PpOpen => depth += 1,
                TokenKind::PpElse if depth == 0 && else_too => return true,
                TokenKind::PpElse if depth == 0 => self.stray(&token),
                TokenKind::PpClose if depth == 0 => return false,
                TokenKind::PpClose => depth -= 1,
                _ if token.flaw.is_some_and(Flaw::swallows) => swallower = Some(token),
                _ => {}
            }
        }
        match swallower {
            Some(token) => self.report_flaw(&token),
            None => self.unclosed(open),
        }
        // What is missing after this, closing braces for one, may have been skipped.
        self.out.push(junk(self.stream.end));
        false
    }

    fn unclosed(&mut self, span: Span) {
        let d = Diagnostic::error(codes::UNBALANCED_CONDITIONAL, "a conditional has no end")
            .label(span, "begins here")
            .help("end it with '%)'");
        self.stream.report(d);
    }
}

/// The diagnostic of a flawed token.
fn describe(flaw: Flaw, token: &Token<'_>, args: usize) -> Diagnostic {
    let span = token.span;
    match flaw {
        Flaw::UnterminatedString => {
            Diagnostic::error(codes::UNTERMINATED_STRING, "a string literal has no end")
                .label(span, "begins here")
                .help("end it with '\"' on the same line; write a line break as '\\n'")
        }
        Flaw::UnterminatedComment => {
            Diagnostic::error(codes::UNTERMINATED_COMMENT, "a comment has no end")
                .label(
                    Span {
                        end: span.end.min(span.start + 2),
                        ..span
                    },
                    "begins here",
                )
                .help("end it with '*/'")
        }
        Flaw::UnterminatedEmbedded => {
            Diagnostic::error(codes::UNTERMINATED_EMBEDDED, "embedded code has no end")
                .label(
                    Span {
                        end: span.end.min(span.start + 2),
                        ..span
                    },
                    "begins here",
                )
                .help("end it with '%}'")
        }
        Flaw::BadCharacter => bad_character(token),
        Flaw::NoSuchArgument => {
            let given = match args {
                0 => "the script was started without arguments".to_owned(),
                1 => "the script was started with one argument".to_owned(),
                n => format!("the script was started with {n} arguments"),
            };
            Diagnostic::error(
                codes::ARGUMENT_OUT_OF_RANGE,
                format!("there is no argument '{}'", token.text),
            )
            .label(span, "used here")
            .note(given)
            .help("give it after the script's name, or test '%( $# >= 1 %? … %)'")
        }
    }
}

fn bad_character(token: &Token<'_>) -> Diagnostic {
    let shown: String = token
        .text
        .chars()
        .take(8)
        .flat_map(char::escape_debug)
        .collect();
    let more = if token.text.chars().nth(8).is_some() {
        "…"
    } else {
        ""
    };
    let d = Diagnostic::error(
        codes::BAD_CHARACTER,
        format!("'{shown}{more}' means nothing here"),
    )
    .label(token.span, "not part of the language");
    match token.text.chars().next() {
        Some('\u{fffd}' | '\0') => d.help("is this a text file?"),
        Some('\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}') => d.help("use plain quotes: \""),
        Some('\'') => d.help("strings stand in double quotes: \""),
        _ => d,
    }
}
