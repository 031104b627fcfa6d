//! `.function("f")` with `.call`, `.exported` and `.return`, `.plt("f")` with `.return`: functions of programs
//! and libraries, and the stubs through which they call those of others, by uprobe and uretprobe.
//! `.statement(address)`: any instruction.
//!
//! Functions are found by ELF symbol. `$arg1` … `$arg6` are the registers of the C calling
//! convention, `$return` the result; types are not known without debug information.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::super::{Candidate, ContextVars, Request, Typed, VarInfo, debug_info, glob, is_pattern};
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
    /// `function` or `plt`.
    component: &'static str,
    scope: ProcessScope,
    condition: Option<String>,
}

/// Where in a function a point is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Entry,
    Return,
    /// At some instruction: arguments may have left their registers.
    Inside,
}

/// The functions of one file that a point means.
pub(super) fn resolve(
    request: &Request<'_>,
    subject: &Subject,
    binary: &Arc<Binary>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let is_return = request.has("return");
    let is_plt = request.has("plt");
    let written = match request.text("function") {
        Some(name) => name,
        None => request.text("plt").unwrap_or("*"),
    };
    let (pattern, file) = written.split_once('@').unwrap_or((written, ""));
    let refused = if file.contains([':', '+']) {
        Some((
            "a line is named here",
            "name an instruction: .statement(ADDRESS), the address as `objdump -dl` shows it",
        ))
    } else if !file.is_empty() && is_pattern(pattern) {
        Some((
            "means the functions of a source file",
            "name the functions: `rtap list 'process(\"PATH\").**'` shows them",
        ))
    } else {
        None
    };
    if let Some((label, help)) = refused {
        return Err(Box::new(debug_info::no_source(
            false,
            label,
            help.to_owned(),
            request.span,
        )));
    }
    let mut found = functions(
        if is_plt {
            binary.plt()
        } else {
            binary.functions()
        },
        pattern,
    );
    if request.has("exported") {
        found.retain(|function| function.exported);
    }
    if found.is_empty() {
        return Err(Box::new(if is_plt {
            missing_stub(request, binary, pattern)
        } else {
            missing(request, binary, pattern)
        }));
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
        component: if is_plt { "plt" } else { "function" },
        scope: subject.scope,
        condition: subject.condition(true),
    };
    let place = if is_return {
        Where::Return
    } else {
        Where::Entry
    };
    Ok(found
        .into_iter()
        .map(|f| candidate(&common, &f, place))
        .collect())
}

/// The instruction at an address.
pub(super) fn at_address(
    request: &Request<'_>,
    subject: &Subject,
    binary: &Arc<Binary>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let address = request.number("statement").unwrap_or_default() as u64;
    let Some(offset) = binary
        .file_offset(address)
        .filter(|_| binary.is_code(address))
    else {
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_SYMBOL,
                format!("'{}' has no code at {address:#x}", binary.path),
            )
            .label(request.span, "in none of its segments that can be executed")
            .note("addresses are those that the file was linked for, as `nm` and `objdump -d` show them"),
        ));
    };
    let holder = binary.function_at(address);
    let found = BinaryFunction {
        name: holder.map_or_else(|| "".into(), |f| f.name.clone()),
        address,
        size: 0,
        offset,
        exported: false,
        is_ifunc: false,
    };
    let common = Common {
        binary: Arc::clone(binary),
        component: "statement",
        scope: subject.scope,
        condition: subject.condition(true),
    };
    let place = match holder {
        Some(function) if function.address == address => Where::Entry,
        _ => Where::Inside,
    };
    Ok(vec![candidate(&common, &found, place)])
}

/// The functions of a name or pattern; of those at one address, the first.
fn functions(all: &[BinaryFunction], pattern: &str) -> Vec<BinaryFunction> {
    let (of_name, among) = if is_pattern(pattern) {
        (None, all)
    } else {
        let start = all.partition_point(|f| *f.name < *pattern);
        (Some(pattern), &all[start..])
    };
    let mut seen = BTreeSet::new();
    among
        .iter()
        .take_while(|f| of_name.is_none_or(|name| *f.name == *name))
        .filter(|f| of_name.is_some() || glob(pattern, &f.name) && !f.is_ifunc)
        .filter(|f| seen.insert(f.offset))
        .cloned()
        .collect()
}

fn missing_stub(request: &Request<'_>, binary: &Binary, pattern: &str) -> Diagnostic {
    let diag = Diagnostic::error(
        codes::NO_SYMBOL,
        format!("'{}' calls no '{pattern}' of another object", binary.path),
    )
    .label(request.span, "not in its procedure linkage table");
    if binary.plt().is_empty() {
        return diag
            .note("it has no such table: it is static, or was compiled with -fno-plt")
            .help("probe the function in its library");
    }
    diag.help_if(did_you_mean(pattern, binary.plt().iter().map(|f| &*f.name)))
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

fn candidate(common: &Common, found: &BinaryFunction, place: Where) -> Candidate {
    let Common {
        binary,
        component,
        scope,
        condition,
    } = common;
    let is_return = place == Where::Return;
    let (path, scope) = (binary.path.clone(), *scope);
    let text = match (*component, place) {
        ("statement", _) => format!("process(\"{path}\").statement({:#x})", found.address),
        (_, Where::Return) => format!("process(\"{path}\").{component}(\"{}\").return", found.name),
        ("function", _) => format!("process(\"{path}\").function(\"{}\").call", found.name),
        _ => format!("process(\"{path}\").{component}(\"{}\")", found.name),
    };
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
        vars: Rc::new(UserVars { place }),
        share: Some(if is_return { "uretprobe" } else { "uprobe" }.to_owned()),
        entry: is_return.then(|| {
            let (common, found) = (common.clone(), found.clone());
            Rc::new(move || candidate(&common, &found, Where::Entry)) as Rc<dyn Fn() -> Candidate>
        }),
        condition: condition.clone(),
    }
}

struct UserVars {
    place: Where,
}

impl ContextVars for UserVars {
    fn get(&self, _: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let kind = if name == "return" {
            if self.place != Where::Return {
                return None;
            }
            ExprKind::CtxReg(CtxReg::Ret)
        } else {
            let number: u8 = name.strip_prefix("arg")?.parse().ok()?;
            let index = number
                .checked_sub(1)
                .filter(|index| *index < REGISTER_ARGS)?;
            match self.place {
                Where::Entry => ExprKind::CtxReg(CtxReg::Arg(index)),
                Where::Return => ExprKind::EntryArg(index),
                Where::Inside => return None,
            }
        };
        Some(Typed {
            expr: Expr::new(kind, Ty::Long, span),
            ty: CType::Long,
        })
    }

    fn list(&self, _: &Cx<'_>) -> Vec<VarInfo> {
        let count = match self.place {
            Where::Entry | Where::Return => REGISTER_ARGS,
            Where::Inside => 0,
        };
        (1..=count)
            .map(|n| VarInfo {
                name: format!("arg{n}"),
                c_type: "long".to_owned(),
            })
            .collect()
    }

    fn result(&self, _: &Cx<'_>) -> Option<String> {
        self.is_return().then(|| "long".to_owned())
    }

    fn has_registers(&self) -> bool {
        true
    }

    fn is_return(&self) -> bool {
        self.place == Where::Return
    }

    /// All functions have the same variables.
    fn identity(&self) -> String {
        match self.place {
            Where::Entry | Where::Return => String::new(),
            Where::Inside => "inside".to_owned(),
        }
    }

    fn remark(&self, _: &Cx<'_>, _: &str) -> Option<String> {
        Some("names and types of a program's parameters need debug information".to_owned())
    }
}
