//! Register allocation by regalloc2, and what follows from it: finished instructions in
//! their final order.
//!
//! r0-r5 are preferred (calls clobber them), r6-r9 survive calls, r10 is the frame pointer.
//! Values that do not fit are spilled to the stack below the buffers.

use regalloc2::{
    Allocation, Block, Ctx, Edit, Function, Inst, InstOrEdit, InstRange, MachineEnv, Operand,
    PRegSet, RegAllocError, RegClass, RegallocOptions, VReg,
};
use rtap_grammar::source::Span;

use super::insn::{AluOp, Cond, Insn, Reg, Size, Src};
use super::vcode::{NewNames, TReg, Term, VCode, preg};
use crate::lir::CoreId;

/// A finished function.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// Its instructions.
    pub insns: Vec<Insn<Reg>>,
    /// From which instruction on (index) which script text is executed.
    pub lines: Vec<(usize, Span)>,
    /// Instructions with kernel facts that the loader relocates.
    pub cores: Vec<(usize, CoreId)>,
    /// Bytes of stack that it uses.
    pub stack_bytes: u32,
}

/// The allocator, with memory that it uses again for each function.
#[derive(Default)]
pub struct Allocator {
    cx: Ctx,
    names: NewNames,
}

impl Allocator {
    /// Allocates registers and emits. Critical edges must be split and blocks ordered; registers get new
    /// numbers.
    pub fn finish(&mut self, code: &mut VCode) -> Result<Finished, RegAllocError> {
        code.compact(&mut self.names);
        let input = Input::new(code);
        let options = RegallocOptions {
            validate_ssa: cfg!(debug_assertions),
            ..RegallocOptions::default()
        };
        let output = regalloc2::run_with_ctx(&input, &machine(), &options, &mut self.cx)?;
        Ok(emit(code, &input, output))
    }
}

