//! `process("path")…`, `process(PID)…`, `process…`: probes of user programs and libraries.
//!
//! Which processes a point is for is [`subject`]'s part; what happens in them is that of the other
//! files here: functions, SDT marks, the life of processes.

mod function;
mod life;
mod mark;
mod source;
mod statement;
pub(super) mod subject;

use rtap_grammar::diag::{Diagnostic, codes};

use super::{Candidate, Kind, Request};
use crate::target::{Binary, Feature};

pub(super) const KIND: Kind = Kind {
    name: "process",
    forms: &[
        "process(string).function(string)",
        "process(string).function(string).call",
        "process(string).function(string).inline",
        "process(string).function(string).exported",
        "process(string).function(string).return",
        "process(string).plt",
        "process(string).plt.return",
        "process(string).plt(string)",
        "process(string).plt(string).return",
        "process(string).statement(string)",
        "process(string).statement(string).nearest",
        "process(string).statement(number)",
        "process(string).statement(number).absolute",
        "process(string).mark(string)",
        "process(string).provider(string).mark(string)",
        "process(number).function(string)",
        "process(number).function(string).call",
        "process(number).function(string).inline",
        "process(number).function(string).exported",
        "process(number).function(string).return",
        "process(number).plt",
        "process(number).plt.return",
        "process(number).plt(string)",
        "process(number).plt(string).return",
        "process(number).statement(string)",
        "process(number).statement(string).nearest",
        "process(number).statement(number)",
        "process(number).statement(number).absolute",
        "process(number).mark(string)",
        "process(number).provider(string).mark(string)",
        "process.function(string)",
        "process.function(string).call",
        "process.function(string).inline",
        "process.function(string).exported",
        "process.function(string).return",
        "process.plt",
        "process.plt.return",
        "process.plt(string)",
        "process.plt(string).return",
        "process.statement(string)",
        "process.statement(string).nearest",
        "process.statement(number)",
        "process.statement(number).absolute",
        "process.mark(string)",
        "process.provider(string).mark(string)",
        "process(string).library(string).function(string)",
        "process(string).library(string).function(string).call",
        "process(string).library(string).function(string).inline",
        "process(string).library(string).function(string).exported",
        "process(string).library(string).function(string).return",
        "process(string).library(string).plt",
        "process(string).library(string).plt.return",
        "process(string).library(string).plt(string)",
        "process(string).library(string).plt(string).return",
        "process(string).library(string).statement(string)",
        "process(string).library(string).statement(string).nearest",
        "process(string).library(string).statement(number)",
        "process(string).library(string).statement(number).absolute",
        "process(string).library(string).mark(string)",
        "process(string).library(string).provider(string).mark(string)",
        "process.library(string).function(string)",
        "process.library(string).function(string).call",
        "process.library(string).function(string).inline",
        "process.library(string).function(string).exported",
        "process.library(string).function(string).return",
        "process.library(string).plt",
        "process.library(string).plt.return",
        "process.library(string).plt(string)",
        "process.library(string).plt(string).return",
        "process.library(string).statement(string)",
        "process.library(string).statement(string).nearest",
        "process.library(string).statement(number)",
        "process.library(string).statement(number).absolute",
        "process.library(string).mark(string)",
        "process.library(string).provider(string).mark(string)",
        "process(string).begin",
        "process(string).end",
        "process(string).thread.begin",
        "process(string).thread.end",
        "process(string).syscall",
        "process(string).syscall.return",
        "process(string).**",
        "process(number).begin",
        "process(number).end",
        "process(number).thread.begin",
        "process(number).thread.end",
        "process(number).syscall",
        "process(number).syscall.return",
        "process(number).**",
        "process.begin",
        "process.end",
        "process.thread.begin",
        "process.thread.end",
        "process.syscall",
        "process.syscall.return",
        "process.**",
    ],
    doc: "functions, marks, life and system calls of programs",
    resolve,
};

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let subject = subject::find(request)?;
    let is_all = request.has("**");
    if !is_all && !subject::is_of_file(request) {
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
        if is_all {
            let functions = function::resolve(request, &subject, binary);
            found.extend(functions.into_iter().flatten());
            let marks = mark::resolve(request, &subject, binary);
            found.extend(marks.into_iter().flatten());
            continue;
        }
        let points = if request.has("mark") {
            mark::resolve(request, &subject, binary)
        } else if request.has("statement") {
            statement::resolve(request, &subject, binary)
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
