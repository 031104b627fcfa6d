//! Long handlers, made flat: a function that is called from several places is in them once, and all loops go round by one
//! hub. So a verifier looks at all code once, however calls and loops nest, and few functions are under way at one time. What
//! runs that way is slower, as it goes by the hub for each call and round: only what is too much for a verifier otherwise does.
//!
//! No function of these can come to call itself (those that recurse are loops already), so each has but one set of slots.
//! Errors that pass a call made that way do not show it.

use std::collections::BTreeMap;

use cranelift_entity::{EntityRef, EntitySet};

use super::build::{Call, ERROR_ARG, FIRST_ARG, Linked, RESULT};
use super::nests_inside;
use super::slots::{Sets, Wait, settle};
use crate::lir::{Block, Func, Function, NestOp, NestSlot, Op, Terminator, Ty};

/// A handler, in which calls of some functions are left, and these functions, callers first.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The handler.
    pub entry: Function,
    /// The functions.
    pub functions: Vec<(Func, Function)>,
}

/// The handler's own place among the bodies.
const ENTRY: usize = 0;

/// What a body is to the others.
struct Member {
    /// Where it begins.
    first: Block,
    params: Vec<Ty>,
    /// Slot of the state to go on with when it returns.
    back: u32,
    /// Whether some caller wants its errors.
    is_caught: bool,
    calls: Vec<Call>,
    /// Heads of its loops.
    heads: Vec<Block>,
}

/// A handler and the functions that are shared, callers first, in one function.
pub fn flatten(entry: &Function, functions: &[(Func, Function)]) -> Option<Function> {
    let mut flat = Flat::new(entry, functions)?;
    for member in 0..flat.members.len() {
        flat.prepare(member)?;
    }
    flat.link()
}

/// A body whose sets of slots have numbers from `first` on.
fn moved(body: &Function, first: u8) -> Function {
    let mut body = body.clone();
    let each = |op: &mut Op| match op {
        Op::Nest(nest, _)
        | Op::IterBegin {
            nest: Some(nest), ..
        } => *nest += first,
        _ => {}
    };
    for data in body.blocks.values_mut() {
        data.insts.iter_mut().for_each(|inst| each(&mut inst.op));
        if let Terminator::Try { op, .. } = &mut data.term {
            each(op);
        }
    }
    body
}

struct Flat {
    linked: Linked,
    /// The handler first, then the functions, callers first.
    members: Vec<Member>,
    by_func: BTreeMap<Func, usize>,
    /// For each block whose it is.
    owners: Vec<usize>,
}

impl Flat {
    fn new(entry: &Function, functions: &[(Func, Function)]) -> Option<Flat> {
        let shared = functions.iter().map(|(_, body)| body);
        let bodies: Vec<&Function> = [entry].into_iter().chain(shared).collect();
        // Each has slots of its own, as they are under way together.
        let mut nests = 0u8;
        let mut firsts = Vec::with_capacity(bodies.len());
        for body in &bodies {
            firsts.push(nests);
            nests = nests.checked_add(nests_inside([*body].into_iter()))?;
        }
        let mut linked = Linked::new(entry, nests);
        // Functions are passed arguments, and so are heads of loops.
        let blocks = bodies.iter().flat_map(|body| body.blocks.values());
        let params = blocks.map(|block| block.params.len()).max();
        let back = FIRST_ARG + params.unwrap_or(0) as u32;
        let mut owners = vec![ENTRY; linked.code.blocks.len()];
        let mut members = Vec::with_capacity(bodies.len());
        for (number, (body, nest)) in bodies.into_iter().zip(firsts).enumerate() {
            let first = linked.code.append(&moved(body, nest));
            owners.resize(linked.code.blocks.len(), number);
            members.push(Member {
                first,
                params: body.params.clone(),
                back: back + number as u32,
                is_caught: false,
                calls: Vec::new(),
                heads: Vec::new(),
            });
        }
        let numbers = functions.iter().zip(1..);
        Some(Flat {
            linked,
            members,
            by_func: numbers.map(|((func, _), number)| (*func, number)).collect(),
            owners,
        })
    }

    /// The blocks of a member.
    fn own(&self, member: usize) -> Vec<Block> {
        let owners = self.owners.iter().enumerate();
        owners
            .filter(|(_, owner)| **owner == member)
            .map(|(block, _)| Block::new(block))
            .skip(if member == ENTRY { 2 } else { 0 })
            .collect()
    }

    /// What has been made since belongs to a member.
    fn take(&mut self, member: usize) {
        self.owners.resize(self.linked.code.blocks.len(), member);
    }

    /// Takes the calls out of a member's code, and makes its returns and errors go by the hub. Its callers are prepared.
    fn prepare(&mut self, member: usize) -> Option<()> {
        if self.members[member].is_caught {
            self.hand_errors_down(member);
        }
        if member != ENTRY {
            self.returns(member);
        }
        for block in self.own(member) {
            let data = &mut self.linked.code.blocks[block];
            let before = data.insts.len();
            data.insts
                .retain(|inst| !matches!(inst.op, Op::Nest(_, NestOp::Hub(_))));
            if data.loop_head.is_some() || data.insts.len() < before {
                self.members[member].heads.push(block);
            }
        }
        let mut calls = Vec::new();
        for mut block in self.own(member) {
            let is_shared = |func| self.by_func.contains_key(&func);
            while let Some(call) = self.linked.split_call(block, is_shared) {
                block = call.ok.block;
                let is_caught = call.catch.is_some() || self.members[member].is_caught;
                let is_last = call.catch.is_some();
                let callee = self.by_func.get(&call.callee)?;
                // Callers come first.
                if *callee <= member {
                    return None;
                }
                self.members[*callee].is_caught |= is_caught;
                calls.push(call);
                if is_last {
                    break;
                }
            }
        }
        self.take(member);
        self.members[member].calls = calls;
        Some(())
    }

