//! What a handler has read of the numbers that kernel handlers count up: when it then resets or deletes
//! one, what has come since it looked must stay. (SystemTap locks globals while a handler runs.)

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rtap_compiler::lir::{Exec, Global, Module};

use crate::bpf::Entries;
use crate::interp::kernel_ops::for_each_op_of;

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
    /// Of a module's globals; `taken` ones need none of this.
    pub(super) fn new(module: &Module, taken: &HashSet<Global>) -> Seen {
        let (added, otherwise) = updated(Exec::Kernel, module);
        let (_, reset) = updated(Exec::User, module);
        let counted = &(&added - &otherwise) - taken;
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
    fn is_zero(&self, global: Global, key: &[u8]) -> bool {
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
        match op.global() {
            Some(global) if op.resets_global() => otherwise.insert(global),
            Some(global) if op.updates_global() => added.insert(global),
            _ => false,
        };
    });
    (added, otherwise)
}
