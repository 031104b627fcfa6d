//! Leaves out what nothing refers to and numbers the rest anew: functions callees first, blocks
//! in reverse post-order, values in the order of their definitions, constants in the order of
//! their first use.

use cranelift_entity::{EntityRef, EntitySet, PrimaryMap, SecondaryMap};

use crate::lir::cfg::{Cfg, call_groups, for_each_callee};
use crate::lir::*;

/// Compacts a module.
pub(super) fn run(module: &mut Module) {
    functions(module);
    for function in module.functions.values_mut() {
        body(function);
    }
    Tables::default().run(module);
}

/// Keeps the functions that handlers reach, callees first.
pub(super) fn functions(module: &mut Module) {
    let mut reached = EntitySet::new();
    let mut work: Vec<Func> = module.handlers.values().map(|h| h.func).collect();
    while let Some(func) = work.pop() {
        if reached.insert(func) {
            for_each_callee(&module.functions[func], |callee| work.push(callee));
        }
    }
    // A module without handlers is somebody's test: all of it stays.
    let keep_all = module.handlers.is_empty();
    let order = call_groups(module).concat();
    let kept: Vec<Func> = order
        .into_iter()
        .filter(|f| keep_all || reached.contains(*f))
        .collect();
    let mut number = SecondaryMap::with_default(Func::from_u32(0));
    let mut functions: SecondaryMap<Func, Option<Function>> = SecondaryMap::new();
    for (id, function) in std::mem::take(&mut module.functions) {
        functions[id] = Some(function);
    }
    for func in kept {
        if let Some(function) = functions[func].take() {
            number[func] = module.functions.push(function);
        }
    }
    for function in module.functions.values_mut() {
        for_each_op_mut(function, |op| {
            if let Op::Call(callee, ..) = op {
                *callee = number[*callee];
            }
        });
    }
    for handler in module.handlers.values_mut() {
        handler.func = number[handler.func];
    }
}

fn for_each_op_mut(function: &mut Function, mut f: impl FnMut(&mut Op)) {
    for block in function.blocks.values_mut() {
        for inst in &mut block.insts {
            f(&mut inst.op);
        }
        if let Terminator::Try { op, .. } = &mut block.term {
            f(op);
        }
    }
}

fn for_each_site_mut(function: &mut Function, mut f: impl FnMut(&mut SiteId)) {
    for block in function.blocks.values_mut() {
        block.loop_head.iter_mut().for_each(&mut f);
    }
    for_each_op_mut(function, |op| {
        op.site_mut().into_iter().for_each(&mut f);
    });
}

/// Numbers a function's blocks and values anew.
fn body(function: &mut Function) {
    let cfg = Cfg::new(function);
    let mut number: SecondaryMap<Block, Block> = SecondaryMap::with_default(function.entry());
    for (i, block) in cfg.order.iter().enumerate() {
        number[*block] = Block::new(i);
    }
    let mut old: SecondaryMap<Block, Option<BlockData>> = SecondaryMap::new();
    for (id, mut data) in std::mem::take(&mut function.blocks) {
        // A loop that is never repeated is none.
        if !cfg.preds[id].iter().any(|pred| cfg.is_backward(*pred, id)) {
            data.loop_head = None;
        }
        old[id] = Some(data);
    }
    let mut values: PrimaryMap<Value, ValueData> = PrimaryMap::new();
    let mut renumbered: SecondaryMap<Value, Option<Value>> = SecondaryMap::new();
    for block in &cfg.order {
        let Some(mut data) = old[*block].take() else {
            continue;
        };
        let results = data
            .insts
            .iter_mut()
            .filter_map(|inst| inst.result.as_mut());
        for value in data.params.iter_mut().chain(results) {
            let new = values.push(function.values[*value]);
            renumbered[*value] = Some(new);
            *value = new;
        }
        data.term
            .for_each_jump_mut(|to| to.block = number[to.block]);
        function.blocks.push(data);
    }
    for block in function.blocks.values_mut() {
        let rename = |v: &mut Value| *v = renumbered[*v].unwrap_or(*v);
        for inst in &mut block.insts {
            inst.op.for_each_operand_mut(rename);
        }
        block.term.for_each_operand_mut(rename);
    }
    function.values = values;
}

