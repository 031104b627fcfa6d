//! Names of the kernel's addresses in kernel handlers, as characters: what the kernel says,
//! made the same as what `runtime/src/userfn/symbols.rs` says.

use super::Call;
use crate::lir::{BinOp, CmpOp, Op, Ty, Value};
use crate::lower::{Lower, Lowered};

/// Bytes of a name with its module: more than either has.
const WHOLE_BYTES: u32 = 255;

/// `symname`: without the module.
pub(super) fn name(l: &mut Lower<'_>, addr: Value, call: &Call<'_>) -> Lowered<Value> {
    let (ty, span) = (Ty::str(call.cap.0), call.span);
    let whole = Whole::new(l, addr, false, call);
    l.select(whole.has_module, &[0], ty, span, |l, i| {
        if i == 0 {
            return Ok(l.text(Op::StrCut(whole.text), call.cap.0, span));
        }
        let (start, end) = (l.const_int(0, span), whole.space(l));
        Ok(l.text(Op::StrSub(whole.text, start, end), call.cap.0, span))
    })
}

/// `symdata`: with offset, size and module, if it is a symbol's.
pub(super) fn data(l: &mut Lower<'_>, addr: Value, call: &Call<'_>) -> Lowered<Value> {
    let (ty, span) = (Ty::str(call.cap.0), call.span);
    let whole = Whole::new(l, addr, true, call);
    let known = whole.is_symbol(l);
    let no_module = l.const_int(1, span);
    let no_module = l.compare(CmpOp::Ne, whole.has_module, no_module, span);
    l.select(known, &[0], ty, span, |l, i| {
        let text = |l: &mut Lower<'_>| l.text(Op::StrCut(whole.text), call.cap.0, span);
        if i == 0 {
            return Ok(text(l));
        }
        l.select(no_module, &[0], ty, span, |l, i| {
            if i == 0 {
                return Ok(text(l));
            }
            let kernel = l.const_text(b" [kernel]", 9, span);
            let parts = vec![whole.text, kernel];
            Ok(l.text(Op::StrConcat(parts), call.cap.0, span))
        })
    })
}

/// `modname`: the module alone.
pub(super) fn module(l: &mut Lower<'_>, addr: Value, call: &Call<'_>) -> Lowered<Value> {
    let (ty, span) = (Ty::str(call.cap.0), call.span);
    let whole = Whole::new(l, addr, false, call);
    let known = whole.is_symbol(l);
    l.select(whole.has_module, &[0], ty, span, |l, i| {
        if i != 0 {
            // Behind the blank and the bracket.
            let (space, behind) = (whole.space(l), l.const_int(2, span));
            let start = l.int(Op::Bin(BinOp::Add, space, behind), span);
            let last = l.const_int(1, span);
            let end = l.int(Op::Bin(BinOp::Sub, whole.length, last), span);
            let length = l.int(Op::Bin(BinOp::Sub, end, start), span);
            return Ok(l.text(Op::StrSub(whole.text, start, length), call.cap.0, span));
        }
        l.select(known, &[0], ty, span, |l, i| {
            let text: &[u8] = if i == 0 { b"<unknown>" } else { b"kernel" };
            Ok(l.const_text(text, call.cap.0, span))
        })
    })
}

/// What the kernel says of an address.
struct Whole<'c> {
    text: Value,
    length: Value,
    /// 1 if a module stands at the end.
    has_module: Value,
    call: &'c Call<'c>,
}

impl<'c> Whole<'c> {
    fn new(l: &mut Lower<'_>, addr: Value, offset: bool, call: &'c Call<'c>) -> Self {
        let span = call.span;
        let text = l.text(Op::StrSymbol { addr, offset }, WHOLE_BYTES, span);
        let length = l.int(Op::StrLen(text), span);
        let one = l.const_int(1, span);
        let last = l.int(Op::Bin(BinOp::Sub, length, one), span);
        let last = l.int(Op::StrByte(text, last), span);
        let bracket = l.const_int(i64::from(b']'), span);
        Whole {
            text,
            length,
            has_module: l.compare(CmpOp::Eq, last, bracket, span),
            call,
        }
    }

    /// Where the blank before the module is.
    fn space(&self, l: &mut Lower<'_>) -> Value {
        let span = self.call.span;
        let space = l.const_text(b" ", 1, span);
        l.int(Op::StrFind(self.text, space), span)
    }

    /// Whether it is a name, not the address in hexadecimal.
    fn is_symbol(&self, l: &mut Lower<'_>) -> Value {
        let span = self.call.span;
        let (start, zero) = (l.const_int(0, span), l.const_int(i64::from(b'0'), span));
        let first = l.int(Op::StrByte(self.text, start), span);
        l.compare(CmpOp::Ne, first, zero, span)
    }
}
