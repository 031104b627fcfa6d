//! Loops, and parts of long programs, as functions of their own.
//!
//! A verifier that follows a loop follows each round, with all that it knows there; most of
//! what handlers do in loops (strings above all) is too much for that. A *global* function,
//! on the other hand, is verified once, by itself and with nothing known of its arguments, on
//! every kernel since 5.6. So a loop's body becomes such a function: it runs one round and says
//! whether to go round again (0) or by which way the loop was left. What lives across
//! its border goes through slots in the scratch frame, whose contents no verifier follows;
//! the function finds the frame by its index. Around the call a small loop is left, which every
//! verifier takes. Loops nest as calls do.
//!
//! Loops inside operations on strings count their rounds in registers, and verifiers take them as they are. When a
//! program has many of these, they move to functions as well, each with all its rounds: then only
//! one at a time counts against the verifier's limits.
//!
//! A program too long for one function is divided (`parts`); a part is called once, where it stood.

use std::collections::{BTreeMap, BTreeSet};

use regalloc2::{Operand, OperandKind, VReg};

use super::Part;
use super::helpers::Helper;
use super::insn::{AluOp, Cond, Insn, Reg, Size, Src, Wide};
use super::parts;
use super::plan::Plan;
use super::region::{Flow, Region};
use super::vcode::{
    BlockId, Edge, Loop, LoopKind, TReg, Term, VBlock, VCode, VInst, call_clobbers, preg,
};

/// The stack slot of a function that was a loop in which it keeps the frame's index.
const KEY_OFFSET: i16 = -8;
/// Calls around which the verifier goes in all loops of a program together: some instructions each, of the
/// million that it examines. With a MAXACTION beyond that, loops end with its error before.
const MAX_ROUNDS: u32 = 100_000;
/// Rounds that each loop can make in any case.
const LEAST_ROUNDS: u32 = 1024;
/// What the body of a loop returns to go round again.
const AGAIN: i64 = 0;

/// How much of the verifier's patience the loops inside operations may take before they move
/// to functions: rounds times conditional jumps. It gives up at 8192.
const PATIENCE: usize = 2500;

/// What a program became.
pub struct Outlined {
    /// Its functions, its own first.
    pub parts: Vec<Part>,
    /// End of the slots in the scratch frame.
    pub frame_bytes: u32,
}

/// Whether the program is too long for one function, or has loops that must become functions.
pub fn is_needed(code: &VCode) -> bool {
    code.loops
        .iter()
        .any(|info| matches!(info.kind, LoopKind::Rounds { .. }))
        || is_impatient(code)
        || parts::is_long(code)
}

/// Whether the loops inside operations are too much for one function.
fn is_impatient(code: &VCode) -> bool {
    let flow = Flow::new(code);
    let mut sum = 0;
    for info in &code.loops {
        if let LoopKind::Whole { most } = info.kind
            && let Some(region) = flow.region(code, info)
        {
            let jumps = region
                .blocks
                .iter()
                .map(|block| jumps(&code.blocks[*block]));
            sum += jumps.sum::<usize>() * most as usize;
        }
    }
    sum > PATIENCE
}

/// The conditional jumps of a block.
fn jumps(block: &VBlock) -> usize {
    let inside = block.insts.iter().flat_map(|inst| &inst.code);
    let inside = inside.filter(|insn| matches!(insn, Insn::JumpIf { .. }));
    inside.count() + usize::from(matches!(block.term, Some(Term::If { .. })))
}

/// Makes functions of a program's loops.
pub fn outline(mut code: VCode, slots: u32) -> Result<Outlined, String> {
    if !is_impatient(&code) {
        code.loops
            .retain(|info| matches!(info.kind, LoopKind::Rounds { .. }));
    }
    bound_rounds(&mut code.loops);
    let mut all = Outlined {
        parts: vec![Part::new(code, None)],
        frame_bytes: slots,
    };
    let mut bases = vec![slots];
    let mut next = 0;
    while next < all.parts.len() {
        // Parts first: a loop that is in one is called from it, and its slots come after the part's.
        for (info, region) in parts::choose(&all.parts[next].code) {
            all.cut(next, &mut bases, info, &region)?;
        }
        while let Some((info, region)) = outermost(&mut all.parts[next].code) {
            all.cut(next, &mut bases, info, &region)?;
        }
        next += 1;
    }
    Ok(all)
}

