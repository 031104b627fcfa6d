//! Histograms as `print(@hist_log(x))` and `print(@hist_linear(x, low, high, width))` lay
//! them out (all observed; the language reference, section 8.4, shows the same).
//!
//! ```text
//! value |-------------------------------------------------- count
//!    <0 |@                                                  1
//!     0 |@@                                                 2
//!    10 |                                                   0
//!    20 |                                                   0
//!       ~
//!    90 |                                                   0
//!   100 |                                                   0
//!  >100 |@                                                  1
//!
//! ```
//! An empty line ends it. Bars are one `@` for each `ceil(greatest / 50)` values. The value
//! column is as wide as the longest label that is shown, at least 5; counts end in one
//! column. Shown are the buckets from two before the first that is not empty to two after
//! the last; of a run of more than four empty ones between, the first and the last two and a
//! `~`. Underflow and overflow buckets are shown only when they are not empty, negative buckets
//! of a logarithmic histogram only when one of them is not.

use rtap_compiler::lir::Histogram;

use super::number::decimal;

/// Columns of the longest bar (HIST_WIDTH).
pub const HIST_WIDTH: i64 = 50;

/// Empty buckets that are kept at each end of a run (HIST_ELISION).
pub const HIST_ELISION: usize = 2;

/// The bucket of 0 in a logarithmic histogram.
const ZERO: usize = 64;

/// What a line of the histogram begins with: the bucket's lower bound, with `<` or `>` for
/// values beyond the ends of a linear one.
pub fn bucket_label(histogram: Histogram, bucket: usize) -> Vec<u8> {
    let (mark, value): (&[u8], i64) = match histogram {
        Histogram::Log => {
            let value = match bucket {
                64 => 0,
                above if above > 64 => 1 << (above - 65).min(62),
                below => (-1_i64) << (63 - below),
            };
            (b"", value)
        }
        Histogram::Linear { low, width, .. } => {
            let last = histogram.buckets() - 1;
            let steps = (bucket.clamp(1, last - 1) - 1) as i64;
            let mark: &[u8] = match bucket {
                0 => b"<",
                b if b == last => b">",
                _ => b"",
            };
            (mark, low.wrapping_add(steps.wrapping_mul(width)))
        }
    };
    let mut label = mark.to_vec();
    if value < 0 {
        label.push(b'-');
    }
    label.extend_from_slice(decimal(&mut [0; 20], value.unsigned_abs()));
    label
}

/// Appends the histogram of `counts`, one for each bucket. With no counts at all nothing
/// is appended (a script cannot print an empty statistic: that is an error before this).
pub fn histogram(out: &mut Vec<u8>, kind: Histogram, counts: &[i64]) {
    let Some(first) = counts.iter().position(|n| *n != 0) else {
        return;
    };
    let last = counts.iter().rposition(|n| *n != 0).unwrap_or(first);
    // Bounds of what may be shown: the end buckets of a linear one, and the negative ones of
    // a logarithmic one, only when in use.
    let (lowest, highest) = match kind {
        Histogram::Log => (if first >= ZERO { ZERO } else { 0 }, counts.len() - 1),
        Histogram::Linear { .. } => (1, counts.len().saturating_sub(2)),
    };
    let from = first.saturating_sub(HIST_ELISION).max(lowest).min(first);
    let to = (last + HIST_ELISION).min(highest).max(last);

    let shown = shown_lines(counts, from, to);
    let greatest = counts.iter().copied().max().unwrap_or(0);
    let scale = (greatest as u64).div_ceil(HIST_WIDTH as u64).max(1);
    let mut digits = [0; 20];
    let count_width = decimal(&mut digits, greatest as u64).len();
    let label_width = shown
        .iter()
        .flatten()
        .map(|bucket| bucket_label(kind, *bucket).len())
        .max()
        .unwrap_or(0)
        .max(5);

    blanks(out, label_width - 5);
    out.extend_from_slice(b"value |");
    out.resize(out.len() + HIST_WIDTH as usize, b'-');
    out.extend_from_slice(b" count\n");
    for line in shown {
        let Some(bucket) = line else {
            blanks(out, label_width + 1);
            out.extend_from_slice(b"~\n");
            continue;
        };
        let label = bucket_label(kind, bucket);
        blanks(out, label_width - label.len());
        out.extend_from_slice(&label);
        out.extend_from_slice(b" |");
        let bar = (counts[bucket] as u64 / scale) as usize;
        out.resize(out.len() + bar, b'@');
        let mut digits = [0; 20];
        let count = decimal(&mut digits, counts[bucket] as u64);
        blanks(
            out,
            HIST_WIDTH as usize - bar + 1 + count_width - count.len(),
        );
        out.extend_from_slice(count);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The lines between two buckets: a bucket, or `None` for a `~`.
fn shown_lines(counts: &[i64], from: usize, to: usize) -> Vec<Option<usize>> {
    let mut shown = Vec::new();
    let mut bucket = from;
    while bucket <= to {
        let run = counts[bucket..=to].iter().take_while(|n| **n == 0).count();
        if run > 2 * HIST_ELISION {
            shown.extend((bucket..bucket + HIST_ELISION).map(Some));
            shown.push(None);
            shown.extend((bucket + run - HIST_ELISION..bucket + run).map(Some));
        } else {
            shown.extend((bucket..bucket + run).map(Some));
        }
        bucket += run;
        if bucket <= to {
            shown.push(Some(bucket));
            bucket += 1;
        }
    }
    shown
}

fn blanks(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b' ');
}

#[cfg(test)]
mod tests;
