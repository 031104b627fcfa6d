//! Puts the functions of a group together.

use std::collections::BTreeMap;

use cranelift_entity::PrimaryMap;

use super::build::{Call, Linked};
use super::{nests_inside, site};
use crate::lir::{Block, ErrorKind, Func, Function, NestSlot, Op, Site, SiteId, Terminator};

/// What the functions of a group are to be.
pub struct Group {
    nest: u8,
    /// For each function its name's sites: nests too deep, called too often.
    sites: BTreeMap<Func, (SiteId, SiteId)>,
}

impl Group {
    /// Looks at a group.
    pub fn new(all: &PrimaryMap<SiteId, Site>, bodies: &[(Func, Function)]) -> Group {
        let sites = bodies.iter().map(|(func, body)| {
            let deep = site(all, ErrorKind::MaxNesting, &body.name);
            let often = site(all, ErrorKind::MaxAction, &body.name);
            (*func, (deep, often))
        });
        Group {
            nest: nests_inside(bodies.iter().map(|(_, body)| body)),
            sites: sites.collect(),
        }
    }

    /// All bodies in one function, which does what `entry` does. What lives from one state to another is
    /// not in slots yet.
    pub fn link(&self, bodies: &[(Func, Function)], entry: Func) -> Option<Linked> {
        let (_, first) = bodies.iter().find(|(func, _)| *func == entry)?;
        let mut linked = Linked::new(first, self.nest);
        let mut entries = BTreeMap::new();
        for (func, body) in bodies {
            entries.insert(*func, (linked.code.append(body), &body.params));
        }
        // If one call catches errors, all do, to hand them down.
        let blocks: Vec<Block> = linked.code.blocks.keys().collect();
        let raise = self
            .catches(&linked.code)
            .then(|| linked.catch_all(&blocks));
        let calls = self.split_calls(&mut linked);
        linked.returns();
        let firsts: Vec<Block> = entries.values().map(|(block, _)| *block).collect();
        let mut begins = BTreeMap::new();
        for (func, (block, params)) in entries {
            let (number, state) = linked.state(params, block);
            let (_, often) = self.sites.get(&func)?;
            linked.code.blocks[state].loop_head = Some(*often);
            begins.insert(func, number);
        }
        let resumes: Vec<(i64, Option<Block>)> = (calls.iter())
            .map(|call| {
                let (number, _, caught) = linked.resume(call, NestSlot::Next);
                (number, caught)
            })
            .collect();
        linked.loops(&calls, &resumes, &firsts);
        for (call, (number, _)) in calls.iter().zip(&resumes) {
            let (deep, _) = self.sites.get(&call.callee)?;
            linked.call(call, *deep, *begins.get(&call.callee)?, *number);
        }
        linked.begin(self.sites.get(&entry)?.0, *begins.get(&entry)?);
        linked.end(raise);
        Some(linked)
    }

    fn is_call(&self, op: &Op) -> bool {
        matches!(op, Op::Call(func, ..) if self.sites.contains_key(func))
    }

    /// Whether a call of the group has its errors caught.
    fn catches(&self, code: &Function) -> bool {
        let mut terms = code.blocks.values().map(|data| &data.term);
        terms.any(|term| matches!(term, Terminator::Try { op, .. } if self.is_call(op)))
    }

    /// Cuts blocks behind each call of the group.
    fn split_calls(&self, linked: &mut Linked) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut next = 0;
        while next < linked.code.blocks.len() {
            let block = Block::from_u32(next as u32);
            calls.extend(linked.split_call(block, |func| self.sites.contains_key(&func)));
            next += 1;
        }
        calls
    }
}