/// Divides the rounds that verifiers can follow among the loops.
fn bound_rounds(loops: &mut [Loop]) {
    let each = (MAX_ROUNDS / loops.len().max(1) as u32).max(LEAST_ROUNDS);
    for info in loops {
        if let LoopKind::Rounds { most, .. } = &mut info.kind {
            *most = each.min(*most);
        }
    }
}

impl Outlined {
    /// Makes a function of a region of the function `from`.
    fn cut(
        &mut self,
        from: usize,
        bases: &mut Vec<u32>,
        info: Loop,
        region: &Region,
    ) -> Result<(), String> {
        let mut cutter = Cutter {
            slots: BTreeMap::new(),
            base: bases[from],
            info,
            function: self.parts.len() as u32,
        };
        let code = cutter.cut(&mut self.parts[from].code, region)?;
        bases.push(cutter.end());
        self.frame_bytes = self.frame_bytes.max(cutter.end());
        self.parts.push(Part::new(code, Some(from)));
        Ok(())
    }
}

/// Takes the next loop that is in no other out of the list.
fn outermost(code: &mut VCode) -> Option<(Loop, Region)> {
    if code.loops.is_empty() {
        return None;
    }
    let flow = Flow::new(code);
    let mut regions: Vec<Option<Region>> = code
        .loops
        .iter()
        .map(|info| flow.region(code, info))
        .collect();
    let is_inner = |at: usize| {
        let head = code.loops[at].head.0 as usize;
        let others = regions.iter().enumerate().filter(|(other, _)| *other != at);
        others
            .filter_map(|(_, region)| region.as_ref())
            .any(|region| region.blocks.contains(&head))
    };
    let chosen = (0..regions.len()).find(|at| regions[*at].is_some() && !is_inner(*at));
    let Some(chosen) = chosen else {
        // What is left goes round at most once.
        code.loops.clear();
        return None;
    };
    let region = regions[chosen].take()?;
    Some((code.loops.remove(chosen), region))
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// A value that lives across the border.
    Value(usize),
    /// Argument number `.1` of the way out to block `.0`.
    Leaving(u32, usize),
}

/// Moves one loop.
struct Cutter {
    slots: BTreeMap<Slot, u32>,
    base: u32,
    info: Loop,
    function: u32,
}

/// Values at the border of a loop.
struct Border {
    /// Defined outside, used inside.
    into: Vec<VReg>,
    /// Defined inside, used outside.
    out: BTreeSet<usize>,
}

impl Cutter {
    /// End of this loop's slots.
    fn end(&self) -> u32 {
        self.base + self.slots.len() as u32 * 8
    }

    fn slot(&mut self, slot: Slot) -> u32 {
        let fresh = self.end();
        *self.slots.entry(slot).or_insert(fresh)
    }

    fn value_slot(&mut self, value: VReg) -> u32 {
        self.slot(Slot::Value(value.vreg()))
    }

    /// Moves the blocks of the region to a function and calls it in their place.
    fn cut(&mut self, parent: &mut VCode, region: &Region) -> Result<VCode, String> {
        let (Some(frame), Some(index)) = (parent.frame, parent.frame_index) else {
            return Err("a function without a frame".to_owned());
        };
        let region = &with_ends(parent, region);
        let border = border(parent, region, [frame, index]);
        if border.into.iter().any(|value| Some(*value) == parent.ctx) {
            return Err("the context is used outside of the program's own function".to_owned());
        }
        let head = self.info.head.0 as usize;
        let params = parent.blocks[head].params.clone();
        let mut body = VCode {
            vregs: parent.vregs,
            stack_bytes: parent.stack_bytes.max(KEY_OFFSET.unsigned_abs().into()),
            frame: Some(frame),
            frame_index: Some(index),
            ..VCode::default()
        };
        let entry = body.block(false);
        let mut renamed = BTreeMap::new();
        for &block in &region.blocks {
            let fresh = body.block(parent.blocks[block].cold);
            renamed.insert(block, fresh);
            body.blocks[fresh.0 as usize] = std::mem::take(&mut parent.blocks[block]);
        }
        body.loops = take_inner(parent, &renamed);
        self.enter_body(&mut body, entry, renamed[&head], &params, &border);
        let ways = self.leave_body(&mut body, &renamed, &params, &border)?;
        self.call_body(parent, &params, &border, &ways);
        Ok(body)
    }

