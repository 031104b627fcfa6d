//! Statements, functions, errors.

use super::*;

#[test]
fn a_loop_with_a_condition_and_a_step() {
    let mut s = Script::new();
    s.probe(
        &[Ty::Long],
        vec![
            stmt(StmtKind::Loop {
                cond: Some(less(local(0), int(3))),
                body: vec![
                    stmt(StmtKind::If(
                        local(0),
                        vec![stmt(StmtKind::Continue)],
                        vec![],
                    )),
                    println(vec![local(0)]),
                ],
                step: Some(increment(to_local(0), false)),
            }),
            println(vec![local(0)]),
        ],
    );
    expect(
        &s.lower(),
        "probe_0",
        r"
        block0:
            v6: i64 = iconst 0
            jump block1()
        block1:
            jump block2()
        block2:
            jump block3(v6)
        block3(v0: i64) loop !site0:
            v1: i64 = iconst 3
            v2: i64 = icmp.lt v0, v1
            branch v2, block5(), block4()
        block4:
            emit fmt1(v0)
            return
        block5:
            branch v0, block8(), block7()
        block6(v4: i64):
            v3: i64 = iconst 1
            v5: i64 = add v4, v3
            jump block3(v5)
        block7:
            emit fmt1(v0)
            jump block6(v0)
        block8:
            jump block6(v0)
        ",
    );
}

#[test]
fn short_circuits_and_ternaries() {
    let mut s = Script::new();
    let both = long(ExprKind::And(Box::new(local(0)), Box::new(local(1))));
    let not = long(ExprKind::Not(Box::new(both.clone())));
    let pick = long(ExprKind::Ternary(
        Box::new(not),
        Box::new(int(1)),
        Box::new(int(2)),
    ));
    s.function(
        "f",
        &[Ty::Long, Ty::Long],
        Ty::Long,
        vec![stmt(StmtKind::Return(Some(pick)))],
    );
    let f = FuncId::from_u32(0);
    s.probe(
        &[],
        vec![println(vec![call(f, vec![int(1), int(2)], Ty::Long)])],
    );
    expect(
        &s.lower(),
        "f",
        r"
        block0(v0: i64, v1: i64):
            branch v0, block4(), block1()
        block1:
            v3: i64 = iconst 1
            jump block3(v3)
        block2:
            v4: i64 = iconst 2
            jump block3(v4)
        block3(v2: i64):
            return v2
        block4:
            branch v1, block2(), block1()
        ",
    );
}

#[test]
fn errors_go_to_the_innermost_catch() {
    let mut s = Script::new();
    let a = s.global("a", &[Ty::Long], Ty::Long);
    let divide = long(ExprKind::Div(Box::new(int(1)), Box::new(local(0))));
    let foreach = Foreach {
        array: a,
        keys: vec![Local::from_u32(0)],
        value: None,
        slice: vec![],
        sort: None,
        sort_span: Span::NONE,
        limit: None,
        body: vec![run(divide)],
    };
    s.probe(
        &[Ty::Long, Ty::Str],
        vec![stmt(StmtKind::Try {
            body: vec![stmt(StmtKind::Foreach(Box::new(foreach)))],
            var: Some(Local::from_u32(1)),
            catch: vec![println(vec![string_local(1)])],
        })],
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
            try i64 = iter.begin g0 !site0, block5(), block3()
        block3(v0: i64, v1: i64):
            v8: str<15> = err.text v0, v1
            emit fmt1(v8)
            jump block4()
        block4:
            return
        block5(v2: i64):
            jump block6()
        block6 loop !site1:
            iter.next v2, block7(), block8()
        block7(v3: i64):
            v4: i64 = iconst 1
            try i64 = div v4, v3 !site2, block10(), block9()
        block8:
            iter.end v2
            jump block4()
        block9(v5: i64, v6: i64):
            iter.end v2
            jump block3(v5, v6)
        block10(v7: i64):
            jump block6()
        ",
    );
}

