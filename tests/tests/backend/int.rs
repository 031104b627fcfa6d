//! Integers, control flow, errors.

use super::check;

/// Globals `a` to `f` set to values that depend on arguments 0 and 1.
fn arithmetic(a: i64, b: i64) {
    let source = r#"
g0 = global "add" i64 = 0
g1 = global "mul" i64 = 0
g2 = global "div" i64 = 0
g3 = global "rem" i64 = 0
g4 = global "shl" i64 = 0
g5 = global "sar" i64 = 0
g6 = global "lt" i64 = 0
g7 = global "by7" i64 = 0
g8 = global "rem7" i64 = 0
g9 = global "ext" i64 = 0
g10 = global "shr" i64 = 0
g11 = global "by_minus_3" i64 = 0
g12 = global "ult" i64 = 0
site0 = division_by_zero near "" at ""
fn0 "p"() {
block0():
    v0: i64 = ctx.arg 0
    v1: i64 = ctx.arg 1
    v2: i64 = add v0, v1
    global.set g0, v2
    v3: i64 = mul v0, v1
    global.set g1, v3
    v4: i64 = div v0, v1 !site0
    global.set g2, v4
    v5: i64 = rem v0, v1 !site0
    global.set g3, v5
    v6: i64 = shl v0, v1
    global.set g4, v6
    v7: i64 = sar v0, v1
    global.set g5, v7
    v8: i64 = icmp.lt v0, v1
    global.set g6, v8
    v9: i64 = iconst 7
    v10: i64 = div v0, v9 !site0
    global.set g7, v10
    v11: i64 = rem v0, v9 !site0
    global.set g8, v11
    v12: i64 = extend.s12 v0
    global.set g9, v12
    v13: i64 = shr v0, v1
    global.set g10, v13
    v14: i64 = iconst -3
    v15: i64 = div v0, v14 !site0
    global.set g11, v15
    v16: i64 = icmp.ult v0, v1
    global.set g12, v16
    return
}
"#;
    let expected = [
        ("add", a.wrapping_add(b)),
        ("mul", a.wrapping_mul(b)),
        ("div", a.wrapping_div(b)),
        ("rem", a.wrapping_rem(b)),
        ("shl", a.wrapping_shl(b as u32)),
        ("sar", a.wrapping_shr(b as u32)),
        ("lt", i64::from(a < b)),
        ("by7", a / 7),
        ("rem7", a % 7),
        ("ext", a << 52 >> 52),
        ("shr", (a as u64).wrapping_shr(b as u32) as i64),
        ("by_minus_3", a / -3),
        ("ult", i64::from((a as u64) < b as u64)),
    ];
    let expected: Vec<(&str, String)> = expected.map(|(n, v)| (n, v.to_string())).to_vec();
    let expected: Vec<(&str, &str)> = expected.iter().map(|(n, v)| (*n, v.as_str())).collect();
    check(source, &[a as u64, b as u64], &expected);
}

#[test]
fn arithmetic_is_that_of_c() {
    for (a, b) in [
        (100, 7),
        (-100, 7),
        (100, -7),
        (-100, -7),
        (i64::MIN, -1),
        (5, 66),
    ] {
        arithmetic(a, b);
    }
}

#[test]
fn errors_are_caught_and_counted() {
    let source = r#"
g0 = global "caught" i64 = -1
g1 = global "arg" i64 = -1
g2 = global "after" i64 = 0
g3 = global "never" i64 = 0
site0 = division_by_zero near "" at ""
site1 = kernel_read_fault near "" at ""
site2 = call near "f" at ""
fn0 "f"(i64) -> i64 {
block0(v0: i64):
    v1: i64 = iconst 10
    v2: i64 = div v1, v0 !site0
    return v2
}
fn1 "p"() {
block0():
    v0: i64 = iconst 0
    try i64 = call fn0(v0) !site2, block1(), block2()
block1(v1: i64):
    jump block3()
block2(v2: i64, v3: i64):
    global.set g0, v2
    jump block3()
block3():
    v4: i64 = iconst 16
    try i64 = mem.read.kernel.u4 v4 !site1, block4(), block5()
block4(v5: i64):
    jump block6()
block5(v6: i64, v7: i64):
    global.set g1, v7
    jump block6()
block6():
    v8: i64 = iconst 1
    global.set g2, v8
    v9: i64 = div v8, v0 !site0
    global.set g3, v8
    return
}
"#;
    check(
        source,
        &[],
        &[
            // Site 0, called from site 2.
            ("caught", "3"),
            ("arg", "16"),
            ("after", "1"),
            ("never", "0"),
        ],
    );
}

#[test]
fn loops_are_bounded() {
    let source = r#"limits max_action=100
g0 = global "sum" i64 = 0
g1 = global "rounds" i64 = 0
g2 = global "error" i64 = 0
site0 = max_action near "" at ""
fn0 "p"() {
block0():
    v0: i64 = iconst 0
    v1: i64 = ctx.arg 0
    jump block1(v0, v0)
block1(v2: i64, v3: i64) loop !site0:
    v4: i64 = icmp.lt v2, v1
    branch v4, block2(), block3()
block2():
    v5: i64 = add v3, v2
    v6: i64 = iconst 1
    v7: i64 = add v2, v6
    global.add g1, v6
    jump block1(v7, v5)
block3():
    global.set g0, v3
    return
}
"#;
    check(source, &[10], &[("sum", "45"), ("rounds", "10")]);
    check(source, &[1000], &[("sum", "0"), ("rounds", "100")]);
}

#[test]
fn switches_search() {
    let source = r#"
g0 = global "found" i64 = 0
fn0 "p"() {
block0():
    v0: i64 = ctx.arg 0
    v1: i64 = iconst 1
    v2: i64 = iconst 2
    v3: i64 = iconst 3
    v4: i64 = iconst 4
    v5: i64 = iconst 5
    v9: i64 = iconst 9
    switch v0, -5: block1(v1), 0: block1(v2), 7: block1(v3), 100: block1(v4), 5000000000: block1(v5), else block1(v9)
block1(v10: i64):
    global.set g0, v10
    return
}
"#;
    for (value, found) in [
        (-5_i64, 1),
        (0, 2),
        (7, 3),
        (100, 4),
        (5_000_000_000, 5),
        (8, 9),
        (-6, 9),
    ] {
        check(source, &[value as u64], &[("found", &found.to_string())]);
    }
}
