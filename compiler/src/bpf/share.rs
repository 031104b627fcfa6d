//! Handlers of many system calls as several programs. Each sees all calls, and has the code of those only that it is for. A
//! handler is divided where one program would cost the verifier too much: it examines a million instructions and no more.
//!
//! What a handler costs is known once code is selected, and how many programs there are must be known before. So code is
//! selected twice, the first time for the cost alone; but handlers that are short are not looked at.

use std::collections::BTreeSet;

use cranelift_entity::{EntitySet, SecondaryMap};
use indexmap::IndexMap;

use super::cost::cost;
use super::error::BpfError;
use super::program::draft;
use super::select::Half;
use super::{Settings, program_cx};
use crate::bpf::plan::Plan;
use crate::lir::{Block, Exec, Function, Handler, HandlerId, Module, Terminator};
use crate::target::Features;

/// No operation costs so much, but for a few that are functions of their own.
const DEAREST_OP: u64 = 2000;

/// For each handler the points of each of its programs; none for those that are not divided.
pub type Shares = SecondaryMap<HandlerId, Vec<Vec<u32>>>;

/// Divides the handlers that are too much for one program. `bodies` are those of kernel handlers.
pub fn shares(
    module: &Module,
    features: Features,
    settings: Settings<'_>,
    bodies: &SecondaryMap<HandlerId, Option<Function>>,
) -> Shares {
    let mut shares = Shares::new();
    for (id, handler) in &module.handlers {
        let Some(body) = bodies[id].as_ref() else {
            continue;
        };
        let ops = body
            .blocks
            .values()
            .map(|block| block.insts.len() as u64 + 1);
        if ops.sum::<u64>() * DEAREST_OP <= settings.sizes.cost {
            continue;
        }
        let Some(points) = by_selector(handler) else {
            continue;
        };
        if points.len() < 2 || switch(body).is_none() {
            continue;
        }
        let trial = Trial {
            module,
            features,
            settings,
            id,
            body,
        };
        let mut found = Vec::new();
        trial.divide(&points, &mut found);
        if found.len() > 1 {
            shares[id] = found;
        }
    }
    shares
}

/// A handler's points, those together that the same event runs; `None` if it has others.
fn by_selector(handler: &Handler) -> Option<Vec<Vec<u32>>> {
    let mut points: IndexMap<i64, Vec<u32>> = IndexMap::new();
    for (number, point) in handler.points.iter().enumerate() {
        points
            .entry(point.selector?)
            .or_default()
            .push(number as u32);
    }
    (handler.exec == Exec::Kernel).then(|| points.into_values().collect())
}

/// Finding out what a handler costs.
struct Trial<'a> {
    module: &'a Module,
    features: Features,
    settings: Settings<'a>,
    id: HandlerId,
    body: &'a Function,
}

impl Trial<'_> {
    /// Divides points into shares that are cheap enough.
    fn divide(&self, points: &[Vec<u32>], found: &mut Vec<Vec<u32>>) {
        let most = self.settings.sizes.cost.max(1);
        let share = points.concat();
        // What cannot be compiled is complained about later.
        let pieces = match self.cost(&share) {
            Ok(cost) => cost.div_ceil(most).min(points.len() as u64) as usize,
            Err(_) => 1,
        };
        if pieces <= 1 {
            found.push(share);
            return;
        }
        for piece in points.chunks(points.len().div_ceil(pieces)) {
            self.divide(piece, found);
        }
    }

    /// What the program of some points costs.
    fn cost(&self, points: &[u32]) -> Result<u64, Vec<BpfError>> {
        let mut shares = Shares::new();
        shares[self.id] = vec![points.to_vec()];
        let mut plan = Plan::new(self.module, self.features, &shares);
        let programs = plan.programs.iter();
        let number = programs
            .take_while(|program| program.handler != self.id)
            .count();
        let body = restricted(self.body, &self.module.handlers[self.id], points);
        let cx = program_cx(self.module, self.features, self.settings, &plan, number);
        let half = Half::Body;
        let code = draft(
            self.module,
            self.features,
            &mut plan,
            cx,
            &body,
            (half, self.settings),
        )?;
        Ok(cost(&code))
    }
}

/// A handler's body, for some of its points only.
pub fn restricted(body: &Function, handler: &Handler, points: &[u32]) -> Function {
    let mut body = body.clone();
    if points.len() == handler.points.len() {
        return body;
    }
    let own: BTreeSet<i64> = (points.iter())
        .filter_map(|point| handler.points.get(*point as usize)?.selector)
        .collect();
    if let Some(block) = switch(&body)
        && let Terminator::Switch { cases, .. } = &mut body.blocks[block].term
    {
        cases.retain(|(case, _)| own.contains(case));
    }
    empty_unreached(&mut body);
    body
}

/// Takes out what blocks have that nothing leads to any more: a handler's programs are many bodies.
fn empty_unreached(body: &mut Function) {
    let mut reached = EntitySet::new();
    let mut next = vec![body.entry()];
    while let Some(block) = next.pop() {
        if reached.insert(block) {
            (body.blocks[block].term).for_each_jump(|to| next.push(to.block));
        }
    }
    for (block, data) in &mut body.blocks {
        if !reached.contains(block) {
            data.insts = Vec::new();
            data.term = Terminator::Unreachable;
        }
    }
}

/// The block that tells a handler's points apart: the first that goes more than one way.
fn switch(body: &Function) -> Option<Block> {
    let mut block = body.entry();
    for _ in 0..body.blocks.len() {
        block = match &body.blocks[block].term {
            Terminator::Switch { .. } => return Some(block),
            Terminator::Jump(to) => to.block,
            Terminator::Try { ok, .. } => ok.block,
            _ => return None,
        };
    }
    None
}
