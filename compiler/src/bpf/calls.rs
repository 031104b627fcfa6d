//! Who calls whom: which functions recurse, and which are worth being in a handler once, not copied to each call.

use std::cell::OnceCell;

use rustc_hash::FxHashMap;

use crate::lir::cfg::{call_groups, for_each_callee};
use crate::lir::{Func, Module};

/// Operations of a function, with all that it calls, that is not copied to several places.
const LONG: u64 = 60;

/// The calls of a module.
pub struct Calls<'a> {
    module: &'a Module,
    /// The functions in groups of those that call each other, callees first.
    groups: Vec<Vec<Func>>,
    /// The group of each.
    group: FxHashMap<Func, usize>,
    sizes: OnceCell<Vec<u64>>,
}

impl<'a> Calls<'a> {
    /// Looks at who calls whom.
    pub fn new(module: &'a Module) -> Self {
        let groups = call_groups(module);
        let numbers = groups.iter().enumerate();
        let group = numbers.flat_map(|(n, funcs)| funcs.iter().map(move |func| (*func, n)));
        Calls {
            module,
            group: group.collect(),
            groups,
            sizes: OnceCell::new(),
        }
    }

    /// The groups whose functions can come to call themselves.
    pub fn recursing(&self) -> impl Iterator<Item = &[Func]> {
        let groups = self.groups.iter().map(Vec::as_slice);
        groups.filter(|group| group.len() > 1 || group.iter().any(|func| self.calls_itself(*func)))
    }

    fn calls_itself(&self, func: Func) -> bool {
        let mut found = false;
        for_each_callee(&self.module.functions[func], |callee| {
            found |= callee == func;
        });
        found
    }

    /// The functions that are long and called from several places of a handler, callers first.
    pub fn shared(&self, handler: Func) -> Vec<Func> {
        let sizes = self.sizes.get_or_init(|| self.sizes());
        // How often each group's code is in the handler when what is shared is not copied.
        let mut copies = vec![0u64; self.groups.len()];
        let mut called: Vec<Vec<Func>> = vec![Vec::new(); self.groups.len()];
        let mut shared = Vec::new();
        for (number, funcs) in self.groups.iter().enumerate().rev() {
            if funcs.contains(&handler) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lir::text;

    /// The functions that a handler shares which calls a function with so many additions so often.
    fn shared(additions: u64, calls: usize) -> Vec<Func> {
        let add = |n| format!("    v{}: i64 = add v0, v{n}\n", n + 1);
        let call = |n| format!("    v{n}: i64 = call fn0(v0) !site0\n");
        let source = format!(
            "site0 = call near \"f\" at \"a\"

fn0 \"f\"(i64) -> i64 {{
block0(v0: i64):
{}    return v0
}}
fn1 \"probe_0\"() {{
block0:
    v0: i64 = iconst 2
{}    return
}}
",
            (0..additions).map(add).collect::<String>(),
            (1..=calls).map(call).collect::<String>(),
        );
        let module = text::parse(&source).expect("LIR");
        Calls::new(&module).shared(Func::from_u32(1))
    }

    #[test]
    fn long_functions_called_from_several_places_are_shared() {
        assert_eq!(shared(LONG, 2), [Func::from_u32(0)]);
        assert!(shared(LONG, 1).is_empty());
        assert!(shared(LONG - 2, 2).is_empty());
    }
}
