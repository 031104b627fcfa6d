//! `.label("PATTERN")`: labels in functions of the kernel, by debug information.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};

use super::super::locals::DebugVars;
use super::super::{Candidate, Request, debug_info, instruction, is_pattern, source};
use super::address;
use crate::dwarf::Query;
use crate::target::Fetch;

/// Where labels are, also of functions that have been inlined.
pub(super) fn labels(
    request: &Request<'_>,
    module: Option<&str>,
    place: &source::Place<'_>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    instruction::need_kprobes(request)?;
    let object = request.session.target.kernel_object(module, Fetch::Yes);
    let object = object.map_err(|why| {
        let help = "statement(\"f+0x12\") probes any instruction";
        let title = "where labels are is not known";
        Box::new(debug_info::needed(title, &why, help, request.span))
    })?;
    let query = Query {
        function: place.function,
        file: place.file.unwrap_or("*"),
        lines: &place.lines,
    };
    let pattern = request.text("label").unwrap_or("*");
    let refuse = |title: String, label: &str| {
        Diagnostic::error(codes::NO_KERNEL_FUNCTION, title).label(request.span, label)
    };
    let found = object.info.labels(&query, pattern, &*object);
    let labels = found.map_err(|why| {
        let title = "where labels are is not known".to_owned();
        Box::new(refuse(title, "this probe point").note(format!("{}: {why}", object.path)))
    })?;
    let of = module.map_or("kernel".to_owned(), |m| format!("module(\"{m}\")"));
    let mut out: Vec<Candidate> = Vec::new();
    for label in labels.found {
        let place = address::of_object(request, &object, module, &label.place)?;
        let Some(place) = place else { continue };
        let text = format!(
            "{of}.function({}).label(\"{}\")",
            label.place.shown(),
            label.name
        );
        let vars = DebugVars::of_source(&place, &label.place, &object);
        let function = label.place.function;
        out.push(instruction::candidate(place, text, function, Rc::new(vars)));
    }
    if !out.is_empty() {
        return Ok(out);
    }
    let function = place.function;
    if !labels.has_function {
        let whose = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
        let like = if is_pattern(function) { " like" } else { "" };
        let title = format!("{whose} has no function{like} '{function}'");
        let label = "its debug information has none of that name there";
        return Err(Box::new(refuse(title, label)));
    }
    let title = if is_pattern(function) {
        format!("no function like '{function}' has a label '{pattern}'")
    } else {
        format!("'{function}' has no label '{pattern}'")
    };
    let near = did_you_mean(pattern, labels.names.iter().map(String::as_str));
    Err(Box::new(
        refuse(title, "not among those that debug information has code of").help_if(near),
    ))
}
