//! Parts of large programs that become functions of their own.
//!
//! A handler for many system calls is a switch with a branch for each. As one function it is more
//! than a verifier follows, than its jumps reach, than its stack holds. As a global function each
//! part is verified by itself, and has registers and stack of its own; see `outline`.
//!
//! In: machine code. Out: regions with one entry each, about `part_insns` long, which no loop
//! crosses. They are found from the leaves of the dominator tree upwards: subtrees of the binary search
//! that a switch is, and stretches of what stands one after another. Registers that
//! live across their borders are numbers: borders are where LIR's blocks begin.

use std::collections::{BTreeMap, BTreeSet};

use super::region::Flow;
use crate::bpf::Sizes;
use crate::bpf::vcode::{Term, VCode};

/// Most parts in a function. Functions that a program can have are 256; some of them are loops.
pub const MAX_PARTS: usize = 120;
/// What a call and the way back take.
pub const CALL_INSNS: usize = 12;
/// Ways out of a part are tried one after another.
const MAX_WAYS: usize = 12;

/// About how many instructions a program has.
pub fn length(code: &VCode) -> usize {
    (0..code.blocks.len()).map(|block| insns(code, block)).sum()
}

/// About how many instructions a block becomes.
pub fn insns(code: &VCode, block: usize) -> usize {
    let block = &code.blocks[block];
    1 + block
        .insts
        .iter()
        .map(|inst| inst.code.len())
        .sum::<usize>()
}

/// What is known of a block of a function that may be divided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// Whether the block is in the function, or in one that is called from it.
    pub inside: bool,
    /// Whether a part can begin there.
    pub may_begin: bool,
    /// Instructions that it adds to the function.
    pub insns: usize,
}

/// The parts of a long function that are to be functions, at most `most`, each with the block at which it begins.
pub fn choose(
    code: &VCode,
    flow: &Flow,
    shares: &[Share],
    sizes: Sizes,
    most: usize,
) -> Vec<(usize, BTreeSet<usize>)> {
    let length: usize = shares.iter().map(|share| share.insns).sum();
    if length <= sizes.whole {
        return Vec::new();
    }
    let mut chosen = Chosen {
        code,
        flow,
        shares,
        // The calls count, too.
        is_head: heads(flow, shares, sizes.part.max(length / most + CALL_INSNS)),
        owner: vec![None; code.blocks.len()],
    };
    chosen.settle();
    chosen.regions()
}

/// Blocks that dominate at least `least` instructions, what other such blocks dominate left out.
fn heads(flow: &Flow, shares: &[Share], least: usize) -> Vec<bool> {
    let mut is_head = vec![false; shares.len()];
    let mut below = vec![0; shares.len()];
    for &block in flow.order().iter().skip(1).rev() {
        let all = below[block] + shares[block].insns;
        is_head[block] = all >= least && shares[block].may_begin;
        below[flow.dominator(block)] += if is_head[block] { CALL_INSNS } else { all };
    }
    is_head
}

/// The choice, while it is put right.
struct Chosen<'a> {
    code: &'a VCode,
    flow: &'a Flow,
    shares: &'a [Share],
    is_head: Vec<bool>,
    /// The head of the region that each block is in, if it is in one.
    owner: Vec<Option<usize>>,
}

