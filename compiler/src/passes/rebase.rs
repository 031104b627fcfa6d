//! Operations that become several, found while values are numbered: constants that come together,
//! multiplications and divisions by powers of two, constants side by side in a concatenation.

#![allow(
    clippy::many_single_char_names,
    reason = "operands are a and b, constants m and n"
)]

use rtap_grammar::source::Span;

use super::fold;
use super::value_numbering::Cx;
use crate::lir::{BinOp, CmpOp, Op, Ty, Value};

impl Cx<'_> {
    /// Operations that become several: constants that come together, powers of two.
    pub(super) fn rebase(&mut self, op: &Op, span: Span) -> Option<Op> {
        match op {
            Op::Bin(kind, a, b) => self.rebase_bin(*kind, *a, *b, span),
            Op::Cmp(kind @ (CmpOp::Eq | CmpOp::Ne), a, b) => {
                // a + m == n is a == n - m.
                let n = self.known.int(*b)?;
                let Some(Op::Bin(BinOp::Add, x, y)) = self.known.op(*a) else {
                    return None;
                };
                let (x, m) = (*x, self.known.int(*y)?);
                let n = self.number(Op::Const(n.wrapping_sub(m)), Ty::I64, span);
                Some(Op::Cmp(*kind, x, n))
            }
            Op::StrConcat(parts) => self.join_constants(parts, span),
            Op::Div(a, b, _) => {
                let shift = power_of_two(self.known.int(*b)?)?;
                let a = self.rounded(*a, shift, span);
                let shift = self.number(Op::Const(shift), Ty::I64, span);
                Some(Op::Bin(BinOp::Sar, a, shift))
            }
            Op::Rem(a, b, _) => {
                let n = self.known.int(*b)?;
                let shift = power_of_two(n)?;
                if self.known.bits(*a) < 64 {
                    let mask = self.number(Op::Const(n - 1), Ty::I64, span);
                    return Some(Op::Bin(BinOp::And, *a, mask));
                }
                let rounded = self.rounded(*a, shift, span);
                let mask = self.number(Op::Const(-n), Ty::I64, span);
                let whole = self.number(Op::Bin(BinOp::And, rounded, mask), Ty::I64, span);
                Some(Op::Bin(BinOp::Sub, *a, whole))
            }
            _ => None,
        }
    }

    /// Constants that stand side by side in a concatenation become one.
    fn join_constants(&mut self, parts: &[Value], span: Span) -> Option<Op> {
        let known = &self.known;
        let text = |value: Value| Some(self.module.strings[known.text(value)?].to_vec());
        let at = parts
            .windows(2)
            .position(|pair| known.text(pair[0]).is_some() && known.text(pair[1]).is_some())?;
        let mut joined = text(parts[at])?;
        joined.append(&mut text(parts[at + 1])?);
        let ty = Ty::str(joined.len() as u32);
        let id = self.texts.get(self.module, &joined);
        let joined = self.number(Op::StrConst(id), ty, span);
        let mut parts = parts.to_vec();
        parts.splice(at..at + 2, [joined]);
        Some(Op::StrConcat(parts))
    }

    /// `a`, with what makes a shift round towards zero added when it is negative.
    fn rounded(&mut self, a: Value, shift: i64, span: Span) -> Value {
        if self.known.bits(a) < 64 {
            return a;
        }
        let n = self.number(Op::Const(63), Ty::I64, span);
        let sign = self.number(Op::Bin(BinOp::Sar, a, n), Ty::I64, span);
        let n = self.number(Op::Const(64 - shift), Ty::I64, span);
        let bias = self.number(Op::Bin(BinOp::Shr, sign, n), Ty::I64, span);
        self.number(Op::Bin(BinOp::Add, a, bias), Ty::I64, span)
    }

    fn rebase_bin(&mut self, kind: BinOp, a: Value, b: Value, span: Span) -> Option<Op> {
        let n = self.known.int(b)?;
        if kind == BinOp::Sub {
            let n = self.number(Op::Const(n.wrapping_neg()), Ty::I64, span);
            return Some(Op::Bin(BinOp::Add, a, n));
        }
        if kind == BinOp::Mul
            && let Some(shift) = power_of_two(n)
        {
            let shift = self.number(Op::Const(shift), Ty::I64, span);
            return Some(Op::Bin(BinOp::Shl, a, shift));
        }
        let Some(Op::Bin(inner, x, y)) = self.known.op(a) else {
            return None;
        };
        let (inner, x, m) = (*inner, *x, self.known.int(*y)?);
        let is_shift = matches!(kind, BinOp::Shl | BinOp::Shr | BinOp::Sar);
        let together = match kind {
            _ if inner != kind => return None,
            BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor => fold::bin(kind, m, n),
            _ if is_shift => {
                let sum = (m & 63) + (n & 63);
                match kind {
                    BinOp::Sar => sum.min(63),
                    _ if sum > 63 => return Some(Op::Const(0)),
                    _ => sum,
                }
            }
            _ => return None,
        };
        let together = self.number(Op::Const(together), Ty::I64, span);
        Some(Op::Bin(kind, x, together))
    }
}

/// The exponent, if a number is a power of two above 1.
fn power_of_two(n: i64) -> Option<i64> {
    (n > 1 && n.count_ones() == 1).then(|| i64::from(n.trailing_zeros()))
}
