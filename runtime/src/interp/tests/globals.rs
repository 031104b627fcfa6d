//! Globals, arrays, statistics, foreach.

use super::*;

const GLOBALS: &str = r#"g0 = global "n" i64 = 40
g1 = global "a" array [i64] -> i64 max 3
g2 = global "b" array [i64, str<15>] -> i64 max 100
g3 = global "s" stat {count sum min max log linear 0 10 2}
g4 = global "p" array [i64] -> stat {count sum} max 10
g5 = global "t" str<3> = "abcdef"
g6 = global "l" array [late<31>] -> i64 max 10
"#;

fn in_block(instructions: &str) -> String {
    run(
        GLOBALS,
        &format!("fn0 \"begin\"() {{\nblock0:\n{instructions}\n    return\n}}\n"),
    )
}

#[test]
fn scalars() {
    let text = in_block(
        "v0: i64 = iconst 2
        global.add g0, v0
        v1: i64 = global.fetch_add g0, v0
        emit fmt0(v1)
        v2: i64 = global.get g0
        emit fmt0(v2)
        global.set g0, v0
        v3: i64 = global.get g0
        emit fmt0(v3)
        v4: str<3> = global.get g5
        emit fmt1(v4)
        clear g0
        clear g5
        v5: i64 = global.get g0
        emit fmt0(v5)
        v6: str<3> = global.get g5
        emit fmt1(v6)",
    );
    assert_eq!(text, "42\n44\n2\nabc\n0\n\n");
}

#[test]
fn a_full_array_is_an_error() {
    let text = run(
        GLOBALS,
        "fn0 \"begin\"() {
block0:
    v0: i64 = iconst 1
    v1: i64 = iconst 2
    v2: i64 = iconst 3
    v3: i64 = iconst 4
    array.set g1[v0], v3 !site1
    array.add g1[v1], v3 !site1
    v4: i64 = array.fetch_add g1[v2], v3 !site1
    v5: i64 = array.fetch_add g1[v2], v3 !site1
    emit fmt2(v4)
    emit fmt2(v5)
    v6: i64 = array.get g1[v3]
    emit fmt2(v6)
    try array.set g1[v3], v3 !site1, block1(), block2()
block1:
    return
block2(v7: i64, v8: i64):
    v9: str<60> = err.text v7, v8
    emit fmt1(v9)
    array.del g1[v0]
    array.set g1[v3], v0 !site1
    v10: i64 = array.has g1[v0]
    emit fmt2(v10)
    v11: i64 = array.has g1[v3]
    emit fmt2(v11)
    return
}
",
    );
    assert_eq!(text, "0 4 0 Array overflow, check size limit (3)\n0 1 ");
}

/// Fills `g2` with (1,a)=5 (2,b)=3 (1,c)=5 (3,a)=1, then goes through it.
fn through(iter: &str) -> String {
    let mut text = String::from("str2 = \"a\"\nstr3 = \"b\"\nstr4 = \"c\"\n");
    text = format!(
        "{GLOBALS}{}",
        TABLES.replace("str1 = \"hello\"\n", &format!("str1 = \"hello\"\n{text}"))
    );
    text += &format!(
        "\nfn0 \"begin\"() {{
block0:
    v0: i64 = iconst 1
    v1: i64 = iconst 2
    v2: i64 = iconst 3
    v3: i64 = iconst 5
    v4: str<15> = str.const str2
    v5: str<15> = str.const str3
    v6: str<15> = str.const str4
    array.set g2[v0, v4], v3 !site1
    array.set g2[v1, v5], v2 !site1
    array.set g2[v0, v6], v3 !site1
    array.set g2[v2, v4], v0 !site1
    v7: i64 = {iter} !site1
    jump block1()
block1 loop !site5:
    iter.next.value v7, block2(), block3()
block2(v8: i64, v9: str<15>, v10: i64):
    emit fmt2(v8)
    emit fmt5(v9, v10)
    jump block1()
block3:
    iter.end v7
    return
}}
"
    );
    let module = text::parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    assert_eq!(machine.run(HandlerId::from_u32(0), 0, &mut cx), Ok(()));
    String::from_utf8(cx.out).unwrap()
}

