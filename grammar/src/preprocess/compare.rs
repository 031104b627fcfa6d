//! How conditions compare text: as versions, and against wildcards.

use std::cmp::Ordering;

/// Compares texts that hold numbers as glibc's `strverscmp` does: runs of digits by value, those that
/// begin with 0 as fractions, the rest byte by byte.
pub(crate) fn versions(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let run_start = same
        - a[..same]
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit())
            .count();
    let digits_after = |s: &[u8]| s[same..].iter().take_while(|c| c.is_ascii_digit()).count();
    let (more_a, more_b) = (digits_after(a), digits_after(b));
    let bytes = a.get(same).cmp(&b.get(same));
    if more_a == 0 && more_b == 0 {
        return bytes;
    }
    let run = &a[run_start..same];
    let fraction = match run.first() {
        Some(first) => *first == b'0',
        None => a.get(same) == Some(&b'0') || b.get(same) == Some(&b'0'),
    };
    if !fraction {
        // A number only where both have one: either the run has begun before, or both go on.
        let both = !run.is_empty() || (more_a > 0 && more_b > 0);
        return if both {
            more_a.cmp(&more_b).then(bytes)
        } else {
            bytes
        };
    }
    if !run.is_empty() && run.iter().all(|c| *c == b'0') && (more_a == 0 || more_b == 0) {
        // After nothing but zeros, more digits make a smaller fraction: 00 < 01 < 0.
        return more_b.min(1).cmp(&more_a.min(1));
    }
    bytes
}

/// Whether `text` has characters that make it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `text` matches the shell pattern: `*`, `?`, `[a-z]`, `[!a]`; no escapes.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte later.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
        } else if let Some(length) = pattern.get(p..).and_then(|rest| matches_one(rest, text[t])) {
            p += length;
            t += 1;
        } else if let Some((after_star, from)) = retry {
            (p, t) = (after_star, from + 1);
            retry = Some((after_star, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// How much of the pattern matches the one byte; `None` if it does not.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match bracket(pattern, byte) {
            Some((length, true)) => Some(length),
            Some((_, false)) => None,
            None => (byte == b'[').then_some(1),
        },
        c => (c == byte).then_some(1),
    }
}

/// The length of the bracket expression that the pattern begins with and whether it matches; `None` if it
/// has no end.
fn bracket(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut found = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((at + 1, found != negated));
        }
        let range_end = match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => Some(high),
            _ => None,
        };
        found |= (low..=range_end.unwrap_or(low)).contains(&byte);
        at += if range_end.is_some() { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_strverscmp_does() {
        let sorted = ["000", "00", "01", "010", "09", "0", "1", "9", "10"];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(versions(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(versions("6.18.3", "2.6.32"), Ordering::Greater);
        assert_eq!(versions("2.6.9", "2.6.32"), Ordering::Less);
        assert_eq!(versions("2.6", "2.6.1"), Ordering::Less);
        assert_eq!(versions("3.10.0-123", "3.10.0-45"), Ordering::Greater);
        assert_eq!(versions("a", "a1"), Ordering::Less);
        assert_eq!(versions("", ""), Ordering::Equal);
    }

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("2.6.*", "2.6.32", true),
            ("2.6.*", "2.7", false),
            ("*a*b*", "xxaybz", true),
            ("*a*b", "xxaybz", false),
            ("[xi]386", "i386", true),
            ("[!x]386", "i386", true),
            ("[a-f]?", "c0", true),
            ("[]a]", "]", true),
            ("[a", "[a", true),
            ("s390?", "s390", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), want, "{pattern} {text}");
        }
        let (stars, text) = ("a*".repeat(1000), "a".repeat(20_000));
        assert!(!matches_pattern(&format!("{stars}b"), &text));
    }
}
