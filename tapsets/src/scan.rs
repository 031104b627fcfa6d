//! Finds what a tapset file defines, without parsing it: names of functions, globals, aliases
//! and macros at the top level. Used when this crate is built, for the embedded files, and
//! at run time for directories given by `-I`.
//!
//! Conditionals (`%( … %)`) are not decided: names in all their branches count. Private
//! functions and globals are left out, as no other file sees them. Never fails.

/// A definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `function name`
    Function,
    /// `global name`
    Global,
    /// `probe name = …`: the dotted name.
    Alias,
    /// `@define name`
    Macro,
}

/// Calls `found` for everything that `text` defines.
pub fn scan(text: &str, mut found: impl FnMut(Kind, &str)) {
    let tokens: Vec<&str> = Tokens { text, at: 0 }.collect();
    let word = |at: usize| tokens.get(at).copied().unwrap_or("");
    let mut depth = 0usize;
    let mut at = 0;
    while at < tokens.len() {
        match word(at) {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            "@" if word(at + 1) == "define" => {
                found(Kind::Macro, word(at + 2));
                // The body is skipped: what it mentions is not defined here.
                while at < tokens.len() && word(at) != "%(" {
                    at += 1;
                }
                let mut open = 0usize;
                while at < tokens.len() {
                    match word(at) {
                        "%(" => open += 1,
                        "%)" => open -= 1,
                        _ => {}
                    }
                    if open == 0 {
                        break;
                    }
                    at += 1;
                }
            }
            "private" => {
                at += usize::from(matches!(word(at + 1), "function" | "global"));
                at += 1;
            }
            "function" if is_word(word(at + 1)) => {
                found(Kind::Function, word(at + 1));
            }
            "global" => {
                at = globals(&tokens, at + 1, &mut found);
                continue;
            }
            "probe" => {
                at = aliases(&tokens, at + 1, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// `a, b[10]%, c = 1`; results in the place after.
fn globals(tokens: &[&str], mut at: usize, found: &mut impl FnMut(Kind, &str)) -> usize {
    loop {
        let Some(name) = tokens.get(at).filter(|t| is_word(t)) else {
            return at;
        };
        found(Kind::Global, name);
        at += 1;
        // Up to the comma before the next name.
        loop {
            match tokens.get(at) {
                Some(&",") => break,
                Some(&("%" | "[" | "]" | "=" | "-" | "\"")) => at += 1,
                Some(t) if t.starts_with(|c: char| c.is_ascii_digit()) => at += 1,
                _ => return at,
            }
        }
        at += 1;
    }
}

/// `a.b = c.d = …`; results in the place after the last name that is defined.
fn aliases(tokens: &[&str], mut at: usize, found: &mut impl FnMut(Kind, &str)) -> usize {
    loop {
        let mut name = String::new();
        let mut next = at;
        while let Some(part) = tokens.get(next).filter(|t| is_word(t)) {
            name.push_str(part);
            next += 1;
            if tokens.get(next) != Some(&".") {
                break;
            }
            name.push('.');
            next += 1;
        }
        let defines = matches!(tokens.get(next), Some(&("=" | "+=")));
        if name.is_empty() || !defines {
            return at;
        }
        found(Kind::Alias, &name);
        at = next + 1;
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Words, numbers and single marks; a string is the mark `"`. Comments and embedded code
/// are left out.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        let until = |from: usize, end: &str| {
            self.text
                .get(from..)
                .and_then(|rest| rest.find(end))
                .map_or(bytes.len(), |i| from + i + end.len())
        };
        loop {
            let start = self.at;
            let byte = *bytes.get(start)?;
            let two = bytes.get(start..start + 2).unwrap_or_default();
            if byte.is_ascii_whitespace() || !byte.is_ascii() {
                self.at += 1;
            } else if two == b"$#" || two == b"@#" {
                self.at = start + 2;
                return Some(&self.text[start..self.at]);
            } else if byte == b'#' || two == b"//" {
                self.at = until(start, "\n");
            } else if two == b"/*" {
                self.at = until(start + 2, "*/");
            } else if two == b"%{" {
                self.at = until(start + 2, "%}");
            } else if byte == b'"' {
                let mut end = start + 1;
                while end < bytes.len() && bytes[end] != b'"' && bytes[end] != b'\n' {
                    end += 1 + usize::from(bytes[end] == b'\\');
                }
                self.at = (end + 1).min(bytes.len());
                return Some("\"");
            } else if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' {
                let more = bytes[start..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b == b'$')
                    .count();
                self.at = start + more;
                return Some(&self.text[start..self.at]);
            } else {
                let len = usize::from(matches!(two, b"%(" | b"%)" | b"+=" | b"==")) + 1;
                self.at = start + len;
                return Some(&self.text[start..self.at]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Kind, String)> {
        let mut list = Vec::new();
        scan(text, |kind, name| list.push((kind, name.to_owned())));
        list
    }

    #[test]
    fn finds_definitions_at_the_top_level_only() {
        let text = "# function no()\n/* global no */ function f:long(a) { x = $#; global2 = 1; function_x() }\n\
                    global a, b[10], c%[5] = -3, d = \"x, y\"\nprivate function p() {}\nprivate q\n\
                    probe x.y = z.w = begin { probe_a = b }\nprobe v += syscall.open.return { }\n\
                    probe begin, end { x = 1 }\n%{ function no %}\n@define M(x) %( global no %)\nglobal e";
        let name = |k, n: &str| (k, n.to_owned());
        assert_eq!(
            all(text),
            [
                name(Kind::Function, "f"),
                name(Kind::Global, "a"),
                name(Kind::Global, "b"),
                name(Kind::Global, "c"),
                name(Kind::Global, "d"),
                name(Kind::Alias, "x.y"),
                name(Kind::Alias, "z.w"),
                name(Kind::Alias, "v"),
                name(Kind::Macro, "M"),
                name(Kind::Global, "e"),
            ]
        );
    }

    #[test]
    fn survives_anything() {
        for text in [
            "",
            "\"",
            "/*",
            "%{",
            "function",
            "probe",
            "global",
            "@define x %(",
            "{{{",
            "}}}",
            "é\u{0}\"\\",
        ] {
            all(text);
        }
    }
}
