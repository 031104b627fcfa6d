//! Operations without control flow.

use super::*;

/// Prints the result of an operation on two numbers.
fn on_numbers(op: &str, a: i64, b: i64) -> i64 {
    let text = body(&format!(
        "v0: i64 = iconst {a}\nv1: i64 = iconst {b}\nv2: i64 = {op}\nemit fmt0(v2)"
    ));
    text.trim_end().parse().unwrap()
}

#[test]
fn integers_wrap() {
    let (min, max) = (i64::MIN, i64::MAX);
    for (op, a, b, result) in [
        ("add v0, v1", max, 1, min),
        ("sub v0, v1", min, 1, max),
        ("mul v0, v1", max, 2, -2),
        ("and v0, v1", 12, 10, 8),
        ("or v0, v1", 12, 10, 14),
        ("xor v0, v1", 12, 10, 6),
        ("shl v0, v1", 1, 65, 2),
        ("shl v0, v1", 1, -1, min),
        ("shr v0, v1", -8, 65, max - 3),
        ("sar v0, v1", -8, 65, -4),
        ("icmp.ult v0, v1", 1, -1, 1),
        ("icmp.lt v0, v1", 1, -1, 0),
        ("div v0, v1 !site0", -7, 2, -3),
        ("rem v0, v1 !site0", -7, 3, -1),
        ("div v0, v1 !site0", min, -1, min),
        ("rem v0, v1 !site0", min, -1, 0),
        ("extend.s8 v0", 0x1ff, 0, -1),
        ("extend.u32 v0", -1, 0, 0xffff_ffff),
        ("extend.s1 v0", 1, 0, -1),
    ] {
        assert_eq!(on_numbers(op, a, b), result, "{op} of {a}, {b}");
    }
}

#[test]
fn strings_are_cut_to_their_width() {
    let text = body(
        "v0: str<5> = str.const str1
        v1: str<7> = str.concat v0, v0
        emit fmt1(v1)
        v2: str<3> = str.cut v0
        emit fmt1(v2)
        v3: i64 = iconst 7
        v4: str<4> = str.format fmt4(v3, v0)
        emit fmt1(v4)",
    );
    assert_eq!(text, "hellohe\nhel\n<7,h\n");
}

#[test]
fn string_operations() {
    let text = body(
        "v0: str<5> = str.const str1
        v1: str<0> = str.const str0
        v2: i64 = iconst 1
        v3: i64 = iconst 3
        v4: str<5> = str.sub v0, v2, v3
        emit fmt1(v4)
        v5: i64 = str.find v0, v4
        emit fmt0(v5)
        v6: i64 = str.byte v0, v2
        emit fmt0(v6)
        v7: str<1> = str.from_byte v6
        emit fmt1(v7)
        v8: i64 = str.cmp v0, v4
        emit fmt0(v8)
        v9: i64 = str.eq v0, v0
        emit fmt0(v9)
        v10: i64 = str.len v0
        emit fmt0(v10)
        v11: str<20> = str.quote v0
        emit fmt1(v11)
        v12: i64 = str.to_int v1, v3
        emit fmt0(v12)
        v13: i64 = str.cmp v1, v0
        emit fmt0(v13)",
    );
    assert_eq!(text, "ell\n1\n101\ne\n1\n1\n5\n\"hello\"\n0\n-1\n");
}

#[test]
fn a_string_ends_where_a_nul_is_printed() {
    let text = run(
        "",
        "fn0 \"begin\"() {\nblock0:
        v0: i64 = iconst 0
        v1: str<5> = str.const str1
        v2: str<1> = str.from_byte v0
        v3: str<9> = str.concat v1, v2, v1
        emit fmt1(v3)
        return\n}\n",
    );
    assert_eq!(text, "hellohell\n");
}

