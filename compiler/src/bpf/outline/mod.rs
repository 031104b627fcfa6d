//! Loops, and parts of long programs, as functions of their own.
//!
//! A verifier that follows a loop follows each round, with all that it knows there; most of
//! what handlers do in loops (strings above all) is too much for that. A *global* function,
//! on the other hand, is verified once, by itself and with nothing known of its arguments, on
//! every kernel since 5.6. So a loop's body becomes such a function: it runs one round and says
//! whether to go round again (0) or by which way the loop was left. What lives across
//! its border goes through slots in the scratch frame, whose contents no verifier follows (`slots`);
//! the function finds the frame by its index. Around the call a small loop is left, which every
//! verifier takes (`carve`); where a program has many, rounds of rounds. Loops nest as calls do.
//!
//! Loops inside operations on strings count their rounds in registers, and verifiers take them as they are. When a
//! program has many of these, they move to functions as well, each with all its rounds: then only
//! one at a time counts against the verifier's limits. Those that are long move in any case, some rounds at a time (`chunks`).
//!
//! A function that is still too long is divided (`parts`); a part is called once, where it stood. Where functions become too many,
//! several go into one (`pack`).

mod carve;
mod chunks;
mod emit;
mod pack;
mod parts;
mod region;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use self::parts::insns;

use regalloc2::VReg;
use rustc_hash::FxHashMap;

pub use self::pack::{MAX_PACKED, pack};

use self::parts::Share;
use self::region::Flow;
use super::functions::{Part, Unfinished};
use super::insn::{AluOp, Insn, Src};
use super::vcode::{BlockId, Edge, Loop, LoopKind, Term, VBlock, VCode};
use super::{MAX_CALLS, Sizes};

/// Calls around which the verifier goes in all loops of a program together: some instructions each, of the
/// million that it examines.
const MAX_ROUNDS: u32 = 40_000;
/// Rounds that each loop can make in any case.
const LEAST_ROUNDS: u32 = 1024;
/// Up to so many rounds in all loops together are followed soon enough.
const EASY_ROUNDS: u64 = 64;

/// How much of the verifier's patience the loops inside operations may take before they move
/// to functions: rounds times conditional jumps. It gives up at 8192.
const PATIENCE: usize = 2500;

/// What a program became.
pub struct Outlined {
    /// Its functions, its own first.
    pub parts: Vec<Part>,
    /// The functions apart from it, each with those that it calls.
    pub apart: Vec<OutlinedApart>,
    /// End of the slots in the scratch frame.
    pub frame_bytes: u32,
    /// Rounds of loops around calls that a verifier follows.
    pub rounds: u64,
}

/// What a function apart became.
pub struct OutlinedApart {
    /// Its functions, its own first.
    pub parts: Vec<Part>,
    /// Whether the kernel calls it.
    pub is_callback: bool,
}

/// Whether the program is too long for one function, or has loops that must become functions.
pub fn is_needed(code: &VCode, sizes: Sizes) -> bool {
    if code.loops.iter().any(is_of_script) || parts::length(code) > sizes.whole {
        return true;
    }
    let flow = has_whole_loops(&code.loops).then(|| Flow::new(code));
    flow.is_some_and(|flow| {
        let mut loops = code.loops.iter();
        loops.any(|info| chunks::is_dear(code, &flow, info)) || is_impatient(code, &flow)
    })
}

/// Calls `f` with each loop and its blocks.
pub fn for_each_loop(code: &VCode, mut f: impl FnMut(&BTreeSet<usize>, &Loop)) {
    if code.loops.is_empty() {
        return;
    }
    let flow = Flow::new(code);
    for info in &code.loops {
        if let Some(region) = flow.region(code, info) {
            f(&region, info);
        }
    }
}

/// Whether the loops inside operations are too much for one function.
fn is_impatient(code: &VCode, flow: &Flow) -> bool {
    let mut sum = 0;
    for info in &code.loops {
        if let LoopKind::Whole { most } = info.kind
            && let Some(region) = flow.region(code, info)
        {
            let jumps = region.iter().map(|block| jumps(&code.blocks[*block]));
            sum += jumps.sum::<usize>() * most as usize;
        }
    }
    sum > PATIENCE
}

/// Whether a loop has to become a function.
fn is_of_script(info: &Loop) -> bool {
    matches!(info.kind, LoopKind::Rounds { .. })
}

