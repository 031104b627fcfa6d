//! Arrays and statistics.

use rtap::host::LiveTarget;
use rtap_compiler::image::{GlobalLayout, StatRecord, ValueLayout};
use rtap_compiler::target::{Feature, Features, Target};

use super::{Session, check};

#[test]
fn arrays_hold_what_was_put_in() {
    let source = r#"
g0 = global "x" i64 = 0
g1 = global "absent" i64 = 7
g2 = global "old" i64 = 0
g3 = global "after_delete" i64 = 7
g4 = global "has" i64 = 0
g5 = global "hasnt" i64 = 7
g6 = global "text" str<20> = "before"
g7 = global "none" str<20> = "before"
g8 = global "a" array [i64, str<20>] -> i64 max 10
g9 = global "s" array [str<20>, i64, i64] -> str<20> max 10
str0 = "key"
str1 = "a longer value"
site0 = array_overflow 10 near "" at ""
fn0 "p"() {
block0():
    v0: i64 = iconst 5
    v1: str<3> = str.const str0
    array.set g8[v0, v1], v0 !site0
    array.add g8[v0, v1], v0 !site0
    v2: i64 = array.fetch_add g8[v0, v1], v0 !site0
    global.set g2, v2
    v3: i64 = array.get g8[v0, v1]
    global.set g0, v3
    v4: i64 = iconst 6
    v5: i64 = array.get g8[v4, v1]
    global.set g1, v5
    v6: i64 = array.has g8[v0, v1]
    global.set g4, v6
    array.del g8[v0, v1]
    v7: i64 = array.get g8[v0, v1]
    global.set g3, v7
    v8: i64 = array.has g8[v0, v1]
    global.set g5, v8
    v9: str<14> = str.const str1
    array.set g9[v1, v0, v4], v9 !site0
    v10: str<20> = array.get g9[v1, v0, v4]
    global.set g6, v10
    v11: str<20> = array.get g9[v1, v0, v0]
    global.set g7, v11
    return
}
"#;
    check(
        source,
        &[],
        &[
            ("x", "15"),
            ("old", "10"),
            ("absent", "0"),
            ("after_delete", "0"),
            ("has", "1"),
            ("hasnt", "0"),
            ("text", "\"a longer value\""),
            ("none", "\"\""),
        ],
    );
}

#[test]
fn full_arrays_are_errors() {
    let source = r#"
g0 = global "caught" i64 = 0
g1 = global "a" array [i64] -> i64 max 2
site0 = array_overflow 2 near "" at ""
site1 = max_action near "" at ""
fn0 "p"() {
block0():
    v0: i64 = iconst 0
    jump block1(v0)
block1(v1: i64) loop !site1:
    try array.set g1[v1], v1 !site0, block2(), block3()
block2():
    v2: i64 = iconst 1
    v3: i64 = add v1, v2
    v4: i64 = iconst 10
    v5: i64 = icmp.lt v3, v4
    branch v5, block1(v3), block4()
block3(v6: i64, v7: i64):
    global.set g0, v1
    return
block4():
    return
}
"#;
    check(source, &[], &[("caught", "2")]);
}

