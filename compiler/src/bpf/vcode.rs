//! Machine code before register allocation: blocks of [`VInst`]s over virtual registers
//! in SSA form with block parameters.
//!
//! A [`VInst`] is a *template*: a few eBPF instructions whose registers are operand
//! numbers. The allocator sees it as one instruction, so nothing is ever inserted inside: a mask
//! and the addition it guards stay together, which the verifier's bounds depend on.

use regalloc2::{Operand, OperandKind, PReg, PRegSet, RegClass, VReg};
use rtap_grammar::source::Span;
use smallvec::SmallVec;

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

/// The instructions of a template: one, mostly.
pub type Insns = SmallVec<[Insn<TReg>; 1]>;
/// Its operands.
pub type Operands = SmallVec<[Operand; 4]>;

/// An instruction template with its operands.
#[derive(Clone, Debug)]
pub struct VInst {
    /// What is emitted. Jumps stay inside the template.
    pub code: Insns,
    /// What the allocator is told.
    pub operands: Operands,
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
    /// Whether all registers that live at its beginning hold numbers: nothing that a verifier knows
    /// of them is needed any more.
    pub boundary: bool,
}

/// How a loop is kept within what verifiers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// A loop of the script: any number of rounds, of any size. Each is verified by itself.
    Rounds {
        /// Most rounds.
        most: u32,
        /// Where to go after them.
        give_up: BlockId,
    },
    /// A loop inside an operation: it counts its rounds where verifiers see it.
    Whole {
        /// Most rounds.
        most: u32,
    },
    /// The loop around a long one inside an operation, which goes round by some rounds of that (`outline/chunks.rs`).
    Chunks {
        /// Most rounds.
        most: u32,
    },
    /// No loop: a part of a long program.
    Once,
}

/// A loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Where its rounds begin.
    pub head: BlockId,
    /// How it is kept in bounds.
    pub kind: LoopKind,
}

impl Loop {
    /// The block to go to after too many rounds.
    pub fn gives_up(&self) -> Option<usize> {
        match self.kind {
            LoopKind::Rounds { give_up, .. } => Some(give_up.0 as usize),
            LoopKind::Whole { .. } | LoopKind::Chunks { .. } | LoopKind::Once => None,
        }
    }
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
    /// Its loops.
    pub loops: Vec<Loop>,
    /// Functions apart from it.
    pub apart: Vec<Apart>,
    /// The program's context.
    pub ctx: Option<VReg>,
    /// The scratch frame.
    pub frame: Option<VReg>,
    /// The scratch frame's index in the map of frames.
    pub frame_index: Option<VReg>,
}

/// A function that shares nothing with a program but the scratch frame.
#[derive(Clone, Debug)]
pub struct Apart {
    /// Its code.
    pub code: VCode,
    /// Whether the kernel calls it, for each element of a map; else several places of the program do.
    pub is_callback: bool,
}

/// What [`VCode::compact`] calls registers.
#[derive(Debug, Default)]
pub struct NewNames {
    /// Number of the function, from 1.
    function: u32,
    /// For each old number the last function that had it, and the new number there.
    by_old: Vec<(u32, usize)>,
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

    /// Numbers the virtual registers anew: a function that was part of another has few of its. `names` is
    /// for all functions of a program: looking at each of its registers for each function would take long.
    pub fn compact(&mut self, names: &mut NewNames) {
        names.function += 1;
        names
            .by_old
            .resize(names.by_old.len().max(self.vregs), (0, 0));
        let mut count = 0;
        self.for_each_name(|value| {
            let name = &mut names.by_old[value.vreg()];
            if name.0 != names.function {
                *name = (names.function, count);
                count += 1;
            }
            *value = VReg::new(name.1, RegClass::Int);
        });
        self.vregs = count;
    }

    /// Numbers registers and blocks from these on, for a place behind others.
    pub fn number_from(&mut self, vregs: usize, blocks: u32) {
        self.for_each_name(|value| *value = VReg::new(vregs + value.vreg(), RegClass::Int));
        for term in self.blocks.iter_mut().flat_map(|block| &mut block.term) {
            for edge in term.edges_mut() {
                edge.block.0 += blocks;
            }
        }
    }

    /// Calls `f` wherever a register is written or read.
    fn for_each_name(&mut self, mut f: impl FnMut(&mut VReg)) {
        for block in &mut self.blocks {
            block.params.iter_mut().for_each(&mut f);
            for operand in block.insts.iter_mut().flat_map(|inst| &mut inst.operands) {
                let mut value = operand.vreg();
                f(&mut value);
                *operand = Operand::new(value, operand.constraint(), operand.kind(), operand.pos());
            }
            let read = block.term.iter_mut().flat_map(Term::values_mut);
            read.for_each(&mut f);
            for edge in block.term.iter_mut().flat_map(Term::edges_mut) {
                edge.args.iter_mut().for_each(&mut f);
            }
        }
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
            for which in 0..2 {
                let fresh = BlockId(self.blocks.len() as u32);
                let block = &mut self.blocks[index];
                let Some(Term::If { then, els, .. }) = &mut block.term else {
                    break;
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
                Some(Term::If { then, els, .. }) => {
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
        for term in self.blocks.iter_mut().flat_map(|block| &mut block.term) {
            for edge in term.edges_mut() {
                edge.block = renamed[edge.block.0 as usize];
            }
        }
    }
}

impl Term {
    /// The values that it reads itself, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut VReg> {
        let (a, b) = match self {
            Term::If { left, right, .. } => match right {
                Src::Reg(right) => (Some(left), Some(right)),
                Src::Imm(_) => (Some(left), None),
            },
            Term::Exit(value) => (Some(value), None),
            Term::Jump(_) => (None, None),
        };
        a.into_iter().chain(b)
    }

    /// The edges out of a block, to change them.
    pub fn edges_mut(&mut self) -> impl Iterator<Item = &mut Edge> {
        let (a, b) = match self {
            Term::Jump(to) => (Some(to), None),
            Term::If { then, els, .. } => (Some(then), Some(els)),
            Term::Exit(_) => (None, None),
        };
        a.into_iter().chain(b)
    }
}

impl VBlock {
    /// Calls `f` on every register that the block reads.
    pub fn for_each_use(&self, mut f: impl FnMut(VReg)) {
        let operands = self.insts.iter().flat_map(|inst| &inst.operands);
        operands
            .filter(|operand| operand.kind() == OperandKind::Use)
            .for_each(|operand| f(operand.vreg()));
        match &self.term {
            Some(Term::If { left, right, .. }) => {
                f(*left);
                if let Src::Reg(right) = right {
                    f(*right);
                }
            }
            Some(Term::Exit(value)) => f(*value),
            Some(Term::Jump(_)) | None => {}
        }
        for edge in self.edges() {
            edge.args.iter().for_each(|arg| f(*arg));
        }
    }

    /// The edges out of the block.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        let (a, b) = match &self.term {
            Some(Term::Jump(to)) => (Some(to), None),
            Some(Term::If { then, els, .. }) => (Some(then), Some(els)),
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
