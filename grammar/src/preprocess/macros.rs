//! Macros: the first half of preprocessing.
//!
//! [`Stream`] gives a file's tokens one by one with every `@NAME` use replaced by the macro's body and
//! every definition taken out. A macro's arguments are token runs that are expanded where a parameter is
//! used, but by the rules of the place where they were written (they are closures).
//!
//! Tokens of a body get the span of the outermost use, arguments keep their own: so all spans of a
//! parse lie in its file, in the place that its author can mend.

use crate::ast::AtOp;
use crate::diag::{Diagnostic, codes, nearest};
use crate::lexer::{Token, TokenKind};
use crate::source::Span;
use indexmap::IndexMap;
use std::rc::Rc;

use super::library::MacroLibrary;

/// Macro uses and the tokens they make, in one file, are limited to this many: a few nested definitions
/// can ask for more tokens than there is memory.
const MAX_EXPANSION: usize = 1_000_000;

/// All searches for the ends of macros' argument lists together look at this many tokens: lists can be
/// nested, or have no end, so that each token is looked at again and again.
const MAX_LOOKAHEAD: usize = 10_000_000;

/// No more than this many diagnostics are kept.
const MAX_DIAGNOSTICS: usize = 50;

/// A macro.
#[derive(Debug, Clone)]
pub(super) struct Macro<'s> {
    /// Where its name is defined.
    pub(super) defined: Span,
    /// Parameters, if it was defined with parentheses.
    pub(super) params: Option<Rc<[&'s str]>>,
    /// What stands between `%(` and `%)`.
    pub(super) body: Run<'s>,
}

/// A run of tokens.
#[derive(Debug, Clone)]
pub(super) struct Run<'s> {
    pub(super) tokens: Rc<Vec<Token<'s>>>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'s> Run<'s> {
    pub(super) fn new(tokens: Vec<Token<'s>>) -> Run<'s> {
        let end = tokens.len();
        Run {
            tokens: Rc::new(tokens),
            start: 0,
            end,
        }
    }

    pub(super) fn as_slice(&self) -> &[Token<'s>] {
        &self.tokens[self.start..self.end]
    }
}

/// Where parameters have their meaning: a use of a macro, within that in which it was written.
#[derive(Debug)]
struct Env<'s> {
    name: &'s str,
    args: Vec<(&'s str, Run<'s>)>,
    /// The place to blame for the body's tokens.
    blame: Span,
    /// Where the use was written, and so where the arguments have their meaning.
    caller: Option<Rc<Env<'s>>>,
}

/// A run that is being read.
#[derive(Debug)]
struct Frame<'s> {
    run: Run<'s>,
    env: Option<Rc<Env<'s>>>,
}

/// One macro use that a parse went through, for diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// The use.
    pub used: Span,
    /// The macro's name, without `@`.
    pub name: String,
    /// The definition.
    pub defined: Span,
}

/// Whether a definition's body was read before something was found to be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum BodyRead {
    No,
    Yes,
}

/// What is wrong with a definition, and where.
type BadDefinition = (Span, String, BodyRead);

/// Tokens with macros expanded.
pub(super) struct Stream<'s> {
    frames: Vec<Frame<'s>>,
    macros: IndexMap<&'s str, Macro<'s>>,
    library: &'s MacroLibrary,
    expanded: usize,
    /// How many tokens may still be looked at in search of the ends of argument lists.
    lookahead: usize,
    pub(super) expansions: Vec<Expansion>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The place after the last token.
    pub(super) end: Span,
}

