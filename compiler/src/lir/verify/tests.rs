//! Each rule with a module that breaks it.

use super::verify;
use crate::lir::text::parse;
use crate::lir::*;

/// Globals and sites that the cases below use.
const TABLES: &str = r#"
g0 = global "n" i64 = 0
g1 = global "s" str<15> = ""
g2 = global "a" array [i64, str<15>] -> i64 max 8
g3 = global "t" array [i64] -> stat {count sum log} max 8
g4 = global "l" late<15> = ""
str0 = "x"
fmt0 = out %d %s
fmt1 = out call "ctime" 1
site0 = division_by_zero near "" at ""
re0 = "x"
"#;

/// What `verify` says of a function (or several), joined.
fn errors(functions: &str) -> String {
    let module = parse(&format!("{TABLES}{functions}")).unwrap();
    let errors = verify(&module).err().unwrap_or_default();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// A function with this body in `block0`.
fn body(lines: &str) -> String {
    errors(&format!(
        "fn0 \"f\"(i64, str<15>) {{\nblock0(v0: i64, v1: str<15>):\n{lines}\nreturn\n}}"
    ))
}

#[track_caller]
fn broken(found: &str, rule: &str) {
    assert!(found.contains(rule), "wanted {rule:?}, found {found:?}");
}

/// A function that has everything in its place; `last` is passed to the last block.
fn sound(last: &str) -> String {
    errors(&format!(
        r#"fn0 "f"(i64) -> i64 {{
        block0(v0: i64):
            v1: str<15> = comm
            array.set g2[v0, v1], v0 !site0
            v2: i64 = iter.begin g2[v0, _] desc value limit v0 !site0
            jump block1(v0)
        block1(v3: i64) loop !site0:
            iter.next.value v2, block2(v3), block4()
        block2(v4: i64, v5: str<15>, v6: i64, v7: i64):
            try i64 = div v6, v7 !site0, block3(), block5({last})
        block3(v8: i64):
            jump block1(v8)
        block4:
            iter.end v2
            return v3
        block5(v9: i64, v10: i64, v11: i64):
            iter.end v2
            raise v9, v10
        }}"#
    ))
}

#[test]
fn a_sound_function_passes() {
    assert_eq!(sound("v3"), "");
    assert_eq!(
        sound("v2"),
        "f: block2: the iteration v2 is used as a number"
    );
}

#[test]
fn values_are_defined_once_before_use() {
    broken(
        &body("v3: i64 = add v2, v0\nv2: i64 = iconst 1"),
        "v2 is used where its definition may not",
    );
    broken(
        &body("v2: i64 = iconst 1\nv2: i64 = iconst 1"),
        "v2 is defined twice",
    );
    broken(
        &body("v2: i64 = add v0, v9\nv9: i64 = iconst 1"),
        "v9 is used where",
    );
    broken(&body("v3: i64 = add v0, v2"), "v2 is used but not defined");
    broken(
        &errors(
            "fn0 \"f\"(i64) {\nblock0(v0: i64):\nbranch v0, block1(), block2()\nblock1:\nv1: i64 = iconst 1\njump block2()\nblock2:\nglobal.set g0, v1\nreturn\n}",
        ),
        "v1 is used where",
    );
}

#[test]
fn jumps_fit() {
    broken(
        &errors("fn0 \"f\"() {\nblock0:\njump block1()\nblock1(v0: i64):\nreturn\n}"),
        "does not fit the parameters of block1",
    );
    broken(
        &errors("fn0 \"f\"() {\nblock0:\njump block0()\n}"),
        "goes to the entry",
    );
    broken(
        &errors("fn0 \"f\"(i64) {\nblock0:\nreturn\n}"),
        "parameters are not the function's",
    );
    broken(
        &errors("fn0 \"f\"() {\nblock0:\njump block1()\nblock1:\njump block1()\n}"),
        "has no `loop`",
    );
    broken(
        &errors("fn0 \"f\"() {\nblock0:\njump block3()\n}"),
        "there is no block3",
    );
    broken(
        &errors("fn0 \"f\"() -> i64 {\nblock0:\nreturn\n}"),
        "not of the function's type",
    );
    broken(
        &errors(
            "fn0 \"f\"(i64) {\nblock0(v0: i64):\nbranch v0, block1(), block2()\nblock1 loop !site0:\njump block2()\nblock2 loop !site0:\njump block1()\n}",
        ),
        "more than one entrance",
    );
    broken(
        &body("switch v0, 1: block1(), 1: block1(), else block1()\nblock1:\n"),
        "two cases are the same",
    );
    broken(
        &body("try i64 = add v0, v0, block1(), block1()\nblock1(v2: i64):\n"),
        "cannot fail",
    );
}

