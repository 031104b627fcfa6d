//! Passes on small functions in LIR's text form: what goes in, what comes out.

use super::optimise;
use crate::lir::text::{parse, print};

/// Tables that the cases below use.
const TABLES: &str = r#"
g0 = global "n" i64 = 0 print
g1 = global "a" array [i64] -> i64 max 8 print
g2 = global "five" i64 = 5
g3 = global "hidden" array [i64] -> i64 max 8
str0 = "abc"
str1 = "x"
fmt0 = out %d
fmt1 = out %s
fmt2 = out "<" %s ">" %5d
fmt3 = out call "ctime" 1
site0 = division_by_zero near "" at ""
site1 = array_overflow 8 near "" at ""
site2 = kernel_read_fault near "" at ""
site3 = max_action near "" at ""
site4 = call near "half" at ""
"#;

/// Optimises functions; the text of the functions that result, without margins.
fn optimised(functions: &str) -> String {
    let mut module = parse(&format!("{TABLES}{functions}")).unwrap();
    optimise(&mut module);
    let text = print(&module);
    let start = text.find("\nfn").map_or(0, |at| at + 1);
    let formats = text.lines().filter(|line| line.starts_with("fmt"));
    let lines: Vec<&str> = formats
        .chain(text[start..].lines())
        .map(str::trim)
        .collect();
    lines.join("\n")
}

/// Optimises a function of two numbers and a string that has this body in its first block.
fn body(lines: &str) -> String {
    let text = optimised(&format!(
        "fn0 \"f\"(i64, i64, str<15>) -> i64 {{\nblock0(v0: i64, v1: i64, v2: str<15>):\n{lines}\n}}"
    ));
    let from = text.find("block0").unwrap_or(0);
    let body = text[from..].trim_end_matches('}');
    let lines: Vec<&str> = body.lines().skip(1).collect();
    lines.join("; ")
}

#[test]
fn arithmetic_is_done_beforehand() {
    for (before, after) in [
        ("v9: i64 = mul v3, v4", "iconst 42"),
        ("v9: i64 = div v4, v3 !site0", "iconst 1"),
        ("v9: i64 = icmp.lt v3, v4", "iconst 1"),
        ("v9: i64 = extend.s8 v5", "iconst -1"),
        ("v9: i64 = shr v5, v3", "iconst 3"),
        ("v9: i64 = sub v0, v0", "iconst 0"),
    ] {
        let consts = "v3: i64 = iconst 6\nv4: i64 = iconst 7\nv5: i64 = iconst 255";
        let text = body(&format!("{consts}\n{before}\nreturn v9"));
        assert_eq!(text, format!("v3: i64 = {after}; return v3"), "{before}");
    }
    // A division by zero stays, to fail when it is run.
    let text = body("v3: i64 = iconst 0\nv4: i64 = div v0, v3 !site0\nreturn v4");
    assert!(text.contains("div v0, v3"), "{text}");
}

#[test]
fn identities_of_integers() {
    for (before, after) in [
        ("v9: i64 = add v3, v0", "return v0"),
        ("v9: i64 = or v0, v3", "return v0"),
        (
            "v9: i64 = mul v0, v4",
            "v3: i64 = iconst 3; v4: i64 = shl v0, v3; return v4",
        ),
        (
            "v8: i64 = add v0, v4\nv9: i64 = sub v8, v5",
            "v3: i64 = iconst -4294967287; v4: i64 = add v0, v3; return v4",
        ),
        ("v9: i64 = and v0, v5", "v3: i64 = extend.u32 v0; return v3"),
        (
            "v8: i64 = icmp.lt v0, v1\nv9: i64 = icmp.eq v8, v3",
            "v3: i64 = icmp.ge v0, v1; return v3",
        ),
        (
            "v8: i64 = extend.u8 v0\nv9: i64 = extend.u32 v8",
            "v3: i64 = extend.u8 v0; return v3",
        ),
        (
            "v8: i64 = extend.u8 v0\nv9: i64 = icmp.lt v8, v3",
            "v3: i64 = iconst 0; return v3",
        ),
        (
            "v8: i64 = extend.u8 v0\nv9: i64 = rem v8, v4 !site0",
            "v3: i64 = extend.u8 v0; v4: i64 = iconst 7; v5: i64 = and v3, v4; return v5",
        ),
        (
            "v8: i64 = shl v0, v6\nv9: i64 = sar v8, v6",
            "v3: i64 = extend.s16 v0; return v3",
        ),
    ] {
        let consts = "v3: i64 = iconst 0\nv4: i64 = iconst 8\nv5: i64 = iconst 4294967295\nv6: i64 = iconst 48";
        assert_eq!(
            body(&format!("{consts}\n{before}\nreturn v9")),
            after,
            "{before}"
        );
    }
}

#[test]
fn strings_are_folded() {
    for (before, after) in [
        ("v9: i64 = str.len v3", "v3: i64 = iconst 3; return v3"),
        (
            "v8: str<4> = str.concat v3, v4\nv9: i64 = str.len v8",
            "v3: i64 = iconst 4; return v3",
        ),
        (
            "v8: str<2> = str.cut v3\nv9: i64 = str.len v8",
            "v3: i64 = iconst 2; return v3",
        ),
        ("v9: i64 = str.eq v2, v2", "v3: i64 = iconst 1; return v3"),
        (
            "v8: str<15> = str.concat v2\nv9: i64 = str.len v8",
            "v3: i64 = str.len v2; return v3",
        ),
    ] {
        let consts = "v3: str<3> = str.const str0\nv4: str<1> = str.const str1";
        assert_eq!(
            body(&format!("{consts}\n{before}\nreturn v9")),
            after,
            "{before}"
        );
    }
}

