//! Types by their C names, and what a value of a type is in a script.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::{BtfType, CType};
use crate::btf::{Btf, PlaceKind, TypeId, place};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::BinOp;
use crate::probes::module_name;
use crate::resolve::{Cx, int};
use crate::target::Unavailable;

impl Cx<'_> {
    /// BTF of the kernel or a module; reports if there is none.
    pub(crate) fn btf(&mut self, module: Option<&str>, span: Span) -> Option<Btf> {
        match btf_of(self.session.target, module) {
            Ok(btf) => Some(btf),
            Err(reason) => {
                let what = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
                let diag = Diagnostic::error(
                    codes::NO_TYPES,
                    format!("the types of {what} are not known"),
                )
                .label(span, "needs them")
                .note(reason.to_string())
                .help_if(reason.help());
                self.report(diag);
                None
            }
        }
    }

    /// What a type is described by; reports if there is nothing.
    pub(super) fn types_of(&mut self, ty: &BtfType, span: Span) -> Option<Btf> {
        match &ty.made {
            Some(made) => Some(made.0.clone()),
            None => self.btf(ty.module.as_deref(), span),
        }
    }

    /// The type of a C name in the modules of `@cast`'s third argument (`kernel`, `mod1:mod2`).
    pub(super) fn find_type(
        &mut self,
        name: &str,
        modules: Option<&str>,
        span: Span,
    ) -> Option<CType> {
        let bare = name.trim_end_matches(['*', ' ']);
        let stars = name[bare.len()..].matches('*').count();
        if let (None, Some(module)) = (modules, self.own_module())
            && let Ok(btf) = btf_of(self.session.target, Some(&module))
            && let Some(id) = c_type(&btf, bare, stars)
            && btf.own_ids().next().is_some_and(|first| id >= first)
        {
            let module = Some(module);
            return Some(CType::Object(BtfType::of(module, id)));
        }
        // Headers (`<linux/sched.h>`) and programs name no BTF: their types are sought in the
        // kernel's.
        let named = modules
            .unwrap_or("kernel")
            .split(':')
            .filter(|m| is_module_name(m));
        let mut places: Vec<Option<Rc<str>>> = named
            .map(|m| {
                if matches!(m, "kernel" | "vmlinux") {
                    None
                } else {
                    Some(Rc::from(module_name(m)))
                }
            })
            .collect();
        let names_kernel = places.contains(&None);
        if !names_kernel {
            places.push(None);
        }
        // Why modules could not be asked.
        let mut missing = Vec::new();
        for module in places {
            let btf = match &module {
                None => self.btf(None, span)?,
                Some(name) => match btf_of(self.session.target, Some(name)) {
                    Ok(btf) => btf,
                    Err(reason) => {
                        missing.push(reason);
                        continue;
                    }
                },
            };
            if let Some(id) = c_type(&btf, bare, stars) {
                if module.is_none() && !names_kernel {
                    self.not_of_module(name, &missing, span);
                }
                return Some(CType::Object(BtfType::of(module, id)));
            }
        }
        let diag = self.unknown_type(name, modules.filter(|_| !names_kernel), span);
        self.report(
            missing
                .iter()
                .fold(diag, |diag, reason| diag.note(reason.to_string())),
        );
        None
    }

    /// The module of the probe point.
    fn own_module(&self) -> Option<Rc<str>> {
        let vars = self.scope.vars.as_ref()?;
        vars.module().map(Rc::from)
    }

    /// Says that a type is the kernel's, and of none of the modules that were named.
    fn not_of_module(&mut self, name: &str, missing: &[Unavailable], span: Span) {
        if missing.is_empty() || self.is_library(span.file) {
            return;
        }
        let diag = Diagnostic::warning(
            codes::KERNELS_TYPE,
            format!("the kernel's own '{name}' is taken"),
        )
        .label(span, "not that of a module");
        let diag = missing
            .iter()
            .fold(diag, |diag, reason| diag.note(reason.to_string()));
        self.report(diag.help("leave the module out, or load it"));
    }

    fn unknown_type(&mut self, name: &str, modules: Option<&str>, span: Span) -> Diagnostic {
        let bare = name.trim_end_matches(['*', ' ']);
        let whose = match modules.filter(|all| all.split(':').any(is_module_name)) {
            Some(modules) => format!("neither {modules} nor the kernel has a"),
            None => "the kernel has no".to_owned(),
        };
        let title = format!("{whose} type '{name}'");
        let last = bare.rsplit(' ').next().unwrap_or(bare);
        let btf = btf_of(self.session.target, None).ok();
        let near = btf.and_then(|btf| did_you_mean(last, btf.names_alike(bare)));
        let home = self
            .home_of_type(bare)
            .map(|module| format!("module {module} has it: @cast(…, \"{name}\", \"{module}\")"));
        Diagnostic::error(codes::UNKNOWN_TYPE, title)
            .label(span, "named here")
            .note("sought in BTF, the kernel's own description of its types")
            .help_if(home.or(near))
    }

    /// The loaded module that has a type of its own of that name.
    fn home_of_type(&self, name: &str) -> Option<String> {
        let target = self.session.target;
        let modules = target.modules().ok()?;
        let has = |module: &&String| {
            let btf = target.module_btf(module).ok();
            let found = btf.and_then(|btf| {
                let id = btf.find_c_type(name)?;
                Some(btf.own_ids().next().is_some_and(|first| id >= first))
            });
            found == Some(true)
        };
        modules.iter().find(has).cloned()
    }

    /// What a value of a type, held in a 64-bit slot, is in a script.
    pub(super) fn value_of(&mut self, ty: &BtfType, value: Expr, span: Span) -> Result<Expr, ()> {
        let btf = self.types_of(ty, span).ok_or(())?;
        // What has been read from memory has its width already.
        if matches!(value.kind, ExprKind::Read { .. }) {
            return Ok(value);
        }
        let Ok(place) = place(&btf, ty.id) else {
            return Ok(value);
        };
        let signed = match place.kind {
            PlaceKind::Integer { signed } | PlaceKind::Enum { signed } => signed,
            PlaceKind::Pointer(_) | PlaceKind::Float => return Ok(value),
            PlaceKind::Composite if place.size <= 8 => false,
            PlaceKind::Composite
            | PlaceKind::CharArray { .. }
            | PlaceKind::Array { .. }
            | PlaceKind::Opaque => {
                let name = btf.c_name(ty.id);
                self.fail(
                    codes::NOT_A_VALUE,
                    format!("{name} is no number"),
                    span,
                    "more than a register holds",
                );
                return Err(());
            }
        };
        let unused = 64u32.saturating_sub(place.size as u32 * 8);
        Ok(extend(value, unused, signed, span))
    }
}

/// Drops the highest `unused` bits and extends what remains.
pub(crate) fn extend(value: Expr, unused: u32, signed: bool, span: Span) -> Expr {
    if unused == 0 || unused >= 64 {
        return value;
    }
    let shift = |op, value, bits: u32| {
        let bits = Box::new(int(i64::from(bits), span));
        Expr::new(ExprKind::Bin(op, Box::new(value), bits), Ty::Long, span)
    };
    let high = shift(BinOp::Shl, value, unused);
    shift(if signed { BinOp::Sar } else { BinOp::Shr }, high, unused)
}

/// BTF of the kernel or a module.
pub(crate) fn btf_of(
    target: &dyn crate::target::Target,
    module: Option<&str>,
) -> Result<Btf, Unavailable> {
    match module {
        None => target.btf(),
        Some(module) => target.module_btf(module),
    }
}

/// A type by its C name without the stars behind it, and the pointer to it that they make.
fn c_type(btf: &Btf, bare: &str, stars: usize) -> Option<TypeId> {
    let mut id = btf.find_c_type(bare)?;
    for _ in 0..stars {
        id = btf.pointer_to(id)?;
    }
    Some(id)
}

fn is_module_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
