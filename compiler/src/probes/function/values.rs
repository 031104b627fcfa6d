//! What is in registers, as values of their types.

use rtap_grammar::source::Span;

use super::super::Typed;
use super::args::{self, Returned};
use crate::access::{BtfType, CType};
use crate::btf::Btf;
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::CtxReg;

/// A parameter or result, of a type that `btf` has, whose words are in registers.
pub(in crate::probes) fn in_words(
    btf: &Btf,
    words: impl Iterator<Item = ExprKind>,
    ty: BtfType,
    span: Span,
) -> Option<Typed> {
    let mut words: Vec<Expr> = words.map(|kind| Expr::new(kind, Ty::Long, span)).collect();
    if args::is_composite(btf, ty.id) && words.len() != 1 {
        return Some(Typed::held(words, ty, span));
    }
    // Of a number that has two, the lower one.
    let expr = (!words.is_empty()).then(|| words.swap_remove(0))?;
    Some(Typed {
        expr,
        ty: CType::Value(ty),
    })
}

/// The result of a function that has just returned.
pub(in crate::probes) fn returned(btf: &Btf, ty: BtfType, span: Span) -> Option<Typed> {
    let register = ExprKind::CtxReg(CtxReg::Ret);
    match args::returned(btf, ty.id)? {
        Returned::InRegisters { words } => {
            let both = [register, ExprKind::CtxReg(CtxReg::RetHigh)];
            in_words(btf, both.into_iter().take(words), ty, span)
        }
        Returned::InMemory => Some(Typed {
            expr: Expr::new(register, Ty::Long, span),
            ty: CType::Object(ty),
        }),
    }
}