/// Pushes values one by one and compares the records, merged over the CPUs, with what
/// `Histogram::bucket_of` and plain arithmetic give.
#[test]
fn statistics_add_up() {
    if super::skip() {
        return;
    }
    let source = r#"
g0 = global "s" stat {sum min max variance log linear -10 100 10}
g1 = global "per" array [i64] -> stat {sum} max 16 shared
site0 = array_overflow 10 near "" at ""
fn0 "p"() {
block0():
    v0: i64 = ctx.arg 0
    stat.push g0[], v0 !site0
    v1: i64 = iconst 7
    stat.push g1[v1], v0 !site0
    return
}
"#;
    let values: Vec<i64> = [
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        -1,
        -2,
        -11,
        -10,
        99,
        100,
        109,
        110,
        1 << 40,
        -(1 << 50),
    ]
    .into_iter()
    .chain([i64::MAX, i64::MIN])
    .collect();
    let module = super::module(source);
    let here = LiveTarget::new().features();
    for features in [here, Features::of_release((5, 10))] {
        let session = Session::new(&module, features);
        assert_eq!(session.meta.max_cpus, None, "each CPU has its own record");
        for value in &values {
            session.run(&[*value as u64]);
        }
        let record = |name: &str, key: &[u8], layout: &StatRecord| -> Vec<u64> {
            let map = &session.loaded.maps[name];
            let mut bytes = Vec::new();
            assert!(map.lookup(key, &mut bytes).expect("look-up"), "{name}");
            let cpus: Vec<Vec<u64>> = bytes
                .chunks(map.cpu_stride())
                .map(|cpu| {
                    cpu.chunks(8)
                        .map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes")))
                        .collect()
                })
                .collect();
            (0..layout.bytes as usize / 8)
                .map(|at| {
                    let words = cpus.iter().map(|cpu| cpu[at]);
                    let offset = Some(at as u32 * 8);
                    if offset == layout.min || offset == layout.max {
                        words.max().unwrap_or(0)
                    } else {
                        words.fold(0, u64::wrapping_add)
                    }
                })
                .collect()
        };
        let layouts = &session.meta.layout.globals;
        let mut globals = session.meta.module.globals.keys();
        let Some(GlobalLayout::Stat { record: layout, .. }) = &layouts[globals.next().expect("g0")]
        else {
            panic!("not a statistic")
        };
        let words = record("s", &[0; 4], layout);
        let at = |offset: u32| words[offset as usize / 8];
        let sum = values.iter().fold(0_i64, |sum, v| sum.wrapping_add(*v));
        assert_eq!(at(layout.count), values.len() as u64);
        assert_eq!(at(layout.sum.expect("sum")) as i64, sum);
        assert_eq!(at(layout.max.expect("max")), i64::MAX as u64 ^ 1 << 63);
        assert_eq!(!at(layout.min.expect("min")), i64::MIN as u64 ^ 1 << 63);
        for (histogram, first) in layout.layout.histograms.iter().zip(&layout.histograms) {
            for bucket in 0..histogram.buckets() {
                let expected = values
                    .iter()
                    .filter(|v| histogram.bucket_of(**v) == bucket)
                    .count();
                let got = at(first + bucket as u32 * 8);
                assert_eq!(got, expected as u64, "{histogram:?} bucket {bucket}");
            }
        }
        let Some(GlobalLayout::Array(array)) = &layouts[globals.next().expect("g1")] else {
            panic!("not an array")
        };
        let ValueLayout::Stat(layout) = &array.value else {
            panic!("not a statistic")
        };
        let words = record("per", &7_u64.to_le_bytes(), layout);
        assert_eq!(words, [values.len() as u64, sum as u64]);
    }
}

#[test]
fn statistics_are_read_in_the_kernel() {
    let source = r#"
g0 = global "count" i64 = -1
g1 = global "sum" i64 = -1
g2 = global "min" i64 = -1
g3 = global "max" i64 = -1
g4 = global "avg" i64 = -1
g5 = global "none" i64 = -1
g6 = global "empty" i64 = -1
g7 = global "s" array [i64] -> stat {sum min max} max 16
g8 = global "t" stat {sum min max}
site0 = array_overflow 10 near "" at ""
site1 = empty_stat near "" at ""
fn0 "p"() {
block0():
    v0: i64 = ctx.arg 0
    v1: i64 = iconst 3
    stat.push g7[v1], v0 !site0
    v2: i64 = iconst -10
    stat.push g7[v1], v2 !site0
    v3: i64 = iconst 4
    stat.push g7[v1], v3 !site0
    v4: i64 = stat.count g7[v1] !site1
    global.set g0, v4
    v5: i64 = stat.sum g7[v1] !site1
    global.set g1, v5
    v6: i64 = stat.min g7[v1] !site1
    global.set g2, v6
    v7: i64 = stat.max g7[v1] !site1
    global.set g3, v7
    v8: i64 = stat.avg g7[v1] !site1
    global.set g4, v8
    v9: i64 = stat.count g7[v0] !site1
    global.set g5, v9
    try i64 = stat.max g8[] !site1, block1(), block2()
block1(v10: i64):
    return
block2(v11: i64, v12: i64):
    global.set g6, v11
    return
}
"#;
    if super::skip() {
        return;
    }
    let features = LiveTarget::new().features();
    if !features.has(Feature::LookupPercpuElem) {
        println!("skipped: needs bpf_map_lookup_percpu_elem (Linux 5.19)");
        return;
    }
    let session = Session::new(&super::module(source), features);
    println!("{} instructions verified", session.run(&[-5_i64 as u64]));
    assert_eq!(session.meta.max_cpus, Some(1024));
    let got = session.globals();
    let value = |name: &str| got[name].parse::<i64>().expect("a number");
    assert_eq!(
        ["count", "sum", "min", "max", "avg", "none", "empty"].map(value),
        [3, -11, -10, 4, -3, 0, 1]
    );
}
