//! Script arguments: `$1` and `@1` replaced by text before lexing.
//!
//! In: a script's text and the arguments of its command line. Out: the text with every `$N` replaced by
//! argument N as it stands, `@N` by it as a string literal, `$#` by the number of arguments and `@#` by
//! that as a string; and a map back to the places in the script. As in SystemTap this happens to
//! characters, where a token begins: an argument can be part of a token, or several tokens, and nothing is
//! replaced inside strings, comments, embedded code, or the text of an argument. What names an argument
//! that was not given stays as it is, for the lexer to complain about if it is used.

use std::ops::Range;

/// No argument makes a text longer than this. Bytes.
const MAX_SPLICED_BYTES: usize = 64 << 20;

/// A text with arguments put in.
#[derive(Debug)]
pub(crate) struct Spliced {
    /// The text.
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

/// A run of the spliced text.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where it starts in the spliced text.
    start: usize,
    /// Where it comes from: the offset of its first byte, or for an argument the place of the `$N`.
    from: Origin,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    Script { offset: u32 },
    Argument { start: u32, end: u32 },
}

/// Looks up places from front to back.
pub(crate) struct Places<'m> {
    pieces: &'m [Piece],
    at: usize,
}

impl Spliced {
    pub(super) fn places(&self) -> Places<'_> {
        Places {
            pieces: &self.pieces,
            at: 0,
        }
    }
}

impl Places<'_> {
    /// The bytes of the script that the given bytes of the spliced text come from. Ranges must come in
    /// the order in which they start.
    pub(super) fn locate(&mut self, range: Range<usize>) -> (u32, u32) {
        let start = self.offset(range.start).0;
        let mut probe = Places {
            pieces: self.pieces,
            at: self.at,
        };
        let end = probe.offset(range.end.saturating_sub(1).max(range.start)).1;
        (start, end.max(start))
    }

    /// Where the byte at `at` comes from, and where what it comes from ends.
    fn offset(&mut self, at: usize) -> (u32, u32) {
        while self.pieces.get(self.at + 1).is_some_and(|p| p.start <= at) {
            self.at += 1;
        }
        match self.pieces.get(self.at) {
            None => (0, 0),
            Some(&Piece {
                from: Origin::Argument { start, end },
                ..
            }) => (start, end),
            Some(&Piece {
                start,
                from: Origin::Script { offset },
            }) => {
                let offset = offset + (at - start) as u32;
                (offset, offset + 1)
            }
        }
    }
}

/// Where in the text the reader is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// A token may begin here.
    Start,
    /// In a name.
    Name,
    /// In a number.
    Number,
    /// In a string.
    String,
    /// To the end of the line.
    LineComment,
    /// To `*/`.
    BlockComment,
    /// To `%}`.
    Embedded,
}

/// Puts the arguments in. `None` if the text names none.
pub(crate) fn splice(text: &str, args: &[String]) -> Option<Spliced> {
    let bytes = text.as_bytes();
    let names_argument = |w: &[u8]| matches!(w, [b'$' | b'@', b'#' | b'0'..=b'9']);
    if !bytes.windows(2).any(names_argument) {
        return None;
    }
    let quoted: Vec<String> = args.iter().map(|a| quote(a)).collect();
    let count = (args.len().to_string(), quote(&args.len().to_string()));

    let mut out = Out::default();
    let mut state = State::Start;
    let mut at = 0;
    while at < bytes.len() {
        let here = &bytes[at..];
        if begins_token(state, here[0]) && names_argument(&here[..here.len().min(2)]) {
            let length = 1 + name_length(&here[1..]);
            let argument = argument(&text[at..at + length], args, &quoted, &count);
            if let Some(argument) =
                argument.filter(|a| out.text.len() + a.len() <= MAX_SPLICED_BYTES)
            {
                out.begin(Origin::Argument {
                    start: at as u32,
                    end: (at + length) as u32,
                });
                state = out.scan(state, argument.as_bytes());
            } else {
                out.begin(Origin::Script { offset: at as u32 });
                out.text.extend_from_slice(&here[..length]);
            }
            at += length;
            out.begin(Origin::Script { offset: at as u32 });
            continue;
        }
        if out.pieces.is_empty() {
            out.begin(Origin::Script { offset: at as u32 });
        }
        state = out.step(state, here[0]);
        at += 1;
    }
    let text = String::from_utf8(out.text)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Some(Spliced {
        text,
        pieces: out.pieces,
    })
}

/// Whether a `$` or `@` after what was read would begin a token.
fn begins_token(state: State, sigil: u8) -> bool {
    match state {
        State::Start | State::Number => true,
        State::Name => sigil == b'@',
        State::String | State::LineComment | State::BlockComment | State::Embedded => false,
    }
}

/// How long the number or `#` at the start is.
fn name_length(text: &[u8]) -> usize {
    match text {
        [b'#', ..] => 1,
        _ => text.iter().take_while(|b| b.is_ascii_digit()).count(),
    }
}

