//! What a foreach over a map goes through: the map's bytes as they were read.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rtap_compiler::image::{ArrayLayout, Slot};
use rtap_compiler::lir::StatField;

use super::super::store::Snapshot;
use super::{merge, plain, record_of};
use crate::bpf::Entries;
use crate::values::{Stat, Value, read_slot, write_slot};

/// The bytes that a slice asks of a key.
pub(super) struct Wanted {
    parts: Vec<(usize, Vec<u8>)>,
}

impl Wanted {
    pub fn new(layout: &ArrayLayout, slice: &[Option<Value>]) -> Wanted {
        let mut parts = Vec::new();
        for (slot, wanted) in layout.keys.iter().zip(slice) {
            if let Some(value) = wanted {
                let mut bytes = vec![0; slot.width() as usize];
                // The buffer has the slot's width.
                let _ = write_slot(Slot { offset: 0, ..*slot }, value, &mut bytes);
                parts.push((slot.offset as usize, bytes));
            }
        }
        Wanted { parts }
    }

    pub fn is_all(&self) -> bool {
        self.parts.is_empty()
    }

    pub fn matches(&self, key: &[u8]) -> bool {
        self.parts
            .iter()
            .all(|(at, bytes)| key.get(*at..at + bytes.len()) == Some(bytes))
    }
}

/// An array's elements as they were read.
#[derive(Default)]
pub struct BpfSnapshot {
    pub(super) layout: Option<Rc<ArrayLayout>>,
    pub(super) stride: usize,
    pub(super) entries: Rc<Entries>,
    /// The entries that match, if not all do.
    pub(super) chosen: Option<Vec<u32>>,
    /// What user space added.
    pub(super) extra: HashMap<Vec<u8>, Vec<u8>>,
    /// Keys of those that are not in the map.
    pub(super) only_extra: Vec<Vec<u8>>,
}

impl BpfSnapshot {
    /// Of the elements in `entries` and what user space has added, in `extra`, those that are wanted.
    pub(super) fn new(
        layout: &Rc<ArrayLayout>,
        stride: usize,
        entries: Rc<Entries>,
        extra: &HashMap<Vec<u8>, Vec<u8>>,
        wanted: &Wanted,
    ) -> BpfSnapshot {
        let mut extra = extra.clone();
        extra.retain(|key, _| wanted.matches(key));
        let chosen = (!wanted.is_all()).then(|| {
            let entries = entries.iter().zip(0..);
            entries
                .filter(|((key, _), _)| wanted.matches(key))
                .map(|(_, index)| index)
                .collect()
        });
        // Elements that only user space has made stand at the end.
        let mut only_extra: Vec<Vec<u8>> = Vec::new();
        if !extra.is_empty() {
            let in_map: HashSet<&[u8]> = entries.iter().map(|(key, _)| key).collect();
            let missing = extra.keys().filter(|key| !in_map.contains(key.as_slice()));
            only_extra = missing.cloned().collect();
            only_extra.sort_unstable();
        }
        BpfSnapshot {
            layout: Some(Rc::clone(layout)),
            stride,
            entries,
            chosen,
            extra,
            only_extra,
        }
    }

    fn in_map(&self) -> usize {
        self.chosen.as_ref().map_or(self.entries.len(), Vec::len)
    }

    /// Key and value of an element; no value for one that is not in the map.
    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some(beyond) = index.checked_sub(self.in_map()) {
            return Some((self.only_extra.get(beyond)?, &[]));
        }
        let index = match &self.chosen {
            Some(chosen) => *chosen.get(index)? as usize,
            None => index,
        };
        self.entries.get(index)
    }
}

impl Snapshot for BpfSnapshot {
    fn len(&self) -> usize {
        self.in_map() + self.only_extra.len()
    }

    fn key(&self, index: usize, part: usize) -> Value {
        let slot = self.layout.as_ref().and_then(|l| l.keys.get(part).copied());
        match (slot, self.entry(index)) {
            (Some(slot), Some((key, _))) => {
                read_slot(slot, key).unwrap_or_else(|_| Value::zero(slot.ty))
            }
            _ => Value::Int(0),
        }
    }

    fn value(&self, index: usize) -> Value {
        match (&self.layout, self.entry(index)) {
            (Some(layout), Some((key, value))) => {
                let slot = plain(layout);
                let value = read_slot(slot, value).unwrap_or_else(|_| Value::zero(slot.ty));
                let extra = self.extra.get(key).map(|extra| read_slot(slot, extra));
                match extra.filter(|_| record_of(layout).is_none()) {
                    Some(Ok(Value::Int(n))) => Value::Int(n.wrapping_add(value.int())),
                    _ => value,
                }
            }
            _ => Value::Int(0),
        }
    }

    fn stat(&self, index: usize) -> Stat {
        let record = self.layout.as_ref().and_then(|layout| record_of(layout));
        let (Some(record), Some((key, value))) = (record, self.entry(index)) else {
            return Stat::new(&rtap_compiler::lir::StatLayout::default());
        };
        let mut stat = merge(record, value, self.stride);
        if let Some(bytes) = self.extra.get(key) {
            let _ = stat.merge(record, bytes);
        }
        stat
    }

    fn stat_field(&self, index: usize, field: StatField) -> i64 {
        let record = self.layout.as_ref().and_then(|layout| record_of(layout));
        // Counts and sums, by which most are sorted, need no more than two words of a CPU.
        let at = record.and_then(|record| match field {
            StatField::Count => Some(record.count),
            StatField::Sum => record.sum,
            _ => None,
        });
        let (Some(at), Some((key, value))) = (at, self.entry(index)) else {
            return self.stat(index).get(field).unwrap_or(0);
        };
        let extra = self.extra.get(key).map_or(&[][..], Vec::as_slice);
        value
            .chunks_exact(self.stride.max(1))
            .chain((!extra.is_empty()).then_some(extra))
            .filter_map(|cpu| cpu.get(at as usize..)?.first_chunk::<8>())
            .fold(0_i64, |sum, word| {
                sum.wrapping_add(i64::from_le_bytes(*word))
            })
    }
}