impl Chosen<'_> {
    /// Gives up regions that something but their head leads into, or with too many ways out.
    fn settle(&mut self) {
        while self.give_up() {}
    }

    /// Says whether there was such a region.
    fn give_up(&mut self) -> bool {
        self.assign();
        let mut ways: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        let mut bad = false;
        for &block in self.flow.order() {
            let from = self.owner[block];
            for edge in self.code.blocks[block].edges() {
                let to = edge.block.0 as usize;
                if self.owner[to] == from {
                    continue;
                }
                // A way from another region into the midst of this one.
                if let Some(entered) = self.owner[to].filter(|head| *head != to) {
                    self.is_head[entered] = false;
                    bad = true;
                }
                if let Some(left) = from {
                    let ways = ways.entry(left).or_default();
                    ways.insert(to);
                    if ways.len() > MAX_WAYS {
                        self.is_head[left] = false;
                        bad = true;
                    }
                }
            }
        }
        bad
    }

    fn assign(&mut self) {
        for &block in self.flow.order() {
            let ends = matches!(self.code.blocks[block].term, Some(Term::Exit(_)) | None);
            self.owner[block] = if self.is_head[block] {
                Some(block)
            } else if block == 0 || ends || !self.shares[block].inside {
                None
            } else {
                self.owner[self.flow.dominator(block)]
            };
        }
    }

    fn regions(self) -> Vec<(usize, BTreeSet<usize>)> {
        let mut blocks: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (block, owner) in self.owner.iter().enumerate() {
            if let Some(head) = owner {
                blocks.entry(*head).or_default().insert(block);
            }
        }
        let heads = self.flow.order().iter();
        heads.filter_map(|head| blocks.remove_entry(head)).collect()
    }
}

#[cfg(test)]
mod tests {
    use regalloc2::{PRegSet, RegClass, VReg};
    use smallvec::smallvec;

    use super::*;
    use crate::bpf::insn::{Cond, Insn, Src};
    use crate::bpf::vcode::{BlockId, Edge, Operands, VBlock, VInst};

    fn block(insns: usize, term: Term) -> VBlock {
        let inst = VInst {
            code: smallvec![Insn::Jump { target: 0 }; insns],
            operands: Operands::new(),
            clobbers: PRegSet::empty(),
            core: None,
            span: None,
        };
        VBlock {
            insts: vec![inst],
            term: Some(term),
            boundary: true,
            ..VBlock::default()
        }
    }

    fn edge(block: u32) -> Edge {
        Edge {
            block: BlockId(block),
            args: Vec::new(),
        }
    }

    /// 0 goes to 1 or 2, which are long; both go to 3.
    fn code(insns: usize, back: u32) -> VCode {
        let value = VReg::new(0, RegClass::Int);
        let either = |then, els| Term::If {
            cond: Cond::Eq,
            wide: true,
            left: value,
            right: Src::Imm(0),
            then: edge(then),
            els: edge(els),
        };
        VCode {
            blocks: vec![
                block(1, either(1, 2)),
                block(insns, Term::Jump(edge(3))),
                block(insns, either(back, 3)),
                block(1, Term::Exit(value)),
            ],
            ..VCode::default()
        }
    }

    fn parts(code: &VCode, sizes: Sizes) -> Vec<(usize, BTreeSet<usize>)> {
        let share = |block: usize| Share {
            inside: true,
            may_begin: code.blocks[block].boundary,
            insns: insns(code, block),
        };
        let shares: Vec<Share> = (0..code.blocks.len()).map(share).collect();
        choose(code, &Flow::new(code), &shares, sizes, MAX_PARTS)
    }

    #[test]
    fn long_branches_are_parts() {
        let found = parts(&code(2000, 3), Sizes::default());
        assert_eq!(found.len(), 2);
        for (head, blocks) in found {
            assert!(head == 1 || head == 2);
            assert_eq!(blocks, BTreeSet::from([head]));
        }
        assert!(parts(&code(1000, 3), Sizes::default()).is_empty());
    }

    #[test]
    fn no_part_begins_in_a_loop() {
        let mut code = code(2000, 2);
        let info = crate::bpf::vcode::Loop {
            head: BlockId(2),
            kind: crate::bpf::vcode::LoopKind::Rounds {
                most: 9,
                give_up: BlockId(3),
            },
        };
        code.loops = vec![info];
        let again = code.blocks[1].insts[0].clone();
        code.blocks[1].insts.push(again);
        let region = (info, BTreeSet::from([2]));
        let regions = crate::bpf::outline::Regions::new(vec![region], &vec![0; code.blocks.len()]);
        let found = regions.parts(&code, &Flow::new(&code), Sizes::default(), (8, 0));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.head, BlockId(1));
    }
}
