//! `.function("f")` with `.call` and `.return`: functions of programs and libraries, by uprobe and
//! uretprobe.
//!
//! Functions are found by ELF symbol. `$arg1` … `$arg6` are the registers of the C calling
//! convention, `$return` the result; types are not known without debug information.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::super::{Candidate, ContextVars, Request, Typed, VarInfo, glob, is_pattern};
use super::elsewhere;
use super::subject::Subject;
use crate::access::CType;
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::{Attach, ProcessScope};
use crate::lir::{Context, CtxReg, Exec};
use crate::resolve::Cx;
use crate::target::{Binary, BinaryFunction};

/// Registers that hold arguments.
const REGISTER_ARGS: u8 = 6;

/// What all functions of a point have in common.
#[derive(Clone)]
struct Common {
    binary: Arc<Binary>,
    scope: ProcessScope,
    condition: Option<String>,
}

/// The functions of one file that a point means.
pub(super) fn resolve(
    request: &Request<'_>,
    subject: &Subject,
    binary: &Arc<Binary>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let is_return = request.has("return");
    let written = request.text("function").unwrap_or_default();
    let pattern = written.split('@').next().unwrap_or_default();
    let found = functions(binary, pattern);
    if found.is_empty() {
        return Err(Box::new(missing(request, binary, pattern)));
    }
    if is_return && binary.is_go {
        return Err(Box::new(
            Diagnostic::error(
                codes::POINT_UNAVAILABLE,
                format!("'{}' is a Go program", binary.path),
            )
            .label(request.span, "its functions' returns cannot be probed")
            .note("Go moves its stacks, and a changed return address on them crashes the program")
            .help("probe the function's entry"),
        ));
    }
    let common = Common {
        binary: Arc::clone(binary),
        scope: subject.scope,
        condition: subject.condition(true),
    };
    Ok(found
        .into_iter()
        .map(|f| candidate(&common, &f, is_return))
        .collect())
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
    elsewhere(diag.help_if(did_you_mean(pattern, names)), binary)
}

fn candidate(common: &Common, found: &BinaryFunction, is_return: bool) -> Candidate {
    let Common {
        binary,
        scope,
        condition,
    } = common;
    let (path, scope) = (binary.path.clone(), *scope);
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
            let (common, found) = (common.clone(), found.clone());
            Rc::new(move || candidate(&common, &found, false)) as Rc<dyn Fn() -> Candidate>
        }),
        condition: condition.clone(),
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
