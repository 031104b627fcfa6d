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

use super::region::{Flow, Region};
use super::vcode::{BlockId, Loop, LoopKind, VCode};

/// Programs up to so many instructions stay whole.
const WHOLE_INSNS: usize = 2500;
/// A part is at least this long.
const PART_INSNS: usize = 600;
/// Functions that a program can have are 256; some of them are loops.
const MAX_PARTS: usize = 120;
/// What a call and the way back take.
const CALL_INSNS: usize = 12;
/// Ways out of a part are tried one after another.
const MAX_WAYS: usize = 12;

/// Whether a program is too long for one function.
pub fn is_long(code: &VCode) -> bool {
    length(code) > WHOLE_INSNS
}

fn length(code: &VCode) -> usize {
    (0..code.blocks.len()).map(|block| insns(code, block)).sum()
}

/// About how many instructions a block becomes.
fn insns(code: &VCode, block: usize) -> usize {
    let block = &code.blocks[block];
    1 + block
        .insts
        .iter()
        .map(|inst| inst.code.len())
        .sum::<usize>()
}

/// The regions of a long program that are to be functions.
pub fn choose(code: &VCode) -> Vec<(Loop, Region)> {
    let length = length(code);
    if length <= WHOLE_INSNS {
        return Vec::new();
    }
    let flow = Flow::new(code);
    let mut chosen = Chosen {
        code,
        flow: &flow,
        is_head: heads(code, &flow, PART_INSNS.max(length / MAX_PARTS)),
        owner: vec![None; code.blocks.len()],
    };
    chosen.settle();
    chosen.regions()
}

/// Blocks that dominate at least `least` instructions, what other such blocks dominate left out.
fn heads(code: &VCode, flow: &Flow, least: usize) -> Vec<bool> {
    let in_loop = flow.in_loops(code.blocks.len());
    let mut is_head = vec![false; code.blocks.len()];
    let mut below = vec![0; code.blocks.len()];
    for &block in flow.order().iter().skip(1).rev() {
        let all = below[block] + insns(code, block);
        let counts = if all >= least && code.blocks[block].boundary && !in_loop[block] {
            is_head[block] = true;
            CALL_INSNS
        } else {
            all
        };
        below[flow.dominator(block)] += counts;
    }
    is_head
}

/// The choice, while it is put right.
struct Chosen<'a> {
    code: &'a VCode,
    flow: &'a Flow,
    is_head: Vec<bool>,
    /// The head of the region that each block is in, if it is in one.
    owner: Vec<Option<usize>>,
}

impl Chosen<'_> {
    /// Gives up regions that something but their head leads into, or with too many ways out.
    fn settle(&mut self) {
        loop {
            self.assign();
            let mut ways: Vec<Vec<usize>> = vec![Vec::new(); self.code.blocks.len()];
            let mut good = true;
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
                        good = false;
                    }
                    if let Some(left) = from
                        && !ways[left].contains(&to)
                    {
                        ways[left].push(to);
                        if ways[left].len() > MAX_WAYS {
                            self.is_head[left] = false;
                            good = false;
                        }
                    }
                }
            }
            if good {
                return;
            }
        }
    }

    fn assign(&mut self) {
        for &block in self.flow.order() {
            let ends = matches!(
                self.code.blocks[block].term,
                Some(super::vcode::Term::Exit(_)) | None
            );
            self.owner[block] = if self.is_head[block] {
                Some(block)
            } else if block == 0 || ends {
                None
            } else {
                self.owner[self.flow.dominator(block)]
            };
        }
    }

    fn regions(self) -> Vec<(Loop, Region)> {
        let heads = self
            .flow
            .order()
            .iter()
            .filter(|block| self.is_head[**block]);
        heads
            .map(|&head| {
                let info = Loop {
                    head: BlockId(head as u32),
                    kind: LoopKind::Once,
                };
                let all = 0..self.code.blocks.len();
                let blocks = all.filter(|block| self.owner[*block] == Some(head));
                let region = Region {
                    blocks: blocks.collect(),
                };
                (info, region)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use regalloc2::{PRegSet, RegClass, VReg};

    use super::*;
    use crate::bpf::insn::{Cond, Insn, Src};
    use crate::bpf::vcode::{Edge, Term, VBlock, VInst};

    fn block(insns: usize, term: Term) -> VBlock {
        let inst = VInst {
            code: vec![Insn::Jump { target: 0 }; insns],
            operands: Vec::new(),
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

    #[test]
    fn long_branches_are_parts() {
        let parts = choose(&code(2000, 3));
        let blocks: Vec<Vec<usize>> = parts
            .iter()
            .map(|(_, region)| region.blocks.iter().copied().collect())
            .collect();
        assert_eq!(blocks.len(), 2);
        assert!(blocks.contains(&vec![1]) && blocks.contains(&vec![2]));
        assert!(choose(&code(1000, 3)).is_empty(), "not too long");
    }

    #[test]
    fn no_part_begins_in_a_loop() {
        let parts = choose(&code(2000, 2));
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].0.head, BlockId(1));
    }
}