/// The loops that become functions, those that have to first; long ones are divided.
fn choose(code: &mut VCode, apart: usize) -> Vec<Loop> {
    if !has_whole_loops(&code.loops) {
        return std::mem::take(&mut code.loops);
    }
    let flow = Flow::new(code);
    let is_impatient = is_impatient(code, &flow);
    let (mut chosen, whole): (Vec<Loop>, Vec<Loop>) = std::mem::take(&mut code.loops)
        .into_iter()
        .partition(is_of_script);
    // Where even so functions are too few for all, some stay where they are.
    let others = 1 + apart + parts::MAX_PARTS;
    let (dear, cheap): (Vec<Loop>, Vec<Loop>) =
        (whole.into_iter()).partition(|info| chunks::is_dear(code, &flow, info));
    let room = MAX_PACKED.saturating_sub(others + chosen.len());
    for info in dear.into_iter().take(room) {
        chosen.push(chunks::divide(code, &flow, info));
    }
    if is_impatient {
        let room = MAX_PACKED.saturating_sub(others + chosen.len());
        chosen.extend(cheap.into_iter().take(room));
    }
    chosen
}

/// Whether there are loops inside operations.
fn has_whole_loops(loops: &[Loop]) -> bool {
    (loops.iter()).any(|info| matches!(info.kind, LoopKind::Whole { .. }))
}

/// The conditional jumps of a block.
fn jumps(block: &VBlock) -> usize {
    let inside = block.insts.iter().flat_map(|inst| &inst.code);
    let inside = inside.filter(|insn| matches!(insn, Insn::JumpIf { .. }));
    inside.count() + usize::from(matches!(block.term, Some(Term::If { .. })))
}

/// Makes functions of a program's loops and of parts of it. Slots begin at `slots`.
pub fn outline(code: VCode, slots: u32, sizes: Sizes) -> Result<Outlined, Unfinished> {
    outline_function(code, slots, sizes, MAX_CALLS)
}

/// The same for a function under which so many calls can nest, itself among them.
fn outline_function(
    mut code: VCode,
    mut slots: u32,
    sizes: Sizes,
    calls: usize,
) -> Result<Outlined, Unfinished> {
    let all_apart = std::mem::take(&mut code.apart);
    let loops = choose(&mut code, all_apart.len());
    let begins = add_beginnings(&mut code, &loops);
    let flow = Flow::new(&code);
    let round = loops
        .iter()
        .filter(|info| flow.goes_round(info.head.0 as usize));
    if round.count() >= MAX_PACKED {
        return Err(Unfinished::TooManyLoops);
    }
    let loops = loops.iter().zip(begins).filter_map(|(info, head)| {
        // Others go round at most once.
        let mut blocks = flow.region(&code, info)?;
        blocks.insert(head.0 as usize);
        Some((Loop { head, ..*info }, blocks))
    });
    let mut chosen: Vec<(Loop, BTreeSet<usize>)> = loops.collect();
    let mut calls_apart = vec![0; code.blocks.len()];
    let nest = Regions::new(chosen.clone(), &calls_apart);
    let mut apart = Vec::with_capacity(all_apart.len());
    let mut rounds_apart = 0;
    let callers = callers_apart(&code, all_apart.len());
    let depths = nest.depths();
    for (one, callers) in all_apart.into_iter().zip(callers) {
        let above = callers.iter().map(|block| depths[nest.owner[*block]]);
        let room = calls.saturating_sub(above.max().unwrap_or(0));
        let (parts, end, rounds) = outline_apart(one.code, slots, sizes, room)?;
        slots = end;
        rounds_apart += rounds;
        let depth = depth(&parts);
        for block in callers {
            calls_apart[block] = depth.max(calls_apart[block]);
        }
        apart.push(OutlinedApart {
            parts,
            is_callback: one.is_callback,
        });
    }
    let count = apart.iter().map(|one| one.parts.len()).sum();
    let nest = Regions::new(chosen.clone(), &calls_apart);
    chosen.extend(nest.parts(&code, &flow, sizes, (calls, count)));
    let mut regions = Regions::new(chosen, &calls_apart);
    regions.bound_rounds(calls, count);
    let rounds = rounds_apart + regions.rounds();
    let frame_bytes =
        slots::settle(&mut code, &flow, &mut regions, slots).map_err(Unfinished::Internal)?;
    let mut functions = Vec::with_capacity(regions.all.len() + 1);
    let numbers = regions.numbers();
    let mut members = regions.members();
    // What is called is carved out before its caller is.
    for (at, region) in regions.all.iter().enumerate().rev() {
        let number = at + 1;
        let (caller, own) = (numbers[region.parent], numbers[number]);
        // A function between has the number before.
        let body = own - usize::from(region.rounds.is_some());
        let mut blocks = std::mem::take(&mut members[number]);
        blocks.sort_unstable();
        let begin = code.blocks.len();
        let part = carve::carve(&mut code, region.info, &blocks, body as u32)
            .map_err(Unfinished::Internal)?;
        // The call is where the region was.
        members[region.parent].push(region.info.head.0 as usize);
        members[region.parent].extend(begin..code.blocks.len());
        if let Some(rounds) = region.rounds {
            functions.push(Part::new(part, Some(body)));
            functions.push(Part::new(carve::rounds(own as u32, rounds), Some(caller)));
        } else {
            functions.push(Part::new(part, Some(caller)));
        }
    }
    functions.push(Part::new(code, None));
    functions.reverse();
    Ok(Outlined {
        parts: functions,
        apart,
        frame_bytes,
        rounds,
    })
}