    /// The beginning of the function: finds the frame and takes over what lives.
    fn enter_body(
        &mut self,
        body: &mut VCode,
        entry: BlockId,
        head: BlockId,
        params: &[VReg],
        border: &Border,
    ) {
        let (Some(frame), Some(index)) = (body.frame, body.frame_index) else {
            return;
        };
        let span = body.blocks[head.0 as usize]
            .insts
            .first()
            .and_then(|inst| inst.span);
        let found = body.block(false);
        let lost = body.block(true);
        let no_frame = body.vreg();
        body.blocks[lost.0 as usize].insts = vec![imm(no_frame, 1)];
        body.blocks[lost.0 as usize].term = Some(Term::Exit(no_frame));
        let block = &mut body.blocks[entry.0 as usize];
        block.insts = find_frame(frame, index);
        for inst in &mut block.insts {
            inst.span = span;
        }
        let to = |block| Edge {
            block,
            args: Vec::new(),
        };
        block.term = Some(Term::If {
            cond: Cond::Eq,
            wide: true,
            left: frame,
            right: Src::Imm(0),
            then: to(lost),
            els: to(found),
        });
        let mut insts = Vec::new();
        for value in &border.into {
            insts.push(load_slot(*value, frame, self.value_slot(*value)));
        }
        let mut args = Vec::new();
        for param in params {
            let slot = self.value_slot(*param);
            let value = match self.info.kind {
                LoopKind::Rounds { .. } => *param,
                LoopKind::Whole { .. } | LoopKind::Once => body.vreg(),
            };
            insts.push(load_slot(value, frame, slot));
            if !matches!(self.info.kind, LoopKind::Rounds { .. }) {
                args.push(value);
            }
        }
        if let LoopKind::Rounds { .. } = self.info.kind {
            body.blocks[head.0 as usize].params.clear();
        }
        let block = &mut body.blocks[found.0 as usize];
        block.insts = insts;
        block.term = Some(Term::Jump(Edge { block: head, args }));
    }

    /// Makes the function's ends: rounds, and ways out of the loop. Gives the blocks to go to
    /// outside, in the order of what is returned for them, from 1.
    fn leave_body(
        &mut self,
        body: &mut VCode,
        renamed: &BTreeMap<usize, BlockId>,
        params: &[VReg],
        border: &Border,
    ) -> Result<Vec<BlockId>, String> {
        let frame = body.frame.ok_or("a loop without a frame")?;
        let head = self.info.head;
        let rounds = matches!(self.info.kind, LoopKind::Rounds { .. });
        let mut ways: Vec<BlockId> = match self.info.kind {
            LoopKind::Rounds { give_up, .. } => vec![give_up],
            LoopKind::Whole { .. } | LoopKind::Once => Vec::new(),
        };
        for &block in renamed.values() {
            let at = block.0 as usize;
            self.keep_values(body, at, frame, &border.out);
            let cold = body.blocks[at].cold;
            let span = body.blocks[at].term_span;
            let mut term = body.blocks[at].term.take();
            for edge in term.iter_mut().flat_map(Term::edges_mut) {
                let to = edge.block;
                if let Some(inside) = renamed.get(&(to.0 as usize))
                    && !(rounds && to == head)
                {
                    edge.block = *inside;
                    continue;
                }
                let args = std::mem::take(&mut edge.args);
                let (code, slots): (i64, Vec<Slot>) = if to == head {
                    let slots = params.iter().map(|param| Slot::Value(param.vreg()));
                    (AGAIN, slots.collect())
                } else {
                    let known = ways.iter().position(|way| *way == to);
                    let way = known.unwrap_or_else(|| {
                        ways.push(to);
                        ways.len() - 1
                    });
                    let slots = (0..args.len()).map(|n| Slot::Leaving(to.0, n)).collect();
                    (way as i64 + 1, slots)
                };
                let out = body.block(cold);
                edge.block = out;
                let mut insts = Vec::new();
                for (value, slot) in args.iter().zip(slots) {
                    insts.push(store_slot(body, *value, frame, self.slot(slot)));
                }
                let result = body.vreg();
                insts.push(imm(result, code));
                let out = &mut body.blocks[out.0 as usize];
                out.insts = insts;
                out.term = Some(Term::Exit(result));
                out.term_span = span;
            }
            body.blocks[at].term = term;
        }
        Ok(ways)
    }

