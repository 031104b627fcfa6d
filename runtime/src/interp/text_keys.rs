//! Arrays whose keys kernel handlers leave raw: late strings. Records that differ can have one text
//! (two addresses in one function), so the map can hold several elements, the *forms*, of what is one
//! element to the script. This store stands before the real one and finds elements by the texts of
//! their keys:
//!
//! * what is read of a number that kernel handlers add to is the sum over its forms, of a statistic
//!   their merge, of anything else the greatest (the compiler lets kernel handlers do either, not both);
//! * what user-side handlers write goes to one form, and the others are removed.
//!
//! Keys are rendered once in a handler's run: forms that the kernel makes meanwhile of elements that are
//! known are seen by the next run.

use std::collections::{HashMap, HashSet};
use std::io;

use indexmap::IndexMap;
use rtap_compiler::lir::{Exec, Global, GlobalKind, HandlerId, Module, Op, StatField, Ty};

use super::kernel_ops::for_each_op_of;
use super::program::Program;
use super::store::{Snapshot, Store, StoreError, matches};
use crate::userfn::Host;
use crate::values::{Stat, Value};

/// The keys of an element, raw or rendered.
type Keys = Vec<Value>;
/// The forms of each element, by its rendered keys.
type Forms = IndexMap<Keys, Vec<Keys>>;

/// Finds elements by the texts of their keys.
pub struct TextKeys<'p, S> {
    /// The store behind it.
    pub inner: S,
    /// What functions of user space remember.
    pub host: Host,
    program: &'p Program<'p>,
    /// The arrays with late keys: which of their keys are.
    late: HashMap<Global, Vec<bool>>,
    /// Those whose elements are sums.
    sums: HashSet<Global>,
    /// What this run has seen.
    seen: HashMap<Global, Forms>,
}

impl<'p, S: Store> TextKeys<'p, S> {
    pub(super) fn new(program: &'p Program<'p>, inner: S) -> Self {
        let late = program.module.globals.iter().filter_map(|(id, global)| {
            let GlobalKind::Array { keys, .. } = &global.kind else {
                return None;
            };
            let is_late = |ty: &Ty| matches!(ty, Ty::Str { late: true, .. });
            let parts: Vec<bool> = keys.iter().map(is_late).collect();
            parts.contains(&true).then_some((id, parts))
        });
        let late: HashMap<Global, Vec<bool>> = late.collect();
        let sums = if late.is_empty() {
            HashSet::new()
        } else {
            added_to_in_kernel(program.module)
        };
        TextKeys {
            inner,
            host: Host::default(),
            program,
            late,
            sums,
            seen: HashMap::new(),
        }
    }

    /// A handler begins.
    pub(super) fn begin_run(&mut self) {
        self.seen.clear();
    }

    fn is_late(&self, global: Global) -> bool {
        !self.late.is_empty() && self.late.contains_key(&global)
    }

    /// A key as the script sees it.
    fn rendered(&mut self, global: Global, part: usize, key: &Value) -> Value {
        let is_late = self.late.get(&global).and_then(|parts| parts.get(part));
        match key {
            Value::Str(record) if is_late == Some(&true) => {
                let mut text = Vec::new();
                // What cannot be rendered is left out.
                let renderer = self.program.renderer();
                let _ = renderer.late(&mut text, record, &mut self.host);
                Value::from(&text[..])
            }
            _ => key.clone(),
        }
    }

    fn rendered_all(&mut self, global: Global, keys: &[Value]) -> Keys {
        let keys = keys.iter().enumerate();
        keys.map(|(part, key)| self.rendered(global, part, key))
            .collect()
    }

    fn rendered_slice(&mut self, global: Global, slice: &[Option<Value>]) -> Vec<Option<Value>> {
        let parts = slice.iter().enumerate();
        parts
            .map(|(part, key)| Some(self.rendered(global, part, key.as_ref()?)))
            .collect()
    }

    /// The elements of an array and their forms.
    fn forms(&mut self, global: Global) -> Result<&mut Forms, StoreError> {
        if !self.seen.contains_key(&global) {
            let parts = self.late.get(&global).map_or(0, Vec::len);
            let snapshot = self.inner.snapshot(global, &vec![None; parts])?;
            let mut forms = Forms::new();
            for index in 0..snapshot.len() {
                let raw: Keys = (0..parts).map(|part| snapshot.key(index, part)).collect();
                let text = self.rendered_all(global, &raw);
                forms.entry(text).or_default().push(raw);
            }
            self.seen.insert(global, forms);
        }
        Ok(self.seen.entry(global).or_default())
    }

