//! Questions about LIR functions that code generation asks: what is called, how often a value is
//! used, and for how long a string must be kept.

use std::collections::{BTreeMap, BTreeSet};

use cranelift_entity::{EntityRef, SecondaryMap};

use super::graph;
use crate::lir::{
    Block, BlockCall, Env, Exec, Func, Function, Global, GlobalKind, Module, NestOp, Op, Space,
    Terminator, Value,
};

/// Calls `f` on every operation of a function, those of `Try` included.
pub fn for_each_op(function: &Function, mut f: impl FnMut(&Op)) {
    for block in function.blocks.values() {
        for inst in &block.insts {
            f(&inst.op);
        }
        if let Terminator::Try { op, .. } = &block.term {
            f(op);
        }
    }
}

/// Whether the handler body `func`, or anything it calls, reads memory of the current process.
pub fn reads_user_memory(module: &Module, func: Func) -> bool {
    let mut found = false;
    for called in reachable(module, func) {
        for_each_op(&module.functions[called], |op| {
            found |= matches!(
                op,
                Op::MemRead {
                    space: Space::User,
                    ..
                } | Op::MemReadStr {
                    space: Space::User,
                    ..
                } | Op::MemReadStrN {
                    space: Space::User,
                    ..
                } | Op::MemReadHex {
                    space: Space::User,
                    ..
                }
            );
        });
    }
    found
}

/// Whether the handler body `func`, or anything it calls, can make an element of an array that forgets old ones.
pub fn makes_wrapping_elements(module: &Module, func: Func) -> bool {
    let wraps = |global: Global| {
        let kind = &module.globals[global].kind;
        matches!(kind, GlobalKind::Array { wrap: true, .. })
    };
    let mut found = false;
    for called in reachable(module, func) {
        for_each_op(&module.functions[called], |op| {
            found |= op.updates_global() && op.global().is_some_and(wraps);
        });
    }
    found
}

/// Whether any handler deletes elements of an array.
pub fn deletes_elements(module: &Module, array: Global) -> bool {
    let mut found = false;
    for function in module.functions.values() {
        for_each_op(function, |op| {
            found |= match op {
                Op::ArrayDel(global, _) | Op::Clear(global, _) => *global == array,
                _ => false,
            };
        });
    }
    found
}

/// The globals that kernel handlers only add to, and user-side ones reset or delete of.
pub fn taking_turns(module: &Module) -> BTreeSet<Global> {
    let [mut added, mut other, mut reset] = [(); 3].map(|()| BTreeSet::new());
    let mut asked = BTreeSet::new();
    for handler in module.handlers.values() {
        let in_kernel = handler.exec == Exec::Kernel;
        for called in reachable(module, handler.func) {
            if !asked.insert((in_kernel, called)) {
                continue;
            }
            for_each_op(&module.functions[called], |op| {
                let Some(global) = op.global() else { return };
                match op {
                    Op::ArrayAdd(..) | Op::StatPush(..) if in_kernel => added.insert(global),
                    _ if in_kernel => other.insert(global),
                    op => op.resets_global() && reset.insert(global),
                };
            });
        }
    }
    &(&added & &reset) - &other
}

/// Whether the handler body `func`, or anything it calls, reads a performance counter.
pub fn reads_counters(module: &Module, func: Func) -> bool {
    let mut found = false;
    for called in reachable(module, func) {
        for_each_op(&module.functions[called], |op| {
            found |= matches!(op, Op::PerfCount(..));
        });
    }
    found
}

/// Whether the handler body `func`, or anything it calls, asks which point fired.
pub fn reads_point(module: &Module, func: Func) -> bool {
    let mut found = false;
    for called in reachable(module, func) {
        for_each_op(&module.functions[called], |op| {
            found |= matches!(op, Op::Env(Env::Point));
        });
    }
    found
}

/// Whether runs of the handler body `func` are measured.
pub fn is_measured(module: &Module, func: Func) -> bool {
    let mut found = false;
    for_each_op(&module.functions[func], |op| {
        found |= matches!(op, Op::Hit(_));
    });
    found
}

/// Whether the handler body `func`, or anything it calls, reads entry-time arguments.
pub fn reads_entry_args(module: &Module, func: Func) -> bool {
    let mut found = false;
    for called in reachable(module, func) {
        for_each_op(&module.functions[called], |op| {
            found |= matches!(op, Op::EntryArg(..));
        });
    }
    found
}

/// `func` and everything it calls, directly or not.
pub fn reachable(module: &Module, func: Func) -> BTreeSet<Func> {
    let mut seen = BTreeSet::from([func]);
    let mut todo = vec![func];
    while let Some(func) = todo.pop() {
        for_each_op(&module.functions[func], |op| {
            if let Op::Call(callee, ..) = op
                && seen.insert(*callee)
            {
                todo.push(*callee);
            }
        });
    }
    seen
}

