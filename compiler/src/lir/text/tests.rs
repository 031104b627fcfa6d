//! Printed text reads back the same, for every construct.

use super::{parse, print, print_with_spans};

/// Every operation, terminator and table entry, exactly as it is printed.
const EVERYTHING: &str = r#"limits max_string_len=64 max_action=10
g0 = global "hits" i64 = -3 shared print
g1 = global "name" str<15> = "a\"b\\\n\t\x01\xff"
g2 = global "by" array [i64, str<15>] -> i64 max 2048
g3 = global "ring" array [late<24>] -> str<8> max 3 wrap shared
g4 = global "lat" stat {count sum min max variance log linear -10 100 10} print
g5 = global "per" array [i64] -> stat {count} max 16
str0 = "text"
str1 = ""
fmt0 = out "n=" %-8d " " %08.3x %*.*s %_d %+5u %#p "100%" %c %4b %16m %.16M %X %o
fmt1 = warn call "ctime" 1 "x"
fmt2 = log
fmt3 = system %s
fmt4 = printk %d
site0 = division_by_zero near "operator '/'" at "a.stp:1:2"
site1 = array_overflow 2048 default near "identifier 'by'" at "a.stp:2:2"
site2 = empty_stat near "" at ""
site3 = hist_range near "" at ""
site4 = kernel_read_fault near "" at ""
site5 = user_read_fault near "" at ""
site6 = max_action near "" at ""
site7 = max_nesting near "" at ""
site8 = script near "" at ""
site9 = no_entry near "" at ""
site10 = iteration_too_big near "" at ""
site11 = user_fn near "" at ""
site12 = no_overload near "" at ""
site13 = match_range near "" at ""
site14 = call near "f" at "a.stp:3:1"
site15 = script near "" at "" from site14
site16 = kernel_string_fault near "" at ""
site17 = user_string_fault near "" at ""
core0 = field_byte_offset "task_struct" 123 "0:1:3" = 44
core1 = type_size "foo" 0 module "ext4" "0" = -1
re0 = "a.*b"
table0 = "zero" "" "two"
handler0 = kernel fexit.3 fn1 "probe kernel.function(\"vfs_read\").return"
    point "kernel.function(\"vfs_read\")" function "vfs_read" module "kernel" fexit name="vfs_read" btf_id=7 address=0
    point "x" function "f" module "ext4" kprobe offset=8 name="f" in="ext4" btf_id=0 address=18446744073709551615 selector=-4 optional=1
    point "r" function "" module "" kretprobe maxactive=4 save_entry=1 name="f" btf_id=0 address=0
    point "e" function "" module "" fentry name="f" btf_id=0 address=0
handler1 = user none fn1 "probe begin"
    point "begin" function "" module "" begin priority=-1
    point "end" function "" module "" end priority=0
    point "error" function "" module "" error priority=0
    point "never" function "" module "" never
    point "t" function "" module "" timer period_ns=1000 randomize_ns=5
handler2 = kernel early perf_event fn1 "p"
    point "p" function "" module "" profile hz=0
    point "q" function "" module "" perf_event type=1 config=2 every=3 hz=0
    point "q" function "" module "" perf_event type=1 config=2 every=0 hz=99
handler3 = kernel raw_tracepoint fn1 "p"
    point "p" function "" module "" raw_tracepoint name="sched_switch"
handler4 = kernel btf_tracepoint fn1 "p"
    point "p" function "" module "" btf_tracepoint name="sched_switch" btf_id=0
handler5 = kernel regs fn1 "p"
    point "p" function "" module "" uprobe path="/bin/sh" offset=1 ref_ctr_offset=2 scope="all"
    point "p" function "" module "" uretprobe path="/bin/sh" offset=1 scope="target" save_entry=0
    point "p" function "" module "" uprobe path="/bin/sh" offset=1 ref_ctr_offset=2 scope="123"
handler6 = kernel fentry fn1 "p"

