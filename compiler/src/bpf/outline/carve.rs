//! Moves the blocks of a region to a function of its own, and puts the call in their place. What lives
//! across the border is in slots already (`slots`): nothing is passed but the frame's index, and nothing comes
//! back but the way to go on by.

use std::collections::BTreeMap;

use regalloc2::VReg;

use super::emit::{KEY_OFFSET, add_one, call_function, find_frame, imm, take_index};
use crate::bpf::insn::{Cond, Src};
use crate::bpf::vcode::{BlockId, Edge, Loop, LoopKind, Term, VBlock, VCode};

/// What the body of a loop returns to go round again.
const AGAIN: i64 = 0;

/// Makes a function of a region's blocks; all that is to be called from there is carved out already. In its place
/// function `function` is called.
pub fn carve(
    code: &mut VCode,
    info: Loop,
    blocks: &[usize],
    function: u32,
) -> Result<VCode, String> {
    let (Some(frame), Some(index)) = (code.frame, code.frame_index) else {
        return Err("a function without a frame".to_owned());
    };
    let mut body = VCode {
        vregs: code.vregs,
        stack_bytes: code.stack_bytes.max(KEY_OFFSET.unsigned_abs().into()),
        frame: Some(frame),
        frame_index: Some(index),
        ..VCode::default()
    };
    let entry = body.block(false);
    let mut renamed = BTreeMap::new();
    for &block in blocks {
        let fresh = body.block(code.blocks[block].cold);
        renamed.insert(block, fresh);
        body.blocks[fresh.0 as usize] = std::mem::take(&mut code.blocks[block]);
    }
    let head = info.head.0 as usize;
    let Some(&first) = renamed.get(&head) else {
        return Err("a function that begins in another".to_owned());
    };
    enter(&mut body, entry, first, frame, index);
    let ways = leave(&mut body, &renamed, info);
    let call = Call {
        info,
        function,
        index,
    };
    call.put(code, &ways);
    Ok(body)
}

/// A function that goes round by calling another, at most `most` times, and returns what that one does: the
/// rounds of a long loop are rounds of rounds, so that a verifier follows few.
pub fn rounds(function: u32, most: u32) -> VCode {
    let mut code = VCode::default();
    let [head, again, left, full] = [false, false, false, true].map(|cold| code.block(cold));
    let [index, result, zero] = [(); 3].map(|()| code.vreg());
    code.blocks[head.0 as usize].insts = vec![take_index(index)];
    code.blocks[again.0 as usize].insts = vec![call_function(function, index, result)];
    code.blocks[left.0 as usize].term = Some(Term::Exit(result));
    code.blocks[full.0 as usize].insts = vec![imm(zero, AGAIN)];
    code.blocks[full.0 as usize].term = Some(Term::Exit(zero));
    go_round(&mut code, [head, again, left], result, (most, full));
    code
}

fn to(block: BlockId) -> Edge {
    Edge {
        block,
        args: Vec::new(),
    }
}

/// The beginning of a function: finds the frame.
fn enter(body: &mut VCode, entry: BlockId, first: BlockId, frame: VReg, index: VReg) {
    let insts = &body.blocks[first.0 as usize].insts;
    let span = insts.iter().find_map(|inst| inst.span);
    let lost = body.block(true);
    let no_frame = body.vreg();
    body.blocks[lost.0 as usize].insts = vec![imm(no_frame, 1)];
    body.blocks[lost.0 as usize].term = Some(Term::Exit(no_frame));
    let block = &mut body.blocks[entry.0 as usize];
    block.insts = find_frame(frame, index);
    for inst in &mut block.insts {
        inst.span = span;
    }
    block.term = Some(Term::If {
        cond: Cond::Eq,
        wide: true,
        left: frame,
        right: Src::Imm(0),
        then: to(lost),
        els: to(first),
    });
}