/// New numbers of what functions refer to, given out at the first use.
#[derive(Default)]
struct Tables {
    globals: SecondaryMap<Global, Option<Global>>,
    strings: SecondaryMap<StrId, Option<StrId>>,
    formats: SecondaryMap<FormatId, Option<FormatId>>,
    core: SecondaryMap<CoreId, Option<CoreId>>,
    regexes: SecondaryMap<RegexId, Option<RegexId>>,
    string_tables: SecondaryMap<TableId, Option<TableId>>,
    sites: SecondaryMap<SiteId, Option<SiteId>>,
}

impl Tables {
    fn run(mut self, module: &mut Module) {
        let mut new: Module = Module::default();
        self.globals(module, &mut new);
        self.sites(module, &mut new);
        for function in module.functions.values_mut() {
            for_each_op_mut(function, |op| {
                if let Some(global) = op.global_mut() {
                    *global = self.globals[*global].unwrap_or(*global);
                }
                match op {
                    Op::StrConst(id) => {
                        renumber(id, &mut self.strings, &module.strings, &mut new.strings);
                    }
                    Op::Emit(id, _)
                    | Op::StrFormat(id, _)
                    | Op::StrLate(id, _)
                    | Op::StrStack(id, ..)
                    | Op::StrHist(id, ..) => {
                        renumber(id, &mut self.formats, &module.formats, &mut new.formats);
                    }
                    Op::Core(id) => renumber(id, &mut self.core, &module.core, &mut new.core),
                    Op::StrMatch(id, _) => {
                        renumber(id, &mut self.regexes, &module.regexes, &mut new.regexes);
                    }
                    Op::StrTable(id, _) | Op::StrFlags(id, _) => {
                        renumber(id, &mut self.string_tables, &module.tables, &mut new.tables);
                    }
                    _ => {}
                }
            });
        }
        let Module {
            globals,
            strings,
            formats,
            core,
            regexes,
            tables,
            sites,
            ..
        } = new;
        module.globals = globals;
        module.strings = strings;
        module.formats = formats;
        module.core = core;
        module.regexes = regexes;
        module.tables = tables;
        module.sites = sites;
    }

    /// Sites keep their order; so callers stay in front of those they led to.
    fn sites(&mut self, module: &mut Module, new: &mut Module) {
        let mut used: EntitySet<SiteId> = EntitySet::new();
        for function in module.functions.values_mut() {
            for_each_site_mut(function, |site| {
                used.insert(*site);
            });
        }
        for (id, site) in module.sites.iter().rev() {
            // What executors look for by its name.
            if matches!(site.kind, ErrorKind::MaxNesting | ErrorKind::MaxAction) {
                used.insert(id);
            }
            if used.contains(id) {
                used.extend(site.caller);
            }
        }
        for (id, mut site) in std::mem::take(&mut module.sites) {
            if used.contains(id) {
                site.caller = site.caller.and_then(|caller| self.sites[caller]);
                self.sites[id] = Some(new.sites.push(site));
            }
        }
        for function in module.functions.values_mut() {
            for_each_site_mut(function, |site| *site = self.sites[*site].unwrap_or(*site));
        }
    }

    /// Globals keep their order; those that nothing uses or prints go.
    fn globals(&mut self, module: &mut Module, new: &mut Module) {
        let mut used: EntitySet<Global> = EntitySet::new();
        for function in module.functions.values_mut() {
            for_each_op_mut(function, |op| {
                used.extend(op.global());
            });
        }
        for (id, data) in std::mem::take(&mut module.globals) {
            if data.print_at_end || used.contains(id) {
                self.globals[id] = Some(new.globals.push(data));
            }
        }
    }
}

/// Gives an entry its new number, moving it over at its first use.
fn renumber<K: EntityRef, V: Clone>(
    id: &mut K,
    numbers: &mut SecondaryMap<K, Option<K>>,
    old: &PrimaryMap<K, V>,
    new: &mut PrimaryMap<K, V>,
) {
    let number = match numbers[*id] {
        Some(number) => number,
        None => new.push(old[*id].clone()),
    };
    numbers[*id] = Some(number);
    *id = number;
}
