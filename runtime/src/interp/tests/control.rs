//! Loops, calls, errors.

use rtap_compiler::lir::ErrorKind;
use rtap_compiler::lir::chain::callers;

use super::*;

#[test]
fn a_loop_sums() {
    let text = run(
        "",
        "fn0 \"begin\"() {
block0:
    v0: i64 = iconst 0
    v1: i64 = iconst 1
    v2: i64 = iconst 100000
    jump block1(v0, v0)
block1(v3: i64, v4: i64) loop !site5:
    v5: i64 = icmp.le v3, v2
    branch v5, block2(), block3()
block2:
    v6: i64 = add v4, v3
    v7: i64 = add v3, v1
    jump block1(v7, v6)
block3:
    emit fmt0(v4)
    return
}
",
    );
    assert_eq!(text, "5000050000\n");
}

/// Jumps that swap their block's parameters.
#[test]
fn arguments_are_all_read_before_any_parameter_is_written() {
    let text = run(
        "",
        "fn0 \"begin\"() {
block0:
    v0: i64 = iconst 1
    v1: i64 = iconst 2
    v2: i64 = iconst 3
    jump block1(v0, v1, v2)
block1(v3: i64, v4: i64, v5: i64) loop !site5:
    emit fmt2(v3)
    emit fmt2(v4)
    v6: i64 = sub v5, v0
    branch v6, block1(v4, v3, v6), block2()
block2:
    return
}
",
    );
    assert_eq!(text, "1 2 2 1 1 2 ");
}

#[test]
fn switches() {
    let function = |n: i64| {
        format!(
            "fn0 \"begin\"() {{
block0:
    v0: i64 = iconst {n}
    switch v0, 1: block1(v0), -2: block2(), else block3()
block1(v1: i64):
    emit fmt0(v1)
    return
block2:
    emit fmt2(v0)
    return
block3:
    return
}}
"
        )
    };
    assert_eq!(run("", &function(1)), "1\n");
    assert_eq!(run("", &function(-2)), "-2 ");
    assert_eq!(run("", &function(5)), "");
}

const FACTORIAL: &str = "fn1 \"f\"(i64) -> i64 {
block0(v0: i64):
    v1: i64 = iconst 1
    branch v0, block1(), block2()
block1:
    v2: i64 = sub v0, v1
    v3: i64 = call fn1(v2) !site11
    v4: i64 = mul v0, v3
    return v4
block2:
    return v1
}
";

fn factorial_of(n: i64) -> String {
    format!(
        "fn0 \"begin\"() {{
block0:
    v0: i64 = iconst {n}
    try i64 = call fn1(v0) !site11, block1(), block2()
block1(v1: i64):
    emit fmt0(v1)
    return
block2(v2: i64, v3: i64):
    v4: str<60> = err.text v2, v3
    emit fmt1(v4)
    return
}}

{FACTORIAL}"
    )
}

#[test]
fn recursion_goes_as_deep_as_in_systemtap() {
    assert_eq!(run("", &factorial_of(5)), "120\n");
    assert_eq!(run("", &factorial_of(12)), "479001600\n");
    assert_eq!(run("", &factorial_of(13)), "MAXNESTING exceeded\n");
}

#[test]
fn deep_recursion_does_not_use_the_native_stack() {
    let text = format!(
        "limits max_nesting=1000000\n{TABLES}\n{}",
        factorial_of(500_000)
    );
    let module = text::parse(&text).unwrap();
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    assert_eq!(machine.run(HandlerId::from_u32(0), 0, &mut cx), Ok(()));
    assert_eq!(cx.out, b"0\n");
}

#[test]
fn chains_of_functions_that_do_not_recurse_are_never_too_deep() {
    let mut functions = String::from(
        "fn0 \"begin\"() {\nblock0:\n    v0: i64 = call fn1() !site11\n    emit fmt0(v0)\n    return\n}\n\n",
    );
    for n in 1..40 {
        functions += &format!(
            "fn{n} \"f{n}\"() -> i64 {{\nblock0:\n    v0: i64 = call fn{}() !site11\n    return v0\n}}\n\n",
            n + 1
        );
    }
    functions += "fn40 \"f40\"() -> i64 {\nblock0:\n    v0: i64 = iconst 9\n    return v0\n}\n";
    assert_eq!(run("", &functions), "9\n");
}

const DIVIDE: &str = "fn1 \"f\"(i64) -> i64 {
block0(v0: i64):
    v1: i64 = iconst 10
    v2: i64 = div v1, v0 !site0
    return v2
}
";

