//! Regular expressions of scripts: POSIX extended ones without back-references, on bytes.
//!
//! Both executors go through [`translate`], so that they agree on what a pattern means. Facts,
//! observed in SystemTap: a match is leftmost-longest; `.` matches a newline too; `^` and
//! `$` are the ends of the string, not of a line; `\` before a letter stands for that
//! character; references to groups (`\1`) there are none.

use std::fmt::Write;

use thiserror::Error;

/// A pattern that is no extended regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct EreError {
    /// Where in the pattern, bytes.
    pub offset: usize,
    /// What is wrong.
    pub message: &'static str,
    /// What to write instead.
    pub help: &'static str,
}

/// How a character loses its meaning.
const AS_ITSELF: &str = "in front of a character that stands for itself write '\\\\'";

/// The most repetitions that a pattern can ask for (POSIX RE_DUP_MAX).
const MOST_REPEATS: u32 = 255;

/// The pattern as `regex-automata` takes it: to be parsed with [`syntax`].
pub fn translate(pattern: &[u8]) -> Result<String, EreError> {
    let mut cx = Cx {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() * 2),
        open: Vec::new(),
        repeatable: false,
    };
    while let Some(byte) = cx.peek() {
        cx.one(byte)?;
    }
    match cx.open.last() {
        Some(offset) => Err(EreError {
            offset: *offset,
            message: "unmatched `(`",
            help: AS_ITSELF,
        }),
        None => Ok(cx.out),
    }
}

/// How a translated pattern is to be parsed.
pub fn syntax() -> regex_automata::util::syntax::Config {
    regex_automata::util::syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
}

struct Cx<'a> {
    pattern: &'a [u8],
    at: usize,
    out: String,
    /// Offsets of the open parentheses.
    open: Vec<usize>,
    /// Whether something stands before that a repetition can follow.
    repeatable: bool,
}