/// Calls `f` on every value that a terminator itself uses and passes on.
pub fn for_each_term_use(term: &Terminator, mut f: impl FnMut(Value)) {
    let all = |call: &BlockCall, f: &mut dyn FnMut(Value)| call.args.iter().for_each(|v| f(*v));
    match term {
        Terminator::Jump(to) => all(to, &mut f),
        Terminator::Branch(cond, yes, no) => {
            f(*cond);
            all(yes, &mut f);
            all(no, &mut f);
        }
        Terminator::Switch {
            value,
            cases,
            default,
        } => {
            f(*value);
            for (_, to) in cases {
                all(to, &mut f);
            }
            all(default, &mut f);
        }
        Terminator::Return(value) => value.iter().for_each(|v| f(*v)),
        Terminator::Raise { site, arg } => {
            f(*site);
            f(*arg);
        }
        Terminator::Try { op, ok, catch, .. } => {
            op.for_each_operand(&mut f);
            all(ok, &mut f);
            all(catch, &mut f);
        }
        Terminator::IterNext {
            iter, body, done, ..
        } => {
            f(*iter);
            all(body, &mut f);
            all(done, &mut f);
        }
        Terminator::Unreachable => {}
    }
}

/// Positions in a function: every instruction and terminator has one, in the order in which code is
/// made: each branch of a switch is in one piece, so that what lives in one does not seem to live
/// in the next. Block parameters are defined at their block's first position.
#[derive(Debug, Default)]
pub struct Positions {
    /// The blocks that can be reached, each behind those that dominate it.
    pub order: Vec<Block>,
    /// Position of each block's parameters; its instructions follow.
    pub start: SecondaryMap<Block, u32>,
    /// Position of each block's terminator.
    pub end: SecondaryMap<Block, u32>,
    /// One more than the last position.
    pub count: u32,
}

impl Positions {
    /// Numbers a function.
    pub fn new(function: &Function) -> Self {
        let mut positions = Positions::default();
        let mut next = 0;
        positions.order = reverse_postorder(function);
        for &block in &positions.order {
            positions.start[block] = next;
            next += function.blocks[block].insts.len() as u32 + 1;
            positions.end[block] = next;
            next += 1;
        }
        positions.count = next;
        positions
    }
}

/// Blocks so that each stands behind those that dominate it.
fn reverse_postorder(func: &Function) -> Vec<Block> {
    let successors = |block, f: &mut dyn FnMut(usize)| {
        func.for_each_successor(Block::new(block), |to, _| f(to.block.index()));
    };
    let order = graph::reverse_postorder(func.blocks.len(), func.entry().index(), successors);
    order.into_iter().map(Block::new).collect()
}

/// The loops of a function, by the position at which they begin: that, and where the last of their blocks ends.
fn loops(function: &Function, positions: &Positions) -> Vec<(u32, u32)> {
    let mut preds: SecondaryMap<Block, Vec<Block>> = SecondaryMap::new();
    let mut latches: BTreeMap<u32, Vec<Block>> = BTreeMap::new();
    for &block in &positions.order {
        function.for_each_successor(block, |to, _| {
            let head = positions.start[to.block];
            if head <= positions.start[block] {
                latches.entry(head).or_default().push(block);
            }
        });
    }
    if latches.is_empty() {
        return Vec::new();
    }
    for &block in &positions.order {
        function.for_each_successor(block, |to, _| preds[to.block].push(block));
    }
    let extents = latches.into_iter().map(|(head, mut todo)| {
        let mut seen = BTreeSet::new();
        let mut end = head;
        while let Some(block) = todo.pop() {
            end = end.max(positions.end[block]);
            if positions.start[block] > head && seen.insert(block) {
                todo.extend(&preds[block]);
            }
        }
        (head, end)
    });
    extents.collect()
}

/// What code generation knows of the values before it starts.
#[derive(Debug, Default)]
pub struct Uses {
    /// How many times each value is used.
    pub count: SecondaryMap<Value, u32>,
    /// How many of these are the condition of a branch.
    pub branch: SecondaryMap<Value, u32>,
    /// How many ways lead to each block. A block with one takes its parameters' values as they are;
    /// the parameters of others have buffers of their own.
    pub preds: SecondaryMap<Block, u32>,
    /// First and last position at which a value is live; the hull over all blocks.
    pub range: SecondaryMap<Value, (u32, u32)>,
    /// Strings that should be zero-padded: keys, and what is stored in maps.
    pub padded: SecondaryMap<Value, bool>,
    /// Strings that are read at variable offsets.
    pub variable: SecondaryMap<Value, bool>,
}

impl Uses {
    /// Analyses a function.
    pub fn new(function: &Function, positions: &Positions) -> Self {
        let mut uses = Uses::default();
        for data in function.blocks.values() {
            for inst in &data.insts {
                inst.op.for_each_operand(|v| uses.count[v] += 1);
            }
            for_each_term_use(&data.term, |v| uses.count[v] += 1);
            if let Terminator::Branch(cond, ..) = &data.term {
                uses.branch[*cond] += 1;
            }
        }
        uses.preds[function.entry()] = 1;
        for block in function.blocks.keys() {
            function.for_each_successor(block, |to, _| uses.preds[to.block] += 1);
            // One operation can fail at several places.
            if let Terminator::Try { catch, .. } = &function.blocks[block].term {
                uses.preds[catch.block] += 1;
            }
        }
        uses.liveness(function, positions);
        uses.demands(function);
        uses
    }

