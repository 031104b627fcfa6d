//! `kernel.function("f")`, `module("m").function("f")`, `kprobe.function("f")` with `.call`,
//! `.return`, `.maxactive(n)`, `.label("l")`, `.callee("g")`: functions of the kernel, by trampoline (fentry, fexit) or by
//! kprobe and kretprobe.
//!
//! Trampolines come first: they cost a fifth, and at the return the arguments are still
//! there. A pattern that means many functions takes kprobes where the kernel attaches one
//! program to all of them at once. Parameters and their types come from BTF ([`vars`]). A function
//! of which the compiler has kept only optimised copies ([`find`]) has kprobes there.

mod address;
mod args;
mod calls;
mod find;
mod how;
mod labels;
mod missing;
pub(super) mod modules;
mod namesakes;
mod of_source;
pub(super) mod values;
mod vars;

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::locals::{DebugVars, Moment};
use super::{Candidate, ContextVars, Kind, Request, is_pattern, source};
use crate::image::{Attach, KernelFunction};
use crate::lir::{Context, Exec};
use crate::target::{Feature, Fetch};
pub(super) use address::{Place, linked, running};
pub(super) use args::Passed;
use find::Found;
use how::{How, choose, left_out};
use missing::missing;
pub(crate) use missing::quoted;
use namesakes::Namesakes;
pub use namesakes::addresses_of;
pub(super) use of_source::{located, object};
use vars::FunctionVars;

pub(super) const KIND: Kind = Kind {
    name: "function",
    forms: &[
        "kernel.function(string)",
        "kernel.function(string).call",
        "kernel.function(string).return",
        "kernel.function(string).return.maxactive(number)",
        "kernel.function(string).inline",
        "kernel.function(string).label(string)",
        "kernel.function(string).callee(string)",
        "kernel.function(string).callee(string).call",
        "kernel.function(string).callee(string).return",
        "kernel.function(string).callees",
        "kernel.function(string).callees(number)",
        "kernel.function(string).exported",
        "kernel.function(number)",
        "kernel.function(number).call",
        "kernel.function(number).return",
        "kernel.function(number).return.maxactive(number)",
        "kernel.function(number).exported",
        "module(string).function(string)",
        "module(string).function(string).call",
        "module(string).function(string).return",
        "module(string).function(string).return.maxactive(number)",
        "module(string).function(string).inline",
        "module(string).function(string).label(string)",
        "module(string).function(string).callee(string)",
        "module(string).function(string).callee(string).call",
        "module(string).function(string).callee(string).return",
        "module(string).function(string).callees",
        "module(string).function(string).callees(number)",
        "module(string).function(string).exported",
        "kprobe.function(string)",
        "kprobe.function(string).call",
        "kprobe.function(string).return",
        "kprobe.function(string).return.maxactive(number)",
        "kprobe.module(string).function(string)",
        "kprobe.module(string).function(string).call",
        "kprobe.module(string).function(string).return",
        "kprobe.module(string).function(string).return.maxactive(number)",
    ],
    doc: "entry or return of a function of the kernel; its parameters by name",
    resolve,
};

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let module = request.text("module").filter(|_| request.has("module"));
    match module {
        Some(pattern) if is_pattern(pattern) => modules::resolve_all(request, pattern),
        _ => resolve_in(request, module),
    }
}

