//! Blocks of machine code, and the ways between them.

use regalloc2::VReg;

use super::Cx;
use crate::bpf::insn::{Cond, Src};
use crate::bpf::vcode::{BlockId, Edge, Term};

impl Cx<'_> {
    /// Ends the current block.
    pub(super) fn finish_block(&mut self, term: Term) {
        let block = &mut self.code.blocks[self.cur.0 as usize];
        block.term = Some(term);
        block.term_span = self.span;
    }

    /// Whether the current block has no end yet.
    pub(super) fn unterminated(&self) -> bool {
        self.code.blocks[self.cur.0 as usize].term.is_none()
    }

    /// Ends the current block with a jump.
    pub(super) fn jump(&mut self, block: BlockId, args: Vec<VReg>) {
        self.finish_block(Term::Jump(Edge { block, args }));
    }

    /// Leaves for `to` if the condition holds; goes on otherwise.
    pub(super) fn jump_if(&mut self, cond: Cond, left: VReg, right: Src<VReg>, to: BlockId) {
        self.jump_if_sized(cond, true, left, right, to);
    }

    /// The same of a helper's result that is an `int`: until 6.4 the upper half of the register is not of it.
    pub(super) fn jump_if_int(&mut self, cond: Cond, left: VReg, right: i32, to: BlockId) {
        self.jump_if_sized(cond, false, left, Src::Imm(right), to);
    }

    fn jump_if_sized(&mut self, cond: Cond, wide: bool, left: VReg, right: Src<VReg>, to: BlockId) {
        let next = self.code.block(self.is_cold());
        self.finish_block(Term::If {
            cond,
            wide,
            left,
            right,
            then: Edge {
                block: to,
                args: Vec::new(),
            },
            els: Edge {
                block: next,
                args: Vec::new(),
            },
        });
        self.cur = next;
    }

    /// Whether the current block is off the usual path.
    pub(super) fn is_cold(&self) -> bool {
        self.code.blocks[self.cur.0 as usize].cold
    }

    /// Adds instructions to another block, then comes back.
    pub(super) fn in_block<T>(&mut self, block: BlockId, f: impl FnOnce(&mut Self) -> T) -> T {
        let cur = std::mem::replace(&mut self.cur, block);
        let globals = self.globals.take();
        let result = f(self);
        self.cur = cur;
        self.globals = globals;
        result
    }

    /// A block off the usual path with these contents.
    pub(super) fn cold(&mut self, f: impl FnOnce(&mut Self)) -> BlockId {
        let block = self.code.block(true);
        self.in_block(block, f);
        block
    }

    /// A new block that takes one value, and the register that it is in there.
    pub(super) fn join(&mut self) -> (BlockId, VReg) {
        let block = self.code.block(self.is_cold());
        let reg = self.code.vreg();
        self.code.blocks[block.0 as usize].params.push(reg);
        (block, reg)
    }

    /// Goes on in `block`.
    pub(super) fn enter(&mut self, block: BlockId) {
        self.cur = block;
        self.globals = None;
    }
}