    /// What the uses of strings ask of their buffers, carried back through block parameters
    /// and `str.cut`, which may stand for the same buffer.
    fn demands(&mut self, function: &Function) {
        for block in function.blocks.values() {
            for inst in &block.insts {
                self.demand(&inst.op);
            }
            if let Terminator::Try { op, .. } = &block.term {
                self.demand(op);
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (block, data) in &function.blocks {
                for inst in &data.insts {
                    if let (Op::StrCut(from), Some(to)) = (&inst.op, inst.result) {
                        changed |= self.same_buffer(*from, to);
                    }
                }
                function.for_each_successor(block, |to, supplied| {
                    let params = &function.blocks[to.block].params;
                    for (from, param) in to.args.iter().zip(params.iter().skip(supplied)) {
                        if self.preds[to.block] == 1 {
                            changed |= self.same_buffer(*from, *param);
                        }
                    }
                });
            }
        }
    }

    /// `to` may be the very buffer of `from`: it must live as long and be as good.
    fn same_buffer(&mut self, from: Value, to: Value) -> bool {
        let before = (self.range[from], self.padded[from], self.variable[from]);
        let (first, last) = self.range[to];
        if first <= last {
            self.touch(from, first);
            self.touch(from, last);
        }
        self.padded[from] |= self.padded[to];
        self.variable[from] |= self.variable[to];
        before != (self.range[from], self.padded[from], self.variable[from])
    }

    fn demand(&mut self, op: &Op) {
        match op {
            Op::ArrayGet(_, keys)
            | Op::ArrayHas(_, keys)
            | Op::ArrayDel(_, keys)
            | Op::StatGet(_, keys, _, _)
            | Op::StrHist(_, _, keys, _, _)
            | Op::EmitHist(_, keys, _, _)
            | Op::StatPush(_, keys, _, _)
            | Op::StatBucket(_, keys, _, _, _)
            | Op::ArrayAdd(_, keys, _, _)
            | Op::ArrayFetchAdd(_, keys, _, _) => {
                for key in keys {
                    self.padded[*key] = true;
                }
            }
            Op::ArraySet(_, keys, value, _) => {
                for key in keys {
                    self.padded[*key] = true;
                }
                self.padded[*value] = true;
            }
            Op::GlobalSet(_, value) | Op::Nest(_, NestOp::Set(_, value)) => {
                self.padded[*value] = true;
            }
            Op::Clear(_, slice) => {
                for key in slice.iter().flatten() {
                    self.padded[*key] = true;
                }
            }
            // Whole words are compared, and bytes behind the end must read as 0.
            Op::StrCmp(a, b) | Op::StrEq(a, b) => {
                for value in [a, b] {
                    self.padded[*value] = true;
                    self.variable[*value] = true;
                }
            }
            Op::StrByte(text, _) | Op::StrSub(text, ..) | Op::StrToInt(text, _) => {
                self.padded[*text] = true;
                self.variable[*text] = true;
            }
            Op::StrQuote(text) | Op::StrMatch(_, text) => self.variable[*text] = true,
            Op::StrFind(a, b) => {
                for value in [a, b] {
                    self.padded[*value] = true;
                    self.variable[*value] = true;
                }
            }
            _ => {}
        }
    }

    /// A value lives from where it is made to where it is last read; if that is in a loop that does not make
    /// it, to the loop's end.
    fn liveness(&mut self, function: &Function, positions: &Positions) {
        for value in function.values.keys() {
            self.range[value] = (u32::MAX, 0);
        }
        let mut made: SecondaryMap<Value, u32> = SecondaryMap::new();
        for &block in &positions.order {
            let data = &function.blocks[block];
            let (start, end) = (positions.start[block], positions.end[block]);
            for &param in &data.params {
                self.touch(param, start);
                made[param] = start;
            }
            for (at, inst) in (start + 1..).zip(&data.insts) {
                inst.op.for_each_operand(|v| self.touch(v, at));
                if let Some(result) = inst.result {
                    self.touch(result, at);
                    made[result] = at;
                }
            }
            for_each_term_use(&data.term, |v| self.touch(v, end));
            // A parameter's buffer is written where its predecessors end.
            function.for_each_successor(block, |to, _| {
                for &param in &function.blocks[to.block].params {
                    self.touch(param, end);
                }
            });
        }
        let loops = loops(function, positions);
        for value in function.values.keys() {
            let (first, mut last) = self.range[value];
            let before = loops.partition_point(|(head, _)| *head <= made[value]);
            let begun = loops.partition_point(|(head, _)| *head <= last);
            for &(_, end) in loops.get(before..begun).unwrap_or_default().iter().rev() {
                last = last.max(end);
            }
            self.range[value] = (first, last);
        }
    }

    fn touch(&mut self, value: Value, at: u32) {
        let (first, last) = self.range[value];
        self.range[value] = (first.min(at), last.max(at));
    }
}
