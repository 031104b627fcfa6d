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
//! What kernel handlers only add to and user-side ones delete is in two maps that take turns (`turns`).
//!
//! Additions to elements of other arrays that others update too are done by a small program in the
//! kernel (`adder`), as a read and a write would undo what others add in between.

mod adder;
mod array;
mod cell;
mod extra;
mod order;
mod seen;
mod snapshot;
mod turns;

use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rtap_compiler::image::{Layout, SessionState, Slot, header};
use rtap_compiler::lir::{Global, HandlerId, Module, Ty};
use thiserror::Error;

pub use snapshot::BpfSnapshot;

use array::{Parts, plain, record_of};
use cell::{Adding, Cell};
use extra::{merge, push_here};
use seen::Seen;
use snapshot::Wanted;
use turns::Turns;

use super::store::{Store, StoreError};
use crate::bpf::{Grace, Map, Mapping};
use crate::values::{Stat, Value, read_slot, write_slot};

/// The image's layouts and its maps do not go together.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the image has no map for the global `{0}`")]
pub struct NoMap(pub String);

/// Globals in BPF maps.
pub struct BpfStore<'m> {
    cells: Vec<Cell<'m>>,
    mapping: Option<Arc<Mapping>>,
    failure: Option<io::Error>,
    seen: Seen,
    /// What each user-side handler takes from kernel handlers that add to it.
    takers: HashMap<HandlerId, HashSet<Global>>,
    /// Of these, what the handler that runs has not come to yet.
    taking: HashSet<Global>,
    grace: Option<Grace>,
    /// A value's bytes, on their way.
    value: Vec<u8>,
    key: Vec<u8>,
}

