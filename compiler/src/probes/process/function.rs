//! `.function("f")` with `.call`, `.inline`, `.exported` and `.return`, `.plt("f")` with `.return`: functions of programs
//! and libraries, and the stubs through which they call those of others, by uprobe and uretprobe.
//!
//! Functions are found by ELF symbol, those of source files and lines by debug information. `$arg1` … `$arg6` are the registers of the C calling
//! convention, `$return` the result; types are not known without debug information.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::super::source::{self, Wanted};
use super::super::{Candidate, ContextVars, Request, Typed, VarInfo, glob, is_pattern};
use super::elsewhere;
use super::source as of_source;
use super::subject::Subject;
use crate::access::CType;
use crate::dwarf::{Instances, Lines};
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::{Attach, ProcessScope};
use crate::lir::{Context, CtxReg, Exec};
use crate::resolve::Cx;
use crate::target::{Binary, BinaryFunction};

/// Registers that hold arguments.
const REGISTER_ARGS: u8 = 6;

/// What all functions of a point have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub binary: Arc<Binary>,
    /// `function`, `plt` or `statement`.
    pub component: &'static str,
    pub scope: ProcessScope,
    pub condition: Option<String>,
}

/// A place in the code.
#[derive(Clone)]
pub(super) struct Point {
    /// The function there, by its name; or the one that is around.
    pub function: BinaryFunction,
    /// What names it in the point: `"f"`, `"f@file.c:3"`, `0x1000`.
    pub shown: String,
}

/// Where in a function a point is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
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
    let mut found = if is_plt {
        let pattern = written.split_once('@').map_or(written, |(name, _)| name);
        let stubs = functions(binary.plt(), pattern);
        if stubs.is_empty() {
            return Err(Box::new(missing_stub(request, binary, pattern)));
        }
        stubs.into_iter().map(Point::by_name).collect()
    } else {
        let place = source::Place::parse(written, request.span)?;
        if request.has("inline") {
            let info = of_source::read(request, binary)?;
            let inlined = Wanted::Functions(Instances::Inlined);
            of_source::find(request, binary, &info, &place, inlined)?
        } else {
            named(request, binary, &place)?
        }
    };
    if request.has("exported") {
        found.retain(|point| point.function.exported);
        if found.is_empty() {
            let name = written.split('@').next().unwrap_or(written);
            return Err(Box::new(missing(request, binary, name)));
        }
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
    let place = match (is_return, request.has("inline")) {
        (true, _) => Where::Return,
        (false, true) => Where::Inside,
        (false, false) => Where::Entry,
    };
    Ok(found
        .into_iter()
        .map(|point| candidate(&common, &point, place).named_for(request))
        .collect())
}

/// The functions that a point means. Without debug information a name says which it is, whatever its file.
fn named(
    request: &Request<'_>,
    binary: &Binary,
    place: &source::Place<'_>,
) -> Result<Vec<Point>, Box<Diagnostic>> {
    if place.file.is_some() {
        match of_source::read(request, binary) {
            Ok(info) => {
                return of_source::find(
                    request,
                    binary,
                    &info,
                    place,
                    Wanted::Functions(Instances::Called),
                );
            }
            Err(why) if place.lines != Lines::First || is_pattern(place.function) => {
                return Err(why);
            }
            Err(_) => {}
        }
    }
    let found = functions(binary.functions(), place.function);
    if found.is_empty() {
        return Err(Box::new(missing(request, binary, place.function)));
    }
    Ok(found.into_iter().map(Point::by_name).collect())
}

impl Point {
    /// A function by its name alone.
    pub fn by_name(function: BinaryFunction) -> Self {
        let shown = format!("\"{}\"", function.name);
        Point { function, shown }
    }
}

/// The functions of a name or pattern; of those at one address, the first.
pub(super) fn functions(all: &[BinaryFunction], pattern: &str) -> Vec<BinaryFunction> {
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

pub(super) fn missing(request: &Request<'_>, binary: &Binary, pattern: &str) -> Diagnostic {
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

pub(super) fn candidate(common: &Common, point: &Point, place: Where) -> Candidate {
    let Common {
        binary,
        component,
        scope,
        condition,
    } = common;
    let is_return = place == Where::Return;
    let (path, scope) = (binary.path.clone(), *scope);
    let Point { function, shown } = point;
    let suffix = match (*component, place) {
        (_, Where::Return) => ".return",
        ("function", Where::Inside) => ".inline",
        ("function", Where::Entry) => ".call",
        _ => "",
    };
    let text = format!("process(\"{path}\").{component}({shown}){suffix}");
    let offset = function.offset;
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
        function: function.name.to_string(),
        module: path,
        attach,
        selector: None,
        exec: Exec::Kernel,
        context: Context::Regs,
        vars: Rc::new(UserVars { place }),
        share: Some(if is_return { "uretprobe" } else { "uprobe" }.to_owned()),
        entry: is_return.then(|| {
            let (common, point) = (common.clone(), point.clone());
            Rc::new(move || candidate(&common, &point, Where::Entry)) as Rc<dyn Fn() -> Candidate>
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
        Some(
            "names and types of a program's parameters are in debug information (DWARF), of which rtap reads files, lines and inlined functions only"
                .to_owned(),
        )
    }
}
