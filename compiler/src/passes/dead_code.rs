//! Removes what nothing needs: operations without effect, parameters, unreachable blocks.
//!
//! Marks what effects and control flow need, and what that needs in turn; sweeps the rest.

use cranelift_entity::{EntitySet, SecondaryMap};

use crate::lir::builder::remove_unreachable;
use crate::lir::{Block, BlockCall, Function, Op, Terminator, Value};

/// Where a value is defined.
#[derive(Clone, Copy)]
enum Def {
    Param(Block, usize),
    Inst(Block, usize),
}

/// Removes dead code; says whether there was any.
pub(super) fn run(function: &mut Function) -> bool {
    let before = function.blocks.len();
    remove_unreachable(function);
    let mut changed = function.blocks.len() != before;
    let live = Marking::new(function).run();
    changed |= sweep_insts(function, &live);
    let dropped = sweep_tries(function, &live);
    changed |= dropped;
    changed |= sweep_params(function, &live);
    if dropped {
        // `catch` blocks may have lost their last way in.
        remove_unreachable(function);
    }
    changed
}

/// A jump as seen from its target.
#[derive(Clone, Copy)]
struct Edge {
    from: Block,
    /// Its number among the jumps of `from`.
    jump: usize,
    /// Leading parameters that the terminator supplies.
    supplied: usize,
}

struct Marking<'a> {
    function: &'a Function,
    defs: SecondaryMap<Value, Option<Def>>,
    preds: SecondaryMap<Block, Vec<Edge>>,
    live: EntitySet<Value>,
    work: Vec<Value>,
}

impl<'a> Marking<'a> {
    fn new(function: &'a Function) -> Self {
        let mut defs = SecondaryMap::with_default(None);
        let mut preds: SecondaryMap<Block, Vec<Edge>> = SecondaryMap::new();
        for (id, block) in &function.blocks {
            for (i, param) in block.params.iter().enumerate() {
                defs[*param] = Some(Def::Param(id, i));
            }
            for (i, inst) in block.insts.iter().enumerate() {
                if let Some(result) = inst.result {
                    defs[result] = Some(Def::Inst(id, i));
                }
            }
            let mut jump = 0;
            function.for_each_successor(id, |to, supplied| {
                preds[to.block].push(Edge {
                    from: id,
                    jump,
                    supplied,
                });
                jump += 1;
            });
        }
        Marking {
            function,
            defs,
            preds,
            live: EntitySet::with_capacity(function.values.len()),
            work: Vec::new(),
        }
    }

    fn mark(&mut self, value: Value) {
        if self.live.insert(value) {
            self.work.push(value);
        }
    }

    fn run(mut self) -> EntitySet<Value> {
        for block in self.function.blocks.values() {
            for inst in &block.insts {
                if !inst.op.is_removable() {
                    inst.op.for_each_operand(|v| self.mark(v));
                }
            }
            self.mark_terminator(&block.term);
        }
        self.mark_passed();
        while let Some(value) = self.work.pop() {
            match self.defs[value] {
                Some(Def::Inst(block, i)) => {
                    let op = &self.function.blocks[block].insts[i].op;
                    op.for_each_operand(|v| self.mark(v));
                }
                Some(Def::Param(block, i)) => self.mark_sources(block, i),
                None => {}
            }
        }
        self.live
    }

