//! Arithmetic that can be done now, and identities of integers.

#![allow(
    clippy::many_single_char_names,
    reason = "operands are a and b, constants m and n"
)]

use cranelift_entity::SecondaryMap;

use crate::lir::{BinOp, CmpOp, Env, Op, StatField, StrId, Value};

/// What an operation can be replaced by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Folded {
    /// Nothing better.
    No,
    /// A value that is there already.
    Value(Value),
    /// A number.
    Int(i64),
    /// A text.
    Text(Vec<u8>),
    /// Another operation.
    Op(Op),
}

/// What is known of values.
#[derive(Default)]
pub(super) struct Known {
    /// The operation that defines a value, for the simple ones.
    ops: SecondaryMap<Value, Option<Op>>,
    /// How many low bits can be set, plus one; the others are 0. Zero: nothing is known.
    bits: SecondaryMap<Value, u8>,
}

impl Known {
    /// Notes how a value is defined.
    pub(super) fn define(&mut self, value: Value, op: &Op) {
        self.bits[value] = self.bits_of(op) + 1;
        if matches!(
            op,
            Op::Const(_)
                | Op::Bin(..)
                | Op::Cmp(..)
                | Op::Extend { .. }
                | Op::StrConst(_)
                | Op::StrCut(_)
                | Op::StrConcat(_)
        ) {
            self.ops[value] = Some(op.clone());
        }
    }

    /// The operation that defines a value, where it is one of the simple ones.
    pub(super) fn op(&self, value: Value) -> Option<&Op> {
        self.ops[value].as_ref()
    }

    /// The number that a value is.
    pub(super) fn int(&self, value: Value) -> Option<i64> {
        match self.ops[value] {
            Some(Op::Const(n)) => Some(n),
            _ => None,
        }
    }

    /// The constant that a string is.
    pub(super) fn text(&self, value: Value) -> Option<StrId> {
        match self.ops[value] {
            Some(Op::StrConst(id)) => Some(id),
            _ => None,
        }
    }

    /// How many low bits of an integer can be set: 64 if it can be negative.
    pub(super) fn bits(&self, value: Value) -> u8 {
        match self.bits[value] {
            0 => 64,
            n => n - 1,
        }
    }

    fn bits_of(&self, op: &Op) -> u8 {
        match op {
            Op::Const(n) => (64 - n.leading_zeros()) as u8,
            Op::Cmp(..)
            | Op::StrEq(..)
            | Op::StrMatch(..)
            | Op::ArrayHas(..)
            | Op::ArrayHasSlice(..) => 1,
            Op::Extend {
                value,
                bits,
                signed: false,
            } => self.bits(*value).min(*bits),
            Op::Extend {
                value,
                bits,
                signed: true,
            } if self.bits(*value) < *bits => self.bits(*value),
            Op::Bin(op, a, b) => self.bits_of_bin(*op, *a, *b),
            Op::Env(env) => match env {
                Env::Cpu => 16,
                Env::Random => 32,
                Env::Point | Env::TargetPid => 31,
                Env::PidTgid | Env::KtimeNs | Env::BootNs | Env::RealNs => 63,
                Env::UidGid | Env::Jiffies | Env::CurrentTask | Env::CgroupId => 64,
            },
            Op::MemRead {
                size,
                signed: false,
                ..
            }
            | Op::CtxLoad {
                size,
                signed: false,
                ..
            } => size.saturating_mul(8).min(64),
            Op::Div(a, b, _) => match (self.bits(*a), self.int(*b)) {
                (bits, Some(n)) if bits < 64 && n > 0 => {
                    bits.saturating_sub(63 - n.leading_zeros() as u8)
                }
                _ => 64,
            },
            Op::Rem(a, b, _) => match (self.bits(*a), self.int(*b)) {
                (bits, Some(n)) if bits < 64 && n > 0 => bits.min(64 - n.leading_zeros() as u8),
                _ => 64,
            },
            Op::StrLen(_) | Op::StrSome(_) => 32,
            Op::StrByte(..) => 8,
            Op::StatGet(_, _, StatField::Count, _) => 63,
            _ => 64,
        }
    }

    fn bits_of_bin(&self, op: BinOp, a: Value, b: Value) -> u8 {
        let (x, y) = (self.bits(a), self.bits(b));
        let up_to_63 = |n: u8| if n > 63 { 64 } else { n };
        let count = self.int(b).map(|n| (n & 63) as u8);
        match (op, count) {
            (BinOp::And, _) => x.min(y),
            (BinOp::Or | BinOp::Xor, _) => x.max(y),
            (BinOp::Add, _) => up_to_63(x.max(y) + 1),
            (BinOp::Mul, _) => up_to_63(x.saturating_add(y)),
            (BinOp::Shl, Some(n)) => up_to_63(x.saturating_add(n)),
            (BinOp::Shr, Some(n)) => x.saturating_sub(n),
            (BinOp::Sar, Some(n)) if x < 64 => x.saturating_sub(n),
            (BinOp::Shr | BinOp::Sar, None) if x < 64 => x,
            _ => 64,
        }
    }
}

