//! Going on after a syntax error.
//!
//! The parser proper stops at the first error. What the error lies in is then replaced by an `Error`
//! terminal and the item is parsed again from its start, so that the next error found is one of its own:
//! in parentheses or brackets, what they hold; in a block, the statement; in a head, the head (the body is
//! still parsed); else the item. Each repair makes text that contains an `Error` terminal where the
//! grammar has one; errors that follow from it, or from bad tokens, are not reported.

use super::terminal::{Terminal, Tok};
use crate::source::Span;
use std::ops::Range;

/// What to replace by what.
#[derive(Debug)]
pub(super) struct Repair {
    pub(super) range: Range<usize>,
    pub(super) with: Vec<Tok>,
}

/// The repair of an error at `at`, which is the list's length if it ended too early.
pub(super) fn repair(list: &[Terminal], at: usize, last_stmt_end: usize) -> Repair {
    let mut open = open_brackets(list, at);
    if at == list.len() {
        return at_end(list, &open);
    }
    while let Some(opener) = open.pop() {
        let found = match list[opener].tok {
            Tok::LBrace => return in_block(list, at, opener, last_stmt_end),
            _ => in_brackets(list, at, opener),
        };
        if let Some(found) = found {
            return found;
        }
    }
    in_item(list, at)
}

/// Replaces everything.
pub(super) fn give_up(list: &[Terminal]) -> Repair {
    Repair {
        range: 0..list.len(),
        with: vec![Tok::ErrorItem],
    }
}

/// The opening brackets before `at` that are not closed before it.
pub(super) fn open_brackets(list: &[Terminal], at: usize) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    for (i, t) in list.iter().enumerate().take(at) {
        if t.tok.opens() {
            open.push(i);
        } else if t.tok.closes() && open.last().is_some_and(|&o| list[o].tok.closer() == t.tok) {
            open.pop();
        }
    }
    open
}

/// The text ended inside something: closes its blocks. If that is not enough, the next error will be at
/// one of the new braces.
fn at_end(list: &[Terminal], open: &[usize]) -> Repair {
    let with: Vec<Tok> = open
        .iter()
        .filter(|&&o| list[o].tok == Tok::LBrace)
        .map(|_| Tok::RBrace)
        .collect();
    if with.is_empty() {
        return give_up(list);
    }
    Repair {
        range: list.len()..list.len(),
        with,
    }
}

/// Whether brackets that were not closed before this token never will be.
fn ends_brackets(list: &[Terminal], at: usize, opener: usize) -> bool {
    let in_for = opener > 0 && list[opener - 1].tok == Tok::For;
    match list[at].tok {
        Tok::Semi => !in_for,
        Tok::LBrace | Tok::RBrace | Tok::Else | Tok::SemiElse => true,
        tok => tok.begins_stmt(),
    }
}

/// The bracket that closes `opener`, if it is found from `from` on before the statement must have ended.
/// Else where the statement must have ended.
pub(super) fn find_closer(list: &[Terminal], from: usize, opener: usize) -> Result<usize, usize> {
    let closer = list[opener].tok.closer();
    let mut inner: Vec<Tok> = Vec::new();
    let mut end = from;
    while let Some(t) = list.get(end) {
        if inner.is_empty() && t.tok == closer {
            return Ok(end);
        }
        if ends_brackets(list, end, opener) {
            break;
        }
        if t.tok.opens() {
            inner.push(t.tok.closer());
        } else if inner.last() == Some(&t.tok) {
            inner.pop();
        }
        end += 1;
    }
    Err(end)
}

/// Whether a new statement seems to begin here: on a new line, with a name or the like, and after something
/// that can end one.
fn seems_to_begin_stmt(list: &[Terminal], at: usize) -> bool {
    let begins = matches!(
        list[at].tok,
        Tok::Ident(_) | Tok::Context(_) | Tok::At(_) | Tok::PrefixInc(_) | Tok::Embedded(_)
    );
    begins && list[at].first_on_line && at > 0 && list[at - 1].tok.ends_value()
}

/// In `( … )`, `[ … ]` or the braces of a probe point: `Error` in place of what they hold. `None` if that
/// is so already.
fn in_brackets(list: &[Terminal], at: usize, opener: usize) -> Option<Repair> {
    let (end, with) = match find_closer(list, at, opener) {
        Ok(end) => (end, vec![Tok::Error]),
        Err(end) => {
            let end = (at..end)
                .find(|&i| seems_to_begin_stmt(list, i))
                .unwrap_or(end);
            (end, vec![Tok::Error, list[opener].tok.closer()])
        }
    };
    let held = &list[opener + 1..end];
    if with.len() == 1 && held.len() == 1 && held[0].tok == Tok::Error {
        return None;
    }
    Some(Repair {
        range: opener + 1..end,
        with,
    })
}