fn resolve_in(
    request: &Request<'_>,
    module: Option<&str>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let at = match request.number("function") {
        Some(number) => Some(address::linked(request, number.cast_unsigned())?),
        None => None,
    };
    let written = match &at {
        Some(place) => place.name.as_str(),
        None => request.text("function").unwrap_or_default(),
    };
    let place = source::Place::parse(written, request.span)?;
    if request.has("inline") {
        return of_source::inlined(request, module, &place, Fetch::Yes);
    }
    if request.has("label") {
        return labels::labels(request, module, &place);
    }
    if request.has("callee") || request.has("callees") {
        return calls::callees(request, module, &place);
    }
    let pattern = place.function;
    let is_return = request.has("return");
    let only_kprobe = request
        .components
        .first()
        .is_some_and(|c| &*c.name == "kprobe");
    if is_pattern(pattern) {
        find::need_list(request)?;
    }
    let btf = find::btf(request, module);
    let names = Namesakes {
        request,
        btf: btf.as_ref().ok(),
        module,
    };
    let in_file = of_source::functions(names, &place);
    let mut found = match (&in_file, &at) {
        (Ok(Some(found)), _) => found.clone(),
        (Err(_), _) => Vec::new(),
        (_, Some(place)) if place.address != 0 => vec![names.one(place)],
        (Ok(None), _) => find::functions(names, pattern)?,
    };
    if found.is_empty()
        && may_be_inlined(request, pattern)
        && !of_source::is_unheard_of(request, module, pattern)
    {
        // Only debug information knows of functions that the kernel has in others only.
        if let Ok(inlined) = of_source::inlined(request, module, &place, Fetch::No) {
            return Ok(inlined);
        }
    }
    in_file?;
    if request.has("exported") && !found.is_empty() {
        find::keep_exported(request, module, pattern, &mut found)?;
    }
    if found.is_empty() {
        return Err(Box::new(missing(
            request,
            btf.as_ref().ok(),
            module,
            pattern,
        )));
    }
    let many = is_pattern(pattern);
    let maxactive = request
        .number("maxactive")
        .and_then(|n| u32::try_from(n).ok())
        .unwrap_or(0);
    let mut out = Vec::with_capacity(found.len());
    let mut refused = Vec::new();
    for function in found {
        match choose(request, &function, module, is_return, only_kprobe, many) {
            Ok(how) => {
                let point = candidate(maxactive, function, (module, only_kprobe), how);
                out.push(point.named_for(request));
            }
            Err(why) => refused.push(why),
        }
    }
    match refused.last() {
        Some(why) if out.is_empty() => return Err(Box::new(why.error(request))),
        Some(_) if !request.optional => request.warn(left_out(request, &refused)),
        Some(_) | None => {}
    }
    Ok(out)
}

/// Whether a point means a function also where it has been inlined. One that may be missing is sought among functions
/// only, as is one of many modules: debug information takes a while to read.
fn may_be_inlined(request: &Request<'_>, pattern: &str) -> bool {
    let only_called = ["call", "return", "exported"];
    let is_called = only_called.iter().any(|name| request.has(name));
    let of_many = request.text("module").is_some_and(is_pattern);
    !is_called && !of_many && !request.optional && !is_pattern(pattern) && !request.has("kprobe")
}

/// The places so many bytes from the start of the functions of a name.
pub(super) fn inside(
    request: &Request<'_>,
    module: Option<&str>,
    name: &str,
    offset: u64,
) -> Result<Vec<Place>, Box<Diagnostic>> {
    let btf = find::btf(request, module);
    let btf = btf.as_ref().ok();
    let names = Namesakes {
        request,
        btf,
        module,
    };
    let found = find::functions(names, name)?;
    if found.is_empty() {
        return Err(Box::new(missing(request, btf, module, name)));
    }
    let bytes = |function: &Found| address::length(request, module, function);
    let mut places = Vec::with_capacity(found.len());
    for function in &found {
        if bytes(function).is_none_or(|bytes| offset < bytes) {
            places.push(Place {
                name: function.name.clone(),
                module: module.map(str::to_owned),
                address: function.address,
                offset,
            });
        }
    }
    if places.is_empty() {
        let longest = found.iter().filter_map(bytes).max().unwrap_or(0);
        let name = found.first().map_or(name, |function| &function.name);
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_KERNEL_FUNCTION,
                format!("'{name}' has no instruction at {offset:#x}"),
            )
            .label(request.span, format!("it is {longest:#x} bytes long")),
        ));
    }
    Ok(places)
}

/// The variables at the entry of a function by kprobe, if BTF has its parameters.
pub(super) fn parameters(request: &Request<'_>, place: &Place) -> Option<Rc<dyn ContextVars>> {
    let module = place.module.as_deref();
    let btf = find::btf(request, module);
    let names = Namesakes {
        request,
        btf: btf.as_ref().ok(),
        module,
    };
    let found = if place.address == 0 {
        names.only(&place.name)
    } else {
        names.one(place)
    };
    found.signature.as_ref()?;
    Some(Rc::new(FunctionVars {
        found,
        module: module.map(Rc::from),
        how: How::Kprobe,
    }))
}