/// The result of arithmetic.
pub(super) fn bin(op: BinOp, a: i64, b: i64) -> i64 {
    let count = (b & 63) as u32;
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a << count,
        BinOp::Shr => ((a as u64) >> count) as i64,
        BinOp::Sar => a >> count,
    }
}

/// The result of a comparison.
pub(super) fn cmp(op: CmpOp, a: i64, b: i64) -> bool {
    match op {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Ult => (a as u64) < (b as u64),
    }
}

/// The low `bits` of a number, extended.
fn extend(n: i64, bits: u8, signed: bool) -> i64 {
    let shift = 64 - u32::from(bits);
    if signed {
        n << shift >> shift
    } else {
        (((n << shift) as u64) >> shift) as i64
    }
}

/// Folds an operation of integers.
pub(super) fn fold(op: &Op, known: &Known) -> Folded {
    match op {
        Op::Bin(op, a, b) => fold_bin(*op, *a, *b, known),
        Op::Cmp(op, a, b) => fold_cmp(*op, *a, *b, known),
        Op::Extend {
            value,
            bits,
            signed,
        } => fold_extend(*value, *bits, *signed, known),
        Op::Div(a, b, _) => match (known.int(*a), known.int(*b)) {
            (Some(a), Some(b)) if b != 0 => Folded::Int(a.wrapping_div(b)),
            (_, Some(1)) => Folded::Value(*a),
            _ => Folded::No,
        },
        Op::Rem(a, b, _) => match (known.int(*a), known.int(*b)) {
            (Some(a), Some(b)) if b != 0 => Folded::Int(a.wrapping_rem(b)),
            (_, Some(1 | -1)) => Folded::Int(0),
            _ => Folded::No,
        },
        _ => Folded::No,
    }
}

fn fold_bin(op: BinOp, a: Value, b: Value, known: &Known) -> Folded {
    let commutes = matches!(
        op,
        BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor
    );
    match (known.int(a), known.int(b)) {
        (Some(x), Some(y)) => Folded::Int(bin(op, x, y)),
        (None, Some(n)) => fold_with_constant(op, a, b, n, known),
        (Some(0), None) if matches!(op, BinOp::Shl | BinOp::Shr | BinOp::Sar) => Folded::Int(0),
        // Constants to the right; other operands in one order, so that equal sums look equal.
        (Some(_), None) if commutes => Folded::Op(Op::Bin(op, b, a)),
        (None, None) if commutes && b < a => Folded::Op(Op::Bin(op, b, a)),
        (None, None) if a == b => match op {
            BinOp::Sub | BinOp::Xor => Folded::Int(0),
            BinOp::And | BinOp::Or => Folded::Value(a),
            _ => Folded::No,
        },
        _ => Folded::No,
    }
}

/// `a op n`, where `b` is the constant.
fn fold_with_constant(op: BinOp, a: Value, b: Value, n: i64, known: &Known) -> Folded {
    let width = known.bits(a);
    let mask = |bits: u8| {
        if bits >= 64 {
            -1
        } else {
            ((1_u64 << bits) - 1) as i64
        }
    };
    match (op, n) {
        (BinOp::Add | BinOp::Sub | BinOp::Or | BinOp::Xor, 0) => return Folded::Value(a),
        (BinOp::Shl | BinOp::Shr | BinOp::Sar, n) if n % 64 == 0 => return Folded::Value(a),
        (BinOp::Mul, 1) | (BinOp::And, -1) => return Folded::Value(a),
        (BinOp::Mul | BinOp::And, 0) => return Folded::Int(0),
        (BinOp::Or, -1) => return Folded::Int(-1),
        (BinOp::Shr, n) if (n & 63) as u8 >= width => return Folded::Int(0),
        // Nothing is left to mask away.
        (BinOp::And, n) if n & mask(width) == mask(width) => return Folded::Value(a),
        (BinOp::And, 0xffff_ffff) => {
            return Folded::Op(Op::Extend {
                value: a,
                bits: 32,
                signed: false,
            });
        }
        (BinOp::Sar, _) if width < 64 => return Folded::Op(Op::Bin(BinOp::Shr, a, b)),
        _ => {}
    }
    let Some(Op::Bin(inner, x, y)) = known.op(a) else {
        return Folded::No;
    };
    let Some(m) = known.int(*y) else {
        return Folded::No;
    };
    // (x op m) op n with one constant; the caller turns `Rebased` into operations.
    match (*inner, op) {
        (BinOp::And, BinOp::And) if n & m == n => Folded::Op(Op::Bin(BinOp::And, *x, b)),
        (BinOp::Shl, BinOp::Shr) if n == m && n < 64 && n == 32 => Folded::Op(Op::Extend {
            value: *x,
            bits: 32,
            signed: false,
        }),
        (BinOp::Shl, BinOp::Sar) if n == m && (1..64).contains(&n) => Folded::Op(Op::Extend {
            value: *x,
            bits: 64 - n as u8,
            signed: true,
        }),
        _ => Folded::No,
    }
}

