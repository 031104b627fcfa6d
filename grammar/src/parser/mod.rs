//! Terminals to the syntax tree.
//!
//! In: the text of a file in [`Files`], what the preprocessor may ask, macro libraries. Out: [`Parsed`].
//! The way: script arguments are put in, [`crate::lexer`] makes tokens, [`crate::preprocess`] decides and
//! expands, [`classify`] makes terminals and splits them into items, the generated parser makes an item's
//! tree by way of [`build`], [`recover`] mends it after an error and tries again, [`check`] looks for what
//! the grammar cannot say. All of it is linear in the text, errors included: their number is limited.

mod build;
mod check;
mod classify;
mod expected;
mod recover;
mod terminal;

use crate::ast;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::dialect::Dialect;
use crate::lexer::{self, Spliced, Token, TokenKind};
use crate::preprocess::{MacroLibrary, Preprocessed, PreprocessorFacts, preprocess};
use crate::source::{FileId, Files, Span};
use expected::SyntaxError;
use lalrpop_util::ParseError;
use std::fmt::Write as _;
use std::sync::Arc;
use terminal::Terminals;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    unused,
    reason = "generated code"
)]
mod generated {
    lalrpop_util::lalrpop_mod!(pub(super) systemtap);
}

/// After this many syntax errors a file is given up.
const MAX_ERRORS: usize = 18;

/// How many times the terminals of a file may be parsed again, on average, to recover from errors.
const MAX_REPARSES: usize = 4;

/// How many terminals may be parsed again whatever a file's size is.
const FREE_REPARSED: usize = 200_000;

/// A parsed file and what is wrong with it.
#[derive(Debug)]
pub struct Parsed {
    /// The tree, with `Error` nodes where something is wrong.
    pub file: ast::File,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

/// Parses a file.
///
/// Script arguments are put into scripts only, not into tapsets; these may hold embedded code, scripts only
/// in guru mode.
pub fn parse(
    files: &mut Files,
    id: FileId,
    facts: &dyn PreprocessorFacts,
    macros: &MacroLibrary,
) -> Parsed {
    let source = Source::new(files, id, facts);
    let Preprocessed {
        mut tokens,
        diagnostics: found,
        expansions,
        ..
    } = source.preprocess(facts, macros);
    let mut diagnostics = Diagnostics::new();
    diagnostics.extend(found);
    let dialect = if files.is_library(id) {
        Dialect::NEWEST
    } else {
        Dialect::of(&facts.systemtap_v())
    };
    if !dialect.private {
        free_private(&mut tokens);
    }

    let terminals = classify::classify(&tokens, dialect, &mut diagnostics);
    drop(tokens);
    files.note_expansions(&expansions);
    let items = parse_items(&terminals, source.end, files, &mut diagnostics);
    let file = ast::File { id, items };
    let embedded = files.is_library(id) || facts.guru();
    check::check(&file, embedded, &mut diagnostics);
    diagnostics.sort_by_place();
    let diagnostics = diagnostics
        .into_iter()
        .map(|d| explain_arguments(d, files, facts))
        .collect();
    Parsed { file, diagnostics }
}

/// The tokens of a file as text, one a line, after preprocessing: `--emit=tokens`.
pub fn emit_tokens(
    files: &Files,
    id: FileId,
    facts: &dyn PreprocessorFacts,
    macros: &MacroLibrary,
) -> (String, Diagnostics) {
    let source = Source::new(files, id, facts);
    let done = source.preprocess(facts, macros);
    let mut out = String::new();
    for token in &done.tokens {
        let _ = writeln!(
            out,
            "{}\t{:?}\t{}",
            files.location(token.span),
            token.kind,
            token.text
        );
    }
    (out, done.diagnostics.into_iter().collect())
}

/// A file's text with its script arguments put in.
struct Source {
    id: FileId,
    text: Arc<str>,
    spliced: Option<Spliced>,
    /// The place after the last byte.
    end: Span,
}

impl Source {
    fn new(files: &Files, id: FileId, facts: &dyn PreprocessorFacts) -> Source {
        let text = files.text_arc(id);
        let end = Span::new(id, text.len() as u32, text.len() as u32);
        let spliced = lexer::splice(&text, facts.args());
        Source {
            id,
            text,
            spliced,
            end,
        }
    }

    fn preprocess<'s>(
        &'s self,
        facts: &dyn PreprocessorFacts,
        macros: &'s MacroLibrary,
    ) -> Preprocessed<'s> {
        let text = self
            .spliced
            .as_ref()
            .map_or(&*self.text, |s| s.text.as_str());
        let tokens = lexer::tokens(self.id, text, self.spliced.as_ref());
        preprocess(tokens, self.end, facts, macros)
    }
}