#[test]
fn leaving_a_foreach_ends_it() {
    let mut s = Script::new();
    let a = s.global("a", &[Ty::Long], Ty::Long);
    let inner = |body| {
        stmt(StmtKind::Foreach(Box::new(Foreach {
            array: a,
            keys: vec![Local::from_u32(0)],
            value: Some(Local::from_u32(1)),
            slice: vec![],
            sort: None,
            sort_span: Span::NONE,
            limit: Some(int(3)),
            body,
        })))
    };
    s.function(
        "f",
        &[Ty::Long, Ty::Long],
        Ty::Long,
        vec![inner(vec![
            stmt(StmtKind::If(local(0), vec![stmt(StmtKind::Break)], vec![])),
            stmt(StmtKind::Return(Some(local(1)))),
        ])],
    );
    let f = FuncId::from_u32(0);
    s.probe(&[], vec![run(call(f, vec![int(1), int(2)], Ty::Long))]);
    expect(
        &s.lower(),
        "f",
        r"
        block0(v0: i64, v1: i64):
            v2: i64 = iconst 3
            v3: i64 = iter.begin g0 limit v2 !site1
            jump block1()
        block1 loop !site2:
            iter.next.value v3, block2(), block3()
        block2(v4: i64, v5: i64):
            branch v4, block5(), block4()
        block3:
            iter.end v3
            v6: i64 = iconst 0
            return v6
        block4:
            iter.end v3
            return v5
        block5:
            jump block3()
        ",
    );
}

#[test]
fn next_goes_to_the_following_overload() {
    let mut s = Script::new();
    let f = s.function(
        "f",
        &[Ty::Long],
        Ty::Long,
        vec![
            stmt(StmtKind::If(local(0), vec![stmt(StmtKind::Next)], vec![])),
            stmt(StmtKind::Return(Some(int(1)))),
        ],
    );
    s.program.functions[f]
        .overloads
        .push(body(&[Ty::Long], vec![stmt(StmtKind::Next)]));
    s.probe(&[], vec![run(call(f, vec![int(5)], Ty::Long))]);
    expect(
        &s.lower(),
        "f",
        r"
        block0(v0: i64):
            branch v0, block3(), block2()
        block1:
            v2: i64 = site !site1
            v3: i64 = iconst 0
            raise v2, v3
        block2:
            v1: i64 = iconst 1
            return v1
        block3:
            jump block1()
        ",
    );
}

#[test]
fn code_after_the_end_is_left_out() {
    let mut s = Script::new();
    s.probe(
        &[],
        vec![
            stmt(StmtKind::Loop {
                cond: None,
                body: vec![stmt(StmtKind::Next)],
                step: Some(int(1)),
            }),
            println(vec![int(1)]),
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
            jump block3()
        block3 loop !site0:
            jump block4()
        block4:
            return
        ",
    );
    let mut s = Script::new();
    s.probe(
        &[],
        vec![
            run(builtin("error", vec![string("no")])),
            println(vec![int(1)]),
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
            v0: str<2> = str.const str1
            err.set v0
            v1: i64 = site !site0
            v2: i64 = iconst 0
            raise v1, v2
        ",
    );
}

#[test]
fn recursion_lowers_once() {
    let mut s = Script::new();
    let f = FuncId::from_u32(0);
    let again = call(f, vec![bin(BinOp::Sub, local(0), int(1))], Ty::Long);
    s.function(
        "f",
        &[Ty::Long],
        Ty::Long,
        vec![stmt(StmtKind::If(
            local(0),
            vec![stmt(StmtKind::Return(Some(again)))],
            vec![],
        ))],
    );
    s.probe(&[], vec![println(vec![call(f, vec![int(3)], Ty::Long)])]);
    let module = s.lower();
    assert_eq!(module.functions.len(), 2);
    expect(
        &module,
        "f",
        r"
        block0(v0: i64):
            branch v0, block2(), block1()
        block1:
            v4: i64 = iconst 0
            return v4
        block2:
            v1: i64 = iconst 1
            v2: i64 = sub v0, v1
            v3: i64 = call fn0(v2) !site0
            return v3
        ",
    );
}