    /// Stores what is used outside of the loop where it is defined.
    fn keep_values(&mut self, body: &mut VCode, at: usize, frame: VReg, out: &BTreeSet<usize>) {
        if out.is_empty() {
            return;
        }
        let old = std::mem::take(&mut body.blocks[at].insts);
        let mut insts = Vec::with_capacity(old.len());
        for param in body.blocks[at].params.clone() {
            if out.contains(&param.vreg()) {
                let slot = self.value_slot(param);
                insts.push(store_slot(body, param, frame, slot));
            }
        }
        for inst in old {
            let defined: Vec<VReg> = defs(&inst)
                .filter(|value| out.contains(&value.vreg()))
                .collect();
            insts.push(inst);
            for value in defined {
                let slot = self.value_slot(value);
                insts.push(store_slot(body, value, frame, slot));
            }
        }
        body.blocks[at].insts = insts;
    }

    /// Puts the calls where the loop was.
    fn call_body(
        &mut self,
        parent: &mut VCode,
        params: &[VReg],
        border: &Border,
        ways: &[BlockId],
    ) {
        let (Some(frame), Some(index)) = (parent.frame, parent.frame_index) else {
            return;
        };
        let head = self.info.head.0 as usize;
        let mut insts = Vec::new();
        let fresh: Vec<VReg> = params.iter().map(|_| parent.vreg()).collect();
        for (param, value) in params.iter().zip(&fresh) {
            let slot = self.value_slot(*param);
            insts.push(store_slot(parent, *value, frame, slot));
        }
        for value in &border.into {
            let slot = self.value_slot(*value);
            insts.push(store_slot(parent, *value, frame, slot));
        }
        let (again, left) = (parent.block(false), parent.block(false));
        parent.blocks[head] = VBlock {
            params: fresh,
            insts,
            ..VBlock::default()
        };

        let result = parent.vreg();
        parent.blocks[again.0 as usize].insts = vec![call_function(self.function, index, result)];
        let jump = |block, args| Term::Jump(Edge { block, args });
        match self.info.kind {
            LoopKind::Whole { .. } | LoopKind::Once => {
                parent.blocks[head].term = Some(jump(again, Vec::new()));
                parent.blocks[again.0 as usize].term = Some(jump(left, Vec::new()));
            }
            LoopKind::Rounds { most, give_up } => {
                self.go_round(parent, again, left, result, (most, give_up));
            }
        }
        let mut insts = Vec::new();
        for value in &border.out {
            let value = VReg::new(*value, regalloc2::RegClass::Int);
            insts.push(load_slot(value, frame, self.value_slot(value)));
        }
        parent.blocks[left.0 as usize].insts = insts;
        self.part(parent, left, result, frame, ways);
    }

    /// The loop around the call. The ways out are tried first by a verifier that follows every
    /// round: so it has few branches to remember.
    fn go_round(
        &self,
        parent: &mut VCode,
        again: BlockId,
        left: BlockId,
        result: VReg,
        (most, give_up): (u32, BlockId),
    ) {
        let head = self.info.head.0 as usize;
        let next = parent.block(true);
        let to = |block, args| Edge { block, args };
        parent.blocks[again.0 as usize].term = Some(Term::If {
            cond: Cond::Eq,
            wide: true,
            left: result,
            right: Src::Imm(AGAIN as i32),
            then: to(next, Vec::new()),
            els: to(left, Vec::new()),
        });
        let (first, count, more) = (parent.vreg(), parent.vreg(), parent.vreg());
        parent.blocks[head].insts.push(imm(first, 0));
        parent.blocks[head].term = Some(Term::Jump(to(again, vec![first])));
        parent.blocks[again.0 as usize].params = vec![count];
        parent.blocks[next.0 as usize].insts = vec![add_one(more, count)];
        parent.blocks[next.0 as usize].term = Some(Term::If {
            cond: Cond::Gt,
            wide: true,
            left: more,
            right: Src::Imm(most.min(i32::MAX as u32) as i32),
            then: to(give_up, Vec::new()),
            els: to(again, vec![more]),
        });
    }

