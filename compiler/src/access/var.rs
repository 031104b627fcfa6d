//! `@var("name")`, `@var("name", "module")`: variables of the kernel and its modules.
//!
//! Where they are, /proc/kallsyms of the running kernel tells when a script begins: each has a global of its own,
//! which a probe made here sets. Their types are in BTF for per-CPU variables, of which the current
//! CPU's is meant; of all others only the address is known.

use rtap_grammar::ast::{self, ExprKind as Ast};
use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{BtfType, CType};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::BinOp;
use crate::probes::Typed;
use crate::resolve::Cx;
use crate::target::{Unavailable, suggest};

impl Cx<'_> {
    /// The variable as an object in memory.
    pub(super) fn kernel_variable(&mut self, args: &[ast::Expr], span: Span) -> Option<Typed> {
        let (name, address, ty) = self.variable_parts(args, span)?;
        let Some(ty) = ty else {
            let diag = Diagnostic::error(
                codes::UNKNOWN_TYPE,
                format!("the type of the kernel's variable '{name}' is not known"),
            )
            .label(span, "its address is")
            .note("BTF has the types of per-CPU variables; those of others are in debug information (DWARF), which rtap does not read of kernels")
            .help(format!(
                "say what it is: @cast(&@var(\"{name}\"), \"struct name\")->member, or kernel_int(&@var(\"{name}\")), kernel_long, kernel_string, …"
            ));
            self.report(diag);
            return None;
        };
        Some(Typed {
            expr: address,
            ty: CType::Object(ty),
        })
    }

    /// `&@var("name")`
    pub(super) fn variable_address(
        &mut self,
        args: &[ast::Expr],
        span: Span,
    ) -> Option<(Expr, Option<CType>)> {
        let (_, address, ty) = self.variable_parts(args, span)?;
        Some((address, ty.map(CType::Object)))
    }

    /// Name, address and, where BTF has it, type.
    fn variable_parts(
        &mut self,
        args: &[ast::Expr],
        span: Span,
    ) -> Option<(String, Expr, Option<BtfType>)> {
        let text = |n: usize| match args.get(n).map(|arg| &arg.kind) {
            Some(Ast::String(text)) => Some(text.to_string()),
            _ => None,
        };
        let written = text(0)?;
        // Which file a variable is of is not known; a name that several have is refused.
        let name = written.split('@').next().unwrap_or_default().to_owned();
        let module = text(1).filter(|module| module != "kernel");
        if module
            .as_ref()
            .is_some_and(|module| module.contains(['/', '<']))
        {
            self.fail(
                codes::NOT_SUPPORTED,
                "@var knows variables of the kernel and its modules only",
                span,
                "programs' variables are in debug information (DWARF), of which rtap reads files and lines only",
            );
            return None;
        }
        self.check_symbol(&name, module.as_deref(), span)?;
        let btf = super::btf_of(self.session.target, module.as_deref()).ok();
        let var = btf.as_ref().and_then(|btf| btf.find_var(&name));
        let per_cpu = match (&btf, var) {
            (Some(btf), Some((var, _))) => btf.is_per_cpu(var),
            _ => false,
        };
        let mut address = self.symbol_address(&name, module.as_deref(), span)?;
        if per_cpu {
            let offset = self.per_cpu_offset(span)?;
            let sum = ExprKind::Bin(BinOp::Add, Box::new(address), Box::new(offset));
            address = Expr::new(sum, Ty::Long, span);
        }
        let ty = var.map(|(_, id)| BtfType::of(module.as_deref().map(std::rc::Rc::from), id));
        Some((name, address, ty))
    }

    /// How far the current CPU's variables are from where their symbols are.
    fn per_cpu_offset(&mut self, span: Span) -> Option<Expr> {
        self.check_symbol("__per_cpu_offset", None, span)?;
        let offsets = self.symbol_address("__per_cpu_offset", None, span)?;
        let function = ast::Ident::new("_per_cpu_offset", span);
        let read = self.find_function(&function, 1)?;
        Some(Expr::new(
            ExprKind::Call(read, vec![offsets]),
            Ty::Long,
            span,
        ))
    }

    /// Reports a symbol that the kernel does not have once.
    fn check_symbol(&mut self, name: &str, module: Option<&str>, span: Span) -> Option<()> {
        let whose = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
        let unknown = |why: &Unavailable| {
            let title = format!("the addresses of {whose}'s variables are not known");
            Diagnostic::error(codes::POINT_UNAVAILABLE, title)
                .label(span, "needs one")
                .note(why.to_string())
                .help_if(why.help())
        };
        let symbols = match self.session.target.symbols() {
            Ok(symbols) if symbols.has_addresses() => symbols,
            Ok(_) => {
                self.report(unknown(&Unavailable::AddressesHidden));
                return None;
            }
            Err(why) => {
                self.report(unknown(&why));
                return None;
            }
        };
        let found = symbols.by_name(name).filter(|s| s.module == module).count();
        if found == 1 {
            return Some(());
        }
        let option = self.session.target.kconfig("CONFIG_KALLSYMS_ALL");
        let diag = if found > 1 {
            Diagnostic::error(
                codes::NO_SYMBOL,
                format!("{whose} has {found} symbols '{name}'"),
            )
            .label(span, "which of them is not known")
        } else {
            let diag = Diagnostic::error(
                codes::NO_SYMBOL,
                format!("{whose} has no variable '{name}'"),
            )
            .label(span, "no symbol has that name");
            let of_module = symbols.iter().filter(|s| s.module == module);
            let variables = of_module.filter(|s| !s.is_function()).map(|s| s.name);
            let near = suggest(name, variables, 3);
            match option.is_on() {
                Some(false) => {
                    diag.note("this kernel lists functions only: CONFIG_KALLSYMS_ALL is not set")
                }
                _ => diag.help_if(
                    (!near.is_empty())
                        .then(|| format!("did you mean {}?", crate::probes::quoted(&near))),
                ),
            }
        };
        self.report(diag);
        None
    }

    /// The address of a symbol that there is, out of the global that holds it.
    fn symbol_address(&mut self, name: &str, module: Option<&str>, span: Span) -> Option<Expr> {
        let global = self.symbol_global(name, module, span)?;
        Some(Expr::new(ExprKind::Global(global), Ty::Long, span))
    }
}