    /// The forms of one element.
    fn forms_of(&mut self, global: Global, keys: &[Value]) -> Result<Vec<Keys>, StoreError> {
        let text = self.rendered_all(global, keys);
        let forms = self.forms(global)?;
        Ok(forms.get(&text).cloned().unwrap_or_default())
    }

    /// The form that is written: the first, or the given one if there is none.
    fn form_to_write(&mut self, global: Global, keys: &[Value]) -> Result<Vec<Keys>, StoreError> {
        let text = self.rendered_all(global, keys);
        let forms = self.forms(global)?.entry(text).or_default();
        if forms.is_empty() {
            forms.push(keys.to_vec());
        }
        Ok(forms.clone())
    }

    /// Assigns an element, which has one form afterwards.
    fn assign(&mut self, global: Global, keys: &[Value], value: &Value) -> Result<(), StoreError> {
        let text = self.rendered_all(global, keys);
        let mut forms = self.form_to_write(global, keys)?;
        for other in forms.drain(1..) {
            self.inner.remove(global, &other);
        }
        self.inner.insert(global, &forms[0], value)?;
        self.forms(global)?.insert(text, forms);
        Ok(())
    }
}

/// What several forms of a plain element come to.
fn join(sum: bool, a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) if sum => Value::Int(a.wrapping_add(b)),
        (a, b) => a.max(b),
    }
}

impl<S: Store> Store for TextKeys<'_, S> {
    type Snapshot = Merged<S::Snapshot>;

    fn begin(&mut self, handler: HandlerId) {
        self.inner.begin(handler);
    }

    fn end(&mut self) {
        self.inner.end();
    }

    fn get(&mut self, global: Global) -> Value {
        self.inner.get(global)
    }

    fn set(&mut self, global: Global, value: &Value) {
        self.inner.set(global, value);
    }

    fn fetch_add(&mut self, global: Global, n: i64) -> i64 {
        self.inner.fetch_add(global, n)
    }

    fn element(&mut self, global: Global, keys: &[Value]) -> Option<Value> {
        if !self.is_late(global) {
            return self.inner.element(global, keys);
        }
        let forms = self.forms_of(global, keys).ok()?;
        let sum = self.sums.contains(&global);
        let values = forms
            .iter()
            .filter_map(|form| self.inner.element(global, form));
        values.reduce(|a, b| join(sum, a, b))
    }

    fn contains(&mut self, global: Global, keys: &[Value]) -> bool {
        if !self.is_late(global) {
            return self.inner.contains(global, keys);
        }
        let forms = self.forms_of(global, keys).unwrap_or_default();
        forms.iter().any(|form| self.inner.contains(global, form))
    }

    fn insert(&mut self, global: Global, keys: &[Value], value: &Value) -> Result<(), StoreError> {
        if !self.is_late(global) {
            return self.inner.insert(global, keys, value);
        }
        self.assign(global, keys, value)
    }

    fn element_fetch_add(
        &mut self,
        global: Global,
        keys: &[Value],
        n: i64,
    ) -> Result<i64, StoreError> {
        if !self.is_late(global) {
            return self.inner.element_fetch_add(global, keys, n);
        }
        let old = self.element(global, keys).map_or(0, |value| value.int());
        if self.sums.contains(&global) {
            let form = self.form_to_write(global, keys)?.swap_remove(0);
            self.inner.element_fetch_add(global, &form, n)?;
        } else {
            self.assign(global, keys, &Value::Int(old.wrapping_add(n)))?;
        }
        Ok(old)
    }

    fn remove(&mut self, global: Global, keys: &[Value]) {
        if !self.is_late(global) {
            return self.inner.remove(global, keys);
        }
        for form in self.forms_of(global, keys).unwrap_or_default() {
            self.inner.remove(global, &form);
        }
        let text = self.rendered_all(global, keys);
        if let Some(forms) = self.seen.get_mut(&global) {
            forms.shift_remove(&text);
        }
    }

    fn clear(&mut self, global: Global, slice: &[Option<Value>]) {
        if !self.is_late(global) || slice.iter().all(Option::is_none) {
            self.seen.remove(&global);
            return self.inner.clear(global, slice);
        }
        let slice = self.rendered_slice(global, slice);
        let Ok(forms) = self.forms(global) else {
            return;
        };
        let (gone, kept): (Forms, Forms) = std::mem::take(forms)
            .into_iter()
            .partition(|(keys, _)| matches(&slice, keys));
        *forms = kept;
        for form in gone.values().flatten() {
            self.inner.remove(global, form);
        }
    }

    fn contains_slice(&mut self, global: Global, slice: &[Option<Value>]) -> bool {
        if !self.is_late(global) {
            return self.inner.contains_slice(global, slice);
        }
        let slice = self.rendered_slice(global, slice);
        self.forms(global)
            .is_ok_and(|forms| forms.keys().any(|keys| matches(&slice, keys)))
    }

    fn push(&mut self, global: Global, keys: &[Value], n: i64) -> Result<(), StoreError> {
        if !self.is_late(global) {
            return self.inner.push(global, keys, n);
        }
        let form = self.form_to_write(global, keys)?.swap_remove(0);
        self.inner.push(global, &form, n)
    }

    fn stat(&mut self, global: Global, keys: &[Value]) -> Option<Stat> {
        if !self.is_late(global) {
            return self.inner.stat(global, keys);
        }
        let forms = self.forms_of(global, keys).ok()?;
        let stats = forms
            .iter()
            .filter_map(|form| self.inner.stat(global, form));
        stats.reduce(Stat::joined)
    }

    fn snapshot(
        &mut self,
        global: Global,
        slice: &[Option<Value>],
    ) -> Result<Self::Snapshot, StoreError> {
        let Some(parts) = self.late.get(&global).map(Vec::len) else {
            let inner = self.inner.snapshot(global, slice)?;
            return Ok(Merged {
                inner,
                elements: None,
                sum: false,
            });
        };
        let slice = self.rendered_slice(global, slice);
        let inner = self.inner.snapshot(global, &vec![None; parts])?;
        let mut elements: IndexMap<Keys, Vec<usize>> = IndexMap::new();
        for index in 0..inner.len() {
            let raw: Keys = (0..parts).map(|part| inner.key(index, part)).collect();
            let text = self.rendered_all(global, &raw);
            if matches(&slice, &text) {
                elements.entry(text).or_default().push(index);
            }
        }
        Ok(Merged {
            inner,
            elements: Some(elements.into_values().collect()),
            sum: self.sums.contains(&global),
        })
    }

    fn take_failure(&mut self) -> Option<io::Error> {
        self.inner.take_failure()
    }
}

