//! Enumerators by name and by value: `@enumname`, `@enum`, `@const`.

use rtap_grammar::ast::{self, ExprKind as Ast};
use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::CType;
use crate::hir::{Expr, ExprKind, Ty};
use crate::resolve::{Cx, error};

impl Cx<'_> {
    /// The enumerators of the enumeration that is named, or else that `value` is of.
    pub(crate) fn enumerators(
        &mut self,
        value: &ast::Expr,
        name: Option<&ast::Expr>,
        module: Option<&ast::Expr>,
        span: Span,
    ) -> Option<Vec<(String, i64)>> {
        let text = |e: &ast::Expr| match &e.kind {
            Ast::String(text) => Some(text.to_string()),
            _ => None,
        };
        let ty = match name.and_then(text) {
            Some(name) => {
                // Both `pid_type` and `enum pid_type` are written.
                let bare = name.strip_prefix("enum ").unwrap_or(&name);
                let module = module.and_then(text);
                Some(self.find_type(&format!("enum {bare}"), module.as_deref(), span)?)
            }
            None => self.c_type_of(value),
        };
        let Some(CType::Value(ty) | CType::Object(ty)) = ty else {
            self.fail(
                codes::UNKNOWN_TYPE,
                "the enumeration is not known",
                span,
                "name it: @enumname(…, \"type\")",
            );
            return None;
        };
        let btf = self.types_of(&ty, span)?;
        let names = btf.enumerators(ty.id);
        if names.is_empty() {
            self.fail_with(
                codes::UNKNOWN_TYPE,
                format!("{} is no enumeration", btf.c_name(ty.id)),
                (span, "has no names for its values"),
                "name the enumeration: @enumname(…, \"type\")",
            );
            return None;
        }
        Some(names)
    }

    /// The value of an enumerator.
    pub(crate) fn enum_value(&mut self, name: &str, span: Span) -> Expr {
        let Some(btf) = self.btf(None, span) else {
            return error(span);
        };
        match btf.find_enumerator(name) {
            Some(value) => Expr::new(ExprKind::Int(value), Ty::Long, span),
            None => {
                let diag = Diagnostic::error(
                    codes::UNKNOWN_TYPE,
                    format!("the kernel has no enumerator '{name}'"),
                )
                .label(span, "not in its BTF (macros never are)")
                .help_if(did_you_mean(name, btf.all_enumerators()));
                self.report(diag);
                error(span)
            }
        }
    }
}
