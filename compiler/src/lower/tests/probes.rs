//! Handlers: points, variants, selectors; copies of functions.

use super::*;
use crate::lir::Env;

/// `x0 = n`
fn note(n: i64) -> Vec<Stmt> {
    vec![println(vec![int(n)])]
}

#[test]
fn variants_share_the_body() {
    let mut s = Script::new();
    let probe = s.probe(&[Ty::Long], note(0));
    probe.points = vec![point("a", None), point("b", None), point("c", None)];
    probe.variants = vec![
        Variant {
            points: vec![0, 2],
            conditions: vec![local(0)],
            ..Variant::default()
        },
        Variant {
            points: vec![1],
            prologue: vec![set(0, int(7))],
            epilogue: note(1),
            ..Variant::default()
        },
    ];
    expect(
        &s.lower(),
        "probe_0",
        r"
        block0:
            v2: i64 = iconst 0
            v0: i64 = env.point
            switch v0, 1: block2(), 2: block1(v2), else block1(v2)
        block1(v1: i64):
            branch v1, block4(), block5()
        block2:
            v4: i64 = iconst 1
            v5: i64 = iconst 7
            jump block3(v4)
        block3(v6: i64):
            emit fmt1()
            switch v6, 1: block7(), else block6()
        block4:
            v3: i64 = iconst 0
            jump block3(v3)
        block5:
            return
        block6:
            return
        block7:
            emit fmt2()
            jump block6()
        ",
    );
}

#[test]
fn a_selector_finds_the_point() {
    let mut s = Script::new();
    let text = expr(ExprKind::PointText(PointText::Full), Ty::Str);
    let probe = s.probe(&[], note(0));
    probe.points = vec![point("first", None)];
    let probe = s.probe(&[], vec![println(vec![text])]);
    probe.points = vec![point("a", Some(3)), point("b", Some(5))];
    probe.selector = Some(long(ExprKind::Env(Env::Cpu)));
    expect(
        &s.lower(),
        "probe_1",
        r"
        block0:
            v0: i64 = env.cpu
            switch v0, 3: block3(), 5: block4(), else block2()
        block1(v3: i64):
            jump block5()
        block2:
            return
        block3:
            v1: i64 = iconst 1
            jump block1(v1)
        block4:
            v2: i64 = iconst 2
            jump block1(v2)
        block5:
            v4: str<15> = point.full v3
            emit fmt2(v4)
            return
        ",
    );
}

#[test]
fn runs_that_are_measured_are_of_a_point() {
    let mut s = Script::new();
    s.is_measured = true;
    s.probe(&[], note(0));
    let probe = s.probe(&[], note(1));
    probe.exec = Exec::Kernel;
    probe.points = vec![point("a", Some(3)), point("b", Some(5))];
    probe.selector = Some(long(ExprKind::Env(Env::Cpu)));
    let probe = s.probe(&[], note(2));
    probe.exec = Exec::Kernel;
    probe.points = vec![point("c", None), point("d", None)];
    let module = s.lower();
    expect(
        &module,
        "probe_0",
        r"
        block0:
            jump block1()
        block1:
            jump block2()
        block2:
            emit fmt1()
            return
        ",
    );
    expect(
        &module,
        "probe_1",
        r"
        block0:
            v0: i64 = env.cpu
            switch v0, 3: block3(), 5: block4(), else block2()
        block1:
            jump block5()
        block2:
            return
        block3:
            v1: i64 = iconst 0
            hit v1
            jump block1()
        block4:
            v2: i64 = iconst 1
            hit v2
            jump block1()
        block5:
            emit fmt2()
            return
        ",
    );
    expect(
        &module,
        "probe_2",
        r"
        block0:
            v0: i64 = env.point
            hit v0
            jump block1()
        block1:
            jump block2()
        block2:
            emit fmt3()
            return
        ",
    );
}

#[test]
fn functions_are_told_the_point() {
    let mut s = Script::new();
    let text = expr(ExprKind::PointText(PointText::Full), Ty::Str);
    let f = s.function("pp", &[], Ty::Str, vec![stmt(StmtKind::Return(Some(text)))]);
    s.probe(&[], vec![println(vec![call(f, vec![], Ty::Str)])]);
    let probe = s.probe(&[], vec![println(vec![call(f, vec![], Ty::Str)])]);
    probe.points = vec![point("a", None), point("b", None)];
    let module = s.lower();
    expect(
        &module,
        "pp",
        r"
        block0(v0: i64):
            v1: str<15> = point.full v0
            return v1
        ",
    );
    expect(
        &module,
        "probe_1",
        r"
        block0:
            jump block1()
        block1:
            jump block2()
        block2:
            v0: i64 = env.point
            v1: i64 = iconst 1
            v2: i64 = add v0, v1
            v3: str<15> = call fn0(v2) !site0
            emit fmt1(v3)
            return
        ",
    );
}

#[test]
fn functions_are_copied_for_contexts_they_depend_on() {
    let mut s = Script::new();
    let arg = builtin("__arg", vec![int(1)]);
    let f = s.function(
        "arg",
        &[],
        Ty::Long,
        vec![stmt(StmtKind::Return(Some(arg)))],
    );
    for context in [Context::Regs, Context::RawTracepoint, Context::Regs] {
        let probe = s.probe(&[], vec![println(vec![call(f, vec![], Ty::Long)])]);
        probe.exec = Exec::Kernel;
        probe.context = context;
    }
    let module = s.lower();
    assert_eq!(
        module
            .functions
            .values()
            .filter(|f| f.name == "arg")
            .count(),
        2
    );
    s.probe(&[], vec![println(vec![call(f, vec![], Ty::Long)])]);
    assert_eq!(s.faults()[0].message, "there are no arguments to read here");
}

/// An argument whose number is only known when it runs.
#[test]
fn arguments_by_a_computed_number() {
    let mut s = Script::new();
    let arg = builtin("__arg", vec![local(0)]);
    let probe = s.probe(&[Ty::Long], vec![println(vec![arg])]);
    probe.exec = Exec::Kernel;
    probe.context = Context::Fexit { args: 2 };
    expect(
        &s.lower(),
        "probe_0",
        r"
        block0:
            v0: i64 = iconst 0
            jump block1()
        block1:
            jump block2()
        block2:
            switch v0, 0: block4(), 1: block5(), else block6()
        block3(v1: i64):
            emit fmt1(v1)
            return
        block4:
            v2: i64 = ctx.arg 0
            jump block3(v2)
        block5:
            v3: i64 = ctx.arg 1
            jump block3(v3)
        block6:
            v4: str<16> = str.const str1
            err.set v4
            v5: i64 = site !site0
            v6: i64 = iconst 0
            raise v5, v6
        ",
    );
}
