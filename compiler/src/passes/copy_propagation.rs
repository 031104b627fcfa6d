//! Block parameters that always get the same value, or the same constant, become that value.
//!
//! Optimistic: a parameter is taken for equal to whatever it was seen to get first until something
//! else comes along, so loops that only pass a value round do not hide that it is one value.

use cranelift_entity::SecondaryMap;

use super::replace::Replacements;
use crate::lir::cfg::reverse_postorder;
use crate::lir::{Block, Function, Inst, Op, Ty, Value};

/// What a parameter gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Nothing seen yet.
    Unseen,
    /// One value.
    Value(Value),
    /// One number, perhaps by several constants.
    Number(i64),
    /// Different values: the parameter is its own value.
    Own,
}

/// Replaces superfluous parameters; says whether there were any.
pub(super) fn run(function: &mut Function) -> bool {
    let edges = edges(function);
    let numbers = numbers(function);
    let mut sources: SecondaryMap<Value, Source> = SecondaryMap::with_default(Source::Own);
    for (block, params) in &edges {
        for i in params.first..function.blocks[*block].params.len() {
            sources[function.blocks[*block].params[i]] = Source::Unseen;
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (block, params) in &edges {
            for i in params.first..function.blocks[*block].params.len() {
                let param = function.blocks[*block].params[i];
                let found = meet(param, i - params.first, params, &sources, &numbers);
                if found != sources[param] {
                    sources[param] = found;
                    changed = true;
                }
            }
        }
    }
    replace(function, &edges, &sources)
}

/// The jumps that pass arguments to a block's parameters.
#[derive(Clone)]
struct Edges {
    /// The first parameter that arguments are for; those before it come from the terminator.
    first: usize,
    /// The arguments of each jump.
    args: Vec<Vec<Value>>,
}

/// Blocks with parameters, in order of the graph.
fn edges(function: &Function) -> Vec<(Block, Edges)> {
    let mut by_block: SecondaryMap<Block, Option<Edges>> = SecondaryMap::new();
    let order = reverse_postorder(function);
    for block in &order {
        function.for_each_successor(*block, |to, supplied| {
            if function.blocks[to.block].params.is_empty() {
                return;
            }
            let edges = by_block[to.block].get_or_insert(Edges {
                first: 0,
                args: Vec::new(),
            });
            edges.first = edges.first.max(supplied);
            edges.args.push(to.args.clone());
        });
    }
    let mut list = Vec::new();
    for block in &order {
        let Some(mut edges) = by_block[*block].take() else {
            continue;
        };
        let count = function.blocks[*block]
            .params
            .len()
            .saturating_sub(edges.first);
        // Where some jumps pass what other terminators supply, only the arguments that all
        // have are compared.
        for args in &mut edges.args {
            args.drain(..args.len().saturating_sub(count));
        }
        if count > 0 {
            list.push((*block, edges));
        }
    }
    list
}

/// Values that are integer constants.
fn numbers(function: &Function) -> SecondaryMap<Value, Option<i64>> {
    let mut numbers = SecondaryMap::new();
    for block in function.blocks.values() {
        for inst in &block.insts {
            if let (Op::Const(n), Some(result)) = (&inst.op, inst.result) {
                numbers[result] = Some(*n);
            }
        }
    }
    numbers
}

fn meet(
    param: Value,
    i: usize,
    edges: &Edges,
    sources: &SecondaryMap<Value, Source>,
    numbers: &SecondaryMap<Value, Option<i64>>,
) -> Source {
    let mut result = Source::Unseen;
    for args in &edges.args {
        let arg = args[i];
        let source = match (numbers[arg], sources[arg]) {
            (Some(n), _) => Source::Number(n),
            (None, Source::Own) if arg == param => continue,
            (None, Source::Own) => Source::Value(arg),
            (None, source) => source,
        };
        result = match (result, source) {
            (result, Source::Unseen) => result,
            (Source::Unseen, source) => source,
            (result, source) if result == source => result,
            (Source::Value(v), source) | (source, Source::Value(v)) if v == param => source,
            _ => return Source::Own,
        };
    }
    // Once different, always different: keeps the search from going on forever.
    if sources[param] == Source::Own {
        return Source::Own;
    }
    result
}

fn replace(
    function: &mut Function,
    edges: &[(Block, Edges)],
    sources: &SecondaryMap<Value, Source>,
) -> bool {
    let mut replacements = Replacements::default();
    let mut any = false;
    for (block, edges) in edges {
        for i in edges.first..function.blocks[*block].params.len() {
            let param = function.blocks[*block].params[i];
            match sources[param] {
                Source::Value(value) if value != param => {
                    replacements.set(param, value);
                    any = true;
                }
                Source::Number(n) => {
                    let result = function.new_value(Ty::I64);
                    let data = &mut function.blocks[*block];
                    let inst = Inst {
                        op: Op::Const(n),
                        result: Some(result),
                        span: data.term_span,
                    };
                    data.insts.insert(0, inst);
                    replacements.set(param, result);
                    any = true;
                }
                Source::Value(_) | Source::Unseen | Source::Own => {}
            }
        }
    }
    // The parameters themselves are dead now; `dead_code` takes them away.
    replacements.apply(function);
    any
}
