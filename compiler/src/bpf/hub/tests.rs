//! What functions that recurse become.

use super::{close, flatten};
use crate::lir::{BinOp, Func, Function, Module, NestOp, Op, Terminator, text, verify};

/// fib(n), which calls itself twice; `catches` has the errors of the second call caught.
fn fib(catches: bool) -> Module {
    let second = if catches {
        "    try i64 = call fn0(v7) !site0, block3(), block4()
block3(v8: i64):
    v9: i64 = add v6, v8
    return v9
block4(v10: i64, v11: i64):
    return v6
"
    } else {
        "    v8: i64 = call fn0(v7) !site0
    v9: i64 = add v6, v8
    return v9
"
    };
    let source = format!(
        "site0 = max_nesting near \"identifier 'fib'\" at \"a\"
site1 = max_action near \"identifier 'fib'\" at \"a\"

fn0 \"fib\"(i64) -> i64 {{
block0(v0: i64):
    v1: i64 = iconst 2
    v2: i64 = icmp.lt v0, v1
    branch v2, block1(), block2()
block1:
    return v0
block2:
    v4: i64 = iconst 1
    v5: i64 = sub v0, v4
    v6: i64 = call fn0(v5) !site0
    v7: i64 = sub v0, v1
{second}}}
"
    );
    text::parse(&source).expect("LIR")
}

fn closed(catches: bool) -> Function {
    let module = fib(catches);
    let func = Func::from_u32(0);
    let bodies = [(func, module.functions[func].clone())];
    close(&module.sites, &bodies, func).expect("no foreach")
}

/// Sees to it that a function is well-formed, except that nothing counts the rounds of the hub.
fn assert_verified(module: &Module, function: &Function) {
    let errors = verify::verify_function(module, function).err();
    let errors: Vec<String> = (errors.into_iter().flatten())
        .map(|error| error.to_string())
        .filter(|error| !error.contains("has no `loop`"))
        .collect();
    assert!(
        errors.is_empty(),
        "{errors:?}\n{}",
        text::print_function(function)
    );
}

#[test]
fn no_call_is_left_and_every_value_is_defined_where_it_is_used() {
    for catches in [false, true] {
        let function = closed(catches);
        crate::bpf::analysis::for_each_op(&function, |op| {
            assert!(!matches!(op, Op::Call(..)));
        });
        assert_verified(&fib(catches), &function);
    }
}

#[test]
fn caught_errors_have_states_of_their_own() {
    let cases = |catches| {
        let function = closed(catches);
        let hub = function.blocks.values().find_map(|data| match &data.term {
            Terminator::Switch { cases, .. } => Some(cases.iter().map(|(n, _)| *n).collect()),
            _ => None,
        });
        hub.unwrap_or_else(Vec::new)
    };
    assert_eq!(cases(false), [2, 3, 4]);
    assert_eq!(cases(true), [-4, -3, -1, 2, 3, 4]);
}

#[test]
fn a_shared_function_is_there_once_and_returns_to_each_of_its_callers() {
    let module = text::parse(
        "site0 = call near \"f\" at \"a\"
site1 = max_action near \"keyword\" at \"a\"

fn0 \"f\"(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2: i64 = mul v0, v1
    return v2
}
fn1 \"probe_0\"() {
block0:
    v0: i64 = iconst 2
    v1: i64 = iconst 3
    jump block1(v0, v1, v0)
block1(v2: i64, v3: i64, v4: i64) loop !site1:
    v5: i64 = call fn0(v2, v3) !site0
    v6: i64 = call fn0(v5, v4) !site0
    v7: i64 = add v5, v6
    branch v7, block1(v7, v5, v6), block2()
block2:
    return
}
",
    )
    .expect("LIR");
    let [f, handler] = [0, 1].map(|n| module.functions[Func::from_u32(n)].clone());
    let flat = flatten(&handler, &[(Func::from_u32(0), f)]).expect("numbers of slots");
    let mut products = 0;
    let mut passes = None;
    let mut stored = Vec::new();
    crate::bpf::analysis::for_each_op(&flat, |op| match op {
        Op::Call(..) => panic!("a call is left"),
        Op::Bin(BinOp::Mul, ..) => products += 1,
        Op::Nest(_, NestOp::Hub(n)) => passes = Some(*n),
        Op::Nest(_, NestOp::Set(slot, _)) => stored.push(slot.number()),
        _ => {}
    });
    assert_eq!(products, 1);
    // Two calls and returns, and the loop.
    assert_eq!(passes, Some(2 + 2 + 2 + 2));
    // What the loop is passed (slots 3 to 5) leaves alone where the function goes back to (7).
    assert!(stored.contains(&5) && stored.contains(&7), "{stored:?}");
    assert_verified(&module, &flat);
}
