//! Which machine blocks belong to a loop.

use std::collections::BTreeSet;

use super::vcode::{Loop, LoopKind, Term, VCode};

/// The blocks of a loop, or of another part of a program.
#[derive(Debug)]
pub struct Region {
    /// Those that move with it: the rounds, and what is off the usual path and only reached from
    /// there.
    pub blocks: BTreeSet<usize>,
}

/// What can be reached in a function, and from where.
#[derive(Debug)]
pub struct Flow {
    /// Blocks in reverse postorder.
    order: Vec<usize>,
    /// For each block its place in `order`.
    place: Vec<usize>,
    preds: Vec<Vec<usize>>,
    /// For each block the next that dominates it.
    dominator: Vec<usize>,
}

/// A block that is not reached.
const NOWHERE: usize = usize::MAX;

impl Flow {
    /// Looks at a function.
    pub fn new(code: &VCode) -> Flow {
        let count = code.blocks.len();
        let succs = |block: usize| code.blocks[block].edges().map(|edge| edge.block.0 as usize);
        let mut seen = vec![false; count];
        let mut order = Vec::new();
        let mut todo = vec![(0, false)];
        while let Some((block, done)) = todo.pop() {
            if done {
                order.push(block);
                continue;
            }
            if std::mem::replace(&mut seen[block], true) {
                continue;
            }
            todo.push((block, true));
            todo.extend(succs(block).filter(|to| !seen[*to]).map(|to| (to, false)));
        }
        order.reverse();
        let mut flow = Flow {
            place: vec![NOWHERE; count],
            preds: vec![Vec::new(); count],
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

    fn dominates(&self, a: usize, mut b: usize) -> bool {
        while self.place[b] > self.place[a] {
            b = self.dominator[b];
        }
        a == b
    }

    /// The blocks of a loop; none if nothing goes back to its head.
    pub fn region(&self, code: &VCode, info: &Loop) -> Option<Region> {
        let head = info.head.0 as usize;
        if self.place[head] == NOWHERE {
            return None;
        }
        let mut todo: Vec<usize> = self.preds[head]
            .iter()
            .copied()
            .filter(|pred| self.dominates(head, *pred))
            .collect();
        if todo.is_empty() {
            return None;
        }
        let mut blocks = BTreeSet::from([head]);
        while let Some(block) = todo.pop() {
            if blocks.insert(block) {
                todo.extend(&self.preds[block]);
            }
        }
        let keep = match info.kind {
            LoopKind::Rounds { give_up, .. } => Some(give_up.0 as usize),
            LoopKind::Whole { .. } | LoopKind::Once => None,
        };
        for &block in &self.order[self.place[head]..] {
            let own = &code.blocks[block];
            let moves = own.cold
                && Some(block) != keep
                && !matches!(own.term, Some(Term::Exit(_)) | None)
                && self.preds[block].iter().all(|pred| blocks.contains(pred));
            if moves {
                blocks.insert(block);
            }
        }
        Some(Region { blocks })
    }

    /// What can be reached, each block behind those that dominate it.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The next block that dominates another; the first is its own.
    pub fn dominator(&self, block: usize) -> usize {
        self.dominator[block]
    }

    /// For each of `count` blocks, whether it is in a loop.
    pub fn in_loops(&self, count: usize) -> Vec<bool> {
        let mut inside = vec![false; count];
        for &head in &self.order {
            let back = self.preds[head].iter().copied();
            let mut todo: Vec<usize> = back.filter(|pred| self.dominates(head, *pred)).collect();
            if todo.is_empty() {
                continue;
            }
            let mut seen = BTreeSet::from([head]);
            inside[head] = true;
            while let Some(block) = todo.pop() {
                if seen.insert(block) {
                    inside[block] = true;
                    todo.extend(&self.preds[block]);
                }
            }
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use regalloc2::{RegClass, VReg};

    use super::*;
    use crate::bpf::insn::{Cond, Src};
    use crate::bpf::vcode::{BlockId, Edge, VBlock};

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
        assert_eq!(region.blocks, BTreeSet::from([1, 2, 3, 5]));
        let not_one = Loop {
            head: BlockId(4),
            ..info
        };
        assert!(Flow::new(&code).region(&code, &not_one).is_none());
    }
}