    /// Behind the call: goes the way that was returned.
    fn part(
        &mut self,
        parent: &mut VCode,
        mut from: BlockId,
        result: VReg,
        frame: VReg,
        ways: &[BlockId],
    ) {
        for (n, &way) in ways.iter().enumerate() {
            let params = match self.info.kind {
                LoopKind::Rounds { give_up, .. } if give_up == way => 0,
                _ => parent.blocks[way.0 as usize].params.len(),
            };
            let stub = if params == 0 {
                way
            } else {
                let stub = parent.block(parent.blocks[way.0 as usize].cold);
                let mut args = Vec::new();
                for at in 0..params {
                    let value = parent.vreg();
                    let slot = self.slot(Slot::Leaving(way.0, at));
                    let inst = load_slot(value, frame, slot);
                    parent.blocks[stub.0 as usize].insts.push(inst);
                    args.push(value);
                }
                parent.blocks[stub.0 as usize].term = Some(Term::Jump(Edge { block: way, args }));
                stub
            };
            let edge = |block| Edge {
                block,
                args: Vec::new(),
            };
            if n + 1 == ways.len() {
                parent.blocks[from.0 as usize].term = Some(Term::Jump(edge(stub)));
                return;
            }
            let next = parent.block(false);
            parent.blocks[from.0 as usize].term = Some(Term::If {
                cond: Cond::Eq,
                wide: true,
                left: result,
                right: Src::Imm(n as i32 + 1),
                then: edge(stub),
                els: edge(next),
            });
            from = next;
        }
        // A loop without an end is left in no way.
        let zero = parent.vreg();
        parent.blocks[from.0 as usize].insts.push(imm(zero, 0));
        parent.blocks[from.0 as usize].term = Some(Term::Exit(zero));
    }
}

/// The region, with a block of its own for the end of each loop in it that gives up outside of it.
fn with_ends(code: &mut VCode, region: &Region) -> Region {
    let mut blocks = region.blocks.clone();
    for at in 0..code.loops.len() {
        let head = code.loops[at].head.0 as usize;
        let LoopKind::Rounds { give_up, .. } = code.loops[at].kind else {
            continue;
        };
        if !blocks.contains(&head) || blocks.contains(&(give_up.0 as usize)) {
            continue;
        }
        let end = code.block(true);
        code.blocks[end.0 as usize].term = Some(Term::Jump(Edge {
            block: give_up,
            args: Vec::new(),
        }));
        if let LoopKind::Rounds { give_up, .. } = &mut code.loops[at].kind {
            *give_up = end;
        }
        blocks.insert(end.0 as usize);
    }
    Region { blocks }
}

/// The loops inside of one that moves.
fn take_inner(parent: &mut VCode, renamed: &BTreeMap<usize, BlockId>) -> Vec<Loop> {
    let (inner, outer): (Vec<Loop>, Vec<Loop>) = std::mem::take(&mut parent.loops)
        .into_iter()
        .partition(|info| renamed.contains_key(&(info.head.0 as usize)));
    parent.loops = outer;
    inner
        .into_iter()
        .filter_map(|mut info| {
            info.head = *renamed.get(&(info.head.0 as usize))?;
            if let LoopKind::Rounds { give_up, .. } = &mut info.kind {
                *give_up = *renamed.get(&(give_up.0 as usize))?;
            }
            Some(info)
        })
        .collect()
}

/// What lives across the border of a region; the frame does not count.
fn border(code: &VCode, region: &Region, frame: [VReg; 2]) -> Border {
    // All of the function is looked at for each region: no trees here.
    let mut defined = vec![false; code.vregs];
    let mut used = BTreeSet::new();
    for &block in &region.blocks {
        let block = &code.blocks[block];
        for value in &block.params {
            defined[value.vreg()] = true;
        }
        for value in block.insts.iter().flat_map(defs) {
            defined[value.vreg()] = true;
        }
        block.for_each_use(|value| {
            used.insert(value.vreg());
        });
    }
    let mut out = BTreeSet::new();
    let all = code.blocks.iter().enumerate();
    for (_, block) in all.filter(|(at, _)| !region.blocks.contains(at)) {
        block.for_each_use(|value| {
            if defined[value.vreg()] {
                out.insert(value.vreg());
            }
        });
    }
    let into = used
        .into_iter()
        .filter(|value| !defined[*value])
        .filter(|value| frame.iter().all(|known| known.vreg() != *value))
        .map(|value| VReg::new(value, regalloc2::RegClass::Int))
        .collect();
    Border { into, out }
}

