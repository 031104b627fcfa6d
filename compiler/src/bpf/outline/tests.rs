//! Tests of functions made of loops.

use regalloc2::{RegClass, VReg};

use super::emit::{add_one, imm};
use super::*;
use crate::bpf::insn::{AluOp, Cond, Reg, Src};
use crate::bpf::object::Arguments;
use crate::bpf::vcode::{BlockId, Edge, TReg};

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
        most: 50,
        give_up: BlockId(4),
    };
    let outlined = outline(program(rounds), 64, Sizes::default()).expect("a loop with a frame");
    assert_eq!(outlined.parts[1].callers, [0]);
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
fn loops_inside_operations_stay_or_are_divided() {
    let whole = |most| program(LoopKind::Whole { most });
    assert!(!is_needed(&whole(100), Sizes::default()));
    assert!(is_needed(&whole(8192), Sizes::default()));
    let outlined = outline(whole(8192), 64, Sizes::default()).expect("a loop with a frame");
    let [main, body] = &outlined.parts[..] else {
        panic!("two functions");
    };
    let (main, body) = (&main.code, &body.code);
    assert_eq!((calls(main), calls(body)), (1, 0));
    // Both go round: the caller 257 times at most, and the function 32 times.
    assert_eq!((bounds(main), bounds(body)), (vec![257], vec![9, 32]));
    assert!(goes_round(main) && goes_round(body));
}

/// What numbers are compared with, 0 left out.
fn bounds(code: &VCode) -> Vec<i32> {
    let terms = code.blocks.iter().filter_map(|block| block.term.as_ref());
    let right = terms.filter_map(|term| match term {
        Term::If {
            right: Src::Imm(right),
            ..
        } => Some(*right),
        _ => None,
    });
    let mut bounds: Vec<i32> = right.filter(|right| *right != 0).collect();
    bounds.sort_unstable();
    bounds
}

/// Whether there is a loop.
fn goes_round(code: &VCode) -> bool {
    let flow = Flow::new(code);
    (0..code.blocks.len()).any(|block| flow.goes_round(block))
}

#[test]
fn many_rounds_are_rounds_of_rounds() {
    let rounds = LoopKind::Rounds {
        most: 1_000_000,
        give_up: BlockId(4),
    };
    let outlined = outline(program(rounds), 64, Sizes::default()).expect("a loop with a frame");
    let callers: Vec<_> = outlined
        .parts
        .iter()
        .map(|part| &part.callers[..])
        .collect();
    assert_eq!(callers, [&[][..], &[0], &[1]]);
    let [main, between, _] = &outlined.parts[..] else {
        panic!("three functions");
    };
    assert_eq!(calls(&main.code), 1);
    let insts = between.code.blocks.iter().flat_map(|block| &block.insts);
    let mut insns = insts.flat_map(|inst| &inst.code);
    assert!(insns.any(|insn| matches!(insn, Insn::CallFn(2))));
}

#[test]
fn functions_beyond_what_a_program_can_have_are_packed() {
    let leaf = |caller| Part::new(carve::rounds(0, 5), Some(caller));
    let mut entry = program(LoopKind::Once);
    let [index, result] = [(); 2].map(|()| entry.vreg());
    let calls = (1..=300).map(|called| emit::call_function(called, index, result));
    entry.blocks[0].insts.extend(calls);
    let mut parts = vec![Part::new(entry, None)];
    parts.extend((0..300).map(|_| leaf(0)));
    let packed = pack(parts).expect("room for them");
    // Two in each: 150 and the entry.
    assert_eq!(packed.len(), 151);
    let insts = &packed[0].code.blocks[0].insts;
    let last = insts.last().expect("a call");
    let number = Insn::Alu {
        op: AluOp::Mov,
        wide: true,
        dst: TReg::Phys(Reg(2)),
        src: Src::Imm(1),
    };
    assert_eq!(last.code[..], [number, Insn::CallFn(150)]);
    assert_eq!(packed[150].callers, [0]);
    assert_eq!(packed[150].arguments, Arguments::IndexAndNumber);
    let flow = Flow::new(&packed[150].code);
    let heads = (0..packed[150].code.blocks.len()).filter(|block| flow.goes_round(*block));
    assert_eq!(heads.count(), 2);
}