impl<'m> BpfStore<'m> {
    /// The store of a module's globals. `map` finds a loaded map by its name.
    pub fn new(
        module: &Module,
        layout: &Layout,
        map: impl Fn(&str) -> Option<&'m Map>,
        mapping: Option<Arc<Mapping>>,
    ) -> Result<Self, NoMap> {
        let cells = cell::cells(module, layout, map, mapping.as_ref())?;
        let taken = |(id, cell): (usize, &Cell<'_>)| {
            matches!(cell, Cell::Turns(_)).then(|| Global::from_u32(id as u32))
        };
        let taken = cells.iter().enumerate().filter_map(taken).collect();
        Ok(BpfStore {
            cells,
            mapping,
            failure: None,
            seen: Seen::new(module, &taken),
            takers: turns::takers(module, &taken),
            taking: HashSet::new(),
            grace: None,
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

    /// A global that kernel handlers only add to.
    fn turns(&mut self, global: Global) -> Option<&mut Turns<'m>> {
        if self.taking.contains(&global) {
            let taken = self.take();
            BpfStore::note(&mut self.failure, taken);
        }
        match self.cells.get_mut(global.as_u32() as usize)? {
            Cell::Turns(turns) => Some(turns),
            _ => None,
        }
    }

    /// Takes all that the handler is going to take from kernel handlers.
    fn take(&mut self) -> io::Result<()> {
        let taking = std::mem::take(&mut self.taking);
        let mut all: Vec<&mut Turns<'m>> = Vec::new();
        for (n, cell) in self.cells.iter_mut().enumerate() {
            if let Cell::Turns(turns) = cell
                && taking.contains(&Global::from_u32(n as u32))
            {
                turns.change();
                all.push(turns);
            }
        }
        let state = self.mapping.as_ref().map(|m| m.load(header::STATE));
        // No handler has run yet before.
        if state != Some(SessionState::Starting as u64) {
            let grace = match &mut self.grace {
                Some(grace) => grace,
                none => none.insert(Grace::new()?),
            };
            grace.wait()?;
        }
        all.into_iter().try_for_each(Turns::take)
    }

    fn array(&mut self, global: Global) -> Option<Parts<'_, 'm>> {
        match self.cells.get_mut(global.as_u32() as usize)? {
            Cell::Array {
                map,
                layout,
                extra,
                order,
                adding,
            } => Some(Parts {
                map,
                layout,
                extra,
                order,
                adding,
                failure: &mut self.failure,
                global,
                seen: &mut self.seen,
                value: &mut self.value,
                key: &mut self.key,
            }),
            _ => None,
        }
    }
}

impl Store for BpfStore<'_> {
    type Snapshot = BpfSnapshot;

    fn begin(&mut self, handler: HandlerId) {
        self.seen.begin();
        self.taking = self.takers.get(&handler).cloned().unwrap_or_default();
    }

    fn end(&mut self) {
        self.taking.clear();
        for cell in &mut self.cells {
            if let Cell::Turns(turns) = cell {
                turns.end();
            }
        }
    }

    fn get(&mut self, global: Global) -> Value {
        let Some((slot, mapping)) = self.scalar(global) else {
            return Value::Int(0);
        };
        if slot.ty == Ty::I64 {
            if let Some(n) = self.seen.number(global).filter(|n| *n != 0) {
                return Value::Int(n as i64);
            }
            let n = mapping.load(slot.offset);
            self.seen.note(global, &[], &n.to_le_bytes());
            return Value::Int(n as i64);
        }
        let bytes = mapping.read(slot.offset, slot.width());
        read_slot(Slot { offset: 0, ..slot }, &bytes).unwrap_or_else(|_| Value::zero(slot.ty))
    }

    fn set(&mut self, global: Global, value: &Value) {
        let Some((slot, mapping)) = self.scalar(global) else {
            return;
        };
        if slot.ty == Ty::I64 {
            let new = value.int() as u64;
            match self.seen.number(global) {
                // What has been added since stays.
                Some(read) => {
                    mapping.fetch_add(slot.offset, new.wrapping_sub(read));
                    self.seen.note(global, &[], &new.to_le_bytes());
                }
                None => mapping.store(slot.offset, new),
            }
            return;
        }
        let mut bytes = vec![0; slot.width() as usize];
        // The buffer has the slot's width.
        let _ = write_slot(Slot { offset: 0, ..slot }, value, &mut bytes);
        mapping.write(slot.offset, &bytes);
    }

    fn fetch_add(&mut self, global: Global, n: i64) -> i64 {
        let Some((slot, mapping)) = self.scalar(global) else {
            return 0;
        };
        let now = mapping.fetch_add(slot.offset, n as u64);
        // What has been added since the handler read it is not seen, and stays when it is reset.
        let old = self.seen.number(global).unwrap_or(now);
        let new = old.wrapping_add(n as u64);
        self.seen.note(global, &[], &new.to_le_bytes());
        old as i64
    }

    fn element(&mut self, global: Global, keys: &[Value]) -> Option<Value> {
        if let Some(turns) = self.turns(global) {
            let found = turns.element(keys);
            return BpfStore::note(&mut self.failure, found);
        }
        let mut parts = self.array(global)?;
        parts.set_key(keys);
        if !parts.read() {
            return None;
        }
        read_slot(plain(parts.layout), parts.value).ok()
    }

    fn contains(&mut self, global: Global, keys: &[Value]) -> bool {
        if let Some(turns) = self.turns(global) {
            let found = turns.contains(keys);
            return BpfStore::note(&mut self.failure, found);
        }
        self.array(global).is_some_and(|mut parts| {
            parts.set_key(keys);
            parts.extra.records.contains_key(&*parts.key) || parts.read()
        })
    }

    fn insert(&mut self, global: Global, keys: &[Value], value: &Value) -> Result<(), StoreError> {
        if let Some(turns) = self.turns(global) {
            return turns.insert(keys, value);
        }
        let Some(mut parts) = self.array(global) else {
            return Ok(());
        };
        parts.set_key(keys);
        let read = parts.seen.get(global, parts.key);
        let read = read.and_then(|bytes| read_slot(plain(parts.layout), bytes).ok());
        if let (Some(Value::Int(read)), Value::Int(new)) = (read, value) {
            // What has been added since stays.
            parts.add(new.wrapping_sub(read))?;
            parts.seen.note(global, parts.key, &new.to_le_bytes());
            return Ok(());
        }
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
        if let Some(turns) = self.turns(global) {
            return turns.fetch_add(keys, n);
        }
        let Some(mut parts) = self.array(global) else {
            return Ok(0);
        };
        parts.set_key(keys);
        let now = parts.add(n)?;
        let read = parts.seen.get(global, parts.key);
        let read = read.and_then(|bytes| read_slot(plain(parts.layout), bytes).ok());
        // As above.
        let old = read.map_or(now, |value| value.int());
        let new = old.wrapping_add(n);
        parts.seen.note(global, parts.key, &new.to_le_bytes());
        Ok(old)
    }

    fn remove(&mut self, global: Global, keys: &[Value]) {
        if let Some(turns) = self.turns(global) {
            turns.remove(keys);
        } else if let Some(mut parts) = self.array(global) {
            parts.set_key(keys);
            parts.delete();
        }
    }

    fn clear(&mut self, global: Global, slice: &[Option<Value>]) {
        if let Some(turns) = self.turns(global) {
            turns.clear(slice);
            return;
        }
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
            Some(Cell::Array { .. }) => {
                if let Some(mut parts) = self.array(global) {
                    parts.clear(slice);
                }
            }
            Some(Cell::Turns(_) | Cell::None) | None => {}
        }
    }

