//! Globals in BPF maps, shared with kernel handlers.
//!
//! Integer scalars are words of the memory-mapped globals map, updated atomically. Elements
//! of arrays are read and written by system calls; a foreach reads the whole map in batches
//! and keeps the bytes, decoding only what the script asks for.
//!
//! What user space adds to statistics is kept here and counted in on every read, because
//! writing a per-CPU element would undo what other CPUs add meanwhile. Statistics that kernel
//! handlers read as well are written to the map all the same.
//!
//! Additions to elements of arrays that others update too are done by a small program in the
//! kernel (`adder`), as a read and a write would undo what others add in between.

mod adder;
mod snapshot;

use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rtap_compiler::image::{
    ArrayLayout, GlobalLayout, Layout, MapKind, Slot, StatRecord, ValueLayout,
};
use rtap_compiler::lir::{Global, Module, Op, Ty};
use thiserror::Error;

pub use snapshot::BpfSnapshot;

use adder::Adder;
use snapshot::Wanted;

use super::kernel_ops::for_each_kernel_op;
use super::store::{Store, StoreError};
use crate::bpf::map::NO_EXIST;
use crate::bpf::{Map, Mapping};
use crate::values::{Stat, Value, read_slot, write_slot};

/// So often is an addition to an element that comes or goes tried again.
const ADD_TRIES: u32 = 64;

/// The image's layouts and its maps do not go together.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the image has no map for the global `{0}`")]
pub struct NoMap(pub String);

/// Globals in BPF maps.
pub struct BpfStore<'m> {
    cells: Vec<Cell<'m>>,
    mapping: Option<Arc<Mapping>>,
    failure: Option<io::Error>,
    /// A value's bytes, on their way.
    value: Vec<u8>,
    key: Vec<u8>,
}

enum Cell<'m> {
    Scalar(Slot),
    Stat {
        map: &'m Map,
        record: Rc<StatRecord>,
        extra: Extra,
    },
    Array {
        map: &'m Map,
        layout: Rc<ArrayLayout>,
        extra: Extra,
        adding: Adding,
    },
    /// Not in the image: no handler uses it.
    None,
}

/// How additions to elements are done.
enum Adding {
    /// By a read and a write: nobody else updates the array.
    Plain,
    /// By a program, not loaded yet.
    ByProgram,
    /// By this program.
    Program(Adder),
}

/// What user space added to statistics: a record for each key.
#[derive(Default)]
struct Extra {
    /// Whether statistics are written to the map instead.
    direct: bool,
    records: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'m> BpfStore<'m> {
    /// The store of a module's globals. `map` finds a loaded map by its name.
    pub fn new(
        module: &Module,
        layout: &Layout,
        map: impl Fn(&str) -> Option<&'m Map>,
        mapping: Option<Arc<Mapping>>,
    ) -> Result<Self, NoMap> {
        let read_in_kernel = statistics_read_in_kernel(module);
        let extra = |global| Extra {
            direct: read_in_kernel.contains(&global),
            records: HashMap::new(),
        };
        let mut cells = Vec::new();
        for (id, global) in &module.globals {
            let find = |name: &str| map(name).ok_or_else(|| NoMap(global.name.clone()));
            cells.push(match layout.globals.get(id).and_then(Option::as_ref) {
                Some(GlobalLayout::Scalar(slot)) => {
                    let end = slot.offset + slot.width();
                    if mapping
                        .as_ref()
                        .is_none_or(|m| (m.len() as u64) < u64::from(end))
                    {
                        return Err(NoMap(global.name.clone()));
                    }
                    Cell::Scalar(*slot)
                }
                Some(GlobalLayout::Stat { map, record }) => Cell::Stat {
                    map: find(map)?,
                    record: Rc::new(record.clone()),
                    extra: extra(id),
                },
                Some(GlobalLayout::Array(array)) => {
                    let mut extra = extra(id);
                    // A wrapping array forgets its oldest elements, wherever they are from.
                    extra.direct |= matches!(array.kind, MapKind::LruHash | MapKind::LruPerCpuHash);
                    let by_program = global.shared
                        && array.key_bytes as usize <= Adder::MAX_KEY_BYTES
                        && matches!(array.value, ValueLayout::Plain(Slot { ty: Ty::I64, .. }));
                    Cell::Array {
                        map: find(&array.map)?,
                        layout: Rc::new(array.clone()),
                        extra,
                        adding: if by_program {
                            Adding::ByProgram
                        } else {
                            Adding::Plain
                        },
                    }
                }
                None => Cell::None,
            });
        }
        Ok(BpfStore {
            cells,
            mapping,
            failure: None,
            value: Vec::new(),
            key: Vec::new(),
        })
    }

    /// Keeps a failure for `take_failure`; what failed gives nothing.
    fn note<T: Default>(failure: &mut Option<io::Error>, result: io::Result<T>) -> T {
        result.unwrap_or_else(|error| {
            failure.get_or_insert(error);
            T::default()
        })
    }

    fn scalar(&self, global: Global) -> Option<(Slot, &Mapping)> {
        match (self.cells.get(global.as_u32() as usize)?, &self.mapping) {
            (Cell::Scalar(slot), Some(mapping)) => Some((*slot, mapping)),
            _ => None,
        }
    }

    fn array(&mut self, global: Global) -> Option<Parts<'_, 'm>> {
        match self.cells.get_mut(global.as_u32() as usize)? {
            Cell::Array {
                map,
                layout,
                extra,
                adding,
            } => Some(Parts {
                map,
                layout,
                extra,
                adding,
                failure: &mut self.failure,
                value: &mut self.value,
                key: &mut self.key,
            }),
            _ => None,
        }
    }
}

/// What working on an array needs.
struct Parts<'a, 'm> {
    map: &'m Map,
    layout: &'a Rc<ArrayLayout>,
    extra: &'a mut Extra,
    adding: &'a mut Adding,
    failure: &'a mut Option<io::Error>,
    value: &'a mut Vec<u8>,
    key: &'a mut Vec<u8>,
}

impl Parts<'_, '_> {
    /// Encodes the keys into `key`.
    fn set_key(&mut self, keys: &[Value]) {
        encode_key(self.layout, keys, self.key);
    }

