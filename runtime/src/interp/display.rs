//! Globals that the script writes and never reads, shown when the session ends (stap(1),
//! "Variables"; the forms are observed):
//!
//! ```text
//! n=5
//! s="text as it is"
//! a["k",1]=3                                     by descending value
//! st @count=2 @min=5 @max=7 @sum=12 @avg=6
//! st @count=0x0                                  when it is empty
//! e["b"] @count=2 @min=2 @max=4 @sum=6 @avg=3    by descending count
//! ```
//! Globals come in the order in which handlers first mention them, then the functions that
//! these call.

use cranelift_entity::EntitySet;
use rtap_compiler::lir::{
    ElementKind, Func, Global, GlobalKind, Module, Op, Sort, SortBy, StatField, Terminator, Ty,
};

use super::machine::Machine;
use super::sort;
use super::store::{Snapshot, Store};
use crate::values::{Stat, Value};

impl<S: Store> Machine<'_, S> {
    /// Appends the globals that are to be shown.
    pub fn show_globals(&mut self, out: &mut Vec<u8>) {
        for global in shown(self.program.module) {
            self.show_global(global, out);
        }
    }

    fn show_global(&mut self, id: Global, out: &mut Vec<u8>) {
        let Some(global) = self.program.module.globals.get(id) else {
            return;
        };
        let name = global.name.as_bytes();
        match &global.kind {
            GlobalKind::Scalar { ty, .. } => {
                let value = self.store.get(id);
                out.extend_from_slice(name);
                out.push(b'=');
                self.show_value(&value, *ty, out);
                out.push(b'\n');
            }
            GlobalKind::Stat(layout) => {
                let stat = self
                    .store
                    .stat(id, &[])
                    .unwrap_or_else(|| Stat::new(layout));
                out.extend_from_slice(name);
                show_stat(&stat, out);
            }
            GlobalKind::Array { keys, value, .. } => self.show_array(id, name, keys, value, out),
        }
    }

    fn show_array(
        &mut self,
        id: Global,
        name: &[u8],
        keys: &[Ty],
        element: &ElementKind,
        out: &mut Vec<u8>,
    ) {
        let all = vec![None; keys.len()];
        let snapshot = match self.store.snapshot(id, &all) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                out.extend_from_slice(name);
                out.extend_from_slice(format!(": {error}\n").as_bytes());
                return;
            }
        };
        let by = match element {
            ElementKind::Plain(_) => SortBy::Value,
            ElementKind::Stat(_) => SortBy::Stat(StatField::Count),
        };
        let sort = Sort {
            by,
            descending: true,
        };
        let order = sort::order(
            &snapshot,
            Some(sort),
            usize::MAX,
            |_, value| match element {
                ElementKind::Plain(Ty::Str { late: true, .. }) => {
                    Value::from(&self.render_late(&value.text())[..])
                }
                _ => value,
            },
        );
        for index in order {
            let index = index as usize;
            out.extend_from_slice(name);
            for (part, ty) in keys.iter().enumerate() {
                out.push(if part == 0 { b'[' } else { b',' });
                self.show_value(&snapshot.key(index, part), *ty, out);
            }
            out.push(b']');
            match element {
                ElementKind::Plain(ty) => {
                    out.push(b'=');
                    self.show_value(&snapshot.value(index), *ty, out);
                    out.push(b'\n');
                }
                ElementKind::Stat(_) => show_stat(&snapshot.stat(index), out),
            }
        }
    }

    fn show_value(&mut self, value: &Value, ty: Ty, out: &mut Vec<u8>) {
        match (value, ty) {
            (Value::Int(n), _) => out.extend_from_slice(n.to_string().as_bytes()),
            (Value::Str(text), Ty::Str { late: true, .. }) => {
                out.push(b'"');
                let text = self.render_late(text);
                out.extend_from_slice(&text);
                out.push(b'"');
            }
            (Value::Str(text), _) => {
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
            }
        }
    }
}

/// ` @count=…` to the end of the line.
fn show_stat(stat: &Stat, out: &mut Vec<u8>) {
    let field = |field| stat.get(field).unwrap_or(0);
    let text = if stat.count == 0 {
        " @count=0x0\n".to_owned()
    } else {
        format!(
            " @count={} @min={} @max={} @sum={} @avg={}\n",
            stat.count,
            field(StatField::Min),
            field(StatField::Max),
            field(StatField::Sum),
            field(StatField::Avg),
        )
    };
    out.extend_from_slice(text.as_bytes());
}

/// The globals to be shown, in order.
fn shown(module: &Module) -> Vec<Global> {
    let mut order = Vec::new();
    let mut seen = EntitySet::new();
    let mut mention = |global: Global| {
        if module.globals.get(global).is_some_and(|g| g.print_at_end) && seen.insert(global) {
            order.push(global);
        }
    };
    let mut functions: Vec<Func> = module.handlers.values().map(|h| h.func).collect();
    let mut known: EntitySet<Func> = EntitySet::new();
    known.extend(functions.iter().copied());
    // What is mentioned outside of its function's text was inlined: a function's.
    let mut inlined = Vec::new();
    let mut next = 0;
    while let Some(function) = functions.get(next).copied() {
        next += 1;
        let Some(function) = module.functions.get(function) else {
            continue;
        };
        // Blocks stand in no particular order: the script's text decides.
        let mut mentions = Vec::new();
        for block in function.blocks.values() {
            let last = match &block.term {
                Terminator::Try { op, .. } => Some((op, block.term_span)),
                _ => None,
            };
            let insts = block.insts.iter().map(|inst| (&inst.op, inst.span));
            for (op, span) in insts.chain(last) {
                let callee = match op {
                    Op::Call(callee, ..) => Some(*callee),
                    _ => None,
                };
                if op.global().is_some() || callee.is_some() {
                    mentions.push(((span.file, span.start), op.global(), callee));
                }
            }
        }
        mentions.sort_by_key(|(place, ..)| *place);
        let text = function.span;
        for ((file, start), global, callee) in mentions {
            if file == text.file && (text.start..text.end).contains(&start) {
                global.into_iter().for_each(&mut mention);
            } else {
                inlined.extend(global);
            }
            if let Some(callee) = callee
                && known.insert(callee)
            {
                functions.push(callee);
            }
        }
    }
    inlined.into_iter().for_each(&mut mention);
    module.globals.keys().for_each(mention);
    order
}
