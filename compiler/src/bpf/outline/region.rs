//! Which machine blocks belong to a loop.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::bpf::graph;
use crate::bpf::vcode::{Loop, Term, VCode};

/// What can be reached in a function, and from where.
#[derive(Debug)]
pub struct Flow {
    /// Blocks in reverse postorder.
    order: Vec<usize>,
    /// For each block its place in `order`.
    place: Vec<usize>,
    preds: Vec<SmallVec<[usize; 2]>>,
    /// For each block the next that dominates it.
    dominator: Vec<usize>,
}

/// A block that is not reached.
const NOWHERE: usize = usize::MAX;

impl Flow {
    /// Looks at a function.
    pub fn new(code: &VCode) -> Flow {
        Flow::with(code, &[])
    }

    /// The same, if its loops give up where that leads to, which may be the only way there.
    pub fn of_rounds(code: &VCode, loops: &[Loop]) -> Flow {
        let flow = Flow::new(code);
        let gives_up = loops.iter().filter_map(|info| {
            let (head, to) = (info.head.0 as usize, info.gives_up()?);
            (flow.is_reached(head) && !flow.is_reached(to)).then_some((head, to))
        });
        let more: Vec<(usize, usize)> = gives_up.collect();
        if more.is_empty() {
            flow
        } else {
            Flow::with(code, &more)
        }
    }

    /// The same, with more edges.
    fn with(code: &VCode, more: &[(usize, usize)]) -> Flow {
        let count = code.blocks.len();
        let succs = |block: usize| {
            let edges = code.blocks[block].edges().map(|edge| edge.block.0 as usize);
            let more = more.iter().filter(move |(from, _)| *from == block);
            edges.chain(more.map(|(_, to)| *to))
        };
        let order = graph::reverse_postorder(count, 0, |block, f| succs(block).for_each(f));
        let mut flow = Flow {
            place: vec![NOWHERE; count],
            preds: vec![SmallVec::new(); count],
            dominator: vec![NOWHERE; count],
            order,
        };
        for (place, &block) in flow.order.iter().enumerate() {
            flow.place[block] = place;
            for to in succs(block) {
                flow.preds[to].push(block);
            }
        }
        flow.dominators();
        flow
    }

    /// The algorithm of Cooper, Harvey and Kennedy.
    fn dominators(&mut self) {
        self.dominator[0] = 0;
        let mut changed = true;
        while changed {
            changed = false;
            for &block in self.order.iter().skip(1) {
                let mut best = NOWHERE;
                for &pred in &self.preds[block] {
                    if self.dominator[pred] == NOWHERE {
                        continue;
                    }
                    best = if best == NOWHERE {
                        pred
                    } else {
                        self.common(best, pred)
                    };
                }
                changed |= std::mem::replace(&mut self.dominator[block], best) != best;
            }
        }
    }

