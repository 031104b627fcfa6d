//! Globals in memory: for scripts without kernel handlers, and for tests.
//!
//! Elements are gone through in the order in which they were made, as in SystemTap.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use cranelift_entity::{EntityRef, PrimaryMap};
use rtap_compiler::lir::{
    ElementKind, Global, GlobalData, GlobalKind, HandlerId, Init, StatField, StatLayout, Ty,
};

use super::store::{Snapshot, Store, StoreError, matches};
use crate::values::{Stat, Text, Value};

/// Globals in memory.
#[derive(Debug)]
pub struct MemStore {
    globals: Vec<Cell>,
}

#[derive(Debug)]
enum Cell {
    Scalar { ty: Ty, value: Value },
    Stat { layout: StatLayout, stat: Stat },
    Array(Array),
}

/// An array. Elements have ever growing numbers; `elements` holds those from `first` on,
/// `None` for removed ones.
#[derive(Debug)]
struct Array {
    value: ElementKind,
    max_entries: usize,
    wrap: bool,
    index: HashMap<Rc<[Value]>, u64>,
    first: u64,
    elements: VecDeque<Option<Element>>,
}

#[derive(Clone, Debug)]
struct Element {
    keys: Rc<[Value]>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Plain(Value),
    Stat(Stat),
}

impl MemStore {
    /// All globals at their initial values.
    pub fn new(globals: &PrimaryMap<Global, GlobalData>) -> MemStore {
        let cell = |global: &GlobalData| match &global.kind {
            GlobalKind::Scalar { ty, init } => Cell::Scalar {
                ty: *ty,
                value: initial(*ty, init),
            },
            GlobalKind::Stat(layout) => Cell::Stat {
                stat: Stat::new(layout),
                layout: layout.clone(),
            },
            GlobalKind::Array {
                value,
                max_entries,
                wrap,
                ..
            } => Cell::Array(Array {
                value: value.clone(),
                max_entries: *max_entries as usize,
                wrap: *wrap,
                index: HashMap::new(),
                first: 0,
                elements: VecDeque::new(),
            }),
        };
        MemStore {
            globals: globals.values().map(cell).collect(),
        }
    }

    fn statistic(&self, global: Global, keys: &[Value]) -> Option<&Stat> {
        match self.globals.get(global.index())? {
            Cell::Stat { stat, .. } => Some(stat),
            Cell::Array(array) => match array.get(keys)? {
                Content::Stat(stat) => Some(stat),
                Content::Plain(_) => None,
            },
            Cell::Scalar { .. } => None,
        }
    }

    fn array(&mut self, global: Global) -> Option<&mut Array> {
        match self.globals.get_mut(global.index()) {
            Some(Cell::Array(array)) => Some(array),
            _ => None,
        }
    }
}

/// A scalar's initial value.
fn initial(ty: Ty, init: &Init) -> Value {
    match (ty, init) {
        (Ty::I64, Init::Int(n)) => Value::Int(*n),
        (Ty::Str { cap, late: false }, Init::Str(text)) => Value::Str(Text::cut(text, cap)),
        (ty, _) => Value::zero(ty),
    }
}

impl Array {
    /// Where an element stands in `elements`.
    fn find(&self, keys: &[Value]) -> Option<usize> {
        self.index.get(keys).map(|n| (n - self.first) as usize)
    }

    fn get(&self, keys: &[Value]) -> Option<&Content> {
        let at = self.find(keys)?;
        Some(&self.elements[at].as_ref()?.content)
    }

    /// The element of these keys, made by `new` if there is none.
    fn entry(
        &mut self,
        keys: &[Value],
        new: impl FnOnce() -> Content,
    ) -> Result<&mut Content, StoreError> {
        let at = match self.find(keys) {
            Some(at) => at,
            None => self.append(keys, new())?,
        };
        match self.elements.get_mut(at) {
            Some(Some(element)) => Ok(&mut element.content),
            _ => Err(StoreError::Full),
        }
    }

    fn append(&mut self, keys: &[Value], content: Content) -> Result<usize, StoreError> {
        if self.index.len() >= self.max_entries {
            if !self.wrap || self.max_entries == 0 {
                return Err(StoreError::Full);
            }
            let oldest = self.elements.iter().flatten().next();
            if let Some(keys) = oldest.map(|element| Rc::clone(&element.keys)) {
                self.remove(&keys);
            }
        }
        let keys: Rc<[Value]> = keys.into();
        let number = self.first + self.elements.len() as u64;
        self.index.insert(Rc::clone(&keys), number);
        self.elements.push_back(Some(Element { keys, content }));
        Ok(self.elements.len() - 1)
    }

    fn remove(&mut self, keys: &[Value]) {
        let Some(number) = self.index.remove(keys) else {
            return;
        };
        self.elements[(number - self.first) as usize] = None;
        while matches!(self.elements.front(), Some(None)) {
            self.elements.pop_front();
            self.first += 1;
        }
        self.compact();
    }

