//! Syntax errors in words.

use super::recover::{ends_brackets, open_brackets};
use super::terminal::{Terminal, Tok};
use crate::diag::{Diagnostic, codes};
use crate::source::{Files, Span};

/// An error of the parser: where, and the grammar's names of the terminals that could have been there.
pub(super) struct SyntaxError {
    /// The index of the terminal; the list's length if the list ended too early.
    pub(super) at: usize,
    pub(super) expected: Vec<String>,
}

/// The diagnostic of a syntax error. `end` is the place of what follows the list.
pub(super) fn describe(
    error: &SyntaxError,
    list: &[Terminal],
    end: Span,
    files: &Files,
) -> Diagnostic {
    let open = open_brackets(list, error.at);
    let unclosed = open.last().filter(|&&o| match list.get(error.at) {
        None => true,
        Some(_) => {
            list[o].tok != Tok::LBrace
                && ends_brackets(list, error.at, o)
                && error.wants_closer(list[o].tok)
        }
    });
    if let Some(&opener) = unclosed {
        return never_closed(list, error.at, opener, end, files);
    }
    let Some(terminal) = list.get(error.at) else {
        let what = quoted(files, end).map_or_else(
            || "end of file".to_owned(),
            |text| format!("start of {text}"),
        );
        return Diagnostic::error(codes::UNEXPECTED_TOKEN, format!("unexpected {what}"))
            .label(end, error.expected_label());
    };
    let text = quoted(files, terminal.span).unwrap_or_else(|| "text".to_owned());
    let has_partner = open
        .last()
        .is_some_and(|&o| list[o].tok.closer() == terminal.tok);
    if terminal.tok.closes() && !has_partner {
        let d = Diagnostic::error(codes::UNOPENED_BRACKET, format!("{text} closes nothing"));
        return match open.last() {
            None => d
                .label(terminal.span, "nothing is open here")
                .help("remove it, or open it before"),
            Some(&opener) => {
                let (opened, closer) = brackets(list[opener].tok);
                d.label(terminal.span, format!("expected '{closer}'"))
                    .secondary(list[opener].span, format!("this '{opened}' is open"))
            }
        };
    }
    match terminal.tok {
        Tok::Else | Tok::SemiElse => {
            return Diagnostic::error(codes::UNEXPECTED_TOKEN, "'else' without 'if'")
                .label(terminal.span, "belongs to no 'if'")
                .help(
                    "an 'else' directly follows the statement of its 'if'; put several in '{ }'",
                );
        }
        Tok::Catch => {
            return Diagnostic::error(codes::UNEXPECTED_TOKEN, "'catch' without 'try'")
                .label(terminal.span, "belongs to no 'try'");
        }
        _ => {}
    }
    let mut d = Diagnostic::error(codes::UNEXPECTED_TOKEN, format!("unexpected {text}"))
        .label(terminal.span, error.expected_label());
    let before = error.at.checked_sub(1).map(|i| list[i].tok);
    if error.has("IDENT") && terminal.tok.is_keyword() {
        d = d.note(format!("{text} is a reserved word and cannot be a name"));
    }
    if matches!(before, Some(Tok::Match(_))) {
        d = d.note(
            "a regular expression is a string literal: it is compiled before the script runs",
        );
    }
    if error.at == 0 && error.has("\"probe\"") {
        d = d.help("a script consists of 'probe', 'function' and 'global' definitions");
    }
    d
}

fn never_closed(
    list: &[Terminal],
    at: usize,
    opener: usize,
    end: Span,
    files: &Files,
) -> Diagnostic {
    let (opened, closer) = brackets(list[opener].tok);
    let place = list.get(at).map_or(end, |t| t.span);
    let before = match (list.get(at), quoted(files, place)) {
        (None, None) => "the end of the file".to_owned(),
        (_, text) => text.unwrap_or_else(|| "this".to_owned()),
    };
    Diagnostic::error(
        codes::UNCLOSED_BRACKET,
        format!("'{opened}' is never closed"),
    )
    .label(list[opener].span, "opened here")
    .secondary(place, format!("expected '{closer}' before {before}"))
}

fn brackets(opener: Tok) -> (char, char) {
    match opener {
        Tok::LParen | Tok::CallParen => ('(', ')'),
        Tok::LSquare | Tok::IndexSquare => ('[', ']'),
        _ => ('{', '}'),
    }
}