    /// Reads the element of `key` into `value`.
    fn look_up(&mut self) -> bool {
        let found = self.map.lookup(self.key, self.value);
        BpfStore::note(self.failure, found)
    }

    /// Adds to the element of `key`, if it is there and a program can do it.
    fn add_by_program(&mut self, n: i64) -> Option<i64> {
        if matches!(self.adding, Adding::ByProgram) {
            // Where it cannot be loaded, a read and a write must do.
            *self.adding = Adder::new(self.map).map_or(Adding::Plain, Adding::Program);
        }
        let Adding::Program(adder) = self.adding else {
            return None;
        };
        match adder.add(self.key, n) {
            Ok(old) => old,
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }

    /// Writes `value` under `key`.
    fn update(&mut self, flags: u64) -> Result<(), StoreError> {
        loop {
            match self.map.update(self.key, self.value, flags) {
                Ok(()) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    // The bucket is locked by a handler on this CPU.
                    Some(libc::EBUSY) => std::hint::spin_loop(),
                    Some(libc::E2BIG | libc::ENOMEM) => return Err(StoreError::Full),
                    _ => return Err(error.into()),
                },
            }
        }
    }
}

fn encode_key(layout: &ArrayLayout, keys: &[Value], key: &mut Vec<u8>) {
    key.clear();
    key.resize(layout.key_bytes as usize, 0);
    for (slot, value) in layout.keys.iter().zip(keys) {
        // Slots lie inside the key: the layout says so for both.
        let _ = write_slot(*slot, value, key);
    }
}

/// The value of a plain array's element.
fn plain(layout: &ArrayLayout) -> Slot {
    match &layout.value {
        ValueLayout::Plain(slot) => *slot,
        ValueLayout::Stat(_) => Slot {
            offset: 0,
            ty: Ty::I64,
        },
    }
}

fn record_of(layout: &ArrayLayout) -> Option<&StatRecord> {
    match &layout.value {
        ValueLayout::Stat(record) => Some(record),
        ValueLayout::Plain(_) => None,
    }
}

/// Merges the records in `value`, one for each `stride` bytes.
fn merge(record: &StatRecord, value: &[u8], stride: usize) -> Stat {
    let mut stat = Stat::new(&record.layout);
    for cpu in value.chunks_exact(stride.max(1)) {
        // A map's elements are as long as its layout says.
        let _ = stat.merge(record, cpu);
    }
    stat
}

/// Adds to the record of the current CPU, or the only one, in `value`.
fn push_here(record: &StatRecord, value: &mut [u8], stride: usize, n: i64) {
    let cpus = value.len() / stride.max(1);
    // SAFETY: sched_getcpu has no conditions.
    let cpu = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0);
    let start = if cpu < cpus { cpu * stride } else { 0 };
    if let Some(bytes) = value.get_mut(start..) {
        // A map's elements are as long as its layout says.
        let _ = Stat::push_record(record, bytes, n);
    }
}

