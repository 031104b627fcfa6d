//! Points that need debug information (DWARF) that there is not, or of which rtap does not read what they need. They are
//! refused with the reason and what can be done instead.

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Arg, Component};
use crate::target::Unavailable;

/// What of it is read, for notes.
const READ: &str =
    "that is in debug information (DWARF), of which rtap reads labels and calls of the kernel only";

/// The refusal of a point that asks for source files or lines. `other` is what can be done without them.
pub(super) fn no_source(
    whose: &str,
    label: &str,
    why: &Unavailable,
    other: &str,
    span: Span,
) -> Diagnostic {
    Diagnostic::error(
        codes::POINT_UNAVAILABLE,
        format!("which source file and line {whose} code comes from is not known"),
    )
    .label(span, label)
    .note(why.to_string())
    .help(why.help().unwrap_or_else(|| other.to_owned()))
}

/// The refusal of a point that asks for what is in debug information, and what can be done without it.
pub(super) fn needed(title: &str, why: &Unavailable, other: &str, span: Span) -> Diagnostic {
    why.refusal(title, "this probe point", span).help(other)
}

/// The refusal of a point of a program with components that need debug information; `None` if it has none.
pub(crate) fn refusal(components: &[Component], span: Span) -> Option<Diagnostic> {
    if &*components.first()?.name != "process" {
        return None;
    }
    let (title, help) = components.iter().find_map(|component| {
        let wanted = match (&*component.name, &component.arg) {
            ("label", Some(Arg::Text(_))) => (
                "where labels are is not known",
                "process(\"PATH\").statement(\"f@file.c:12\") probes any line, process(\"PATH\").statement(ADDRESS) any instruction",
            ),
            ("callee" | "callees", _) => (
                "which functions a function calls is not known",
                "probe the function that is called; in the handler sprint_ubacktrace() tells who called it",
            ),
            _ => return None,
        };
        Some(wanted)
    })?;
    Some(
        Diagnostic::error(codes::POINT_UNAVAILABLE, title)
            .label(span, "this probe point")
            .note(READ)
            .help(help),
    )
}
