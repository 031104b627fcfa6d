//! Functions of one name: static functions of several source files, or of the kernel and its modules.
//!
//! By a name the kernel finds one function, whichever is first. A name means all of those in its place, so each is
//! known by its address, which `/proc/kallsyms` tells. BTF describes names: `pahole` from 1.25 on leaves out those whose
//! functions differ in their parameters, before it took one of them.

use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::Request;
use super::address::Place;
use super::find::Found;
use crate::btf::{Btf, Signature};
use crate::session::KprobeStyle;
use crate::target::{Feature, Kconfig, KernelSymbol, KernelSymbols, Target, Unavailable};

/// From this release on the kernel's build tells `pahole` to leave out what differs,
const LEAVES_OUT: (u32, u32) = (6, 3);
/// which this version, 1.25, can.
const CAN_LEAVE_OUT: i64 = 125;
/// Functions of many drivers, for objects of different types.
const DIFFERS: &str = "type_show";
/// How far behind a function's address the place is, at most, that traceable ones are listed by.
const MAX_PROLOGUE_BYTES: u64 = 16;
/// Names that a warning shows.
const MAX_SHOWN: usize = 3;

/// Where names mean functions.
#[derive(Clone, Copy)]
pub(super) struct Namesakes<'r> {
    /// The probe point.
    pub request: &'r Request<'r>,
    /// The BTF of the kernel or module.
    pub btf: Option<&'r Btf>,
    /// The module.
    pub module: Option<&'r str>,
}

impl Namesakes<'_> {
    /// The function of a name that no other has.
    pub fn only(self, name: &str) -> Found {
        Found {
            signature: self.btf.and_then(|btf| btf.own_function(name)),
            ..Found::called(name)
        }
    }

    /// The function that a place is in, one of several of its name.
    pub fn one(self, place: &Place) -> Found {
        Found {
            address: place.address,
            is_first: false,
            signature: self.shared_signature(&place.name),
            ..Found::called(&place.name)
        }
    }

    /// All functions of a name; an error where they cannot be told apart.
    pub fn of_name(self, name: &str) -> Result<Vec<Found>, Box<Diagnostic>> {
        let target = self.request.session.target;
        if !target.is_shared(self.module, name) {
            return Ok(vec![self.only(name)]);
        }
        let symbols = target.symbols();
        let found = symbols.and_then(|symbols| self.by_address(&symbols, name));
        found.map_err(|why| self.not_told(name, &why))
    }

    fn not_told(self, name: &str, why: &Unavailable) -> Box<Diagnostic> {
        let title = format!("several functions are called '{name}'");
        Box::new(why.refusal(title, "this name tells none of them", self.request.span))
    }

    /// All functions of the names that a pattern means, with each how many of that name are listed as traceable; an error
    /// where none can be told from others.
    pub fn of_names(self, names: Vec<(String, usize)>) -> Result<Vec<Found>, Box<Diagnostic>> {
        let symbols = self.symbols_for(&names);
        let shared = |name: &str| symbols.as_ref().is_some_and(|all| is_shared(all, name));
        let mut all = Vec::with_capacity(names.len());
        let mut untold: Vec<&str> = Vec::new();
        for (name, listed) in &names {
            if *listed <= 1 && !shared(name) {
                all.push(self.only(name));
                continue;
            }
            let found = symbols.as_ref().map(|all| self.by_address(all, name));
            match found {
                Some(Ok(found)) => all.extend(found),
                Some(Err(_)) | None => untold.push(name),
            }
        }
        match untold.first() {
            Some(name) if all.is_empty() => {
                return Err(self.not_told(name, &Unavailable::AddressesHidden));
            }
            Some(_) => self.request.warn(self.left_out(&untold)),
            None => {}
        }
        Ok(all)
    }

    /// The symbols, if names can mean more than the kernel finds by them.
    fn symbols_for(self, names: &[(String, usize)]) -> Option<Arc<KernelSymbols>> {
        let session = self.request.session;
        let target = session.target;
        // One link for many looks among traceable functions only: where there is one, it is found.
        let by_link = session.options.kprobe_style != KprobeStyle::Fentry
            && names.len() > 1
            && self.module.is_none()
            && names.iter().all(|(_, listed)| *listed == 1)
            && target.has(Feature::KprobeMulti)
            && leaves_out_what_differs(target);
        if by_link {
            return None;
        }
        target.symbols().ok()
    }

    /// The functions of a name, each by its address.
    fn by_address(self, symbols: &KernelSymbols, name: &str) -> Result<Vec<Found>, Unavailable> {
        if !symbols.has_addresses() {
            return Err(Unavailable::AddressesHidden);
        }
        let target = self.request.session.target;
        let own = addresses_of(target, symbols, self.module, name);
        let alone = own.len() == 1;
        // By its name the kernel finds the first that it lists.
        let mut functions = symbols.by_name(name).filter(KernelSymbol::is_function);
        let first = functions.next().map(|symbol| symbol.address);
        let signature = if alone {
            self.only(name).signature
        } else {
            self.shared_signature(name)
        };
        let found = own.into_iter().map(|address| Found {
            address,
            is_first: alone && first == Some(address),
            signature: signature.clone(),
            ..Found::called(name)
        });
        Ok(found.collect())
    }

    /// What BTF says of all functions of a name.
    pub fn shared_signature(self, name: &str) -> Option<Signature> {
        let target = self.request.session.target;
        let signature = self.btf?.own_function(name)?;
        leaves_out_what_differs(target).then_some(signature)
    }

    fn left_out(self, names: &[&str]) -> Diagnostic {
        let count = names.len();
        let s = if count == 1 { "" } else { "s" };
        let shown: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let shown = &shown[..count.min(MAX_SHOWN)];
        let more = if count > MAX_SHOWN { ", …" } else { "" };
        let why = Unavailable::AddressesHidden;
        Diagnostic::warning(
            codes::NAMESAKES_LEFT_OUT,
            format!("{count} name{s} of several functions each left out"),
        )
        .label(self.request.span, "this pattern means them too")
        .note(format!("{}{more}: {why}", shown.join(", ")))
        .help_if(why.help())
    }
}

