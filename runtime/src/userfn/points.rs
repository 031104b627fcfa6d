//! Texts of probe points, of their program-wide numbers.

use super::{Host, Kind::*, UserFnRow, text};
use crate::values::Value;

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "pp",
        params: &[Int],
        result: Str,
        call: |host, args| point(host, args, 0),
        doc: "the point in full",
    },
    UserFnRow {
        name: "probefunc",
        params: &[Int],
        result: Str,
        call: |host, args| point(host, args, 1),
        doc: "the point's function, or system call",
    },
    UserFnRow {
        name: "probemod",
        params: &[Int],
        result: Str,
        call: |host, args| point(host, args, 2),
        doc: "the point's module or binary",
    },
];

fn point(host: &mut Host, args: &[Value], which: usize) -> Result<Value, String> {
    let number = usize::try_from(args[0].int()).ok();
    let texts = number.and_then(|number| host.points.get(number));
    text(texts.map_or("", |texts| &texts[which]))
}
