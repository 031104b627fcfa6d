//! What a handler has read of the globals that kernel handlers count up: when it then resets or deletes
//! one, what has come since it looked must stay. (SystemTap locks globals while a handler runs.)

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rtap_compiler::image::StatRecord;
use rtap_compiler::lir::{Exec, Global, Module, Op};

use super::extra::merge;
use crate::bpf::Entries;
use crate::interp::kernel_ops::for_each_op_of;
use crate::values::Stat;

/// What the handler that is running has read.
pub(super) struct Seen {
    /// Globals that kernel handlers only add to, and user-side ones reset or delete.
    counted: HashSet<Global>,
    /// Bytes of the value, by global and bytes of the key: what was read alone.
    values: HashMap<Global, HashMap<Vec<u8>, Vec<u8>>>,
    /// Arrays of which all elements have been read.
    whole: HashMap<Global, Whole>,
}

/// All elements of an array.
struct Whole {
    entries: Rc<Entries>,
    /// Their numbers in the order of their keys, from when an element is first asked for.
    by_key: OnceCell<Vec<usize>>,
}

impl Whole {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let key_of = |n: &usize| self.entries.get(*n).map_or(&[][..], |(key, _)| key);
        let by_key = self.by_key.get_or_init(|| {
            let mut all: Vec<usize> = (0..self.entries.len()).collect();
            all.sort_unstable_by_key(|n| key_of(n));
            all
        });
        let at = by_key.binary_search_by_key(&key, key_of).ok()?;
        self.entries.get(*by_key.get(at)?).map(|(_, value)| value)
    }
}

impl Seen {
    /// Of a module's globals.
    pub(super) fn new(module: &Module) -> Seen {
        let (added, otherwise) = updated(Exec::Kernel, module);
        let (_, reset) = updated(Exec::User, module);
        let counted = &added - &otherwise;
        Seen {
            counted: &counted & &reset,
            values: HashMap::new(),
            whole: HashMap::new(),
        }
    }

    /// A handler begins: it has seen nothing.
    pub(super) fn begin(&mut self) {
        self.values.clear();
        self.whole.clear();
    }

    /// Whether it is a global that this is for.
    pub(super) fn counts(&self, global: Global) -> bool {
        self.counted.contains(&global)
    }

    /// The handler has read a value.
    pub(super) fn note(&mut self, global: Global, key: &[u8], value: &[u8]) {
        if self.counts(global) {
            let values = self.values.entry(global).or_default();
            values.insert(key.to_vec(), value.to_vec());
        }
    }

    /// The handler has read all elements of an array.
    pub(super) fn note_whole(&mut self, global: Global, entries: &Rc<Entries>) {
        if self.counts(global) {
            self.values.remove(&global);
            let whole = Whole {
                entries: Rc::clone(entries),
                by_key: OnceCell::new(),
            };
            self.whole.insert(global, whole);
        }
    }

    /// What it has read.
    pub(super) fn get(&self, global: Global, key: &[u8]) -> Option<&[u8]> {
        let alone = self.values.get(&global).and_then(|values| values.get(key));
        match alone {
            Some(value) => Some(value),
            None => self.whole.get(&global)?.get(key),
        }
    }

    /// What it has read, and is to read again: all that a handler does is one moment. Nothing where it has reset or deleted
    /// that: it can see what came since.
    pub(super) fn again(&self, global: Global, key: &[u8]) -> Option<&[u8]> {
        let value = self.get(global, key)?;
        (!self.is_zero(global, key)).then_some(value)
    }

    /// Whether it has reset or deleted that, or has found nothing in it.
    pub(super) fn is_zero(&self, global: Global, key: &[u8]) -> bool {
        let value = self.get(global, key);
        value.is_some_and(|value| value.iter().all(|byte| *byte == 0))
    }

    /// The number that it has read of a scalar.
    pub(super) fn number(&self, global: Global) -> Option<u64> {
        let bytes = self.get(global, &[])?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    }

