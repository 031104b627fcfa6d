//! Strings.

use super::check;

/// A function that stores one string in global `s`.
fn string(setup: &str, expression: &str, cap: u32) -> String {
    format!(
        r#"
g0 = global "s" str<{cap}> = "before"
g1 = global "x" str<40> = "hello, world"
g2 = global "long" str<511> = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
str0 = "abc"
str1 = ", "
str2 = "world"
str3 = "lo, w"
str4 = ""
site0 = kernel_read_fault near "" at ""
fn0 "p"() {{
block0():
    v0: str<40> = global.get g1
    v1: str<511> = global.get g2
    v2: str<3> = str.const str0
    v3: str<2> = str.const str1
    v4: str<5> = str.const str2
    v5: str<5> = str.const str3
    v6: i64 = ctx.arg 0
    v7: i64 = ctx.arg 1
    v8: str<0> = str.const str4
{setup}
    v99: str<{cap}> = {expression}
    global.set g0, v99
    return
}}
"#
    )
}

/// The same for an integer in global `n`.
fn integer(setup: &str, expression: &str) -> String {
    string(setup, "str.const str0", 3)
        .replacen("str0 =", "g3 = global \"n\" i64 = -99\nstr0 =", 1)
        .replace(
            "    return",
            &format!("    v98: i64 = {expression}\n    global.set g3, v98\n    return"),
        )
}

const HUNDRED: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

#[test]
fn joined() {
    let quoted = |s: &str| format!("{s:?}");
    check(
        &string("", "str.concat v0, v3, v2", 60),
        &[],
        &[("s", "\"hello, world, abc\"")],
    );
    check(
        &string("", "str.concat v2, v0, v2", 60),
        &[],
        &[("s", "\"abchello, worldabc\"")],
    );
    check(
        &string("", "str.concat v0, v0", 15),
        &[],
        &[("s", "\"hello, worldhel\"")],
    );
    check(
        &string("", "str.concat v0, v0", 20),
        &[],
        &[("s", "\"hello, worldhello, w\"")],
    );
    check(
        &string("", "str.concat v1, v0, v1", 511),
        &[],
        &[("s", &quoted(&format!("{HUNDRED}hello, world{HUNDRED}")))],
    );
    check(
        &string("", "str.concat v1, v1", 6),
        &[],
        &[("s", "\"012345\"")],
    );
    check(&string("", "str.cut v1", 6), &[], &[("s", "\"012345\"")]);
    check(&string("", "str.cut v0", 7), &[], &[("s", "\"hello, \"")]);
}

#[test]
fn parts() {
    for (start, len, out) in [
        (0, 5, "hello"),
        (7, 100, "world"),
        (11, 1, "d"),
        (12, 1, ""),
        (-1, 3, ""),
        (3, 0, ""),
        (3, -1, ""),
        (i64::MAX, 3, ""),
    ] {
        check(
            &string("", "str.sub v0, v6, v7", 40),
            &[start as u64, len as u64],
            &[("s", &format!("{out:?}"))],
        );
    }
    for (index, byte) in [
        (0, 104),
        (11, 100),
        (12, 0),
        (39, 0),
        (40, 0),
        (1_i64 << 40, 0),
        (-1, 0),
    ] {
        check(
            &integer("", "str.byte v0, v6"),
            &[index as u64],
            &[("n", &byte.to_string())],
        );
    }
    check(
        &string("    v9: i64 = iconst 65", "str.from_byte v9", 1),
        &[],
        &[("s", "\"A\"")],
    );
    check(&integer("", "str.len v0"), &[], &[("n", "12")]);
    check(&integer("", "str.len v1"), &[], &[("n", "100")]);
}

#[test]
fn compared() {
    let case = |setup: &str, expression: &str, n: i64| {
        check(
            &integer(setup, expression),
            &[0, 5],
            &[("n", &n.to_string())],
        );
    };
    case("", "str.eq v0, v0", 1);
    case("", "str.eq v0, v1", 0);
    case("", "str.eq v0, v2", 0);
    case(
        "    v9: str<3> = str.cut v0\n    v10: str<3> = str.cut v0",
        "str.eq v9, v10",
        1,
    );
    case("", "str.eq v8, v0", 0);
    case("", "str.cmp v0, v1", 1);
    case("", "str.cmp v1, v0", -1);
    case("", "str.cmp v1, v1", 0);
    case("", "str.cmp v0, v2", 1);
    case("", "str.cmp v2, v0", -1);
    case("", "str.cmp v8, v0", -1);
    case("", "str.find v0, v3", 5);
    case("", "str.find v0, v4", 7);
    case("", "str.find v0, v5", 3);
    case("", "str.find v0, v2", -1);
    case("", "str.find v0, v8", 0);
    case("    v9: str<5> = str.sub v0, v6, v7", "str.find v0, v9", 0);
    case("    v9: str<15> = str.sub v1, v6, v7", "str.find v1, v9", 0);
}

