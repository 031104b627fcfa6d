//! Objects in no memory: structures and unions that are passed or returned in registers.
//!
//! Their words take the place of memory, in which an object's address is its offset from the first of them. Paths are
//! resolved as in memory then.

use std::rc::Rc;

use rtap_grammar::source::Span;

use super::{CType, extend};
use crate::btf::{Btf, PlaceKind, place};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::{BinOp, CmpOp};
use crate::probes::Typed;
use crate::resolve::int;

/// Bytes of a word.
const WORD_BYTES: u64 = 8;

/// The words that hold an object, that of the lowest bytes first.
#[derive(Clone, Debug)]
pub struct Words(Rc<[Expr]>);

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Words {}

impl Words {
    /// A number of 1, 2, 4 or 8 bytes at an offset. No number is in two words. Of a bit field: the shifts that isolate it.
    pub(super) fn read(
        &self,
        offset: Expr,
        size: u8,
        signed: bool,
        bits: Option<(Box<Expr>, Box<Expr>)>,
        span: Span,
    ) -> Expr {
        let binary = |op, a: Expr, b: Expr| {
            Expr::new(ExprKind::Bin(op, Box::new(a), Box::new(b)), Ty::Long, span)
        };
        let word = self.word(&offset, span);
        // The count is taken modulo 64: what is left is where it is in its word.
        let shift = binary(BinOp::Shl, offset, int(3, span));
        let value = binary(BinOp::Shr, word, shift);
        let Some((left, right)) = bits else {
            let unused = (WORD_BYTES as u32).saturating_sub(u32::from(size)) * 8;
            return extend(value, unused, signed, span);
        };
        let high = binary(BinOp::Shl, value, *left);
        binary(if signed { BinOp::Sar } else { BinOp::Shr }, high, *right)
    }

    /// The word at an offset.
    fn word(&self, offset: &Expr, span: Span) -> Expr {
        let mut words = self.0.iter().enumerate().rev();
        let Some((_, last)) = words.next() else {
            return int(0, span);
        };
        words.fold(last.clone(), |behind, (index, word)| {
            let end = int((index as i64 + 1) * WORD_BYTES as i64, span);
            let before = ExprKind::Cmp(CmpOp::Lt, Box::new(offset.clone()), Box::new(end));
            let kind = ExprKind::Ternary(
                Box::new(Expr::new(before, Ty::Long, span)),
                Box::new(word.clone()),
                Box::new(behind),
            );
            Expr::new(kind, Ty::Long, span)
        })
    }
}

impl Typed {
    /// A structure or union that is in words.
    pub(crate) fn held(words: Vec<Expr>, ty: super::BtfType, span: Span) -> Self {
        Self {
            expr: int(0, span),
            ty: CType::Held(ty, Words(words.into())),
        }
    }

    /// The same, as an object where it is a structure or union that one word holds.
    pub(super) fn opened(self, btf: &Btf) -> Self {
        let CType::Value(ty) = &self.ty else {
            return self;
        };
        let is_held = place(btf, ty.id)
            .is_ok_and(|place| place.kind == PlaceKind::Composite && place.size <= WORD_BYTES);
        if !is_held {
            return self;
        }
        let (ty, span) = (ty.clone(), self.expr.span);
        Self::held(vec![self.expr], ty, span)
    }
}
