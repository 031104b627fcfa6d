//! Calls into handlers' bodies: every function is copied to where
//! it is called, those that recurse as loops (`hub`). The verifier follows each call separately anyway; what is copied costs
//! no call, and its constants and strings are known.

use std::collections::BTreeMap;
use std::rc::Rc;

use cranelift_entity::EntityRef;
use rustc_hash::FxHashMap;

use super::calls::Calls;
use super::hub::{self, Shared};
use crate::lir::{
    Block, BlockCall, BlockData, Chains, Func, Function, Inst, Module, Op, SiteId, Terminator,
    Value,
};

/// A body is not grown beyond so many blocks.
const MAX_BLOCKS: usize = 20_000;

/// Copies calls into the bodies of a module.
pub struct Inliner<'a> {
    module: &'a Module,
    chains: &'a mut Chains,
    calls: Calls<'a>,
    /// The functions that recurse, each with those that it recurses with.
    groups: BTreeMap<Func, Rc<[Func]>>,
    /// The functions that are not copied now.
    shared: Vec<Func>,
    /// What callees are copied as; none if they cannot be.
    done: FxHashMap<Func, Option<Rc<Function>>>,
}

impl<'a> Inliner<'a> {
    /// Looks at who calls whom. The sites of what is copied are added to `chains`, which has the module's.
    pub fn new(module: &'a Module, chains: &'a mut Chains) -> Self {
        let calls = Calls::new(module);
        let mut groups = BTreeMap::new();
        for group in calls.recursing() {
            let group: Rc<[Func]> = Rc::from(group);
            groups.extend(group.iter().map(|func| (*func, Rc::clone(&group))));
        }
        Inliner {
            module,
            chains,
            calls,
            groups,
            shared: Vec::new(),
            done: FxHashMap::default(),
        }
    }

    /// The function with all calls copied in.
    pub fn body(&mut self, func: Func) -> Function {
        self.expand(func, &[])
    }

    /// The function with all calls copied in but those of long functions that are called from several places; and these
    /// functions, done the same way.
    pub fn shared(&mut self, func: Func) -> Option<Shared> {
        self.shared = self.calls.shared(func);
        let done = std::mem::take(&mut self.done);
        let entry = self.expand(func, &[]);
        let functions = self.shared.clone().into_iter();
        let functions = functions
            .map(|func| Some((func, self.closed(func)?)))
            .collect::<Option<_>>();
        self.shared = Vec::new();
        self.done = done;
        let functions = functions?;
        Some(Shared { entry, functions })
    }

    /// A function with everything copied in but calls of `own`.
    fn expand(&mut self, func: Func, own: &[Func]) -> Function {
        let mut function = self.module.functions[func].clone();
        let mut next = 0;
        while next < function.blocks.len() && function.blocks.len() < MAX_BLOCKS {
            let block = Block::from_u32(next as u32);
            next += 1;
            let end = self.copy_insts(&mut function, block, own);
            if let Terminator::Try { op, .. } = &function.blocks[end].term
                && let Some(callee) = self.called_by(op, own).and_then(|func| self.callee(func))
            {
                self.inline_try(&mut function, end, &callee);
            }
        }
        function
    }

    /// Copies in what the instructions of a block call; gives the block that ends as it did.
    fn copy_insts(&mut self, function: &mut Function, block: Block, own: &[Func]) -> Block {
        let ops = function.blocks[block].insts.iter().map(|inst| &inst.op);
        let called: Vec<(usize, Rc<Function>)> = ops
            .enumerate()
            .filter_map(|(at, op)| {
                let func = self.called_by(op, own)?;
                Some((at, self.callee(func)?))
            })
            .collect();
        if called.is_empty() {
            return block;
        }
        let mut end = block;
        let mut taken = 0;
        let mut insts = std::mem::take(&mut function.blocks[block].insts).into_iter();
        for (at, callee) in called {
            let before = insts.by_ref().take(at - taken);
            function.blocks[end].insts.extend(before);
            taken = at + 1;
            let Some(call) = insts.next() else {
                break;
            };
            if function.blocks.len() < MAX_BLOCKS {
                end = self.inline_inst(function, end, call, &callee);
            } else {
                function.blocks[end].insts.push(call);
            }
        }
        function.blocks[end].insts.extend(insts);
        end
    }

