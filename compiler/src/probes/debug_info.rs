//! Points that only debug information (DWARF) could find and that rtap does not find there: it reads none of kernels, and
//! files and lines of programs. They are refused with the reason and what can be done instead.

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Arg, Component};

/// Where what is missing would be.
pub(super) fn note(of_kernel: bool) -> &'static str {
    if of_kernel {
        "that is in debug information (DWARF), which rtap does not read of kernels; the kernel's own description of its types, BTF, does not have it"
    } else {
        "that is in debug information (DWARF), of which rtap reads files and lines only"
    }
}

/// The refusal of a point that asks for source files or lines.
pub(super) fn no_source(
    of_kernel: bool,
    label: &str,
    note: String,
    help: String,
    span: Span,
) -> Diagnostic {
    let whose = if of_kernel {
        "the kernel's"
    } else {
        "a program's"
    };
    Diagnostic::error(
        codes::POINT_UNAVAILABLE,
        format!("which source file and line {whose} code comes from is not known"),
    )
    .label(span, label)
    .note(note)
    .help(help)
}

/// The refusal of a point with components that need debug information; `None` if it has none.
pub(crate) fn refusal(components: &[Component], span: Span) -> Option<Diagnostic> {
    let of_kernel = match &*components.first()?.name {
        "kernel" | "module" => true,
        "process" => false,
        _ => return None,
    };
    let any_instruction = if of_kernel {
        "kernel.statement(\"f+0x12\") and kernel.statement(ADDRESS).absolute probe any instruction, `rtap list` shows the functions there are"
    } else {
        "process(\"PATH\").statement(\"f@file.c:12\") probes any line, process(\"PATH\").statement(ADDRESS) any instruction"
    };
    let by_caller = if of_kernel {
        "probe the function that is called; in the handler caller() tells who called it"
    } else {
        "probe the function that is called; in the handler sprint_ubacktrace() tells who called it"
    };
    let (title, help) = components.iter().find_map(|component| {
        let wanted = match (&*component.name, &component.arg) {
            ("inline", None) => (
                "where functions have been inlined is not known",
                any_instruction,
            ),
            ("label", Some(Arg::Text(_))) => ("where labels are is not known", any_instruction),
            ("callee" | "callees", _) => {
                ("which functions a function calls is not known", by_caller)
            }
            ("statement", Some(Arg::Text(_))) | ("nearest", None) if of_kernel => {
                ("where lines of source are is not known", any_instruction)
            }
            _ => return None,
        };
        Some(wanted)
    })?;
    Some(
        Diagnostic::error(codes::POINT_UNAVAILABLE, title)
            .label(span, "this probe point")
            .note(note(of_kernel))
            .help(help),
    )
}
