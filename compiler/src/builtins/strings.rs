//! Strings and conversions. Strings are bytes, positions count from 0.

use super::{Builtin, Call, Late};
use crate::hir::Ty::{Long, Str};
use crate::image::width_bytes;
use crate::lir::{Channel, CmpOp, ErrorKind, Format, Op, Piece, Ty, UserFn, Value};
use crate::lower::{Lower, Lowered};

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        name: "strlen",
        params: &[Str],
        lower: |l, c| Ok(Some(l.int(Op::StrLen(c.args[0]), c.span))),
        doc: "length in bytes",
        ..Builtin::BASE
    },
    Builtin {
        name: "substr",
        params: &[Str, Long, Long],
        ret: Str,
        cap: |args, _| args[0],
        bound: Some(2),
        lower: substr,
        doc: "substr(s, start, length): a part of the string; \"\" if it is out of range",
        ..Builtin::BASE
    },
    Builtin {
        name: "__str_byte",
        params: &[Str, Long],
        lower: |l, c| Ok(Some(l.int(Op::StrByte(c.args[0], c.args[1]), c.span))),
        doc: "byte n of the string, 0-255; 0 outside of it",
        ..Builtin::BASE
    },
    Builtin {
        name: "__str_find",
        params: &[Str, Str],
        lower: |l, c| Ok(Some(l.int(Op::StrFind(c.args[0], c.args[1]), c.span))),
        doc: "position of the first occurrence of the second string in the first, or -1",
        ..Builtin::BASE
    },
    Builtin {
        name: "isinstr",
        params: &[Str, Str],
        lower: |l, c| {
            let at = l.int(Op::StrFind(c.args[0], c.args[1]), c.span);
            let zero = l.const_int(0, c.span);
            Ok(Some(l.compare(CmpOp::Ge, at, zero, c.span)))
        },
        doc: "1 if the first string contains the second",
        ..Builtin::BASE
    },
    Builtin {
        name: "__chr",
        params: &[Long],
        ret: Str,
        cap: |_, _| 1,
        lower: |l, c| Ok(Some(l.text(Op::StrFromByte(c.args[0]), c.cap.0, c.span))),
        doc: "a string of one byte, the number's low eight bits; \"\" for 0",
        ..Builtin::BASE
    },
    Builtin {
        name: "strtol",
        params: &[Str, Long],
        lower: |l, c| Ok(Some(l.int(Op::StrToInt(c.args[0], c.args[1]), c.span))),
        doc: "strtol(s, base): C's strtol with 64 bits, which wrap",
        ..Builtin::BASE
    },
    Builtin {
        name: "__str_quote",
        params: &[Str],
        ret: Str,
        // Each byte can become four, and two quotes and three dots come to them.
        cap: |args, max| args[0].saturating_mul(4).saturating_add(5).min(max),
        late: Some(Late {
            bytes: |args, _| width_bytes(Ty::str(args[0])),
            key: true,
            empty: false,
        }),
        lower: quote,
        doc: "the string in double quotes, with what is not printable escaped; ... after it when cut",
        ..Builtin::BASE
    },
    Builtin {
        name: "matched",
        params: &[Long],
        ret: Str,
        pure: false,
        lower: matched,
        doc: "text of sub-match n of the last successful =~ in this handler; an error if there is none",
        ..Builtin::BASE
    },
    Builtin {
        name: "ngroups",
        pure: false,
        lower: |l, c| Ok(Some(l.int(Op::MatchedGroups, c.span))),
        doc: "number of sub-expressions of the last successful =~",
        ..Builtin::BASE
    },
];

/// Late, it carries the string as it is, and the format says where the result is cut.
fn quote(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let (cap, late) = call.cap;
    if !late {
        return Ok(Some(l.text(Op::StrQuote(call.args[0]), cap, call.span)));
    }
    let function = format!("str_quote {}", l.max_cap());
    let format = l.format(Format {
        pieces: vec![Piece::Call(UserFn(function), 1)],
        channel: Channel::Out,
    });
    let ty = Ty::Str { cap, late };
    Ok(l.emit(Op::StrLate(format, vec![call.args[0]]), Some(ty), call.span))
}

fn substr(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let op = Op::StrSub(call.args[0], call.args[1], call.args[2]);
    // Of a constant length, the result needs no more room than that.
    let cap = match l.as_const(call.args[2]) {
        Some(n) if n >= 0 => u32::try_from(n).map_or(call.cap.0, |n| n.min(call.cap.0)),
        _ => call.cap.0,
    };
    Ok(Some(l.text(op, cap, call.span)))
}

fn matched(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let site = l.site(ErrorKind::MatchRange, call.span);
    let op = Op::Matched(call.args[0], site);
    Ok(Some(l.text(op, call.cap.0, call.span)))
}
