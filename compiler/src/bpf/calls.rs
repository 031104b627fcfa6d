//! Who calls whom in a handler: which functions are worth being there once, not copied to each call.

use rustc_hash::FxHashMap;

use crate::lir::cfg::{call_groups, for_each_callee};
use crate::lir::{Func, Module};

/// Operations of a function, with all that it calls, that is not copied to several places.
const LONG: u64 = 60;

/// The calls of a handler.
pub struct Calls<'a> {
    module: &'a Module,
    handler: Func,
    /// The functions in groups of those that call each other, callees first.
    groups: Vec<Vec<Func>>,
    /// The group of each.
    group: FxHashMap<Func, usize>,
}

impl<'a> Calls<'a> {
    /// Those of the handler whose function this is.
    pub fn new(module: &'a Module, handler: Func) -> Self {
        let groups = call_groups(module);
        let numbers = groups.iter().enumerate();
        let group = numbers.flat_map(|(n, funcs)| funcs.iter().map(move |func| (*func, n)));
        Calls {
            module,
            handler,
            group: group.collect(),
            groups,
        }
    }

    /// The functions that are long and called from several places, callers first.
    pub fn shared(&self) -> Vec<Func> {
        let sizes = self.sizes();
        // How often each group's code is in the handler when what is shared is not copied.
        let mut copies = vec![0u64; self.groups.len()];
        let mut called: Vec<Vec<Func>> = vec![Vec::new(); self.groups.len()];
        let mut shared = Vec::new();
        for (number, funcs) in self.groups.iter().enumerate().rev() {
            if funcs.contains(&self.handler) {
                copies[number] = 1;
            } else if copies[number] > 1 && sizes[number] >= LONG {
                copies[number] = 1;
                let mut entries = std::mem::take(&mut called[number]);
                entries.sort_unstable();
                entries.dedup();
                shared.extend(entries);
            }
            if copies[number] == 0 {
                continue;
            }
            for func in funcs {
                for_each_callee(&self.module.functions[*func], |callee| {
                    if let Some(&to) = self.group.get(&callee)
                        && to != number
                    {
                        copies[to] = copies[to].saturating_add(copies[number]);
                        called[to].push(callee);
                    }
                });
            }
        }
        shared
    }

    /// The operations of each group, with copies of all that it calls.
    fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = Vec::with_capacity(self.groups.len());
        for (number, funcs) in self.groups.iter().enumerate() {
            let mut size = 0u64;
            for func in funcs {
                let function = &self.module.functions[*func];
                size += function
                    .blocks
                    .values()
                    .map(|block| block.insts.len() as u64 + 1)
                    .sum::<u64>();
                for_each_callee(function, |callee| {
                    if let Some(&to) = self.group.get(&callee)
                        && to != number
                    {
                        let callee = sizes.get(to).copied().unwrap_or(0);
                        size = size.saturating_add(callee);
                    }
                });
            }
            sizes.push(size);
        }
        sizes
    }
}
