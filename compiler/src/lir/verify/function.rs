//! Rules of a function: SSA, jumps, loops, iterations.

use cranelift_entity::SecondaryMap;

use super::{VerifyError, global, op};
use crate::lir::cfg::Cfg;
use crate::lir::*;

/// Where a value is defined: the block, and after how many instructions (0: a parameter).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Definition {
    block: Block,
    position: usize,
}

/// The function under check.
pub(super) struct Cx<'a> {
    pub(super) module: &'a Module,
    pub(super) func: &'a Function,
    cfg: Cfg,
    defs: SecondaryMap<Value, Option<Definition>>,
    /// The arrays that iterations' handles belong to.
    iterations: SecondaryMap<Value, Option<Global>>,
    block: Block,
    errors: &'a mut Vec<VerifyError>,
}

pub(super) fn check<'a>(module: &'a Module, func: &'a Function, errors: &'a mut Vec<VerifyError>) {
    if let Err(message) = check_indices(func) {
        errors.push(VerifyError {
            function: Some(func.name.clone()),
            block: None,
            message,
        });
        return;
    }
    let mut cx = Cx {
        module,
        func,
        cfg: Cfg::new(func),
        defs: SecondaryMap::with_default(None),
        iterations: SecondaryMap::with_default(None),
        block: func.entry(),
        errors,
    };
    cx.entry();
    cx.definitions();
    for (id, block) in &func.blocks {
        cx.block = id;
        cx.block_body(block);
    }
}

/// Blocks and values that do not exist would make everything else panic.
fn check_indices(func: &Function) -> Result<(), String> {
    if func.blocks.is_empty() {
        return Err("there is no block".to_owned());
    }
    let mut bad = None;
    let mut see = |value: Value| {
        if !func.values.is_valid(value) {
            bad = Some(format!("there is no {value}"));
        }
    };
    for block in func.blocks.values() {
        block.params.iter().for_each(|v| see(*v));
        for inst in &block.insts {
            inst.result.iter().for_each(|v| see(*v));
            inst.op.for_each_operand(&mut see);
        }
        block.term.for_each_operand(&mut see);
    }
    for block in func.blocks.values() {
        block.term.for_each_jump(|to| {
            if !func.blocks.is_valid(to.block) {
                bad = Some(format!("there is no {}", to.block));
            }
        });
    }
    bad.map_or(Ok(()), Err)?;
    let values = func.values.values().map(|value| value.ty);
    let types = values.chain(func.params.iter().copied()).chain(func.ret);
    for ty in types {
        global::check_type(ty)?;
    }
    Ok(())
}

