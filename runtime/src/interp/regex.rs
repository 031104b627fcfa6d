//! Regular expressions with sub-matches.
//!
//! The whole match is the leftmost-longest one; the sub-matches are those of the first way, in
//! the pattern's order, that matches just that (observed).

use regex_automata::nfa::thompson::{self, NFA, pikevm::PikeVM};
use regex_automata::{Anchored, Input, MatchKind, Span};
use rtap_compiler::lir::ere;

use crate::values::Text;

/// The most memory that a compiled pattern may take, bytes.
const SIZE_LIMIT: usize = 16 << 20;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Regex {
    /// Finds where the leftmost match begins.
    first: PikeVM,
    /// Finds where the longest match from there ends.
    longest: PikeVM,
    /// Finds the groups of a match whose both ends are known, the latter the text's.
    whole: PikeVM,
    /// The same for one that ends before: no `$` holds there.
    inner: PikeVM,
    groups: usize,
}

/// What searching needs besides the pattern.
#[derive(Debug)]
pub(super) struct RegexCache {
    first: thompson::pikevm::Cache,
    longest: thompson::pikevm::Cache,
    whole: thompson::pikevm::Cache,
    inner: thompson::pikevm::Cache,
}

/// Sub-matches of the last successful match.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    text: Text,
    spans: Vec<Option<Span>>,
}

impl Groups {
    /// How many there are, the whole match included; 0 when nothing matched yet.
    pub fn count(&self) -> i64 {
        self.spans.len() as i64
    }

    /// The text of a group, "" if it took no part; `None` if there is no such group.
    pub fn get(&self, group: i64) -> Option<&[u8]> {
        let span = self.spans.get(usize::try_from(group).ok()?)?;
        Some(span.map_or(b"".as_slice(), |span| &self.text[span.start..span.end]))
    }
}

impl Regex {
    /// Compiles a pattern of a script.
    pub fn new(pattern: &[u8]) -> Result<Regex, String> {
        let text = ere::translate(pattern).map_err(|error| error.to_string())?;
        let build = |text: &str, kind: MatchKind| -> Result<PikeVM, String> {
            let nfa = NFA::compiler()
                .syntax(ere::syntax())
                .configure(NFA::config().utf8(false).nfa_size_limit(Some(SIZE_LIMIT)))
                .build(text)
                .map_err(|error| error.to_string())?;
            PikeVM::builder()
                .configure(PikeVM::config().match_kind(kind))
                .build_from_nfa(nfa)
                .map_err(|error| error.to_string())
        };
        let first = build(&text, MatchKind::LeftmostFirst)?;
        let longest = build(&text, MatchKind::All)?;
        let whole = build(&format!("(?:{text})\\z"), MatchKind::LeftmostFirst)?;
        // A `$` is all that is ever translated to this; what matches nothing takes its place.
        let open = text.replace("\\z", "[a&&b]");
        let inner = build(&format!("(?:{open})\\z"), MatchKind::LeftmostFirst)?;
        Ok(Regex {
            groups: whole
                .get_nfa()
                .group_info()
                .group_len(regex_automata::PatternID::ZERO),
            first,
            longest,
            whole,
            inner,
        })
    }

    /// Most bytes of all the patterns of a program together.
    pub const MOST_BYTES: usize = 16 * SIZE_LIMIT;