/// Where the functions of a name are, those that can be traced if any can (Linux 6.5).
pub fn addresses_of(
    target: &dyn Target,
    symbols: &KernelSymbols,
    module: Option<&str>,
    name: &str,
) -> Vec<u64> {
    let gone = gone(symbols);
    let functions = symbols.by_name(name).filter(KernelSymbol::is_function);
    let mut addresses: Vec<u64> = functions
        .filter(|symbol| symbol.module == module)
        .map(|symbol| symbol.address)
        .filter(|address| !gone.contains(address))
        .collect();
    addresses.dedup();
    let Ok(traceable) = target.traceable_addresses() else {
        return addresses;
    };
    let is_traceable = |address: &u64| {
        let from = traceable.partition_point(|place| place < address);
        let place = traceable.get(from);
        place.is_some_and(|place| place - address < MAX_PROLOGUE_BYTES)
    };
    if addresses.iter().any(is_traceable) {
        addresses.retain(is_traceable);
    }
    addresses
}

fn is_shared(symbols: &KernelSymbols, name: &str) -> bool {
    symbols.by_name(name).nth(1).is_some()
}

/// Whether a name that BTF describes has that description for all of its functions.
fn leaves_out_what_differs(target: &dyn Target) -> bool {
    let shows = || {
        let described = target.btf().map(|btf| btf.own_function(DIFFERS).is_some());
        described.is_ok_and(|described| !described) && target.is_shared(None, DIFFERS)
    };
    target.kernel().minor() >= LEAVES_OUT
        && match target.kconfig("CONFIG_PAHOLE_VERSION") {
            Kconfig::Number(version) => version >= CAN_LEAVE_OUT,
            Kconfig::Unknown => shows(),
            _ => false,
        }
}

/// Where functions were that the kernel needed for its start only; their symbols stay.
pub(super) fn gone(symbols: &KernelSymbols) -> std::ops::Range<u64> {
    let at = |name| symbols.by_name(name).map(|symbol| symbol.address).next();
    match (at("_sinittext"), at("_einittext")) {
        (Some(start), Some(end)) => start..end,
        _ => 0..0,
    }
}