fn defs(inst: &VInst) -> impl Iterator<Item = VReg> {
    inst.operands
        .iter()
        .filter(|operand| operand.kind() == OperandKind::Def)
        .map(|operand| operand.vreg())
}

/// Tells registers apart while an instruction is put together.
#[derive(Default)]
struct Draft {
    code: Vec<Insn<TReg>>,
    operands: Vec<Operand>,
}

impl Draft {
    fn operand(&mut self, operand: Operand) -> TReg {
        self.operands.push(operand);
        TReg::Op(self.operands.len() as u8 - 1)
    }

    fn alu(&mut self, op: AluOp, dst: TReg, src: Src<TReg>) {
        self.code.push(Insn::Alu {
            op,
            wide: true,
            dst,
            src,
        });
    }

    fn done(self) -> VInst {
        VInst {
            code: self.code,
            operands: self.operands,
            clobbers: regalloc2::PRegSet::empty(),
            core: None,
            span: None,
        }
    }
}

fn imm(value: VReg, number: i64) -> VInst {
    let mut draft = Draft::default();
    let dst = draft.operand(Operand::reg_def(value));
    draft.alu(AluOp::Mov, dst, Src::Imm(number as i32));
    draft.done()
}

fn add_one(sum: VReg, value: VReg) -> VInst {
    let mut draft = Draft::default();
    draft.operand(Operand::reg_use(value));
    let dst = draft.operand(Operand::reg_reuse_def(sum, 0));
    draft.alu(AluOp::Add, dst, Src::Imm(1));
    draft.done()
}

/// Loads a slot of the scratch frame.
fn load_slot(value: VReg, frame: VReg, slot: u32) -> VInst {
    let mut draft = Draft::default();
    let base = draft.operand(Operand::reg_use_at_end(frame));
    let dst = draft.operand(Operand::reg_def_at_start(value));
    let (base, off) = if let Ok(off) = i16::try_from(slot) {
        (base, off)
    } else {
        draft.alu(AluOp::Mov, dst, Src::Reg(base));
        draft.alu(AluOp::Add, dst, Src::Imm(slot as i32));
        (dst, 0)
    };
    draft.code.push(Insn::Load {
        size: Size::D,
        signed: false,
        dst,
        base,
        off,
    });
    draft.done()
}

/// Stores to a slot of the scratch frame.
fn store_slot(code: &mut VCode, value: VReg, frame: VReg, slot: u32) -> VInst {
    let mut draft = Draft::default();
    let src = draft.operand(Operand::reg_use_at_end(value));
    let base = draft.operand(Operand::reg_use_at_end(frame));
    let (base, off) = if let Ok(off) = i16::try_from(slot) {
        (base, off)
    } else {
        let far = code.vreg();
        let dst = draft.operand(Operand::reg_def_at_start(far));
        draft.alu(AluOp::Mov, dst, Src::Reg(base));
        draft.alu(AluOp::Add, dst, Src::Imm(slot as i32));
        (dst, 0)
    };
    draft.code.push(Insn::Store {
        size: Size::D,
        base,
        off,
        src: Src::Reg(src),
    });
    draft.done()
}

/// Calls a function with the frame's index.
fn call_function(function: u32, index: VReg, result: VReg) -> VInst {
    let mut draft = Draft::default();
    draft.operand(Operand::reg_fixed_use(index, preg(Reg(1))));
    draft.operand(Operand::reg_fixed_def(result, preg(Reg::R0)));
    draft.code.push(Insn::CallFn(function));
    VInst {
        clobbers: call_clobbers(true),
        ..draft.done()
    }
}

