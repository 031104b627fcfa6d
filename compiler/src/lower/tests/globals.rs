//! Globals, arrays, statistics.

use super::*;
use crate::lir::{Histogram, StatField};
use crate::lower::globals::mark_shared;

#[test]
fn adding_is_one_operation() {
    let mut s = Script::new();
    let n = s.global("n", &[], Ty::Long);
    let a = s.global("a", &[Ty::Long, Ty::Str], Ty::Long);
    let element = || Place::Element(a, vec![local(0), string("k")]);
    s.probe(
        &[Ty::Long],
        vec![
            run(increment(Place::Global(n), true)),
            set(0, increment(Place::Global(n), false)),
            set(0, increment(Place::Global(n), true)),
            run(increment(element(), false)),
            run(assign_op(element(), AssignOp::Bin(BinOp::Sub), int(4))),
            set(0, assign_op(element(), AssignOp::Bin(BinOp::Add), int(4))),
            run(assign_op(
                Place::Global(n),
                AssignOp::Bin(BinOp::Or),
                int(4),
            )),
            run(assign_op(Place::Global(n), AssignOp::Div, local(0))),
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
            v0: i64 = iconst 1
            global.add g0, v0
            v1: i64 = iconst 1
            v2: i64 = global.fetch_add g0, v1
            v3: i64 = iconst 1
            v4: i64 = global.fetch_add g0, v3
            v5: i64 = add v4, v3
            v6: str<15> = str.const str1
            v7: i64 = iconst 1
            array.add g1[v5, v6], v7 !site0
            v8: str<15> = str.const str1
            v9: i64 = iconst 4
            v10: i64 = iconst -4
            array.add g1[v5, v8], v10 !site0
            v11: str<15> = str.const str1
            v12: i64 = iconst 4
            v13: i64 = array.fetch_add g1[v5, v11], v12 !site0
            v14: i64 = add v13, v12
            v15: i64 = iconst 4
            v16: i64 = global.get g0
            v17: i64 = or v16, v15
            global.set g0, v17
            v18: i64 = global.get g0
            v19: i64 = div v18, v14 !site1
            global.set g0, v19
            return
        ",
    );
}

#[test]
fn deleting_and_membership() {
    let mut s = Script::new();
    let n = s.global("n", &[], Ty::Long);
    let a = s.global("a", &[Ty::Long, Ty::Str], Ty::Long);
    let delete = |what| stmt(StmtKind::Delete(what));
    let has = |keys| long(ExprKind::In(a, keys));
    s.probe(
        &[Ty::Long],
        vec![
            delete(Delete::Global(n)),
            delete(Delete::Local(Local::from_u32(0))),
            delete(Delete::Element(a, vec![local(0), string("k")])),
            delete(Delete::Slice(a, vec![])),
            delete(Delete::Slice(a, vec![Some(int(1)), None])),
            delete(Delete::Slice(a, vec![None, None])),
            set(0, has(vec![Some(int(1)), Some(string("k"))])),
            set(0, has(vec![None, Some(string("k"))])),
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
            v0: i64 = iconst 0
            global.set g0, v0
            v1: i64 = iconst 0
            v2: str<15> = str.const str1
            array.del g1[v1, v2]
            clear g1
            v3: i64 = iconst 1
            clear g1[v3, _]
            clear g1
            v4: i64 = iconst 1
            v5: str<15> = str.const str1
            v6: i64 = array.has g1[v4, v5]
            v7: str<15> = str.const str1
            v8: i64 = array.has_slice g1[_, v7]
            return
        ",
    );
}

#[test]
fn statistics() {
    let mut s = Script::new();
    let t = s.global("t", &[Ty::Long], Ty::Stat);
    let u = s.global("u", &[], Ty::Stat);
    s.program.globals[t].stat.require(StatField::Avg);
    s.program.globals[t].histogram(Histogram::Log);
    s.program.globals[u].read = false;
    let at = |key| StatRef {
        global: t,
        keys: vec![int(key)],
    };
    let scalar = StatRef {
        global: u,
        keys: vec![],
    };
    s.probe(
        &[Ty::Long, Ty::Long],
        vec![
            run(long(ExprKind::Push(at(1), Box::new(int(5))))),
            run(long(ExprKind::Push(scalar, Box::new(int(5))))),
            set(0, long(ExprKind::StatGet(at(2), StatField::Avg))),
            run(expr(
                ExprKind::Print(Print {
                    args: vec![
                        PrintArg::Value(int(1)),
                        PrintArg::Hist(at(3), Histogram::Log),
                    ],
                    ..plain(vec![], true)
                }),
                Ty::Void,
            )),
            stmt(StmtKind::ForeachBucket {
                stat: at(4),
                histogram: 0,
                var: Local::from_u32(0),
                value: Some(Local::from_u32(1)),
                limit: Some(local(1)),
                body: vec![println(vec![local(0)])],
            }),
        ],
    );
    let module = s.lower();
    expect(
        &module,
        "probe_0",
        r"
        block0:
            v8: i64 = iconst 0
            jump block1()
        block1:
            jump block2()
        block2:
            v0: i64 = iconst 1
            v1: i64 = iconst 5
            stat.push g0[v0], v1 !site0
            v2: i64 = iconst 5
            stat.push g1, v2 !site1
            v3: i64 = iconst 2
            v4: i64 = stat.avg g0[v3] !site2
            emit fmt1()
            v5: i64 = iconst 3
            emit.hist.0 g0[v5] !site2
            v6: i64 = iconst 4
            v7: i64 = iconst 128
            v9: i64 = iconst 0
            jump block3(v9)
        block3(v10: i64) loop !site3:
            v11: i64 = icmp.lt v10, v7
            branch v11, block7(), block5()
        block4:
            v13: i64 = stat.bucket.0 g0[v6], v10 !site2
            emit fmt2(v10)
            jump block6()
        block5:
            return
        block6:
            v14: i64 = iconst 1
            v15: i64 = add v10, v14
            jump block3(v15)
        block7:
            v12: i64 = icmp.lt v10, v8
            branch v12, block4(), block5()
        ",
    );
    let text = text::print(&module);
    assert!(text.contains(r#"g0 = global "t" array [i64] -> stat {count sum log} max 8"#));
    assert!(text.contains(r#"g1 = global "u" stat {count sum min max} print"#));
}

#[test]
fn shared_means_updated_by_two_handlers() {
    let mut s = Script::new();
    let n = s.global("n", &[], Ty::Long);
    let m = s.global("m", &[], Ty::Long);
    let f = s.function(
        "f",
        &[],
        Ty::Void,
        vec![run(increment(Place::Global(n), true))],
    );
    s.probe(
        &[],
        vec![
            run(call(f, vec![], Ty::Void)),
            run(increment(Place::Global(m), true)),
        ],
    );
    s.probe(
        &[],
        vec![
            run(call(f, vec![], Ty::Void)),
            println(vec![long(ExprKind::Global(m))]),
        ],
    );
    let module = s.lower();
    assert!(module.globals[n].shared);
    assert!(!module.globals[m].shared);
}

#[test]
fn what_one_handler_updates_in_several_programs_is_shared() {
    let mut s = Script::new();
    let n = s.global("n", &[], Ty::Long);
    s.probe(&[], vec![run(increment(Place::Global(n), true))]);
    let mut module = s.lower();
    let point = |name: &str| Point {
        text: name.to_owned(),
        function: String::new(),
        module: String::new(),
        attach: Attach::BtfTracepoint {
            name: name.to_owned(),
            module: None,
            btf_id: 0,
        },
        selector: None,
        optional: false,
    };
    for (second, context, shared) in [
        ("a", Context::BtfTracepoint, false),
        ("b", Context::BtfTracepoint, true),
        ("b", Context::RawTracepoint, false),
    ] {
        for handler in module.handlers.values_mut() {
            handler.context = context;
            handler.points = vec![point("a"), point(second)];
        }
        mark_shared(&mut module);
        assert_eq!(module.globals[n].shared, shared, "{second} {context:?}");
    }
}