/// A function apart, whose loops are functions too where calls can nest so deep. Gives where the slots end, too, and the
/// rounds that a verifier follows.
fn outline_apart(
    code: VCode,
    slots: u32,
    sizes: Sizes,
    calls: usize,
) -> Result<(Vec<Part>, u32, u64), Unfinished> {
    if calls < 2 || !is_needed(&code, sizes) {
        return Ok((vec![Part::new(code, None)], slots, 0));
    }
    let outlined = outline_function(code, slots, sizes, calls)?;
    Ok((outlined.parts, outlined.frame_bytes, outlined.rounds))
}

/// For each function apart the blocks in which it is called.
fn callers_apart(code: &VCode, count: usize) -> Vec<Vec<usize>> {
    let mut callers = vec![Vec::new(); count];
    for (at, block) in code.blocks.iter().enumerate() {
        for insn in block.insts.iter().flat_map(|inst| &inst.code) {
            if let Some(called) = insn.called_apart()
                && let Some(callers) = callers.get_mut(called as usize)
            {
                callers.push(at);
            }
        }
    }
    callers
}

/// How deep the calls of functions nest, the first of which is called.
fn depth(parts: &[Part]) -> usize {
    let mut depths: Vec<usize> = Vec::with_capacity(parts.len());
    for part in parts {
        let callers = part.callers.iter().map(|caller| depths[*caller]);
        depths.push(callers.max().unwrap_or(0) + 1);
    }
    depths.into_iter().max().unwrap_or(0)
}

/// The constant of each parameter with which a loop begins, if it is the same wherever it begins.
#[derive(Default)]
struct Firsts(Option<Vec<Option<i32>>>);

impl Firsts {
    /// It begins with these, too.
    fn add(&mut self, args: &[VReg], constants: &FxHashMap<VReg, i32>) {
        let values = args.iter().map(|arg| constants.get(arg).copied());
        self.0 = Some(match self.0.take() {
            None => values.collect(),
            Some(before) => {
                let same = before.into_iter().zip(values);
                same.map(|(one, other)| one.filter(|_| one == other))
                    .collect()
            }
        });
    }
}

/// The registers that hold constants.
fn constants(code: &VCode) -> FxHashMap<VReg, i32> {
    let insts = code.blocks.iter().flat_map(|block| &block.insts);
    let constants = insts.filter_map(|inst| match (&inst.code[..], &inst.operands[..]) {
        (
            [
                Insn::Alu {
                    op: AluOp::Mov,
                    wide: true,
                    src: Src::Imm(constant),
                    ..
                },
            ],
            [operand],
        ) => Some((operand.vreg(), *constant)),
        _ => None,
    });
    constants.collect()
}

