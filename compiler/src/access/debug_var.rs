//! Variables of the kernel and its modules in debug information (DWARF): their types, and which of several of one name
//! is of a file.

use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::BtfType;
use super::var::Named;
use crate::dwarf::Global;
use crate::target::{Fetch, KernelObject, Target};

/// A variable that was found.
pub(super) struct Found {
    pub object: Arc<KernelObject>,
    /// Where it is in that file.
    pub address: u64,
    global: Global,
}

/// The variable of a name, and of the file if one is named.
pub(super) fn find(
    target: &dyn Target,
    named: &Named,
    fetch: Fetch,
) -> Result<Found, Box<Diagnostic>> {
    let object = target.kernel_object(named.module.as_deref(), fetch);
    let object = object.map_err(|why| {
        let diag = no_type(named).note(why.to_string()).help_if(why.help());
        Box::new(diag.help(as_address(named)))
    })?;
    let damaged = |why: String| {
        let diag = no_type(named).note(format!("{}: {why}", object.path));
        Box::new(diag.help(as_address(named)))
    };
    let addresses = object.variables(&named.name);
    let addresses = addresses.map_err(|error| damaged(error.to_string()))?;
    let mut all = Vec::new();
    for address in addresses {
        let global = object.info.global_at(&named.name, address);
        let global = global.map_err(|error| damaged(error.to_string()))?;
        all.extend(global.map(|global| (address, global)));
    }
    let is_meant = |global: &Global| named.file.as_ref().is_none_or(|file| global.is_of(file));
    let mut meant = all.iter().filter(|(_, global)| is_meant(global));
    let (first, second) = (meant.next(), meant.next());
    match (first, second) {
        (Some((address, global)), None) => Ok(Found {
            address: *address,
            global: global.clone(),
            object,
        }),
        (None, _) if all.is_empty() => Err(damaged("it has no such variable".to_owned())),
        _ => Err(Box::new(not_one(named, &all, first.is_some()))),
    }
}

impl Found {
    /// Its type.
    pub fn ty(&self, target: &dyn Target, named: &Named) -> Result<BtfType, Box<Diagnostic>> {
        let module = named.module.as_deref().map(Rc::from);
        let ty = self.global.ty;
        let ty = ty.and_then(|ty| BtfType::described(&self.object.info, Some(ty), target, module));
        ty.ok_or_else(|| {
            let why = format!("{}: it does not tell it", self.object.path);
            Box::new(no_type(named).note(why).help(as_address(named)))
        })
    }
}

fn not_one(named: &Named, all: &[(u64, Global)], is_several: bool) -> Diagnostic {
    let (whose, name) = (named.whose(), &named.name);
    let (title, label) = match &named.file {
        Some(file) if is_several => (
            format!("{whose} has several variables '{name}' of '{file}'"),
            "which of them is not known",
        ),
        Some(file) => (
            format!("{whose} has no variable '{name}' of '{file}'"),
            "no file of that name declares it",
        ),
        None => (
            format!("{whose} has {} variables '{name}'", all.len()),
            "which of them is not known",
        ),
    };
    let files = all
        .iter()
        .map(|(_, global)| format!("'{}'", global.files[0]));
    let files: Vec<String> = files.collect();
    Diagnostic::error(codes::NO_SYMBOL, title)
        .label(named.span, label)
        .help(format!("it is of {}", files.join(", ")))
}

fn no_type(named: &Named) -> Diagnostic {
    let title = format!(
        "the type of {}'s variable '{}' is not known",
        named.whose(),
        named.name
    );
    Diagnostic::error(codes::UNKNOWN_TYPE, title)
        .label(named.span, "its address is")
        .note("BTF has the types of per-CPU variables; those of others are in debug information (DWARF)")
}

fn as_address(named: &Named) -> String {
    let name = &named.name;
    format!(
        "say what it is: @cast(&@var(\"{name}\"), \"struct name\")->member, or kernel_int(&@var(\"{name}\")), kernel_long, kernel_string, …"
    )
}