/// The text at a place in quotes, cut to what is bearable. `None` if there is none.
fn quoted(files: &Files, span: Span) -> Option<String> {
    let text = files.slice(span);
    let line = text.lines().next().unwrap_or("");
    let shown: String = line.chars().take(30).collect();
    if shown.is_empty() {
        return None;
    }
    let more = if shown.len() < text.len() { "…" } else { "" };
    Some(format!("'{shown}{more}'"))
}

/// Terminals that begin a value.
const VALUE: [&str; 14] = [
    "NUMBER",
    "STRING",
    "CONTEXT",
    "IDENT",
    "AT",
    "EMBEDDED",
    "UNARY",
    "\"prefix -\"",
    "\"!\"",
    "PREFIX_INC",
    "\"prefix &\"",
    "\"(\"",
    "\"[\"",
    "\"call (\"",
];

/// Terminals that begin a statement and no value.
const STMT: [&str; 12] = [
    "\"if\"",
    "\"for\"",
    "\"foreach\"",
    "\"while\"",
    "\"return\"",
    "\"return;\"",
    "\"delete\"",
    "\"break\"",
    "\"continue\"",
    "\"next\"",
    "\"try\"",
    "\"{\"",
];

/// Terminals that go on with an expression.
const OPERATOR: [&str; 23] = [
    "\"=\"",
    "\"+=\"",
    "ASSIGN_OP",
    "\"||\"",
    "\"&&\"",
    "\"|\"",
    "\"^\"",
    "\"&\"",
    "COMPARE",
    "REGEX",
    "SHIFT",
    "\".\"",
    "\"+\"",
    "\"-\"",
    "\"*\"",
    "\"/\"",
    "\"%\"",
    "POSTFIX_INC",
    "\"->\"",
    "\"index [\"",
    "\"?\"",
    "\"in\"",
    "SUFFIX",
];

/// Terminals that begin a top-level item.
const ITEM: [&str; 5] = [
    "\"probe\"",
    "\"global\"",
    "\"private\"",
    "\"function\"",
    "EMBEDDED",
];

impl SyntaxError {
    fn has(&self, name: &str) -> bool {
        self.expected.iter().any(|e| e == name)
    }

    fn wants_closer(&self, opener: Tok) -> bool {
        let (_, closer) = brackets(opener);
        self.has(&format!("\"{closer}\""))
    }

    /// `expected …`, in at most four alternatives.
    fn expected_label(&self) -> String {
        let mut left: Vec<&str> = self.expected.iter().map(String::as_str).collect();
        left.retain(|e| !e.starts_with("ERROR") && *e != "\"; else\"" && *e != "\"return;\"");
        let mut parts: Vec<String> = Vec::new();
        let value = self.has("NUMBER") && self.has("IDENT");
        let stmt = self.has("\"while\"") && value;
        let item = self.has("\"probe\"") && self.has("\"global\"");
        let operator = self.has("COMPARE") && self.has("\"+\"");
        if item {
            parts.push("a probe, function or global".to_owned());
            left.retain(|e| !ITEM.contains(e) && *e != "\";\"");
        }
        if operator {
            left.retain(|e| !OPERATOR.contains(e) && *e != "\"call (\"");
        }
        if stmt {
            parts.push("a statement".to_owned());
            left.retain(|e| !VALUE.contains(e) && !STMT.contains(e) && *e != "\";\"");
        } else if value {
            parts.push("an expression".to_owned());
            left.retain(|e| !VALUE.contains(e));
        }
        let mut named: Vec<String> = left.into_iter().map(name).collect();
        named.dedup();
        parts.append(&mut named);
        if operator && parts.is_empty() {
            parts.push("an operator".to_owned());
        }
        parts.truncate(4);
        match parts.split_last() {
            None => "not expected here".to_owned(),
            Some((only, [])) => format!("expected {only}"),
            Some((last, others)) => format!("expected {} or {last}", others.join(", ")),
        }
    }
}

/// One terminal in words, by the grammar's name.
fn name(terminal: &str) -> String {
    match terminal {
        "IDENT" => "a name",
        "COMPONENT" | "\"point {\"" => "a probe point",
        "NUMBER" | "\"prefix -\"" => "a number",
        "STRING" => "a string literal",
        "CONTEXT" => "a context variable",
        "SUFFIX" => "'$'",
        "AT" => "an @operator",
        "EMBEDDED" => "embedded code",
        "COMPARE" | "SHIFT" | "ASSIGN_OP" | "REGEX" | "UNARY" => "an operator",
        "PREFIX_INC" | "POSTFIX_INC" => "'++'",
        "\"call (\"" => "'('",
        "\"index [\"" => "'['",
        quoted => return quoted.replace('"', "'"),
    }
    .to_owned()
}
