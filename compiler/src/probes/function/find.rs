//! Which functions of the kernel a name or pattern means.
//!
//! A compiler may have kept only copies of a function that it has optimised for their callers,
//! `f.isra.0` or `f.constprop.0`, which need not take all its parameters; BTF may describe `f`
//! all the same. `f` means such copies then, without parameters. (`f.part.0` and `f.cold` begin
//! somewhere inside of `f`: they must be asked for by their own names.)

use rtap_grammar::diag::{Diagnostic, codes};
use rustc_hash::FxHashSet;

use super::super::{Request, glob, is_pattern};
use super::address::Place;
use crate::btf::{Btf, Kind as BtfKind, Signature};
use crate::target::{Feature, Unavailable, suggest};

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
}

impl Found {
    /// The function that a place is in.
    pub fn at(place: &Place) -> Self {
        Found {
            name: place.name.clone(),
            signature: None,
            copy_of: None,
            address: place.address,
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

/// The functions of a name or pattern, out of BTF and the list of traceable functions.
pub(super) fn functions(
    request: &Request<'_>,
    btf: &Btf,
    module: Option<&str>,
    pattern: &str,
) -> Vec<Found> {
    let with_signature = |name: &str| Found {
        name: name.to_owned(),
        signature: btf.function(name).ok().flatten(),
        copy_of: None,
        address: 0,
    };
    if !is_pattern(pattern) {
        let target = request.session.target;
        if btf.find(BtfKind::Func, pattern).is_some() && target.has_function(module, pattern) {
            return vec![with_signature(pattern)];
        }
        // Copies by their own names and assembly are not in BTF.
        let listed = listed(request, module, pattern);
        return if listed.is_empty() {
            copies(request, module, pattern)
        } else {
            listed
        };
    }
    let listed = listed(request, module, pattern);
    if !listed.is_empty() {
        return listed
            .into_iter()
            .map(|f| with_signature(&f.name))
            .collect();
    }
    let mut names: Vec<&str> = btf
        .own_functions()
        .filter(|name| glob(pattern, name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(with_signature).collect()
}

/// The functions of a name or pattern, out of the list of traceable functions, else of all
/// symbols.
pub(super) fn listed(request: &Request<'_>, module: Option<&str>, pattern: &str) -> Vec<Found> {
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
    names.dedup();
    names
        .into_iter()
        .map(|name| Found {
            name,
            signature: None,
            copy_of: None,
            address: 0,
        })
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
    let diag = Diagnostic::error(codes::POINT_UNAVAILABLE, title)
        .label(request.span, "a pattern needs the list of them")
        .note(why.to_string());
    Err(Box::new(diag.help_if(why.help())))
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
        let title = "which functions are exported is not known".to_owned();
        refuse(codes::POINT_UNAVAILABLE, title)
            .note(why.to_string())
            .help_if(why.help())
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
fn copies(request: &Request<'_>, module: Option<&str>, name: &str) -> Vec<Found> {
    let kinds = |suffix: &str| {
        let mut kinds = suffix.split('.').filter(|kind| !is_number(kind)).peekable();
        kinds.peek().is_some() && kinds.all(|kind| matches!(kind, "isra" | "constprop"))
    };
    let found = variants(request, module, name).into_iter();
    found
        .filter(|variant| kinds(&variant[name.len() + 1..]))
        .map(|variant| Found {
            name: variant,
            signature: None,
            copy_of: Some(name.to_owned()),
            address: 0,
        })
        .collect()
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// All symbols `NAME.…` that are code, sorted.
fn variants(request: &Request<'_>, module: Option<&str>, name: &str) -> Vec<String> {
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

/// No function of that name: says what was sought and what there is instead.
pub(super) fn missing(
    request: &Request<'_>,
    btf: Option<&Btf>,
    module: Option<&str>,
    pattern: &str,
) -> Diagnostic {
    let target = request.session.target;
    let place = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
    let what = if is_pattern(pattern) {
        "function like"
    } else {
        "function"
    };
    let diag = Diagnostic::error(
        codes::NO_KERNEL_FUNCTION,
        format!("{place} has no {what} '{pattern}'"),
    );
    if let (Some(module), None) = (module, btf) {
        let reason = target
            .module_btf(module)
            .err()
            .map(|e| (e.to_string(), e.help()));
        let (note, help) = reason.unwrap_or_default();
        return diag.label(request.span, note).help_if(help);
    }
    let parts = variants(request, module, pattern);
    if let Some(part) = parts.first() {
        return diag
            .label(request.span, "the compiler has inlined it")
            .help(format!(
                "what is left of it begins somewhere inside of it: function(\"{part}\")"
            ));
    }
    let diag = diag.label(
        request.span,
        "neither in its BTF nor among its traceable functions",
    );
    let Some(btf) = btf else { return diag };
    if module.is_none()
        && let Ok(modules) = target.modules()
        && let Some(home) = modules.iter().find(|m| {
            target
                .module_btf(m)
                .is_ok_and(|btf| btf.own_functions().any(|f| f == pattern))
        })
    {
        return diag.help(format!(
            "it is in a module: module(\"{home}\").function(\"{pattern}\")"
        ));
    }
    let near = suggest(pattern, btf.own_functions(), 3);
    match near.as_slice() {
        [] => diag
            .note("functions that the compiler has inlined everywhere do not exist in the kernel")
            .help("'?' behind the point goes on without it; 'POINT !, OTHER' takes the first that is there"),
        names => diag.help(format!("did you mean {}?", quoted(names))),
    }
}

/// `'a', 'b' or 'c'`.
pub(crate) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("'{}'", name.as_ref()))
        .collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
