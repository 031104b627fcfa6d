//! Names of numbers out of a list that the call itself holds: flags and enumerations of system
//! calls, signals, sockets. Where only printed or stored, a kernel handler carries the number and
//! `runtime/src/userfn/names.rs` makes the text; elsewhere in the kernel a chain of comparisons does.
//!
//! The list is a literal, items separated by blanks, in order:
//! * `__flags`: `NAME=VALUE` or `NAME=VALUE/MASK` (MASK is VALUE if left out): shown where
//!   `v & MASK == VALUE`, and MASK's bits are done. `NAME=0` without mask is for `v == 0` only. Names are
//!   joined by `|`, bits left over are added as `%#x`; 0 without a name is `0x0`.
//! * `__enum`: `NAME=VALUE`: the first that is equal; `NAME=*` is for all others, without it
//!   `%d` between -4096 and 4096, else `%#x`.
//!
//! NAME may be empty.

use super::{Builtin, Call, Late};
use crate::hir::Ty::{Long, Str};
use crate::lir::{
    BinOp, Channel, CmpOp, Conv, ConvKind, ErrorKind, Exec, Format, Op, Piece, Ty, UserFn, Value,
};
use crate::lower::{Lower, Lowered};

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        lower: |l, c| names(l, c, "flags"),
        doc: "(number, list): names of the bits set in the number, joined by `|`",
        ..of_list("__flags")
    },
    Builtin {
        lower: |l, c| names(l, c, "enum"),
        doc: "(number, list): name of the number",
        ..of_list("__enum")
    },
];

const fn of_list(name: &'static str) -> Builtin {
    Builtin {
        name,
        params: &[Long, Str],
        ret: Str,
        whole_literals: true,
        late: Some(Late {
            bytes: |_, _| 8,
            key: false,
            empty: true,
        }),
        // No text is longer than the list, or than a number behind all names.
        cap: |args, max| args[1].saturating_add(24).min(max),
        ..Builtin::BASE
    }
}

/// One item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What is shown.
    pub name: &'a str,
    /// The value and the bits that it is of; `None` stands for all others.
    pub value: Option<(i64, i64)>,
}

/// The items of a list; one that cannot be read is left out.
pub fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    list.split_ascii_whitespace().filter_map(|item| {
        let (name, value) = item.rsplit_once('=')?;
        if value == "*" {
            return Some(Item { name, value: None });
        }
        let (value, mask) = value.split_once('/').unwrap_or((value, value));
        let value = (number(value)?, number(mask)?);
        Some(Item {
            name,
            value: Some(value),
        })
    })
}

fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let n = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    n.ok().map(|n| (n as i64).wrapping_mul(sign))
}

fn names(l: &mut Lower<'_>, call: &Call<'_>, function: &str) -> Lowered<Option<Value>> {
    let span = call.span;
    let Some(list) = l.as_const_text(call.args[1]) else {
        return l.fault(
            span,
            "the list of names must be a literal",
            "write it where it is used",
        );
    };
    let list = list.to_string();
    let v = call.args[0];
    let (cap, late) = call.cap;
    if late {
        let format = l.format(Format {
            pieces: vec![Piece::Call(UserFn(format!("{function} {list}")), 1)],
            channel: Channel::Out,
        });
        return Ok(l.emit(
            Op::StrLate(format, vec![v]),
            Some(Ty::Str { cap, late }),
            span,
        ));
    }
    if l.exec() == Some(Exec::User) {
        let site = l.site(ErrorKind::UserFn, span);
        let call = Op::User(UserFn(function.to_owned()), vec![v, call.args[1]], site);
        return Ok(Some(l.text(call, cap, span)));
    }
    let items: Vec<Item<'_>> = items(&list).collect();
    match function {
        "flags" => flags(l, v, &items, cap, span).map(Some),
        _ => one_of(l, v, &items, cap, span).map(Some),
    }
}

type Span = rtap_grammar::source::Span;