impl Cx<'_> {
    pub(super) fn error(&mut self, message: String) {
        self.errors.push(VerifyError {
            function: Some(self.func.name.clone()),
            block: Some(self.block),
            message,
        });
    }

    fn entry(&mut self) {
        let entry = self.func.entry();
        let params = self.func.blocks[entry].params.iter();
        if !params
            .map(|v| self.func.ty(*v))
            .eq(self.func.params.iter().copied())
        {
            self.error("the entry's parameters are not the function's".to_owned());
        }
        if !self.cfg.preds[entry].is_empty() {
            self.error("a jump goes to the entry".to_owned());
        }
    }

    fn definitions(&mut self) {
        for (id, block) in &self.func.blocks {
            self.block = id;
            for param in &block.params {
                self.define(*param, 0);
            }
            for (i, inst) in block.insts.iter().enumerate() {
                if let Some(result) = inst.result {
                    self.define(result, i + 1);
                    if let Op::IterBegin { array, .. } = inst.op {
                        self.iterations[result] = Some(array);
                    }
                }
            }
            if let Terminator::Try {
                op: Op::IterBegin { array, .. },
                ok,
                ..
            } = &block.term
                && let Some(handle) = self.func.blocks[ok.block].params.first()
            {
                self.iterations[*handle] = Some(*array);
                if self.cfg.preds[ok.block].len() > 1 {
                    self.error(format!("{handle}: more than one jump brings the iteration"));
                }
            }
        }
    }

    fn define(&mut self, value: Value, position: usize) {
        let definition = Definition {
            block: self.block,
            position,
        };
        if self.defs[value].replace(definition).is_some() {
            self.error(format!("{value} is defined twice"));
        }
    }

    fn block_body(&mut self, block: &BlockData) {
        for (i, inst) in block.insts.iter().enumerate() {
            inst.op.for_each_operand(|v| self.used(v, i));
            self.handles(&inst.op);
            let result = inst.result.map(|v| self.func.ty(v));
            op::check(self, &inst.op, result);
        }
        block
            .term
            .for_each_operand(|v| self.used(v, block.insts.len()));
        self.terminator(&block.term);
        if let Some(site) = block.loop_head
            && !self.module.sites.is_valid(site)
        {
            self.error(format!("there is no {site}"));
        }
        if self.cfg.is_reachable(self.block) {
            let from = self.block;
            block.term.for_each_jump(|to| self.loops(from, to.block));
        }
    }

    /// Whether the definition of `value` comes before instruction `position` of this block.
    fn used(&mut self, value: Value, position: usize) {
        let Some(def) = self.defs[value] else {
            self.error(format!("{value} is used but not defined"));
            return;
        };
        if !self.cfg.is_reachable(self.block) {
            return;
        }
        let dominates = if def.block == self.block {
            def.position <= position
        } else {
            self.cfg.is_reachable(def.block) && self.cfg.dominates(def.block, self.block)
        };
        if !dominates {
            self.error(format!(
                "{value} is used where its definition may not have been"
            ));
        }
    }

    /// Handles are for `iter.next` and `iter.end`.
    fn handles(&mut self, op: &Op) {
        if let Op::IterEnd(handle) = op {
            if self.iterations[*handle].is_none() {
                self.error(format!("{handle} is no iteration"));
            }
            return;
        }
        op.for_each_operand(|v| self.no_handle(v));
    }

    fn no_handle(&mut self, value: Value) {
        if self.iterations[value].is_some() {
            self.error(format!("the iteration {value} is used as a number"));
        }
    }

    fn loops(&mut self, from: Block, to: Block) {
        if !self.cfg.is_backward(from, to) {
            return;
        }
        if !self.cfg.dominates(to, from) {
            self.error(format!("the loop at {to} has more than one entrance"));
        }
        if self.func.blocks[to].loop_head.is_none() {
            self.error(format!("the loop at {to} has no `loop`"));
        }
    }

    fn terminator(&mut self, term: &Terminator) {
        match term {
            Terminator::Jump(to) => self.jump(to, &[]),
            Terminator::Branch(cond, yes, no) => {
                self.want(*cond, Ty::I64);
                self.jump(yes, &[]);
                self.jump(no, &[]);
            }
            Terminator::Switch {
                value,
                cases,
                default,
            } => {
                self.want(*value, Ty::I64);
                let mut numbers: Vec<i64> = cases.iter().map(|(n, _)| *n).collect();
                numbers.sort_unstable();
                if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
                    self.error("two cases are the same".to_owned());
                }
                for (_, to) in cases {
                    self.jump(to, &[]);
                }
                self.jump(default, &[]);
            }
            Terminator::Return(value) => {
                let ty = value.map(|v| self.func.ty(v));
                if ty != self.func.ret {
                    self.error("the result is not of the function's type".to_owned());
                }
            }
            Terminator::Raise { site, arg } => {
                self.want(*site, Ty::I64);
                self.want(*arg, Ty::I64);
            }
            Terminator::Try {
                op,
                result,
                ok,
                catch,
            } => {
                if !op.can_fail() {
                    self.error("`try` of an operation that cannot fail".to_owned());
                }
                self.handles(op);
                op::check(self, op, *result);
                self.jump(ok, result.as_slice());
                self.jump(catch, &[Ty::I64, Ty::I64]);
            }
            Terminator::IterNext {
                iter,
                body,
                with_value,
                done,
            } => {
                self.iter_next(*iter, body, *with_value);
                self.jump(done, &[]);
            }
            Terminator::Unreachable => {}
        }
        term.for_each_jump(|to| to.args.iter().for_each(|v| self.no_handle(*v)));
    }

    fn iter_next(&mut self, iter: Value, body: &BlockCall, with_value: bool) {
        let Some(array) = self.iterations[iter] else {
            self.error(format!("{iter} is no iteration"));
            return;
        };
        let Some(GlobalData {
            kind: GlobalKind::Array { keys, value, .. },
            ..
        }) = self.module.globals.get(array)
        else {
            // `op::check` says so at `iter.begin`.
            return;
        };
        let mut supplied = keys.clone();
        match (with_value, value) {
            (true, ElementKind::Plain(ty)) => supplied.push(*ty),
            (true, ElementKind::Stat(_)) => {
                self.error("the elements are statistics and have no value to pass".to_owned());
            }
            (false, _) => {}
        }
        self.jump(body, &supplied);
    }

    /// Checks a jump whose terminator supplies values of these types first.
    fn jump(&mut self, to: &BlockCall, supplied: &[Ty]) {
        let params = self.func.blocks[to.block].params.iter();
        let args = to.args.iter().map(|v| self.func.ty(*v));
        let given = supplied.iter().copied().chain(args);
        if !params.map(|v| self.func.ty(*v)).eq(given) {
            self.error(format!(
                "the jump does not fit the parameters of {}",
                to.block
            ));
        }
    }

    /// Checks a value's type.
    pub(super) fn want(&mut self, value: Value, ty: Ty) {
        let found = self.func.ty(value);
        if found != ty {
            self.error(format!("{value} is {found} where {ty} is wanted"));
        }
    }
}