    /// Whether an element has come after the handler read all of the array.
    pub(super) fn is_newer(&self, global: Global, key: &[u8]) -> bool {
        self.whole.contains_key(&global) && self.get(global, key).is_none()
    }
}

/// The globals that handlers of a side add to, and those that they update otherwise.
fn updated(exec: Exec, module: &Module) -> (HashSet<Global>, HashSet<Global>) {
    let (mut added, mut otherwise) = (HashSet::new(), HashSet::new());
    for_each_op_of(exec, module, |op| {
        let adds = matches!(
            op,
            Op::GlobalAdd(..)
                | Op::GlobalFetchAdd(..)
                | Op::ArrayAdd(..)
                | Op::ArrayFetchAdd(..)
                | Op::StatPush(..)
        );
        match op.global() {
            Some(global) if adds => added.insert(global),
            Some(global) if op.updates_global() => otherwise.insert(global),
            _ => false,
        };
    });
    (added, otherwise)
}

/// What takes a statistic away when it is added. It has no least and greatest value.
pub(super) fn negative(stat: &Stat) -> Stat {
    Stat {
        count: stat.count.wrapping_neg(),
        sum: stat.sum.wrapping_neg(),
        min: i64::MAX,
        max: i64::MIN,
        squares: stat.squares.wrapping_neg(),
        histograms: stat
            .histograms
            .iter()
            .map(|counts| counts.iter().map(|count| count.wrapping_neg()).collect())
            .collect(),
    }
}

/// What a statistic has got since it was `read`: the record of that, `None` for nothing. The
/// least and greatest of these values are known where they are the least and greatest of all; else their average is
/// taken for them.
pub(super) fn since(record: &StatRecord, read: &[u8], now: &[u8], stride: usize) -> Option<Stat> {
    let (read, now) = (merge(record, read, stride), merge(record, now, stride));
    let mut rest = now.clone();
    rest.count = now.count.wrapping_sub(read.count);
    if rest.count <= 0 {
        return None;
    }
    rest.sum = now.sum.wrapping_sub(read.sum);
    rest.squares = now.squares.wrapping_sub(read.squares);
    for (counts, before) in rest.histograms.iter_mut().zip(&read.histograms) {
        for (count, n) in counts.iter_mut().zip(before) {
            *count = count.wrapping_sub(*n);
        }
    }
    let average = rest.sum.wrapping_div(rest.count);
    if record.sum.is_some() && now.min == read.min {
        rest.min = average;
    }
    if record.sum.is_some() && now.max == read.max {
        rest.max = average;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use rtap_compiler::lir::{Histogram, StatLayout};

    use super::*;

    fn record() -> StatRecord {
        StatRecord::new(StatLayout {
            sum: true,
            min: true,
            max: true,
            variance: true,
            histograms: vec![Histogram::Log],
        })
    }

    fn of(record: &StatRecord, values: &[i64]) -> Vec<u8> {
        let mut bytes = vec![0; record.bytes as usize];
        for value in values {
            Stat::push_record(record, &mut bytes, *value).unwrap();
        }
        bytes
    }

    #[test]
    fn what_came_since() {
        let record = record();
        let stride = record.bytes as usize;
        let read = of(&record, &[5, 7]);
        let now = of(&record, &[5, 7, 6, 20]);
        let since = since(&record, &read, &now, stride).unwrap();
        assert_eq!((since.count, since.sum, since.max), (2, 26, 20));
        // Not known: the average stands for it.
        assert_eq!(since.min, 13);
        assert_eq!(super::since(&record, &read, &read, stride), None);
    }

    #[test]
    fn a_negative_takes_away() {
        let record = record();
        let mut bytes = of(&record, &[5, 7, -3]);
        let read = merge(&record, &of(&record, &[5, -3]), record.bytes as usize);
        negative(&read).add_to_record(&record, &mut bytes).unwrap();
        let left = merge(&record, &bytes, record.bytes as usize);
        assert_eq!((left.count, left.sum, left.squares), (1, 7, 49));
        assert_eq!(
            left.histograms,
            merge(&record, &of(&record, &[7]), record.bytes as usize).histograms
        );
    }
}
