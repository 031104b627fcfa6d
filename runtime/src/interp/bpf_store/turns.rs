//! Globals that kernel handlers only add to, and user-side ones take from ([`TurnLayout`]).
//!
//! What was taken is kept here: an integer or a record for each element. A handler that resets or deletes any of them takes all
//! that there is when it first comes to one, and goes on with that alone: kernel handlers have gone on to
//! the other map meanwhile. So it runs as if globals were locked, and nothing is lost or counted twice.

use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rtap_compiler::image::{ArrayLayout, Slot, StatRecord, TurnLayout, ValueLayout};
use rtap_compiler::lir::{Exec, Func, Global, HandlerId, Module};

use super::array::{encode_key, plain, record_of};
use super::extra::merge;
use super::snapshot::{BpfSnapshot, Wanted};
use crate::bpf::{Map, Mapping};
use crate::interp::kernel_ops::for_each_op_from;
use crate::interp::store::StoreError;
use crate::values::{Stat, Value, read_slot, write_slot};

/// One such global.
pub(super) struct Turns<'m> {
    name: String,
    maps: [&'m Map; 2],
    mapping: Arc<Mapping>,
    turn: u32,
    /// A scalar statistic has no keys, and one element.
    layout: Rc<ArrayLayout>,
    /// Values by the bytes of their keys.
    taken: HashMap<Vec<u8>, Vec<u8>>,
    /// Whether the handler that runs goes on with what was taken alone.
    alone: bool,
}

impl<'m> Turns<'m> {
    /// `None` if the layout names no such maps, or words that are not there.
    pub fn new(
        name: &str,
        layout: Rc<ArrayLayout>,
        turns: &TurnLayout,
        map: impl Fn(&str) -> Option<&'m Map>,
        mapping: Option<&Arc<Mapping>>,
    ) -> Option<Self> {
        let mapping = mapping.filter(|m| m.len() as u64 >= u64::from(turns.turn) + 8)?;
        let maps = [map(&layout.map)?, map(&turns.other)?];
        let same = |size: fn(&Map) -> usize| size(maps[0]) == size(maps[1]);
        (same(Map::key_size) && same(Map::value_bytes)).then(|| Turns {
            name: name.to_owned(),
            maps,
            mapping: Arc::clone(mapping),
            turn: turns.turn,
            layout,
            taken: HashMap::new(),
            alone: false,
        })
    }

    /// Kernel handlers go on to the other map.
    pub fn change(&self) {
        let word = self.mapping.load(self.turn);
        self.mapping.store(self.turn, u64::from(word == 0));
    }