/// Says what an argument is if a diagnostic is about one.
fn explain_arguments(d: Diagnostic, files: &Files, facts: &dyn PreprocessorFacts) -> Diagnostic {
    let argument = |span: Span| {
        let named = files.slice(span);
        let index = named
            .strip_prefix(['$', '@'])?
            .parse::<usize>()
            .ok()?
            .checked_sub(1)?;
        facts.args().get(index).map(|arg| (named, arg))
    };
    match d.labels.iter().find_map(|l| argument(l.span)) {
        Some((named, arg)) => d.note(format!(
            "'{named}' stands for the script's argument '{arg}'"
        )),
        None => d,
    }
}

/// Makes a name of the word.
fn free_private(tokens: &mut [Token<'_>]) {
    for token in tokens.iter_mut().filter(|t| t.kind == TokenKind::Private) {
        token.kind = TokenKind::Ident;
    }
}

/// Parses item by item.
fn parse_items(
    terminals: &Terminals,
    end: Span,
    files: &Files,
    diagnostics: &mut Diagnostics,
) -> Vec<ast::Item> {
    let mut starts = terminals.starts.clone();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let parser = generated::systemtap::ItemsParser::new();
    let mut cx = Recovery {
        parser,
        terminals,
        files,
        diagnostics,
        errors: 0,
        budget: terminals.list.len() * MAX_REPARSES + FREE_REPARSED,
    };
    let mut items = Vec::with_capacity(starts.len());
    for (i, &start) in starts.iter().enumerate() {
        let next = starts.get(i + 1).copied().unwrap_or(terminals.list.len());
        let after = terminals.list.get(next).map_or(end, |t| t.span);
        if start < next {
            items.extend(cx.item(start, next, after));
        }
        if cx.errors > MAX_ERRORS {
            break;
        }
    }
    items
}

struct Recovery<'c> {
    parser: generated::systemtap::ItemsParser,
    terminals: &'c Terminals,
    files: &'c Files,
    diagnostics: &'c mut Diagnostics,
    errors: usize,
    budget: usize,
}

impl Recovery<'_> {
    /// Parses the terminals of one item.
    fn item(&mut self, start: usize, end: usize, after: Span) -> Vec<ast::Item> {
        let original = &self.terminals.list[start..end];
        let mut mended = Vec::new();
        let mut last = None;
        loop {
            let list = if mended.is_empty() {
                original
            } else {
                mended.as_slice()
            };
            let cx = build::Cx::new(list, self.terminals);
            let input = list.iter().zip(0u32..).map(|(t, i)| Ok((i, t.tok, i + 1)));
            let error = match self.parser.parse(&cx, input) {
                Ok(items) => {
                    self.diagnostics.extend(cx.diagnostics.into_inner());
                    return items;
                }
                Err(ParseError::UnrecognizedToken {
                    token: (at, ..),
                    expected,
                }) => SyntaxError {
                    at: at as usize,
                    expected,
                },
                Err(ParseError::ExtraToken { token: (at, ..) }) => SyntaxError {
                    at: at as usize,
                    expected: Vec::new(),
                },
                Err(ParseError::UnrecognizedEof { expected, .. }) => SyntaxError {
                    at: list.len(),
                    expected,
                },
                Err(ParseError::InvalidToken { .. } | ParseError::User { .. }) => SyntaxError {
                    at: list.len(),
                    expected: Vec::new(),
                },
            };
            let mut repair = recover::repair(list, error.at, cx.last_stmt_end.get() as usize);
            if last.replace((error.at, list.len())) == Some((error.at, list.len())) {
                repair = recover::give_up(list);
            }
            // What is wrong because of something that has been reported is not reported again.
            let from = repair.range.start.min(error.at);
            let follows = list[from..list.len().min(error.at + 1)]
                .iter()
                .any(|t| t.flawed || t.tok.is_error());
            let swallowed =
                error.at == list.len() && list.iter().any(terminal::Terminal::may_have_swallowed);
            if !follows && !swallowed {
                self.errors += 1;
                self.diagnostics
                    .push(expected::describe(&error, list, after, self.files));
            }
            self.budget = self.budget.saturating_sub(list.len());
            if self.errors > MAX_ERRORS || self.budget == 0 {
                let place = list.get(error.at).map_or(after, |t| t.span);
                self.diagnostics.push(
                    Diagnostic::error(codes::TOO_MANY_ERRORS, "too many syntax errors")
                        .label(place, "gave up here"),
                );
                self.errors = MAX_ERRORS + 1;
                repair = recover::give_up(list);
            }
            if mended.is_empty() {
                mended = original.to_vec();
            }
            recover::apply(&mut mended, repair);
        }
    }
}
