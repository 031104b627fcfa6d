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

use bstr::{BString, ByteSlice};

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
    list.split_ascii_whitespace().filter_map(item)
}

/// The items that are the texts of a table.
pub fn items_of(table: &[BString]) -> impl Iterator<Item = Item<'_>> {
    let texts = table.iter().filter_map(|text| text.to_str().ok());
    texts.filter_map(item)
}

fn item(text: &str) -> Option<Item<'_>> {
    let (name, value) = text.rsplit_once('=')?;
    if value == "*" {
        return Some(Item { name, value: None });
    }
    let (value, mask) = value.split_once('/').unwrap_or((value, value));
    let value = (number(value)?, number(mask)?);
    Some(Item {
        name,
        value: Some(value),
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
    match function {
        "flags" => {
            let items = list.split_ascii_whitespace().map(BString::from);
            let table = l.table(items.collect());
            Ok(Some(l.text(Op::StrFlags(table, v), cap, span)))
        }
        _ if l.exec() == Some(Exec::User) => {
            let site = l.site(ErrorKind::UserFn, span);
            let call = Op::User(UserFn(function.to_owned()), vec![v, call.args[1]], site);
            Ok(Some(l.text(call, cap, span)))
        }
        _ => one_of(l, v, &items(&list).collect::<Vec<_>>(), cap, span).map(Some),
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

/// Names of the bits of `v`.
pub fn flags<'a>(v: i64, items: impl Iterator<Item = Item<'a>>) -> String {
    let mut text = String::new();
    let mut zero = None;
    let mut rest = v;
    for item in items {
        match item.value {
            Some((0, 0)) => {
                zero.get_or_insert(item.name);
            }
            Some((value, mask)) if v & mask == value && rest & mask == value => {
                add(&mut text, item.name);
                rest &= !mask;
            }
            _ => {}
        }
    }
    if rest != 0 {
        add(&mut text, &format!("{rest:#x}"));
    }
    if text.is_empty() {
        zero.unwrap_or("0x0").to_owned()
    } else {
        text
    }
}

fn add(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push('|');
    }
    text.push_str(name);
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

    #[test]
    fn names_of_bits() {
        let shown = |v, list| flags(v, items(list));
        let list = "O_RDONLY=0/3 O_WRONLY=1/3 O_CREAT=0x40 O_SYNC=0x101000 O_DSYNC=0x1000";
        assert_eq!(shown(0, list), "O_RDONLY");
        assert_eq!(shown(0x41, list), "O_WRONLY|O_CREAT");
        assert_eq!(shown(0x10_1000, list), "O_RDONLY|O_SYNC");
        assert_eq!(shown(0x8000_1000, list), "O_RDONLY|O_DSYNC|0x80000000");
        assert_eq!(shown(0, "A=1"), "0x0");
        assert_eq!(shown(0, "A=1 =0"), "");
        assert_eq!(shown(0, "A=1 NONE=0"), "NONE");
    }
}
