//! Control flow: edges with their arguments, branches, switches, errors, loops.

use regalloc2::VReg;

use super::text::Text;
use super::{Cx, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::vcode::{BlockId, Edge, Loop, LoopKind, Term};
use crate::lir::{Block, BlockCall, Op, SiteId, Ty, Value};

/// Up to so many cases are tried one after another.
const LINEAR_CASES: usize = 3;

impl Cx<'_> {
    /// Ends the current block by going to `to`; `supplied` are the values of the target's first
    /// parameters.
    pub(super) fn edge(&mut self, to: &BlockCall, supplied: &[Val]) -> Lowered<()> {
        let target = self.lir_block(to.block);
        let func = self.func;
        let params = &func.blocks[to.block].params;
        let mut args: Vec<Val> = supplied.to_vec();
        for value in &to.args {
            args.push(match func.ty(*value) {
                Ty::I64 => self.int(*value),
                Ty::Str { .. } => Val::Text(self.text(*value)),
            });
        }
        if args.len() != params.len() {
            return Err(self.internal("jump with the wrong number of arguments"));
        }
        if self.preds[to.block] == 1 {
            for (param, arg) in params.iter().zip(args) {
                self.vals[*param] = Some(arg);
            }
            self.jump(target, Vec::new());
            return Ok(());
        }
        self.copy_texts(to.block, &mut args);
        let mut regs = Vec::new();
        for (param, arg) in params.iter().zip(args) {
            if func.ty(*param) == Ty::I64 {
                regs.push(self.val_reg(arg));
            }
        }
        self.jump(target, regs);
        Ok(())
    }

    /// Copies string arguments to the buffers of the target's parameters, all at once: one
    /// that reads another parameter of the same block is saved first.
    fn copy_texts(&mut self, block: Block, args: &mut [Val]) {
        let func = self.func;
        let params = &func.blocks[block].params;
        let buffers: Vec<Option<Mem>> = params
            .iter()
            .map(|param| match self.vals[*param] {
                Some(Val::Text(Text::Mem(text))) => Some(text.mem),
                _ => None,
            })
            .collect();
        for (n, arg) in args.iter_mut().enumerate() {
            if let Val::Text(Text::Mem(text)) = arg {
                let clash = buffers
                    .iter()
                    .enumerate()
                    .any(|(m, buffer)| m < n && *buffer == Some(text.mem));
                if clash {
                    let saved = self.temp(text.width());
                    self.copy_text(Text::Mem(*text), saved, text.width(), text.padded);
                    text.mem = saved;
                }
            }
        }
        for (n, arg) in args.iter().enumerate() {
            let (Val::Text(text), Some(Val::Text(Text::Mem(param)))) = (*arg, self.vals[params[n]])
            else {
                continue;
            };
            if matches!(text, Text::Mem(from) if from.mem == param.mem) {
                continue;
            }
            self.copy_text(text, param.mem, param.width(), param.padded);
        }
    }

    /// A block that leads to `to`: the target itself where nothing has to be passed.
    fn edge_block(&mut self, to: &BlockCall) -> Lowered<BlockId> {
        if self.func.blocks[to.block].params.is_empty() {
            return Ok(self.lir_block(to.block));
        }
        let block = self.code.block(self.is_cold());
        self.in_block(block, |cx| cx.edge(to, &[]))?;
        Ok(block)
    }

    pub(super) fn branch(&mut self, cond: Value, yes: &BlockCall, no: &BlockCall) -> Lowered<()> {
        let (cond, left, right) = match self.int(cond) {
            Val::Const(value) => {
                return self.edge(if value == 0 { no } else { yes }, &[]);
            }
            Val::Flag(cond, left, right) => (cond, left, right),
            val => (Cond::Ne, self.val_reg(val), Src::Imm(0)),
        };
        let yes = self.edge_block(yes)?;
        let no = self.edge_block(no)?;
        self.finish_if(cond, left, right, yes, no);
        Ok(())
    }

    fn finish_if(
        &mut self,
        cond: Cond,
        left: regalloc2::VReg,
        right: Src<regalloc2::VReg>,
        then: BlockId,
        els: BlockId,
    ) {
        let edge = |block| Edge {
            block,
            args: Vec::new(),
        };
        self.finish_block(Term::If {
            cond,
            wide: true,
            left,
            right,
            then: edge(then),
            els: edge(els),
        });
    }

    pub(super) fn switch(
        &mut self,
        value: Value,
        cases: &[(i64, BlockCall)],
        default: &BlockCall,
    ) -> Lowered<()> {
        let val = self.int(value);
        if let Val::Const(value) = val {
            let to = cases
                .iter()
                .find(|(case, _)| *case == value)
                .map_or(default, |(_, to)| to);
            return self.edge(to, &[]);
        }
        let value = self.val_reg(val);
        let mut targets = Vec::with_capacity(cases.len());
        for (case, to) in cases {
            targets.push((*case, self.edge_block(to)?));
        }
        targets.sort_unstable_by_key(|(case, _)| *case);
        let default = self.edge_block(default)?;
        self.search(value, &targets, default);
        Ok(())
    }

    /// Binary search among sorted cases.
    pub(super) fn search(
        &mut self,
        value: regalloc2::VReg,
        cases: &[(i64, BlockId)],
        default: BlockId,
    ) {
        if cases.len() <= LINEAR_CASES {
            for (case, to) in cases {
                let case = self.val_src(Val::Const(*case));
                self.jump_if(Cond::Eq, value, case, *to);
            }
            self.jump(default, Vec::new());
            return;
        }
        let (low, high) = cases.split_at(cases.len() / 2);
        let pivot = self.val_src(Val::Const(high[0].0));
        let below = self.code.block(self.is_cold());
        self.code.blocks[below.0 as usize].boundary = true;
        self.jump_if(Cond::Slt, value, pivot, below);
        let above = self.cur.0 as usize;
        self.code.blocks[above].boundary = true;
        self.search(value, high, default);
        self.in_block(below, |cx| cx.search(value, low, default));
    }

    /// Leaves the handler.
    pub(super) fn ret(&mut self, value: Option<Value>) -> Lowered<()> {
        if value.is_some() {
            return Err(self.internal("handler with a result"));
        }
        let exit = self.exit_block();
        self.jump(exit, Vec::new());
        Ok(())
    }

    pub(super) fn raise(&mut self, site: Value, arg: Value) -> Lowered<()> {
        let (site, arg) = (self.int(site), self.int(arg));
        self.raise_to(site, arg)
    }

    fn raise_to(&mut self, site: Val, arg: Val) -> Lowered<()> {
        if let Some(catch) = self.catch.clone() {
            return self.edge(&catch, &[site, arg]);
        }
        let exit = if let Some(exit) = self.error_exit {
            exit
        } else {
            let exit = self.code.block(true);
            self.error_exit = Some(exit);
            exit
        };
        let record = self.error_record();
        self.store_val(record.at(8), site);
        self.store_val(record.at(16), arg);
        self.jump(exit, Vec::new());
        Ok(())
    }

    /// A block that raises an error, to jump to.
    pub(super) fn fail(&mut self, site: SiteId, arg: Val) -> BlockId {
        self.cold(|cx| {
            // A refusal is recorded; there is nothing more to do here.
            let _ = cx.raise_to(Cx::site(site), arg);
        })
    }

    pub(super) fn try_op(
        &mut self,
        op: &Op,
        result: Option<Ty>,
        ok: &BlockCall,
        catch: &BlockCall,
    ) -> Lowered<()> {
        let param = self.func.blocks[ok.block].params.first().copied();
        let dest = self.dest(result.and(param), result);
        let outer = self.catch.replace(catch.clone());
        let val = self.op(op, dest);
        self.catch = outer;
        let supplied: Vec<Val> = val?.into_iter().collect();
        self.edge(ok, &supplied)
    }

    /// At the head of a loop: counts this round, and raises when there were too many in all
    /// loops of the run together.
    pub(super) fn count_round(&mut self, site: SiteId) {
        let slot = self.rounds_slot();
        // MAXACTION's error leaves the function, even inside a `try`.
        let catch = self.catch.take();
        let fail = self.fail(site, Val::Const(0));
        self.catch = catch;
        let most = self.module.limits.max_action.min(i32::MAX as u32 - 1);
        self.code.loops.push(Loop {
            head: self.cur,
            kind: LoopKind::Rounds {
                most: most + 1,
                give_up: fail,
            },
        });
        let old = self.load(Size::D, slot);
        let new = self.alu(AluOp::Add, old, Src::Imm(1));
        self.store(Size::D, slot, Src::Reg(new));
        self.jump_if(Cond::Gt, new, Src::Imm(most as i32), fail);
    }

    /// The head of a loop inside an operation, which goes round at most so many times; and the
    /// register that counts them.
    pub(super) fn counted_loop(&mut self, most: u32) -> (BlockId, VReg) {
        let (head, round) = self.join();
        self.code.loops.push(Loop {
            head,
            kind: LoopKind::Whole { most },
        });
        (head, round)
    }

    /// Begins a loop that counts from 0 and goes to `out` instead of round number `most`; what follows is its body. Gives
    /// its head, and the register that counts.
    pub(super) fn count_up(&mut self, most: u32, out: BlockId) -> (BlockId, VReg) {
        let zero = self.imm(0);
        let (head, index) = self.counted_loop(most);
        self.jump(head, vec![zero]);
        self.enter(head);
        self.jump_if(Cond::Ge, index, Src::Imm(most as i32), out);
        (head, index)
    }

    /// The same for a loop with too much in it to be verified for each round; afterwards
    /// it goes on with `done`.
    pub(super) fn long_loop(&mut self, most: u32, done: BlockId) -> (BlockId, VReg) {
        let (head, round) = self.join();
        self.code.loops.push(Loop {
            head,
            kind: LoopKind::Rounds {
                most,
                give_up: done,
            },
        });
        (head, round)
    }

    /// Where rounds are counted.
    fn rounds_slot(&mut self) -> Mem {
        match self.rounds {
            Some(slot) => slot,
            None => Mem::Stack(-8),
        }
    }

    /// Makes the count of rounds, if the function has loops.
    pub(super) fn declare_rounds(&mut self) {
        if self
            .func
            .blocks
            .values()
            .any(|block| block.loop_head.is_some())
        {
            let slot = self.buffers.alloc(8, Access::Fixed, (0, u32::MAX));
            self.store_imm(slot, 0);
            self.rounds = Some(slot);
        }
    }
}
