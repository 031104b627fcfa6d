//! Machine code before register allocation: blocks of [`VInst`]s over virtual registers
//! in SSA form with block parameters.
//!
//! A [`VInst`] is a *template*: a few eBPF instructions whose registers are operand
//! numbers. The allocator sees it as one instruction, so nothing is ever inserted inside: a mask
//! and the addition it guards stay together, which the verifier's bounds depend on.

use regalloc2::{Operand, PReg, PRegSet, RegClass, VReg};
use rtap_grammar::source::Span;

use super::insn::{Cond, Insn, Reg, Src};
use crate::lir::CoreId;

/// Number of a machine block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u32);

/// A register in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TReg {
    /// What the allocator gives operand number `.0`.
    Op(u8),
    /// This one.
    Phys(Reg),
}

/// An instruction template with its operands.
#[derive(Clone, Debug)]
pub struct VInst {
    /// What is emitted. Jumps stay inside the template.
    pub code: Vec<Insn<TReg>>,
    /// What the allocator is told.
    pub operands: Vec<Operand>,
    /// Registers that are garbage afterwards.
    pub clobbers: PRegSet,
    /// Which instruction of `code` holds a kernel fact that the loader relocates.
    pub core: Option<(usize, CoreId)>,
    /// Where in the script it comes from.
    pub span: Option<Span>,
}

/// A jump with arguments for the target's parameters.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Target.
    pub block: BlockId,
    /// One for each parameter.
    pub args: Vec<VReg>,
}

/// The end of a block.
#[derive(Clone, Debug)]
pub enum Term {
    /// Go on.
    Jump(Edge),
    /// Compare and go on.
    If {
        /// The condition.
        cond: Cond,
        /// 64 bits.
        wide: bool,
        /// First operand.
        left: VReg,
        /// Second operand.
        right: Src<VReg>,
        /// Where to go if it holds.
        then: Edge,
        /// Where else.
        els: Edge,
    },
    /// Go on to `next`, or to `exit` when a loop went round too often.
    MayGoto {
        /// Where a loop that is given up goes.
        exit: Edge,
        /// Where to go otherwise.
        next: Edge,
    },
    /// Leave with this value in r0.
    Exit(VReg),
}

/// A block.
#[derive(Clone, Debug, Default)]
pub struct VBlock {
    /// Parameters.
    pub params: Vec<VReg>,
    /// Instructions.
    pub insts: Vec<VInst>,
    /// Its end; `None` while under construction.
    pub term: Option<Term>,
    /// Where the end comes from.
    pub term_span: Option<Span>,
    /// Placed behind all others: error paths and the like.
    pub cold: bool,
}

/// A function.
#[derive(Clone, Debug, Default)]
pub struct VCode {
    /// Blocks; the first is the entry.
    pub blocks: Vec<VBlock>,
    /// Virtual registers used so far.
    pub vregs: usize,
    /// Bytes of stack below the frame pointer that buffers take; spill slots follow.
    pub stack_bytes: u32,
}

impl VCode {
    /// A new virtual register.
    pub fn vreg(&mut self) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs - 1, RegClass::Int)
    }

    /// A new block.
    pub fn block(&mut self, cold: bool) -> BlockId {
        self.blocks.push(VBlock {
            cold,
            ..VBlock::default()
        });
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// Gives every edge from a block with several successors to one with several
    /// predecessors a block of its own, as the allocator requires.
    pub fn split_critical_edges(&mut self) {
        let mut preds = vec![0u32; self.blocks.len()];
        for block in &self.blocks {
            for edge in block.edges() {
                preds[edge.block.0 as usize] += 1;
            }
        }
        for index in 0..self.blocks.len() {
            let Some(Term::If { .. } | Term::MayGoto { .. }) = self.blocks[index].term else {
                continue;
            };
            for which in 0..2 {
                let fresh = BlockId(self.blocks.len() as u32);
                let block = &mut self.blocks[index];
                let Some(
                    Term::If { then, els, .. }
                    | Term::MayGoto {
                        exit: then,
                        next: els,
                    },
                ) = &mut block.term
                else {
                    continue;
                };
                let edge = if which == 0 { then } else { els };
                if preds[edge.block.0 as usize] < 2 {
                    continue;
                }
                let to = std::mem::replace(
                    edge,
                    Edge {
                        block: fresh,
                        args: Vec::new(),
                    },
                );
                let cold = block.cold;
                let term_span = block.term_span;
                let cold = cold || self.blocks[to.block.0 as usize].cold;
                self.blocks.push(VBlock {
                    term: Some(Term::Jump(to)),
                    term_span,
                    cold,
                    ..VBlock::default()
                });
            }
        }
    }

    /// Removes what cannot be reached, and puts cold blocks last. Block numbers change.
    pub fn order_blocks(&mut self) {
        let mut reached = vec![false; self.blocks.len()];
        let mut order = Vec::new();
        // Depth first, fall-through successors right behind their predecessors.
        let mut todo = vec![BlockId(0)];
        while let Some(id) = todo.pop() {
            if std::mem::replace(&mut reached[id.0 as usize], true) {
                continue;
            }
            order.push(id.0 as usize);
            match &self.blocks[id.0 as usize].term {
                Some(Term::Jump(to)) => todo.push(to.block),
                Some(
                    Term::If { then, els, .. }
                    | Term::MayGoto {
                        exit: then,
                        next: els,
                    },
                ) => {
                    todo.push(then.block);
                    todo.push(els.block);
                }
                Some(Term::Exit(_)) | None => {}
            }
        }
        order.sort_by_key(|&index| index != 0 && self.blocks[index].cold);
        let mut renamed = vec![BlockId(0); self.blocks.len()];
        for (new, &old) in order.iter().enumerate() {
            renamed[old] = BlockId(new as u32);
        }
        self.blocks = order
            .iter()
            .map(|&old| std::mem::take(&mut self.blocks[old]))
            .collect();
        for block in &mut self.blocks {
            match &mut block.term {
                Some(Term::Jump(to)) => to.block = renamed[to.block.0 as usize],
                Some(
                    Term::If { then, els, .. }
                    | Term::MayGoto {
                        exit: then,
                        next: els,
                    },
                ) => {
                    then.block = renamed[then.block.0 as usize];
                    els.block = renamed[els.block.0 as usize];
                }
                Some(Term::Exit(_)) | None => {}
            }
        }
    }
}

impl VBlock {
    /// The edges out of the block.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        let (a, b) = match &self.term {
            Some(Term::Jump(to)) => (Some(to), None),
            Some(
                Term::If { then, els, .. }
                | Term::MayGoto {
                    exit: then,
                    next: els,
                },
            ) => (Some(then), Some(els)),
            Some(Term::Exit(_)) | None => (None, None),
        };
        a.into_iter().chain(b)
    }
}

/// The allocator's name of a physical register.
pub fn preg(reg: Reg) -> PReg {
    PReg::new(reg.0 as usize, RegClass::Int)
}

/// r1 to r5, and r0 unless the call's result is an operand.
pub fn call_clobbers(has_result: bool) -> PRegSet {
    let mut set = PRegSet::empty();
    for reg in u8::from(has_result)..6 {
        set.add(preg(Reg(reg)));
    }
    set
}
