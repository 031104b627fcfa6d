//! Folds operations and finds values that are there already.
//!
//! A walk over the dominator tree with a table of the operations done so far on the way:
//! * pure operations are looked up in all dominating blocks;
//! * loads (globals, array elements, traced memory) only back to where control flow last came
//!   together, and not across updates of the same global;
//! * what a branch says about its condition holds in the blocks it alone leads to.

#![allow(
    clippy::many_single_char_names,
    reason = "operands are a and b, constants m and n"
)]

use cranelift_entity::SecondaryMap;
use rtap_grammar::source::Span;
use smallvec::SmallVec;

use super::fold::{self, Folded, Known};
use super::fold_strings;
use super::interner::Interner;
use super::replace::Replacements;
use crate::lir::cfg::Cfg;
use crate::lir::*;
use rustc_hash::FxHashMap;

/// An operation and the type of its result; error sites do not tell operations apart.
type Key = (Op, Ty);

/// Numbers a function's values; says whether anything changed.
pub(super) fn run(module: &mut Module, texts: &mut Interner, function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let mut cx = Cx {
        module,
        texts,
        function,
        replacements: Replacements::default(),
        known: Known::default(),
        pure: FxHashMap::default(),
        loads: FxHashMap::default(),
        assumed: FxHashMap::default(),
        cases: SecondaryMap::new(),
        clock: 0,
        barrier: 0,
        all_updated: 0,
        updated: SecondaryMap::new(),
        undo: Vec::new(),
        out: Vec::new(),
        changed: false,
    };
    let mut stack = vec![(cx.function.entry(), None)];
    while let Some((block, leave)) = stack.pop() {
        if let Some(mark) = leave {
            cx.leave(mark);
            continue;
        }
        stack.push((block, Some(cx.undo.len())));
        cx.enter(block, &cfg.preds[block]);
        cx.block(block);
        stack.extend(cfg.tree[block].iter().rev().map(|child| (*child, None)));
    }
    cx.changed
}

/// How to restore the tables when a block's part of the tree is done.
enum Undo {
    Pure(Key, Option<Value>),
    Load(Key, Option<(Value, u32)>),
    Assumed(Value, Option<i64>),
    Updated(Global, u32),
    AllUpdated(u32),
    Barrier(u32),
}

pub(super) struct Cx<'a> {
    pub(super) module: &'a mut Module,
    pub(super) texts: &'a mut Interner,
    function: &'a mut Function,
    replacements: Replacements,
    pub(super) known: Known,
    pure: FxHashMap<Key, Value>,
    /// Values of loads, and when each was made.
    loads: FxHashMap<Key, (Value, u32)>,
    /// Numbers that branches say values are.
    assumed: FxHashMap<Value, i64>,
    /// The number by which a `switch` leads to each block; for blocks with one way in.
    cases: SecondaryMap<Block, Option<i64>>,
    clock: u32,
    /// Loads from before this time are not valid any more.
    barrier: u32,
    /// When all globals may have been updated: by a call, or by others until a count was taken.
    all_updated: u32,
    /// When each global was updated last.
    updated: SecondaryMap<Global, u32>,
    undo: Vec<Undo>,
    /// The new instructions of the current block.
    out: Vec<Inst>,
    changed: bool,
}

