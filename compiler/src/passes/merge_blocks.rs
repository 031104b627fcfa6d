//! Joins blocks that always follow each other, and takes empty ones out of the way.

use cranelift_entity::SecondaryMap;

use super::replace::Replacements;
use crate::lir::builder::remove_unreachable;
use crate::lir::{Block, BlockCall, Function, Terminator, Value};

/// Merges what it can; says whether anything changed.
pub(super) fn run(function: &mut Function) -> bool {
    let skipped = skip_empty(function);
    if skipped {
        // What was skipped still jumps on, which would look like another way in.
        remove_unreachable(function);
    }
    let joined = join(function);
    if joined {
        remove_unreachable(function);
    }
    skipped || joined
}

/// Jumps to blocks that only jump on go where those go.
fn skip_empty(function: &mut Function) -> bool {
    let used_elsewhere = params_used_elsewhere(function);
    let mut forwards: SecondaryMap<Block, Option<(Vec<Value>, BlockCall)>> = SecondaryMap::new();
    for (id, block) in &function.blocks {
        let Terminator::Jump(to) = &block.term else {
            continue;
        };
        // The blocks behind the entry and before a loop stay: a loop keeps its one way in.
        let is_plain = block.insts.is_empty() && block.loop_head.is_none() && to.block != id;
        if is_plain && id != function.entry() && !used_elsewhere[id] {
            forwards[id] = Some((block.params.clone(), to.clone()));
        }
    }
    let mut changed = false;
    for id in function.blocks.keys() {
        let mut supplied = Vec::new();
        function.for_each_successor(id, |_, n| supplied.push(n));
        let mut supplied = supplied.into_iter();
        let from = id;
        let term = &mut function.blocks[id].term;
        // `try` and `iter.next` pass values of their own; only a jump without any can be redirected
        // (and `iter.next` and `try` want their targets' first parameters where they are).
        let is_special = matches!(term, Terminator::Try { .. } | Terminator::IterNext { .. });
        term.for_each_jump_mut(|to| {
            let supplied = supplied.next().unwrap_or(0);
            if is_special && supplied > 0 {
                return;
            }
            // Chains of empty blocks are finite unless they form an (endless) loop, which has a
            // head and is not plain.
            for _ in 0..8 {
                let Some((params, next)) = &forwards[to.block] else {
                    break;
                };
                if to.block == from {
                    break;
                }
                let args = next.args.iter().map(|arg| {
                    let at = params.iter().position(|p| p == arg);
                    at.and_then(|at| to.args.get(at)).copied().unwrap_or(*arg)
                });
                *to = BlockCall {
                    block: next.block,
                    args: args.collect(),
                };
                changed = true;
            }
        });
    }
    changed
}

/// Blocks whose parameters are used in other blocks.
fn params_used_elsewhere(function: &Function) -> SecondaryMap<Block, bool> {
    let mut owner: SecondaryMap<Value, Option<Block>> = SecondaryMap::new();
    for (id, block) in &function.blocks {
        for param in &block.params {
            owner[*param] = Some(id);
        }
    }
    let mut used: SecondaryMap<Block, bool> = SecondaryMap::new();
    for (id, block) in &function.blocks {
        let mut see = |value: Value| {
            if let Some(at) = owner[value]
                && at != id
            {
                used[at] = true;
            }
        };
        for inst in &block.insts {
            inst.op.for_each_operand(&mut see);
        }
        block.term.for_each_operand(&mut see);
    }
    used
}

/// Appends blocks to their only predecessor where that does nothing but jump to them.
fn join(function: &mut Function) -> bool {
    let mut jumps_to: SecondaryMap<Block, u32> = SecondaryMap::new();
    for block in function.blocks.values() {
        block.term.for_each_jump(|to| jumps_to[to.block] += 1);
    }
    let mut replacements = Replacements::default();
    let mut changed = false;
    for id in function.blocks.keys() {
        // A block that was appended is left with `unreachable`.
        while let Terminator::Jump(to) = &function.blocks[id].term {
            let next = to.block;
            if jumps_to[next] != 1 || next == id || next == function.entry() {
                break;
            }
            let args = to.args.clone();
            let data = &mut function.blocks[next];
            let params = std::mem::take(&mut data.params);
            let mut insts = std::mem::take(&mut data.insts);
            let term = std::mem::replace(&mut data.term, Terminator::Unreachable);
            let span = data.term_span;
            for (param, arg) in params.into_iter().zip(args) {
                replacements.set(param, arg);
            }
            let block = &mut function.blocks[id];
            block.insts.append(&mut insts);
            block.term = term;
            block.term_span = span;
            changed = true;
        }
    }
    replacements.apply(function);
    changed
}