/// Puts a block before each loop that moves with all its rounds: there the function begins, and the numbers in
/// which the loop counts stay in registers, from constants on where it counts from constants. Gives the block at which the function of each loop begins.
fn add_beginnings(code: &mut VCode, loops: &[Loop]) -> Vec<BlockId> {
    if !has_whole_loops(loops) {
        return loops.iter().map(|info| info.head).collect();
    }
    let flow = Flow::new(code);
    let constants = constants(code);
    let begins = loops.iter().map(|info| {
        let head = info.head.0 as usize;
        if !matches!(info.kind, LoopKind::Whole { .. }) || !flow.is_reached(head) {
            return info.head;
        }
        let begin = code.block(code.blocks[head].cold);
        let before = flow.preds(head).iter();
        let mut firsts = Firsts::default();
        for &pred in before.filter(|pred| !flow.dominates(head, **pred)) {
            for edge in code.blocks[pred].term.iter_mut().flat_map(Term::edges_mut) {
                if edge.block == info.head {
                    edge.block = begin;
                    firsts.add(&edge.args, &constants);
                }
            }
        }
        let count = code.blocks[head].params.len();
        let params: Vec<VReg> = (0..count).map(|_| code.vreg()).collect();
        let mut args = params.clone();
        let mut insts = Vec::new();
        for (arg, constant) in args.iter_mut().zip(firsts.0.into_iter().flatten()) {
            if let Some(constant) = constant {
                *arg = code.vreg();
                insts.push(emit::imm(*arg, constant.into()));
            }
        }
        let block = &mut code.blocks[begin.0 as usize];
        block.params = params;
        block.insts = insts;
        block.term = Some(Term::Jump(Edge {
            block: info.head,
            args,
        }));
        begin
    });
    begins.collect()
}

/// Blocks that are to be a function.
struct Region {
    info: Loop,
    blocks: BTreeSet<usize>,
    /// The region that it is called from.
    parent: usize,
    /// If a function between goes round: how many times.
    rounds: Option<u32>,
}

/// All regions of a program, which have numbers from 1 on; 0 is what is left.
struct Regions {
    /// Each behind those that it is in.
    all: Vec<Region>,
    /// For each block the number of the innermost region that it is in.
    owner: Vec<usize>,
    /// For each function how deep the calls apart from it nest.
    apart: Vec<usize>,
}

impl Regions {
    /// `calls_apart` says for each block how deep the calls of functions apart in it nest.
    fn new(mut chosen: Vec<(Loop, BTreeSet<usize>)>, calls_apart: &[usize]) -> Regions {
        chosen.sort_by_key(|(info, blocks)| (std::cmp::Reverse(blocks.len()), info.head));
        let mut regions = Regions {
            all: Vec::with_capacity(chosen.len()),
            owner: vec![0; calls_apart.len()],
            apart: vec![0; chosen.len() + 1],
        };
        for (number, (info, blocks)) in chosen.into_iter().enumerate() {
            let parent = regions.owner[info.head.0 as usize];
            for &block in &blocks {
                regions.owner[block] = number + 1;
            }
            regions.all.push(Region {
                info,
                blocks,
                parent,
                rounds: None,
            });
        }
        for (owner, depth) in regions.owner.iter().zip(calls_apart) {
            regions.apart[*owner] = regions.apart[*owner].max(*depth);
        }
        regions
    }

    /// For each function how many are under way in it.
    fn depths(&self) -> Vec<usize> {
        let mut depths = vec![1; self.all.len() + 1];
        for (at, region) in self.all.iter().enumerate() {
            depths[at + 1] = depths[region.parent] + 1;
        }
        depths
    }

    /// The parts of functions that are too long, where the nest of calls has room for them.
    fn parts(
        &self,
        code: &VCode,
        flow: &Flow,
        sizes: Sizes,
        (calls, apart): (usize, usize),
    ) -> Vec<(Loop, BTreeSet<usize>)> {
        let levels = self.levels_below();
        let lengths = self.lengths(code);
        // How many calls are under way in each function.
        let mut depth = vec![1; self.all.len() + 1];
        let mut found = Vec::new();
        // Functions that are left for parts.
        let mut room = MAX_PACKED.saturating_sub(depth.len() + apart);
        for number in 0..depth.len() {
            let most = depth[number] + 1 + levels[number];
            let parts = if most <= calls && room != 0 && lengths[number] > sizes.whole {
                let shares = self.shares(code, number);
                parts::choose(code, flow, &shares, sizes, room.min(parts::MAX_PARTS))
            } else {
                Vec::new()
            };
            let below = depth[number] + 1 + usize::from(!parts.is_empty());
            for (called, region) in self.all.iter().enumerate() {
                if region.parent == number {
                    depth[called + 1] = below;
                }
            }
            room = room.saturating_sub(parts.len());
            found.extend(parts.into_iter().map(|(head, blocks)| {
                let info = Loop {
                    head: BlockId(head as u32),
                    kind: LoopKind::Once,
                };
                (info, blocks)
            }));
        }
        found
    }

