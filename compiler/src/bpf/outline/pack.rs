//! Several functions in one: verifiers let a program have 256, and a long handler has more loops and parts than
//! that. What is packed takes a second argument, which says whose code is to run:
//!
//! ```text
//! f(index, which):  which == 0 ? first body : which == 1 ? second body : … : last body
//! ```
//!
//! A verifier knows nothing of that number either, so it verifies each body once. Functions that call none are packed first. If that is
//! not enough, so are others, those of one level together, the longest way to which from the program's entry has as many calls:
//! so none comes to call itself.

use std::collections::BTreeMap;

use regalloc2::VReg;

use super::emit::{copy, take_index_and_number};
use super::parts;
use crate::bpf::MAX_FUNCTIONS;
use crate::bpf::functions::Part;
use crate::bpf::insn::{AluOp, Cond, Insn, Reg, Src, Wide};
use crate::bpf::object::Arguments;
use crate::bpf::vcode::{BlockId, Edge, NewNames, TReg, Term, VCode};

/// The most bodies in a function: they are told apart one after another.
const MAX_BODIES: usize = 16;
/// Instructions that a function of several bodies has at most, about: jumps do not reach far.
const LONGEST: usize = 8000;
/// Bodies that programs may have.
pub const MAX_PACKED: usize = MAX_BODIES / 2 * MAX_FUNCTIONS;

/// Where a function's code went: the function, and which of its bodies it is, if it has several.
type Place = (u32, Option<u32>);

/// Packs functions, as many as it takes. The order stays: callers before what they call. None if they are too many for that.
pub fn pack(parts: Vec<Part>) -> Option<Vec<Part>> {
    if parts.len() <= MAX_FUNCTIONS {
        return Some(parts);
    }
    let (leaves, joinable) = (leaves(&parts), joinable(&parts));
    let sizes = || 2..=MAX_BODIES;
    let groups = (sizes().map(|most| groups(&parts, &leaves, most)))
        .chain(sizes().map(|most| groups(&parts, &joinable, most)))
        .find(|groups| groups.len() <= MAX_FUNCTIONS)?;
    let mut places: Vec<Place> = vec![(0, None); parts.len()];
    for (number, group) in groups.iter().enumerate() {
        for (which, part) in group.iter().enumerate() {
            let which = (group.len() > 1).then_some(which as u32);
            places[*part] = (number as u32, which);
        }
    }
    let mut names = NewNames::default();
    let mut parts: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
    let packed = groups.iter().map(|group| {
        let members = group.iter().filter_map(|part| parts[*part].take());
        let mut members: Vec<Part> = members.collect();
        for member in &mut members {
            redirect(&mut member.code, &places);
            for caller in &mut member.callers {
                *caller = places[*caller].0 as usize;
            }
        }
        if members.len() > 1 {
            Some(join(members, &mut names))
        } else {
            members.pop()
        }
    });
    packed.collect()
}

/// Which functions go together, at most `most` of those that may, in the order of levels.
fn groups(parts: &[Part], may_join: &[bool], most: usize) -> Vec<Vec<usize>> {
    let mut levels = vec![0; parts.len()];
    let mut by_level: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        let callers = part.callers.iter().map(|caller| levels[*caller] + 1);
        levels[number] = callers.max().unwrap_or(0);
        by_level.entry(levels[number]).or_default().push(number);
    }
    let mut groups = Vec::new();
    for level in by_level.into_values() {
        let mut open: Vec<usize> = Vec::new();
        let mut length = 0;
        for number in level {
            if !may_join[number] {
                groups.push(vec![number]);
                continue;
            }
            let own = parts::length(&parts[number].code);
            if open.len() == most || length + own > LONGEST {
                groups.extend((!open.is_empty()).then(|| std::mem::take(&mut open)));
                length = 0;
            }
            open.push(number);
            length += own;
        }
        groups.extend((!open.is_empty()).then_some(open));
    }
    groups
}

/// The functions that begin by taking the frame's index, as all do that the program calls.
fn joinable(parts: &[Part]) -> Vec<bool> {
    let first = |part: &Part| part.code.blocks.first()?.insts.first().cloned();
    let takes = |part: &Part| first(part).is_some_and(|inst| inst.code.is_empty());
    (parts.iter().enumerate())
        .map(|(number, part)| number != 0 && part.arguments == Arguments::Index && takes(part))
        .collect()
}

/// Those that call none.
fn leaves(parts: &[Part]) -> Vec<bool> {
    let mut leaves = joinable(parts);
    for caller in parts.iter().flat_map(|part| &part.callers) {
        leaves[*caller] = false;
    }
    leaves
}

/// Makes calls go where the functions are now.
fn redirect(code: &mut VCode, places: &[Place]) {
    let insts = code.blocks.iter_mut().flat_map(|block| &mut block.insts);
    for inst in insts {
        let mut number = None;
        for insn in &mut inst.code {
            match insn {
                Insn::LoadWide {
                    value: Wide::Function(called),
                    ..
                } => *called = places[*called as usize].0,
                Insn::CallFn(called) => (*called, number) = places[*called as usize],
                _ => {}
            }
        }
        if let Some(number) = number {
            let second = Insn::Alu {
                op: AluOp::Mov,
                wide: true,
                dst: TReg::Phys(Reg(2)),
                src: Src::Imm(number as i32),
            };
            inst.code.insert(0, second);
        }
    }
}

/// One function of several.
fn join(members: Vec<Part>, names: &mut NewNames) -> Part {
    let mut all = VCode::default();
    let [index, which] = [(); 2].map(|()| all.vreg());
    let begin = all.block(false);
    all.blocks[begin.0 as usize].insts = vec![take_index_and_number(index, which)];
    let to = |block| Edge {
        block,
        args: Vec::new(),
    };
    let mut callers = Vec::new();
    let mut asks = begin;
    let last = members.len() - 1;
    for (number, mut member) in members.into_iter().enumerate() {
        callers.extend(member.callers);
        let body = add(&mut all, &mut member.code, index, names);
        let next = all.block(false);
        let asked = std::mem::replace(&mut asks, next);
        all.blocks[asked.0 as usize].term = Some(if number == last {
            Term::Jump(to(body))
        } else {
            Term::If {
                cond: Cond::Eq,
                wide: true,
                left: which,
                right: Src::Imm(number as i32),
                then: to(body),
                els: to(next),
            }
        });
    }
    callers.sort_unstable();
    callers.dedup();
    Part {
        code: all,
        callers,
        arguments: Arguments::IndexAndNumber,
    }
}

/// Adds a body, which finds the frame's index in `index`; gives the block at which it begins.
fn add(all: &mut VCode, body: &mut VCode, index: VReg, names: &mut NewNames) -> BlockId {
    body.compact(names);
    body.number_from(all.vregs, all.blocks.len() as u32);
    let begin = BlockId(all.blocks.len() as u32);
    if let Some(inst) = body
        .blocks
        .first_mut()
        .and_then(|block| block.insts.first_mut())
        && let Some(own) = inst.operands.first().map(|operand| operand.vreg())
    {
        *inst = copy(own, index);
    }
    all.vregs += body.vregs;
    all.stack_bytes = all.stack_bytes.max(body.stack_bytes);
    all.blocks.append(&mut body.blocks);
    begin
}
