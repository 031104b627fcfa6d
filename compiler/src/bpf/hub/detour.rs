//! Loops around calls of the group go round by the hub.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{Call, FIRST_ARG, Linked};
use crate::lir::{Block, NestSlot, Ty};

impl Linked {
    /// Makes loops that have calls in them go round by the hub.
    pub fn loops(&mut self, calls: &[Call], resumes: &[(i64, Option<Block>)], entries: &[Block]) {
        let mut edges = Vec::new();
        for (block, data) in &self.code.blocks {
            data.term.for_each_jump(|to| edges.push((block, to.block)));
        }
        for (call, (number, caught)) in calls.iter().zip(resumes) {
            let resumed = self.states.get(number).into_iter().chain(caught);
            edges.extend(resumed.map(|state| (call.block, *state)));
        }
        let flow = Flow::new(&edges);
        let heads = self.code.blocks.iter();
        let heads: Vec<Block> = heads
            .filter(|(_, data)| data.loop_head.is_some())
            .map(|(block, _)| block)
            .collect();
        for head in heads {
            let round = flow.round(head, entries);
            if calls.iter().any(|call| round.contains(&call.block)) {
                self.detour(head);
            }
        }
    }

    /// Makes all jumps to a block go by the hub.
    pub fn detour(&mut self, head: Block) {
        let span = self.code.blocks[head].term_span;
        let params = self.code.blocks[head].params.clone();
        let types: Vec<Ty> = params.iter().map(|param| self.code.ty(*param)).collect();
        let before = self.block(&types, span);
        for data in self.code.blocks.values_mut() {
            data.term.for_each_jump_mut(|to| {
                if to.block == head {
                    to.block = before;
                }
            });
        }
        for (n, value) in self.code.blocks[before]
            .params
            .clone()
            .into_iter()
            .enumerate()
        {
            self.set(before, NestSlot::Own(FIRST_ARG + n as u32), value);
        }
        let (number, _) = self.state(&types, head);
        self.goes_on(before, number);
        self.go_to(before, number);
    }
}

/// Which blocks lead to which.
#[derive(Default)]
struct Flow {
    next: BTreeMap<Block, Vec<Block>>,
    before: BTreeMap<Block, Vec<Block>>,
}

impl Flow {
    fn new(edges: &[(Block, Block)]) -> Flow {
        let mut flow = Flow::default();
        for (from, to) in edges {
            flow.next.entry(*from).or_default().push(*to);
            flow.before.entry(*to).or_default().push(*from);
        }
        flow
    }

    /// The blocks of the loop with this head: what leads back to it and is reached through it only.
    fn round(&self, head: Block, entries: &[Block]) -> BTreeSet<Block> {
        let others = entries.iter().copied().filter(|entry| *entry != head);
        let outside = walk(&self.next, others.collect(), head);
        let back = self.before.get(&head).into_iter().flatten().copied();
        walk(
            &self.before,
            back.filter(|block| !outside.contains(block)).collect(),
            head,
        )
    }
}

/// What a walk from some blocks comes to that does not go through `closed`.
fn walk(
    edges: &BTreeMap<Block, Vec<Block>>,
    mut todo: Vec<Block>,
    closed: Block,
) -> BTreeSet<Block> {
    let mut seen = BTreeSet::new();
    while let Some(block) = todo.pop() {
        if block != closed && seen.insert(block) {
            todo.extend(edges.get(&block).into_iter().flatten());
        }
    }
    seen
}
