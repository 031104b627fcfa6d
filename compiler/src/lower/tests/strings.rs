//! Widths, lateness, formats.

use super::*;
use crate::lir::{CmpOp, Conv, ConvKind, Format, Piece};

#[test]
fn widths_are_brought_to_the_place() {
    let mut s = Script::new();
    let name = s.global("name", &[], Ty::Str);
    s.program.globals[name].value_cap = (4, false);
    let concat = expr(
        ExprKind::Concat(vec![string("ab"), string_local(0)]),
        Ty::Str,
    );
    s.probe(
        &[Ty::Str],
        vec![
            set(0, string("hello")),
            run(assign(Place::Global(name), string("hello"))),
            run(assign(Place::Global(name), string_local(0))),
            run(assign(Place::Global(name), concat.clone())),
            run(assign_op(
                Place::Global(name),
                AssignOp::Concat,
                string("x"),
            )),
            set(0, builtin("__comm", vec![])),
        ],
    );
    expect(
        &s.lower(),
        "probe_0",
        r"
        block0:
            jump block1()
        block1:
            jump block2()
        block2:
            v0: str<15> = str.const str1
            v1: str<4> = str.const str2
            global.set g0, v1
            v2: str<4> = str.cut v0
            global.set g0, v2
            v3: str<2> = str.const str3
            v4: str<4> = str.concat v3, v0
            global.set g0, v4
            v5: str<1> = str.const str4
            v6: str<4> = global.get g0
            v7: str<4> = str.concat v6, v5
            global.set g0, v7
            v8: str<15> = comm
            return
        ",
    );
}

#[test]
fn comparisons_of_strings() {
    let mut s = Script::new();
    let compare = |op| {
        long(ExprKind::Cmp(
            op,
            Box::new(string_local(0)),
            Box::new(string("x")),
        ))
    };
    s.probe(
        &[Ty::Str, Ty::Long],
        vec![
            set(1, compare(CmpOp::Eq)),
            set(1, compare(CmpOp::Ne)),
            set(1, compare(CmpOp::Ge)),
            set(
                1,
                long(ExprKind::Match(
                    Box::new(string_local(0)),
                    BString::from("a.*"),
                )),
            ),
        ],
    );
    expect(
        &s.lower(),
        "probe_0",
        r"
        block0:
            v0: str<15> = str.const str0
            jump block1()
        block1:
            jump block2()
        block2:
            v1: str<1> = str.const str1
            v2: i64 = iconst 0
            v3: i64 = str.eq v0, v1
            v4: str<1> = str.const str1
            v5: i64 = iconst 0
            v6: i64 = str.eq v0, v4
            v7: i64 = icmp.eq v6, v5
            v8: str<1> = str.const str1
            v9: i64 = iconst 0
            v10: i64 = str.cmp v0, v8
            v11: i64 = icmp.ge v10, v9
            v12: i64 = str.match re0, v0
            return
        ",
    );
}

#[test]
fn printing_becomes_formats() {
    let mut s = Script::new();
    let format = Format {
        pieces: vec![
            Piece::Text(BString::from("<")),
            Piece::Conv(Conv::plain(ConvKind::HexLower)),
            Piece::Text(BString::from(">")),
        ],
        channel: lir::Channel::Out,
    };
    let printf = Print {
        kind: PrintKind::Format(format),
        ..plain(vec![local(0)], false)
    };
    s.probe(
        &[Ty::Long, Ty::Str],
        vec![
            println(vec![int(1), string("-"), local(0), string_local(1)]),
            run(expr(ExprKind::Print(printf.clone()), Ty::Void)),
            set(1, expr(ExprKind::Sprint(printf), Ty::Str)),
            run(builtin("warn", vec![string_local(1)])),
        ],
    );
    let module = s.lower();
    expect(
        &module,
        "probe_0",
        r"
        block0:
            v0: i64 = iconst 0
            v1: str<15> = str.const str0
            jump block1()
        block1:
            jump block2()
        block2:
            emit fmt1(v0, v1)
            emit fmt2(v0)
            v2: str<15> = str.format fmt2(v0)
            emit fmt3(v2)
            return
        ",
    );
    let text = text::print(&module);
    assert!(text.contains("fmt1 = out \"1-\" %d %s \"\\n\""), "{text}");
}

/// `ctime()`: late where allowed, else a call in user space, else a fault.
#[test]
fn late_strings_are_carried_raw() {
    let mut s = Script::new();
    let late = Expr {
        cap: (15, true),
        ..builtin("__ctime", vec![local(0)])
    };
    let probe = s.probe(&[Ty::Long], vec![println(vec![late])]);
    probe.exec = Exec::Kernel;
    s.probe(
        &[Ty::Long],
        vec![println(vec![builtin("__ctime", vec![local(0)])])],
    );
    let module = s.lower();
    expect(
        &module,
        "probe_0",
        r"
        block0:
            v0: i64 = iconst 0
            jump block1()
        block1:
            jump block2()
        block2:
            v1: late<15> = str.late fmt1(v0)
            emit fmt2(v1)
            return
        ",
    );
    expect(
        &module,
        "probe_1",
        r#"
        block0:
            v0: i64 = iconst 0
            jump block1()
        block1:
            jump block2()
        block2:
            v1: str<15> = user "ctime"(v0) !site0
            emit fmt2(v1)
            return
        "#,
    );

    let mut s = Script::new();
    let probe = s.probe(
        &[Ty::Long],
        vec![println(vec![builtin("__usymname", vec![local(0)])])],
    );
    probe.exec = Exec::Kernel;
    assert!(s.faults()[0].message.contains("made in user space"));
}