impl Extra {
    fn push(&mut self, key: &[u8], record: &StatRecord, n: i64) {
        let bytes = match self.records.get_mut(key) {
            Some(bytes) => bytes,
            None => self
                .records
                .entry(key.to_vec())
                .or_insert_with(|| vec![0; record.bytes as usize]),
        };
        // The record is as long as its layout says.
        let _ = Stat::push_record(record, bytes, n);
    }
}

impl Store for BpfStore<'_> {
    type Snapshot = BpfSnapshot;

    fn get(&mut self, global: Global) -> Value {
        let Some((slot, mapping)) = self.scalar(global) else {
            return Value::Int(0);
        };
        if slot.ty == Ty::I64 {
            return Value::Int(mapping.load(slot.offset) as i64);
        }
        let bytes = mapping.read(slot.offset, slot.width());
        read_slot(Slot { offset: 0, ..slot }, &bytes).unwrap_or_else(|_| Value::zero(slot.ty))
    }

    fn set(&mut self, global: Global, value: &Value) {
        let Some((slot, mapping)) = self.scalar(global) else {
            return;
        };
        if slot.ty == Ty::I64 {
            mapping.store(slot.offset, value.int() as u64);
            return;
        }
        let mut bytes = vec![0; slot.width() as usize];
        // The buffer has the slot's width.
        let _ = write_slot(Slot { offset: 0, ..slot }, value, &mut bytes);
        mapping.write(slot.offset, &bytes);
    }

    fn fetch_add(&mut self, global: Global, n: i64) -> i64 {
        self.scalar(global).map_or(0, |(slot, mapping)| {
            mapping.fetch_add(slot.offset, n as u64) as i64
        })
    }

    fn element(&mut self, global: Global, keys: &[Value]) -> Option<Value> {
        let mut parts = self.array(global)?;
        parts.set_key(keys);
        if !parts.look_up() {
            return None;
        }
        read_slot(plain(parts.layout), parts.value).ok()
    }

    fn contains(&mut self, global: Global, keys: &[Value]) -> bool {
        self.array(global).is_some_and(|mut parts| {
            parts.set_key(keys);
            parts.extra.records.contains_key(&*parts.key) || parts.look_up()
        })
    }

    fn insert(&mut self, global: Global, keys: &[Value], value: &Value) -> Result<(), StoreError> {
        let Some(mut parts) = self.array(global) else {
            return Ok(());
        };
        parts.set_key(keys);
        parts.value.clear();
        parts.value.resize(parts.map.value_bytes(), 0);
        // The buffer has the element's width.
        let _ = write_slot(plain(parts.layout), value, parts.value);
        parts.update(0)
    }

    fn element_fetch_add(
        &mut self,
        global: Global,
        keys: &[Value],
        n: i64,
    ) -> Result<i64, StoreError> {
        let Some(mut parts) = self.array(global) else {
            return Ok(0);
        };
        parts.set_key(keys);
        for _ in 0..ADD_TRIES {
            if let Some(old) = parts.add_by_program(n) {
                return Ok(old);
            }
            let found = parts.look_up();
            if !found {
                parts.value.fill(0);
            }
            let slot = plain(parts.layout);
            let old = read_slot(slot, parts.value).map_or(0, |value| value.int());
            let new = Value::Int(old.wrapping_add(n));
            // The buffer has the element's width.
            let _ = write_slot(slot, &new, parts.value);
            match parts.update(if found { 0 } else { NO_EXIST }) {
                // Somebody else made it: add to that.
                Err(StoreError::System(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
                result => return result.map(|()| old),
            }
        }
        Err(StoreError::System(io::ErrorKind::ResourceBusy.into()))
    }

    fn remove(&mut self, global: Global, keys: &[Value]) {
        if let Some(mut parts) = self.array(global) {
            parts.set_key(keys);
            parts.extra.records.remove(&*parts.key);
            let deleted = parts.map.delete(parts.key);
            BpfStore::note(parts.failure, deleted);
        }
    }

    fn clear(&mut self, global: Global, slice: &[Option<Value>]) {
        match self.cells.get_mut(global.as_u32() as usize) {
            Some(Cell::Scalar(slot)) => {
                let zero = Value::zero(slot.ty);
                self.set(global, &zero);
            }
            Some(Cell::Stat { map, extra, .. }) => {
                extra.records.clear();
                let zeros = vec![0; map.value_bytes()];
                let cleared = map.update(&vec![0; map.key_size()], &zeros, 0);
                BpfStore::note(&mut self.failure, cleared);
            }
            Some(Cell::Array {
                map, layout, extra, ..
            }) => {
                let wanted = Wanted::new(layout, slice);
                extra.records.retain(|key, _| !wanted.matches(key));
                // Keys first: deleting while going through would miss some.
                let entries = BpfStore::note(&mut self.failure, map.entries());
                for (key, _) in entries.iter().filter(|(key, _)| wanted.matches(key)) {
                    let deleted = map.delete(key);
                    BpfStore::note(&mut self.failure, deleted);
                }
            }
            Some(Cell::None) | None => {}
        }
    }

    fn contains_slice(&mut self, global: Global, slice: &[Option<Value>]) -> bool {
        self.array(global).is_some_and(|parts| {
            let wanted = Wanted::new(parts.layout, slice);
            parts.extra.records.keys().any(|key| wanted.matches(key))
                || BpfStore::note(parts.failure, parts.map.entries())
                    .iter()
                    .any(|(key, _)| wanted.matches(key))
        })
    }

    fn push(&mut self, global: Global, keys: &[Value], n: i64) -> Result<(), StoreError> {
        match self.cells.get_mut(global.as_u32() as usize) {
            Some(Cell::Stat { map, record, extra }) => {
                if !extra.direct {
                    extra.push(&[], record, n);
                    return Ok(());
                }
                let key = vec![0; map.key_size()];
                map.lookup(&key, &mut self.value)?;
                push_here(record, &mut self.value, map.cpu_stride(), n);
                map.update(&key, &self.value, 0)?;
                Ok(())
            }
            Some(Cell::Array { .. }) => {
                let Some(mut parts) = self.array(global) else {
                    return Ok(());
                };
                parts.push(keys, n)
            }
            Some(Cell::Scalar(_) | Cell::None) | None => Ok(()),
        }
    }

    fn stat(&mut self, global: Global, keys: &[Value]) -> Option<Stat> {
        match self.cells.get_mut(global.as_u32() as usize)? {
            Cell::Stat { map, record, extra } => {
                let found = map.lookup(&vec![0; map.key_size()], &mut self.value);
                let mut stat = Stat::new(&record.layout);
                if BpfStore::note(&mut self.failure, found) {
                    stat = merge(record, &self.value, map.cpu_stride());
                }
                if let Some(bytes) = extra.records.get(&[][..]) {
                    let _ = stat.merge(record, bytes);
                }
                Some(stat)
            }
            Cell::Array { .. } => {
                let mut parts = self.array(global)?;
                parts.set_key(keys);
                let found = parts.look_up();
                let record = record_of(parts.layout)?;
                let mut stat = Stat::new(&record.layout);
                if found {
                    stat = merge(record, parts.value, parts.map.cpu_stride());
                }
                match parts.extra.records.get(&*parts.key) {
                    Some(bytes) => {
                        let _ = stat.merge(record, bytes);
                        Some(stat)
                    }
                    None => found.then_some(stat),
                }
            }
            Cell::Scalar(_) | Cell::None => None,
        }
    }

    fn snapshot(
        &mut self,
        global: Global,
        slice: &[Option<Value>],
    ) -> Result<BpfSnapshot, StoreError> {
        let Some(parts) = self.array(global) else {
            return Ok(BpfSnapshot::default());
        };
        let entries = parts.map.entries()?;
        let wanted = Wanted::new(parts.layout, slice);
        let mut extra = parts.extra.records.clone();
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
        Ok(BpfSnapshot {
            layout: Some(Rc::clone(parts.layout)),
            stride: parts.map.cpu_stride(),
            entries,
            chosen,
            extra,
            only_extra,
        })
    }

    fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

impl Parts<'_, '_> {
    /// Adds a value to an array of statistics.
    fn push(&mut self, keys: &[Value], n: i64) -> Result<(), StoreError> {
        self.set_key(keys);
        let layout = Rc::clone(self.layout);
        let Some(record) = record_of(&layout) else {
            return Ok(());
        };
        if !self.extra.direct {
            let known = self.extra.records.contains_key(&*self.key);
            if !known && self.extra.records.len() >= layout.max_entries as usize && !self.look_up()
            {
                return Err(StoreError::Full);
            }
            self.extra.push(self.key, record, n);
            return Ok(());
        }
        if !self.look_up() {
            self.value.fill(0);
        }
        push_here(record, self.value, self.map.cpu_stride(), n);
        self.update(0)
    }
}

/// The globals whose statistics kernel handlers read.
fn statistics_read_in_kernel(module: &Module) -> HashSet<Global> {
    let mut read = HashSet::new();
    for_each_kernel_op(module, |op| match op {
        Op::StatGet(global, ..)
        | Op::StatBucket(global, ..)
        | Op::EmitHist(global, ..)
        | Op::ArrayHas(global, ..)
        | Op::ArrayHasSlice(global, ..)
        | Op::IterBegin { array: global, .. } => {
            read.insert(*global);
        }
        _ => {}
    });
    read
}

#[cfg(test)]
mod tests;
