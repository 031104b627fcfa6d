//! Inlining: functions that are small, or called from one place only, go into their callers.
//!
//! Tapsets are full of functions of one line (`pid()`), which vanish here. Functions that
//! recurse stay. So do, in a `try`, functions with loops and iterations: MAXACTION's
//! error would become one that the caller catches, and iterations left open by an
//! error would stay open.

use cranelift_entity::{EntitySet, SecondaryMap};
use rtap_grammar::source::Span;

use super::interner::Interner;
use super::{clean, stand_in};
use crate::lir::cfg::{call_groups, for_each_callee};
use crate::lir::*;

/// Operations of a function that is inlined wherever it is called.
const SMALL: usize = 40;
/// Operations of a function that is inlined if it is called from one place only.
const MEDIUM: usize = 2000;
/// Operations of a caller that nothing more than small functions is inlined into.
const LARGE: usize = 4000;

/// Inlines calls in all functions, and cleans them.
pub(super) fn run(module: &mut Module, texts: &mut Interner) {
    let mut callees = Callees {
        recursive: recursive(module),
        uses: SecondaryMap::new(),
        info: SecondaryMap::new(),
    };
    for function in module.functions.values() {
        for_each_callee(function, |callee| callees.uses[callee] += 1);
    }
    let mut chains = Chains::default();
    // Callees stand before callers.
    for id in module.functions.keys() {
        let stand_in = stand_in(&module.functions[id]);
        let mut function = std::mem::replace(&mut module.functions[id], stand_in);
        // The module has the sites whenever it is looked at whole.
        chains.exchange(&mut module.sites);
        let changed = inline_calls(module, &callees, &mut function, &mut chains);
        chains.exchange(&mut module.sites);
        if changed {
            builder::remove_unreachable(&mut function);
        }
        clean(module, texts, &mut function);
        callees.info[id] = Info::of(&function);
        module.functions[id] = function;
    }
}

/// What decides whether a function is inlined.
#[derive(Clone, Copy, Default)]
struct Info {
    size: usize,
    /// Whether it has loops or iterations.
    has_loops: bool,
}

impl Info {
    fn of(function: &Function) -> Self {
        let blocks = || function.blocks.values();
        let begins = |op: &Op| matches!(op, Op::IterBegin { .. });
        let has_iterations = blocks().any(|b| {
            b.insts.iter().any(|inst| begins(&inst.op))
                || matches!(&b.term, Terminator::Try { op, .. } if begins(op))
        });
        Info {
            size: blocks().map(|block| block.insts.len() + 1).sum(),
            has_loops: has_iterations || blocks().any(|block| block.loop_head.is_some()),
        }
    }
}

struct Callees {
    recursive: EntitySet<Func>,
    uses: SecondaryMap<Func, u32>,
    info: SecondaryMap<Func, Info>,
}

impl Callees {
    fn is_wanted(&self, callee: Func, caller_size: usize, in_try: bool) -> bool {
        let info = self.info[callee];
        if self.recursive.contains(callee) || (in_try && info.has_loops) {
            return false;
        }
        info.size <= SMALL
            || (self.uses[callee] == 1 && info.size <= MEDIUM && caller_size <= LARGE)
    }
}

/// Functions that can come to call themselves.
fn recursive(module: &Module) -> EntitySet<Func> {
    let mut set = EntitySet::new();
    for group in call_groups(module) {
        for func in &group {
            let mut calls_itself = false;
            for_each_callee(&module.functions[*func], |c| calls_itself |= c == *func);
            if calls_itself || group.len() > 1 {
                set.insert(*func);
            }
        }
    }
    set
}

