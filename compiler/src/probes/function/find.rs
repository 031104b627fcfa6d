//! Which functions of the kernel a name or pattern means.
//!
//! A compiler may have kept only copies of a function that it has optimised for their callers,
//! `f.isra.0` or `f.constprop.0`, which need not take all its parameters; BTF may describe `f`
//! all the same. `f` means such copies then, without parameters. (`f.part.0` and `f.cold` begin
//! somewhere inside of `f`: they must be asked for by their own names.)

use rtap_grammar::diag::{Diagnostic, codes};
use rustc_hash::FxHashSet;

use super::super::{Request, glob, is_pattern};
use super::namesakes::Namesakes;
use crate::btf::{Btf, Signature};
use crate::target::{Feature, Unavailable};

/// A kernel that lists fewer exported symbols does not list them.
const FEW_EXPORTS: usize = 3;

/// A function that a point means.
#[derive(Clone)]
pub(super) struct Found {
    /// Its symbol.
    pub name: String,
    /// What BTF says of it.
    pub signature: Option<Signature>,
    /// The function that it is an optimised copy of, when that was asked for.
    pub copy_of: Option<String>,
    /// Its address if its name does not say which it is, else 0.
    pub address: u64,
    /// Whether it is what the kernel finds first by its name.
    pub is_first: bool,
}

impl Found {
    /// The function of a name.
    pub fn called(name: &str) -> Self {
        Found {
            name: name.to_owned(),
            signature: None,
            copy_of: None,
            address: 0,
            is_first: true,
        }
    }

    /// Why there is no signature, in words.
    pub fn undescribed(&self) -> String {
        match &self.copy_of {
            Some(original) => format!(
                "the kernel has only '{}', an optimised copy of '{original}', whose parameters may differ",
                self.name
            ),
            None if self.address != 0 => format!(
                "the kernel has several functions '{}', of which BTF does not say which is which",
                self.name
            ),
            None => format!("the kernel's BTF does not describe '{}'", self.name),
        }
    }
}

/// The functions of a name or pattern, out of BTF, the list of traceable functions, else all symbols.
pub(super) fn functions(
    place: Namesakes<'_>,
    pattern: &str,
) -> Result<Vec<Found>, Box<Diagnostic>> {
    let Namesakes {
        request,
        btf,
        module,
    } = place;
    if !is_pattern(pattern) {
        let described = btf.is_some_and(|btf| btf.own_function(pattern).is_some());
        if described && request.session.target.has_function(module, pattern) {
            return place.of_name(pattern);
        }
        // Copies by their own names and assembly are not in BTF.
        return if listed(request, module, pattern).is_empty() {
            copies(place, pattern)
        } else {
            place.of_name(pattern)
        };
    }
    let mut names = listed(request, module, pattern);
    // What is described but not on the list cannot be traced.
    let traceable = request.session.target.traceable_functions();
    let is_told = traceable.is_ok_and(|all| !all.is_empty());
    if names.is_empty() && !is_told {
        let described = btf.into_iter().flat_map(Btf::own_functions);
        let wanted = described.filter(|name| glob(pattern, name));
        let mut all: Vec<String> = wanted.map(str::to_owned).collect();
        all.sort_unstable();
        all.dedup();
        names = all.into_iter().map(|name| (name, 1)).collect();
    }
    place.of_names(names)
}

/// The names that a name or pattern means, out of the list of traceable functions, else of all
/// symbols; with each how many functions it is of.
fn listed(request: &Request<'_>, module: Option<&str>, pattern: &str) -> Vec<(String, usize)> {
    let target = request.session.target;
    let mut names: Vec<String> = match target.traceable_functions() {
        Ok(all) => all
            .iter()
            .filter(|f| f.module.as_deref() == module && glob(pattern, &f.name))
            .map(|f| f.name.clone())
            .collect(),
        Err(_) => match target.symbols() {
            Ok(symbols) => symbols
                .iter()
                .filter(|s| s.is_function() && s.module == module && glob(pattern, s.name))
                .map(|s| s.name.to_owned())
                .collect(),
            Err(_) => Vec::new(),
        },
    };
    names.sort();
    let of_a_name = names.chunk_by(|a, b| a == b);
    of_a_name
        .filter_map(|same| Some((same.first()?.clone(), same.len())))
        .collect()
}

