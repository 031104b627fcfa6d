//! Values that live from one state of a group to another: each gets a slot, is stored where it is defined, and
//! loaded in each block that uses it. What is constant is made anew instead.

use std::collections::{BTreeMap, BTreeSet};

use cranelift_entity::{EntityRef, EntitySet};

use super::build::FIRST_ARG;
use crate::bpf::analysis::for_each_term_use;
use crate::lir::{Block, Function, Inst, NestOp, NestSlot, Op, Terminator, Value};

/// How a block gets a value that is defined in another.
#[derive(Clone)]
enum Home {
    Slot(u32),
    /// A constant.
    Again(Op),
}

/// Sets of slots.
pub enum Sets {
    /// One for each level of calls.
    Levels,
    /// One, as no function can be called while it runs.
    One(Vec<Wait>),
}

/// What lives in some states lives while certain blocks run, which do not know of it.
pub struct Wait {
    /// The states.
    pub states: Vec<Block>,
    /// What runs meanwhile.
    pub blocks: EntitySet<Block>,
}

/// Moves values of `code` to slots. (Iterations are known by what began them: each level has its own.)
pub fn settle(
    code: &mut Function,
    hub: Block,
    nest: u8,
    (states, ways): (&BTreeMap<i64, Block>, &[(Block, Block)]),
    sets: &Sets,
) {
    let live_in = live_in(code, ways);
    let mut crossing: BTreeSet<Value> = states
        .values()
        .flat_map(|state| live_in.get(state).into_iter().flatten().copied())
        .collect();
    for (handle, op) in iterations(code) {
        let crosses = crossing.remove(&handle);
        if let (true, Sets::Levels, Op::IterBegin { nest: of, .. }) = (crosses, sets, op) {
            *of = Some(nest);
        }
    }
    let mut homes = BTreeMap::new();
    for data in code.blocks.values() {
        for inst in &data.insts {
            let Some(result) = inst.result.filter(|value| crossing.contains(value)) else {
                continue;
            };
            match &inst.op {
                Op::Const(_) | Op::Site(_) | Op::StrConst(_) | Op::Core(_) => {
                    homes.insert(result, Home::Again(inst.op.clone()));
                }
                _ => {}
            }
        }
    }
    assign(code, &live_in, &crossing, sets, &mut homes);
    for block in code
        .blocks
        .keys()
        .filter(|block| *block != hub)
        .collect::<Vec<_>>()
    {
        rewrite(code, block, nest, &homes);
    }
}

/// The operations that begin iterations, with what they result in.
fn iterations(code: &mut Function) -> Vec<(Value, &mut Op)> {
    let first: BTreeMap<Block, Value> = code
        .blocks
        .iter()
        .filter_map(|(block, data)| Some((block, *data.params.first()?)))
        .collect();
    let begins = |op: &Op| matches!(op, Op::IterBegin { .. });
    let mut found = Vec::new();
    for data in code.blocks.values_mut() {
        for inst in data.insts.iter_mut().filter(|inst| begins(&inst.op)) {
            found.extend(inst.result.map(|handle| (handle, &mut inst.op)));
        }
        if let Terminator::Try { op, ok, .. } = &mut data.term
            && begins(op)
        {
            found.extend(first.get(&ok.block).map(|handle| (*handle, op)));
        }
    }
    found
}

/// The values that each block takes from others. Some go on to others by the hub.
fn live_in(code: &Function, ways: &[(Block, Block)]) -> BTreeMap<Block, BTreeSet<Value>> {
    let mut next: BTreeMap<Block, Vec<Block>> = BTreeMap::new();
    for (from, to) in ways {
        next.entry(*from).or_default().push(*to);
    }
    let mut live_in: BTreeMap<Block, BTreeSet<Value>> = BTreeMap::new();
    let mut changed = true;
    while changed {
        changed = false;
        for (block, data) in code.blocks.iter().rev() {
            let mut live = BTreeSet::new();
            for to in next.get(&block).into_iter().flatten() {
                live.extend(live_in.get(to).into_iter().flatten());
            }
            data.term.for_each_jump(|to| {
                live.extend(live_in.get(&to.block).into_iter().flatten());
            });
            for_each_term_use(&data.term, |value| {
                live.insert(value);
            });
            for inst in data.insts.iter().rev() {
                inst.result.iter().for_each(|value| {
                    live.remove(value);
                });
                inst.op.for_each_operand(|value| {
                    live.insert(value);
                });
            }
            for param in &data.params {
                live.remove(param);
            }
            if live_in.get(&block) != Some(&live) {
                live_in.insert(block, live);
                changed = true;
            }
        }
    }
    live_in
}

