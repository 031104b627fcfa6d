//! No such function: what was sought, and what there is instead.

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::{Request, glob, is_pattern};
use super::find::variants;
use super::namesakes::gone;
use crate::btf::Btf;
use crate::target::suggest;

/// No function of that name: says what was sought and what there is instead.
pub(super) fn missing(
    request: &Request<'_>,
    btf: Option<&Btf>,
    module: Option<&str>,
    pattern: &str,
) -> Diagnostic {
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
        return no_module(request, module, pattern, diag);
    }
    let parts = variants(request, module, pattern);
    if let Some(part) = parts.first() {
        return diag
            .label(request.span, "the compiler has inlined it")
            .help(format!(
                "what is left of it begins somewhere inside of it: function(\"{part}\")"
            ));
    }
    if let Some(refused) = untraceable(request, module, pattern) {
        return refused;
    }
    let diag = diag.label(
        request.span,
        "neither in its BTF nor among its traceable functions",
    );
    if let Some((note, help)) = symbol(request, module, pattern) {
        return diag.note(note).help_if(help);
    }
    if module.is_none()
        && let Some(name) = pattern.strip_prefix("sys_")
        && request.session.target.syscalls().by_name(name).is_some()
    {
        return diag.help(format!("the system call is probed by syscall.{name}"));
    }
    let Some(btf) = btf else { return diag };
    if module.is_none()
        && let Some(home) = home(request, pattern)
    {
        return diag.help(format!(
            "it is in a module: module(\"{home}\").function(\"{pattern}\")"
        ));
    }
    let near = suggest(pattern, btf.own_functions(), 3);
    let inlined = "functions that the compiler has inlined everywhere do not exist in the kernel";
    match near.as_slice() {
        [] => diag
            .note(inlined)
            .help("'?' behind the point goes on without it; 'POINT !, OTHER' takes the first that is there"),
        names => diag.note(inlined).help(format!("did you mean {}?", quoted(names))),
    }
}

/// The module is not there, or has no BTF: the kernel itself may have the function.
fn no_module(request: &Request<'_>, module: &str, pattern: &str, diag: Diagnostic) -> Diagnostic {
    let target = request.session.target;
    let Err(why) = target.module_btf(module) else {
        return diag.label(request.span, "");
    };
    let diag = diag.label(request.span, why.to_string());
    let is_loaded = |module: &str| {
        let loaded = target.modules();
        loaded.is_ok_and(|all| all.iter().any(|name| name == module))
    };
    let built_in = target
        .btf()
        .is_ok_and(|btf| btf.own_functions().any(|name| glob(pattern, name)));
    if built_in && pattern != "*" && !is_loaded(module) {
        return diag.help(format!(
            "the kernel itself has such a function: kernel.function(\"{pattern}\")"
        ));
    }
    diag.help_if(why.help())
}

/// The loaded module that has a function.
fn home(request: &Request<'_>, name: &str) -> Option<String> {
    let target = request.session.target;
    let modules = target.modules().ok()?;
    let has = |module: &&String| {
        let btf = target.module_btf(module);
        btf.is_ok_and(|btf| btf.own_function(name).is_some())
    };
    modules.iter().find(has).cloned()
}

/// The refusal of a pattern that means functions none of which can be traced; `None` if it means none at all.
fn untraceable(request: &Request<'_>, module: Option<&str>, pattern: &str) -> Option<Diagnostic> {
    if !is_pattern(pattern) {
        return None;
    }
    let symbols = request.session.target.symbols().ok()?;
    let gone = gone(&symbols);
    let functions = symbols
        .iter()
        .filter(|s| s.is_function() && s.module == module && glob(pattern, s.name));
    let (mut staying, mut only_at_start) = (0, 0);
    for function in functions {
        if function.address != 0 && gone.contains(&function.address) {
            only_at_start += 1;
        } else {
            staying += 1;
        }
    }
    let why = match (staying, only_at_start) {
        (0, 0) => return None,
        (0, _) => "what the kernel needed for its own start only is gone",
        _ => {
            "code that probes themselves or the entry to the kernel need (noinstr, notrace) must not be traced, nor can assembly"
        }
    };
    let title = match staying + only_at_start {
        1 => format!("the only function like '{pattern}' cannot be probed"),
        count => format!("none of the {count} functions like '{pattern}' can be probed"),
    };
    Some(
        Diagnostic::error(codes::NO_KERNEL_FUNCTION, title)
            .label(request.span, "a pattern means functions that can be traced")
            .note(why),
    )
}

/// What a symbol of that name is, if it is no function that can be traced: a note, and what to do.
fn symbol(
    request: &Request<'_>,
    module: Option<&str>,
    name: &str,
) -> Option<(&'static str, Option<String>)> {
    let symbols = request.session.target.symbols().ok()?;
    let mut all = symbols.by_name(name).filter(|s| s.module == module);
    let symbol = all.next()?;
    if !symbol.is_function() {
        return Some((
            "it is data",
            Some(format!(
                "kernel.data(\"{name}\").write is when it is written, @var(\"{name}\") what it is"
            )),
        ));
    }
    let why = if symbol.address != 0 && gone(&symbols).contains(&symbol.address) {
        "the kernel needed it for its own start only: it is gone"
    } else {
        "it is there, but must not be traced: it is code that probes themselves or the entry to the kernel need \
         (noinstr, notrace), or assembly"
    };
    Some((why, None))
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