fn one_of(l: &mut Lower<'_>, v: Value, items: &[Item<'_>], cap: u32, span: Span) -> Lowered<Value> {
    let mut values = Vec::new();
    let mut texts = Vec::new();
    for item in items {
        if let Some((value, _)) = item.value
            && !values.contains(&value)
        {
            values.push(value);
            texts.push(item.name);
        }
    }
    let other = items.iter().find(|item| item.value.is_none());
    l.select(v, &values, Ty::str(cap), span, |l, i| {
        match (texts.get(i), other) {
            (Some(name), _) | (None, Some(Item { name, .. })) => {
                Ok(l.const_text(name.as_bytes(), cap, span))
            }
            (None, None) => {
                let bound = l.const_int(4095, span);
                let sum = l.int(Op::Bin(BinOp::Add, v, bound), span);
                let span_of_small = l.const_int(8191, span);
                let small = l.compare(CmpOp::Ult, sum, span_of_small, span);
                l.select(small, &[1], Ty::str(cap), span, |l, i| {
                    let kind = if i == 0 {
                        ConvKind::Decimal
                    } else {
                        ConvKind::HexLower
                    };
                    Ok(shown(l, v, b"", kind, cap, span))
                })
            }
        }
    })
}

fn flags(l: &mut Lower<'_>, v: Value, items: &[Item<'_>], cap: u32, span: Span) -> Lowered<Value> {
    let ty = Ty::str(cap);
    let zero = items.iter().find(|item| item.value == Some((0, 0)));
    let mut text = l.const_text(b"", cap, span);
    let mut rest = v;
    for item in items {
        let Some((value, mask)) = item.value else {
            continue;
        };
        if mask == 0 {
            continue;
        }
        let mask_value = l.const_int(mask, span);
        let bits = l.int(Op::Bin(BinOp::And, v, mask_value), span);
        let wanted = l.const_int(value, span);
        // Bits that an earlier item has taken are not shown again.
        let left = l.int(Op::Bin(BinOp::And, rest, mask_value), span);
        let same = l.compare(CmpOp::Eq, bits, wanted, span);
        let untaken = l.compare(CmpOp::Eq, left, wanted, span);
        let both = l.int(Op::Bin(BinOp::And, same, untaken), span);
        let name = format!("|{}", item.name);
        let so_far = text;
        text = l.select(both, &[1], ty, span, |l, i| {
            if i == 1 {
                return Ok(so_far);
            }
            let name = l.const_text(name.as_bytes(), name.len() as u32, span);
            Ok(l.text(Op::StrConcat(vec![so_far, name]), cap, span))
        })?;
        let others = l.const_int(!mask, span);
        let without = l.int(Op::Bin(BinOp::And, rest, others), span);
        let before = rest;
        rest = l.select(both, &[1], Ty::I64, span, |_, i| {
            Ok(if i == 0 { without } else { before })
        })?;
    }
    let so_far = text;
    let text = l.select(rest, &[0], ty, span, |l, i| {
        if i == 0 {
            return Ok(so_far);
        }
        let hex = shown(l, rest, b"|", ConvKind::HexLower, 24, span);
        Ok(l.text(Op::StrConcat(vec![so_far, hex]), cap, span))
    })?;
    let length = l.int(Op::StrLen(text), span);
    l.select(length, &[0], ty, span, |l, i| {
        if i == 0 {
            let name = zero.map_or("0x0", |item| item.name);
            return Ok(l.const_text(name.as_bytes(), cap, span));
        }
        let one = l.const_int(1, span);
        Ok(l.text(Op::StrSub(text, one, length), cap, span))
    })
}

/// A number behind a text.
fn shown(
    l: &mut Lower<'_>,
    v: Value,
    before: &[u8],
    kind: ConvKind,
    cap: u32,
    span: Span,
) -> Value {
    let mut pieces = Vec::new();
    if kind == ConvKind::HexLower {
        pieces.push(Piece::Text([before, b"0x"].concat().into()));
    }
    pieces.push(Piece::Conv(Conv::plain(kind)));
    let format = l.format(Format {
        pieces,
        channel: Channel::Out,
    });
    l.text(Op::StrFormat(format, vec![v]), cap, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let all: Vec<_> = items("A=1 B=0x10/0xf0 =0 C=* bad D=-2").collect();
        let item = |name, value| Item { name, value };
        assert_eq!(
            all,
            [
                item("A", Some((1, 1))),
                item("B", Some((16, 240))),
                item("", Some((0, 0))),
                item("C", None),
                item("D", Some((-2, -2))),
            ]
        );
    }
}