/// Takes the frame's index out of the first argument and looks the frame up.
fn find_frame(frame: VReg, index: VReg) -> Vec<VInst> {
    let mut take = Draft::default();
    take.operand(Operand::reg_fixed_def(index, preg(Reg::R1)));
    let mut keep = Draft::default();
    let src = keep.operand(Operand::reg_use(index));
    keep.code.push(Insn::Store {
        size: Size::W,
        base: TReg::Phys(Reg::FP),
        off: KEY_OFFSET,
        src: Src::Reg(src),
    });
    let mut find = Draft::default();
    find.operand(Operand::reg_fixed_def(frame, preg(Reg::R0)));
    find.code.push(Insn::LoadWide {
        dst: TReg::Phys(Reg::R1),
        value: Wide::Map(Plan::FRAMES),
    });
    let key = TReg::Phys(Reg(2));
    find.alu(AluOp::Mov, key, Src::Reg(TReg::Phys(Reg::FP)));
    find.alu(AluOp::Add, key, Src::Imm(i32::from(KEY_OFFSET)));
    find.code.push(Insn::Call(Helper::MapLookupElem));
    let find = VInst {
        clobbers: call_clobbers(true),
        ..find.done()
    };
    vec![take.done(), keep.done(), find]
}

#[cfg(test)]
mod tests {
    use regalloc2::RegClass;

    use super::*;

    fn reg(number: usize) -> VReg {
        VReg::new(number, RegClass::Int)
    }

    fn edge(block: u32, args: &[usize]) -> Edge {
        Edge {
            block: BlockId(block),
            args: args.iter().map(|number| reg(*number)).collect(),
        }
    }

    fn branch(left: usize, then: Edge, els: Edge) -> Option<Term> {
        Some(Term::If {
            cond: Cond::Gt,
            wide: true,
            left: reg(left),
            right: Src::Imm(9),
            then,
            els,
        })
    }

    /// `for (i = 0; i <= 9; i++) {}`, then returns `i`; block 4 gives up.
    fn program(kind: LoopKind) -> VCode {
        let block = |params: &[usize], insts, term| VBlock {
            params: params.iter().map(|number| reg(*number)).collect(),
            insts,
            term,
            ..VBlock::default()
        };
        VCode {
            vregs: 6,
            blocks: vec![
                block(&[], vec![imm(reg(2), 0)], Some(Term::Jump(edge(1, &[2])))),
                block(&[3], vec![], branch(3, edge(3, &[]), edge(2, &[]))),
                block(
                    &[],
                    vec![add_one(reg(4), reg(3))],
                    Some(Term::Jump(edge(1, &[4]))),
                ),
                block(&[], vec![], Some(Term::Exit(reg(3)))),
                block(&[], vec![imm(reg(5), 1)], Some(Term::Exit(reg(5)))),
            ],
            loops: vec![Loop {
                head: BlockId(1),
                kind,
            }],
            frame: Some(reg(0)),
            frame_index: Some(reg(1)),
            ..VCode::default()
        }
    }

    fn calls(code: &VCode) -> usize {
        let insts = code.blocks.iter().flat_map(|block| &block.insts);
        let insns = insts.flat_map(|inst| &inst.code);
        insns.filter(|insn| matches!(insn, Insn::CallFn(1))).count()
    }

    #[test]
    fn a_round_is_a_function() {
        let rounds = LoopKind::Rounds {
            most: 1000,
            give_up: BlockId(4),
        };
        let outlined = outline(program(rounds), 64).expect("a loop with a frame");
        assert_eq!(outlined.parts[1].caller, Some(0));
        // `i`, which lives across rounds and behind the loop.
        assert_eq!(outlined.frame_bytes, 72);
        let [main, body] = &outlined.parts[..] else {
            panic!("two functions");
        };
        let (main, body) = (&main.code, &body.code);
        assert_eq!((calls(main), calls(body)), (1, 0));
        // The body has no way back: it returns.
        assert!(
            body.blocks
                .iter()
                .flat_map(VBlock::edges)
                .all(|edge| edge.args.is_empty())
        );
    }

    #[test]
    fn short_loops_inside_operations_stay() {
        let whole = |most| program(LoopKind::Whole { most });
        assert!(!is_needed(&whole(100)));
        assert!(is_needed(&whole(8192)));
        let outlined = outline(whole(8192), 64).expect("a loop with a frame");
        assert_eq!(outlined.parts.len(), 2);
        assert_eq!(calls(&outlined.parts[0].code), 1);
    }
}