fn fold_cmp(op: CmpOp, a: Value, b: Value, known: &Known) -> Folded {
    if a == b {
        let holds = matches!(op, CmpOp::Eq | CmpOp::Le | CmpOp::Ge);
        return Folded::Int(i64::from(holds));
    }
    let n = match (known.int(a), known.int(b)) {
        (Some(x), Some(y)) => return Folded::Int(i64::from(cmp(op, x, y))),
        (None, Some(n)) => n,
        (Some(_), None) => {
            return match swapped(op) {
                Some(op) => Folded::Op(Op::Cmp(op, b, a)),
                None => Folded::No,
            };
        }
        (None, None) => {
            return match op {
                CmpOp::Eq | CmpOp::Ne if b < a => Folded::Op(Op::Cmp(op, b, a)),
                _ => Folded::No,
            };
        }
    };
    let bits = known.bits(a);
    if bits < 64 {
        // `a` is in 0..2^bits: numbers outside decide by themselves.
        let above = n >= 0 && (64 - n.leading_zeros()) as u8 > bits;
        match op {
            CmpOp::Lt if n <= 0 => return Folded::Int(0),
            CmpOp::Ge if n <= 0 => return Folded::Int(1),
            CmpOp::Le if n < 0 => return Folded::Int(0),
            CmpOp::Gt if n < 0 => return Folded::Int(1),
            CmpOp::Lt | CmpOp::Le | CmpOp::Ne if above => return Folded::Int(1),
            CmpOp::Gt | CmpOp::Ge | CmpOp::Eq if above => return Folded::Int(0),
            CmpOp::Eq if n < 0 => return Folded::Int(0),
            CmpOp::Ne if n < 0 => return Folded::Int(1),
            _ => {}
        }
    }
    if bits <= 1 {
        match (op, n) {
            (CmpOp::Ne, 0) | (CmpOp::Eq, 1) => return Folded::Value(a),
            (CmpOp::Eq, 0) | (CmpOp::Ne, 1) => {
                if let Some(Op::Cmp(inner, x, y)) = known.op(a)
                    && let Some(inverse) = inverted(*inner)
                {
                    return Folded::Op(Op::Cmp(inverse, *x, *y));
                }
            }
            _ => {}
        }
    }
    Folded::No
}

/// The comparison with its sides exchanged.
fn swapped(op: CmpOp) -> Option<CmpOp> {
    Some(match op {
        CmpOp::Eq => CmpOp::Eq,
        CmpOp::Ne => CmpOp::Ne,
        CmpOp::Lt => CmpOp::Gt,
        CmpOp::Le => CmpOp::Ge,
        CmpOp::Gt => CmpOp::Lt,
        CmpOp::Ge => CmpOp::Le,
        CmpOp::Ult => return None,
    })
}

/// The comparison that holds when this one does not.
fn inverted(op: CmpOp) -> Option<CmpOp> {
    Some(match op {
        CmpOp::Eq => CmpOp::Ne,
        CmpOp::Ne => CmpOp::Eq,
        CmpOp::Lt => CmpOp::Ge,
        CmpOp::Le => CmpOp::Gt,
        CmpOp::Gt => CmpOp::Le,
        CmpOp::Ge => CmpOp::Lt,
        CmpOp::Ult => return None,
    })
}

fn fold_extend(value: Value, bits: u8, signed: bool, known: &Known) -> Folded {
    if let Some(n) = known.int(value) {
        return Folded::Int(extend(n, bits, signed));
    }
    let width = known.bits(value);
    if width < bits || (width == bits && !signed) {
        return Folded::Value(value);
    }
    match known.op(value) {
        // The inner one keeps all bits that the outer one looks at.
        Some(Op::Extend {
            value: inner,
            bits: kept,
            signed: inner_signed,
        }) => {
            if *kept >= bits {
                Folded::Op(Op::Extend {
                    value: *inner,
                    bits,
                    signed,
                })
            } else if *inner_signed && signed {
                Folded::Value(value)
            } else {
                Folded::No
            }
        }
        Some(Op::Bin(BinOp::And, inner, mask))
            if bits < 64
                && known
                    .int(*mask)
                    .is_some_and(|m| extend(m, bits, false) == extend(-1, bits, false)) =>
        {
            Folded::Op(Op::Extend {
                value: *inner,
                bits,
                signed,
            })
        }
        _ => Folded::No,
    }
}
