//! `kernel.data(ADDRESS|"SYMBOL").write` and `.rw`, with `.length(n)`: hardware breakpoints on data
//! of the kernel.
//!
//! A symbol's address is sought when the probe is attached: it differs from boot to boot.

use std::fmt::Write as _;
use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::{Arg, Candidate, Kind, Request, function, profile::SampleVars};
use crate::image::{Attach, DataAccess, DataPlace};
use crate::lir::{Context, Exec};
use crate::target::{Feature, suggest};

pub(super) const KIND: Kind = Kind {
    name: "breakpoint",
    forms: &[
        "kernel.data(string).write",
        "kernel.data(string).rw",
        "kernel.data(string).length(number).write",
        "kernel.data(string).length(number).rw",
        "kernel.data(string).write.length(number)",
        "kernel.data(string).rw.length(number)",
        "kernel.data(number).write",
        "kernel.data(number).rw",
        "kernel.data(number).length(number).write",
        "kernel.data(number).length(number).rw",
        "kernel.data(number).write.length(number)",
        "kernel.data(number).rw.length(number)",
    ],
    doc: "data of the kernel is written (rw: or read): by a hardware breakpoint, of which there are four",
    resolve,
};

/// Most bytes that x86-64 watches at once.
const MAX_LENGTH_BYTES: i64 = 8;

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    if !request.session.target.has(Feature::HardwareBreakpoint) {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                "this kernel has no hardware breakpoints",
            )
            .label(request.span, "this probe point")
            .note(function::feature_missing(
                request,
                Feature::HardwareBreakpoint,
            )),
        ));
    }
    let length_bytes = length_bytes(request)?;
    let place = place(request)?;
    let mut text = "kernel.data(".to_owned();
    match &place {
        DataPlace::Address(address) => _ = write!(text, "{address:#x})"),
        DataPlace::Symbol(name) => _ = write!(text, "\"{name}\")"),
    }
    if request.has("length") {
        let _ = write!(text, ".length({length_bytes})");
    }
    let access = if request.has("rw") {
        text.push_str(".rw");
        DataAccess::ReadWrite
    } else {
        text.push_str(".write");
        DataAccess::Write
    };
    Ok(vec![Candidate {
        text,
        function: String::new(),
        module: "kernel".to_owned(),
        attach: Attach::Breakpoint {
            place,
            access,
            length_bytes,
        },
        selector: None,
        exec: Exec::Kernel,
        context: Context::PerfEvent,
        vars: Rc::new(SampleVars),
        share: None,
        entry: None,
        condition: None,
    }])
}

/// How many bytes are watched, as a processor can: the least that are as many as asked for.
fn length_bytes(request: &Request<'_>) -> Result<u8, Box<Diagnostic>> {
    match request.number("length") {
        None => Ok(1),
        Some(wanted @ 1..=MAX_LENGTH_BYTES) => {
            let watched = (wanted as u64).next_power_of_two() as u8;
            if i64::from(watched) != wanted {
                let title = format!("{watched} bytes are watched in place of {wanted}");
                request.warn(
                    Diagnostic::warning(codes::MORE_WATCHED, title)
                        .label(request.span, "1, 2, 4 or 8 bytes can be watched"),
                );
            }
            Ok(watched)
        }
        Some(wanted) => {
            let title = format!("{wanted} bytes cannot be watched");
            Err(Box::new(
                Diagnostic::error(codes::BAD_POINT, title)
                    .label(request.span, "1, 2, 4 or 8 bytes can be watched"),
            ))
        }
    }
}

fn place(request: &Request<'_>) -> Result<DataPlace, Box<Diagnostic>> {
    let data = request.components.iter().find(|c| &*c.name == "data");
    let name = match data.and_then(|c| c.arg.as_ref()) {
        Some(Arg::Number(address)) => return Ok(DataPlace::Address(address.cast_unsigned())),
        Some(Arg::Text(name)) => name.clone(),
        None => String::new(),
    };
    let symbols = match request.session.target.symbols() {
        Ok(symbols) => symbols,
        Err(reason) => {
            let title = format!("the address of '{name}' is not known");
            let diag = reason.refusal(title, "this probe point", request.span);
            return Err(Box::new(diag));
        }
    };
    // Some data is filed among the code: jiffies is made by the linker's script.
    if symbols.by_name(&name).next().is_some() {
        return Ok(DataPlace::Symbol(name));
    }
    let diag = Diagnostic::error(codes::NO_SYMBOL, format!("the kernel has no data '{name}'"))
        .label(request.span, "no symbol has that name");
    let variables = symbols.iter().filter(|s| !s.is_function()).map(|s| s.name);
    let near = suggest(&name, variables, 3);
    let without_data = request
        .session
        .target
        .kconfig("CONFIG_KALLSYMS_ALL")
        .is_on();
    Err(Box::new(if !near.is_empty() {
        diag.help(format!("did you mean {}?", function::quoted(&near)))
    } else if without_data == Some(false) {
        diag.note("this kernel lists functions only: CONFIG_KALLSYMS_ALL is not set")
            .help("give the address: kernel.data(0xffff…).write")
    } else {
        diag.help("local variables cannot be watched; /proc/kallsyms lists what can be")
    }))
}