    /// What a function is copied as.
    fn callee(&mut self, func: Func) -> Option<Rc<Function>> {
        if let Some(done) = self.done.get(&func) {
            return done.clone();
        }
        let body = self.closed(func).map(Rc::new);
        self.done.insert(func, body.clone());
        body
    }

    /// A function that does not call itself any more.
    fn closed(&mut self, func: Func) -> Option<Function> {
        let Some(group) = self.groups.get(&func).cloned() else {
            return Some(self.expand(func, &[]));
        };
        let bodies: Vec<(Func, Function)> = group
            .iter()
            .map(|func| (*func, self.expand(*func, &group)))
            .collect();
        hub::close(self.chains.sites(), &bodies, func)
    }

    /// The function that an operation calls, if it is one that is copied here.
    fn called_by(&self, op: &Op, own: &[Func]) -> Option<Func> {
        match op {
            Op::Call(callee, ..) if !own.contains(callee) && !self.shared.contains(callee) => {
                Some(*callee)
            }
            _ => None,
        }
    }

    /// Ends a block with the body that is called; gives the block that goes on behind it.
    fn inline_inst(
        &mut self,
        function: &mut Function,
        block: Block,
        call: Inst,
        callee: &Function,
    ) -> Block {
        let data = &mut function.blocks[block];
        let term = std::mem::replace(&mut data.term, Terminator::Unreachable);
        let term_span = std::mem::replace(&mut data.term_span, call.span);
        let rest = function.blocks.push(BlockData {
            params: call.result.into_iter().collect(),
            insts: Vec::new(),
            term,
            term_span,
            loop_head: None,
        });
        let takes = call.result.is_some();
        let Op::Call(_, args, site) = call.op else {
            return rest;
        };
        let leave = Leave {
            call: site,
            ok: &|value| BlockCall {
                block: rest,
                args: value.filter(|_| takes).into_iter().collect(),
            },
            catch: None,
        };
        let entry = self.copy(function, callee, &leave);
        function.blocks[block].term = Terminator::Jump(BlockCall { block: entry, args });
        rest
    }

    fn inline_try(&mut self, function: &mut Function, block: Block, callee: &Function) {
        let term = std::mem::replace(&mut function.blocks[block].term, Terminator::Unreachable);
        let Terminator::Try {
            op: Op::Call(_, args, site),
            result,
            ok,
            catch,
        } = term
        else {
            return;
        };
        let leave = Leave {
            call: site,
            ok: &|value| BlockCall {
                block: ok.block,
                args: value
                    .filter(|_| result.is_some())
                    .into_iter()
                    .chain(ok.args.iter().copied())
                    .collect(),
            },
            catch: Some(&catch),
        };
        let entry = self.copy(function, callee, &leave);
        function.blocks[block].term = Terminator::Jump(BlockCall { block: entry, args });
    }