impl Cx<'_> {
    fn leave(&mut self, mark: usize) {
        for undo in self.undo.drain(mark..).rev() {
            match undo {
                Undo::Pure(key, Some(value)) => {
                    self.pure.insert(key, value);
                }
                Undo::Pure(key, None) => {
                    self.pure.remove(&key);
                }
                Undo::Load(key, Some(load)) => {
                    self.loads.insert(key, load);
                }
                Undo::Load(key, None) => {
                    self.loads.remove(&key);
                }
                Undo::Assumed(value, Some(n)) => {
                    self.assumed.insert(value, n);
                }
                Undo::Assumed(value, None) => {
                    self.assumed.remove(&value);
                }
                Undo::Updated(global, time) => self.updated[global] = time,
                Undo::AllUpdated(time) => self.all_updated = time,
                Undo::Barrier(time) => self.barrier = time,
            }
        }
    }

    /// What the way into a block says.
    fn enter(&mut self, block: Block, preds: &[Block]) {
        self.clock += 1;
        let [pred] = preds else {
            self.undo.push(Undo::Barrier(self.barrier));
            self.barrier = self.clock;
            return;
        };
        match &self.function.blocks[*pred].term {
            Terminator::Branch(cond, yes, no) if yes.block != no.block => {
                let (cond, holds) = (*cond, yes.block == block);
                self.assume_condition(cond, holds);
            }
            Terminator::Switch { value, .. } => {
                let value = *value;
                if let Some(n) = self.cases[block] {
                    self.assume(value, n);
                }
            }
            Terminator::Try {
                op,
                result: Some(ty),
                ok,
                ..
            } if ok.block == block => {
                let (op, ty) = (op.clone(), *ty);
                if let Some(param) = self.function.blocks[block].params.first().copied() {
                    self.known.define(param, &op);
                    self.remember(&op, ty, param);
                }
            }
            Terminator::Try { op, ok, .. } if ok.block == block => {
                let op = op.clone();
                self.stored(&op);
            }
            _ => {}
        }
    }

    fn assume_condition(&mut self, cond: Value, holds: bool) {
        if !holds {
            self.assume(cond, 0);
        } else if self.known.bits(cond) <= 1 {
            self.assume(cond, 1);
        }
        if let Some(Op::Cmp(op, a, b)) = self.known.op(cond).cloned() {
            let equal = match op {
                CmpOp::Eq => holds,
                CmpOp::Ne => !holds,
                _ => false,
            };
            if let (true, Some(n)) = (equal, self.known.int(b)) {
                self.assume(a, n);
            }
        }
    }

    fn assume(&mut self, value: Value, n: i64) {
        if self.known.int(value).is_none() {
            let before = self.assumed.insert(value, n);
            self.undo.push(Undo::Assumed(value, before));
        }
    }

    fn block(&mut self, block: Block) {
        let insts = std::mem::take(&mut self.function.blocks[block].insts);
        self.out = Vec::with_capacity(insts.len());
        for inst in insts {
            self.inst(inst);
        }
        self.terminator(block);
        self.function.blocks[block].insts = std::mem::take(&mut self.out);
    }

    /// The operand that is to be used for a value: its replacement, or the number that it is here.
    fn operand(&mut self, value: Value, span: Span) -> Value {
        let value = self.replacements.get(value);
        match self.assumed.get(&value) {
            Some(n) => {
                self.changed = true;
                let n = *n;
                self.number(Op::Const(n), Ty::I64, span)
            }
            None => value,
        }
    }

    fn rewrite(&mut self, op: &mut Op, span: Span) {
        // Handles of iterations are no numbers, and are never assumed to be any.
        let mut operands: SmallVec<[Value; 8]> = SmallVec::new();
        op.for_each_operand(|v| operands.push(v));
        for operand in &mut operands {
            *operand = self.operand(*operand, span);
        }
        let mut operands = operands.into_iter();
        op.for_each_operand_mut(|v| {
            if let Some(operand) = operands.next() {
                *v = operand;
            }
        });
    }

    fn inst(&mut self, mut inst: Inst) {
        self.rewrite(&mut inst.op, inst.span);
        let Some(result) = inst.result else {
            self.effect(&inst.op);
            self.out.push(inst);
            return;
        };
        let ty = self.function.ty(result);
        match self.find(&mut inst.op, ty, inst.span) {
            Some(value) => {
                self.replacements.set(result, value);
                self.changed = true;
            }
            None => self.append(inst.op, ty, result, inst.span),
        }
    }

    /// The value of an operation: one that is there, or a new one.
    pub(super) fn number(&mut self, mut op: Op, ty: Ty, span: Span) -> Value {
        if let Some(value) = self.find(&mut op, ty, span) {
            value
        } else {
            let result = self.function.new_value(ty);
            self.append(op, ty, result, span);
            result
        }
    }

    fn append(&mut self, op: Op, ty: Ty, result: Value, span: Span) {
        self.known.define(result, &op);
        self.effect(&op);
        self.remember(&op, ty, result);
        self.out.push(Inst {
            op,
            result: Some(result),
            span,
        });
    }

    /// Simplifies an operation as far as it goes and looks for its value.
    fn find(&mut self, op: &mut Op, ty: Ty, span: Span) -> Option<Value> {
        // Each step makes the operation simpler; the bound only guards against mistakes here.
        for _ in 0..8 {
            let folded = match fold::fold(op, &self.known) {
                Folded::No => fold_strings::fold(op, ty, &self.known, self.function, self.module),
                folded => folded,
            };
            match folded {
                Folded::No => {
                    if let Some(new) = self.rebase(op, span) {
                        *op = new;
                        self.changed = true;
                        continue;
                    }
                    break;
                }
                Folded::Value(value) if self.function.ty(value) == ty => return Some(value),
                Folded::Value(value) => *op = Op::StrCut(value),
                Folded::Int(n) => *op = Op::Const(n),
                Folded::Text(text) => {
                    let id = self.texts.get(self.module, &text);
                    *op = Op::StrConst(id);
                }
                Folded::Op(new) => *op = new,
            }
            self.changed = true;
        }
        let key = key(op, ty);
        if op.is_pure() {
            return self.pure.get(&key).copied();
        }
        if op.is_load() {
            let (value, time) = *self.loads.get(&key)?;
            return self.is_valid(op, time).then_some(value);
        }
        None
    }

    fn is_valid(&self, op: &Op, time: u32) -> bool {
        let updated = op
            .global()
            .map_or(0, |g| self.updated[g].max(self.all_updated));
        time >= self.barrier && time > updated
    }

    /// Notes the value of an operation, for those who need it again.
    fn remember(&mut self, op: &Op, ty: Ty, value: Value) {
        if op.is_pure() {
            let key = key(op, ty);
            let before = self.pure.insert(key.clone(), value);
            self.undo.push(Undo::Pure(key, before));
        } else if op.is_load() {
            self.remember_load(key(op, ty), value);
        }
    }

    fn remember_load(&mut self, key: Key, value: Value) {
        self.clock += 1;
        let before = self.loads.insert(key.clone(), (value, self.clock));
        self.undo.push(Undo::Load(key, before));
    }

    /// Notes what an operation changes, and what it stores.
    fn effect(&mut self, op: &Op) {
        self.updates(op);
        self.stored(op);
    }

    fn updates(&mut self, op: &Op) {
        // Whoever asks for a count asks what it is at that moment: globals are looked at again behind it.
        if let Op::Call(..) | Op::PerfCount(..) = op {
            self.clock += 1;
            self.undo.push(Undo::AllUpdated(self.all_updated));
            self.all_updated = self.clock;
        }
        if op.updates_global()
            && let Some(global) = op.global()
        {
            self.clock += 1;
            self.undo.push(Undo::Updated(global, self.updated[global]));
            self.updated[global] = self.clock;
        }
    }

    /// What was stored is what a load will give.
    fn stored(&mut self, op: &Op) {
        match op {
            Op::GlobalSet(global, value) => {
                let ty = self.function.ty(*value);
                self.remember_load((Op::GlobalGet(*global), ty), *value);
            }
            Op::ArraySet(global, keys, value, _) => {
                let ty = self.function.ty(*value);
                self.remember_load((Op::ArrayGet(*global, keys.clone()), ty), *value);
            }
            _ => {}
        }
    }

    fn terminator(&mut self, block: Block) {
        let data = &mut self.function.blocks[block];
        let span = data.term_span;
        let mut term = std::mem::replace(&mut data.term, Terminator::Unreachable);
        let mut operands: SmallVec<[Value; 8]> = SmallVec::new();
        term.for_each_operand(|v| operands.push(v));
        for operand in &mut operands {
            *operand = self.operand(*operand, span);
        }
        let mut operands = operands.into_iter();
        term.for_each_operand_mut(|v| {
            if let Some(operand) = operands.next() {
                *v = operand;
            }
        });
        if let Terminator::Try {
            mut op,
            result,
            ok,
            catch,
        } = term
        {
            let found = result.and_then(|ty| {
                let value = self.find(&mut op, ty, span);
                // What cannot fail any more is done here.
                if value.is_none() && !op.can_fail() {
                    let result = self.function.new_value(ty);
                    self.append(op.clone(), ty, result, span);
                    return Some(result);
                }
                value
            });
            term = if let Some(value) = found {
                self.changed = true;
                let args = std::iter::once(value).chain(ok.args).collect();
                let block = ok.block;
                Terminator::Jump(BlockCall { block, args })
            } else {
                self.updates(&op);
                Terminator::Try {
                    op,
                    result,
                    ok,
                    catch,
                }
            };
        }
        if let Terminator::Switch { cases, .. } = &term {
            for (n, to) in cases {
                self.cases[to.block] = Some(*n);
            }
        }
        self.function.blocks[block].term = term;
    }
}

/// What equal operations have in common.
fn key(op: &Op, ty: Ty) -> Key {
    let mut op = op.clone();
    if let Some(site) = op.site_mut() {
        *site = SiteId::from_u32(0);
    }
    (op, ty)
}
