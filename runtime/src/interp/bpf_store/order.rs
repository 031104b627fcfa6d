//! The age of an array's elements, where the oldest is forgotten when the array is full: what
//! `compiler/src/bpf/select/wrap.rs` does in the kernel, by system calls.

use std::io;
use std::sync::Arc;

use rtap_compiler::image::{ArrayLayout, DeletedLayout};

use crate::bpf::map::NO_EXIST;
use crate::bpf::{Map, Mapping};
use crate::interp::machine_env::clock_ns;

/// So often is looked for an element to forget, when handlers in the kernel are making and forgetting all of them.
const TRIES: u32 = 1000;

/// The age of an array's elements.
pub(super) struct Order<'m> {
    array: &'m Map,
    queue: &'m Map,
    deleted: Option<Deleted<'m>>,
    key_bytes: usize,
    /// An entry on its way.
    entry: Vec<u8>,
    value: Vec<u8>,
}

/// What is known besides where scripts delete elements.
struct Deleted<'m> {
    other: &'m Map,
    born: &'m Map,
    turn: u32,
    globals: Arc<Mapping>,
}

impl<'m> Deleted<'m> {
    /// The younger queue, then the older one.
    fn by_age(&self, queue: &'m Map) -> [&'m Map; 2] {
        match self.globals.load(self.turn) {
            0 => [queue, self.other],
            _ => [self.other, queue],
        }
    }

    /// Whether an entry is of an element that was deleted and made again.
    fn is_stale(&self, entry: &[u8], key_bytes: usize, value: &mut Vec<u8>) -> io::Result<bool> {
        let (key, time) = entry.split_at(key_bytes);
        Ok(self.born.lookup(key, value)? && value != time)
    }
}

impl<'m> Order<'m> {
    /// Of an array that forgets; `None` if it does not, or if maps that it needs are missing.
    pub(super) fn new(
        layout: &ArrayLayout,
        array: &'m Map,
        find: impl Fn(&str) -> Option<&'m Map>,
        globals: Option<&Arc<Mapping>>,
    ) -> Option<Order<'m>> {
        let wrap = layout.wrap.as_ref()?;
        let deleted = match &wrap.deleted {
            Some(deleted) => Some(Deleted {
                other: find(&deleted.other)?,
                born: find(&deleted.born)?,
                turn: deleted.turn,
                globals: Arc::clone(globals?),
            }),
            None => None,
        };
        Some(Order {
            array,
            queue: find(&wrap.queue)?,
            deleted,
            key_bytes: layout.key_bytes as usize,
            entry: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Makes an element, for which others are forgotten. `EEXIST` if it is there.
    pub(super) fn make(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.deleted.is_some() {
            for _ in 0..DeletedLayout::MOVED {
                if !self.move_entry()? {
                    break;
                }
            }
        }
        let mut tries = 0;
        while let Err(error) = self.array.update(key, value, NO_EXIST) {
            if error.raw_os_error() != Some(libc::E2BIG) {
                return Err(error);
            }
            if !self.forget_oldest()? {
                tries += 1;
                // All elements are of this moment: as if this one was forgotten for the last of them.
                if tries == TRIES {
                    return Ok(());
                }
            }
        }
        self.note(key).inspect_err(|_| {
            // Without an entry it would never be forgotten.
            let _ = self.array.delete(key);
        })
    }

    /// Adds the entry of an element that was made.
    fn note(&mut self, key: &[u8]) -> io::Result<()> {
        let Some(deleted) = &self.deleted else {
            return self.queue.push(key);
        };
        // As `bpf_ktime_get_ns`.
        let time = clock_ns(libc::CLOCK_MONOTONIC).to_ne_bytes();
        self.entry.clear();
        self.entry.extend_from_slice(key);
        self.entry.extend_from_slice(&time);
        match deleted.born.update(key, &time, 0) {
            // Where times are too many, one that is not kept has no older entries either.
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => {}
            result => result?,
        }
        let [younger, _] = deleted.by_age(self.queue);
        younger.push(&self.entry)
    }

    /// Takes the oldest entry and forgets its element. Returns whether there was an entry.
    fn forget_oldest(&mut self) -> io::Result<bool> {
        match &self.deleted {
            None => {
                if !self.queue.pop(&mut self.entry)? {
                    return Ok(false);
                }
            }
            Some(deleted) => {
                let [younger, older] = deleted.by_age(self.queue);
                if !older.pop(&mut self.entry)? && !younger.pop(&mut self.entry)? {
                    return Ok(false);
                }
                if deleted.is_stale(&self.entry, self.key_bytes, &mut self.value)? {
                    return Ok(true);
                }
            }
        }
        let key = &self.entry[..self.key_bytes];
        self.array.delete(key)?;
        if let Some(deleted) = &self.deleted {
            deleted.born.delete(key)?;
        }
        Ok(true)
    }

    /// Moves an entry from the younger queue to the older one, or drops it if it is stale. Changes the queues' places if
    /// the younger one is empty: then nothing is left to be moved.
    fn move_entry(&mut self) -> io::Result<bool> {
        let Some(deleted) = &self.deleted else {
            return Ok(false);
        };
        let turn = deleted.globals.load(deleted.turn);
        let [younger, older] = deleted.by_age(self.queue);
        if !younger.pop(&mut self.entry)? {
            deleted.globals.store(deleted.turn, turn ^ 1);
            return Ok(false);
        }
        let key = &self.entry[..self.key_bytes];
        if !self.array.lookup(key, &mut self.value)? {
            deleted.born.delete(key)?;
            return Ok(true);
        }
        if deleted.is_stale(&self.entry, self.key_bytes, &mut self.value)? {
            return Ok(true);
        }
        older.push(&self.entry).inspect_err(|_| {
            // Without an entry it would never be forgotten.
            let _ = self.array.delete(key);
        })?;
        Ok(true)
    }
}
