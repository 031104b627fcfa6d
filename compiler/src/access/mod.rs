//! `$a->b->c[2]`, `@cast(e, "type")->f`, `&$a->b`, `$x$`, `$$vars`: C data of the traced
//! kernel as HIR.
//!
//! Types come from BTF. Every field's offset is a relocatable fact (`hir::ExprKind::Core`),
//! so that an image runs on kernels that lay the structure out differently. SystemTap's
//! values: integers, enumerations and pointers are numbers; arrays are their address;
//! arrays of characters are their text where a string is wanted and their address where a
//! number is.

mod c_type;
mod debug_var;
mod enums;
mod held;
mod path;
mod pretty;
mod types;
mod var;

pub use c_type::{BtfType, CType, MadeTypes};
pub use held::Words;
pub(crate) use path::add;
pub(crate) use types::{btf_of, extend};

use rtap_grammar::ast::{self, AtOp, ExprKind as Ast};
use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use crate::hir::{Expr, ExprKind, Place};
use crate::probes::Typed;
use crate::resolve::{Cx, error, int};
use crate::target::Fetch;

/// A step of a path as written.
enum Step<'e> {
    Field(&'e ast::Ident),
    Index(&'e ast::Expr),
}

impl Cx<'_> {
    /// A context variable, cast, member, element, address or pretty print.
    pub(crate) fn access(&mut self, expr: &ast::Expr) -> Expr {
        match &expr.kind {
            Ast::AddressOf(inner) => self.address_of(inner, expr.span),
            Ast::Pretty { base, deep } => self.pretty(base, *deep, expr.span),
            Ast::ContextVar(name) if name.as_str().starts_with("$$") => {
                self.vars_text(name, false, expr.span)
            }
            _ => {
                let Some((base, steps)) = self.base_and_steps(expr) else {
                    return error(expr.span);
                };
                // A variable that is an object in memory is read; a cast alone is its address.
                let in_memory = matches!(
                    (&expr.kind, &base.ty),
                    (
                        Ast::ContextVar(_) | Ast::At { op: AtOp::Var, .. },
                        CType::Object(_)
                    )
                );
                if steps.is_empty() && !in_memory {
                    self.plain_value(base)
                } else {
                    self.load(base, &steps, expr.span)
                }
            }
        }
    }

    /// `base->member` for a probe kind: its value, an address for what is no number.
    pub(crate) fn member_of(&mut self, base: Typed, member: &str, span: Span) -> Option<Typed> {
        let name = ast::Ident::new(member, span);
        let located = self.locate(base, &[Step::Field(&name)], span)?;
        Some(self.typed_place(located, span))
    }

    /// What a path starts from, and its steps in order.
    fn base_and_steps<'e>(&mut self, expr: &'e ast::Expr) -> Option<(Typed, Vec<Step<'e>>)> {
        let mut steps = Vec::new();
        let mut at = expr;
        loop {
            match &at.kind {
                Ast::Member { base, field } => {
                    steps.push(Step::Field(field));
                    at = base;
                }
                Ast::Subscript { base, index } => {
                    steps.push(Step::Index(index));
                    at = base;
                }
                _ => break,
            }
        }
        steps.reverse();
        Some((self.base(at, !steps.is_empty())?, steps))
    }

    /// The start of a path.
    fn base(&mut self, expr: &ast::Expr, stepped: bool) -> Option<Typed> {
        match &expr.kind {
            Ast::ContextVar(name) => self.context_var(name),
            Ast::At {
                op: AtOp::Cast,
                args,
            } => self.cast(args, expr.span),
            Ast::At {
                op: AtOp::Var,
                args,
            } => self.kernel_variable(args, Fetch::Yes, expr.span),
            Ast::At {
                op: AtOp::Entry,
                args,
            } if stepped => {
                let [inner] = &args[..] else { return None };
                let typed = self.base(inner, true)?;
                if !self
                    .scope
                    .vars
                    .as_ref()
                    .is_some_and(|vars| vars.is_return())
                {
                    self.entry(args, expr.span);
                    return None;
                }
                Some(typed)
            }
            _ => {
                let value = self.expr(expr);
                let ty = match &value.kind {
                    ExprKind::Local(local) => self.scope.c_type(*local),
                    _ => None,
                };
                if matches!(value.kind, ExprKind::Error) {
                    return None;
                }
                if ty.as_ref().is_none_or(|ty| *ty == CType::Long) && stepped {
                    let diag = Diagnostic::error(
                        codes::NOT_A_STRUCT,
                        "'->' and '[ ]' need a value whose C type is known",
                    )
                    .label(expr.span, "a plain number")
                    .help("say what it points to: @cast(…, \"struct name\")->member");
                    self.report(diag);
                    return None;
                }
                Some(Typed {
                    expr: value,
                    ty: ty.unwrap_or(CType::Long),
                })
            }
        }
    }

    /// `$name`.
    fn context_var(&mut self, name: &ast::Ident) -> Option<Typed> {
        let text = name.as_str().trim_start_matches('$');
        let Some(vars) = self.scope.vars.clone() else {
            self.report(
                Diagnostic::error(
                    codes::NO_CONTEXT,
                    format!("'{}' in a function", name.as_str()),
                )
                .label(name.span, "functions have no probe point of their own")
                .help("pass it to the function as a parameter"),
            );
            return None;
        };
        if let Some(typed) = vars.get(self, text, name.span) {
            return Some(typed);
        }
        if self.session.options.skip_badvars {
            return Some(Typed {
                expr: int(0, name.span),
                ty: CType::Long,
            });
        }
        let mut known: Vec<String> = vars.list(self).into_iter().map(|var| var.name).collect();
        known.retain(|name| vars.is_readable(self, name));
        let has_return = vars.result(self).is_some();
        let shown: Vec<String> = known
            .iter()
            .map(String::as_str)
            .chain(has_return.then_some("return"))
            .map(|name| format!("${name}"))
            .collect();
        let diag = if shown.is_empty() {
            Diagnostic::error(
                codes::NO_CONTEXT,
                format!("no context variable '{}' here", name.as_str()),
            )
            .label(
                name.span,
                match &self.scope.point {
                    Some(point) => format!("{point} has no context variables"),
                    None => "this probe point has no context variables".to_owned(),
                },
            )
        } else {
            Diagnostic::error(
                codes::UNKNOWN_CONTEXT_VAR,
                format!("no context variable '{}' here", name.as_str()),
            )
            .label(
                name.span,
                format!("{} does not have this one", self.scope.point_text()),
            )
            .note(format!("it has {}", shown.join(", ")))
        };
        let near = did_you_mean(name.as_str(), shown.iter().map(String::as_str));
        let remark = vars.remark(self, text);
        let diag = match remark {
            Some(remark) => diag.note(remark),
            None if shown.is_empty() => diag.help(
                "those of functions, tracepoints, system calls and marks have: 'rtap list POINT' shows them",
            ),
            None => diag,
        };
        self.report(diag.help_if(near));
        None
    }

    /// `@cast(value, "type", "module")`.
    fn cast(&mut self, args: &[ast::Expr], span: Span) -> Option<Typed> {
        let value = self.expr(args.first()?);
        let Some(Ast::String(name)) = args.get(1).map(|arg| &arg.kind) else {
            return None;
        };
        let module = match args.get(2).map(|arg| &arg.kind) {
            Some(Ast::String(module)) => Some(module.to_string()),
            _ => None,
        };
        let ty = self.find_type(&name.to_string(), module.as_deref(), span)?;
        Some(Typed { expr: value, ty })
    }

    /// A value that is used as it is.
    fn plain_value(&mut self, base: Typed) -> Expr {
        let span = base.expr.span;
        match &base.ty {
            CType::Value(ty) => match self.value_of(ty, base.expr, span) {
                Ok(value) => value,
                Err(()) => error(span),
            },
            CType::Long | CType::Object(_) => base.expr,
            CType::Held(ty, _) => {
                if let Some(btf) = self.types_of(ty, span) {
                    self.no_number(&btf, ty.id, true, span);
                }
                error(span)
            }
        }
    }

    /// `&path`
    fn address_of(&mut self, expr: &ast::Expr, span: Span) -> Expr {
        if let Ast::At {
            op: AtOp::Var,
            args,
        } = &expr.kind
        {
            let address = self.variable_address(args, expr.span);
            return address.unwrap_or_else(|| error(span));
        }
        let Some((base, steps)) = self.base_and_steps(expr) else {
            return error(span);
        };
        if steps.is_empty() {
            return match base.ty {
                CType::Object(_) => base.expr,
                // A variable of the traced code that is in memory.
                CType::Value(_)
                    if let ExprKind::Read { addr, bits: None, .. } = base.expr.kind =>
                {
                    *addr
                }
                CType::Long | CType::Value(_) | CType::Held(..) => self.fail_with(
                    codes::NOT_A_VALUE,
                    "this has no address",
                    (span, "a value, not a place in traced memory"),
                    "'&' takes members, elements and variables of what is traced: &$x->member, &@cast(…, \"type\")->member, &@var(\"name\")",
                ),
            };
        }
        match self.locate(base, &steps, span) {
            Some(located) if located.place.bits.is_some() => self.fail(
                codes::NOT_A_VALUE,
                "a bit field has no address",
                span,
                "a bit field",
            ),
            Some(located) if located.held.is_some() => self.fail_with(
                codes::NOT_A_VALUE,
                "this has no address",
                (span, "in a register, not in memory"),
                "structures of up to 16 bytes are passed in registers",
            ),
            Some(located) => Expr {
                span,
                ..located.addr
            },
            None => error(span),
        }
    }

    /// The C type of what an expression reads, if it is C data: what `p = $task` makes of `p`.
    pub(crate) fn c_type_of(&mut self, expr: &ast::Expr) -> Option<CType> {
        let (path, address) = match &expr.kind {
            Ast::AddressOf(inner) => (&**inner, true),
            Ast::ContextVar(_) | Ast::Member { .. } | Ast::Subscript { .. } => (expr, false),
            Ast::At {
                op: AtOp::Cast | AtOp::Var,
                ..
            } => (expr, false),
            Ast::Name(name) => return self.scope.c_type(self.scope.local(&name.name)?),
            _ => return None,
        };
        let (found, _) = self.capture(|cx| {
            // Who takes an address may not need the type.
            if let (
                true,
                Ast::At {
                    op: AtOp::Var,
                    args,
                },
            ) = (address, &path.kind)
            {
                return Some(cx.kernel_variable(args, Fetch::No, path.span)?.ty);
            }
            let (base, steps) = cx.base_and_steps(path)?;
            if steps.is_empty() {
                return Some(base.ty);
            }
            let located = cx.locate(base, &steps, path.span)?;
            let typed = cx.typed_place(located, path.span);
            Some(match typed.ty {
                CType::Value(ty) if address => CType::Object(ty),
                ty => ty,
            })
        });
        found.filter(|ty| matches!(ty, CType::Value(_) | CType::Object(_)))
    }

    /// `path = value`: never possible in eBPF for kernel memory.
    pub(crate) fn access_place(&mut self, target: &ast::Expr) -> Place {
        let diag = Diagnostic::error(
            codes::CONTEXT_ASSIGNED,
            "data of the kernel cannot be assigned",
        )
        .label(target.span, "this is only readable")
        .note("the kernel does not let eBPF programs write its memory")
        .help("keep the value in a variable of the script");
        self.report(diag);
        Place::Error
    }

    /// `@entry(e)`: in return probes parameters are their values at entry already.
    pub(crate) fn entry(&mut self, args: &[ast::Expr], span: Span) -> Expr {
        let [value] = args else { return error(span) };
        if !self
            .scope
            .vars
            .as_ref()
            .is_some_and(|vars| vars.is_return())
        {
            return self.fail(
                codes::NO_CONTEXT,
                "@entry outside of a return probe",
                span,
                "only '.return' probes have an entry",
            );
        }
        match &value.kind {
            // Parameters are their values at the entry anyway.
            Ast::ContextVar(name) if name.as_str() != "$return" => self.expr(value),
            _ => self.snapshot(value, span),
        }
    }
}