#[test]
fn foreach_in_every_order() {
    assert_eq!(through("iter.begin g2[_, _]"), "1 a=5 2 b=3 1 c=5 3 a=1 ");
    assert_eq!(
        through("iter.begin g2[_, _] desc value"),
        "1 a=5 1 c=5 2 b=3 3 a=1 "
    );
    assert_eq!(
        through("iter.begin g2[_, _] asc value"),
        "3 a=1 2 b=3 1 a=5 1 c=5 "
    );
    assert_eq!(
        through("iter.begin g2[_, _] asc key.1"),
        "1 a=5 3 a=1 2 b=3 1 c=5 "
    );
    assert_eq!(
        through("iter.begin g2[_, _] desc key.0"),
        "3 a=1 2 b=3 1 a=5 1 c=5 "
    );
    assert_eq!(
        through("iter.begin g2[_, _] desc value limit v1"),
        "1 a=5 1 c=5 "
    );
    assert_eq!(through("iter.begin g2[_, _] limit v0"), "1 a=5 ");
    assert_eq!(through("iter.begin g2[v0, _]"), "1 a=5 1 c=5 ");
    assert_eq!(
        through("iter.begin g2[_, v4] desc value limit v0"),
        "1 a=5 "
    );
    assert_eq!(through("iter.begin g2[v2, v5]"), "");
}

#[test]
fn slices() {
    let text = in_block(
        "v0: i64 = iconst 1
        v1: i64 = iconst 2
        v2: str<15> = str.const str1
        array.set g2[v0, v2], v0 !site1
        array.set g2[v1, v2], v0 !site1
        v3: i64 = array.has_slice g2[_, v2]
        emit fmt2(v3)
        clear g2[v0, _]
        v4: i64 = array.has g2[v0, v2]
        emit fmt2(v4)
        v5: i64 = array.has_slice g2[v1, _]
        emit fmt2(v5)
        clear g2
        v6: i64 = array.has_slice g2[_, _]
        emit fmt2(v6)",
    );
    assert_eq!(text, "1 0 1 0 ");
}

#[test]
fn statistics() {
    let text = in_block(
        "v0: i64 = iconst 1
        v1: i64 = iconst -4
        v2: i64 = iconst 9
        stat.push g3, v0 !site1
        stat.push g3, v1 !site1
        stat.push g3, v2 !site1
        v3: i64 = stat.count g3 !site2
        emit fmt2(v3)
        v4: i64 = stat.sum g3 !site2
        emit fmt2(v4)
        v5: i64 = stat.min g3 !site2
        emit fmt2(v5)
        v6: i64 = stat.max g3 !site2
        emit fmt2(v6)
        v7: i64 = stat.avg g3 !site2
        emit fmt2(v7)
        v8: i64 = iconst 0
        v9: i64 = stat.bucket.1 g3, v8 !site3
        emit fmt2(v9)
        stat.push g4[v0], v2 !site1
        v10: i64 = stat.sum g4[v0] !site2
        emit fmt2(v10)
        v11: i64 = stat.count g4[v2] !site2
        emit fmt2(v11)
        emit.hist.1 g3 !site2
        clear g3
        v12: i64 = stat.count g3 !site2
        emit fmt2(v12)",
    );
    let (numbers, hist) = text.split_once("value").unwrap();
    assert_eq!(numbers, "3 6 -4 9 2 1 9 0 ");
    assert!(hist.contains("\n   <0 |@"), "{hist}");
    assert!(hist.ends_with("\n\n0 "), "{hist}");
}

