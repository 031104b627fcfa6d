//! Over `target/fixture/vmlinux.elf` (optimised) and `lines.elf` (not optimised, DWARF 5 and 4).

use std::sync::Arc;

use super::*;
use crate::btf::{Btf, TypeId};
use crate::dwarf::{Described, SharedFile};
use crate::target::fixture::{LINES, VMLINUX};

fn info(bytes: &'static [u8]) -> DebugInfo {
    let file: SharedFile = Arc::new(bytes);
    DebugInfo::of_file(&file).unwrap()
}

fn text(value: &Value) -> String {
    match value {
        Value::Constant(number) => number.to_string(),
        Value::Register(number) => format!("r{number}"),
        Value::Address(address) => format!("{address:#x}"),
        Value::Binary(op, a, b) => format!("{op:?}({}, {})", text(a), text(b)),
        Value::Compare(op, a, b) => format!("{op:?}({}, {})", text(a), text(b)),
        Value::Read(address, bytes) => format!("read{bytes}({})", text(address)),
        Value::Low(value, bits, signed) => format!(
            "low{bits}{}({})",
            ["u", "s"][usize::from(*signed)],
            text(value)
        ),
    }
}

fn shown(location: &Result<Location, Missing>) -> String {
    match location {
        Ok(Location::Register(number)) => format!("r{number}"),
        Ok(Location::Memory(address)) => format!("[{}]", text(address)),
        Ok(Location::Value(value)) => text(value),
        Ok(Location::Bytes(bytes)) => format!("{bytes:?}"),
        Err(why) => format!("{why:?}"),
    }
}

/// What debug information has at an address, a line each.
fn at(info: &DebugInfo, address: u64, function: Option<&str>) -> Vec<String> {
    let found = info.variables_at(address, function).unwrap();
    let all = found.map(|found| found.all).unwrap_or_default();
    let one = |variable: &Variable| {
        let ty = info.describe(variable.ty, None).unwrap();
        let ty = c_declaration(&ty, &variable.name);
        format!("{ty} {}", shown(&variable.location))
    };
    all.iter().map(one).collect()
}

fn c_declaration(ty: &Described, name: &str) -> String {
    ty.made.as_ref().unwrap().c_declaration(ty.id, name)
}

#[test]
fn optimised_variables() {
    let kernel = info(VMLINUX);
    assert_eq!(
        at(&kernel, 0xffff_ffff_8100_702e, None),
        [
            "struct file *file AtEntry",
            "int count r8",
            "enum shade shade AtEntry",
            "long int calls [0xffffffff8100d028]",
            "struct pair pair [r7]",
            "long int unused Mul(r8, 3)",
            "long int bright 7",
            "long int both r9"
        ]
    );
    // What the function was called with is where its caller put it.
    let entry = at(&kernel, 0xffff_ffff_8100_7000, None);
    assert_eq!(
        entry[..3],
        [
            "struct file *file r5",
            "int count r4",
            "enum shade shade r1"
        ]
    );
    let has_round = |address| {
        let found = at(&kernel, address, None);
        found.iter().any(|line| line.starts_with("int round "))
    };
    assert!(has_round(0xffff_ffff_8100_7050) && !has_round(0xffff_ffff_8100_7066));
}

#[test]
fn variables_on_the_stack() {
    let lines = info(LINES);
    let step = at(&lines, 0x40_0176, None);
    assert_eq!(
        step,
        ["long int n [Add(r6, -24)]", "long int result [Add(r6, -8)]"]
    );
    // Before the frame is set up, it is told from the stack pointer.
    assert_eq!(at(&lines, 0x40_015a, None)[0], "long int n [Add(r7, -32)]");
    let names = |address, function| {
        let found = lines.variables_at(address, function).unwrap().unwrap();
        let names: Vec<String> = found.all.into_iter().map(|v| v.name).collect();
        (found.function, names.join(" "))
    };
    let of = |function: &str, names: &str| (function.to_owned(), names.to_owned());
    assert_eq!(names(0x40_0226, None), of("square", "side result"));
    assert_eq!(
        names(0x40_0226, Some("run")),
        of("run", "argc argv rounds i")
    );
    // DWARF 4.
    assert_eq!(names(0x40_02bc, None), of("square", "side result"));
}

/// Nothing is where no code is, or no function.
#[test]
fn nowhere() {
    let kernel = info(VMLINUX);
    for address in [0, 1, 0xffff_ffff_8100_0fff, u64::MAX] {
        assert_eq!(kernel.variables_at(address, None), Ok(None));
    }
}

/// What BTF has is taken from there, by name and members; the rest is made on top of it.
#[test]
fn types_of_btf() {
    use crate::target::Target;
    let btf = crate::target::fixture::FixtureTarget::standard()
        .btf()
        .unwrap();
    let kernel = info(VMLINUX);
    let found = kernel
        .variables_at(0xffff_ffff_8100_7000, None)
        .unwrap()
        .unwrap();
    let describe = |name: &str| {
        let ty = found.get(name).unwrap().ty;
        kernel.describe(ty, Some(&btf)).unwrap()
    };
    let count = describe("count");
    assert_eq!(btf.find_c_type("int"), Some(count.id));
    assert!(count.made.is_none());
    let file = describe("file");
    let made = file.made.unwrap();
    assert_eq!(made.pointee(file.id), btf.find_c_type("struct file"));
    let pair = describe("pair");
    let made = pair.made.unwrap();
    assert_eq!(made.size_of(pair.id), Ok(24));
    assert_eq!(
        made.member_names(pair.id).unwrap(),
        ["first", "second", "third", "next", "name"]
    );
    let first_made = TypeId(btf.type_count());
    assert_eq!(
        (pair.id, made.own_ids().next()),
        (first_made, Some(first_made))
    );
    assert!(Btf::is_same(made.base().unwrap(), &btf));
}

/// What is damaged gives an error or what is good in it, never a panic, and never for ever.
#[test]
fn damaged_locations_never_panic() {
    // A generator of numbers that is the same each time.
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    // The debug sections are at the end.
    let debug_sections = VMLINUX.len() - 9000;
    let mut read = 0;
    for _ in 0..2000 {
        let mut bytes = VMLINUX.to_vec();
        for _ in 0..=random(8) {
            let at = debug_sections + random(bytes.len() - debug_sections);
            bytes[at] = [0, 0xff, random(256) as u8][random(3)];
        }
        let file: SharedFile = Arc::new(bytes);
        let Ok(info) = DebugInfo::of_file(&file) else {
            continue;
        };
        for address in [
            0xffff_ffff_8100_7000,
            0xffff_ffff_8100_702e,
            0xffff_ffff_8100_1011,
            0xffff_ffff_8100_b000,
        ] {
            let _ = info.calls_of(address);
            let _ = info.global_at("checked", address);
            let Ok(Some(found)) = info.variables_at(address, None) else {
                continue;
            };
            read += found.all.len();
            for variable in found.all {
                let _ = info.describe(variable.ty, None);
            }
        }
    }
    assert!(read > 1000, "{read}");
}
