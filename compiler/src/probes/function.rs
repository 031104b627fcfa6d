//! `kernel.function("f")`, `module("m").function("f")`, `kprobe.function("f")` with `.call`,
//! `.return`, `.maxactive(n)`: functions of the kernel, by trampoline (fentry, fexit) or by
//! kprobe and kretprobe.
//!
//! Trampolines come first: they cost a fifth, and at the return the arguments are still
//! there. A pattern that means many functions takes kprobes where the kernel attaches one
//! program to all of them at once. Parameters and their types come from BTF.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Candidate, ContextVars, Kind, Request, Typed, VarInfo, glob, is_pattern};
use crate::access::{BtfType, CType};
use crate::btf::{Btf, Kind as BtfKind, Signature};
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::{Attach, KernelFunction};
use crate::lir::{Context, CtxReg, Exec};
use crate::resolve::Cx;
use crate::session::KprobeStyle;
use crate::target::{Feature, suggest};

pub(super) const KIND: Kind = Kind {
    name: "function",
    forms: &[
        "kernel.function(string)",
        "kernel.function(string).call",
        "kernel.function(string).return",
        "kernel.function(string).return.maxactive(number)",
        "module(string).function(string)",
        "module(string).function(string).call",
        "module(string).function(string).return",
        "module(string).function(string).return.maxactive(number)",
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

/// Most arguments that a trampoline passes on.
const MAX_TRAMPOLINE_ARGS: usize = 6;

/// How a function is probed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Fentry,
    Fexit,
    Kprobe,
    Kretprobe,
}

/// A function that a point means.
#[derive(Clone)]
struct Found {
    name: String,
    signature: Option<Signature>,
}

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let written = request.text("function").unwrap_or_default();
    let (pattern, file) = match written.split_once('@') {
        Some((name, file)) => (name, Some(file)),
        None => (written, None),
    };
    if file.is_some_and(|file| file.contains(':') || file.contains('*')) {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                "source lines are not known without debug information",
            )
            .label(request.span, "names a line of the kernel's source")
            .help(format!("probe the whole function: function(\"{pattern}\")")),
        ));
    }
    let module = request.text("module").filter(|_| request.has("module"));
    let is_return = request.has("return");
    let only_kprobe = request
        .components
        .first()
        .is_some_and(|c| &*c.name == "kprobe");
    let btf = match module {
        None => request.session.target.btf(),
        Some(module) => request.session.target.module_btf(module),
    };
    let found = match &btf {
        Ok(btf) => functions(request, btf, module, pattern),
        Err(_) => listed(request, module, pattern),
    };
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
    let mut refused = None;
    for function in found {
        match choose(request, &function, module, is_return, only_kprobe, many) {
            Ok(how) => out.push(candidate(maxactive, function, module, how)),
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        Some(why) if out.is_empty() => Err(Box::new(why.label(request.span, "this probe point"))),
        _ => Ok(out),
    }
}

/// The functions of a name or pattern, out of BTF and the list of traceable functions.
fn functions(request: &Request<'_>, btf: &Btf, module: Option<&str>, pattern: &str) -> Vec<Found> {
    let with_signature = |name: &str| Found {
        name: name.to_owned(),
        signature: btf.function(name).ok().flatten(),
    };
    if !is_pattern(pattern) {
        if btf.find(BtfKind::Func, pattern).is_some() {
            return vec![with_signature(pattern)];
        }
        // Optimised copies (`f.isra.0`) and assembly are not in BTF.
        return listed(request, module, pattern);
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
fn listed(request: &Request<'_>, module: Option<&str>, pattern: &str) -> Vec<Found> {
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
        })
        .collect()
}

