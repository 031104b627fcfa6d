//! Patterns of modules: `module("nf_*")` means those that are loaded.

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::{Candidate, Request, glob};
use super::resolve_in;

/// The names of the loaded modules that a pattern means; an error if there is none.
pub(in crate::probes) fn named(
    request: &Request<'_>,
    pattern: &str,
) -> Result<Vec<String>, Box<Diagnostic>> {
    let refuse = |code, title: String, label: &str| {
        Diagnostic::error(code, title).label(request.span, label.to_owned())
    };
    let loaded = request.session.target.modules().map_err(|why| {
        let title = "which modules are loaded is not known";
        Box::new(why.refusal(title, "a pattern needs the list of them", request.span))
    })?;
    let wanted = loaded.iter().filter(|name| glob(pattern, name));
    let names: Vec<String> = wanted.cloned().collect();
    if names.is_empty() {
        let title = format!("no module like '{pattern}' is loaded");
        let diag = refuse(codes::NO_KERNEL_FUNCTION, title, "means loaded modules");
        return Err(Box::new(diag.help(
            "load it first; what is built into the kernel is kernel.function(\"…\"), kernel.trace(\"…\")",
        )));
    }
    Ok(names)
}

/// The functions of all modules that a pattern means.
pub(super) fn resolve_all(
    request: &Request<'_>,
    pattern: &str,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let mut found = Vec::new();
    let mut refused = None;
    for module in named(request, pattern)? {
        match resolve_in(request, Some(&module)) {
            Ok(functions) => found.extend(functions),
            // Not every module has such functions.
            Err(why) if why.code == codes::NO_KERNEL_FUNCTION => {}
            Err(why) => refused = Some(why),
        }
    }
    if let (true, Some(why)) = (found.is_empty(), refused) {
        return Err(why);
    }
    if found.is_empty() {
        let function = request.text("function").unwrap_or_default();
        let title = format!("no loaded module like '{pattern}' has a function '{function}'");
        return Err(Box::new(
            Diagnostic::error(codes::NO_KERNEL_FUNCTION, title).label(
                request.span,
                "neither in their BTF nor among their traceable functions",
            ),
        ));
    }
    Ok(found)
}
