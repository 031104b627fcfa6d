//! Texts of histograms, from the counts that kernel handlers took.

use rtap_compiler::lir::Histogram;

use super::{Kind::*, UserFnRow, text};
use crate::values::{Value, histogram};

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "hist_log",
        params: &[Ints, Str],
        result: Str,
        call: |_, args| shown(Histogram::Log, args),
        doc: "@hist_log of the counts of its buckets",
    },
    UserFnRow {
        name: "hist_linear",
        params: &[Ints, Str],
        result: Str,
        call: |_, args| {
            let bounds = args.last().map(|list| list.text().to_string());
            let bounds = bounds.unwrap_or_default();
            let mut bounds = bounds.split(' ').map_while(|word| word.parse().ok());
            match (bounds.next(), bounds.next(), bounds.next()) {
                (Some(low), Some(high), Some(width)) if width > 0 => {
                    shown(Histogram::Linear { low, high, width }, args)
                }
                _ => Err("hist_linear: no bounds".to_owned()),
            }
        },
        doc: "@hist_linear of the counts of its buckets; the text is low, high and width",
    },
];

fn shown(kind: Histogram, args: &[Value]) -> Result<Value, String> {
    let numbers = args.split_last().map_or(&[][..], |(_, numbers)| numbers);
    let counts: Vec<i64> = numbers.iter().map(Value::int).collect();
    if counts.len() != kind.buckets() {
        return Err("a histogram of the wrong size".to_owned());
    }
    let mut out = Vec::new();
    histogram(&mut out, kind, &counts);
    text(out)
}
