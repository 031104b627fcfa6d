//! `kernel.trace("[system:]name")`, `kernel.tracepoint("name")`, `module("m").tracepoint("name")`: tracepoints, typed by BTF
//! where the kernel can, else raw. Those of loaded modules are the kernel's too.
//!
//! Arguments are those of the tracepoint itself, named by BTF. A field of the event's
//! record that no argument is called like is taken from the argument that has a member of
//! that name, where only one does: `$prev_pid` is `$prev->pid`.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;
use rustc_hash::FxHashSet;

use super::function::modules;
use super::{Candidate, ContextVars, Kind, Request, Typed, VarInfo, glob, is_pattern, syscall};
use crate::access::{BtfType, CType, btf_of};
use crate::btf::{Btf, Param};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::Exec;
use crate::resolve::Cx;

pub(super) const KIND: Kind = Kind {
    name: "tracepoint",
    forms: &[
        "kernel.trace(string)",
        "kernel.tracepoint(string)",
        "module(string).trace(string)",
        "module(string).tracepoint(string)",
    ],
    doc: "a tracepoint of the kernel or a module; its arguments by name",
    resolve,
};

/// A tracepoint, and the module that has it.
type Home = (Option<Rc<str>>, String);

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let wanted = request
        .text("trace")
        .or_else(|| request.text("tracepoint"))
        .unwrap_or_default();
    let (system, name) = match wanted.split_once(':') {
        Some((system, name)) => (Some(system), name),
        None => (None, wanted),
    };
    let target = request.session.target;
    let btf = target.btf().map_err(|reason| {
        let title = "the kernel's tracepoints are not known";
        Box::new(reason.refusal(title, "needs them", request.span))
    })?;
    let own = request.text("module").filter(|_| request.has("module"));
    let mut homes: Vec<Home> = match own {
        Some(pattern) => in_modules(request, modules::named(request, pattern)?, name),
        None => {
            let mut all: Vec<Home> = named(&btf, name).map(|name| (None, name)).collect();
            if may_be_in_modules(request, system, name, &all) {
                let loaded = target.modules().unwrap_or_default();
                all.extend(in_modules(request, loaded.iter().cloned(), name));
            }
            all
        }
    };
    homes.sort();
    homes.dedup();
    if let Some(system) = system {
        in_system(request, system, name, &mut homes)?;
    }
    if homes.is_empty() {
        return Err(Box::new(missing(request, &btf, wanted, system, name)));
    }
    let mut found = Vec::new();
    for (module, name) in homes {
        let Ok(Some(signature)) =
            btf_of(target, module.as_deref()).map(|btf| btf.tracepoint(&name).ok().flatten())
        else {
            continue;
        };
        let (attach, context) = syscall::attachment(request.session, module.as_deref(), &name)
            .map_err(|diag| Box::new(diag.label(request.span, "this probe point")))?;
        let vars = TracepointVars {
            name: name.clone(),
            module: module.clone(),
            params: signature.params,
        };
        found.push(Candidate {
            text: format!("kernel.trace(\"{name}\")"),
            function: name,
            module: module.as_deref().unwrap_or("kernel").to_owned(),
            attach,
            selector: None,
            exec: Exec::Kernel,
            context,
            vars: Rc::new(vars),
            share: None,
            entry: None,
            condition: None,
        });
    }
    if found.is_empty() {
        return Err(Box::new(missing(request, &btf, wanted, system, name)));
    }
    Ok(found)
}

/// The tracepoints of a name or pattern that a blob describes.
fn named(btf: &Btf, name: &str) -> impl Iterator<Item = String> {
    let mut names: Vec<String> = if is_pattern(name) {
        let own = btf.own_tracepoints().filter(|other| glob(name, other));
        own.map(str::to_owned).collect()
    } else {
        let found = btf.tracepoint(name).ok().flatten();
        found.map(|_| name.to_owned()).into_iter().collect()
    };
    names.sort();
    names.dedup();
    names.into_iter()
}

