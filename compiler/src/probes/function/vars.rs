//! What handlers of a kernel function see: `$parameter`, `$return`.

use std::rc::Rc;

use rtap_grammar::source::Span;

use super::super::{ContextVars, Typed, VarInfo};
use super::find::Found;
use super::{How, MAX_TRAMPOLINE_ARGS, args};
use crate::access::{BtfType, CType, add};
use crate::btf::{self, Btf, PlaceKind, TypeId};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::{CtxReg, Space};
use crate::resolve::{Cx, int};

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
            ty: CType::Value(BtfType::of(self.module.clone(), ty)),
        }
    }
}

impl FunctionVars {
    /// A parameter that is on the stack when the function begins.
    fn on_stack(&self, cx: &Cx<'_>, index: usize, span: Span) -> Option<Typed> {
        let params = &self.found.signature.as_ref()?.params;
        let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok()?;
        let offset = args::stack_offset(&btf, params, index, MAX_TRAMPOLINE_ARGS)?;
        let ty = params.get(index)?.ty;
        let sp = Expr::new(ExprKind::CtxReg(CtxReg::Sp), Ty::Long, span);
        let kind = ExprKind::Read {
            addr: Box::new(add(sp, int(offset, span), span)),
            space: Space::Kernel,
            // The rest of its word is anything.
            size: u8::try_from(btf.size_of(ty).ok()?).ok()?,
            signed: is_signed(&btf, ty),
            bits: None,
        };
        Some(self.value(kind, ty, span))
    }
}

fn is_signed(btf: &Btf, ty: TypeId) -> bool {
    btf::place(btf, ty).is_ok_and(|place| {
        matches!(
            place.kind,
            PlaceKind::Integer { signed: true } | PlaceKind::Enum { signed: true }
        )
    })
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
        if self.how == How::Kprobe && index >= MAX_TRAMPOLINE_ARGS {
            return self.on_stack(cx, index, span);
        }
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

    fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    fn remark(&self, cx: &Cx<'_>, name: &str) -> Option<String> {
        let signature = self.found.signature.as_ref()?;
        if name == "return" && self.is_return() && signature.result.is_void() {
            return Some(format!("'{}' returns nothing", self.found.name));
        }
        let position = signature.params.iter().position(|param| param.name == name);
        if let Some(index) = position {
            let btf = crate::access::btf_of(cx.session.target, self.module.as_deref()).ok()?;
            return Some(if args::is_structure(&btf, signature.params[index].ty) {
                "it is a structure that is passed by value: where it is, is not known".to_owned()
            } else if self.is_return() && index >= MAX_TRAMPOLINE_ARGS {
                format!(
                    "it is on the stack, behind the first {MAX_TRAMPOLINE_ARGS}, and no longer known at the return: keep it at the entry"
                )
            } else {
                "structures are passed by value besides: where it is, is not known".to_owned()
            });
        }
        if name == "return" && !self.is_return() {
            return Some("only '.return' probes have a result".to_owned());
        }
        None
    }
}
