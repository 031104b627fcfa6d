//! What handlers of a kernel function see: `$parameter`, `$return`.

use std::rc::Rc;

use rtap_grammar::source::Span;

use super::super::{ContextVars, Typed, VarInfo};
use super::find::Found;
use super::{How, MAX_TRAMPOLINE_ARGS, args};
use crate::access::{BtfType, CType};
use crate::btf::TypeId;
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::CtxReg;
use crate::resolve::Cx;

/// The variables of one function, probed in one way.
pub(super) struct FunctionVars {
    /// The function.
    pub found: Found,
    /// Its module.
    pub module: Option<Rc<str>>,
    /// How it is probed.
    pub how: How,
}

impl FunctionVars {
    fn value(&self, kind: ExprKind, ty: TypeId, span: Span) -> Typed {
        let expr = Expr::new(kind, Ty::Long, span);
        Typed {
            expr,
            ty: CType::Value(BtfType {
                module: self.module.clone(),
                id: ty,
            }),
        }
    }
}

impl ContextVars for FunctionVars {
    fn get(&self, cx: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let signature = self.found.signature.as_ref()?;
        if name == "return" {
            let kind = match self.how {
                How::Fexit => ExprKind::CtxRet,
                How::Kretprobe => ExprKind::CtxReg(CtxReg::Ret),
                How::Fentry | How::Kprobe => return None,
            };
            return (!signature.result.is_void()).then(|| self.value(kind, signature.result, span));
        }
        let index = signature
            .params
            .iter()
            .position(|param| param.name == name)?;
        let number = match self.how {
            How::Fentry | How::Fexit => index,
            How::Kprobe | How::Kretprobe => {
                let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok()?;
                args::register(&btf, &signature.params, index)?
            }
        };
        let in_register = number < MAX_TRAMPOLINE_ARGS;
        let number = u8::try_from(number).ok()?;
        let kind = match self.how {
            How::Fentry | How::Fexit => ExprKind::CtxArg(number),
            How::Kprobe | How::Kretprobe if !in_register => return None,
            How::Kprobe => ExprKind::CtxReg(CtxReg::Arg(number)),
            How::Kretprobe => ExprKind::EntryArg(number),
        };
        Some(self.value(kind, signature.params[index].ty, span))
    }

    fn list(&self, cx: &Cx<'_>) -> Vec<VarInfo> {
        let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok();
        let c_type = |ty| btf.as_ref().map_or_else(String::new, |btf| btf.c_name(ty));
        let params = self.found.signature.iter().flat_map(|s| &s.params);
        params
            .filter(|param| !param.name.is_empty())
            .map(|param| VarInfo {
                name: param.name.clone(),
                c_type: c_type(param.ty),
            })
            .collect()
    }

    fn result(&self, cx: &Cx<'_>) -> Option<String> {
        if !matches!(self.how, How::Fexit | How::Kretprobe) {
            return None;
        }
        let result = self.found.signature.as_ref()?.result;
        let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok()?;
        (!result.is_void()).then(|| btf.c_name(result))
    }

    fn has_registers(&self) -> bool {
        matches!(self.how, How::Kprobe | How::Kretprobe)
    }

    fn is_return(&self) -> bool {
        matches!(self.how, How::Fexit | How::Kretprobe)
    }

    fn identity(&self) -> String {
        format!(
            "{}:{}",
            self.module.as_deref().unwrap_or(""),
            self.found.name
        )
    }

    fn remark(&self, _: &Cx<'_>, name: &str) -> Option<String> {
        let Some(signature) = &self.found.signature else {
            return Some(format!(
                "{}; long_arg(n), pointer_arg(n) and returnval() read the registers",
                self.found.undescribed()
            ));
        };
        if name == "return" && self.is_return() && signature.result.is_void() {
            return Some(format!("'{}' returns nothing", self.found.name));
        }
        if name == "return" && !self.is_return() {
            return Some("only '.return' probes have a result".to_owned());
        }
        None
    }
}