    /// Closes the gaps of removed elements once they are most of the room.
    fn compact(&mut self) {
        if self.elements.len() < 64 || self.index.len() * 2 > self.elements.len() {
            return;
        }
        self.elements.retain(Option::is_some);
        for (at, element) in self.elements.iter().flatten().enumerate() {
            if let Some(number) = self.index.get_mut(&element.keys) {
                *number = self.first + at as u64;
            }
        }
    }

    fn clear(&mut self) {
        self.index.clear();
        self.elements.clear();
    }

    fn live(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter().flatten()
    }
}

impl Store for MemStore {
    type Snapshot = MemSnapshot;

    fn begin(&mut self, _handler: HandlerId) {}

    fn end(&mut self) {}

    fn get(&mut self, global: Global) -> Value {
        match self.globals.get(global.index()) {
            Some(Cell::Scalar { value, .. }) => value.clone(),
            _ => Value::Int(0),
        }
    }

    fn set(&mut self, global: Global, new: &Value) {
        if let Some(Cell::Scalar { value, .. }) = self.globals.get_mut(global.index()) {
            value.clone_from(new);
        }
    }

    fn fetch_add(&mut self, global: Global, n: i64) -> i64 {
        match self.globals.get_mut(global.index()) {
            Some(Cell::Scalar { value, .. }) => {
                let old = value.int();
                *value = Value::Int(old.wrapping_add(n));
                old
            }
            _ => 0,
        }
    }

    fn element(&mut self, global: Global, keys: &[Value]) -> Option<Value> {
        match self.array(global)?.get(keys)? {
            Content::Plain(value) => Some(value.clone()),
            Content::Stat(_) => None,
        }
    }

    fn contains(&mut self, global: Global, keys: &[Value]) -> bool {
        self.array(global).is_some_and(|a| a.find(keys).is_some())
    }

    fn insert(&mut self, global: Global, keys: &[Value], value: &Value) -> Result<(), StoreError> {
        if let Some(array) = self.array(global) {
            let content = array.entry(keys, || Content::Plain(value.clone()))?;
            *content = Content::Plain(value.clone());
        }
        Ok(())
    }

    fn element_fetch_add(
        &mut self,
        global: Global,
        keys: &[Value],
        n: i64,
    ) -> Result<i64, StoreError> {
        let Some(array) = self.array(global) else {
            return Ok(0);
        };
        match array.entry(keys, || Content::Plain(Value::Int(0)))? {
            Content::Plain(value) => {
                let old = value.int();
                *value = Value::Int(old.wrapping_add(n));
                Ok(old)
            }
            Content::Stat(_) => Ok(0),
        }
    }

    fn remove(&mut self, global: Global, keys: &[Value]) {
        if let Some(array) = self.array(global) {
            array.remove(keys);
        }
    }

    fn clear(&mut self, global: Global, slice: &[Option<Value>]) {
        match self.globals.get_mut(global.index()) {
            Some(Cell::Scalar { ty, value }) => *value = Value::zero(*ty),
            Some(Cell::Stat { layout, stat }) => *stat = Stat::new(layout),
            Some(Cell::Array(array)) => {
                if slice.iter().all(Option::is_none) {
                    array.clear();
                    return;
                }
                let matching: Vec<_> = array
                    .live()
                    .filter(|element| matches(slice, &element.keys))
                    .map(|element| Rc::clone(&element.keys))
                    .collect();
                for keys in matching {
                    array.remove(&keys);
                }
            }
            None => {}
        }
    }

    fn contains_slice(&mut self, global: Global, slice: &[Option<Value>]) -> bool {
        self.array(global)
            .is_some_and(|array| array.live().any(|element| matches(slice, &element.keys)))
    }

    fn push(&mut self, global: Global, keys: &[Value], n: i64) -> Result<(), StoreError> {
        match self.globals.get_mut(global.index()) {
            Some(Cell::Stat { layout, stat }) => stat.push(layout, n),
            Some(Cell::Array(array)) => {
                if let ElementKind::Stat(layout) = array.value.clone() {
                    let new = || Content::Stat(Stat::new(&layout));
                    if let Content::Stat(stat) = array.entry(keys, new)? {
                        stat.push(&layout, n);
                    }
                }
            }
            Some(Cell::Scalar { .. }) | None => {}
        }
        Ok(())
    }

    fn stat(&mut self, global: Global, keys: &[Value]) -> Option<Stat> {
        self.statistic(global, keys).cloned()
    }

    fn stat_field(&mut self, global: Global, keys: &[Value], field: StatField) -> Option<i64> {
        self.statistic(global, keys)?.get(field)
    }

    fn snapshot(
        &mut self,
        global: Global,
        slice: &[Option<Value>],
    ) -> Result<MemSnapshot, StoreError> {
        let elements = self.array(global).map_or_else(Vec::new, |array| {
            array
                .live()
                .filter(|element| matches(slice, &element.keys))
                .cloned()
                .collect()
        });
        Ok(MemSnapshot { elements })
    }
}

