//! Calls into handlers' bodies: every function that does not recurse is copied to where
//! it is called. The verifier follows each call separately anyway; what is copied costs
//! no call, and its constants and strings are known.

use std::collections::HashMap;

use super::analysis::{for_each_op, reachable};
use crate::lir::{
    Block, BlockCall, BlockData, ErrorKind, Func, Function, Inst, Module, Op, SiteId, Terminator,
    Ty, Value, ValueData,
};

/// Calls that a recursive function may nest beyond MAXNESTING, as in the interpreter: one that calls
/// itself gets 13 deep with the default of 10.
const RECURSION_BONUS: u32 = 3;
/// A body is not grown beyond so many blocks.
const MAX_BLOCKS: usize = 20_000;
/// The same for bodies with recursion, which grows fast.
const MAX_UNROLLED_BLOCKS: usize = 2_000;

/// The function with all calls copied in. Functions that recurse are copied into themselves to
/// MAXNESTING levels; if that gets too much, their calls stay.
pub fn inline_all(module: &Module, func: Func) -> Function {
    let mut done = HashMap::new();
    let function = expand(module, func, &mut done);
    let mut unrolled = function.clone();
    if unroll(module, &mut unrolled, &mut done) {
        unrolled
    } else {
        function
    }
}

/// Copies recursive functions in, level by level. Whether no call is left.
fn unroll(module: &Module, function: &mut Function, done: &mut HashMap<Func, Function>) -> bool {
    // How many calls of recursive functions each block is inside of.
    let mut levels = vec![0; function.blocks.len()];
    let mut next = 0;
    while next < function.blocks.len() {
        let block = Block::from_u32(next as u32);
        let level = levels[next];
        let data = &function.blocks[block];
        let call = data
            .insts
            .iter()
            .enumerate()
            .find_map(|(at, inst)| match inst.op {
                Op::Call(callee, _) => Some((Some(at), callee)),
                _ => None,
            });
        let call = call.or(match &data.term {
            Terminator::Try {
                op: Op::Call(callee, _),
                ..
            } => Some((None, *callee)),
            _ => None,
        });
        next += 1;
        let Some((at, callee)) = call else {
            continue;
        };
        if level >= module.limits.max_nesting + RECURSION_BONUS {
            let Some(site) = nesting_site(module, callee) else {
                return false;
            };
            too_deep(function, block, at, site);
            continue;
        }
        let body = expand(module, callee, done);
        if function.blocks.len() + body.blocks.len() > MAX_UNROLLED_BLOCKS {
            return false;
        }
        match at {
            Some(at) => inline_inst(function, block, at, &body),
            None => inline_try(function, block, &body),
        }
        if at.is_some() {
            // What follows the call.
            levels.push(level);
        }
        levels.resize(function.blocks.len(), level + 1);
    }
    true
}

/// The site that a call which nests too deep raises: as the interpreter chooses it.
fn nesting_site(module: &Module, callee: Func) -> Option<SiteId> {
    let near = format!("identifier '{}'", module.functions[callee].name);
    let sites = || {
        let all = module.sites.iter();
        all.filter(|(_, site)| site.kind == ErrorKind::MaxNesting)
    };
    let named = sites().find(|(_, site)| site.near == near);
    named.or_else(|| sites().next()).map(|(id, _)| id)
}

/// Puts an error in the place of a call.
fn too_deep(function: &mut Function, block: Block, at: Option<usize>, site: SiteId) {
    let span = function.blocks[block].term_span;
    if let Some(at) = at {
        function.blocks[block].insts.truncate(at);
    }
    let mut constant = |value: i64| {
        let result = function.values.push(ValueData { ty: Ty::I64 });
        function.blocks[block].insts.push(Inst {
            op: Op::Const(value),
            result: Some(result),
            span,
        });
        result
    };
    let site = constant(i64::from(site.as_u32()));
    let arg = constant(0);
    let data = &mut function.blocks[block];
    data.term = match (&data.term, at) {
        (Terminator::Try { catch, .. }, None) => Terminator::Jump(with_error(catch, site, arg)),
        _ => Terminator::Raise { site, arg },
    };
}

/// Whether a function can call itself, directly or not.
fn recurses(module: &Module, func: Func) -> bool {
    let mut found = false;
    for_each_op(&module.functions[func], |op| {
        if let Op::Call(callee, _) = op {
            found |= reachable(module, *callee).contains(&func);
        }
    });
    found
}

