//! `@var("name")`, `@var("name@file.c")`, `@var("name", "module")`: variables of the kernel and its modules.
//!
//! Where they are, /proc/kallsyms of the running kernel tells when a script begins: each has a global of its own,
//! which a probe made here sets. Their types are in BTF for per-CPU variables, of which the current
//! CPU's is meant, else in debug information ([`super::debug_var`]).

use std::rc::Rc;

use rtap_grammar::ast::{self, ExprKind as Ast};
use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::debug_var::find;
use super::{BtfType, CType, add};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::BinOp;
use crate::probes::{Typed, module_name};
use crate::resolve::{Cx, int};
use crate::target::{Fetch, KernelObject, Unavailable, suggest};

/// The symbol that tells where the kernel is loaded.
const KERNEL_START: &str = "_text";

/// A variable as it is written.
pub(super) struct Named {
    pub name: String,
    pub file: Option<String>,
    pub module: Option<String>,
    pub span: Span,
}

impl Named {
    fn parse(args: &[ast::Expr], span: Span) -> Option<Self> {
        let text = |n: usize| match args.get(n).map(|arg| &arg.kind) {
            Some(Ast::String(text)) => Some(text.to_string()),
            _ => None,
        };
        let written = text(0)?;
        let (name, file) = match written.split_once('@') {
            Some((name, file)) => (name.to_owned(), Some(file.to_owned())),
            None => (written, None),
        };
        Some(Self {
            name,
            file,
            module: text(1).filter(|module| module != "kernel").map(|module| {
                if is_program(&module) {
                    module
                } else {
                    module_name(&module)
                }
            }),
            span,
        })
    }

    pub fn whose(&self) -> String {
        let module = self.module.as_deref();
        module.map_or("the kernel".to_owned(), |m| format!("module {m}"))
    }
}

