//! `process("path")…`, `process(PID)…`, `process…`: probes of user programs and libraries.
//!
//! Which processes a point is for is [`subject`]'s part; what happens in them is that of the other
//! files here: functions, SDT marks, the life of processes.

mod function;
mod life;
mod mark;
mod subject;

use rtap_grammar::diag::{Diagnostic, codes};

use super::{Candidate, Kind, Request};
use crate::target::{Binary, Feature};

pub(super) const KIND: Kind = Kind {
    name: "process",
    forms: &[
        "process(string).function(string)",
        "process(string).function(string).call",
        "process(string).function(string).return",
        "process(string).library(string).function(string)",
        "process(string).library(string).function(string).call",
        "process(string).library(string).function(string).return",
        "process(number).function(string)",
        "process(number).function(string).call",
        "process(number).function(string).return",
        "process.function(string)",
        "process.function(string).call",
        "process.function(string).return",
        "process.library(string).function(string)",
        "process.library(string).function(string).call",
        "process.library(string).function(string).return",
        "process(string).mark(string)",
        "process(string).provider(string).mark(string)",
        "process(string).library(string).mark(string)",
        "process(string).library(string).provider(string).mark(string)",
        "process(number).mark(string)",
        "process(number).provider(string).mark(string)",
        "process.mark(string)",
        "process.provider(string).mark(string)",
        "process.library(string).mark(string)",
        "process.library(string).provider(string).mark(string)",
        "process(string).begin",
        "process(number).begin",
        "process.begin",
        "process(string).end",
        "process(number).end",
        "process.end",
        "process(string).thread.begin",
        "process(number).thread.begin",
        "process.thread.begin",
        "process(string).thread.end",
        "process(number).thread.end",
        "process.thread.end",
        "process(string).syscall",
        "process(number).syscall",
        "process.syscall",
        "process(string).syscall.return",
        "process(number).syscall.return",
        "process.syscall.return",
    ],
    doc: "functions, marks, life and system calls of programs",
    resolve,
};

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let subject = subject::find(request)?;
    if !request.has("function") && !request.has("mark") {
        return life::resolve(request, &subject);
    }
    if !request.session.target.has(Feature::Uprobe) {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                "programs cannot be probed on this kernel",
            )
            .label(request.span, "this probe point")
            .note(super::function::feature_missing(request, Feature::Uprobe)),
        ));
    }
    let mut found = Vec::new();
    let mut problem = None;
    for binary in &subject.binaries {
        let points = if request.has("mark") {
            mark::resolve(request, &subject, binary)
        } else {
            function::resolve(request, &subject, binary)
        };
        match points {
            Ok(points) => found.extend(points),
            // Of the files that a wildcard means, some may have no such point.
            Err(diag) => problem = problem.or(Some(diag)),
        }
    }
    match problem {
        Some(diag) if found.is_empty() => Err(diag),
        _ => Ok(found),
    }
}

/// Names the libraries in which something that a program lacks may be.
fn elsewhere(diag: Diagnostic, binary: &Binary) -> Diagnostic {
    if binary.needed.is_empty() {
        return diag;
    }
    diag.note(format!(
        "it may be in a library that it uses: {}",
        binary.needed.join(", ")
    ))
}