/// Elements of an array in memory.
#[derive(Debug)]
pub struct MemSnapshot {
    elements: Vec<Element>,
}

impl Snapshot for MemSnapshot {
    fn len(&self) -> usize {
        self.elements.len()
    }

    fn key(&self, index: usize, part: usize) -> Value {
        let key = self.elements.get(index).and_then(|e| e.keys.get(part));
        key.cloned().unwrap_or(Value::Int(0))
    }

    fn value(&self, index: usize) -> Value {
        match self.elements.get(index).map(|e| &e.content) {
            Some(Content::Plain(value)) => value.clone(),
            Some(Content::Stat(_)) | None => Value::Int(0),
        }
    }

    fn stat(&self, index: usize) -> Stat {
        match self.elements.get(index).map(|e| &e.content) {
            Some(Content::Stat(stat)) => stat.clone(),
            Some(Content::Plain(_)) | None => Stat::new(&StatLayout::default()),
        }
    }

    fn stat_field(&self, index: usize, field: StatField) -> i64 {
        match self.elements.get(index).map(|e| &e.content) {
            Some(Content::Stat(stat)) => stat.get(field).unwrap_or(0),
            Some(Content::Plain(_)) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(max_entries: u32, wrap: bool) -> (MemStore, Global) {
        let mut globals = PrimaryMap::new();
        let global = globals.push(GlobalData {
            name: "a".to_owned(),
            kind: GlobalKind::Array {
                keys: vec![Ty::I64],
                value: ElementKind::Plain(Ty::I64),
                max_entries,
                wrap,
            },
            print_at_end: false,
            shared: false,
        });
        (MemStore::new(&globals), global)
    }

    fn keys(store: &mut MemStore, global: Global) -> Vec<i64> {
        let snapshot = store.snapshot(global, &[]).unwrap();
        (0..snapshot.len())
            .map(|i| snapshot.key(i, 0).int())
            .collect()
    }

    #[test]
    fn a_full_array_is_an_error_and_keeps_what_it_has() {
        let (mut store, a) = array(2, false);
        for key in [1, 2] {
            store
                .insert(a, &[Value::Int(key)], &Value::Int(key * 10))
                .unwrap();
        }
        let third = [Value::Int(3)];
        assert!(matches!(
            store.insert(a, &third, &Value::Int(0)),
            Err(StoreError::Full)
        ));
        assert!(matches!(
            store.element_fetch_add(a, &third, 1),
            Err(StoreError::Full)
        ));
        assert_eq!(store.element_fetch_add(a, &[Value::Int(2)], 5).unwrap(), 20);
        assert_eq!(store.element(a, &[Value::Int(2)]), Some(Value::Int(25)));
        assert_eq!(store.element(a, &third), None);
    }

    #[test]
    fn a_wrapping_array_drops_the_oldest() {
        let (mut store, a) = array(3, true);
        for key in 0..5 {
            store
                .insert(a, &[Value::Int(key)], &Value::Int(key))
                .unwrap();
        }
        store.insert(a, &[Value::Int(2)], &Value::Int(7)).unwrap();
        assert_eq!(keys(&mut store, a), [2, 3, 4]);
        store.insert(a, &[Value::Int(9)], &Value::Int(9)).unwrap();
        assert_eq!(keys(&mut store, a), [3, 4, 9]);
    }

    #[test]
    fn order_survives_removals() {
        let (mut store, a) = array(10_000, false);
        for key in 0..5000 {
            store
                .insert(a, &[Value::Int(key)], &Value::Int(key))
                .unwrap();
        }
        for key in (0..5000).filter(|k| k % 10 != 3) {
            store.remove(a, &[Value::Int(key)]);
        }
        store.insert(a, &[Value::Int(0)], &Value::Int(1)).unwrap();
        let mut expected: Vec<i64> = (0..5000).filter(|k| k % 10 == 3).collect();
        expected.push(0);
        assert_eq!(keys(&mut store, a), expected);
        for key in expected {
            assert!(store.contains(a, &[Value::Int(key)]));
        }
        assert!(!store.contains(a, &[Value::Int(1)]));
    }

    #[test]
    fn slices() {
        let (mut store, a) = array(10, false);
        for key in 0..4 {
            store
                .insert(a, &[Value::Int(key)], &Value::Int(key))
                .unwrap();
        }
        assert!(store.contains_slice(a, &[Some(Value::Int(3))]));
        assert!(!store.contains_slice(a, &[Some(Value::Int(4))]));
        store.clear(a, &[Some(Value::Int(3))]);
        assert_eq!(keys(&mut store, a), [0, 1, 2]);
        store.clear(a, &[None]);
        assert!(!store.contains_slice(a, &[None]));
    }
}
