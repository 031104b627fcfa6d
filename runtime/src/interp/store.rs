//! Where globals live, as the interpreter sees it.
//!
//! Keys and values are given as the global's LIR types have them; a late string is its
//! record. Arrays are exact: an element that does not fit is [`StoreError::Full`], never
//! silently dropped, unless the array wraps.

use std::io;

use rtap_compiler::lir::{Global, HandlerId, StatField};
use thiserror::Error;

use crate::values::{Stat, Value};

/// Why a global cannot be written or gone through.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The array is full.
    #[error("the array is full")]
    Full,
    /// The kernel refused.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Globals, arrays and statistics.
pub trait Store {
    /// What a foreach goes through.
    type Snapshot: Snapshot;

    /// A handler begins.
    fn begin(&mut self, handler: HandlerId);

    /// It has ended.
    fn end(&mut self);

    /// The value of a scalar.
    fn get(&mut self, global: Global) -> Value;

    /// Assigns a scalar.
    fn set(&mut self, global: Global, value: &Value);

    /// Adds to an integer scalar; what it was before.
    fn fetch_add(&mut self, global: Global, n: i64) -> i64;

    /// An element, if there.
    fn element(&mut self, global: Global, keys: &[Value]) -> Option<Value>;

    /// Whether there is such an element; of arrays of statistics too.
    fn contains(&mut self, global: Global, keys: &[Value]) -> bool;

    /// Assigns an element.
    fn insert(&mut self, global: Global, keys: &[Value], value: &Value) -> Result<(), StoreError>;

    /// Adds to an integer element; what it was before, 0 if absent.
    fn element_fetch_add(
        &mut self,
        global: Global,
        keys: &[Value],
        n: i64,
    ) -> Result<i64, StoreError>;

    /// Removes an element, if there.
    fn remove(&mut self, global: Global, keys: &[Value]);

    /// Removes the elements that match (`None` matches all; no keys: the whole array), or
    /// resets a scalar or scalar statistic.
    fn clear(&mut self, global: Global, slice: &[Option<Value>]);

    /// Whether an element matches.
    fn contains_slice(&mut self, global: Global, slice: &[Option<Value>]) -> bool;

    /// Adds a value to a statistic (no keys for a scalar one).
    fn push(&mut self, global: Global, keys: &[Value], n: i64) -> Result<(), StoreError>;

    /// A statistic, merged; `None` if there is no such element.
    fn stat(&mut self, global: Global, keys: &[Value]) -> Option<Stat>;

    /// A number of a statistic; `None` if there is no such element or it is empty and has no
    /// such number.
    fn stat_field(&mut self, global: Global, keys: &[Value], field: StatField) -> Option<i64> {
        self.stat(global, keys)?.get(field)
    }

    /// The elements that match, as they are now. Arrays cannot be changed while a script goes
    /// through them (the compiler refuses that), but kernel handlers can change them.
    fn snapshot(
        &mut self,
        global: Global,
        slice: &[Option<Value>],
    ) -> Result<Self::Snapshot, StoreError>;

    /// A failure of the kernel in an operation that cannot fail in the language, kept until
    /// it is asked for.
    fn take_failure(&mut self) -> Option<io::Error> {
        None
    }
}

/// Elements of an array at one moment, by number.
pub trait Snapshot {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Key number `part` of element `index`.
    fn key(&self, index: usize, part: usize) -> Value;

    /// The value of element `index` of an array of integers or strings.
    fn value(&self, index: usize) -> Value;

    /// The statistic of element `index` of an array of statistics.
    fn stat(&self, index: usize) -> Stat;

    /// A number of the statistic of element `index`; 0 where an empty one has none.
    fn stat_field(&self, index: usize, field: StatField) -> i64 {
        self.stat(index).get(field).unwrap_or(0)
    }
}

/// Whether keys match a slice.
pub(super) fn matches(slice: &[Option<Value>], keys: &[Value]) -> bool {
    slice
        .iter()
        .zip(keys)
        .all(|(wanted, key)| wanted.as_ref().is_none_or(|wanted| wanted == key))
}