/// Blocks, a bit for each.
#[derive(Default)]
struct Places(Vec<u64>);

impl Places {
    fn add(&mut self, block: Block) {
        let word = block.index() / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (block.index() % 64);
    }

    fn add_all(&mut self, others: &Places) {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word |= other;
        }
    }

    fn is_disjoint(&self, others: &Places) -> bool {
        (self.0.iter().zip(&others.0)).all(|(word, other)| word & other == 0)
    }
}

/// Gives each value the first slot that no other has in a block where both are.
fn assign(
    code: &Function,
    live_in: &BTreeMap<Block, BTreeSet<Value>>,
    crossing: &BTreeSet<Value>,
    sets: &Sets,
    homes: &mut BTreeMap<Value, Home>,
) {
    let mut places: BTreeMap<Value, Places> = BTreeMap::new();
    let mut first = FIRST_ARG;
    for (block, data) in &code.blocks {
        let defined = data.insts.iter().filter_map(|inst| inst.result);
        let taken = live_in.get(&block).into_iter().flatten().copied();
        for value in data.params.iter().copied().chain(defined).chain(taken) {
            if crossing.contains(&value) && !homes.contains_key(&value) {
                places.entry(value).or_default().add(block);
            }
        }
        // Behind those that pass arguments.
        for inst in &data.insts {
            if let Op::Nest(_, NestOp::Get(slot) | NestOp::Set(slot, _)) = inst.op {
                first = first.max(slot.number() + 1);
            }
        }
    }
    if let Sets::One(waits) = sets {
        for wait in waits {
            let living = wait.states.iter().filter_map(|state| live_in.get(state));
            for value in living.flatten() {
                if let Some(places) = places.get_mut(value) {
                    wait.blocks.keys().for_each(|block| places.add(block));
                }
            }
        }
    }
    let mut slots: Vec<Places> = Vec::new();
    for (value, blocks) in places {
        let free = slots.iter().position(|used| used.is_disjoint(&blocks));
        let slot = free.unwrap_or_else(|| {
            slots.push(Places::default());
            slots.len() - 1
        });
        if let Some(used) = slots.get_mut(slot) {
            used.add_all(&blocks);
        }
        homes.insert(value, Home::Slot(first + slot as u32));
    }
}

/// Stores and loads in one block.
fn rewrite(code: &mut Function, block: Block, nest: u8, homes: &BTreeMap<Value, Home>) {
    let data = &mut code.blocks[block];
    let insts = std::mem::take(&mut data.insts);
    let mut term = std::mem::replace(&mut data.term, Terminator::Unreachable);
    let term_span = data.term_span;
    let mut done = Rewriting {
        nest,
        homes,
        here: BTreeMap::new(),
        insts: Vec::with_capacity(insts.len()),
    };
    let first = insts.first().map_or(term_span, |inst| inst.span);
    for param in data.params.clone() {
        done.defined(param, first);
    }
    for mut inst in insts {
        let span = inst.span;
        inst.op
            .for_each_operand_mut(|value| *value = done.used(code, *value, span));
        let result = inst.result;
        done.insts.push(inst);
        if let Some(result) = result {
            done.defined(result, span);
        }
    }
    term.for_each_operand_mut(|value| *value = done.used(code, *value, term_span));
    code.blocks[block].insts = done.insts;
    code.blocks[block].term = term;
}

struct Rewriting<'a> {
    nest: u8,
    homes: &'a BTreeMap<Value, Home>,
    /// Values of other blocks by what they are here.
    here: BTreeMap<Value, Value>,
    insts: Vec<Inst>,
}

impl Rewriting<'_> {
    fn defined(&mut self, value: Value, span: rtap_grammar::source::Span) {
        if let Some(home) = self.homes.get(&value) {
            self.here.insert(value, value);
            if let Home::Slot(slot) = home {
                self.insts.push(Inst {
                    op: Op::Nest(self.nest, NestOp::Set(NestSlot::Own(*slot), value)),
                    result: None,
                    span,
                });
            }
        }
    }

    fn used(
        &mut self,
        code: &mut Function,
        value: Value,
        span: rtap_grammar::source::Span,
    ) -> Value {
        let Some(home) = self.homes.get(&value) else {
            return value;
        };
        if let Some(here) = self.here.get(&value) {
            return *here;
        }
        let op = match home {
            Home::Slot(slot) => Op::Nest(self.nest, NestOp::Get(NestSlot::Own(*slot))),
            Home::Again(op) => op.clone(),
        };
        let here = code.new_value(code.ty(value));
        self.insts.push(Inst {
            op,
            result: Some(here),
            span,
        });
        self.here.insert(value, here);
        here
    }
}