#[test]
fn an_error_goes_to_the_caller_that_tries() {
    let text = run(
        "",
        &format!(
            "fn0 \"begin\"() {{
block0:
    v0: i64 = iconst 0
    v1: i64 = iconst 5
    v9: i64 = call fn1(v1) !site11
    emit fmt0(v9)
    try i64 = call fn1(v0) !site11, block1(v1), block2(v1)
block1(v2: i64, v3: i64):
    return
block2(v4: i64, v5: i64, v6: i64):
    v7: str<60> = err.text v4, v5
    emit fmt1(v7)
    emit fmt0(v6)
    return
}}

{DIVIDE}"
        ),
    );
    assert_eq!(text, "2\ndivision by 0\n5\n");
}

#[test]
fn an_error_nobody_catches_leaves_the_handler() {
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    let functions = format!(
        "fn0 \"begin\"() {{
block0:
    v0: i64 = iconst 0
    v1: i64 = call fn1(v0) !site11
    emit fmt0(v1)
    return
}}

{DIVIDE}"
    );
    let module = module("", &functions);
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    let stop = machine.run(HandlerId::from_u32(0), 0, &mut cx).unwrap_err();
    let Stop::Error { site, arg: 0, .. } = stop else {
        panic!("{stop:?}");
    };
    let sites = machine.sites();
    assert_eq!(sites[site].kind, ErrorKind::DivisionByZero);
    let calls: Vec<&str> = callers(sites, site).map(|call| &*call.near).collect();
    assert_eq!(calls, ["f"]);
    assert_eq!(cx.out, b"");
}

#[test]
fn raised_text_is_caught_and_raised_again() {
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    let functions = "fn0 \"begin\"() {
block0:
    try call fn1() !site11, block1(), block2()
block1:
    return
block2(v0: i64, v1: i64):
    v2: str<60> = err.text v0, v1
    emit fmt1(v2)
    raise v0, v1
}

fn1 \"f\"() {
block0:
    v0: str<5> = str.const str1
    err.set v0
    v1: i64 = iconst 7
    v2: i64 = iconst 3
    raise v1, v2
}
";
    let stop = run_in(&mut cx, "", functions).unwrap_err();
    let Stop::Error { site, arg, text } = stop else {
        panic!("{stop:?}");
    };
    assert_eq!(
        (site.as_u32(), arg, text.as_bytes()),
        // Site 7, called from site 11.
        (12, 3, b"hello".as_slice())
    );
    assert_eq!(cx.out, b"hello\n");
}

const ENDLESS: &str = "fn0 \"begin\"() {
block0:
    v0: i64 = iconst 1
    jump block1()
block1 loop !site5:
    try i64 = div v0, v0 !site0, block2(), block3()
block2(v1: i64):
    jump block1()
block3(v2: i64, v3: i64):
    return
}
";

#[test]
fn an_endless_loop_can_be_interrupted() {
    let mut cx = Fake {
        patience: 3,
        ..Fake::default()
    };
    assert_eq!(run_in(&mut cx, "", ENDLESS), Err(Stop::Interrupted));
}

#[test]
fn a_limited_loop_raises_past_the_try_of_its_function() {
    let module = module("", ENDLESS);
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    machine.loop_limit = 1000;
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    let stop = machine.run(HandlerId::from_u32(0), 0, &mut cx).unwrap_err();
    assert!(matches!(stop, Stop::Error { site, .. } if site.as_u32() == 5));
    // The machine is none the worse for it.
    assert!(machine.run(HandlerId::from_u32(0), 0, &mut cx).is_err());
}

#[test]
fn a_failing_function_of_user_space_is_an_error() {
    let text = run(
        "",
        "fn0 \"begin\"() {
block0:
    v0: i64 = iconst 9223372036854775807
    try str<24> = user \"ctime\"(v0) !site9, block1(), block2()
block1(v1: str<24>):
    return
block2(v2: i64, v3: i64):
    v4: str<60> = err.text v2, v3
    emit fmt1(v4)
    return
}
",
    );
    assert_eq!(text, "Time too far in the future to be converted\n");
}

#[test]
fn an_unknown_function_is_found_before_anything_runs() {
    let module = module(
        "",
        "fn0 \"begin\"() {\nblock0:\n    v0: i64 = user \"frob\"() !site9\n    return\n}\n",
    );
    let error = Program::new(&module, &Layout::default()).unwrap_err();
    assert!(error.to_string().contains("`frob`"), "{error}");
}