    /// Makes each return of a function one by the hub.
    fn returns(&mut self, member: usize) {
        let back = NestSlot::Own(self.members[member].back);
        for block in self.own(member) {
            let Terminator::Return(value) = self.linked.code.blocks[block].term else {
                continue;
            };
            let state = self.linked.get(block, back, Ty::I64);
            if let Some(value) = value {
                self.linked.set(block, NestSlot::Own(RESULT), value);
            }
            self.linked.go(block, state);
        }
    }

    /// Makes each error that leaves a function go to the state that waits for it: the one for its return, negated.
    fn hand_errors_down(&mut self, member: usize) {
        let blocks = self.own(member);
        let raise = self.linked.catch_all(&blocks);
        let back = self.members[member].back;
        self.linked.hand_down(raise, back, &[]);
        self.take(member);
    }

    /// Puts calls, states and loops together.
    fn link(mut self) -> Option<Function> {
        let (first, _) = self.linked.state(&[], self.members[ENTRY].first);
        self.take(ENTRY);
        let mut begins = vec![first];
        for member in 1..self.members.len() {
            let params = self.members[member].params.clone();
            let (number, _) = self.linked.state(&params, self.members[member].first);
            begins.push(number);
            self.take(member);
        }
        let passes = self.passes();
        let mut waits = Vec::new();
        for member in 0..self.members.len() {
            for call in std::mem::take(&mut self.members[member].calls) {
                let callee = *self.by_func.get(&call.callee)?;
                let states = self.call(&call, callee, begins[callee]);
                self.take(member);
                waits.push((states, callee));
            }
            for head in std::mem::take(&mut self.members[member].heads) {
                self.linked.detour(head);
                self.take(member);
            }
        }
        let entry = self.linked.code.entry();
        self.linked.go_to(entry, first);
        let waits = self.waits(waits);
        let sets = Sets::One(waits);
        let linked = &mut self.linked;
        settle(
            &mut linked.code,
            linked.hub,
            linked.nest,
            (&linked.states, &linked.ways),
            &sets,
        );
        self.linked.finish_hub(first, passes);
        Some(self.linked.code)
    }

    /// The code of a call, and the states behind it; gives these.
    fn call(&mut self, call: &Call, callee: usize, begin: i64) -> Vec<Block> {
        let linked = &mut self.linked;
        let (back, is_caught) = (self.members[callee].back, self.members[callee].is_caught);
        let (number, ok, caught) = linked.resume(call, NestSlot::Own);
        let mut states: Vec<Block> = [ok].into_iter().chain(caught).collect();
        if is_caught && caught.is_none() {
            let state = linked.block(&[], call.span);
            let site = linked.get(state, NestSlot::Own(RESULT), Ty::I64);
            let arg = linked.get(state, NestSlot::Own(ERROR_ARG), Ty::I64);
            linked.code.blocks[state].term = Terminator::Raise { site, arg };
            linked.states.insert(-number, state);
            states.push(state);
        }
        linked.code.blocks[call.block].term_span = call.span;
        for (slot, arg) in (FIRST_ARG..).zip(&call.args) {
            linked.set(call.block, NestSlot::Own(slot), *arg);
        }
        linked.goes_on(call.block, number);
        let number = linked.value(call.block, Op::Const(number), Ty::I64);
        linked.set(call.block, NestSlot::Own(back), number);
        linked.go_to(call.block, begin);
        states
    }

    /// For the states behind each call what runs before them.
    fn waits(&self, calls: Vec<(Vec<Block>, usize)>) -> Vec<Wait> {
        // Callees come last.
        let mut runs: Vec<EntitySet<Block>> = vec![EntitySet::new(); self.members.len()];
        let mut callees: Vec<Vec<usize>> = vec![Vec::new(); self.members.len()];
        for (states, callee) in &calls {
            if let Some(state) = states.first() {
                callees[self.owners[state.index()]].push(*callee);
            }
        }
        for member in (0..self.members.len()).rev() {
            for block in self.own(member) {
                runs[member].insert(block);
            }
            for &callee in &callees[member] {
                for block in runs[callee].keys().collect::<Vec<_>>() {
                    runs[member].insert(block);
                }
            }
        }
        let waits = calls.into_iter().map(|(states, callee)| Wait {
            states,
            blocks: runs[callee].clone(),
        });
        waits.collect()
    }

    /// How often control goes by the hub at most between two rounds of loops that are counted: for each call as often as if
    /// functions were copied to where they are called. (Functions that recurse return once for each call that is counted.)
    fn passes(&self) -> u32 {
        let mut passes = vec![0u32; self.members.len()];
        for (number, member) in self.members.iter().enumerate().rev() {
            let calls = member.calls.iter().filter_map(|call| {
                let callee = self.by_func.get(&call.callee)?;
                Some(passes[*callee].saturating_add(2))
            });
            let heads = 2 * member.heads.len() as u32;
            passes[number] = calls.fold(heads, u32::saturating_add);
        }
        passes[ENTRY].saturating_add(2)
    }
}