fn0 "f"(i64, str<15>) -> str<20> {
block0(v0: i64, v1: str<15>):
    v2: i64 = iconst -9223372036854775808
    v3: i64 = core core0
    v4: i64 = add v2, v3
    v5: i64 = sub v2, v3
    v6: i64 = mul v2, v3
    v7: i64 = and v2, v3
    v8: i64 = or v2, v3
    v9: i64 = xor v2, v3
    v10: i64 = shl v2, v3
    v11: i64 = shr v2, v3
    v12: i64 = sar v2, v3
    v13: i64 = icmp.eq v2, v3
    v14: i64 = icmp.ult v2, v3
    v15: i64 = extend.s8 v2
    v16: i64 = extend.u32 v2
    v17: i64 = div v2, v3 !site0
    v18: i64 = rem v2, v3 !site0
    v19: str<20> = str.const str0
    v20: str<35> = str.concat v19, v1
    v21: str<20> = str.cut v20
    v22: i64 = str.cmp v19, v1
    v23: i64 = str.eq v19, v1
    v24: i64 = str.len v19
    v25: i64 = str.byte v19, v0
    v26: str<4> = str.sub v19, v0, v2
    v27: i64 = str.find v19, v1
    v28: str<1> = str.from_byte v0
    v29: i64 = str.to_int v19, v0
    v30: str<100> = str.format fmt0(v0, v1)
    v31: late<24> = str.late fmt1(v0)
    v32: i64 = str.match re0, v19
    v33: str<9> = str.matched v0 !site13
    v34: i64 = str.groups
    v35: str<64> = str.quote v19
    v36: i64 = env.pid_tgid
    v37: str<15> = comm
    v38: i64 = ctx.arg 3
    v39: i64 = ctx.ret
    v40: i64 = ctx.reg arg0
    v41: i64 = ctx.reg sys5
    v42: i64 = ctx.reg ret
    v43: i64 = ctx.reg ip
    v44: i64 = ctx.reg sp
    v45: i64 = ctx.reg fp
    v46: i64 = ctx.reg dwarf7
    v47: i64 = ctx.load.s4 16
    v48: i64 = ctx.entry 2 !site9
    v99: i64 = perf_count v0 !site9
    v180: i64 = ctx.frame.kernel v0
    v181: i64 = ctx.frame.user v0
    v49: i64 = mem.read.kernel.u8 v0 !site4
    v50: str<40> = mem.str.user v0 !site5
    v51: str<40> = mem.strn.kernel v0, v2 !site4
    v100: str<40> = mem.hex.user v0, v2 !site5
    v52: i64 = global.get g0
    global.set g0, v52
    global.add g0, v52
    v53: i64 = global.fetch_add g0, v52
    v54: i64 = array.get g2[v0, v1]
    v55: i64 = array.has g2[v0, v1]
    array.set g2[v0, v1], v2 !site1
    array.add g2[v0, v1], v2 !site1
    v56: i64 = array.fetch_add g2[v0, v1], v2 !site1
    array.del g2[v0, v1]
    clear g2[_, v1]
    clear g0
    v57: i64 = array.has_slice g2[v0, _]
    stat.push g4, v0 !site1
    stat.push g5[v0], v2 !site1
    v58: i64 = stat.count g4 !site2
    v59: i64 = stat.variance g4 !site2
    v60: i64 = stat.avg g5[v0] !site2
    v61: i64 = stat.bucket.1 g4, v0 !site3
    v62: i64 = iter.begin g2[_, _] desc value limit v0 !site10
    iter.end v62
    v63: i64 = iter.begin g2[v0, _] asc key.1 !site10
    v64: i64 = iter.begin g5 desc variance !site10
    emit fmt0(v0, v1)
    emit.hist.0 g4 !site2
    exit
    err.set v1
    v65: str<50> = err.text v0, v2
    v66: str<20> = call fn0(v0, v1) !site14
    v67: str<64> = point.function v0
    v68: str<64> = user "ctime"(v0) !site11
    v69: str<4> = str.table table0, v0
    v690: str<4> = str.flags table0, v0
    v70: late<184> = str.stack.user fmt1(v0, v1)
    v71: str<200> = str.hist.0 fmt0, g4 !site2
    return v66
}

fn1 "handler_0"() {
block0:
    v0: i64 = iconst 1
    switch v0, 1: block1(), -2: block2(v0, v0), else block3()
block1:
    branch v0, block3(), block3()
block2(v1: i64, v2: i64):
    raise v1, v2
block3 loop !site6:
    try i64 = div v0, v0 !site0, block4(v0), block2()
block4(v3: i64, v4: i64):
    try array.set g2[v0, v0], v0 !site1, block5(), block2()
block5:
    v5: i64 = iter.begin g2 !site10
    iter.next.value v5, block6(v0), block7()
block6(v6: i64, v7: str<15>, v8: i64, v9: i64):
    jump block3()
block7:
    iter.next v5, block8(), block1()
block8(v10: i64, v11: str<15>):
    try str<35> = str.concat v11, v11, block9(), block2()
block9(v12: str<35>):
    unreachable
block10:
    return
}
"#;

#[test]
fn everything_prints_as_it_reads() {
    let module = parse(EVERYTHING).unwrap();
    let printed = print(&module);
    for (want, got) in EVERYTHING.lines().zip(printed.lines()) {
        assert_eq!(want, got);
    }
    assert_eq!(printed, EVERYTHING);
    assert_eq!(parse(&printed).unwrap(), module);
}

#[test]
fn spans_are_kept_when_asked_for() {
    let text =
        "fn0 \"f\"() { @0:1-9\nblock0:\n    v0: i64 = iconst 1 @0:2-3\n    return @1:4-5\n}\n";
    let module = parse(text).unwrap();
    assert_eq!(print_with_spans(&module), text);
    assert_eq!(parse(text).unwrap(), module);
}

#[test]
fn mistakes_name_their_line() {
    for (text, error) in [
        ("g0 = 5", "line 1: expected `global`, found 5"),
        (
            "str1 = \"a\"",
            "line 1: expected `str0`, in order, found str1 = \"a\"",
        ),
        (
            "; c\nstr0 = \"a",
            "line 2: expected a closing quote, found \"a",
        ),
        (
            "fn0 \"f\"() {\nblock0:\n  v0: i64 = frob\n}",
            "line 3: expected an operation, found frob",
        ),
        (
            "fn0 \"f\"() {\nblock0:\n  return",
            "line 3: expected `}`, found return",
        ),
        (
            "fn0 \"f\"() {\nblock1:\n  return\n}",
            "line 4: expected all blocks up to the highest number, found the end of the line",
        ),
        (
            "str0 = \"\\xzz\"",
            "line 1: expected two hexadecimal digits after `\\x`, found \"\\xzz\"",
        ),
        (
            "point",
            "line 1: expected a handler before its points, found point",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), error, "{text}");
    }
}

/// Cut and twisted text gives an error or a module, never a panic.
#[test]
fn no_text_panics() {
    for cut in (0..EVERYTHING.len()).step_by(5) {
        let _ = parse(&EVERYTHING[..cut]);
    }
    for at in (0..EVERYTHING.len()).step_by(31) {
        for replacement in ["", "v", "(", "99999999999999999999", "\"", "@", "!site"] {
            let text = [&EVERYTHING[..at], replacement, &EVERYTHING[at + 1..]].concat();
            if let Ok(module) = parse(&text) {
                print(&module);
            }
        }
    }
}