    fn contains_slice(&mut self, global: Global, slice: &[Option<Value>]) -> bool {
        if let Some(turns) = self.turns(global) {
            let found = turns.contains_slice(slice);
            return BpfStore::note(&mut self.failure, found);
        }
        self.array(global).is_some_and(|parts| {
            let wanted = Wanted::new(parts.layout, slice);
            parts.extra.records.keys().any(|key| wanted.matches(key))
                || BpfStore::note(parts.failure, parts.map.entries())
                    .iter()
                    .any(|(key, _)| wanted.matches(key))
        })
    }

    fn push(&mut self, global: Global, keys: &[Value], n: i64) -> Result<(), StoreError> {
        if let Some(turns) = self.turns(global) {
            return turns.push(keys, n);
        }
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
            Some(Cell::Scalar(_) | Cell::Turns(_) | Cell::None) | None => Ok(()),
        }
    }

    fn stat(&mut self, global: Global, keys: &[Value]) -> Option<Stat> {
        if let Some(turns) = self.turns(global) {
            let found = turns.stat(keys);
            return BpfStore::note(&mut self.failure, found);
        }
        match self.cells.get_mut(global.as_u32() as usize)? {
            Cell::Stat { map, record, extra } => {
                let mut stat = Stat::new(&record.layout);
                let found = map.lookup(&vec![0; map.key_size()], &mut self.value);
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
                let found = parts.read();
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
            Cell::Scalar(_) | Cell::Turns(_) | Cell::None => None,
        }
    }

    fn snapshot(
        &mut self,
        global: Global,
        slice: &[Option<Value>],
    ) -> Result<BpfSnapshot, StoreError> {
        if let Some(turns) = self.turns(global) {
            return Ok(turns.snapshot(slice)?);
        }
        let Some(parts) = self.array(global) else {
            return Ok(BpfSnapshot::default());
        };
        let entries = Rc::new(parts.map.entries()?);
        let wanted = Wanted::new(parts.layout, slice);
        if wanted.is_all() {
            parts.seen.note_whole(global, &entries);
        } else if parts.seen.counts(global) {
            for (key, value) in entries.iter().filter(|(key, _)| wanted.matches(key)) {
                parts.seen.note(global, key, value);
            }
        }
        let (layout, stride) = (parts.layout, parts.map.cpu_stride());
        let extra = &parts.extra.records;
        Ok(BpfSnapshot::new(layout, stride, entries, extra, &wanted))
    }

    fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

#[cfg(test)]
mod tests;