/// Makes a function's ends: rounds, and ways out. Gives the blocks to go to outside, in the
/// order of what is returned for them, from 1.
fn leave(body: &mut VCode, renamed: &BTreeMap<usize, BlockId>, info: Loop) -> Vec<BlockId> {
    let again = match info.kind {
        LoopKind::Rounds { .. } | LoopKind::Chunks { .. } => Some(info.head),
        LoopKind::Whole { .. } | LoopKind::Once => None,
    };
    let mut ways: Vec<BlockId> = match info.kind {
        LoopKind::Rounds { give_up, .. } => vec![give_up],
        LoopKind::Whole { .. } | LoopKind::Chunks { .. } | LoopKind::Once => Vec::new(),
    };
    for &block in renamed.values() {
        let at = block.0 as usize;
        let (cold, span) = (body.blocks[at].cold, body.blocks[at].term_span);
        let mut term = body.blocks[at].term.take();
        for edge in term.iter_mut().flat_map(Term::edges_mut) {
            let inside = renamed.get(&(edge.block.0 as usize));
            if let Some(inside) = inside
                && Some(edge.block) != again
            {
                edge.block = *inside;
                continue;
            }
            let code = if Some(edge.block) == again {
                AGAIN
            } else {
                let known = ways.iter().position(|way| *way == edge.block);
                let way = known.unwrap_or_else(|| {
                    ways.push(edge.block);
                    ways.len() - 1
                });
                way as i64 + 1
            };
            let result = body.vreg();
            edge.block = body.block(cold);
            let out = &mut body.blocks[edge.block.0 as usize];
            out.insts = vec![imm(result, code)];
            out.term = Some(Term::Exit(result));
            out.term_span = span;
        }
        body.blocks[at].term = term;
    }
    ways
}

/// A call that stands where a region was.
struct Call {
    info: Loop,
    function: u32,
    index: VReg,
}

impl Call {
    fn put(&self, code: &mut VCode, ways: &[BlockId]) {
        let head = self.info.head.0 as usize;
        let (again, left) = (code.block(false), code.block(false));
        let result = code.vreg();
        code.blocks[head] = VBlock {
            term: Some(Term::Jump(to(again))),
            ..VBlock::default()
        };
        code.blocks[again.0 as usize].insts =
            vec![call_function(self.function, self.index, result)];
        match self.info.kind {
            LoopKind::Whole { .. } | LoopKind::Once => {
                code.blocks[again.0 as usize].term = Some(Term::Jump(to(left)));
            }
            LoopKind::Rounds { most, give_up } => {
                go_round(code, [self.info.head, again, left], result, (most, give_up));
            }
            // It has left before it is out of rounds, which no verifier knows.
            LoopKind::Chunks { most } => {
                go_round(code, [self.info.head, again, left], result, (most, left));
            }
        }
        go_on(code, left, result, ways);
    }
}

/// The loop around the call. The ways out are tried first by a verifier that follows every
/// round: so it has few branches to remember.
fn go_round(
    code: &mut VCode,
    [head, again, left]: [BlockId; 3],
    result: VReg,
    (most, give_up): (u32, BlockId),
) {
    let head = head.0 as usize;
    let next = code.block(true);
    code.blocks[again.0 as usize].term = Some(Term::If {
        cond: Cond::Eq,
        wide: true,
        left: result,
        right: Src::Imm(AGAIN as i32),
        then: to(next),
        els: to(left),
    });
    let round = |count| Edge {
        block: again,
        args: vec![count],
    };
    let (first, count, more) = (code.vreg(), code.vreg(), code.vreg());
    code.blocks[head].insts.push(imm(first, 0));
    code.blocks[head].term = Some(Term::Jump(round(first)));
    code.blocks[again.0 as usize].params = vec![count];
    code.blocks[next.0 as usize].insts = vec![add_one(more, count)];
    code.blocks[next.0 as usize].term = Some(Term::If {
        cond: Cond::Gt,
        wide: true,
        left: more,
        right: Src::Imm(most.min(i32::MAX as u32) as i32),
        then: to(give_up),
        els: round(more),
    });
}

/// Behind a call: goes the way that was returned.
fn go_on(code: &mut VCode, mut from: BlockId, result: VReg, ways: &[BlockId]) {
    let Some((last, others)) = ways.split_last() else {
        // A loop without an end is left in no way.
        let zero = code.vreg();
        let block = &mut code.blocks[from.0 as usize];
        block.insts.push(imm(zero, 0));
        block.term = Some(Term::Exit(zero));
        return;
    };
    for (n, &way) in others.iter().enumerate() {
        let next = code.block(false);
        code.blocks[from.0 as usize].term = Some(Term::If {
            cond: Cond::Eq,
            wide: true,
            left: result,
            right: Src::Imm(n as i32 + 1),
            then: to(way),
            els: to(next),
        });
        from = next;
    }
    code.blocks[from.0 as usize].term = Some(Term::Jump(to(*last)));
}
