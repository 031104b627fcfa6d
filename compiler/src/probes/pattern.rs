//! Components of probe points, the forms that they match, and wildcards.

use rtap_grammar::ast::Name;
use rtap_grammar::source::Span;

/// A component: a name and perhaps an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The name; may hold `*`.
    pub name: Name,
    /// The argument in parentheses.
    pub arg: Option<Arg>,
    /// Its place.
    pub span: Span,
}

/// A component's argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number.
    Number(i64),
    /// A string; bytes that are not UTF-8 have become U+FFFD.
    Text(String),
}

impl Component {
    /// Whether the name holds wildcards.
    pub fn is_wild(&self) -> bool {
        self.name.contains('*')
    }

    /// The same, a module by the name that the kernel has for it.
    #[must_use]
    pub fn with_module_name(&self) -> Self {
        let mut same = self.clone();
        if let ("module", Some(Arg::Text(name))) = (&*same.name, &mut same.arg) {
            *name = module_name(name);
        }
        same
    }
}

/// A module's name, or a pattern of them, as the kernel has it: files' names may have `-` for `_`.
pub fn module_name(written: &str) -> String {
    let mut is_range = false;
    let one = |c: char| {
        is_range = c == '[' || is_range && c != ']';
        if c == '-' && !is_range { '_' } else { c }
    };
    written.chars().map(one).collect()
}

impl Arg {
    /// Whether there is what a form wants: nothing, a `number`, a `string`.
    fn fits(arg: Option<&Arg>, wanted: &str) -> bool {
        matches!(
            (arg, wanted),
            (None, "") | (Some(Arg::Number(_)), "number") | (Some(Arg::Text(_)), "string")
        )
    }
}

/// A part of a form: its name, and what its argument is, `""` for none.
fn part(text: &'static str) -> (&'static str, &'static str) {
    text.split_once('(')
        .map_or((text, ""), |(name, arg)| (name, arg.trim_end_matches(')')))
}

/// Components with wildcards, with the names that they have in a form; `None` if they do not match it. `*` is any
/// text in a name, `**` goes over several names without arguments, too.
pub(super) fn named(form: &'static str, components: &[Component]) -> Option<Vec<Component>> {
    let parts: Vec<(&str, &str)> = form.split('.').map(part).collect();
    let mut found = Vec::new();
    named_parts(&parts, components, &mut found).then_some(found)
}

fn named_parts(
    parts: &[(&'static str, &'static str)],
    components: &[Component],
    found: &mut Vec<Component>,
) -> bool {
    let Some((component, rest)) = components.split_first() else {
        return parts.is_empty();
    };
    let most = if component.name.contains("**") {
        parts.len()
    } else {
        parts.len().min(1)
    };
    for count in 1..=most {
        let (taken, left) = parts.split_at(count);
        let Some(((last, wanted), before)) = taken.split_last() else {
            return false;
        };
        if before.iter().any(|(_, wanted)| !wanted.is_empty()) {
            return false;
        }
        let names: Vec<&str> = taken.iter().map(|(name, _)| *name).collect();
        if !Arg::fits(component.arg.as_ref(), wanted) || !glob(&component.name, &names.join(".")) {
            continue;
        }
        let length = found.len();
        found.extend(before.iter().map(|(name, _)| Component {
            name: (*name).into(),
            arg: None,
            span: component.span,
        }));
        found.push(Component {
            name: (*last).into(),
            ..component.clone()
        });
        if named_parts(left, rest, found) {
            return true;
        }
        found.truncate(length);
    }
    false
}

/// Whether components are of a form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    OtherArguments,
    No,
}

/// Compares components with a form such as `timer.s(number)`.
pub(super) fn matches(form: &'static str, components: &[Component]) -> Fit {
    let parts = form.split('.').map(part);
    if parts.clone().count() != components.len() {
        return Fit::No;
    }
    let mut fit = Fit::Yes;
    for ((name, wanted), component) in parts.zip(components) {
        if !glob(&component.name, name) {
            return Fit::No;
        }
        if component.is_wild() || !Arg::fits(component.arg.as_ref(), wanted) {
            fit = Fit::OtherArguments;
        }
    }
    fit
}

/// Whether a name holds wildcards.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `text` matches `pattern` as a shell's file names do: `*`, `?`, `[a-z]`, `[!x]`.
/// Linear in text and pattern for all but the last `*` tried.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`: one more byte for it.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(p + 1),
            Some(b'[') => class(pattern, p, text[t]),
            Some(byte) if *byte == text[t] => Some(p + 1),
            _ => None,
        };
        if let Some(next) = step {
            p = next;
            t += 1;
        } else if let Some((after, from)) = retry {
            p = after;
            t = from + 1;
            retry = Some((after, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches a bracket expression that opens at `p`; results in the place after it.
fn class(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let mut at = p + 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let mut found = false;
    let first = at;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            break;
        }
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|b| *b != b']') {
            found |= (low..=pattern[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= low == byte;
            at += 1;
        }
    }
    (found != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_like_a_shell() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("vfs_*", "vfs_read", true),
            ("vfs_*", "xvfs_read", false),
            ("*read*", "vfs_readv", true),
            ("a?c", "abc", true),
            ("a[b-d]c", "acc", true),
            ("a[!b]c", "abc", false),
            ("a[]b]", "a]", true),
            ("[", "[", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(50), &"b".repeat(1000)));
    }

    #[test]
    fn modules_by_the_names_of_files() {
        assert_eq!(module_name("vsock-loopback"), "vsock_loopback");
        assert_eq!(module_name("snd-[a-h]*-intel"), "snd_[a-h]*_intel");
    }

    #[test]
    fn wildcards_name_points() {
        let component = |name: &str, arg: Option<i64>| Component {
            name: name.into(),
            arg: arg.map(Arg::Number),
            span: Span::NONE,
        };
        let shown = |form, components: &[Component]| {
            named(form, components).map(|found| {
                let one = |c: &Component| match &c.arg {
                    Some(Arg::Number(n)) => format!("{}({n})", c.name),
                    _ => c.name.to_string(),
                };
                found.iter().map(one).collect::<Vec<_>>().join(".")
            })
        };
        let timer = [component("timer", None), component("m*", Some(5))];
        assert_eq!(
            shown("timer.ms(number)", &timer).as_deref(),
            Some("timer.ms(5)")
        );
        assert_eq!(shown("timer.s(number)", &timer), None);
        assert_eq!(shown("timer.ms(number).randomize(number)", &timer), None);
        let bare = [component("timer", None), component("*", None)];
        assert_eq!(
            shown("timer.profile", &bare).as_deref(),
            Some("timer.profile")
        );
        assert_eq!(shown("timer.ms(number)", &bare), None);
        let all = [component("t**", None)];
        assert_eq!(
            shown("timer.profile.tick", &all).as_deref(),
            Some("timer.profile.tick")
        );
        assert_eq!(shown("timer.profile.freq.hz(number)", &all), None);
        let hz = [component("t**hz", Some(9))];
        assert_eq!(
            shown("timer.profile.freq.hz(number)", &hz).as_deref(),
            Some("timer.profile.freq.hz(9)")
        );
    }
}