#[test]
fn operands_have_their_types() {
    for (line, rule) in [
        ("v2: i64 = add v0, v1", "v1 is str<15> where i64"),
        ("v2: i64 = str.len v0", "v0 is i64 where a string"),
        ("v2: str<4> = iconst 1", "wrong kind of result"),
        ("v2: str<16> = comm", "comm is a str<15>"),
        ("v2: str<4> = global.get g0", "the value of g0 is i64"),
        ("global.set g1, v0", "v0 is i64 where str<15>"),
        ("global.add g1, v0", "g1 is no number"),
        ("global.set g2, v0", "g2 is no scalar"),
        ("v2: i64 = array.get g2[v0]", "1 values where 2"),
        ("v2: i64 = array.get g3[v0]", "of another type"),
        ("v2: i64 = array.get g2[v1, v1]", "v1 is str<15> where i64"),
        ("v2: i64 = stat.min g3[v0] !site0", "does not keep"),
        ("v2: i64 = stat.bucket.1 g3[v0], v0 !site0", "does not keep"),
        ("stat.push g2[v0, v1], v0 !site0", "holds no statistics"),
        (
            "v2: i64 = iter.begin g3 desc value !site0",
            "cannot be sorted",
        ),
        ("v2: i64 = extend.s64 v0", "cannot extend 64"),
        (
            "v2: i64 = mem.read.kernel.u3 v0 !site0",
            "cannot read 3 bytes",
        ),
        ("v2: i64 = div v0, v0 !site9", "there is no site9"),
        ("v2: i64 = str.match re4, v1", "there is no re4"),
        ("emit fmt0(v0)", "more conversions"),
        ("emit fmt0(v0, v1, v1)", "fewer conversions"),
        ("emit fmt0(v1, v1)", "v1 is str<15> where i64"),
        ("v2: i64 = call fn0(v0, v1) !site0", "result of fn0"),
        ("call fn0(v0) !site0", "1 values where 2"),
        ("iter.end v0", "v0 is no iteration"),
    ] {
        broken(&body(line), rule);
    }
}

#[test]
fn late_strings_are_kept_apart() {
    for (line, rule) in [
        (
            "v2: late<15> = str.late fmt1(v0)\nv3: i64 = str.len v2",
            "v2 is late<15> where a string",
        ),
        ("v2: str<15> = str.late fmt1(v0)", "makes a late string"),
        (
            "v2: str<15> = str.format fmt1(v0)",
            "only user space can call",
        ),
        ("v2: late<15> = str.const str0", "cannot make a late"),
        (
            "v2: late<15> = str.late fmt1(v0)\nv3: late<8> = str.cut v2",
            "would be cut",
        ),
        ("v2: late<15> = str.cut v1", "is not late"),
    ] {
        broken(&body(line), rule);
    }
    assert_eq!(
        body(
            "v2: late<15> = str.late fmt1(v0)\nglobal.set g4, v2\nv3: late<23> = str.cut v2\nemit fmt0(v0, v3)"
        ),
        ""
    );
}

