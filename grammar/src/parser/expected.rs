//! Syntax errors in words.

use super::recover::{find_closer, open_brackets};
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
                && error.wants_closer(list[o].tok)
                && find_closer(list, error.at, o).is_err()
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
    let innermost = open.last().map(|&o| (list[o].tok, list[o].span));
    let has_partner = innermost.is_some_and(|(opener, _)| opener.closer() == terminal.tok);
    if terminal.tok.closes() && !has_partner {
        let d = Diagnostic::error(codes::UNOPENED_BRACKET, format!("{text} closes nothing"));
        return match innermost {
            None | Some((Tok::LBrace, _)) => d
                .label(terminal.span, "nothing that it could close is open")
                .help("remove it, or open it before"),
            Some((opener, place)) => {
                let (opened, closer) = brackets(opener);
                d.label(terminal.span, format!("expected '{closer}'"))
                    .secondary(place, format!("this '{opened}' is open"))
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
    if error.has("IDENT") && terminal.tok.is_keyword() {
        d = d.note(format!("{text} is a reserved word and cannot be a name"));
    }
    if let Some(before) = error.at.checked_sub(1).map(|i| &list[i]) {
        d = explain(d, before, terminal, files);
    }
    if error.at == 0 && error.has("\"probe\"") {
        d = d.help("a script consists of 'probe', 'function' and 'global' definitions");
    }
    d
}

/// Adds what the token before tells about the error.
fn explain(mut d: Diagnostic, before: &Terminal, at: &Terminal, files: &Files) -> Diagnostic {
    if matches!(before.tok, Tok::Match(_)) {
        d = d.note(
            "a regular expression is a string literal: it is compiled before the script runs",
        );
    }
    let assigns = matches!(at.tok, Tok::Assign | Tok::AssignOp(_) | Tok::AddAssign);
    let is_word = before.tok.is_keyword() && !matches!(before.tok, Tok::Return | Tok::Delete);
    if let (true, Some(word)) = (assigns && is_word, quoted(files, before.span)) {
        d = d.note(format!("{word} is a reserved word and cannot be a name"));
    }
    if before.span != at.span {
        if let Some((name, _)) = files.expansions(before.span).first() {
            d = d.secondary(
                before.span,
                format!("the text of macro '@{name}' is put in here"),
            );
        } else if files.slice(before.span).starts_with(['$', '@'])
            && !matches!(before.tok, Tok::Context(_) | Tok::At(_))
        {
            d = d.secondary(before.span, "the text of a script argument is put in here");
        }
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
        let value = self.has("NUMBER") && self.has("IDENT");
        let stmt = self.has("\"while\"") && value;
        let item = self.has("\"probe\"") && self.has("\"global\"");
        let operator = self.has("COMPARE") && self.has("\"+\"");
        let mut parts: Vec<String> = Vec::new();
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
        if item {
            left.retain(|e| !ITEM.contains(e) && *e != "\";\"");
        }
        // What ends or separates something is the likeliest.
        left.sort_by_key(|e| {
            !matches!(
                *e,
                "\")\"" | "\"]\"" | "\"}\"" | "\",\"" | "\";\"" | "\"{\""
            )
        });
        for part in left.into_iter().map(name) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.truncate(4);
        if item {
            let what = if self.at == 0 {
                "a probe, function or global"
            } else {
                "another definition"
            };
            parts.push(what.to_owned());
        }
        if operator && parts.is_empty() {
            parts.push("an operator".to_owned());
        }
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