fn machine() -> MachineEnv {
    let set = |regs: std::ops::Range<u8>| {
        let mut set = PRegSet::empty();
        for reg in regs {
            set.add(preg(Reg(reg)));
        }
        set
    };
    MachineEnv {
        preferred_regs_by_class: [set(0..6), PRegSet::empty(), PRegSet::empty()],
        non_preferred_regs_by_class: [set(6..10), PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

/// What regalloc2 asks about a function.
struct Input<'a> {
    code: &'a VCode,
    /// First instruction number of each block; instructions are numbered through, the
    /// terminator last.
    starts: Vec<usize>,
    succs: Lists<Block>,
    preds: Lists<Block>,
    operands: Lists<Operand>,
    clobbers: Vec<PRegSet>,
    /// For terminators: leaves the function.
    ends: Vec<Option<bool>>,
}

/// Lists, one behind the other in one piece of memory.
struct Lists<T> {
    all: Vec<T>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl<T: Copy> Lists<T> {
    /// For so many lists, of two mostly.
    fn with_capacity(lists: usize) -> Self {
        Lists {
            all: Vec::with_capacity(2 * lists),
            ends: Vec::with_capacity(lists),
        }
    }

    /// Adds a list.
    fn push(&mut self, list: &[T]) {
        self.all.extend_from_slice(list);
        self.ends.push(self.all.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, number: usize) -> &[T] {
        let begin = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[begin..self.ends[number]]
    }
}

/// For each block those that lead to it.
fn predecessors(succs: &Lists<Block>) -> Lists<Block> {
    let mut ends = vec![0; succs.len()];
    for to in &succs.all {
        ends[to.index()] += 1;
    }
    let mut end = 0;
    for count in &mut ends {
        end += *count;
        *count = end;
    }
    // Filled from behind: what is left of each count is where its list begins.
    let mut next = ends.clone();
    let mut all = vec![Block::new(0); end];
    for from in (0..succs.len()).rev() {
        for to in succs.get(from).iter().rev() {
            let at = &mut next[to.index()];
            *at -= 1;
            all[*at] = Block::new(from);
        }
    }
    Lists { all, ends }
}

impl<'a> Input<'a> {
    fn new(code: &'a VCode) -> Self {
        let count = code.blocks.len();
        let insts = code.blocks.iter().map(|block| block.insts.len() + 1).sum();
        let mut input = Input {
            code,
            starts: Vec::with_capacity(count + 1),
            succs: Lists::with_capacity(count),
            preds: Lists::with_capacity(0),
            operands: Lists::with_capacity(insts),
            clobbers: Vec::with_capacity(insts),
            ends: Vec::with_capacity(insts),
        };
        for block in &code.blocks {
            input.starts.push(input.operands.len());
            for inst in &block.insts {
                input.operands.push(&inst.operands);
                input.clobbers.push(inst.clobbers);
                input.ends.push(None);
            }
            let mut operands = [None; 2];
            let mut ret = false;
            match &block.term {
                Some(Term::If { left, right, .. }) => {
                    operands[0] = Some(Operand::reg_use(*left));
                    if let Src::Reg(right) = right {
                        operands[1] = Some(Operand::reg_use(*right));
                    }
                }
                Some(Term::Exit(value)) => {
                    operands[0] = Some(Operand::reg_fixed_use(*value, preg(Reg::R0)));
                    ret = true;
                }
                Some(Term::Jump(_)) => {}
                None => ret = true,
            }
            input.operands.all.extend(operands.into_iter().flatten());
            input.operands.push(&[]);
            input.clobbers.push(PRegSet::empty());
            input.ends.push(Some(ret));
            let targets = block.edges().map(|edge| Block::new(edge.block.0 as usize));
            input.succs.all.extend(targets);
            input.succs.push(&[]);
        }
        input.preds = predecessors(&input.succs);
        input.starts.push(input.operands.len());
        input
    }
}

impl Function for Input<'_> {
    fn num_insts(&self) -> usize {
        self.operands.len()
    }

    fn num_blocks(&self) -> usize {
        self.succs.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        InstRange::new(
            Inst::new(self.starts[block.index()]),
            Inst::new(self.starts[block.index() + 1]),
        )
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        self.succs.get(block.index())
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        self.preds.get(block.index())
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.code.blocks[block.index()].params
    }

    fn is_ret(&self, insn: Inst) -> bool {
        self.ends[insn.index()] == Some(true)
    }

    fn is_branch(&self, insn: Inst) -> bool {
        self.ends[insn.index()] == Some(false)
    }

    fn branch_blockparams(&self, block: Block, _insn: Inst, succ: usize) -> &[VReg] {
        self.code.blocks[block.index()]
            .edges()
            .nth(succ)
            .map_or(&[], |edge| &edge.args)
    }

    fn inst_operands(&self, insn: Inst) -> &[Operand] {
        self.operands.get(insn.index())
    }

    fn inst_clobbers(&self, insn: Inst) -> PRegSet {
        self.clobbers[insn.index()]
    }

    fn num_vregs(&self) -> usize {
        self.code.vregs
    }

    fn spillslot_size(&self, _class: RegClass) -> usize {
        1
    }
}

/// A jump whose distance is not known yet.
struct Fixup {
    insn: usize,
    block: usize,
}

fn emit(code: &VCode, input: &Input<'_>, output: &regalloc2::Output) -> Finished {
    let slot_offset =
        |slot: usize| -> i16 { -((code.stack_bytes as usize + 8 * (slot + 1)) as i16) };
    let redirect = thread_jumps(code, input, output);
    let mut finished = Finished {
        insns: Vec::with_capacity(input.num_insts() * 3 / 2),
        stack_bytes: code.stack_bytes + 8 * output.num_spillslots as u32,
        ..Finished::default()
    };
    // For each block the first behind it that is emitted.
    let mut following = vec![None; code.blocks.len()];
    for index in (1..code.blocks.len()).rev() {
        following[index - 1] = if redirect[index] == index {
            Some(index)
        } else {
            following[index]
        };
    }
    let mut fixups = Vec::new();
    let mut at = vec![0; code.blocks.len()];
    let mut last_span = None;
    for (index, block) in code.blocks.iter().enumerate() {
        at[index] = finished.insns.len();
        // A block that only jumps on is reached by nobody any more, save by falling
        // into the entry.
        if redirect[index] != index && index != 0 {
            continue;
        }
        let first = input.starts[index];
        for item in output.block_insts_and_edits(input, Block::new(index)) {
            match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => {
                    if let Some(insn) = move_insn(*from, *to, &slot_offset) {
                        finished.insns.push(insn);
                    }
                }
                InstOrEdit::Inst(inst) => {
                    let allocs = output.inst_allocs(inst);
                    let reg = |operand: usize| Reg(alloc_reg(allocs[operand]));
                    let number = inst.index() - first;
                    let span = block
                        .insts
                        .get(number)
                        .map_or(block.term_span, |inst| inst.span);
                    if span.is_some() && span != last_span {
                        last_span = span;
                        if let Some(span) = span {
                            finished.lines.push((finished.insns.len(), span));
                        }
                    }
                    if let Some(inst) = block.insts.get(number) {
                        if let Some((at, core)) = inst.core {
                            finished.cores.push((finished.insns.len() + at, core));
                        }
                        for insn in &inst.code {
                            finished.insns.push(insn.map(|reg_| match reg_ {
                                TReg::Op(operand) => reg(operand as usize),
                                TReg::Phys(phys) => phys,
                            }));
                        }
                    } else {
                        emit_term(
                            block.term.as_ref(),
                            &reg,
                            |to| redirect[to],
                            following[index],
                            &mut finished.insns,
                            &mut fixups,
                        );
                    }
                }
            }
        }
    }
    for Fixup { insn, block } in fixups {
        debug_assert!(code.blocks[block].term.is_some(), "a jump to nowhere");
        let distance = at[block] as i32 - insn as i32 - 1;
        match &mut finished.insns[insn] {
            Insn::Jump { target } | Insn::JumpIf { target, .. } => {
                *target = distance;
            }
            _ => {}
        }
    }
    finished
}

fn emit_term(
    term: Option<&Term>,
    reg: &dyn Fn(usize) -> Reg,
    redirect: impl Fn(usize) -> usize,
    next: Option<usize>,
    insns: &mut Vec<Insn<Reg>>,
    fixups: &mut Vec<Fixup>,
) {
    let mut jump = |insns: &mut Vec<Insn<Reg>>, insn: Insn<Reg>, block: usize| {
        fixups.push(Fixup {
            insn: insns.len(),
            block,
        });
        insns.push(insn);
    };
    match term {
        Some(Term::Jump(to)) => {
            let to = redirect(to.block.0 as usize);
            if next != Some(to) {
                jump(insns, Insn::Jump { target: 0 }, to);
            }
        }
        Some(Term::If {
            cond,
            wide,
            right,
            then,
            els,
            ..
        }) => {
            let right = match right {
                Src::Imm(imm) => Src::Imm(*imm),
                Src::Reg(_) => Src::Reg(reg(1)),
            };
            let then = redirect(then.block.0 as usize);
            let els = redirect(els.block.0 as usize);
            let branch = |cond: Cond| Insn::JumpIf {
                cond,
                wide: *wide,
                left: reg(0),
                right,
                target: 0,
            };
            if then == els {
                if next != Some(then) {
                    jump(insns, Insn::Jump { target: 0 }, then);
                }
            } else if next == Some(then) && cond.inverse().is_some() {
                let inverse = cond.inverse().unwrap_or(*cond);
                jump(insns, branch(inverse), els);
            } else {
                jump(insns, branch(*cond), then);
                if next != Some(els) {
                    jump(insns, Insn::Jump { target: 0 }, els);
                }
            }
        }
        Some(Term::Exit(_)) | None => insns.push(Insn::Exit),
    }
}

/// For each block, where a jump to it really ends up: blocks of nothing but a jump are
/// skipped.
fn thread_jumps(code: &VCode, input: &Input<'_>, output: &regalloc2::Output) -> Vec<usize> {
    let mut to: Vec<usize> = (0..code.blocks.len()).collect();
    for (index, block) in code.blocks.iter().enumerate() {
        let Some(Term::Jump(edge)) = &block.term else {
            continue;
        };
        let moves = output
            .block_insts_and_edits(input, Block::new(index))
            .any(|item| match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => from != to,
                InstOrEdit::Inst(_) => false,
            });
        if block.insts.is_empty() && !moves {
            to[index] = edge.block.0 as usize;
        }
    }
    (0..to.len())
        .map(|start| {
            let mut block = start;
            // A cycle of empty blocks is an endless loop: stop after as many steps as
            // there are blocks.
            for _ in 0..to.len() {
                if to[block] == block {
                    break;
                }
                block = to[block];
            }
            block
        })
        .collect()
}

fn alloc_reg(alloc: Allocation) -> u8 {
    alloc.as_reg().map_or(0, |reg| reg.hw_enc() as u8)
}

fn move_insn(
    from: Allocation,
    to: Allocation,
    slot_offset: &dyn Fn(usize) -> i16,
) -> Option<Insn<Reg>> {
    match (from.as_stack(), to.as_stack()) {
        (None, None) => (from != to).then(|| Insn::Alu {
            op: AluOp::Mov,
            wide: true,
            dst: Reg(alloc_reg(to)),
            src: Src::Reg(Reg(alloc_reg(from))),
        }),
        (Some(slot), _) => Some(Insn::Load {
            size: Size::D,
            signed: false,
            dst: Reg(alloc_reg(to)),
            base: Reg::FP,
            off: slot_offset(slot.index()),
        }),
        (None, Some(slot)) => Some(Insn::Store {
            size: Size::D,
            base: Reg::FP,
            off: slot_offset(slot.index()),
            src: Src::Reg(Reg(alloc_reg(from))),
        }),
    }
}
