//! Branches that are decided: on constants, to one place either way, and, one jump further, on
//! constants that a predecessor passes.

use cranelift_entity::SecondaryMap;

use crate::lir::{Block, BlockCall, CmpOp, Function, Op, Terminator, Value};

/// Decides what it can; says whether anything changed.
pub(super) fn run(function: &mut Function) -> bool {
    let facts = Facts::new(function);
    let mut changed = false;
    for id in function.blocks.keys() {
        changed |= decide(function, &facts, id);
    }
    for id in function.blocks.keys() {
        changed |= thread(function, &facts, id);
    }
    changed
}

/// What branches ask about.
struct Facts {
    numbers: SecondaryMap<Value, Option<i64>>,
    /// `value == 0` and `value != 0`: the value, and whether it is the latter.
    zero_tests: SecondaryMap<Value, Option<(Value, bool)>>,
    /// Blocks whose parameters other blocks use.
    escapes: SecondaryMap<Block, bool>,
}

impl Facts {
    fn new(function: &Function) -> Self {
        let mut facts = Facts {
            numbers: SecondaryMap::new(),
            zero_tests: SecondaryMap::new(),
            escapes: SecondaryMap::new(),
        };
        for block in function.blocks.values() {
            for inst in &block.insts {
                if let (Op::Const(n), Some(result)) = (&inst.op, inst.result) {
                    facts.numbers[result] = Some(*n);
                }
            }
        }
        for block in function.blocks.values() {
            for inst in &block.insts {
                if let (Op::Cmp(op @ (CmpOp::Eq | CmpOp::Ne), a, b), Some(result)) =
                    (&inst.op, inst.result)
                    && facts.numbers[*b] == Some(0)
                {
                    facts.zero_tests[result] = Some((*a, *op == CmpOp::Ne));
                }
            }
        }
        facts.find_escapes(function);
        facts
    }

    fn find_escapes(&mut self, function: &Function) {
        let mut owner: SecondaryMap<Value, Option<Block>> = SecondaryMap::new();
        for (id, block) in &function.blocks {
            for param in &block.params {
                owner[*param] = Some(id);
            }
        }
        for (id, block) in &function.blocks {
            let mut see = |value: Value| {
                if let Some(at) = owner[value]
                    && at != id
                {
                    self.escapes[at] = true;
                }
            };
            for inst in &block.insts {
                inst.op.for_each_operand(&mut see);
            }
            block.term.for_each_operand(&mut see);
        }
    }
}

fn decide(function: &mut Function, facts: &Facts, id: Block) -> bool {
    let term = &mut function.blocks[id].term;
    let new = match term {
        Terminator::Branch(_, yes, no) if yes == no => Terminator::Jump(yes.clone()),
        Terminator::Branch(value, yes, no) => {
            if let Some(n) = facts.numbers[*value] {
                let taken = if n != 0 { yes } else { no };
                Terminator::Jump(taken.clone())
            } else if let Some((tested, is_ne)) = facts.zero_tests[*value] {
                let (yes, no) = (yes.clone(), no.clone());
                if is_ne {
                    Terminator::Branch(tested, yes, no)
                } else {
                    Terminator::Branch(tested, no, yes)
                }
            } else {
                return false;
            }
        }
        Terminator::Switch {
            value,
            cases,
            default,
        } => {
            if let Some(n) = facts.numbers[*value] {
                let found = cases.iter().find(|(case, _)| *case == n);
                Terminator::Jump(found.map_or(&*default, |(_, to)| to).clone())
            } else {
                let before = cases.len();
                cases.retain(|(_, to)| to != default);
                match cases.as_slice() {
                    [] => Terminator::Jump(default.clone()),
                    [(0, zero)] => Terminator::Branch(*value, default.clone(), zero.clone()),
                    [..] => return cases.len() != before,
                }
            }
        }
        _ => return false,
    };
    *term = new;
    true
}

/// Where `id` jumps with constants to a block that only branches on its parameters, goes straight
/// to where that leads.
fn thread(function: &mut Function, facts: &Facts, id: Block) -> bool {
    let mut changed = false;
    let mut term = std::mem::replace(&mut function.blocks[id].term, Terminator::Unreachable);
    // What `try` and `iter.next` supply cannot be passed on.
    if !matches!(term, Terminator::Try { .. } | Terminator::IterNext { .. }) {
        term.for_each_jump_mut(|to| {
            // A few steps; loops made of nothing but branches end somewhere.
            for _ in 0..4 {
                match step(function, facts, to) {
                    Some(next) if to.block != id => *to = next,
                    _ => break,
                }
                changed = true;
            }
        });
    }
    function.blocks[id].term = term;
    changed
}

/// Where a jump leads after a block that decides on its arguments alone.
fn step(function: &Function, facts: &Facts, to: &BlockCall) -> Option<BlockCall> {
    let data = &function.blocks[to.block];
    if !data.insts.is_empty() || facts.escapes[to.block] || data.loop_head.is_some() {
        return None;
    }
    let number = |value: &Value| {
        let at = data.params.iter().position(|p| p == value)?;
        facts.numbers[*to.args.get(at)?]
    };
    let next = match &data.term {
        Terminator::Branch(value, yes, no) => {
            if number(value)? != 0 {
                yes
            } else {
                no
            }
        }
        Terminator::Switch {
            value,
            cases,
            default,
        } => {
            let n = number(value)?;
            let found = cases.iter().find(|(case, _)| *case == n);
            found.map_or(default, |(_, to)| to)
        }
        _ => return None,
    };
    let args = next.args.iter().map(|arg| {
        let at = data.params.iter().position(|p| p == arg);
        at.and_then(|at| to.args.get(at)).copied().unwrap_or(*arg)
    });
    Some(BlockCall {
        block: next.block,
        args: args.collect(),
    })
}