/// What to put in for `$1`, `@1`, `$#` or `@#`.
fn argument<'a>(
    name: &str,
    args: &'a [String],
    quoted: &'a [String],
    count: &'a (String, String),
) -> Option<&'a String> {
    let (sigil, name) = name.split_at(1);
    let as_string = sigil == "@";
    if name == "#" {
        return Some(if as_string { &count.1 } else { &count.0 });
    }
    let index = name.parse::<usize>().ok()?.checked_sub(1)?;
    if as_string {
        quoted.get(index)
    } else {
        args.get(index)
    }
}

/// A string literal with this value.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[derive(Default)]
struct Out {
    text: Vec<u8>,
    pieces: Vec<Piece>,
    /// The last byte was a backslash that takes the next one with it.
    escaped: bool,
    /// The byte before, if a two-byte opener could begin with it.
    previous: Option<u8>,
    /// Where the comment or embedded code began: its end cannot overlap its beginning.
    opened_at: usize,
}

impl Out {
    fn begin(&mut self, from: Origin) {
        self.pieces.push(Piece {
            start: self.text.len(),
            from,
        });
    }

    fn scan(&mut self, state: State, text: &[u8]) -> State {
        text.iter()
            .fold(state, |state, &byte| self.step(state, byte))
    }

    /// Appends a byte; the state after it.
    fn step(&mut self, state: State, byte: u8) -> State {
        let last = self.text.last().copied();
        self.text.push(byte);
        let closes = last.filter(|_| self.text.len() >= self.opened_at + 4);
        let next = match state {
            State::String => self.step_string(byte),
            State::LineComment if byte == b'\n' => State::Start,
            State::BlockComment if (closes, byte) == (Some(b'*'), b'/') => State::Start,
            State::Embedded if (closes, byte) == (Some(b'%'), b'}') => State::Start,
            State::LineComment | State::BlockComment | State::Embedded => state,
            State::Name if byte == b'$' => State::Name,
            State::Name | State::Number if byte.is_ascii_alphanumeric() || byte == b'_' => state,
            State::Start | State::Name | State::Number => {
                let next = self.step_start(byte);
                self.previous = Some(byte);
                return next;
            }
        };
        self.previous = None;
        next
    }

    fn step_string(&mut self, byte: u8) -> State {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' || byte == b'\n' {
            return State::Start;
        }
        State::String
    }

    /// The state after a byte that belongs to no name, string or comment before it.
    fn step_start(&mut self, byte: u8) -> State {
        match (self.previous, byte) {
            (_, b'"') => State::String,
            (_, b'#') | (Some(b'/'), b'/') => State::LineComment,
            (Some(b'/'), b'*') => self.open(State::BlockComment),
            (Some(b'%'), b'{') => self.open(State::Embedded),
            (_, b'0'..=b'9') => State::Number,
            (_, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | b'@') => State::Name,
            _ => State::Start,
        }
    }

    fn open(&mut self, state: State) -> State {
        self.opened_at = self.text.len() - 2;
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(text: &str, args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
        splice(text, &args).map_or_else(|| text.to_owned(), |s| s.text)
    }

    #[test]
    fn arguments_are_pasted_where_tokens_begin() {
        assert_eq!(spliced("a $1 @1 $# @#", &["x y"]), "a x y \"x y\" 1 \"1\"");
        assert_eq!(
            spliced("a$1 \"$1\" //$1\n/*$1*/ #$1\n%{$1%} 5$1", &["X"]),
            "a$1 \"$1\" //$1\n/*$1*/ #$1\n%{$1%} 5X"
        );
        assert_eq!(spliced("$1foo", &["ab"]), "abfoo");
        assert_eq!(spliced("@1", &["a\"b\\c\n"]), r#""a\"b\\c\n""#);
        assert_eq!(spliced("$1", &["$1"]), "$1", "not again");
        assert_eq!(spliced("$2 $1", &["a"]), "$2 a");
        assert_eq!(spliced("\"\\\"$1\" $1", &["a"]), "\"\\\"$1\" a");
        assert_eq!(spliced("/*/$1*/$1", &["a"]), "/*/$1*/a");
        assert_eq!(spliced("/**/$1", &["a"]), "/**/a");
        assert_eq!(spliced("1/$1", &["/ x"]), "1// x");
    }

    #[test]
    fn places_are_those_of_the_script() {
        let s = splice("ab $1 cd", &["xyz uvw".to_owned()]).expect("names an argument");
        assert_eq!(s.text, "ab xyz uvw cd");
        let at = |a, b| s.places().locate(a..b);
        assert_eq!(at(0, 2), (0, 2));
        assert_eq!(at(3, 6), (3, 5));
        assert_eq!(at(7, 10), (3, 5));
        assert_eq!(at(11, 13), (6, 8));
    }
}
