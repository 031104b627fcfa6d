//! What handlers of a kernel function see: `$parameter`, `$return`.

use std::rc::Rc;

use rtap_grammar::source::Span;

use super::super::{ContextVars, Typed, VarInfo};
use super::args::{self, Passed};
use super::find::Found;
use super::{How, values};
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
    fn btf(&self, cx: &Cx<'_>) -> Option<Btf> {
        crate::access::btf_of(cx.session.target, self.module.as_deref()).ok()
    }

    fn ty(&self, id: TypeId) -> BtfType {
        BtfType::of(self.module.clone(), id)
    }

    /// A parameter that is on the stack when the function begins.
    fn on_stack(&self, btf: &Btf, offset: i64, ty: TypeId, span: Span) -> Option<Typed> {
        let sp = Expr::new(ExprKind::CtxReg(CtxReg::Sp), Ty::Long, span);
        let address = add(sp, int(offset, span), span);
        if args::is_composite(btf, ty) {
            return Some(Typed {
                expr: address,
                ty: CType::Object(self.ty(ty)),
            });
        }
        let kind = ExprKind::Read {
            addr: Box::new(address),
            space: Space::Kernel,
            // The rest of its word is anything.
            size: btf.size_of(ty).ok()?.min(8) as u8,
            signed: is_signed(btf, ty),
            bits: None,
        };
        Some(Typed {
            expr: Expr::new(kind, Ty::Long, span),
            ty: CType::Value(self.ty(ty)),
        })
    }

    /// A parameter, by its index.
    fn parameter(&self, btf: &Btf, index: usize, span: Span) -> Option<Typed> {
        let signature = self.found.signature.as_ref()?;
        let ty = signature.params.get(index)?.ty;
        let all = args::passed(btf, signature);
        let passed = (*all.get(index)?)?;
        let word: fn(u8) -> ExprKind = match (self.how, passed) {
            (How::Kprobe, Passed::Stack(offset)) => return self.on_stack(btf, offset, ty, span),
            // Trampolines are for functions with all in registers.
            (How::Fentry | How::Fexit { .. }, Passed::Stack(_)) => return None,
            (How::Fentry | How::Fexit { .. }, Passed::Registers { .. }) => ExprKind::CtxArg,
            (How::Kprobe, Passed::Registers { .. }) => |n| ExprKind::CtxReg(CtxReg::Arg(n)),
            (How::Kretprobe, _) => ExprKind::EntryArg,
        };
        let numbers = passed.entry_words(btf.size_of(ty).ok()?)?;
        values::in_words(btf, numbers.map(word), self.ty(ty), span)
    }

    fn result_value(&self, btf: &Btf, span: Span) -> Option<Typed> {
        let result = self.found.signature.as_ref()?.result;
        let ty = (!result.is_void()).then(|| self.ty(result))?;
        match self.how {
            How::Fexit { .. } => values::in_words(btf, [ExprKind::CtxRet].into_iter(), ty, span),
            How::Kretprobe => values::returned(btf, ty, span),
            How::Fentry | How::Kprobe => None,
        }
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
        let btf = self.btf(cx)?;
        if name == "return" {
            return self.result_value(&btf, span);
        }
        let index = signature
            .params
            .iter()
            .position(|param| param.name == name)?;
        self.parameter(&btf, index, span)
    }

    fn list(&self, cx: &Cx<'_>) -> Vec<VarInfo> {
        let btf = self.btf(cx);
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
        if !matches!(self.how, How::Fexit { .. } | How::Kretprobe) {
            return None;
        }
        let result = self.found.signature.as_ref()?.result;
        let btf = self.btf(cx)?;
        (!result.is_void()).then(|| btf.c_name(result))
    }

    fn is_readable(&self, cx: &Cx<'_>, name: &str) -> bool {
        let signature = self.found.signature.as_ref();
        let (Some(signature), Some(btf)) = (signature, self.btf(cx)) else {
            return false;
        };
        let mut params = signature.params.iter();
        let passed = args::passed(&btf, signature);
        let index = params.position(|param| param.name == name);
        let Some((index, passed)) = index.and_then(|index| Some((index, (*passed.get(index)?)?)))
        else {
            return false;
        };
        match (passed, self.how) {
            (Passed::Registers { .. }, _) | (_, How::Kprobe) => true,
            (Passed::Stack(_), How::Fentry | How::Fexit { .. }) => false,
            (Passed::Stack(_), How::Kretprobe) => {
                let bytes = signature
                    .params
                    .get(index)
                    .map(|param| btf.size_of(param.ty));
                matches!(bytes, Some(Ok(bytes)) if passed.entry_words(bytes).is_some())
            }
        }
    }

    fn has_registers(&self) -> bool {
        matches!(self.how, How::Kprobe | How::Kretprobe)
    }

    fn is_return(&self) -> bool {
        matches!(self.how, How::Fexit { .. } | How::Kretprobe)
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
            let btf = self.btf(cx)?;
            return Some(match args::passed(&btf, signature).get(index) {
                Some(Some(Passed::Stack(_))) => {
                    "it is a large structure on the stack, which is not kept until the return: @entry($name->member) keeps a member"
                }
                _ => "where it is depends on types that are not known",
            }
            .to_owned());
        }
        if name == "return" && !self.is_return() {
            return Some("only '.return' probes have a result".to_owned());
        }
        None
    }
}
