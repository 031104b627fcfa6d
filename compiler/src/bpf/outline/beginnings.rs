//! Where the functions of loops begin that move with all their rounds.

use regalloc2::VReg;
use rustc_hash::FxHashMap;

use super::emit::imm;
use super::has_whole_loops;
use super::region::Flow;
use crate::bpf::insn::{AluOp, Insn, Src};
use crate::bpf::vcode::{BlockId, Edge, Loop, LoopKind, Term, VCode};

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
pub fn add_beginnings(code: &mut VCode, loops: &[Loop]) -> Vec<BlockId> {
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
                insts.push(imm(*arg, constant.into()));
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