#[test]
fn numbers_out_of_text() {
    for (text, base, n) in [
        ("42", 10, 42),
        ("  \\t-42x", 10, -42),
        ("+7", 0, 7),
        ("0x1F", 0, 31),
        ("0x1F", 16, 31),
        ("1f", 16, 31),
        ("0x", 16, 0),
        ("017", 0, 15),
        ("zz", 36, 1295),
        ("12", 1, 0),
        ("12", 37, 0),
        ("12", -5, 0),
        ("", 10, 0),
        ("-", 10, 0),
        ("9223372036854775807", 10, i64::MAX),
        ("9223372036854775808", 10, i64::MIN),
        ("99999999999999999999", 10, 7_766_279_631_452_241_919),
        ("0xffffffff81000000", 0, -0x7f00_0000),
        ("-9223372036854775808", 10, i64::MIN),
        ("-9223372036854775809", 10, i64::MAX),
        ("-8000000000000000", 16, i64::MIN),
    ] {
        let source = integer("", "str.to_int v0, v6").replace("hello, world", text);
        check(&source, &[base as u64], &[("n", &n.to_string())]);
    }
}

/// One format of one argument.
fn formatted(format: &str, value: i64, out: &str) {
    let source = string("", "str.format fmt0(v6)", 200).replacen(
        "site0 =",
        &format!("fmt0 = out {format}\nsite0 ="),
        1,
    );
    check(&source, &[value as u64, 0], &[("s", &format!("{out:?}"))]);
}

#[test]
fn formatted_numbers() {
    formatted("%d", 0, "0");
    formatted("%d", -42, "-42");
    formatted("%d", i64::MIN, "-9223372036854775808");
    formatted("\"n=\" %d \".\"", 1234, "n=1234.");
    formatted("%u", -1, "18446744073709551615");
    formatted("%x", 0xdead_beef, "deadbeef");
    formatted("%X", 0xdead_beef, "DEADBEEF");
    formatted("%#x", 0, "0x0");
    formatted("%#X", 171, "0XAB");
    formatted("%p", 4096, "0x1000");
    formatted("%o", 8, "10");
    formatted("%o", -1, "1777777777777777777777");
    formatted("%8d", -42, "     -42");
    formatted("%-8d", -42, "-42     ");
    formatted("%08d", -42, "-0000042");
    formatted("%+d", 42, "+42");
    formatted("%+8d", 42, "     +42");
    formatted("%_d", 42, " 42");
    formatted("%.5d", 42, "00042");
    formatted("%8.5d", -42, "  -00042");
    formatted("%#10x", 255, "      0xff");
    formatted("%2d", 12345, "12345");
    formatted("%c", 65, "A");
    formatted("%3c", 65, "  A");
}

#[test]
fn formatted_strings() {
    let case = |format: &str, args: &str, out: &str| {
        let source = string("", &format!("str.format fmt0({args})"), 100).replacen(
            "site0 =",
            &format!("fmt0 = out {format}\nsite0 ="),
            1,
        );
        check(&source, &[7, 0], &[("s", &format!("{out:?}"))]);
    };
    case("%s \"=\" %d", "v0, v6", "hello, world=7");
    case("%5s \"|\" %-5s \"|\"", "v2, v2", "  abc|abc  |");
    case("%.2s \"|\" %4.2s", "v0, v0", "he|  he");
    case("%s %s %s", "v2, v2, v2", "abcabcabc");
}

#[test]
fn messages_of_caught_errors() {
    let source = r#"
g0 = global "s" str<100> = ""
g1 = global "t" str<100> = ""
str0 = "mine"
site0 = division_by_zero near "" at ""
site1 = kernel_read_fault near "" at ""
site2 = script near "" at ""
fn0 "p"() {
block0():
    v0: i64 = iconst 0
    v1: i64 = iconst 48879
    try i64 = mem.read.kernel.u8 v1 !site1, block1(), block2()
block1(v2: i64):
    return
block2(v3: i64, v4: i64):
    v5: str<100> = err.text v3, v4
    global.set g0, v5
    v6: str<4> = str.const str0
    err.set v6
    v7: i64 = site !site2
    v8: i64 = ctx.arg 0
    v9: i64 = add v7, v8
    v10: str<100> = err.text v9, v0
    global.set g1, v10
    raise v7, v0
}
"#;
    check(
        source,
        &[0],
        &[
            (
                "s",
                "\"kernel read fault at 0x000000000000beef [man error::fault]\"",
            ),
            ("t", "\"mine\""),
        ],
    );
}

#[test]
fn quoted() {
    let case = |text: &str, cap: u32, out: &str| {
        let source = string("", "str.quote v0", cap).replace("hello, world", text);
        check(&source, &[0, 0], &[("s", &format!("{out:?}"))]);
    };
    case("hello", 40, "\"hello\"");
    case("", 40, "\"\"");
    case(r#"a\tb\"\\\x01\xff"#, 40, r#""a\tb\"\\\001\377""#);
    case("0123456789", 12, "\"0123456789\"");
    case("0123456789a", 12, "\"0123456\"...");
    case(r"01234567\x01", 12, "\"0123456\"...");
    case(r"012345\x01", 12, r#""012345\001""#);
    case(r"\x01\x01\x01", 12, r#""\001"..."#);
}

#[test]
fn regular_expressions() {
    for (pattern, matches) in [
        ("wor", 1),
        ("^wor", 0),
        ("^hello.*d$", 1),
        ("o, [a-z]+$", 1),
        ("[0-9]", 0),
        ("(foo|world)$", 1),
        ("^$", 0),
        ("", 1),
    ] {
        let source = integer("", "str.match re0, v0").replacen(
            "site0 =",
            &format!("re0 = {pattern:?}\nsite0 ="),
            1,
        );
        check(&source, &[0, 0], &[("n", &matches.to_string())]);
    }
}