impl<'s> Stream<'s> {
    pub(super) fn new(tokens: Vec<Token<'s>>, end: Span, library: &'s MacroLibrary) -> Stream<'s> {
        Stream {
            frames: vec![Frame {
                run: Run::new(tokens),
                env: None,
            }],
            macros: IndexMap::new(),
            library,
            expanded: 0,
            lookahead: MAX_LOOKAHEAD,
            expansions: Vec::new(),
            diagnostics: Vec::new(),
            end,
        }
    }

    /// The file's own macros, in the order of their definitions.
    pub(super) fn into_macros(self) -> IndexMap<&'s str, Macro<'s>> {
        self.macros
    }

    /// Adds a diagnostic, unless there are more than anyone will read: garbage can be wrong a million times.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    /// The next token as it stands, macros neither defined nor expanded.
    pub(super) fn next_raw(&mut self) -> Option<Token<'s>> {
        loop {
            let frame = self.frames.last_mut()?;
            if frame.run.start == frame.run.end {
                self.frames.pop();
                continue;
            }
            let mut token = frame.run.tokens[frame.run.start];
            frame.run.start += 1;
            if let Some(env) = &frame.env {
                token.span = env.blame;
            }
            if self.frames.len() > 1 && self.charge(token.span) {
                return Some(junk(token.span));
            }
            return Some(token);
        }
    }

    /// The next token, macros defined and expanded on the way.
    pub(super) fn next(&mut self) -> Option<Token<'s>> {
        loop {
            let token = self.next_raw()?;
            if token.kind != TokenKind::AtWord {
                return Some(token);
            }
            let name = &token.text[1..];
            if name == "define" {
                self.define(&token);
                continue;
            }
            if self.expand_param(name) {
                continue;
            }
            let found = self
                .macros
                .get(name)
                .cloned()
                .or_else(|| self.library.get(name));
            if let Some(found) = found {
                self.expand(&token, name, found);
                continue;
            }
            if AtOp::from_name(name).is_some() {
                return Some(token);
            }
            let known = self.macros.keys().copied().chain(self.library.names());
            let known = known.chain(AtOp::all().map(|op| -> &str { op.name() }));
            let diagnostic = Diagnostic::error(
                codes::UNKNOWN_MACRO,
                format!("unknown macro '{}'", token.text),
            )
            .label(token.span, "neither a macro nor an operator")
            .help_if(nearest(name, known).map(|n| format!("did you mean '@{n}'?")));
            self.report(diagnostic);
            // Its arguments, if any, go the same way.
            if self.peek_raw().is_some_and(|t| t.kind == TokenKind::LParen) {
                let _ = self.take_args();
            }
            return Some(Token {
                kind: TokenKind::Junk,
                flaw: None,
                ..token
            });
        }
    }

    /// The next token of the run being read, if it has one left.
    fn peek_raw(&self) -> Option<Token<'s>> {
        let frame = self.frames.last()?;
        frame.run.as_slice().first().copied()
    }

    /// If `name` is a parameter here, goes on with its argument.
    fn expand_param(&mut self, name: &str) -> bool {
        let Some(env) = self.frames.last().and_then(|f| f.env.clone()) else {
            return false;
        };
        let Some((_, run)) = env.args.iter().find(|(param, _)| *param == name) else {
            return false;
        };
        if !self.charge(env.blame) {
            self.frames.push(Frame {
                run: run.clone(),
                env: env.caller.clone(),
            });
        }
        true
    }

    /// Goes on with a macro's body.
    fn expand(&mut self, token: &Token<'s>, name: &'s str, found: Macro<'s>) {
        let caller = self.frames.last().and_then(|f| f.env.clone());
        let mut chain = caller.as_ref();
        while let Some(env) = chain {
            if env.name == name {
                let d = Diagnostic::error(
                    codes::RECURSIVE_MACRO,
                    format!("macro '@{name}' uses itself"),
                )
                .label(token.span, "used here")
                .secondary(found.defined, "defined here")
                .note(
                    "a macro's text is put in before anything is computed, so this would never end",
                )
                .help("write a function; functions may call themselves");
                self.report(d);
                self.stop_expanding(token.span);
                return;
            }
            chain = env.caller.as_ref();
        }
        let mut used = token.span;
        let mut args = Vec::new();
        if let Some(params) = &found.params {
            let has_args = self.peek_raw().is_some_and(|t| t.kind == TokenKind::LParen);
            let taken = if has_args { self.take_args() } else { None };
            let Some((runs, end)) = taken else {
                let what = if has_args {
                    "this list of arguments has no ')'"
                } else {
                    "without arguments"
                };
                self.bad_args(token, name, &found, what);
                return;
            };
            used = used.to(end);
            let given = if params.is_empty() && runs.iter().all(|r| r.start == r.end) {
                0
            } else {
                runs.len()
            };
            if given != params.len() {
                self.bad_args(token, name, &found, &format!("with {given}"));
                return;
            }
            args = params.iter().copied().zip(runs).collect();
        }
        if self.charge(used) {
            self.frames.push(Frame {
                run: Run::new(vec![junk(used)]),
                env: None,
            });
            return;
        }
        let blame = caller.as_ref().map_or(used, |env| env.blame);
        if caller.is_none() {
            self.expansions.push(Expansion {
                used,
                name: name.to_owned(),
                defined: found.defined,
            });
        }
        let env = Rc::new(Env {
            name,
            args,
            blame,
            caller,
        });
        self.frames.push(Frame {
            run: found.body,
            env: Some(env),
        });
    }

    fn bad_args(&mut self, token: &Token<'s>, name: &str, found: &Macro<'s>, what: &str) {
        let wanted = found.params.as_ref().map_or(0, |p| p.len());
        let plural = if wanted == 1 { "" } else { "s" };
        let title = format!("macro '@{name}' takes {wanted} argument{plural}");
        let d = Diagnostic::error(codes::BAD_MACRO_ARGUMENTS, title)
            .label(token.span, format!("used {what}"))
            .secondary(found.defined, "defined here");
        self.report(d);
        // The parser gets something that can stand for any value.
        let junk = Token {
            kind: TokenKind::Junk,
            flaw: None,
            ..*token
        };
        let env = self.frames.last().and_then(|f| f.env.clone());
        self.frames.push(Frame {
            run: Run::new(vec![junk]),
            env,
        });
    }

    /// Takes `( run, run )` from the run being read: the runs, and the place of the `)`. Takes nothing if
    /// there is no `)`.
    fn take_args(&mut self) -> Option<(Vec<Run<'s>>, Span)> {
        let frame = self.frames.last_mut()?;
        let tokens = Rc::clone(&frame.run.tokens);
        let open = frame.run.start;
        let run = |start, end| Run {
            tokens: Rc::clone(&tokens),
            start,
            end,
        };
        let mut depth = 0usize;
        let mut runs = Vec::new();
        let mut start = open + 1;
        let looked_at = &tokens[open..frame.run.end.min(open + self.lookahead)];
        self.lookahead -= looked_at.len();
        for (at, token) in (open..).zip(looked_at) {
            match token.kind {
                TokenKind::LParen | TokenKind::LSquare => depth += 1,
                TokenKind::RParen if depth == 1 => {
                    runs.push(run(start, at));
                    frame.run.start = at + 1;
                    // What was not looked at is not counted.
                    self.lookahead += open + looked_at.len() - at;
                    return Some((runs, frame.env.as_ref().map_or(token.span, |e| e.blame)));
                }
                TokenKind::RParen | TokenKind::RSquare => depth = depth.saturating_sub(1),
                TokenKind::Comma if depth == 1 => {
                    runs.push(run(start, at));
                    start = at + 1;
                }
                _ => {}
            }
        }
        None
    }

    /// After `@define`: the rest of the definition.
    fn define(&mut self, define: &Token<'s>) {
        if self.frames.len() > 1 {
            let d = Diagnostic::error(codes::BAD_MACRO_DEFINITION, "a macro cannot define macros")
                .label(define.span, "this use brings in '@define'");
            self.report(d);
            self.stop_expanding(define.span);
            return;
        }
        let parsed = self.parse_definition();
        match parsed {
            Err((span, text, body)) => {
                // A body that was found has been read.
                if body == BodyRead::No {
                    self.skip_definition();
                }
                let d =
                    Diagnostic::error(codes::BAD_MACRO_DEFINITION, "malformed macro definition")
                        .label(span, text)
                        .help("write '@define NAME %( TEXT %)' or '@define NAME(a, b) %( TEXT %)'");
                self.report(d);
            }
            Ok((name, found)) => {
                if let Some(first) = self.macros.get(name.text) {
                    let title = format!("macro '@{}' is defined twice", name.text);
                    let d = Diagnostic::error(codes::MACRO_REDEFINED, title)
                        .label(name.span, "defined again here")
                        .secondary(first.defined, "first defined here")
                        .help("rename one of them");
                    self.report(d);
                    return;
                }
                if AtOp::from_name(name.text).is_some() {
                    let title = format!("macro '@{0}' hides the operator '@{0}'", name.text);
                    let d = Diagnostic::warning(codes::MACRO_HIDES_OPERATOR, title)
                        .label(name.span, "defined here")
                        .help("give the macro another name");
                    self.report(d);
                }
                self.macros.insert(name.text, found);
            }
        }
    }

    /// `NAME [(params)] %( body %)` from the file itself. What could not be read is left to be read.
    fn parse_definition(&mut self) -> Result<(Token<'s>, Macro<'s>), BadDefinition> {
        let name = self.expect("a name", |t| {
            t.kind == TokenKind::Ident || t.kind.is_keyword()
        })?;
        let mut params = None;
        let mut next = self.expect("'(' or '%('", |t| {
            matches!(t.kind, TokenKind::LParen | TokenKind::PpOpen)
        })?;
        if next.kind == TokenKind::LParen {
            let mut list: Vec<&'s str> = Vec::new();
            loop {
                next = self.expect("a parameter's name", |t| {
                    t.kind == TokenKind::Ident || t.kind.is_keyword() || t.kind == TokenKind::RParen
                })?;
                if next.kind == TokenKind::RParen {
                    if list.is_empty() {
                        break;
                    }
                    return Err((
                        next.span,
                        "expected a parameter's name".to_owned(),
                        BodyRead::No,
                    ));
                }
                if list.contains(&next.text) {
                    return Err((
                        next.span,
                        format!("a second parameter named '{}'", next.text),
                        BodyRead::No,
                    ));
                }
                list.push(next.text);
                next = self.expect("',' or ')'", |t| {
                    matches!(t.kind, TokenKind::Comma | TokenKind::RParen)
                })?;
                if next.kind == TokenKind::RParen {
                    break;
                }
            }
            params = Some(Rc::from(list));
            next = self.expect("'%('", |t| t.kind == TokenKind::PpOpen)?;
        }
        let open = next;
        let mut depth = 1;
        let mut body = Vec::new();
        let mut nested = None;
        while let Some(token) = self.next_raw() {
            match token.kind {
                TokenKind::PpOpen => depth += 1,
                TokenKind::PpClose => depth -= 1,
                TokenKind::AtWord if token.text == "@define" => {
                    nested = nested.or(Some(token.span));
                }
                _ => {}
            }
            if depth == 0 {
                return match nested {
                    None => Ok((
                        name,
                        Macro {
                            defined: name.span,
                            params,
                            body: Run::new(body),
                        },
                    )),
                    Some(place) => Err((
                        place,
                        "a macro cannot define macros".to_owned(),
                        BodyRead::Yes,
                    )),
                };
            }
            body.push(token);
        }
        Err((open.span, "this has no '%)'".to_owned(), BodyRead::Yes))
    }

    /// After a mistake in the head of a definition: skips its body, if it can be found.
    fn skip_definition(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.peek_raw() {
            match token.kind {
                TokenKind::PpOpen => depth += 1,
                TokenKind::PpClose => depth -= 1,
                TokenKind::AtWord if token.text == "@define" && depth == 0 => return,
                _ if token.kind.is_keyword() && depth == 0 => return,
                _ => {}
            }
            if depth < 0 {
                return;
            }
            self.next_raw();
            if token.kind == TokenKind::PpClose && depth == 0 {
                return;
            }
        }
    }

    /// The file's next token if it is as wanted; otherwise what and where the complaint is.
    fn expect(
        &mut self,
        what: &str,
        wanted: impl Fn(&Token<'s>) -> bool,
    ) -> Result<Token<'s>, BadDefinition> {
        match self.peek_raw() {
            Some(token) if wanted(&token) => {
                self.next_raw();
                Ok(token)
            }
            Some(token) => Err((token.span, format!("expected {what}"), BodyRead::No)),
            None => Err((self.end, format!("expected {what}"), BodyRead::No)),
        }
    }

    /// Counts a use or a token of a macro. True, and all expansion ended, if there have been too many.
    fn charge(&mut self, span: Span) -> bool {
        self.expanded += 1;
        if self.expanded < MAX_EXPANSION {
            return false;
        }
        if self.expanded == MAX_EXPANSION {
            let d = Diagnostic::error(codes::EXPANSION_TOO_LARGE, "macros make too much text")
                .label(span, "while expanding this")
                .note(format!(
                    "the limit is {MAX_EXPANSION} uses and tokens in one file"
                ))
                .help("write a function for what the macro repeats");
            self.report(d);
        }
        self.frames.truncate(1);
        true
    }

    /// Goes back to the file itself, by way of a token that stands for anything.
    fn stop_expanding(&mut self, span: Span) {
        self.frames.truncate(1);
        self.frames.push(Frame {
            run: Run::new(vec![junk(span)]),
            env: None,
        });
    }
}

/// A token that stands for anything; what is wrong has been reported.
pub(super) fn junk(span: Span) -> Token<'static> {
    Token {
        kind: TokenKind::Junk,
        flaw: None,
        first_on_line: false,
        span,
        text: "",
    }
}