/// A pattern means functions that can be traced: where only the right to read their list is missing, others are no
/// substitute.
pub(super) fn need_list(request: &Request<'_>) -> Result<(), Box<Diagnostic>> {
    let (Err(why), true) = (
        request.session.target.traceable_functions(),
        request.session.target.has(Feature::Kprobe),
    ) else {
        return Ok(());
    };
    if !matches!(why, Unavailable::Permission { .. }) {
        return Ok(());
    }
    let title = "which functions can be probed is not known";
    Err(Box::new(why.refusal(
        title,
        "a pattern needs the list of them",
        request.span,
    )))
}

/// Leaves the functions that modules can call: those with a `__ksymtab_` symbol.
pub(super) fn keep_exported(
    request: &Request<'_>,
    module: Option<&str>,
    pattern: &str,
    found: &mut Vec<Found>,
) -> Result<(), Box<Diagnostic>> {
    const TABLE: &str = "__ksymtab_";
    let refuse = |code, title: String| {
        Diagnostic::error(code, title).label(request.span, "this probe point")
    };
    let all = request.session.target.symbols();
    let symbols = all.map_err(|why| {
        let title = "which functions are exported is not known";
        why.refusal(title, "this probe point", request.span)
    })?;
    let exported: FxHashSet<&str> = symbols
        .iter()
        .filter(|symbol| symbol.module == module)
        .filter_map(|symbol| symbol.name.strip_prefix(TABLE))
        .collect();
    found.retain(|function| exported.contains(function.name.as_str()));
    if !found.is_empty() {
        return Ok(());
    }
    if module.is_none() && exported.len() < FEW_EXPORTS {
        let title = "which functions are exported is not known".to_owned();
        return Err(Box::new(refuse(codes::POINT_UNAVAILABLE, title).note(
            "the kernel does not list its table of exported symbols (CONFIG_KALLSYMS_ALL)",
        )));
    }
    let title = if is_pattern(pattern) {
        format!("no function like '{pattern}' is exported")
    } else {
        format!("'{pattern}' is not exported")
    };
    Err(Box::new(
        refuse(codes::NO_KERNEL_FUNCTION, title)
            .help("without .exported it can be probed all the same"),
    ))
}

/// The BTF that describes the kernel's or a module's functions.
pub(super) fn btf(request: &Request<'_>, module: Option<&str>) -> Result<Btf, Unavailable> {
    match module {
        None => request.session.target.btf(),
        Some(module) => request.session.target.module_btf(module),
    }
}

/// The optimised copies of a function that are the whole of it.
fn copies(place: Namesakes<'_>, name: &str) -> Result<Vec<Found>, Box<Diagnostic>> {
    let kinds = |suffix: &str| {
        let mut kinds = suffix.split('.').filter(|kind| !is_number(kind)).peekable();
        kinds.peek().is_some() && kinds.all(|kind| matches!(kind, "isra" | "constprop"))
    };
    let variants = variants(place.request, place.module, name).into_iter();
    let copies = variants.filter(|variant| kinds(&variant[name.len() + 1..]));
    let found = place.of_names(copies.map(|copy| (copy, 1)).collect())?;
    let of_original = found.into_iter().map(|copy| Found {
        copy_of: Some(name.to_owned()),
        ..copy
    });
    Ok(of_original.collect())
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// All symbols `NAME.…` that are code, sorted.
pub(super) fn variants(request: &Request<'_>, module: Option<&str>, name: &str) -> Vec<String> {
    let Ok(symbols) = request.session.target.symbols() else {
        return Vec::new();
    };
    let is_variant =
        |symbol: &str| matches!(symbol.strip_prefix(name), Some(rest) if rest.starts_with('.'));
    let mut variants: Vec<String> = symbols
        .iter()
        .filter(|s| s.is_function() && s.module == module && is_variant(s.name))
        .map(|s| s.name.to_owned())
        .collect();
    variants.sort();
    variants.dedup();
    variants
}