/// The tracepoints of a name or pattern in modules.
fn in_modules(
    request: &Request<'_>,
    modules: impl IntoIterator<Item = String>,
    name: &str,
) -> Vec<Home> {
    let mut found = Vec::new();
    for module in modules {
        let Ok(btf) = request.session.target.module_btf(&module) else {
            continue;
        };
        let module: Rc<str> = module.into();
        // A name is found in the kernel's types too.
        let is_own = |other: &String| btf.own_tracepoints().any(|own| own == other);
        let names = named(&btf, name).filter(is_own);
        found.extend(names.map(|name| (Some(Rc::clone(&module)), name)));
    }
    found
}

/// Whether modules must be asked, each of which has a BTF to be read: not if tracefs lists nothing more.
fn may_be_in_modules(
    request: &Request<'_>,
    system: Option<&str>,
    name: &str,
    found: &[Home],
) -> bool {
    if !is_pattern(name) && !found.is_empty() {
        return false;
    }
    let Ok(all) = request.session.target.tracepoints() else {
        return true;
    };
    let known: FxHashSet<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
    // Those of system calls are no tracepoints of their own.
    let mut others = all.iter().filter(|(system, _)| system != "syscalls");
    others.any(|(s, n)| {
        system.is_none_or(|system| glob(system, s)) && glob(name, n) && !known.contains(n.as_str())
    })
}

/// No such tracepoint: what there is instead.
fn missing(
    request: &Request<'_>,
    btf: &Btf,
    wanted: &str,
    system: Option<&str>,
    name: &str,
) -> Diagnostic {
    let module = request.text("module").filter(|_| request.has("module"));
    let place = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
    let diag = Diagnostic::error(
        codes::NO_TRACEPOINT,
        format!("{place} has no tracepoint '{wanted}'"),
    );
    if system.is_some()
        && let Ok(all) = request.session.target.tracepoints()
        && let Some((system, name)) = all.iter().find(|(_, other)| other == name)
    {
        return diag
            .label(request.span, format!("it is in '{system}'"))
            .help(format!("write kernel.trace(\"{system}:{name}\")"));
    }
    let Some(pattern) = module else {
        let known = btf.own_tracepoints().map(str::to_owned);
        let near = near(name, known.chain(all_of(request, None)).collect());
        return diag
            .label(request.span, "not in the BTF of the kernel and its modules")
            .help_if(near)
            .help("rtap list 'kernel.trace(\"*\")' shows all of them");
    };
    let diag = diag.label(request.span, "not in its BTF");
    let own = request.session.target.module_btf(pattern);
    let diag = match own.err().filter(|_| !is_pattern(pattern)) {
        Some(why) => diag.note(why.to_string()),
        None => diag,
    };
    diag.help_if(near(name, all_of(request, Some(pattern)).collect()))
        .help(format!(
            "rtap list 'module(\"{pattern}\").trace(\"*\")' shows all of them"
        ))
}

/// The tracepoints of the loaded modules of such names.
fn all_of<'r>(
    request: &'r Request<'_>,
    pattern: Option<&'r str>,
) -> impl Iterator<Item = String> + use<'r> {
    let target = request.session.target;
    let modules = target.modules().unwrap_or_default();
    let wanted = move |module: &&String| pattern.is_none_or(|pattern| glob(pattern, module));
    let blobs: Vec<Btf> = modules
        .iter()
        .filter(wanted)
        .filter_map(|module| target.module_btf(module).ok())
        .collect();
    blobs.into_iter().flat_map(|btf| {
        let names: Vec<String> = btf.own_tracepoints().map(str::to_owned).collect();
        names
    })
}

fn near(name: &str, known: Vec<String>) -> Option<String> {
    did_you_mean(name, known.iter().map(String::as_str))
}

/// Keeps the tracepoints of a system, as tracefs has it. Where tracefs cannot tell, an exact name is
/// taken at its word.
fn in_system(
    request: &Request<'_>,
    system: &str,
    name: &str,
    homes: &mut Vec<Home>,
) -> Result<(), Box<Diagnostic>> {
    // System call events have no record of their own in some kernels.
    if matches!((system, name), ("raw_syscalls", "sys_enter" | "sys_exit")) {
        return Ok(());
    }
    match request.session.target.tracepoints() {
        Ok(all) => {
            homes.retain(|(_, name)| all.iter().any(|(s, n)| glob(system, s) && n == name));
            Ok(())
        }
        Err(_) if !is_pattern(name) => Ok(()),
        Err(reason) => {
            let title = "the systems of tracepoints are not known";
            let diag = reason.refusal(title, "needs them", request.span);
            Err(Box::new(diag.help(format!(
                "leave '{system}:' out, if the name is enough"
            ))))
        }
    }
}