    /// Copies a body; gives its entry block.
    fn copy(&mut self, function: &mut Function, callee: &Function, leave: &Leave<'_>) -> Block {
        // What is copied keeps its order: new numbers are the old ones and so much more.
        let (first_value, first_block) = (function.values.len(), function.blocks.len());
        let value = |v: Value| Value::new(first_value + v.index());
        let fresh = |block: Block| Block::new(first_block + block.index());
        for data in callee.values.values() {
            function.values.push(*data);
        }
        for data in callee.blocks.values() {
            let loop_head = data.loop_head;
            function.blocks.push(BlockData {
                params: data.params.iter().map(|v| value(*v)).collect(),
                insts: Vec::with_capacity(data.insts.len()),
                term: Terminator::Unreachable,
                term_span: data.term_span,
                loop_head: loop_head.map(|site| self.chains.called(site, leave.call)),
            });
        }
        for (block, data) in &callee.blocks {
            let mut at = fresh(block);
            for inst in &data.insts {
                let mut inst: Inst = inst.clone();
                inst.op.for_each_operand_mut(|v| *v = value(*v));
                self.chain(&mut inst.op, leave.call);
                inst.result = inst.result.map(value);
                match leave.catch {
                    // An error that left the callee is caught here.
                    Some(catch) if inst.op.can_fail() => {
                        at = split_at_try(function, at, inst, catch);
                    }
                    _ => function.blocks[at].insts.push(inst),
                }
            }
            let call = |to: &BlockCall| BlockCall {
                block: fresh(to.block),
                args: to.args.iter().map(|v| value(*v)).collect(),
            };
            function.blocks[at].term_span = data.term_span;
            function.blocks[at].term = match &data.term {
                Terminator::Jump(to) => Terminator::Jump(call(to)),
                Terminator::Branch(cond, yes, no) => {
                    Terminator::Branch(value(*cond), call(yes), call(no))
                }
                Terminator::Switch {
                    value: of,
                    cases,
                    default,
                } => Terminator::Switch {
                    value: value(*of),
                    cases: cases.iter().map(|(n, to)| (*n, call(to))).collect(),
                    default: call(default),
                },
                Terminator::Return(result) => Terminator::Jump((leave.ok)(result.map(value))),
                Terminator::Raise { site, arg } => {
                    let (site, arg) = (value(*site), value(*arg));
                    match leave.catch {
                        Some(catch) => Terminator::Jump(with_error(catch, site, arg)),
                        None => Terminator::Raise { site, arg },
                    }
                }
                Terminator::Try {
                    op,
                    result,
                    ok,
                    catch,
                } => {
                    let mut op = op.clone();
                    op.for_each_operand_mut(|v| *v = value(*v));
                    self.chain(&mut op, leave.call);
                    Terminator::Try {
                        op,
                        result: *result,
                        ok: call(ok),
                        catch: call(catch),
                    }
                }
                Terminator::IterNext {
                    iter,
                    body,
                    with_value,
                    done,
                } => Terminator::IterNext {
                    iter: value(*iter),
                    body: call(body),
                    with_value: *with_value,
                    done: call(done),
                },
                Terminator::Unreachable => Terminator::Unreachable,
            };
        }
        fresh(callee.entry())
    }

    /// Notes in an operation's site that it was called from somewhere.
    fn chain(&mut self, op: &mut Op, call: SiteId) {
        if let Some(site) = op.site_mut() {
            *site = self.chains.called(*site, call);
        }
    }
}

/// Where a copied body returns to.
struct Leave<'a> {
    /// The call that it is copied for.
    call: SiteId,
    ok: &'a dyn Fn(Option<Value>) -> BlockCall,
    /// Where its errors go, if not out of the function.
    catch: Option<&'a BlockCall>,
}

/// Ends `at` with a `Try` of an instruction; gives the block to go on in.
fn split_at_try(function: &mut Function, at: Block, inst: Inst, catch: &BlockCall) -> Block {
    let term_span = inst.span;
    let next = function.blocks.push(BlockData {
        params: inst.result.into_iter().collect(),
        insts: Vec::new(),
        term: Terminator::Unreachable,
        term_span,
        loop_head: None,
    });
    let result = inst.result.map(|value| function.values[value].ty);
    let data = &mut function.blocks[at];
    data.term_span = term_span;
    data.term = Terminator::Try {
        op: inst.op,
        result,
        ok: BlockCall {
            block: next,
            args: Vec::new(),
        },
        catch: catch.clone(),
    };
    next
}

fn with_error(catch: &BlockCall, site: Value, arg: Value) -> BlockCall {
    BlockCall {
        block: catch.block,
        args: [site, arg]
            .into_iter()
            .chain(catch.args.iter().copied())
            .collect(),
    }
}
