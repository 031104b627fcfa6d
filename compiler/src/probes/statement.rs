//! `kernel.statement(…)`, `module("m").statement(…)`, `kprobe.statement(…)`: an instruction of the kernel, by
//! kprobe. It is named by its function, `"f"` or `"f+0x12"`; by its place in source, `"f@file.c:12"`, if there is debug information; by its address in vmlinux's symbol table; or, with
//! `.absolute`, by its address in the running kernel. The kernel sees to it that an instruction begins there.
//!
//! At a function's first instruction parameters are where the calling convention puts them; elsewhere debug information tells
//! where they and local variables are.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::function::{self, Place, parameters};
use super::instruction;
use super::locals::DebugVars;
use super::source::Wanted;
use super::{Candidate, Kind, Request, is_pattern, source};
use crate::dwarf;
use crate::target::Fetch;

pub(super) const KIND: Kind = Kind {
    name: "statement",
    forms: &[
        "kernel.statement(string)",
        "kernel.statement(string).nearest",
        "kernel.statement(number)",
        "kernel.statement(number).absolute",
        "module(string).statement(string)",
        "module(string).statement(string).nearest",
        "module(string).statement(number)",
        "kprobe.statement(number).absolute",
    ],
    doc: "an instruction of the kernel: \"f@file.c:12\", \"f+0x12\", or by address",
    resolve,
};

/// A place, what names it in the point, and the function that it is in as the source has it.
struct Point {
    place: Place,
    shown: String,
    function: String,
    vars: DebugVars,
}

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    instruction::need_kprobes(request)?;
    let points = match request.number("statement") {
        Some(number) => vec![by_address(request, number.cast_unsigned())?],
        None => {
            let written = request.text("statement").unwrap_or_default();
            let place = source::Place::parse(written, request.span)?;
            if place.file.is_some() {
                by_source(request, &place)?
            } else {
                by_name(request, written)?
            }
        }
    };
    let of = match module(request) {
        Some(module) => format!("module(\"{module}\")"),
        None => "kernel".to_owned(),
    };
    let candidate = |point: Point| {
        // What has been inlined at the start has parameters of its own.
        let is_entry = point.place.offset == 0 && point.function == point.place.name;
        let described = is_entry
            .then(|| parameters(request, &point.place))
            .flatten();
        let vars = described.unwrap_or_else(|| Rc::new(point.vars));
        let text = format!("{of}.statement({}", point.shown);
        instruction::candidate(point.place, text, point.function, vars)
    };
    Ok(points.into_iter().map(candidate).collect())
}

fn module<'r>(request: &'r Request<'_>) -> Option<&'r str> {
    request.text("module").filter(|_| request.has("module"))
}

fn by_address(request: &Request<'_>, address: u64) -> Result<Point, Box<Diagnostic>> {
    let (place, end) = if request.has("absolute") {
        (function::running(request, address)?, ").absolute")
    } else if request.has("module") {
        return Err(Box::new(in_a_file(request)));
    } else {
        (function::linked(request, address)?, ")")
    };
    Ok(Point {
        vars: DebugVars::at(&place, (place.offset == 0).then_some(&*place.name)),
        function: place.name.clone(),
        place,
        shown: format!("{address:#x}{end}"),
    })
}

/// `"f@file.c:12"` and its like.
fn by_source(
    request: &Request<'_>,
    place: &source::Place<'_>,
) -> Result<Vec<Point>, Box<Diagnostic>> {
    let module = module(request);
    let object = function::object(
        request,
        module,
        "names a line or file of the kernel's source",
        Fetch::Yes,
    )?;
    let found = function::located(request, &object, module, place, Wanted::Statements)?;
    let point = |(of_source, place): (dwarf::Place, Place)| Point {
        shown: format!("{})", of_source.shown()),
        vars: DebugVars::of_source(&place, &of_source, &object),
        function: of_source.function,
        place,
    };
    Ok(found.into_iter().map(point).collect())
}

/// `"f"`, `"f+0x12"`: in each function of that name.
fn by_name(request: &Request<'_>, written: &str) -> Result<Vec<Point>, Box<Diagnostic>> {
    let (name, offset) = written.split_once('+').unwrap_or((written, "0"));
    let (Some(offset), false) = (source::offset(offset), is_pattern(name)) else {
        let help = "name the instruction: statement(\"f+0x12\"), the offset as a disassembler shows it, or the line: statement(\"f@file.c:12\")";
        return Err(source::no_instruction(written, help, request.span));
    };
    let places = function::inside(request, module(request), name, offset)?;
    let point = |place: Place| Point {
        shown: match offset {
            0 => format!("\"{name}\")"),
            _ => format!("\"{name}+{offset:#x}\")"),
        },
        vars: DebugVars::at(&place, Some(&place.name)),
        function: place.name.clone(),
        place,
    };
    Ok(places.into_iter().map(point).collect())
}

fn in_a_file(request: &Request<'_>) -> Diagnostic {
    Diagnostic::error(
        codes::POINT_UNAVAILABLE,
        "addresses in a module's file are not known",
    )
    .label(request.span, "this probe point")
    .note("a module's file has no addresses of its own: each of its sections is loaded somewhere else")
    .help("name the function, statement(\"f+0x12\"), or take an address of /proc/kallsyms, kernel.statement(ADDRESS).absolute")
}
