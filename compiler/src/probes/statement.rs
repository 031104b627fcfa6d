//! `kernel.statement(…)`, `module("m").statement(…)`, `kprobe.statement(…)`: an instruction of the kernel, by
//! kprobe. It is named by its function, `"f"` or `"f+0x12"`; by its address in vmlinux's symbol table; or, with
//! `.absolute`, by its address in the running kernel. The kernel sees to it that an instruction begins there.
//!
//! Parameters are where the calling convention puts them at the function's first instruction only.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::function::{self, Place, parameters};
use super::{Candidate, ContextVars, Kind, Request, debug_info, is_pattern, source};
use crate::image::{Attach, KernelFunction};
use crate::lir::{Context, Exec};
use crate::resolve::Cx;
use crate::target::Feature;

pub(super) const KIND: Kind = Kind {
    name: "statement",
    forms: &[
        "kernel.statement(string)",
        "kernel.statement(number)",
        "kernel.statement(number).absolute",
        "module(string).statement(string)",
        "module(string).statement(number)",
        "kprobe.statement(number).absolute",
    ],
    doc: "an instruction of the kernel: \"f+0x12\", or by address",
    resolve,
};

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    if !request.session.target.has(Feature::Kprobe) {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                "instructions cannot be probed on this kernel",
            )
            .label(request.span, "this probe point")
            .note(function::feature_missing(request, Feature::Kprobe)),
        ));
    }
    let (places, written) = match request.number("statement") {
        Some(number) => {
            let address = number.cast_unsigned();
            if request.has("absolute") {
                let text = format!("kernel.statement({address:#x}).absolute");
                (vec![function::running(request, address)?], text)
            } else if request.has("module") {
                return Err(Box::new(in_a_file(request)));
            } else {
                let text = format!("kernel.statement({address:#x})");
                (vec![function::linked(request, address)?], text)
            }
        }
        None => by_name(request, request.text("statement").unwrap_or_default())?,
    };
    let candidates = places
        .into_iter()
        .map(|place| candidate(request, place, &written));
    Ok(candidates.collect())
}

fn candidate(request: &Request<'_>, place: Place, written: &str) -> Candidate {
    let vars: Rc<dyn ContextVars> = if place.offset == 0 {
        parameters(request, &place)
    } else {
        Rc::new(Inside)
    };
    Candidate {
        text: written.to_owned(),
        function: place.name.clone(),
        module: place.module.clone().unwrap_or("kernel".to_owned()),
        attach: Attach::Kprobe {
            function: KernelFunction {
                name: place.name,
                module: place.module,
                btf_id: 0,
                address: place.address,
            },
            offset: place.offset,
        },
        selector: None,
        exec: Exec::Kernel,
        context: Context::Regs,
        vars,
        share: Some("kprobe".to_owned()),
        entry: None,
        condition: None,
    }
}

/// `"f"`, `"f+0x12"`: in each function of that name.
fn by_name(request: &Request<'_>, written: &str) -> Result<(Vec<Place>, String), Box<Diagnostic>> {
    let module = request.text("module").filter(|_| request.has("module"));
    let (name, offset) = written.split_once('+').unwrap_or((written, "0"));
    let help = "name the instruction: statement(\"f+0x12\"), the offset as a disassembler shows it";
    if written.contains('@') {
        let label = "names a line or file of the kernel's source";
        return Err(Box::new(debug_info::no_source(
            true,
            label,
            debug_info::note(true).to_owned(),
            help.to_owned(),
            request.span,
        )));
    }
    let (Some(offset), false) = (source::offset(offset), is_pattern(name)) else {
        return Err(source::no_instruction(written, help, request.span));
    };
    let places = function::inside(request, module, name, offset)?;
    let of = module.map_or("kernel".to_owned(), |m| format!("module(\"{m}\")"));
    let text = match offset {
        0 => format!("{of}.statement(\"{name}\")"),
        _ => format!("{of}.statement(\"{name}+{offset:#x}\")"),
    };
    Ok((places, text))
}

fn in_a_file(request: &Request<'_>) -> Diagnostic {
    Diagnostic::error(
        codes::POINT_UNAVAILABLE,
        "addresses in a module's file are not known",
    )
    .label(request.span, "this probe point")
    .note("rtap does not read modules' files, and each of their sections is loaded somewhere else")
    .help("name the function, statement(\"f+0x12\"), or take an address of /proc/kallsyms, kernel.statement(ADDRESS).absolute")
}

/// What handlers inside of a function see: registers.
struct Inside;

impl ContextVars for Inside {
    fn has_registers(&self) -> bool {
        true
    }

    fn remark(&self, _: &Cx<'_>, _: &str) -> Option<String> {
        Some(
            "where variables are inside of a function only debug information (DWARF) tells, which rtap does \
             not read of kernels; register(\"rax\") reads a register"
                .to_owned(),
        )
    }
}