#[test]
fn late_strings_are_records_until_they_are_shown() {
    let text = body(
        "v0: i64 = iconst 5
        v1: str<5> = str.const str1
        v2: late<31> = str.late fmt4(v0, v1)
        emit fmt1(v2)
        v3: str<40> = str.cut v2
        v4: i64 = str.len v3
        emit fmt0(v4)
        v5: late<50> = str.cut v2
        v6: late<80> = str.late fmt1(v5)
        emit fmt1(v6)
        v7: str<40> = str.format fmt1(v6)
        emit fmt1(v7)",
    );
    assert_eq!(text, "<5,hello>\n9\n<5,hello>\n\n<5,hello>\n\n\n");
}

#[test]
fn regular_expressions() {
    let text = run(
        "g0 = global \"s\" str<20> = \"xxabbb\"\n",
        "fn0 \"begin\"() {\nblock0:
        v0: i64 = str.groups
        emit fmt0(v0)
        v1: str<20> = global.get g0
        v2: i64 = str.match re0, v1
        emit fmt0(v2)
        v3: str<20> = str.matched v2 !site8
        emit fmt1(v3)
        v4: i64 = str.groups
        emit fmt0(v4)
        v5: str<5> = str.const str1
        v6: i64 = str.match re0, v5
        emit fmt0(v6)
        try str<20> = str.matched v4 !site8, block1(), block2()
        block1(v7: str<20>):
        return
        block2(v8: i64, v9: i64):
        v10: str<60> = err.text v8, v9
        emit fmt1(v10)
        return\n}\n",
    );
    assert_eq!(
        text,
        "0\n1\nbbb\n2\n0\nAttempted to get nonexistent subexpression 2\n"
    );
}

#[test]
fn surroundings() {
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    let functions = "fn0 \"begin\"() {\nblock0:
        v0: i64 = env.pid_tgid
        emit fmt0(v0)
        v1: str<15> = comm
        emit fmt1(v1)
        v2: i64 = ctx.arg 3
        emit fmt0(v2)
        v3: i64 = ctx.entry 0 !site10
        emit fmt0(v3)
        emit fmt3(v1)
        exit
        v4: str<24> = user \"ctime\"(v5) !site9
        emit fmt1(v4)
        v6: str<40> = point.full v5
        emit fmt1(v6)
        v7: i64 = ctx.entry 1 !site10
        return\n}\n";
    let stop = run_in(&mut cx, "", functions).unwrap_err();
    assert!(matches!(stop, Stop::Error { site, .. } if site.as_u32() == 10));
    assert_eq!(
        String::from_utf8(cx.out).unwrap(),
        "30064771080\na-name-longer-t\n300\n11\nThu Jan  1 00:00:00 1970\nbegin\n"
    );
    assert_eq!(cx.sent, [(Channel::Warn, "a-name-longer-t".to_owned())]);
    assert_eq!(cx.exits, 1);
}

#[test]
fn traced_memory() {
    let mut cx = Fake {
        patience: u32::MAX,
        memory: b"\xff\xfe\x01\0hello\0end".to_vec(),
        ..Fake::default()
    };
    let functions = "fn0 \"begin\"() {\nblock0:
        v0: i64 = iconst 4096
        v1: i64 = mem.read.kernel.s2 v0 !site4
        emit fmt0(v1)
        v2: i64 = mem.read.kernel.u2 v0 !site4
        emit fmt0(v2)
        v3: i64 = iconst 4100
        v4: i64 = iconst 3
        v6: str<5> = mem.strn.user v3, v4 !site4
        emit fmt1(v6)
        v7: str<4> = mem.str.user v3 !site4
        emit fmt1(v7)
        v8: i64 = iconst 77
        v9: i64 = mem.read.kernel.u8 v8 !site4
        return\n}\n";
    let stop = run_in(&mut cx, "", functions).unwrap_err();
    assert!(matches!(stop, Stop::Error { site, arg: 77, .. } if site.as_u32() == 4));
    assert_eq!(
        String::from_utf8(cx.out).unwrap(),
        "-257\n65279\nhel\nhell\n"
    );
}
