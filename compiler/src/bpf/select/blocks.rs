//! The blocks of a LIR function, one after another.

use super::text::Text;
use super::{Cx, Lowered, Val};
use crate::bpf::analysis::Positions;
use crate::bpf::vcode::{BlockId, Term};
use crate::lir::{Block, Inst, Op, Terminator, Ty};

impl Cx<'_> {
    /// Makes the machine blocks. A block with one predecessor takes its parameters'
    /// values over as they are; the others get registers and buffers for theirs.
    pub(super) fn declare_blocks(&mut self, order: &[Block]) {
        for &block in order {
            let id = self.code.block(false);
            self.code.blocks[id.0 as usize].boundary = true;
            self.blocks[block] = Some(id);
            if self.preds[block] == 1 {
                continue;
            }
            for &param in &self.func.blocks[block].params {
                let val = match self.func.ty(param) {
                    Ty::I64 => {
                        let reg = self.code.vreg();
                        self.code.blocks[id.0 as usize].params.push(reg);
                        Val::Reg(reg)
                    }
                    ty @ Ty::Str { .. } => Val::Text(self.param_text(param, ty)),
                };
                self.vals[param] = Some(val);
            }
        }
    }

    pub(super) fn lir_block(&self, block: Block) -> BlockId {
        self.blocks[block].unwrap_or(BlockId(0))
    }

    pub(super) fn block(&mut self, block: Block, positions: &Positions) {
        let data = &self.func.blocks[block];
        self.cur = self.lir_block(block);
        // Nothing comes between the prologue and the entry block if nobody jumps back to it and no
        // function begins there.
        if block != self.func.entry() || self.preds[block] != 1 || self.divided {
            self.globals = None;
        }
        if let Some(site) = data.loop_head {
            self.pos = positions.start[block];
            self.span = Some(data.insts.first().map_or(data.term_span, |inst| inst.span));
            self.count_round(site);
        }
        for (index, inst) in data.insts.iter().enumerate() {
            self.pos = positions.start[block] + 1 + index as u32;
            self.inst(inst);
        }
        self.pos = positions.end[block];
        self.span = Some(data.term_span);
        if self.terminator(&data.term).is_err() && self.unterminated() {
            // The program is not used; only its shape must be complete.
            let zero = self.imm(0);
            self.finish_block(Term::Exit(zero));
        }
    }

    fn inst(&mut self, inst: &Inst) {
        self.span = Some(inst.span);
        let ty = inst.result.map(|value| self.func.ty(value));
        // What nobody reads is not computed; `Flag` values are computed by their branches.
        if let Some(result) = inst.result
            && self.uses.count[result] == 0
            && inst.op.is_removable()
        {
            return;
        }
        if inst
            .result
            .is_some_and(|value| self.saved_regs[value].is_some())
        {
            return;
        }
        let dest = self.dest(inst.result, ty);
        let flag = inst
            .result
            .is_some_and(|value| self.uses.count[value] == self.uses.branch[value]);
        let val = match (&inst.op, flag) {
            (Op::Cmp(op, a, b), true) => Ok(Some(self.compare_flag(*op, *a, *b))),
            (op, _) => self.op(op, dest),
        };
        if let (Ok(Some(val)), Some(result)) = (&val, inst.result) {
            self.vals[result] = Some(*val);
        } else if let Some(result) = inst.result {
            self.vals[result] = Some(match self.func.ty(result) {
                Ty::I64 => Val::Const(0),
                Ty::Str { .. } => Val::Text(Text::EMPTY),
            });
        }
    }

    fn terminator(&mut self, term: &Terminator) -> Lowered<()> {
        match term {
            Terminator::Jump(to) => {
                self.edge(to, &[])?;
            }
            Terminator::Branch(cond, yes, no) => self.branch(*cond, yes, no)?,
            Terminator::Switch {
                value,
                cases,
                default,
            } => self.switch(*value, cases, default)?,
            Terminator::Return(value) => self.ret(*value)?,
            Terminator::Raise { site, arg } => self.raise(*site, *arg)?,
            Terminator::Try {
                op,
                result,
                ok,
                catch,
            } => self.try_op(op, *result, ok, catch)?,
            Terminator::IterNext {
                iter,
                body,
                with_value,
                done,
            } => self.iter_next(*iter, body, *with_value, done)?,
            Terminator::Unreachable => {
                let zero = self.imm(0);
                self.finish_block(Term::Exit(zero));
            }
        }
        Ok(())
    }
}
