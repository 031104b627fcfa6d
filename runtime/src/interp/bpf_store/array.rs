//! One array of a store: elements by the bytes of their keys.

use std::io;
use std::rc::Rc;

use rtap_compiler::image::{ArrayLayout, Slot, StatRecord, ValueLayout};
use rtap_compiler::lir::{Global, Ty};

use super::adder::Adder;
use super::extra::{Extra, push_here};
use super::order::Order;
use super::seen::Seen;
use super::snapshot::Wanted;
use super::{Adding, BpfStore};
use crate::bpf::Map;
use crate::bpf::map::{EXIST, NO_EXIST};
use crate::interp::store::StoreError;
use crate::values::{Value, read_slot, write_slot};

/// So often is an addition to an element that comes or goes tried again.
const ADD_TRIES: u32 = 64;

/// What working on an array needs.
pub(super) struct Parts<'a, 'm> {
    pub(super) map: &'m Map,
    pub(super) layout: &'a Rc<ArrayLayout>,
    pub(super) extra: &'a mut Extra,
    pub(super) order: &'a mut Option<Order<'m>>,
    pub(super) adding: &'a mut Adding,
    pub(super) failure: &'a mut Option<io::Error>,
    pub(super) global: Global,
    pub(super) seen: &'a mut Seen,
    pub(super) value: &'a mut Vec<u8>,
    pub(super) key: &'a mut Vec<u8>,
}

impl Parts<'_, '_> {
    /// Encodes the keys into `key`.
    pub(super) fn set_key(&mut self, keys: &[Value]) {
        encode_key(self.layout, keys, self.key);
    }

    /// Reads the element of `key` into `value`, as the handler has read it before.
    pub(super) fn read(&mut self) -> bool {
        let before = self.seen.again(self.global, self.key);
        match before.filter(|_| !self.extra.direct) {
            Some(before) => {
                self.value.clear();
                self.value.extend_from_slice(before);
                true
            }
            None => self.look_up(),
        }
    }

    /// Reads the element of `key`, as it is now, into `value`: zeros if there is none.
    pub(super) fn look_up(&mut self) -> bool {
        let found = self.map.lookup(self.key, self.value);
        let found = BpfStore::note(self.failure, found);
        if !found {
            self.value.fill(0);
        }
        self.seen.note(self.global, self.key, self.value);
        found
    }

    /// Deletes the element of `key`. What has been added to it since the handler read it stays.
    pub(super) fn delete(&mut self) {
        self.extra.records.remove(&*self.key);
        let Some(read) = self.seen.get(self.global, self.key).map(<[u8]>::to_vec) else {
            let deleted = self.map.delete(self.key);
            BpfStore::note(self.failure, deleted);
            return;
        };
        // Of what stays or is put back the handler has seen nothing.
        self.seen.note(self.global, self.key, &vec![0; read.len()]);
        let mut read_number = read_slot(plain(self.layout), &read).map_or(0, |value| value.int());
        // An element that is being added to is not removed: what adds might have it in its hands.
        match self.add_by_program(read_number.wrapping_neg()) {
            Some(old) if old != read_number => return,
            Some(_) => read_number = 0,
            None => {}
        }
        let taken = self.map.take(self.key, self.value);
        if !BpfStore::note(self.failure, taken) {
            return;
        }
        if let ValueLayout::Plain(slot) = &self.layout.value {
            let now = read_slot(*slot, self.value).map_or(0, |value| value.int());
            let since = now.wrapping_sub(read_number);
            if since != 0
                && let Err(error) = self.add(since)
            {
                self.failure
                    .get_or_insert(io::Error::other(error.to_string()));
            }
        }
    }

    /// Deletes the elements that match. Those that have come since the handler read all stay.
    pub(super) fn clear(&mut self, slice: &[Option<Value>]) {
        let wanted = Wanted::new(self.layout, slice);
        // Keys first: deleting while going through would miss some.
        let entries = BpfStore::note(self.failure, self.map.entries());
        self.extra.records.retain(|key, _| !wanted.matches(key));
        for (key, _) in entries.iter().filter(|(key, _)| wanted.matches(key)) {
            if !self.seen.is_newer(self.global, key) {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.delete();
            }
        }
    }

    /// Adds to the integer of `key`; what it was before, 0 if absent.
    pub(super) fn add(&mut self, n: i64) -> Result<i64, StoreError> {
        for _ in 0..ADD_TRIES {
            if let Some(old) = self.add_by_program(n) {
                return Ok(old);
            }
            let found = self.map.lookup(self.key, self.value);
            let found = BpfStore::note(self.failure, found);
            if !found {
                self.value.fill(0);
            }
            let slot = plain(self.layout);
            let old = read_slot(slot, self.value).map_or(0, |value| value.int());
            let new = Value::Int(old.wrapping_add(n));
            // The buffer has the element's width.
            let _ = write_slot(slot, &new, self.value);
            match self.update(if found { 0 } else { NO_EXIST }) {
                // Somebody else made it: add to that.
                Err(StoreError::System(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
                result => return result.map(|()| old),
            }
        }
        Err(StoreError::System(io::ErrorKind::ResourceBusy.into()))
    }

    /// Adds to the element of `key`, if it is there and a program can do it.
    pub(super) fn add_by_program(&mut self, n: i64) -> Option<i64> {
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

    /// Writes `value` under `key` once; where the array forgets, a new element takes an older one's place.
    fn write(&mut self, flags: u64) -> io::Result<()> {
        let Some(order) = self.order else {
            return self.map.update(self.key, self.value, flags);
        };
        if flags == NO_EXIST {
            return order.make(self.key, self.value);
        }
        match self.map.update(self.key, self.value, EXIST) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                match order.make(self.key, self.value) {
                    // Made in between: that is replaced.
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                        self.map.update(self.key, self.value, 0)
                    }
                    result => result,
                }
            }
            result => result,
        }
    }

    /// Writes `value` under `key`.
    pub(super) fn update(&mut self, flags: u64) -> Result<(), StoreError> {
        loop {
            match self.write(flags) {
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

pub(super) fn encode_key(layout: &ArrayLayout, keys: &[Value], key: &mut Vec<u8>) {
    key.clear();
    key.resize(layout.key_bytes as usize, 0);
    for (slot, value) in layout.keys.iter().zip(keys) {
        // Slots lie inside the key: the layout says so for both.
        let _ = write_slot(*slot, value, key);
    }
}

/// The value of a plain array's element.
pub(super) fn plain(layout: &ArrayLayout) -> Slot {
    match &layout.value {
        ValueLayout::Plain(slot) => *slot,
        ValueLayout::Stat(_) => Slot {
            offset: 0,
            ty: Ty::I64,
        },
    }
}

pub(super) fn record_of(layout: &ArrayLayout) -> Option<&StatRecord> {
    match &layout.value {
        ValueLayout::Stat(record) => Some(record),
        ValueLayout::Plain(_) => None,
    }
}

impl Parts<'_, '_> {
    /// Adds a value to an array of statistics.
    pub(super) fn push(&mut self, keys: &[Value], n: i64) -> Result<(), StoreError> {
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
        self.look_up();
        push_here(record, self.value, self.map.cpu_stride(), n);
        self.update(0)
    }
}