#[test]
fn loads_are_shared_until_something_changes() {
    let text = body(
        "v3: i64 = array.get g1[v0]\nv4: i64 = array.get g1[v0]\nv5: i64 = add v3, v4\n\
         array.set g1[v1], v5 !site1\nv6: i64 = array.get g1[v1]\nv7: i64 = array.get g1[v0]\n\
         v8: i64 = add v6, v7\nv9: i64 = mem.read.kernel.u4 v0 !site2\n\
         v10: i64 = mem.read.kernel.u4 v0 !site0\nv11: i64 = add v9, v10\nv12: i64 = add v8, v11\nreturn v12",
    );
    assert_eq!(
        text,
        "v3: i64 = array.get g1[v0]; v4: i64 = add v3, v3; array.set g1[v1], v4 !site0; \
         v5: i64 = array.get g1[v0]; v6: i64 = add v4, v5; v7: i64 = mem.read.kernel.u4 v0 !site1; \
         v8: i64 = add v7, v7; v9: i64 = add v6, v8; return v9"
    );
}

/// Who compares what a global is before and behind a count wants to know whether it has changed meanwhile.
#[test]
fn loads_are_not_kept_over_a_count() {
    let text = body(
        "v3: i64 = array.get g1[v0]\nv4: i64 = perf_count v0 !site1\nv5: i64 = array.get g1[v0]\n\
         v6: i64 = icmp.eq v3, v5\nv7: i64 = add v4, v6\nreturn v7",
    );
    assert_eq!(text.matches("array.get").count(), 2, "{text}");
}

#[test]
fn loads_are_not_kept_over_a_loop() {
    let text = optimised(
        r#"fn0 "f"(i64) {
        block0(v0: i64):
            v1: i64 = mem.read.kernel.u4 v0 !site2
            emit fmt0(v1)
            jump block1()
        block1 loop !site3:
            v2: i64 = mem.read.kernel.u4 v0 !site2
            branch v2, block1(), block2()
        block2:
            return
        }"#,
    );
    assert_eq!(text.matches("mem.read").count(), 2, "{text}");
}

/// What a branch says holds behind it; a branch on a passed constant is threaded.
#[test]
fn branches_are_decided() {
    let text = optimised(
        r#"fn0 "f"(i64) -> i64 {
        block0(v0: i64):
            branch v0, block1(), block2()
        block1:
            v1: i64 = iconst 1
            jump block3(v1)
        block2:
            v2: i64 = iconst 0
            jump block3(v2)
        block3(v3: i64):
            branch v3, block4(), block5()
        block4:
            return v0
        block5:
            v4: i64 = add v0, v0
            return v4
        }"#,
    );
    // Both ways leave with v0, which is 0 on one of them.
    assert!(!text.contains("add"), "{text}");
    assert_eq!(text.matches("branch").count(), 1, "{text}");
}

#[test]
fn calls_in_a_try_keep_their_catch() {
    let text = optimised(
        r#"fn0 "half"(i64, i64) -> i64 {
        block0(v0: i64, v1: i64):
            v2: i64 = div v0, v1 !site0
            return v2
        }
        fn1 "f"(i64) -> i64 {
        block0(v0: i64):
            try i64 = call fn0(v0, v0) !site4, block1(), block2()
        block1(v1: i64):
            return v1
        block2(v2: i64, v3: i64):
            return v2
        }"#,
    );
    let caller = &text[text.find("fn1").unwrap()..];
    // Site 3 is site 0 called from site 2.
    assert_eq!(
        caller,
        "fn1 \"f\"(i64) -> i64 {\nblock0(v0: i64):\ntry i64 = div v0, v0 !site3, block1(), block2()\n\
         block1(v1: i64):\nreturn v1\nblock2(v2: i64, v3: i64):\nreturn v2\n}"
    );
}

#[test]
fn what_nobody_reads_is_not_kept() {
    let text = body(
        "v3: i64 = global.get g2\narray.set g3[v0], v3 !site1\nv4: i64 = mem.read.kernel.s4 v1 !site2\n\
         v5: i64 = global.fetch_add g0, v3\nreturn v3",
    );
    assert_eq!(text, "v3: i64 = iconst 5; global.add g0, v3; return v3");
}

#[test]
fn formats_see_through_their_arguments() {
    let text = optimised(
        r#"fn0 "f"(i64, str<15>) {
        block0(v0: i64, v1: str<15>):
            v2: i64 = iconst 7
            v3: str<3> = str.const str0
            v4: str<40> = str.format fmt2(v1, v2)
            emit fmt1(v4)
            v5: late<15> = str.late fmt3(v0)
            emit fmt1(v5)
            v6: str<18> = str.concat v3, v1
            emit fmt1(v6)
            emit fmt0(v2)
            return
        }"#,
    );
    assert_eq!(
        text,
        "fmt0 = out \"<\" %s \">\" %5d\nfmt1 = out call \"ctime\" 1\nfmt2 = out %s\nfmt3 = out \"abc\" %s\nfmt4 = out \"7\"\n\
         fn0 \"f\"(i64, str<15>) {\nblock0(v0: i64, v1: str<15>):\nv2: i64 = iconst 7\nemit fmt0(v1, v2)\n\
         v3: late<15> = str.late fmt1(v0)\nemit fmt2(v3)\nemit fmt3(v1)\nemit fmt4()\nreturn\n}"
    );
}

#[test]
fn strings_get_the_width_that_is_wanted() {
    let text = body(
        "v3: str<30> = str.concat v2, v2\nv4: str<20> = str.cut v3\nv5: i64 = str.len v4\nreturn v5",
    );
    assert_eq!(
        text,
        "v3: str<20> = str.concat v2, v2; v4: i64 = str.len v3; return v4"
    );
}