fn inline_calls(
    module: &Module,
    callees: &Callees,
    function: &mut Function,
    chains: &mut Chains,
) -> bool {
    let mut size = Info::of(function).size;
    let before: Vec<Block> = function.blocks.keys().collect();
    let count = before.len();
    for block in before.into_iter().rev() {
        let at = inline_insts(module, callees, function, block, (&mut size, chains));
        let data = &mut function.blocks[at];
        if let Terminator::Try {
            op: Op::Call(func, args, site),
            result,
            ok,
            catch,
        } = &data.term
            && callees.is_wanted(*func, size, true)
        {
            let call = Call {
                func: *func,
                site: *site,
                args: args.clone(),
                has_result: result.is_some(),
                ok: ok.clone(),
                catch: Some(catch.clone()),
                span: data.term_span,
            };
            size += callees.info[call.func].size;
            splice(module, function, at, call, chains);
        }
    }
    function.blocks.len() != count
}

/// Replaces the calls among a block's instructions; what follows a call goes into a new block, and
/// the last of these, which has the block's end, is the result.
fn inline_insts(
    module: &Module,
    callees: &Callees,
    function: &mut Function,
    block: Block,
    (size, chains): (&mut usize, &mut Chains),
) -> Block {
    let wanted = |op: &Op, size: usize| match op {
        Op::Call(callee, ..) => callees.is_wanted(*callee, size, false),
        _ => false,
    };
    let data = &mut function.blocks[block];
    if !data.insts.iter().any(|inst| wanted(&inst.op, *size)) {
        return block;
    }
    let insts = std::mem::take(&mut data.insts);
    let term = std::mem::replace(&mut data.term, Terminator::Unreachable);
    let term_span = data.term_span;
    let mut at = block;
    for inst in insts {
        match inst {
            Inst {
                op: Op::Call(func, args, site),
                result,
                span,
            } if callees.is_wanted(func, *size, false) => {
                let rest = function.blocks.push(BlockData {
                    params: result.into_iter().collect(),
                    insts: Vec::new(),
                    term: Terminator::Unreachable,
                    term_span,
                    loop_head: None,
                });
                let call = Call {
                    func,
                    site,
                    args,
                    has_result: result.is_some(),
                    ok: BlockCall {
                        block: rest,
                        args: Vec::new(),
                    },
                    catch: None,
                    span,
                };
                *size += callees.info[func].size;
                splice(module, function, at, call, chains);
                at = rest;
            }
            inst => function.blocks[at].insts.push(inst),
        }
    }
    let last = &mut function.blocks[at];
    last.term = term;
    last.term_span = term_span;
    at
}

/// A call that is to be replaced.
struct Call {
    func: Func,
    /// Its own site.
    site: SiteId,
    args: Vec<Value>,
    has_result: bool,
    /// Where control goes with the result.
    ok: BlockCall,
    /// Where errors go, if they are caught.
    catch: Option<BlockCall>,
    span: Span,
}

/// Puts a copy of the callee behind `block`.
fn splice(module: &Module, function: &mut Function, block: Block, call: Call, chains: &mut Chains) {
    let callee = &module.functions[call.func];
    let mut copy = Copy {
        // What one line of a tapset makes is shown as the call; larger functions keep their lines.
        span: (callee.blocks.len() == 1).then_some(call.span),
        values: SecondaryMap::new(),
        blocks: SecondaryMap::new(),
        function,
        call: &call,
        chains,
    };
    for (id, data) in &callee.blocks {
        copy.blocks[id] = Some(
            copy.function.blocks.push(BlockData {
                params: Vec::new(),
                insts: Vec::new(),
                term: Terminator::Unreachable,
                term_span: copy.span.unwrap_or(data.term_span),
                loop_head: data
                    .loop_head
                    .map(|site| copy.chains.called(site, call.site)),
            }),
        );
        for value in &data.params {
            copy.define(callee, *value);
        }
        for inst in &data.insts {
            inst.result.iter().for_each(|v| copy.define(callee, *v));
        }
    }
    for (id, data) in &callee.blocks {
        copy.block(id, data);
    }
    let entry = copy.target(callee.entry());
    let data = &mut function.blocks[block];
    data.term = Terminator::Jump(BlockCall {
        block: entry,
        args: call.args,
    });
    data.term_span = call.span;
}