/// The elements of an array, each with its forms.
pub struct Merged<S> {
    inner: S,
    /// Their forms' numbers; absent where each element has one form.
    elements: Option<Vec<Vec<usize>>>,
    sum: bool,
}

impl<S: Snapshot> Merged<S> {
    /// The first form of an element, and the others.
    fn forms(&self, index: usize) -> (usize, &[usize]) {
        let forms = self
            .elements
            .as_ref()
            .and_then(|elements| elements.get(index)?.split_first());
        forms.map_or((index, &[]), |(first, others)| (*first, others))
    }
}

impl<S: Snapshot> Snapshot for Merged<S> {
    fn len(&self) -> usize {
        match &self.elements {
            Some(elements) => elements.len(),
            None => self.inner.len(),
        }
    }

    fn key(&self, index: usize, part: usize) -> Value {
        self.inner.key(self.forms(index).0, part)
    }

    fn value(&self, index: usize) -> Value {
        let (first, others) = self.forms(index);
        let values = others.iter().map(|form| self.inner.value(*form));
        values.fold(self.inner.value(first), |a, b| join(self.sum, a, b))
    }

    fn stat(&self, index: usize) -> Stat {
        let (first, others) = self.forms(index);
        let stats = others.iter().map(|form| self.inner.stat(*form));
        stats.fold(self.inner.stat(first), Stat::joined)
    }

    fn stat_field(&self, index: usize, field: StatField) -> i64 {
        match self.forms(index) {
            (only, []) => self.inner.stat_field(only, field),
            _ => self.stat(index).get(field).unwrap_or(0),
        }
    }
}

/// The arrays that kernel handlers add to.
fn added_to_in_kernel(module: &Module) -> HashSet<Global> {
    let mut added = HashSet::new();
    for_each_op_of(Exec::Kernel, module, |op| {
        if let Op::ArrayAdd(global, ..) | Op::ArrayFetchAdd(global, ..) = op {
            added.insert(*global);
        }
    });
    added
}