    /// Sees to it that verifiers can follow all rounds: where they are many, those of a loop are divided between two
    /// functions if calls can nest so deep; else a loop ends early, with MAXACTION's error.
    fn bound_rounds(&mut self, calls: usize, apart: usize) {
        let most = |region: &Region| match region.info.kind {
            LoopKind::Rounds { most, .. } => u64::from(most),
            LoopKind::Whole { .. } | LoopKind::Chunks { .. } | LoopKind::Once => 0,
        };
        let all: u64 = self.all.iter().map(most).sum();
        let loops = self.all.iter().filter(|region| most(region) != 0).count();
        let each = (MAX_ROUNDS / loops.max(1) as u32).max(LEAST_ROUNDS);
        let levels = self.levels_below();
        let mut depth = vec![1; self.all.len() + 1];
        let mut functions = 1 + self.all.len() + apart;
        for (at, region) in self.all.iter_mut().enumerate() {
            let own = depth[region.parent] + 1;
            depth[at + 1] = own;
            let LoopKind::Rounds { most, .. } = &mut region.info.kind else {
                continue;
            };
            let has_room = own + 1 + levels[at + 1] <= calls;
            if all > EASY_ROUNDS && has_room && functions < MAX_PACKED {
                let inner = (most.isqrt() + 1).min(each / 2);
                *most = most.div_ceil(inner).min(each / 2);
                region.rounds = Some(inner);
                depth[at + 1] += 1;
                functions += 1;
            } else {
                *most = each.min(*most);
            }
        }
    }

    /// The rounds that a verifier follows.
    fn rounds(&self) -> u64 {
        let rounds = self.all.iter().map(|region| match region.info.kind {
            LoopKind::Rounds { most, .. } | LoopKind::Chunks { most } => {
                u64::from(most) + u64::from(region.rounds.unwrap_or(0))
            }
            LoopKind::Whole { .. } | LoopKind::Once => 0,
        });
        rounds.sum()
    }

    /// The blocks that each region has for itself; those of number 0 are not asked for.
    fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.all.len() + 1];
        for (block, owner) in self.owner.iter().enumerate() {
            members[*owner].push(block);
        }
        members
    }

    /// The number of each region's function. That of a function between is one less.
    fn numbers(&self) -> Vec<usize> {
        let mut numbers = vec![0];
        for region in &self.all {
            let next = numbers.last().map_or(0, |last| last + 1);
            numbers.push(next + usize::from(region.rounds.is_some()));
        }
        numbers
    }

    /// For each function how deep the calls from it nest.
    fn levels_below(&self) -> Vec<usize> {
        let mut levels = self.apart.clone();
        for (at, region) in self.all.iter().enumerate().rev() {
            levels[region.parent] = levels[region.parent].max(levels[at + 1] + 1);
        }
        levels
    }

    /// How long each function is.
    fn lengths(&self, code: &VCode) -> Vec<usize> {
        let mut lengths = vec![0; self.all.len() + 1];
        for (block, owner) in self.owner.iter().enumerate() {
            lengths[*owner] += parts::insns(code, block);
        }
        for region in &self.all {
            lengths[region.parent] += parts::CALL_INSNS;
        }
        lengths
    }

    /// What the blocks are to a function that may be divided.
    fn shares(&self, code: &VCode, number: usize) -> Vec<Share> {
        let region = number.checked_sub(1).map(|at| &self.all[at]);
        let head = region.map(|region| region.info.head.0 as usize);
        let called: BTreeSet<usize> = (self.all.iter())
            .filter(|region| region.parent == number)
            .map(|region| region.info.head.0 as usize)
            .collect();
        (0..code.blocks.len())
            .map(|block| {
                let own = self.owner[block] == number;
                Share {
                    inside: region.is_none_or(|region| region.blocks.contains(&block)),
                    may_begin: own && code.blocks[block].boundary && Some(block) != head,
                    insns: if own {
                        parts::insns(code, block)
                    } else if called.contains(&block) {
                        parts::CALL_INSNS
                    } else {
                        0
                    },
                }
            })
            .collect()
    }
}
