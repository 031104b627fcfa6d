//! Errors in functions that recurse, where calls of the group catch them: they go down the levels of calls as returns do.

use super::build::{ERROR_ARG, Linked, RESULT, jump_to};
use crate::lir::{BinOp, Block, Inst, NestOp, NestSlot, Op, Terminator, Ty};

impl Linked {
    /// Makes every error that leaves some blocks go to one block, which hands it down; gives that block.
    pub fn catch_all(&mut self, blocks: &[Block]) -> Block {
        let raise = self.block(&[Ty::I64, Ty::I64], self.code.span);
        for &block in blocks {
            let mut block = block;
            while let Some(at) =
                (self.code.blocks[block].insts.iter()).position(|inst| inst.op.can_fail())
            {
                block = self.try_inst(block, at, raise);
            }
            if let Terminator::Raise { site, arg } = self.code.blocks[block].term {
                let args = vec![site, arg];
                self.code.blocks[block].term = Terminator::Jump(jump_to(raise, args));
            }
        }
        raise
    }

    /// Makes instruction `at` the end of its block, with its error going to `raise`; gives the block with the rest.
    fn try_inst(&mut self, block: Block, at: usize, raise: Block) -> Block {
        let (rest, Inst { op, result, .. }) = self.code.take_out(block, at);
        self.code.blocks[block].term = Terminator::Try {
            op,
            result: result.map(|value| self.code.ty(value)),
            ok: jump_to(rest, Vec::new()),
            catch: jump_to(raise, Vec::new()),
        };
        rest
    }

    /// Ends the block that takes errors: stores one where the caller finds it, and goes to the state that
    /// waits for the innermost call, whose number is in slot `back`, negated.
    pub fn hand_down(&mut self, raise: Block, back: u32, leave: &[NestOp]) {
        let state = self.get(raise, NestSlot::Own(back), Ty::I64);
        let zero = self.value(raise, Op::Const(0), Ty::I64);
        let state = self.value(raise, Op::Bin(BinOp::Sub, zero, state), Ty::I64);
        if let [site, arg] = self.code.blocks[raise].params[..] {
            self.set(raise, NestSlot::Own(RESULT), site);
            self.set(raise, NestSlot::Own(ERROR_ARG), arg);
        }
        for op in leave {
            self.effect(raise, Op::Nest(self.nest, *op));
        }
        self.go(raise, state);
    }
}
