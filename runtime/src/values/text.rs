//! Script strings: immutable bytes, cheap to clone. Short ones (most: names, numbers) live
//! in the value itself, longer ones are counted references. Invariant: no byte is NUL, as a
//! script's strings end at one; except where the value is the record of a late string
//! ([`Text::record`]), which its LIR type tells.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

/// Longest string kept inline, bytes.
const INLINE: usize = 22;

/// A script string.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [u8; INLINE]),
    Heap(Rc<[u8]>),
}

impl Text {
    /// The empty string.
    pub const EMPTY: Text = Text(Repr::Inline(0, [0; INLINE]));

    /// The string of `bytes` up to the first NUL.
    pub fn new(bytes: &[u8]) -> Text {
        Text::whole(until_nul(bytes))
    }

    /// The string of `bytes` up to the first NUL, cut to at most `cap` bytes.
    pub fn cut(bytes: &[u8], cap: u32) -> Text {
        Text::new(&bytes[..bytes.len().min(cap as usize)])
    }

    /// Cut to at most `cap` bytes; shares the bytes when nothing is cut.
    #[must_use]
    pub fn into_cut(self, cap: u32) -> Text {
        if self.len() <= cap as usize {
            self
        } else {
            Text::whole(&self.as_bytes()[..cap as usize])
        }
    }

    /// The string's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// A late string's record. Zeros at its end are left out, so that records which differ
    /// in width only are equal.
    pub fn record(bytes: &[u8]) -> Text {
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        Text::whole(&bytes[..end])
    }

    /// Bytes known to hold no NUL.
    fn whole(bytes: &[u8]) -> Text {
        if bytes.len() <= INLINE {
            let mut inline = [0; INLINE];
            inline[..bytes.len()].copy_from_slice(bytes);
            Text(Repr::Inline(bytes.len() as u8, inline))
        } else {
            Text(Repr::Heap(bytes.into()))
        }
    }
}

/// The bytes before the first NUL.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    match bytes.iter().position(|b| *b == 0) {
        Some(end) => &bytes[..end],
        None => bytes,
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::EMPTY
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::new(text.as_bytes())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(bstr::BStr::new(self.as_bytes()), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(bstr::BStr::new(self.as_bytes()), f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_strings_behave_alike() {
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 600] {
            let bytes = vec![b'x'; len];
            let text = Text::new(&bytes);
            assert_eq!(text.as_bytes(), &bytes[..]);
            assert_eq!(text.clone(), text);
            assert_eq!(text.into_cut(5).len(), len.min(5));
        }
        assert!(Text::from("ab") < Text::from("b"));
    }

    #[test]
    fn a_string_ends_at_a_nul() {
        assert_eq!(Text::new(b"ab\0cd").as_bytes(), b"ab");
        assert_eq!(Text::cut(b"abcd", 3).as_bytes(), b"abc");
    }

    #[test]
    fn a_value_is_three_words() {
        assert_eq!(size_of::<super::super::Value>(), 24);
    }
}