fn expand(module: &Module, func: Func, done: &mut HashMap<Func, Function>) -> Function {
    if let Some(function) = done.get(&func) {
        return function.clone();
    }
    let mut function = module.functions[func].clone();
    let mut next = 0;
    while next < function.blocks.len() && function.blocks.len() < MAX_BLOCKS {
        let block = Block::from_u32(next as u32);
        let data = &function.blocks[block];
        let call = data.insts.iter().enumerate().find_map(|(index, inst)| {
            let callee = called(module, &inst.op)?;
            Some((index, callee))
        });
        if let Some((index, callee)) = call {
            let callee = expand(module, callee, done);
            // What follows the call is in a new block, which is looked at in its turn.
            inline_inst(&mut function, block, index, &callee);
        } else if let Terminator::Try { op, .. } = &data.term
            && let Some(callee) = called(module, op)
        {
            let callee = expand(module, callee, done);
            inline_try(&mut function, block, &callee);
        }
        next += 1;
    }
    done.insert(func, function.clone());
    function
}

/// The function that an operation calls and that can be copied.
fn called(module: &Module, op: &Op) -> Option<Func> {
    match op {
        Op::Call(callee, _) if !recurses(module, *callee) => Some(*callee),
        _ => None,
    }
}

/// Where a copied body returns to.
struct Leave<'a> {
    ok: &'a dyn Fn(Option<Value>) -> BlockCall,
    /// Where its errors go, if not out of the function.
    catch: Option<&'a BlockCall>,
}

fn inline_inst(function: &mut Function, block: Block, index: usize, callee: &Function) {
    let data = &mut function.blocks[block];
    let mut tail = data.insts.split_off(index);
    let call = tail.remove(0);
    let term = std::mem::replace(&mut data.term, Terminator::Unreachable);
    let term_span = std::mem::replace(&mut data.term_span, call.span);
    let rest = function.blocks.push(BlockData {
        params: call.result.into_iter().collect(),
        insts: tail,
        term,
        term_span,
        loop_head: None,
    });
    let takes = call.result.is_some();
    let Op::Call(_, args) = call.op else {
        return;
    };
    let leave = Leave {
        ok: &|value| BlockCall {
            block: rest,
            args: value.filter(|_| takes).into_iter().collect(),
        },
        catch: None,
    };
    let entry = copy(function, callee, &leave);
    function.blocks[block].term = Terminator::Jump(BlockCall { block: entry, args });
}

fn inline_try(function: &mut Function, block: Block, callee: &Function) {
    let term = std::mem::replace(&mut function.blocks[block].term, Terminator::Unreachable);
    let Terminator::Try {
        op: Op::Call(_, args),
        result,
        ok,
        catch,
    } = term
    else {
        return;
    };
    let leave = Leave {
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
    let entry = copy(function, callee, &leave);
    function.blocks[block].term = Terminator::Jump(BlockCall { block: entry, args });
}

/// Copies a body; gives its entry block.
fn copy(function: &mut Function, callee: &Function, leave: &Leave<'_>) -> Block {
    let values: HashMap<Value, Value> = callee
        .values
        .iter()
        .map(|(value, data)| (value, function.values.push(*data)))
        .collect();
    let blocks: HashMap<Block, Block> = callee
        .blocks
        .iter()
        .map(|(block, data)| {
            let fresh = function.blocks.push(BlockData {
                params: data.params.iter().map(|v| values[v]).collect(),
                insts: Vec::new(),
                term: Terminator::Unreachable,
                term_span: data.term_span,
                loop_head: data.loop_head,
            });
            (block, fresh)
        })
        .collect();
    for (block, data) in &callee.blocks {
        let mut at = blocks[&block];
        for inst in &data.insts {
            let mut inst: Inst = inst.clone();
            inst.op.for_each_operand_mut(|v| *v = values[v]);
            inst.result = inst.result.map(|v| values[&v]);
            match leave.catch {
                // An error that left the callee is caught here.
                Some(catch) if inst.op.can_fail() => {
                    at = split_at_try(function, at, inst, catch);
                }
                _ => function.blocks[at].insts.push(inst),
            }
        }
        let call = |to: &BlockCall| BlockCall {
            block: blocks[&to.block],
            args: to.args.iter().map(|v| values[v]).collect(),
        };
        function.blocks[at].term_span = data.term_span;
        function.blocks[at].term = match &data.term {
            Terminator::Jump(to) => Terminator::Jump(call(to)),
            Terminator::Branch(cond, yes, no) => {
                Terminator::Branch(values[cond], call(yes), call(no))
            }
            Terminator::Switch {
                value,
                cases,
                default,
            } => Terminator::Switch {
                value: values[value],
                cases: cases.iter().map(|(n, to)| (*n, call(to))).collect(),
                default: call(default),
            },
            Terminator::Return(value) => Terminator::Jump((leave.ok)(value.map(|v| values[&v]))),
            Terminator::Raise { site, arg } => {
                let (site, arg) = (values[site], values[arg]);
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
                op.for_each_operand_mut(|v| *v = values[v]);
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
                iter: values[iter],
                body: call(body),
                with_value: *with_value,
                done: call(done),
            },
            Terminator::Unreachable => Terminator::Unreachable,
        };
    }
    blocks[&callee.entry()]
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