/// Why a feature is missing, in words.
pub(super) fn feature_missing(request: &Request<'_>, feature: Feature) -> String {
    let info = feature.info();
    let target = request.session.target;
    match info.option {
        Some(option) if target.kconfig(option).is_on() == Some(false) => {
            format!("{option} is not set")
        }
        _ if target.kernel().minor() < info.since => {
            format!(
                "{} needs Linux {}.{}, this is {}",
                info.name,
                info.since.0,
                info.since.1,
                target.kernel()
            )
        }
        Some(option) => format!("this kernel has no {} ({option})", info.name),
        None => format!("this kernel has no {}", info.name),
    }
}

fn candidate(
    maxactive: u32,
    found: Found,
    (module, only_kprobe): (Option<&str>, bool),
    how: How,
) -> Candidate {
    let place = match (module, only_kprobe) {
        (None, false) => "kernel".to_owned(),
        (None, true) => "kprobe".to_owned(),
        (Some(module), false) => format!("module(\"{module}\")"),
        (Some(module), true) => format!("kprobe.module(\"{module}\")"),
    };
    let is_return = matches!(how, How::Fexit { .. } | How::Kretprobe);
    let text = format!(
        "{place}.function(\"{}\"){}",
        found.name,
        if is_return { ".return" } else { ".call" }
    );
    let function = KernelFunction {
        name: found.name.clone(),
        module: module.map(str::to_owned),
        btf_id: found.signature.as_ref().map_or(0, |s| s.attach_id.0),
        address: found.address,
    };
    let entry: Rc<dyn Fn() -> Candidate> = {
        let (found, module) = (found.clone(), module.map(str::to_owned));
        let how = match how {
            How::Fentry | How::Fexit { .. } => How::Fentry,
            How::Kprobe | How::Kretprobe => How::Kprobe,
        };
        Rc::new(move || candidate(0, found.clone(), (module.as_deref(), only_kprobe), how))
    };
    let (attach, context, share) = match how {
        How::Fentry => (Attach::Fentry(function), Context::Fentry, None),
        How::Fexit { words } => (
            Attach::Fexit(function),
            Context::Fexit { args: words },
            None,
        ),
        How::Kprobe => (
            Attach::Kprobe {
                function,
                offset: 0,
            },
            Context::Regs,
            Some("kprobe"),
        ),
        How::Kretprobe => (
            Attach::Kretprobe {
                function,
                maxactive,
                save_entry: false,
            },
            Context::Regs,
            Some("kretprobe"),
        ),
    };
    let vars = context_vars(&found, module, how);
    Candidate {
        text,
        function: found.name,
        module: module.unwrap_or("kernel").to_owned(),
        attach,
        selector: None,
        exec: Exec::Kernel,
        context,
        vars,
        share: share.map(str::to_owned),
        entry: is_return.then_some(entry),
        condition: None,
    }
}

/// What handlers of a function see: its parameters by BTF, else by debug information.
fn context_vars(found: &Found, module: Option<&str>, how: How) -> Rc<dyn ContextVars> {
    let moment = match how {
        How::Kprobe => Moment::Instruction,
        How::Kretprobe => Moment::Return,
        // Trampolines are made by BTF.
        How::Fentry | How::Fexit { .. } => return by_btf(found, module, how),
    };
    if found.signature.is_some() {
        return by_btf(found, module, how);
    }
    let place = Place {
        name: found.name.clone(),
        module: module.map(str::to_owned),
        address: found.address,
        offset: 0,
    };
    Rc::new(DebugVars::of_function(&place, moment, found.undescribed()))
}

fn by_btf(found: &Found, module: Option<&str>, how: How) -> Rc<dyn ContextVars> {
    Rc::new(FunctionVars {
        found: found.clone(),
        module: module.map(Rc::from),
        how,
    })
}