impl Cx<'_> {
    /// The variable as an object in memory.
    pub(super) fn kernel_variable(
        &mut self,
        args: &[ast::Expr],
        fetch: Fetch,
        span: Span,
    ) -> Option<Typed> {
        let named = self.named_variable(args, span)?;
        let (address, in_btf) = self.located_variable(&named)?;
        let ty = match in_btf {
            Some(ty) => ty,
            None => {
                let found = find(self.session.target, &named, fetch);
                let ty = found.and_then(|found| found.ty(self.session.target, &named));
                ty.map_err(|diag| self.report(*diag)).ok()?
            }
        };
        Some(Typed {
            expr: address,
            ty: CType::Object(ty),
        })
    }

    /// `&@var("name")`
    pub(super) fn variable_address(&mut self, args: &[ast::Expr], span: Span) -> Option<Expr> {
        let named = self.named_variable(args, span)?;
        Some(self.located_variable(&named)?.0)
    }

    fn named_variable(&mut self, args: &[ast::Expr], span: Span) -> Option<Named> {
        let named = Named::parse(args, span)?;
        if named.module.as_deref().is_some_and(is_program) {
            self.fail(
                codes::NOT_SUPPORTED,
                "@var knows variables of the kernel and its modules only",
                span,
                "programs' variables are in debug information (DWARF), of which rtap reads files and lines only",
            );
            return None;
        }
        Some(named)
    }

    /// Address and, where BTF has it, type.
    fn located_variable(&mut self, named: &Named) -> Option<(Expr, Option<BtfType>)> {
        let Named {
            name, module, span, ..
        } = named;
        let (module, span) = (module.as_deref(), *span);
        let count = self.count_symbols(named)?;
        // What is in a file at an address is as far from others of its section when that runs.
        if count > 1 && named.file.is_some() {
            if let Err(why) = self.session.target.kernel_object(module, Fetch::Yes) {
                let diag = several(named, count).note(why.to_string());
                self.report(diag.help_if(why.help()));
                return None;
            }
            let found = find(self.session.target, named, Fetch::Yes);
            let found = found.map_err(|diag| self.report(*diag)).ok()?;
            let place = (&*found.object, module);
            let Some(address) = self.in_kernel(place, found.address, span) else {
                self.not_one(named, count);
                return None;
            };
            return Some((address, None));
        }
        if count != 1 {
            self.not_one(named, count);
            return None;
        }
        let btf = super::btf_of(self.session.target, module).ok();
        let var = btf.as_ref().and_then(|btf| btf.find_var(name));
        let per_cpu = match (&btf, var) {
            (Some(btf), Some((var, _))) => btf.is_per_cpu(var),
            // Those of no type in BTF are known by their addresses, which no code or data has.
            _ => self.is_offset(name, module),
        };
        let mut address = self.symbol_address(name, module, span)?;
        if per_cpu {
            let offset = self.per_cpu_offset(span)?;
            let sum = ExprKind::Bin(BinOp::Add, Box::new(address), Box::new(offset));
            address = Expr::new(sum, Ty::Long, span);
        }
        let ty = var.map(|(_, id)| BtfType::of(module.map(Rc::from), id));
        Some((address, ty))
    }

    /// Where the running kernel has what is at an address of its or a module's file and is not per-CPU; `None` if that is
    /// not known.
    pub(crate) fn in_kernel(
        &mut self,
        (object, module): (&KernelObject, Option<&str>),
        address: u64,
        span: Span,
    ) -> Option<Expr> {
        let symbols = self.session.target.symbols().ok()?;
        if !symbols.has_addresses() {
            return None;
        }
        let (name, start) = match module {
            None => {
                let start = object.named(KERNEL_START).next()?.start;
                (KERNEL_START.to_owned(), start)
            }
            Some(module) => object.beside(address, &symbols, module)?,
        };
        let loaded = self.symbol_address(&name, module, span)?;
        let away = address.wrapping_sub(start).cast_signed();
        Some(add(loaded, int(away, span), span))
    }

    /// How far the current CPU's variables are from where their symbols are.
    fn per_cpu_offset(&mut self, span: Span) -> Option<Expr> {
        let named = Named {
            name: "__per_cpu_offset".to_owned(),
            file: None,
            module: None,
            span,
        };
        let count = self.count_symbols(&named)?;
        if count != 1 {
            self.not_one(&named, count);
            return None;
        }
        let offsets = self.symbol_address("__per_cpu_offset", None, span)?;
        let function = ast::Ident::new("_per_cpu_offset", span);
        let read = self.find_function(&function, 1)?;
        Some(Expr::new(
            ExprKind::Call(read, vec![offsets]),
            Ty::Long,
            span,
        ))
    }

    /// Whether what a symbol tells is no address of the kernel: how far a variable is from where a CPU has its own.
    fn is_offset(&self, name: &str, module: Option<&str>) -> bool {
        let symbols = self.session.target.symbols().unwrap_or_default();
        let mut same = symbols.by_name(name).filter(|s| s.module == module);
        same.any(|symbol| symbol.address.cast_signed() > 0)
    }

    /// How many symbols have the name; reports if that is not known.
    fn count_symbols(&mut self, named: &Named) -> Option<usize> {
        let symbols = match self.session.target.symbols() {
            Ok(symbols) if symbols.has_addresses() => Ok(symbols),
            Ok(_) => Err(Unavailable::AddressesHidden),
            Err(why) => Err(why),
        };
        let symbols = symbols.map_err(|why| {
            let whose = named.whose();
            let title = format!("the addresses of {whose}'s variables are not known");
            self.report(why.refusal(title, "needs one", named.span));
        });
        let symbols = symbols.ok()?;
        let module = named.module.as_deref();
        let of_name = symbols.by_name(&named.name);
        Some(of_name.filter(|symbol| symbol.module == module).count())
    }

    /// Reports a name that is not that of one symbol.
    fn not_one(&mut self, named: &Named, count: usize) {
        let Named { name, span, .. } = named;
        let whose = named.whose();
        if count > 1 {
            let module = named.module.as_deref();
            let module = module.map_or(String::new(), |module| format!(", \"{module}\""));
            let help =
                format!("with debug information @var(\"{name}@file.c\"{module}) is that of a file");
            return self.report(several(named, count).help(help));
        }
        let title = format!("{whose} has no variable '{name}'");
        let diag =
            Diagnostic::error(codes::NO_SYMBOL, title).label(*span, "no symbol has that name");
        let target = self.session.target;
        if let Some(module) = named.module.as_deref()
            && let Err(why @ Unavailable::NoModule { .. }) = target.module_btf(module)
        {
            return self.report(diag.note(why.to_string()).help_if(why.help()));
        }
        let is_listed = target.kconfig("CONFIG_KALLSYMS_ALL").is_on() != Some(false);
        if !is_listed {
            let why = "this kernel lists functions only: CONFIG_KALLSYMS_ALL is not set";
            return self.report(diag.note(why));
        }
        let symbols = target.symbols().unwrap_or_default();
        let module = named.module.as_deref();
        let of_module = symbols.iter().filter(|s| s.module == module);
        let variables = of_module.filter(|s| !s.is_function()).map(|s| s.name);
        let near = suggest(name, variables, 3);
        self.report(diag.help_if(
            (!near.is_empty()).then(|| format!("did you mean {}?", crate::probes::quoted(&near))),
        ));
    }

    /// The address of a symbol that there is, out of the global that holds it.
    fn symbol_address(&mut self, name: &str, module: Option<&str>, span: Span) -> Option<Expr> {
        let global = self.symbol_global(name, module, span)?;
        Some(Expr::new(ExprKind::Global(global), Ty::Long, span))
    }
}

/// Whether what stands where a module does is the path of a program.
fn is_program(module: &str) -> bool {
    module.contains(['/', '<'])
}

fn several(named: &Named, count: usize) -> Diagnostic {
    let title = format!("{} has {count} symbols '{}'", named.whose(), named.name);
    Diagnostic::error(codes::NO_SYMBOL, title).label(named.span, "which of them is not known")
}
