//! `process("path").function("f")` with `.call` and `.return`, `process.function(…)` for the program of
//! `-c`, `process(PID).function(…)`, `.library("so").function(…)`: functions of programs and libraries,
//! by uprobe and uretprobe.
//!
//! Functions are found by ELF symbol. `$arg1` … `$arg6` are the registers of the C calling
//! convention, `$return` the result; types are not known without debug information.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::{
    Arg, Candidate, ContextVars, Kind, Request, Typed, VarInfo, function, glob, is_pattern,
};
use crate::access::CType;
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::{Attach, ProcessScope};
use crate::lir::{Context, CtxReg, Exec};
use crate::resolve::Cx;
use crate::target::{Binary, BinaryError, BinaryFunction, Feature};

pub(super) const KIND: Kind = Kind {
    name: "process",
    forms: &[
        "process(string).function(string)",
        "process(string).function(string).call",
        "process(string).function(string).return",
        "process(string).library(string).function(string)",
        "process(string).library(string).function(string).call",
        "process(string).library(string).function(string).return",
        "process(number).function(string)",
        "process(number).function(string).call",
        "process(number).function(string).return",
        "process.function(string)",
        "process.function(string).call",
        "process.function(string).return",
        "process.library(string).function(string)",
        "process.library(string).function(string).call",
        "process.library(string).function(string).return",
    ],
    doc: "entry or return of a function of a program or library",
    resolve,
};

/// Registers that hold arguments.
const REGISTER_ARGS: u8 = 6;

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let session = request.session;
    if !session.target.has(Feature::Uprobe) {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                "programs cannot be probed on this kernel",
            )
            .label(request.span, "this probe point")
            .note(function::feature_missing(request, Feature::Uprobe)),
        ));
    }
    let (path, scope) = program(request)?;
    let path = request.text("library").map_or(path, str::to_owned);
    let binary = session.target.binary(&path).map_err(|why| {
        Box::new(
            Diagnostic::error(codes::NO_PROGRAM, format!("cannot probe '{path}'"))
                .label(request.span, why.to_string())
                .help_if(remedy(&why).map(str::to_owned)),
        )
    })?;
    let is_return = request.has("return");
    let written = request.text("function").unwrap_or_default();
    let pattern = written.split('@').next().unwrap_or_default();
    let found = functions(&binary, pattern);
    if found.is_empty() {
        return Err(Box::new(missing(request, &binary, pattern)));
    }
    if is_return && binary.is_go {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                format!("'{path}' is a Go program"),
            )
            .label(request.span, "its functions' returns cannot be probed")
            .note("Go moves its stacks, and a changed return address on them crashes the program")
            .help("probe the function's entry"),
        ));
    }
    Ok(found
        .into_iter()
        .map(|f| candidate(&binary, &f, scope, is_return))
        .collect())
}

fn remedy(why: &BinaryError) -> Option<&'static str> {
    match why {
        BinaryError::NotFound { .. } => {
            Some("is the path right? It is looked up when the script is compiled")
        }
        BinaryError::NotInPath { .. } => Some("give its full path"),
        BinaryError::Permission { .. } => Some("run as a user who may read it"),
        BinaryError::Script { .. } => {
            Some("probe the interpreter, or the compiled program that the script starts")
        }
        BinaryError::NotElf { .. }
        | BinaryError::Not64Bit { .. }
        | BinaryError::OtherMachine { .. }
        | BinaryError::Damaged { .. }
        | BinaryError::Io { .. } => None,
    }
}

/// The file and the processes that a point means.
fn program(request: &Request<'_>) -> Result<(String, ProcessScope), Box<Diagnostic>> {
    let options = &request.session.options;
    let scope = if options.has_target {
        ProcessScope::Target
    } else {
        ProcessScope::All
    };
    match request.components.first().and_then(|c| c.arg.as_ref()) {
        Some(Arg::Text(path)) => Ok((path.clone(), scope)),
        Some(Arg::Number(pid)) => match u32::try_from(*pid) {
            Ok(pid) if pid > 0 => Ok((format!("/proc/{pid}/exe"), ProcessScope::Pid(pid))),
            _ => Err(Box::new(
                Diagnostic::error(codes::BAD_POINT, format!("{pid} is no process id"))
                    .label(request.span, "in this probe point"),
            )),
        },
        None => match &options.command {
            Some(command) => Ok((command.clone(), ProcessScope::Target)),
            None => Err(Box::new(
                Diagnostic::error(codes::BAD_POINT, "which process is not said")
                    .label(request.span, "no program named here")
                    .help("name it, process(\"path\"), or run a command with -c"),
            )),
        },
    }
}