impl Cx<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn fail<T>(
        &self,
        offset: usize,
        message: &'static str,
        help: &'static str,
    ) -> Result<T, EreError> {
        Err(EreError {
            offset,
            message,
            help,
        })
    }

    /// A literal byte.
    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.out, "\\x{byte:02x}");
        }
    }

    /// Translates what begins with `byte`.
    fn one(&mut self, byte: u8) -> Result<(), EreError> {
        let start = self.at;
        self.at += 1;
        let mut repeatable = true;
        match byte {
            b'*' | b'+' | b'?' if self.repeatable => {
                // A repetition of a repetition (`a**`) is allowed; the engine would read
                // `a+?` as a lazy one.
                self.wrap_last(char::from(byte));
            }
            b'*' | b'+' | b'?' => return self.fail(start, "nothing to repeat", AS_ITSELF),
            b'{' if self.repeatable => self.bounds(start)?,
            b'(' => {
                self.open.push(start);
                self.out.push('(');
                repeatable = false;
            }
            b')' => {
                if self.open.pop().is_none() {
                    return self.fail(start, "unmatched `)`", AS_ITSELF);
                }
                self.out.push(')');
            }
            b'|' => {
                self.out.push('|');
                repeatable = false;
            }
            b'^' => {
                self.out.push('^');
                repeatable = false;
            }
            b'$' => {
                self.out.push_str("\\z");
                repeatable = false;
            }
            b'.' => self.out.push('.'),
            b'[' => self.bracket(start)?,
            b'\\' => match self.peek() {
                Some(b'1'..=b'9') => {
                    return self.fail(
                        start,
                        "a reference to a group",
                        "compare the groups with matched() after the match",
                    );
                }
                Some(next) => {
                    self.at += 1;
                    self.literal(next);
                }
                None => return self.fail(start, "a `\\` at the end", AS_ITSELF),
            },
            _ => self.literal(byte),
        }
        self.repeatable = repeatable;
        Ok(())
    }

    /// Puts a repetition behind the last item. The item is already complete in the output; a
    /// group around it keeps `a+?` from meaning a lazy repetition.
    fn wrap_last(&mut self, operator: char) {
        if self.out.ends_with(['*', '+', '?', '}']) && !self.out.ends_with("\\}") {
            let start = self.last_item();
            self.out.insert_str(start, "(?:");
            self.out.push(')');
        }
        self.out.push(operator);
    }

    /// Where the last item begins in the output: an already repeated one.
    fn last_item(&self) -> usize {
        let bytes = self.out.as_bytes();
        let mut end = bytes.len();
        // Step over the repetition.
        end -= 1;
        if bytes.get(end) == Some(&b'}') {
            while end > 0 && bytes[end] != b'{' {
                end -= 1;
            }
        }
        match bytes.get(end.wrapping_sub(1)) {
            Some(b')' | b']') => {
                let (open, close) = if bytes[end - 1] == b')' {
                    (b'(', b')')
                } else {
                    (b'[', b']')
                };
                let mut depth = 0;
                let mut at = end;
                while at > 0 {
                    at -= 1;
                    if bytes[at] == close {
                        depth += 1;
                    } else if bytes[at] == open {
                        depth -= 1;
                        if depth == 0 {
                            break;
                        }
                    }
                }
                at
            }
            _ if end >= 4 && bytes[end - 4..].starts_with(b"\\x") => end - 4,
            _ => end.saturating_sub(1),
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`.
    fn bounds(&mut self, start: usize) -> Result<(), EreError> {
        let rest = &self.pattern[self.at..];
        let Some(length) = rest.iter().position(|b| *b == b'}') else {
            return self.fail(start, "unmatched `{`", AS_ITSELF);
        };
        let text = String::from_utf8_lossy(&rest[..length]).into_owned();
        let (low, high) = text.split_once(',').unwrap_or((&text, &text));
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= MOST_REPEATS);
        let valid = match (number(low), number(high)) {
            (Some(low), Some(high)) => low <= high,
            (Some(_), None) => high.is_empty(),
            (None, _) => false,
        };
        if !valid {
            return self.fail(
                start,
                "bounds of a repetition must be numbers up to 255, in order",
                "write {n}, {n,} or {least,most}",
            );
        }
        self.at += length + 1;
        self.wrap_last('{');
        self.out.push_str(&text);
        self.out.push('}');
        Ok(())
    }

    /// `[…]`.
    fn bracket(&mut self, start: usize) -> Result<(), EreError> {
        self.out.push('[');
        if self.peek() == Some(b'^') {
            self.at += 1;
            self.out.push('^');
        }
        let first = self.at;
        loop {
            let Some(byte) = self.peek() else {
                return self.fail(start, "unmatched `[`", "close it with `]`");
            };
            if byte == b']' && self.at > first {
                self.at += 1;
                self.out.push(']');
                return Ok(());
            }
            if byte == b'[' && self.pattern.get(self.at + 1) == Some(&b':') {
                self.class()?;
                continue;
            }
            let low = self.member(start)?;
            let is_range = self.peek() == Some(b'-')
                && self.pattern.get(self.at + 1).is_some_and(|b| *b != b']');
            // Writing to a string cannot fail.
            let _ = write!(self.out, "\\x{low:02x}");
            if is_range {
                self.at += 1;
                let high = self.member(start)?;
                if high < low {
                    return self.fail(
                        start,
                        "a range whose end is before its start",
                        "write the lower character first",
                    );
                }
                let _ = write!(self.out, "-\\x{high:02x}");
            }
        }
    }

    /// One character of a bracket expression, also as `[.x.]` or `[=x=]`.
    fn member(&mut self, start: usize) -> Result<u8, EreError> {
        if let Some([b'[', mark @ (b'.' | b'='), byte, end, b']']) =
            self.pattern.get(self.at..self.at + 5)
            && mark == end
        {
            self.at += 5;
            return Ok(*byte);
        }
        let Some(byte) = self.peek() else {
            return self.fail(start, "unmatched `[`", "close it with `]`");
        };
        self.at += 1;
        Ok(byte)
    }

    /// `[:alpha:]` inside a bracket expression.
    fn class(&mut self) -> Result<(), EreError> {
        const CLASSES: [&str; 12] = [
            "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "xdigit",
        ];
        let rest = &self.pattern[self.at + 2..];
        for name in CLASSES {
            if rest.starts_with(name.as_bytes()) && rest[name.len()..].starts_with(b":]") {
                self.at += name.len() + 4;
                let _ = write!(self.out, "[:{name}:]");
                return Ok(());
            }
        }
        self.fail(
            self.at,
            "no such class of characters",
            "there are alnum alpha blank cntrl digit graph lower print punct space upper xdigit",
        )
    }
}

#[cfg(test)]
mod tests {
    use regex_automata::nfa::thompson::NFA;

    use super::*;

    fn error(pattern: &str) -> &'static str {
        translate(pattern.as_bytes()).unwrap_err().message
    }

    #[test]
    fn what_is_translated_parses() {
        let patterns = [
            "",
            "a",
            "ab|cd",
            "(a|b)*c",
            "a{2,3}",
            "a{2,}",
            "a{2}",
            "[]a]",
            "[a-]",
            "[^]-a]",
            "[a-z0-9_]+",
            "[[:alpha:][:digit:]_]*",
            "^$",
            "a.b",
            "\\.",
            "\\d",
            "x**",
            "(ab)+?",
            "[[.a.]]",
            "[\\]",
            "a+?",
            "[a&&b]",
            "[[]",
            "a{1}{2}",
            "(a|b){2}*",
            "\\(\\)",
            "-",
            "#",
            " ",
            "(^a|b$)",
        ];
        for pattern in patterns {
            let text = translate(pattern.as_bytes()).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            let compiled = NFA::compiler().syntax(syntax()).build(&text);
            assert!(compiled.is_ok(), "{pattern} -> {text}: {compiled:?}");
        }
    }

    #[test]
    fn repetitions_of_repetitions_are_not_lazy() {
        assert_eq!(translate(b"a+?").unwrap(), "(?:a+)?");
        assert_eq!(translate(b".a{2}*").unwrap(), ".(?:a{2})*");
        assert_eq!(translate(b"x(ab)*+").unwrap(), "x(?:(ab)*)+");
        assert_eq!(translate(b"x-*+").unwrap(), "x(?:\\x2d*)+");
    }

    #[test]
    fn mistakes() {
        assert_eq!(error("(a"), "unmatched `(`");
        assert_eq!(error("a)"), "unmatched `)`");
        assert_eq!(error("[a"), "unmatched `[`");
        assert_eq!(error("a{2"), "unmatched `{`");
        for pattern in ["+a", "*a", "(*a)", "a|*", "^*", "a$?", "(?:a)"] {
            assert_eq!(error(pattern), "nothing to repeat", "{pattern}");
        }
        assert_eq!(error("(a)\\1"), "a reference to a group");
        assert_eq!(error("a\\"), "a `\\` at the end");
        assert_eq!(error("[[:none:]]"), "no such class of characters");
        assert_eq!(error("[b-a]"), "a range whose end is before its start");
        assert!(translate(b"a{3,2}").is_err() && translate(b"a{999}").is_err());
    }

    #[test]
    fn any_bytes_give_a_pattern_or_an_error() {
        let mut state = 1_u64;
        let alphabet = b"ab()[]{}|*+?.^$\\-:,12\xff ";
        for _ in 0..5000 {
            let pattern: Vec<u8> = (0..8)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    alphabet[(state >> 33) as usize % alphabet.len()]
                })
                .collect();
            if let Ok(text) = translate(&pattern) {
                let built = NFA::compiler().syntax(syntax()).build(&text);
                assert!(
                    built.is_ok(),
                    "{:?} -> {text}: {built:?}",
                    bstr::BStr::new(&pattern)
                );
            }
        }
    }
}