    /// What control flow itself needs; arguments are needed only if the parameters are.
    fn mark_terminator(&mut self, term: &Terminator) {
        match term {
            Terminator::Branch(value, ..) | Terminator::Switch { value, .. } => self.mark(*value),
            Terminator::Return(value) => value.iter().for_each(|v| self.mark(*v)),
            Terminator::Raise { site, arg } => {
                self.mark(*site);
                self.mark(*arg);
            }
            Terminator::Try { op, .. } if op.is_removable() => {}
            Terminator::Try { op, .. } => op.for_each_operand(|v| self.mark(v)),
            Terminator::IterNext { iter, .. } => self.mark(*iter),
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
    }

    /// Where one terminator supplies a parameter, the parameter stays, and so do the arguments that
    /// other jumps pass for it.
    fn mark_passed(&mut self) {
        for (id, block) in &self.function.blocks {
            let edges = self.preds[id].iter();
            let supplied = edges.map(|edge| edge.supplied).max().unwrap_or(0);
            for i in 0..supplied.min(block.params.len()) {
                for k in 0..self.preds[id].len() {
                    let edge = self.preds[id][k];
                    if i >= edge.supplied {
                        self.mark_argument(edge, i);
                    }
                }
            }
        }
    }

    /// What a live parameter gets: arguments, or the results of `try`.
    fn mark_sources(&mut self, block: Block, i: usize) {
        for k in 0..self.preds[block].len() {
            let edge = self.preds[block][k];
            let term = &self.function.blocks[edge.from].term;
            if i < edge.supplied {
                if let (Terminator::Try { op, .. }, 0) = (term, edge.jump) {
                    op.for_each_operand(|v| self.mark(v));
                }
                continue;
            }
            self.mark_argument(edge, i);
        }
    }

    /// The argument that a jump passes for parameter number `i`.
    fn mark_argument(&mut self, edge: Edge, i: usize) {
        let mut arg = None;
        let mut jump = 0;
        let term = &self.function.blocks[edge.from].term;
        term.for_each_jump(|to| {
            if jump == edge.jump {
                arg = to.args.get(i - edge.supplied).copied();
            }
            jump += 1;
        });
        if let Some(arg) = arg {
            self.mark(arg);
        }
    }
}

/// Operations whose result is dead; atomic additions lose theirs.
fn sweep_insts(function: &mut Function, live: &EntitySet<Value>) -> bool {
    let mut changed = false;
    for block in function.blocks.values_mut() {
        let before = block.insts.len();
        block.insts.retain_mut(|inst| match inst.result {
            Some(result) if !live.contains(result) => {
                if inst.op.is_removable() {
                    return false;
                }
                if without_result(&mut inst.op) {
                    inst.result = None;
                    changed = true;
                }
                true
            }
            _ => true,
        });
        changed |= block.insts.len() != before;
    }
    changed
}

/// Turns an operation into the one that does the same and gives nothing, if there is one.
fn without_result(op: &mut Op) -> bool {
    *op = match op {
        Op::GlobalFetchAdd(global, value) => Op::GlobalAdd(*global, *value),
        Op::ArrayFetchAdd(global, keys, value, site) => {
            Op::ArrayAdd(*global, std::mem::take(keys), *value, *site)
        }
        _ => return false,
    };
    true
}

/// `try` of an operation whose result is dead and that nobody would miss.
fn sweep_tries(function: &mut Function, live: &EntitySet<Value>) -> bool {
    let mut jumps_to: SecondaryMap<Block, u32> = SecondaryMap::new();
    for block in function.blocks.values() {
        block.term.for_each_jump(|to| jumps_to[to.block] += 1);
    }
    let mut changed = false;
    for id in function.blocks.keys() {
        let Terminator::Try {
            op,
            result: Some(ty),
            ok,
            ..
        } = &function.blocks[id].term
        else {
            continue;
        };
        let param = function.blocks[ok.block].params.first().copied();
        let is_needed = param.is_some_and(|v| live.contains(v));
        if !op.is_removable() || is_needed || jumps_to[ok.block] != 1 {
            continue;
        }
        // The parameter is dead, but its place has to be filled until `sweep_params` drops it.
        let BlockCall { block, args } = ok.clone();
        let ty = *ty;
        let placeholder = function.new_value(ty);
        let args = std::iter::once(placeholder).chain(args).collect();
        function.blocks[id].term = Terminator::Jump(BlockCall { block, args });
        changed = true;
    }
    changed
}

/// Dead parameters, with their arguments, of blocks whose parameters are all passed.
fn sweep_params(function: &mut Function, live: &EntitySet<Value>) -> bool {
    let mut supplied: SecondaryMap<Block, usize> = SecondaryMap::new();
    for block in function.blocks.keys() {
        function.for_each_successor(block, |to, n| {
            supplied[to.block] = supplied[to.block].max(n);
        });
    }
    let entry = function.entry();
    let mut keep: SecondaryMap<Block, Option<Vec<bool>>> = SecondaryMap::new();
    for (id, block) in &mut function.blocks {
        let first = supplied[id];
        let kept: Vec<bool> = block
            .params
            .iter()
            .enumerate()
            .map(|(i, param)| i < first || id == entry || live.contains(*param))
            .collect();
        if kept.contains(&false) {
            retain(&mut block.params, &kept);
            keep[id] = Some(kept);
        }
    }
    let mut changed = false;
    for block in function.blocks.values_mut() {
        let mut leading = Vec::new();
        block.term.for_each_jump(|to| {
            // `keep` says all about the parameters; the arguments are the last of them.
            let params = keep[to.block].as_ref().map_or(0, Vec::len);
            leading.push(params.saturating_sub(to.args.len()));
        });
        let mut leading = leading.into_iter();
        block.term.for_each_jump_mut(|to| {
            let first = leading.next().unwrap_or(0);
            if let Some(kept) = &keep[to.block] {
                retain(&mut to.args, &kept[first..]);
                changed = true;
            }
        });
    }
    changed
}

fn retain(values: &mut Vec<Value>, kept: &[bool]) {
    let mut kept = kept.iter();
    values.retain(|_| kept.next().copied().unwrap_or(true));
}