/// The functions of a name or pattern; of those at one address, the first.
fn functions(binary: &Arc<Binary>, pattern: &str) -> Vec<BinaryFunction> {
    if !is_pattern(pattern) {
        let mut found = binary.function(pattern).to_vec();
        found.dedup_by_key(|f| f.offset);
        return found;
    }
    let mut seen = BTreeSet::new();
    let matching = binary
        .functions()
        .iter()
        .filter(|f| glob(pattern, &f.name) && !f.is_ifunc);
    matching
        .filter(|f| seen.insert(f.offset))
        .cloned()
        .collect()
}

fn missing(request: &Request<'_>, binary: &Binary, pattern: &str) -> Diagnostic {
    let what = if is_pattern(pattern) {
        "function like"
    } else {
        "function"
    };
    let diag = Diagnostic::error(
        codes::NO_SYMBOL,
        format!("'{}' has no {what} '{pattern}'", binary.path),
    )
    .label(request.span, "not among its symbols");
    if binary.functions().is_empty() {
        return diag.note("it has no symbols at all: it is stripped");
    }
    let names = binary.functions().iter().map(|f| &*f.name);
    let diag = diag.help_if(did_you_mean(pattern, names));
    if binary.needed.is_empty() {
        return diag;
    }
    diag.note(format!(
        "it may be in a library that it uses: {}",
        binary.needed.join(", ")
    ))
}

fn candidate(
    binary: &Arc<Binary>,
    found: &BinaryFunction,
    scope: ProcessScope,
    is_return: bool,
) -> Candidate {
    let path = binary.path.clone();
    let text = format!(
        "process(\"{path}\").function(\"{}\"){}",
        found.name,
        if is_return { ".return" } else { ".call" }
    );
    let offset = found.offset;
    let attach = if is_return {
        Attach::Uretprobe {
            path: path.clone(),
            offset,
            scope,
            save_entry: false,
        }
    } else {
        Attach::Uprobe {
            path: path.clone(),
            offset,
            ref_ctr_offset: 0,
            scope,
        }
    };
    Candidate {
        text,
        function: found.name.to_string(),
        module: path,
        attach,
        selector: None,
        exec: Exec::Kernel,
        context: Context::Regs,
        vars: Rc::new(UserVars { is_return }),
        share: Some(if is_return { "uretprobe" } else { "uprobe" }.to_owned()),
        entry: is_return.then(|| {
            let (binary, found) = (Arc::clone(binary), found.clone());
            Rc::new(move || candidate(&binary, &found, scope, false)) as Rc<dyn Fn() -> Candidate>
        }),
    }
}

struct UserVars {
    is_return: bool,
}

impl ContextVars for UserVars {
    fn get(&self, _: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let kind = if name == "return" {
            if !self.is_return {
                return None;
            }
            ExprKind::CtxReg(CtxReg::Ret)
        } else {
            let number: u8 = name.strip_prefix("arg")?.parse().ok()?;
            let index = number
                .checked_sub(1)
                .filter(|index| *index < REGISTER_ARGS)?;
            if self.is_return {
                ExprKind::EntryArg(index)
            } else {
                ExprKind::CtxReg(CtxReg::Arg(index))
            }
        };
        Some(Typed {
            expr: Expr::new(kind, Ty::Long, span),
            ty: CType::Long,
        })
    }

    fn list(&self, _: &Cx<'_>) -> Vec<VarInfo> {
        (1..=REGISTER_ARGS)
            .map(|n| VarInfo {
                name: format!("arg{n}"),
                c_type: "long".to_owned(),
            })
            .collect()
    }

    fn result(&self, _: &Cx<'_>) -> Option<String> {
        self.is_return.then(|| "long".to_owned())
    }

    fn has_registers(&self) -> bool {
        true
    }

    fn is_return(&self) -> bool {
        self.is_return
    }

    /// All functions have the same variables.
    fn identity(&self) -> String {
        String::new()
    }

    fn remark(&self, _: &Cx<'_>, _: &str) -> Option<String> {
        Some("names and types of a program's parameters need debug information".to_owned())
    }
}