    /// Takes all that is in the map whose turn it was, to which nobody adds any more.
    pub fn take(&mut self) -> io::Result<()> {
        self.alone = true;
        let map = self.maps[usize::from(self.mapping.load(self.turn) == 0)];
        let entries = map.entries()?;
        let mut dropped = 0;
        for (key, value) in entries.iter() {
            if self.has_room(key) {
                self.join(key, value, map.cpu_stride());
            } else {
                dropped += 1;
            }
            match self.layout.keys.is_empty() {
                true => map.update(key, &vec![0; value.len()], 0)?,
                false => drop(map.delete(key)?),
            }
        }
        if dropped == 0 {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "array '{}' has room for {} elements: {dropped} are lost (delete more of them, or raise MAXMAPENTRIES)",
            self.name, self.layout.max_entries
        )))
    }

    /// A handler ends.
    pub fn end(&mut self) {
        self.alone = false;
    }

    fn has_room(&self, key: &[u8]) -> bool {
        self.taken.len() < self.layout.max_entries as usize || self.taken.contains_key(key)
    }

    /// Adds a value out of a map.
    fn join(&mut self, key: &[u8], value: &[u8], stride: usize) {
        match &Rc::clone(&self.layout).value {
            ValueLayout::Plain(slot) => {
                let n = read_slot(*slot, value).map_or(0, |value| value.int());
                self.add(key, n);
            }
            ValueLayout::Stat(record) => {
                let stat = merge(record, value, stride);
                // The record is as long as its layout says.
                let _ = stat.add_to_record(record, self.own(key, record.bytes));
            }
        }
    }

    /// The value here of a key, of so many bytes.
    fn own(&mut self, key: &[u8], bytes: u32) -> &mut [u8] {
        let value = self.taken.entry(key.to_vec());
        value.or_insert_with(|| vec![0; bytes as usize])
    }

    /// Adds to the integer here.
    fn add(&mut self, key: &[u8], n: i64) {
        let slot = plain(&self.layout);
        let value = self.own(key, slot.width());
        let sum = number(slot, value).wrapping_add(n);
        // The buffer has the slot's width.
        let _ = write_slot(slot, &Value::Int(sum), value);
    }

    fn key(&self, keys: &[Value]) -> Vec<u8> {
        let mut key = Vec::new();
        encode_key(&self.layout, keys, &mut key);
        key
    }

    /// The map that kernel handlers add to, if the handler that runs sees it.
    fn live(&self) -> Option<&'m Map> {
        let turn = usize::from(self.mapping.load(self.turn) != 0);
        (!self.alone).then(|| self.maps[turn])
    }

    /// What kernel handlers have made of an element since the last time.
    fn look_up(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some(map) = self.live() else {
            return Ok(None);
        };
        let mut value = Vec::new();
        Ok(map.lookup(key, &mut value)?.then_some(value))
    }

    pub fn element(&self, keys: &[Value]) -> io::Result<Option<Value>> {
        let key = self.key(keys);
        let slot = plain(&self.layout);
        let live = self.look_up(&key)?;
        let taken = self.taken.get(&key);
        let sum = [live.as_ref(), taken]
            .into_iter()
            .flatten()
            .fold(0_i64, |sum, value| sum.wrapping_add(number(slot, value)));
        Ok((live.is_some() || taken.is_some()).then_some(Value::Int(sum)))
    }

    pub fn contains(&self, keys: &[Value]) -> io::Result<bool> {
        let key = self.key(keys);
        Ok(self.taken.contains_key(&key) || self.look_up(&key)?.is_some())
    }

    pub fn stat(&self, keys: &[Value]) -> io::Result<Option<Stat>> {
        let key = self.key(keys);
        let Some(record) = record_of(&self.layout) else {
            return Ok(None);
        };
        let live = self.look_up(&key)?;
        let taken = self.taken.get(&key);
        let mut stat = Stat::new(&record.layout);
        if let Some(value) = &live {
            stat = merge(record, value, self.maps[0].cpu_stride());
        }
        if let Some(value) = taken {
            // The record is as long as its layout says.
            let _ = stat.merge(record, value);
        }
        let is_there = live.is_some() || taken.is_some() || self.layout.keys.is_empty();
        Ok(is_there.then_some(stat))
    }

    pub fn insert(&mut self, keys: &[Value], value: &Value) -> Result<(), StoreError> {
        let key = self.key(keys);
        if !self.has_room(&key) {
            return Err(StoreError::Full);
        }
        let slot = plain(&self.layout);
        // The buffer has the slot's width.
        let _ = write_slot(slot, value, self.own(&key, slot.width()));
        Ok(())
    }

    pub fn fetch_add(&mut self, keys: &[Value], n: i64) -> Result<i64, StoreError> {
        let key = self.key(keys);
        let old = self.element(keys)?.map_or(0, |value| value.int());
        if !self.has_room(&key) {
            return Err(StoreError::Full);
        }
        self.add(&key, n);
        Ok(old)
    }

    pub fn push(&mut self, keys: &[Value], n: i64) -> Result<(), StoreError> {
        let key = self.key(keys);
        if !self.has_room(&key) {
            return Err(StoreError::Full);
        }
        if let Some(record) = record_of(&Rc::clone(&self.layout)) {
            // The record is as long as its layout says.
            let _ = Stat::push_record(record, self.own(&key, record.bytes), n);
        }
        Ok(())
    }

    pub fn remove(&mut self, keys: &[Value]) {
        self.taken.remove(&self.key(keys));
    }

    pub fn clear(&mut self, slice: &[Option<Value>]) {
        let wanted = Wanted::new(&self.layout, slice);
        self.taken.retain(|key, _| !wanted.matches(key));
    }

    pub fn contains_slice(&self, slice: &[Option<Value>]) -> io::Result<bool> {
        let wanted = Wanted::new(&self.layout, slice);
        if self.taken.keys().any(|key| wanted.matches(key)) {
            return Ok(true);
        }
        let Some(map) = self.live() else {
            return Ok(false);
        };
        Ok(map.entries()?.iter().any(|(key, _)| wanted.matches(key)))
    }

    pub fn snapshot(&self, slice: &[Option<Value>]) -> io::Result<BpfSnapshot> {
        let wanted = Wanted::new(&self.layout, slice);
        let entries = match self.live() {
            Some(map) => map.entries()?,
            None => Default::default(),
        };
        let (layout, stride) = (&self.layout, self.maps[0].cpu_stride());
        Ok(BpfSnapshot::new(
            layout,
            stride,
            Rc::new(entries),
            &self.taken,
            &wanted,
        ))
    }
}

fn number(slot: Slot, value: &[u8]) -> i64 {
    read_slot(slot, value).map_or(0, |value| value.int())
}

/// A scalar statistic as an array of one element.
pub(super) fn of_scalar(map: &str, record: &StatRecord) -> Rc<ArrayLayout> {
    Rc::new(ArrayLayout {
        map: map.to_owned(),
        max_entries: 1,
        keys: Vec::new(),
        key_bytes: 4,
        value: ValueLayout::Stat(record.clone()),
        wrap: None,
        turns: None,
    })
}

/// What each user-side handler resets or deletes of `globals`.
pub(super) fn takers(
    module: &Module,
    globals: &HashSet<Global>,
) -> HashMap<HandlerId, HashSet<Global>> {
    let user_side = module
        .handlers
        .iter()
        .filter(|(_, handler)| handler.exec == Exec::User);
    let of = |func: Func| {
        let mut found = HashSet::new();
        for_each_op_from(vec![func], module, |op| {
            let global = op.global().filter(|_| op.resets_global());
            found.extend(global.filter(|global| globals.contains(global)));
        });
        found
    };
    user_side
        .map(|(id, handler)| (id, of(handler.func)))
        .collect()
}