#[test]
fn an_empty_statistic_has_no_average() {
    for op in [
        "stat.avg g3 !site2",
        "stat.min g4[v0] !site2",
        "stat.bucket.0 g3, v0 !site3",
    ] {
        let mut cx = Fake {
            patience: u32::MAX,
            ..Fake::default()
        };
        let functions = format!(
            "fn0 \"begin\"() {{\nblock0:\n    v0: i64 = iconst 1\n    v1: i64 = {op}\n    return\n}}\n"
        );
        assert!(run_in(&mut cx, GLOBALS, &functions).is_err(), "{op}");
    }
}

#[test]
fn a_late_key_finds_its_element_again() {
    let text = run(
        GLOBALS,
        "fn0 \"begin\"() {
block0:
    v0: i64 = iconst 5
    v1: str<5> = str.const str1
    v2: late<31> = str.late fmt4(v0, v1)
    array.set g6[v2], v0 !site1
    v3: i64 = iconst 2
    v4: late<31> = str.late fmt4(v3, v1)
    array.set g6[v4], v3 !site1
    v5: i64 = iter.begin g6[_] asc key.0 !site1
    jump block1()
block1 loop !site5:
    iter.next v5, block2(), block3()
block2(v6: late<31>):
    v7: i64 = array.get g6[v6]
    emit fmt5(v6, v7)
    jump block1()
block3:
    return
}
",
    );
    assert_eq!(text, "<2,hello>=2 <5,hello>=5 ");
}

#[test]
fn globals_outlive_a_run() {
    let module = module(
        GLOBALS,
        "fn0 \"begin\"() {\nblock0:\n    v0: i64 = iconst 1\n    global.add g0, v0\n    return\n}\n",
    );
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    for _ in 0..5 {
        machine.run(HandlerId::from_u32(0), 0, &mut cx).unwrap();
    }
    use crate::interp::Store;
    assert_eq!(
        machine
            .store
            .get(rtap_compiler::lir::Global::from_u32(0))
            .int(),
        45
    );
}

#[test]
fn globals_nobody_reads_are_shown() {
    let text = r#"g0 = global "n" i64 = 5 print
g1 = global "s" str<20> = "q\"x\n" print
g2 = global "a" array [str<15>, i64] -> i64 max 9 print
g3 = global "st" stat {count sum min max} print
g4 = global "none" stat {count sum min max} print
g5 = global "e" array [i64] -> stat {count sum min max} max 9 print
g6 = global "hidden" i64 = 1
g7 = global "w" array [i64] -> str<9> max 9 print
str0 = "k"
str1 = "z"
site0 = array_overflow 9 near "" at ""
handler0 = user none fn0 "probe begin"
    point "begin" function "" module "" begin priority=0

fn0 "begin"() {
block0:
    v0: i64 = iconst 3
    v1: i64 = iconst -7
    v2: str<15> = str.const str0
    v3: str<9> = str.const str1
    stat.push g5[v1], v0 !site0
    stat.push g5[v0], v0 !site0
    stat.push g5[v0], v1 !site0
    array.set g2[v2, v1], v0 !site0
    array.set g2[v3, v0], v0 !site0
    array.set g2[v2, v0], v1 !site0
    stat.push g3, v0 !site0
    array.set g7[v0], v2 !site0
    array.set g7[v1], v3 !site0
    return
}
"#;
    let module = text::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    machine.run(HandlerId::from_u32(0), 0, &mut cx).unwrap();
    let mut out = Vec::new();
    machine.show_globals(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "e[3] @count=2 @min=-7 @max=3 @sum=-4 @avg=-2\n\
         e[-7] @count=1 @min=3 @max=3 @sum=3 @avg=3\n\
         a[\"k\",-7]=3\na[\"z\",3]=3\na[\"k\",3]=-7\n\
         st @count=1 @min=3 @max=3 @sum=3 @avg=3\n\
         w[-7]=\"z\"\nw[3]=\"k\"\n\
         n=5\ns=\"q\"x\n\"\nnone @count=0x0\n"
    );
}
