//! The order of a foreach: which elements, and which first.

use rtap_compiler::lir::{Sort, SortBy};

use super::store::Snapshot;
use crate::values::{Text, Value};

/// The elements of `snapshot` in order, at most `limit`. Sorting is stable. `render` makes
/// the characters of a string that decides (late ones are compared by their text).
pub(super) fn order(
    snapshot: &impl Snapshot,
    sort: Option<Sort>,
    limit: usize,
    mut render: impl FnMut(SortBy, Value) -> Value,
) -> Vec<u32> {
    let count = snapshot.len();
    let Some(sort) = sort else {
        return (0..count.min(limit) as u32).collect();
    };
    let mut ints = Vec::new();
    let mut texts = Vec::new();
    for index in 0..count {
        let value = match sort.by {
            SortBy::Key(part) => snapshot.key(index, usize::from(part)),
            SortBy::Value => snapshot.value(index),
            SortBy::Stat(field) => Value::Int(snapshot.stat_field(index, field)),
        };
        match render(sort.by, value) {
            Value::Int(n) => ints.push((n, index as u32)),
            Value::Str(text) => texts.push((text, index as u32)),
        }
    }
    if texts.is_empty() {
        pick(ints, sort.descending, limit)
    } else {
        pick::<Text>(texts, sort.descending, limit)
    }
}

/// The first `limit` of the elements, sorted; equal ones in their order.
fn pick<K: Ord>(mut elements: Vec<(K, u32)>, descending: bool, limit: usize) -> Vec<u32> {
    let compare = |a: &(K, u32), b: &(K, u32)| {
        let by_key = if descending {
            b.0.cmp(&a.0)
        } else {
            a.0.cmp(&b.0)
        };
        by_key.then(a.1.cmp(&b.1))
    };
    if limit == 0 {
        return Vec::new();
    }
    if limit < elements.len() {
        elements.select_nth_unstable_by(limit - 1, compare);
        elements.truncate(limit);
    }
    elements.sort_unstable_by(compare);
    elements.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_takes_the_first_of_the_whole_order() {
        let values = [3, 1, 2, 3, 1, 2, 0];
        let elements = || {
            values
                .iter()
                .zip(0..)
                .map(|(v, i)| (*v, i))
                .collect::<Vec<_>>()
        };
        for descending in [false, true] {
            let all = pick(elements(), descending, usize::MAX);
            for limit in 0..=values.len() {
                assert_eq!(pick(elements(), descending, limit), all[..limit]);
            }
        }
        assert_eq!(pick(elements(), true, 4), [0, 3, 2, 5]);
        assert_eq!(pick(elements(), false, 4), [6, 1, 4, 2]);
    }
}