struct TracepointVars {
    name: String,
    module: Option<Rc<str>>,
    params: Vec<Param>,
}

impl TracepointVars {
    fn typed(&self, param: &Param, index: usize, span: Span) -> Option<Typed> {
        let expr = Expr::new(ExprKind::CtxArg(u8::try_from(index).ok()?), Ty::Long, span);
        Some(Typed {
            expr,
            ty: CType::Value(BtfType {
                made: None,
                module: self.module.clone(),
                id: param.ty,
            }),
        })
    }

    fn argument(&self, name: &str, span: Span) -> Option<Typed> {
        let index = self.params.iter().position(|param| param.name == name)?;
        self.typed(&self.params[index], index, span)
    }

    /// The argument and member that a record's field is likely made of.
    fn field(&self, btf: &Btf, field: &str) -> Option<(usize, String)> {
        let has = |param: &Param, member: &str| {
            btf.pointee(param.ty)
                .is_some_and(|to| matches!(btf.find_member(to, member), Ok(Some(_))))
        };
        for (index, param) in self.params.iter().enumerate() {
            let member = field
                .strip_prefix(param.name.as_str())
                .and_then(|rest| rest.strip_prefix('_'));
            if let Some(member) =
                member.filter(|member| !param.name.is_empty() && has(param, member))
            {
                return Some((index, member.to_owned()));
            }
        }
        let mut all = self
            .params
            .iter()
            .enumerate()
            .filter(|(_, param)| has(param, field));
        match (all.next(), all.next()) {
            (Some((index, _)), None) => Some((index, field.to_owned())),
            _ => None,
        }
    }
}

impl ContextVars for TracepointVars {
    fn get(&self, cx: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        if name == "$name" || name == "name" && !self.params.iter().any(|p| p.name == "name") {
            return None;
        }
        if let Some(number) = name
            .strip_prefix("arg")
            .and_then(|n| n.parse::<usize>().ok())
            && self.argument(name, span).is_none()
        {
            let index = number.checked_sub(1)?;
            return self.typed(self.params.get(index)?, index, span);
        }
        if let Some(typed) = self.argument(name, span) {
            return Some(typed);
        }
        let btf = btf_of(cx.session.target, self.module.as_deref()).ok()?;
        let tracepoints = cx.session.target.tracepoints().ok()?;
        let (system, event) = tracepoints.iter().find(|(_, event)| *event == self.name)?;
        let format = cx.session.target.tracepoint_format(system, event).ok()?;
        format.fields.iter().find(|field| field.name == name)?;
        let (index, member) = self.field(&btf, name)?;
        let base = self.typed(&self.params[index], index, span)?;
        cx.member_of(base, &member, span)
    }

    fn list(&self, cx: &Cx<'_>) -> Vec<VarInfo> {
        let btf = btf_of(cx.session.target, self.module.as_deref()).ok();
        let c_type = |param: &Param| {
            btf.as_ref()
                .map_or_else(String::new, |btf| btf.c_name(param.ty))
        };
        self.params
            .iter()
            .filter(|param| !param.name.is_empty())
            .map(|param| VarInfo {
                name: param.name.clone(),
                c_type: c_type(param),
            })
            .collect()
    }

    fn identity(&self) -> String {
        self.name.clone()
    }

    fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    fn remark(&self, cx: &Cx<'_>, name: &str) -> Option<String> {
        let tracepoints = cx.session.target.tracepoints().ok()?;
        let (system, event) = tracepoints.iter().find(|(_, event)| *event == self.name)?;
        let format = cx.session.target.tracepoint_format(system, event).ok()?;
        format.fields.iter().find(|field| field.name == name)?;
        Some(format!(
            "'{name}' is a field of the event's record, computed when it is printed; at the tracepoint \
             itself there are only its arguments"
        ))
    }
}
