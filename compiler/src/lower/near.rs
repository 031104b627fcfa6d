//! What run-time errors name: `identifier 'x'`, `operator '/'`, as SystemTap does.

use rtap_grammar::source::Span;

use super::Lower;

impl Lower<'_> {
    /// The words for the token that a piece of source text begins with.
    pub(super) fn near(&self, span: Span) -> String {
        describe(self.files.slice(span))
    }

    /// The place of an operator that stands between two operands, or of the whole
    /// expression where it cannot be made out (macros).
    pub(super) fn between(&self, whole: Span, left: Span, right: Span, operator: char) -> Span {
        if left.file != right.file || left.end > right.start {
            return whole;
        }
        let gap = Span::new(left.file, left.end, right.start);
        match find_outside_comments(self.files.slice(gap), operator) {
            Some(at) => {
                let start = left.end + at;
                Span::new(left.file, start, start + 1)
            }
            None => whole,
        }
    }
}

/// The words for the first token of `text`.
fn describe(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let first = text.chars().next().unwrap_or(' ');
    let word = |from: usize| {
        let rest = &text[from..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        &text[..from + end]
    };
    match first {
        '@' => format!("operator '{}'", word(1)),
        '"' => "string".to_owned(),
        '0'..='9' => format!("number '{}'", word(0)),
        c if is_word(c) => {
            let word = word(0);
            match word {
                "while" | "for" | "foreach" | "if" | "return" | "next" | "delete" | "try" => {
                    "keyword".to_owned()
                }
                _ => format!("identifier '{word}'"),
            }
        }
        c if c.is_ascii_graphic() => format!("operator '{c}'"),
        _ => String::new(),
    }
}

/// Offset of `wanted` in `text`, not looking into comments.
fn find_outside_comments(text: &str, wanted: char) -> Option<u32> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"/*") {
            at += rest.windows(2).position(|w| w == b"*/")? + 2;
        } else if rest.starts_with(b"//") || rest[0] == b'#' {
            at += rest.iter().position(|b| *b == b'\n')?;
        } else if char::from(rest[0]) == wanted {
            return Some(at as u32);
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{describe, find_outside_comments};

    #[test]
    fn words_are_systemtaps() {
        assert_eq!(describe("x + 1"), "identifier 'x'");
        assert_eq!(describe("$a->b"), "identifier '$a'");
        assert_eq!(describe("@avg(x)"), "operator '@avg'");
        assert_eq!(describe("/ 2"), "operator '/'");
        assert_eq!(describe("while (1)"), "keyword");
        assert_eq!(describe("12 + 3"), "number '12'");
        assert_eq!(describe(""), "");
    }

    #[test]
    fn operators_are_found_between_comments() {
        assert_eq!(find_outside_comments(" / ", '/'), Some(1));
        assert_eq!(find_outside_comments(") /* / */ / (", '/'), Some(10));
        assert_eq!(find_outside_comments(" // %\n % ", '%'), Some(7));
        assert_eq!(find_outside_comments(" /* ", '%'), None);
    }
}
