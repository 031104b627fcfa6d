//! The four walks, done here.

use super::{Captures, FLAG_BITS};

const NUMBER: u16 = (1 << FLAG_BITS) - 1;

/// Texts of the groups, if it matches.
fn find(pattern: &str, text: &str) -> Option<Vec<String>> {
    let tables = Captures::new(pattern.as_bytes()).expect("small tables");
    let bytes = text.as_bytes();
    let class = |at: usize| usize::from(tables.classes[usize::from(bytes[at])]);
    let step = |next: &[u16], state: u16, at: usize| {
        next[(usize::from(state & NUMBER) << tables.shift) + class(at)]
    };
    let holds = |state: u16, at_edge: bool| state >> (FLAG_BITS + u32::from(at_edge)) & 1 == 1;

    let mut state = tables.back.begin[2];
    let mut start = None;
    for at in (0..=bytes.len()).rev() {
        if at < bytes.len() {
            state = step(&tables.back.next, state, at);
        }
        if holds(state, at == 0) {
            start = Some(at);
        }
    }
    let start = start?;
    let mut state = tables.forward.begin[usize::from(start == 0)];
    let mut end = start;
    for at in start..=bytes.len() {
        if holds(state, at == bytes.len()) {
            end = at;
        }
        if at < bytes.len() {
            state = step(&tables.forward.next, state, at);
        }
    }
    let mut state = tables.back.begin[usize::from(end == bytes.len())];
    let mut trail = vec![state; bytes.len() + 1];
    for at in (start..end).rev() {
        state = step(&tables.back.next, state, at);
        trail[at] = state;
    }
    let mut slots = vec![usize::MAX; tables.groups * 2];
    (slots[0], slots[1]) = (start, end);
    let mut row = usize::from(start > 0);
    for (at, state) in trail.iter().enumerate().take(end + 1).skip(start) {
        let entry = tables.choose[(row << tables.choose_shift) + usize::from(state & NUMBER)];
        for (slot, place) in slots.iter_mut().enumerate() {
            if tables.actions[(entry >> 16) as usize] >> slot & 1 == 1 {
                *place = at;
            }
        }
        if entry & 0xffff == 0 {
            assert_eq!(at, end);
            break;
        }
        row = usize::from(tables.follow[((entry & 0xffff) as usize) << tables.shift | class(at)]);
    }
    let group = |ends: &[usize]| text.get(ends[0]..ends[1]).unwrap_or_default().to_owned();
    Some(slots.chunks(2).map(group).collect())
}

macro_rules! found {
    ($($text:literal =~ $pattern:literal: $expected:expr;)*) => {
        $(assert_eq!(find($pattern, $text).as_deref(),
            Some(&$expected.map(str::to_owned)[..]), "{}", $pattern);)*
    };
}

#[test]
fn groups_as_observed() {
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
        "key=value" =~ "^([a-z]+)=(.*)$": ["key=value", "key", "value"];
        "xkey=" =~ "(k.y)=(.*)$": ["key=", "key", ""];
        "aaa" =~ "^a{2,3}$": ["aaa"];
        "xab" =~ "(a$)|(ab)": ["ab", "", "ab"];
        "xa" =~ "(a$)|(ab)": ["a", "a", ""];
        "xab" =~ "((a$)|a)": ["a", "a", ""];
        "" =~ "^$": [""];
        "" =~ "()": ["", ""];
    }
    assert_eq!(find("^line2", "line1\nline2"), None);
    assert_eq!(find("line1$", "line1\nline2"), None);
    assert_eq!(find("^a{2,3}$", "aaaa"), None);
}

#[test]
fn what_explodes_is_refused() {
    assert!(Captures::new(b"(a|b)*a(a|b){14}").is_none());
    assert!(Captures::new(b"((((a{255}){255}){255}){255})").is_none());
}