    /// Compiles a pattern of which there are others; `room` is what they have left of the memory.
    pub fn within(room: &mut usize, pattern: &[u8]) -> Result<Regex, String> {
        let regex = Regex::new(pattern)?;
        let left = room.checked_sub(regex.bytes());
        *room = left.ok_or("it and those before it are too large together")?;
        Ok(regex)
    }

    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        let automata = [&self.first, &self.longest, &self.whole, &self.inner];
        automata.map(|vm| vm.get_nfa().memory_usage()).iter().sum()
    }

    /// What searches for it need.
    pub fn cache(&self) -> RegexCache {
        RegexCache {
            first: self.first.create_cache(),
            longest: self.longest.create_cache(),
            whole: self.whole.create_cache(),
            inner: self.inner.create_cache(),
        }
    }

    /// The sub-matches, if it matches anywhere.
    pub fn find(&self, cache: &mut RegexCache, text: &Text) -> Option<Groups> {
        let mut slots = [None, None];
        self.first
            .search_slots(&mut cache.first, &Input::new(&**text), &mut slots);
        let [Some(start), Some(end)] = slots else {
            return None;
        };
        let (start, mut end) = (start.get(), end.get());
        let input = Input::new(&**text)
            .span(start..text.len())
            .anchored(Anchored::Yes);
        let mut slots = [None, None];
        self.longest
            .search_slots(&mut cache.longest, &input, &mut slots);
        if let [_, Some(longest)] = slots {
            end = end.max(longest.get());
        }
        let mut slots = vec![None; self.groups * 2];
        let input = Input::new(&text[..end])
            .span(start..end)
            .anchored(Anchored::Yes);
        if end == text.len() {
            self.whole
                .search_slots(&mut cache.whole, &input, &mut slots);
        } else {
            self.inner
                .search_slots(&mut cache.inner, &input, &mut slots);
        }
        let mut spans: Vec<Option<Span>> = slots
            .chunks_exact(2)
            .map(|pair| match pair {
                [Some(start), Some(end)] => Some(Span {
                    start: start.get(),
                    end: end.get(),
                }),
                _ => None,
            })
            .collect();
        if let Some(whole) = spans.first_mut() {
            *whole = Some(Span { start, end });
        }
        Some(Groups {
            text: text.clone(),
            spans,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str, pattern: &str) -> Option<Vec<String>> {
        let regex = Regex::new(pattern.as_bytes()).unwrap();
        let found = regex.find(&mut regex.cache(), &Text::from(text))?;
        let group = |n| String::from_utf8(found.get(n).unwrap().to_vec()).unwrap();
        Some((0..found.count()).map(group).collect())
    }

    macro_rules! found {
        ($($text:literal =~ $pattern:literal: $expected:expr;)*) => {
            $(assert_eq!(groups($text, $pattern).as_deref(),
                Some(&$expected.map(str::to_owned)[..]), "{}", $pattern);)*
        };
    }

    #[test]
    fn all_of_a_program_have_a_limit() {
        let mut room = 2 * Regex::new(b"a{100}").unwrap().bytes();
        for _ in 0..2 {
            assert!(Regex::within(&mut room, b"a{100}").is_ok());
        }
        let error = Regex::within(&mut room, b"a").unwrap_err();
        assert_eq!(error, "it and those before it are too large together");
    }

    #[test]
    fn as_observed() {
        found! {
            "abcd" =~ "ab|abcd": ["abcd"];
            "abcd" =~ "(ab|abcd)": ["abcd", "abcd"];
            "aaa" =~ "a*": ["aaa"];
            "xaaay" =~ "a+": ["aaa"];
            "foobar" =~ "(foo|foob)(ar|bar)": ["foobar", "foo", "bar"];
            "ab" =~ "(a)|(b)": ["a", "a", ""];
            "abab" =~ "(ab)*": ["abab", "ab"];
            "abcd" =~ "a(b|bc)(c?)d*": ["abcd", "b", "c"];
            "a-b" =~ "a[[:punct:]]b$": ["a-b"];
            "xab" =~ "((a$)|a)": ["a", "a", ""];
            "xa" =~ "((a$)|a)": ["a", "a", "a"];
            "a\nb" =~ "a.b": ["a\nb"];
            "aaa" =~ "^a{2,3}$": ["aaa"];
            "" =~ "^$": [""];
        }
        assert_eq!(groups("line1\nline2", "^line2"), None);
        assert_eq!(groups("line1\nline2", "line1$"), None);
        assert_eq!(groups("aaaa", "^a{2,3}$"), None);
    }

    #[test]
    fn bytes_that_are_no_text() {
        let regex = Regex::new(b"^.\xe4[\x80-\xff]$").unwrap();
        let mut cache = regex.cache();
        assert!(
            regex
                .find(&mut cache, &Text::new(b"\xff\xe4\x90"))
                .is_some()
        );
        assert!(
            regex
                .find(&mut cache, &Text::new(b"\xff\xe5\x90"))
                .is_none()
        );
    }

    #[test]
    fn a_pattern_that_explodes_is_refused() {
        assert!(Regex::new(b"((((a{255}){255}){255}){255})").is_err());
    }
}