struct Copy<'a> {
    span: Option<Span>,
    values: SecondaryMap<Value, Option<Value>>,
    blocks: SecondaryMap<Block, Option<Block>>,
    function: &'a mut Function,
    call: &'a Call,
    chains: &'a mut Chains,
}

impl Copy<'_> {
    fn define(&mut self, callee: &Function, value: Value) {
        self.values[value] = Some(self.function.new_value(callee.ty(value)));
    }

    /// The copy of a value of the callee.
    fn value(&self, value: Value) -> Value {
        self.values[value].unwrap_or(value)
    }

    /// The copy of a block of the callee.
    fn target(&self, block: Block) -> Block {
        self.blocks[block].unwrap_or(block)
    }

    /// A copy of an operation of the callee.
    fn op(&mut self, op: &Op) -> Op {
        let mut op = op.clone();
        op.for_each_operand_mut(|v| *v = self.value(*v));
        if let Some(site) = op.site_mut() {
            *site = self.chains.called(*site, self.call.site);
        }
        op
    }

    fn block(&mut self, id: Block, data: &BlockData) {
        let mut at = self.target(id);
        self.function.blocks[at].params = data.params.iter().map(|v| self.value(*v)).collect();
        for inst in &data.insts {
            let op = self.op(&inst.op);
            let result = inst.result.map(|v| self.value(v));
            let span = self.span.unwrap_or(inst.span);
            match &self.call.catch {
                Some(catch) if op.can_fail() => {
                    let catch = catch.clone();
                    at = self.try_op(at, op, result, catch, span);
                }
                _ => self.function.blocks[at]
                    .insts
                    .push(Inst { op, result, span }),
            }
        }
        let term = self.terminator(&data.term);
        let block = &mut self.function.blocks[at];
        block.term = term;
        block.term_span = self.span.unwrap_or(data.term_span);
    }

    /// Ends a block with an operation whose error the caller catches; gives the next block.
    fn try_op(
        &mut self,
        at: Block,
        op: Op,
        result: Option<Value>,
        catch: BlockCall,
        span: Span,
    ) -> Block {
        let next = self.function.blocks.push(BlockData {
            params: result.into_iter().collect(),
            insts: Vec::new(),
            term: Terminator::Unreachable,
            term_span: span,
            loop_head: None,
        });
        let ty = result.map(|v| self.function.ty(v));
        let block = &mut self.function.blocks[at];
        block.term_span = span;
        block.term = Terminator::Try {
            op,
            result: ty,
            ok: BlockCall {
                block: next,
                args: Vec::new(),
            },
            catch,
        };
        next
    }

    fn terminator(&mut self, term: &Terminator) -> Terminator {
        match term {
            Terminator::Return(value) => {
                let value = value.filter(|_| self.call.has_result);
                let result = value.map(|v| self.value(v));
                let args = result.into_iter().chain(self.call.ok.args.iter().copied());
                Terminator::Jump(BlockCall {
                    block: self.call.ok.block,
                    args: args.collect(),
                })
            }
            Terminator::Raise { site, arg } => {
                let (site, arg) = (self.value(*site), self.value(*arg));
                match &self.call.catch {
                    None => Terminator::Raise { site, arg },
                    Some(catch) => Terminator::Jump(BlockCall {
                        block: catch.block,
                        args: [site, arg].iter().chain(&catch.args).copied().collect(),
                    }),
                }
            }
            other => {
                let mut term = other.clone();
                if let Terminator::Try { op, .. } = &mut term
                    && let Some(site) = op.site_mut()
                {
                    *site = self.chains.called(*site, self.call.site);
                }
                term.for_each_operand_mut(|v| *v = self.value(*v));
                term.for_each_jump_mut(|to| to.block = self.target(to.block));
                term
            }
        }
    }
}
