//! Loops, and parts of long programs, as functions of their own.
//!
//! A verifier that follows a loop follows each round, with all that it knows there; most of
//! what handlers do in loops (strings above all) is too much for that. A *global* function,
//! on the other hand, is verified once, by itself and with nothing known of its arguments, on
//! every kernel since 5.6. So a loop's body becomes such a function: it runs one round and says
//! whether to go round again (0) or by which way the loop was left. What lives across
//! its border goes through slots in the scratch frame, whose contents no verifier follows (`slots`);
//! the function finds the frame by its index. Around the call a small loop is left, which every
//! verifier takes (`carve`); where a program has many, rounds of rounds. Loops nest as calls do
//! (`nest`).
//!
//! Loops inside operations on strings count their rounds in registers, and verifiers take them as they are. When a
//! program has many of these, they move to functions as well, each with all its rounds: then only
//! one at a time counts against the verifier's limits. Those that are long move in any case, some rounds at a time (`chunks`).
//!
//! A function that is still too long is divided (`parts`); a part is called once, where it stood. Where functions become too many,
//! several go into one (`pack`).

mod beginnings;
mod carve;
mod chunks;
mod emit;
mod nest;
mod pack;
mod parts;
mod region;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use self::pack::{MAX_PACKED, pack};
pub use self::parts::insns;

use self::beginnings::add_beginnings;
use self::nest::Regions;
use self::region::Flow;
use super::functions::{Part, Unfinished};
use super::insn::Insn;
use super::vcode::{Loop, LoopKind, Term, VBlock, VCode};
use super::{MAX_CALLS, Sizes};

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
    /// Whether other functions apart call it, too.
    pub is_inner: bool,
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
    let flow = Flow::of_rounds(&code, &loops);
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
    let inner: BTreeSet<u32> = all_apart
        .iter()
        .flat_map(|one| calls_of_apart(&one.code))
        .map(|(_, called)| called)
        .collect();
    for ((number, one), callers) in (0..).zip(all_apart).zip(callers) {
        let is_inner = inner.contains(&number);
        let below = usize::from(calls_of_apart(&one.code).next().is_some());
        let above = callers.iter().map(|block| depths[nest.owner[*block]]);
        // What other functions apart call stays one function.
        let room = if is_inner {
            1
        } else {
            calls.saturating_sub(above.max().unwrap_or(0) + below)
        };
        let (parts, end, rounds) = outline_apart(one.code, slots, sizes, room)?;
        slots = end;
        rounds_apart += rounds;
        let depth = depth(&parts) + below;
        for block in callers {
            calls_apart[block] = depth.max(calls_apart[block]);
        }
        apart.push(OutlinedApart {
            parts,
            is_callback: one.is_callback,
            is_inner,
        });
    }
    let count = apart.iter().map(|one| one.parts.len()).sum();
    let nest = Regions::new(chosen.clone(), &calls_apart);
    chosen.extend(nest.parts(&code, &flow, sizes, (calls, count)));
    let mut regions = Regions::new(chosen, &calls_apart);
    regions.bound_rounds(calls, count);
    let rounds = rounds_apart + regions.rounds();
    let frame_bytes = slots::settle(&mut code, &flow, &mut regions, slots)?;
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
    for (at, called) in calls_of_apart(code) {
        if let Some(callers) = callers.get_mut(called as usize) {
            callers.push(at);
        }
    }
    callers
}

/// The functions apart that are called, and in which blocks.
fn calls_of_apart(code: &VCode) -> impl Iterator<Item = (usize, u32)> {
    code.blocks.iter().enumerate().flat_map(|(at, block)| {
        let insns = block.insts.iter().flat_map(|inst| &inst.code);
        insns.filter_map(move |insn| Some((at, insn.called_apart()?)))
    })
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
