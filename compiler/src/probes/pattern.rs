//! Components of probe points, and the forms that they match.

use rtap_grammar::ast::Name;
use rtap_grammar::source::Span;

use crate::glob::glob;

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

/// How many components at the start are as a form has them.
pub(super) fn alike(form: &'static str, components: &[Component]) -> usize {
    let parts = form.split('.').map(part).zip(components);
    let alike = parts.take_while(|((name, wanted), component)| {
        glob(&component.name, name) && Arg::fits(component.arg.as_ref(), wanted)
    });
    alike.count()
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

#[cfg(test)]
mod tests {
    use super::*;

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