    fn common(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            while self.place[a] > self.place[b] {
                a = self.dominator[a];
            }
            while self.place[b] > self.place[a] {
                b = self.dominator[b];
            }
        }
        a
    }

    /// Whether all ways to `b` lead through `a`.
    pub fn dominates(&self, a: usize, mut b: usize) -> bool {
        while self.place[b] > self.place[a] {
            b = self.dominator[b];
        }
        a == b
    }

    /// The blocks of a loop: the rounds, and what is only reached from there and must not be cut off. None if
    /// nothing goes back to its head.
    pub fn region(&self, code: &VCode, info: &Loop) -> Option<BTreeSet<usize>> {
        let head = info.head.0 as usize;
        let mut blocks = self.natural_loop(head)?;
        let keep = info.gives_up();
        // In a loop of the script, what an operation began in a round it also ends there.
        let of_script = code.blocks[head].boundary;
        // What may move has a way in from what does: in the order of places, each is looked at once.
        let mut next = BTreeSet::new();
        let ahead = |next: &mut BTreeSet<usize>, from: usize, than: usize| {
            let edges = code.blocks[from].edges();
            let places = edges.map(|edge| self.place[edge.block.0 as usize]);
            next.extend(places.filter(|place| *place > than));
        };
        for &block in &blocks {
            ahead(&mut next, block, self.place[head]);
        }
        while let Some(place) = next.pop_first() {
            let block = self.order[place];
            let own = &code.blocks[block];
            let moves = (own.cold || of_script && !own.boundary)
                && Some(block) != keep
                && !matches!(own.term, Some(Term::Exit(_)) | None)
                && self.preds[block]
                    .iter()
                    .all(|pred| blocks.contains(pred) || self.dominates(block, *pred));
            if moves && blocks.insert(block) {
                ahead(&mut next, block, place);
            }
        }
        Some(blocks)
    }

    /// Whether a way leads back to a block that dominates it.
    pub fn goes_round(&self, head: usize) -> bool {
        let mut back = self.preds[head].iter();
        self.is_reached(head) && back.any(|pred| self.dominates(head, *pred))
    }

    /// The blocks from which a way leads back to `head`, if there are any that it dominates.
    fn natural_loop(&self, head: usize) -> Option<BTreeSet<usize>> {
        if !self.is_reached(head) {
            return None;
        }
        let back = self.preds[head].iter().copied();
        let mut todo: Vec<usize> = back.filter(|pred| self.dominates(head, *pred)).collect();
        if todo.is_empty() {
            return None;
        }
        let mut blocks = BTreeSet::from([head]);
        while let Some(block) = todo.pop() {
            if blocks.insert(block) {
                todo.extend_from_slice(&self.preds[block]);
            }
        }
        Some(blocks)
    }

    /// For each loop, inner ones first, the place of its head and the last place in it.
    pub fn loops(&self) -> Vec<(usize, usize)> {
        let heads = self.order.iter().rev();
        heads
            .filter_map(|head| {
                let blocks = self.natural_loop(*head)?;
                let last = blocks.iter().map(|block| self.place[*block]).max()?;
                Some((self.place[*head], last))
            })
            .collect()
    }

    /// What can be reached, each block behind those that dominate it.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The place of a block in this order.
    pub fn place(&self, block: usize) -> usize {
        self.place[block]
    }

    /// Whether a block can be reached.
    pub fn is_reached(&self, block: usize) -> bool {
        self.place[block] != NOWHERE
    }

    /// The blocks from which a way leads to this one.
    pub fn preds(&self, block: usize) -> &[usize] {
        &self.preds[block]
    }

    /// The next block that dominates another; the first is its own.
    pub fn dominator(&self, block: usize) -> usize {
        self.dominator[block]
    }
}

#[cfg(test)]
mod tests {
    use regalloc2::{RegClass, VReg};

    use super::*;
    use crate::bpf::insn::{Cond, Src};
    use crate::bpf::vcode::{BlockId, Edge, LoopKind, VBlock};

    /// Blocks that end with a jump to each of these.
    fn code(successors: &[&[u32]]) -> VCode {
        let edge = |block: &u32| Edge {
            block: BlockId(*block),
            args: Vec::new(),
        };
        let value = VReg::new(0, RegClass::Int);
        let blocks = successors
            .iter()
            .map(|to| VBlock {
                term: Some(match to {
                    [] => Term::Exit(value),
                    [to] => Term::Jump(edge(to)),
                    [then, els, ..] => Term::If {
                        cond: Cond::Eq,
                        wide: true,
                        left: value,
                        right: Src::Imm(0),
                        then: edge(then),
                        els: edge(els),
                    },
                }),
                ..VBlock::default()
            })
            .collect();
        VCode {
            blocks,
            ..VCode::default()
        }
    }

    #[test]
    fn a_loop_takes_what_is_only_reached_from_it() {
        // 1 -> 2 -> 3 -> 1 is the loop, 4 what follows, 5 an error in it that ends at 6.
        let mut code = code(&[&[1], &[2, 4], &[3, 5], &[1], &[6], &[6], &[]]);
        code.blocks[5].cold = true;
        let info = Loop {
            head: BlockId(1),
            kind: LoopKind::Whole { most: 1 },
        };
        let region = Flow::new(&code).region(&code, &info).expect("a loop");
        assert_eq!(region, BTreeSet::from([1, 2, 3, 5]));
        assert_eq!(Flow::new(&code).loops().len(), 1);
        let not_one = Loop {
            head: BlockId(4),
            ..info
        };
        assert!(Flow::new(&code).region(&code, &not_one).is_none());
    }
}
