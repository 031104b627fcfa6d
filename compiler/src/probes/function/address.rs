//! Addresses in the kernel's code: which function they are in.

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::Request;
use super::find::Found;
use crate::dwarf;
use crate::target::{Kconfig, KernelObject, Unavailable};

/// A place in the kernel's code.
#[derive(Clone)]
pub(in crate::probes) struct Place {
    /// The function that it is in.
    pub name: String,
    /// Its module.
    pub module: Option<String>,
    /// The function's address if others have its name, else 0.
    pub address: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// The place at an address of the running kernel, as /proc/kallsyms has them.
pub(in crate::probes) fn running(
    request: &Request<'_>,
    address: u64,
) -> Result<Place, Box<Diagnostic>> {
    let symbols = request.session.target.symbols();
    let symbols = symbols.map_err(|why| hidden(request, &why))?;
    if !symbols.has_addresses() {
        return Err(hidden(request, &Unavailable::AddressesHidden));
    }
    let found = symbols.by_address(address);
    let Some((symbol, offset)) = found.filter(|(symbol, _)| symbol.is_function()) else {
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_KERNEL_FUNCTION,
                format!("the kernel has no function at {address:#x}"),
            )
            .label(request.span, "no code is there")
            .help("/proc/kallsyms has the addresses; they change with each start of the machine"),
        ));
    };
    let is_shared = symbols.by_name(symbol.name).nth(1).is_some();
    Ok(Place {
        name: symbol.name.to_owned(),
        module: symbol.module.map(str::to_owned),
        address: if is_shared { symbol.address } else { 0 },
        offset,
    })
}

/// The place at an address as vmlinux's symbol table has it: the kernel may have been loaded elsewhere.
pub(in crate::probes) fn linked(
    request: &Request<'_>,
    address: u64,
) -> Result<Place, Box<Diagnostic>> {
    let target = request.session.target;
    let symbols = target.symbols().map_err(|why| hidden(request, &why))?;
    let start = symbols.by_name("_text").map(|symbol| symbol.address).next();
    let Some(start) = start.filter(|start| *start != 0) else {
        return Err(hidden(request, &Unavailable::AddressesHidden));
    };
    let physical = match target.kconfig("CONFIG_PHYSICAL_START") {
        Kconfig::Number(n) => Some(n.cast_unsigned()),
        _ => None,
    };
    let moved = start.wrapping_sub(target.arch().linked_text(physical));
    running(request, address.wrapping_add(moved)).map_err(|diag| {
        Box::new(diag.help(
            "an address of /proc/kallsyms is meant with .absolute only; without, it is one of vmlinux's symbol table",
        ))
    })
}

/// The place of the running kernel that code of a function of the source is at; `None` if no function is there.
pub(super) fn of_object(
    request: &Request<'_>,
    object: &KernelObject,
    module: Option<&str>,
    at: &dwarf::Place,
) -> Result<Option<Place>, Box<Diagnostic>> {
    let Some(symbol) = object.symbol_called(&at.function, at.address) else {
        return Ok(None);
    };
    let mut place = Place {
        name: symbol.name.clone(),
        module: module.map(str::to_owned),
        address: 0,
        offset: at.address - symbol.start,
    };
    // The kernel counts data, what is gone since its start, and modules too.
    let target = request.session.target;
    if object.named(&symbol.name).count() > 1 || target.is_shared(module, &symbol.name) {
        let symbols = target.symbols();
        let symbols = symbols.map_err(|why| hidden(request, &why))?;
        let start = object.loaded_at(symbol.start, &symbols, module);
        place.address = start.ok_or_else(|| {
            let why = if symbols.has_addresses() {
                Unavailable::NoLandmark
            } else {
                Unavailable::AddressesHidden
            };
            hidden(request, &why)
        })?;
    }
    Ok(Some(place))
}

/// How long a function is, at most: to the next symbol.
pub(super) fn length(request: &Request<'_>, module: Option<&str>, function: &Found) -> Option<u64> {
    let symbols = request.session.target.symbols().ok()?;
    let start = match function.address {
        0 => {
            let mut named = symbols.by_name(&function.name);
            named.find(|symbol| symbol.module == module)?.address
        }
        address => address,
    };
    let next = symbols.after(start)?;
    (start != 0).then(|| next.address - start)
}

fn hidden(request: &Request<'_>, why: &Unavailable) -> Box<Diagnostic> {
    let title = "the addresses of the kernel's functions are not known";
    Box::new(why.refusal(title, "an address is named here", request.span))
}