#[test]
fn modules_are_consistent() {
    broken(
        &errors("handler0 = kernel regs fn3 \"p\""),
        "there is no fn3",
    );
    broken(
        &errors("handler0 = kernel regs fn0 \"p\"\nfn0 \"f\"(i64) {\nblock0(v0: i64):\nreturn\n}"),
        "has parameters",
    );
    broken(
        &errors(
            "fn0 \"f\"() {\nblock0:\ncall fn1() !site0\nreturn\n}\nfn1 \"g\"() {\nblock0:\nreturn\n}",
        ),
        "stands before fn1",
    );
    broken(
        &errors(
            "handler0 = user none fn0 \"p\"\nfn0 \"f\"() {\nblock0:\nv0: i64 = ctx.arg 0\nreturn\n}",
        ),
        "kernel-side",
    );
    broken(
        &errors(
            "handler0 = kernel regs fn0 \"p\"\nfn0 \"f\"() {\nblock0:\nv0: i64 = user \"x\"() !site0\nreturn\n}",
        ),
        "user-side",
    );
    broken(
        &errors(
            "handler0 = kernel regs fn0 \"p\"\nfn0 \"f\"() {\nblock0:\nv0: i64 = ctx.arg 0\nreturn\n}",
        ),
        "another context",
    );
    broken(
        &errors("g5 = global \"x\" str<1> = \"ab\""),
        "initial value",
    );
    broken(
        &errors("g5 = global \"x\" array [] -> i64 max 1"),
        "1 to 9 keys",
    );
    broken(
        &errors(
            "handler0 = kernel regs fn0 \"p\"\nfn0 \"f\"() {\nblock0:\nv0: late<15> = global.get g4\nv1: str<9> = str.cut v0\nreturn\n}",
        ),
        "a late string rendered",
    );
}

/// What `verify` says of the tables alone, after a change.
fn changed(change: impl FnOnce(&mut Module)) -> String {
    let mut module = parse(TABLES).unwrap();
    change(&mut module);
    let errors = verify(&module).err().unwrap_or_default();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

fn array(keys: Vec<Ty>, value: ElementKind) -> GlobalKind {
    GlobalKind::Array {
        keys,
        value,
        max_entries: 8,
        wrap: false,
    }
}

#[test]
fn what_a_module_asks_for_is_bounded() {
    let long = Ty::str(MOST_STRING_BYTES + 1);
    let kinds = [
        array(vec![long], ElementKind::Plain(Ty::I64)),
        array(vec![Ty::I64], ElementKind::Plain(long)),
        GlobalKind::Scalar {
            ty: long,
            init: Init::Str("".into()),
        },
    ];
    for kind in kinds {
        broken(
            &changed(|module| module.globals[Global::from_u32(0)].kind = kind),
            "a string is too long",
        );
    }
    broken(
        &errors("fn0 \"f\"(str<65536>) {\nblock0(v0: str<65536>):\nreturn\n}"),
        "a string is too long",
    );
    broken(
        &changed(|module| module.limits.max_nesting = u32::MAX),
        "MAXNESTING",
    );
    for len in [0, 7, 16385] {
        broken(
            &changed(|module| module.limits.max_string_len = len),
            "MAXSTRINGLEN",
        );
    }
}

#[test]
fn histograms_have_buckets() {
    let with = |low, high, width, times| {
        let histograms = vec![Histogram::Linear { low, high, width }; times];
        let layout = StatLayout {
            histograms,
            ..StatLayout::default()
        };
        let stat = changed(|module| {
            module.globals[Global::from_u32(0)].kind = GlobalKind::Stat(layout.clone());
        });
        let element = ElementKind::Stat(layout);
        let of_array = changed(|module| {
            module.globals[Global::from_u32(0)].kind = array(vec![Ty::I64], element);
        });
        assert_eq!(stat, of_array);
        stat
    };
    assert_eq!(with(0, 127, 1, 1), "");
    assert_eq!(with(i64::MIN, -1, i64::MAX, 1), "");
    for (low, high, width) in [
        (0, 128, 1),
        (0, 10, 0),
        (0, 10, -1),
        (10, 0, 1),
        (i64::MIN, i64::MAX, 1),
        (i64::MIN, i64::MAX, i64::MAX),
    ] {
        broken(&with(low, high, width, 1), "a histogram has no width");
    }
    broken(&with(0, 127, 1, 1000), "too many histograms");
}