/// How to probe a function on this kernel, or why it cannot be.
fn choose(
    request: &Request<'_>,
    function: &Found,
    module: Option<&str>,
    is_return: bool,
    only_kprobe: bool,
    many: bool,
) -> Result<How, Box<Diagnostic>> {
    let target = request.session.target;
    let style = request.session.options.kprobe_style;
    let trampoline = if is_return { How::Fexit } else { How::Fentry };
    let kprobe = if is_return {
        How::Kretprobe
    } else {
        How::Kprobe
    };
    let feature = if module.is_some() {
        Feature::FentryModule
    } else {
        Feature::Fentry
    };
    let no_trampoline = if target.has(feature) {
        match &function.signature {
            None => Some(format!(
                "the kernel's BTF does not describe '{}'",
                function.name
            )),
            Some(s) if s.variadic => Some("it takes a variable number of arguments".to_owned()),
            Some(s) if s.params.len() > MAX_TRAMPOLINE_ARGS => {
                Some(format!("it has more than {MAX_TRAMPOLINE_ARGS} parameters"))
            }
            Some(_) => None,
        }
    } else {
        Some(feature_missing(request, feature))
    };
    let no_kprobe =
        (!target.has(Feature::Kprobe)).then(|| feature_missing(request, Feature::Kprobe));
    let prefer_kprobe = many && target.has(Feature::KprobeMulti);
    let (first, second) = match style {
        KprobeStyle::Fentry => ((trampoline, &no_trampoline), None),
        KprobeStyle::Kprobe => ((kprobe, &no_kprobe), None),
        KprobeStyle::Auto if only_kprobe || prefer_kprobe => {
            ((kprobe, &no_kprobe), Some((trampoline, &no_trampoline)))
        }
        KprobeStyle::Auto => ((trampoline, &no_trampoline), Some((kprobe, &no_kprobe))),
    };
    if first.1.is_none() {
        return Ok(first.0);
    }
    if let Some((how, None)) = second {
        return Ok(how);
    }
    let title = format!("'{}' cannot be probed on this kernel", function.name);
    let mut diag = Diagnostic::error(codes::POINT_UNAVAILABLE, title);
    for (how, why) in [Some(first), second].into_iter().flatten() {
        let what = match how {
            How::Fentry | How::Fexit => "trampoline",
            How::Kprobe | How::Kretprobe => "kprobe",
        };
        if let Some(why) = why {
            diag = diag.note(format!("no {what}: {why}"));
        }
    }
    Err(Box::new(diag))
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

fn candidate(maxactive: u32, found: Found, module: Option<&str>, how: How) -> Candidate {
    let place = match module {
        None => "kernel".to_owned(),
        Some(module) => format!("module(\"{module}\")"),
    };
    let is_return = matches!(how, How::Fexit | How::Kretprobe);
    let text = format!(
        "{place}.function(\"{}\"){}",
        found.name,
        if is_return { ".return" } else { ".call" }
    );
    let function = KernelFunction {
        name: found.name.clone(),
        module: module.map(str::to_owned),
        btf_id: found.signature.as_ref().map_or(0, |s| s.attach_id.0),
        address: 0,
    };
    let entry: Rc<dyn Fn() -> Candidate> = {
        let (found, module) = (found.clone(), module.map(str::to_owned));
        let how = if how == How::Fexit {
            How::Fentry
        } else {
            How::Kprobe
        };
        Rc::new(move || candidate(0, found.clone(), module.as_deref(), how))
    };
    let args = found.signature.as_ref().map_or(0, |s| s.params.len());
    let (attach, context, share) = match how {
        How::Fentry => (Attach::Fentry(function), Context::Fentry, None),
        How::Fexit => (
            Attach::Fexit(function),
            Context::Fexit { args: args as u8 },
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
    let vars = FunctionVars {
        name: found.name.clone(),
        module: module.map(Rc::from),
        signature: found.signature,
        how,
    };
    Candidate {
        text,
        function: found.name,
        module: module.unwrap_or("kernel").to_owned(),
        attach,
        selector: None,
        exec: Exec::Kernel,
        context,
        vars: Rc::new(vars),
        share: share.map(str::to_owned),
        entry: is_return.then_some(entry),
        condition: None,
    }
}

/// No function of that name: says what was sought and what there is instead.
fn missing(
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
        return diag
            .label(request.span, note)
            .help_if(help.map(str::to_owned));
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
            .note("functions that the compiler has inlined everywhere do not exist in the kernel"),
        names => diag.help(format!("did you mean {}?", quoted(names))),
    }
}

/// `'a', 'b' or 'c'`.
fn quoted<S: AsRef<str>>(names: &[S]) -> String {
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

struct FunctionVars {
    name: String,
    module: Option<Rc<str>>,
    signature: Option<Signature>,
    how: How,
}

impl FunctionVars {
    fn value(&self, kind: ExprKind, ty: crate::btf::TypeId, span: Span) -> Typed {
        let expr = Expr::new(kind, Ty::Long, span);
        Typed {
            expr,
            ty: CType::Value(BtfType {
                module: self.module.clone(),
                id: ty,
            }),
        }
    }
}

impl ContextVars for FunctionVars {
    fn get(&self, _: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let signature = self.signature.as_ref()?;
        if name == "return" {
            let kind = match self.how {
                How::Fexit => ExprKind::CtxRet,
                How::Kretprobe => ExprKind::CtxReg(CtxReg::Ret),
                How::Fentry | How::Kprobe => return None,
            };
            return (!signature.result.is_void()).then(|| self.value(kind, signature.result, span));
        }
        let index = signature
            .params
            .iter()
            .position(|param| param.name == name)?;
        let number = u8::try_from(index).ok()?;
        let kind = match self.how {
            How::Fentry | How::Fexit => ExprKind::CtxArg(number),
            How::Kprobe | How::Kretprobe if index >= MAX_TRAMPOLINE_ARGS => return None,
            How::Kprobe => ExprKind::CtxReg(CtxReg::Arg(number)),
            How::Kretprobe => ExprKind::EntryArg(number),
        };
        Some(self.value(kind, signature.params[index].ty, span))
    }

    fn list(&self, cx: &Cx<'_>) -> Vec<VarInfo> {
        let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok();
        let c_type = |ty| btf.as_ref().map_or_else(String::new, |btf| btf.c_name(ty));
        let params = self.signature.iter().flat_map(|s| &s.params);
        params
            .filter(|param| !param.name.is_empty())
            .map(|param| VarInfo {
                name: param.name.clone(),
                c_type: c_type(param.ty),
            })
            .collect()
    }

    fn result(&self, cx: &Cx<'_>) -> Option<String> {
        if !matches!(self.how, How::Fexit | How::Kretprobe) {
            return None;
        }
        let result = self.signature.as_ref()?.result;
        let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok()?;
        (!result.is_void()).then(|| btf.c_name(result))
    }

    fn has_registers(&self) -> bool {
        matches!(self.how, How::Kprobe | How::Kretprobe)
    }

    fn is_return(&self) -> bool {
        matches!(self.how, How::Fexit | How::Kretprobe)
    }

    fn identity(&self) -> String {
        format!("{}:{}", self.module.as_deref().unwrap_or(""), self.name)
    }

    fn remark(&self, _: &Cx<'_>, name: &str) -> Option<String> {
        let Some(signature) = &self.signature else {
            return Some(format!(
                "the kernel's BTF does not describe '{}'; long_arg(n), pointer_arg(n) and returnval() work all the same",
                self.name
            ));
        };
        if name == "return" && self.is_return() && signature.result.is_void() {
            return Some(format!("'{}' returns nothing", self.name));
        }
        if name == "return" && !self.is_return() {
            return Some("only '.return' probes have a result".to_owned());
        }
        None
    }
}
