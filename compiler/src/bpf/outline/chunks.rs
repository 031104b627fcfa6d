//! Long loops inside operations, so many rounds at a time: a verifier follows each round of a loop, and what is done for
//! each byte of a long string is too much to be followed hundreds of times. So the loop gets another one around it:
//!
//! ```text
//! outer(state):           jump head(state, 0)
//! head(state, rounds):    … as before …      out of it as before; again by:
//! again(state, rounds):   rounds + 1 < CHUNK ? head(state, rounds + 1) : outer(state)
//! ```
//!
//! A round of the outer loop becomes a function ([`LoopKind::Chunks`]), of which nothing is known
//! where it begins: it is verified once, with its few rounds.

use regalloc2::VReg;

use super::emit::{add_one, imm};
use super::parts;
use super::region::Flow;
use crate::bpf::insn::{Cond, Src};
use crate::bpf::vcode::{BlockId, Edge, Loop, LoopKind, Term, VCode};

/// Rounds at a time.
const CHUNK: u32 = 32;
/// Loops are divided that are longer than this: rounds times instructions.
const DEAR: usize = 4096;

/// Whether a loop is so long that it is to be divided.
pub fn is_dear(code: &VCode, flow: &Flow, info: &Loop) -> bool {
    let LoopKind::Whole { most } = info.kind else {
        return false;
    };
    most > 2 * CHUNK
        && flow.region(code, info).is_some_and(|region| {
            let insns = region.iter().map(|block| parts::insns(code, *block));
            insns.sum::<usize>() * most as usize > DEAR
        })
}

/// Divides the rounds of a loop, and gives the loop around it.
pub fn divide(code: &mut VCode, flow: &Flow, info: Loop) -> Loop {
    let LoopKind::Whole { most } = info.kind else {
        return info;
    };
    let head = info.head;
    let at = head.0 as usize;
    let cold = code.blocks[at].cold;
    let [outer, again] = [(); 2].map(|()| code.block(cold));
    for &pred in flow.preds(at) {
        let instead = if flow.dominates(at, pred) {
            again
        } else {
            outer
        };
        for edge in code.blocks[pred].term.iter_mut().flat_map(Term::edges_mut) {
            if edge.block == head {
                edge.block = instead;
            }
        }
    }
    let count = code.blocks[at].params.len();
    let rounds = code.vreg();
    code.blocks[at].params.push(rounds);

    let zero = code.vreg();
    let state = params(code, outer, count);
    code.blocks[outer.0 as usize].insts = vec![imm(zero, 0)];
    code.blocks[outer.0 as usize].term = Some(Term::Jump(to(head, state, Some(zero))));

    let more = code.vreg();
    let state = params(code, again, count);
    code.blocks[again.0 as usize].insts = vec![add_one(more, rounds)];
    code.blocks[again.0 as usize].term = Some(Term::If {
        cond: Cond::Ge,
        wide: true,
        left: more,
        right: Src::Imm(CHUNK as i32),
        then: to(outer, state.clone(), None),
        els: to(head, state, Some(more)),
    });
    Loop {
        head: outer,
        kind: LoopKind::Chunks {
            most: most / CHUNK + 1,
        },
    }
}

/// Parameters of a block.
fn params(code: &mut VCode, block: BlockId, count: usize) -> Vec<VReg> {
    let params: Vec<VReg> = (0..count).map(|_| code.vreg()).collect();
    code.blocks[block.0 as usize].params.clone_from(&params);
    params
}

fn to(block: BlockId, state: Vec<VReg>, rounds: Option<VReg>) -> Edge {
    Edge {
        block,
        args: state.into_iter().chain(rounds).collect(),
    }
}
