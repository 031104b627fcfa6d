//! A line of LIR text, read from left to right.

use std::str::FromStr;

use bstr::BString;
use thiserror::Error;

use crate::lir::Ty;

/// Why text is no LIR.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected, and what stands there.
    pub message: String,
}

/// Result of reading something.
pub(super) type Read<T> = Result<T, ParseError>;

/// What is left of a line.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a line.
    pub(super) fn new(text: &'a str, line: usize) -> Self {
        let mut cursor = Cursor { rest: text, line };
        cursor.skip();
        cursor
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
        if self.rest.starts_with(';') {
            self.rest = "";
        }
    }

    /// An error here.
    pub(super) fn error<T>(&self, expected: &str) -> Read<T> {
        let there = if self.rest.is_empty() {
            "the end of the line"
        } else {
            self.rest
        };
        Err(ParseError {
            line: self.line,
            message: format!("expected {expected}, found {there}"),
        })
    }

    /// Whether the line is used up.
    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails unless the line is used up.
    pub(super) fn end(&self) -> Read<()> {
        if self.at_end() {
            Ok(())
        } else {
            self.error("the end of the line")
        }
    }

    /// Takes `text` if it comes next. Words are taken whole or not at all.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        let is_word = text.ends_with(word_char);
        if is_word && rest.starts_with(word_char) {
            return false;
        }
        self.rest = rest;
        self.skip();
        true
    }

    /// Takes `text`, which must come next.
    pub(super) fn expect(&mut self, text: &str) -> Read<()> {
        if self.eat(text) {
            Ok(())
        } else {
            self.error(&format!("`{text}`"))
        }
    }

    /// The next word (letters, digits, `_` and `.`), not taken.
    pub(super) fn peek_word(&self) -> &'a str {
        let end = self.rest.find(|c| !word_char(c));
        &self.rest[..end.unwrap_or(self.rest.len())]
    }

    /// Takes a word.
    pub(super) fn word(&mut self, expected: &str) -> Read<&'a str> {
        let word = self.peek_word();
        if word.is_empty() {
            return self.error(expected);
        }
        self.rest = &self.rest[word.len()..];
        self.skip();
        Ok(word)
    }

    /// Takes what stands before the next blank.
    pub(super) fn chunk(&mut self) -> &'a str {
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let chunk = &self.rest[..end];
        self.rest = &self.rest[end..];
        self.skip();
        chunk
    }

    /// Takes a number.
    pub(super) fn number<T: FromStr>(&mut self) -> Read<T> {
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let sign = self.rest.len() - digits.len();
        let text = &self.rest[..sign + end.unwrap_or(digits.len())];
        let Ok(number) = text.parse() else {
            return self.error("a number");
        };
        self.rest = &self.rest[text.len()..];
        self.skip();
        Ok(number)
    }

    /// Takes an entity such as `v7`, if one with that prefix comes next; gives its number.
    pub(super) fn eat_entity(&mut self, prefix: &str) -> Option<u32> {
        let word = self.peek_word();
        let number = word.strip_prefix(prefix)?.parse().ok()?;
        // Numbers of entities index vectors: keep bad input from making huge ones.
        if number >= 1 << 24 {
            return None;
        }
        self.rest = &self.rest[word.len()..];
        self.skip();
        Some(number)
    }

    /// Takes an entity with that prefix, which must come next.
    pub(super) fn entity(&mut self, prefix: &str) -> Read<u32> {
        match self.eat_entity(prefix) {
            Some(number) => Ok(number),
            None => self.error(&format!("`{prefix}` and a number")),
        }
    }

    /// Takes a quoted string.
    pub(super) fn quoted(&mut self) -> Read<BString> {
        let Some(body) = self.rest.strip_prefix('"') else {
            return self.error("a quoted string");
        };
        let mut bytes = Vec::new();
        let mut at = body.as_bytes().iter().copied().enumerate();
        loop {
            match at.next() {
                Some((i, b'"')) => {
                    self.rest = &body[i + 1..];
                    self.skip();
                    return Ok(bytes.into());
                }
                Some((_, b'\\')) => match at.next() {
                    Some((_, b'n')) => bytes.push(b'\n'),
                    Some((_, b't')) => bytes.push(b'\t'),
                    Some((i, b'x')) => {
                        let digits = body.get(i + 1..i + 3);
                        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                        let Some(byte) = byte else {
                            return self.error("two hexadecimal digits after `\\x`");
                        };
                        bytes.push(byte);
                        at.nth(1);
                    }
                    Some((_, byte)) => bytes.push(byte),
                    None => return self.error("a closing quote"),
                },
                Some((_, byte)) => bytes.push(byte),
                None => return self.error("a closing quote"),
            }
        }
    }

    /// Takes a quoted string of characters.
    pub(super) fn quoted_text(&mut self) -> Read<String> {
        Ok(self.quoted()?.to_string())
    }

    /// Takes items with commas between them, up to `close`, which is taken too.
    pub(super) fn list_until<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    /// Takes a type.
    pub(super) fn ty(&mut self) -> Read<Ty> {
        if self.eat("i64") {
            return Ok(Ty::I64);
        }
        let late = match self.peek_word() {
            "str" => false,
            "late" => true,
            _ => return self.error("a type"),
        };
        self.word("a type")?;
        self.expect("<")?;
        let cap = self.number()?;
        self.expect(">")?;
        Ok(Ty::Str { cap, late })
    }
}

fn word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}