/// Where the statement that `at` lies in begins, at the latest known place. `block` is its `{`.
fn stmt_start(list: &[Terminal], at: usize, block: usize, last_stmt_end: usize) -> usize {
    let start = last_stmt_end.clamp(block + 1, at);
    // If the last statement lies in a block that has been closed since, what that belongs to is not
    // complete: `try { a }` without its `catch`.
    let mut depth = 0usize;
    for i in (block + 1..at).rev() {
        let tok = list[i].tok;
        if tok.closes() {
            depth += 1;
        } else if tok.opens() {
            depth = depth.saturating_sub(1);
            if depth == 0 && i < start {
                return if list[i - 1].tok == Tok::Try {
                    i - 1
                } else {
                    i
                };
            }
        }
        if depth == 0 && i <= start {
            break;
        }
    }
    start
}

/// Among statements: an `Error` statement in place of the one that `at` lies in.
fn in_block(list: &[Terminal], at: usize, block: usize, last_stmt_end: usize) -> Repair {
    let start = stmt_start(list, at, block, last_stmt_end);
    let mut end = stmt_end(list, at, start);
    let next = list.get(end).map(|t| t.tok);
    let head = list[start].tok;
    if next == Some(Tok::LBrace) && matches!(head, Tok::If | Tok::While | Tok::For | Tok::Foreach) {
        let keyword = if head == Tok::If { Tok::If } else { Tok::While };
        return Repair {
            range: start..end,
            with: vec![keyword, Tok::LParen, Tok::Error, Tok::RParen],
        };
    }
    if matches!(next, Some(Tok::Else | Tok::SemiElse)) {
        end += 1;
    }
    Repair {
        range: start..end,
        with: vec![Tok::ErrorStmt],
    }
}

/// Where the statement with an error at `at` ends, its semicolon included.
fn stmt_end(list: &[Terminal], at: usize, start: usize) -> usize {
    let mut i = at;
    if list[at].tok == Tok::LBrace {
        i = matching(list, at).map_or(list.len(), |m| m + 1);
    } else if at == start || !(list[at].tok.begins_stmt() || list[at].tok == Tok::RBrace) {
        i = at + 1;
        if matches!(list[at].tok, Tok::Semi | Tok::Else | Tok::SemiElse) {
            return i;
        }
    }
    while let Some(t) = list.get(i) {
        match t.tok {
            Tok::Semi | Tok::SemiElse | Tok::Else => return i + 1,
            Tok::RBrace | Tok::LBrace => return i,
            tok if tok.begins_stmt() => return i,
            _ if i > at && seems_to_begin_stmt(list, i) => return i,
            _ => i += 1,
        }
    }
    i
}

/// The closing bracket of an opening one.
fn matching(list: &[Terminal], opener: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, t) in list.iter().enumerate().skip(opener) {
        if t.tok.opens() {
            depth += 1;
        } else if t.tok.closes() {
            depth -= 1;
            if depth == 0 {
                return Some(i);
            }
        }
    }
    None
}

/// Outside all brackets: what follows a complete item is dropped; an item's head is made a probe's with an
/// `Error` for a point, if a body follows; else the item is lost.
fn in_item(list: &[Terminal], at: usize) -> Repair {
    let body = (at..list.len()).find(|&i| list[i].tok == Tok::LBrace);
    let past_body = list[..at]
        .iter()
        .any(|t| t.tok == Tok::RBrace || matches!(t.tok, Tok::Embedded(_)));
    if past_body {
        return Repair {
            range: at..list.len(),
            with: vec![Tok::ErrorItem],
        };
    }
    match (list[0].tok, body) {
        (Tok::Probe | Tok::Function | Tok::Private, Some(body)) if body > 0 => Repair {
            range: 0..body,
            with: vec![Tok::Probe, Tok::Error],
        },
        _ => give_up(list),
    }
}

/// Carries the repair out. New terminals get the place of what they replace.
pub(super) fn apply(list: &mut Vec<Terminal>, repair: Repair) {
    let Repair { range, with } = repair;
    let replaced = &list[range.clone()];
    let span = match (replaced.first(), replaced.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => list[..range.start]
            .last()
            .map_or(Span::NONE, |t| t.span.at_end()),
    };
    let new: Vec<Terminal> = with
        .into_iter()
        .map(|tok| Terminal {
            tok,
            span,
            first_on_line: false,
            flawed: true,
        })
        .collect();
    list.splice(range, new);
}
