//! Objects built here, parsed, damaged, and where rights allow loaded and run.

use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use rtap_compiler::btf::{BtfBuilder, Kind, Linkage, TypeId};

use super::*;
use crate::host::{LiveTarget, Rights};

const GLOBALS: &str = GLOBALS_MAP;

fn insn(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    u64::from(code)
        | u64::from(dst | src << 4) << 8
        | u64::from(offset as u16) << 16
        | u64::from(imm as u32) << 32
}

/// `globals[8] += 5; return helper(7)` with `helper(x) = x + globals[0]`, and a program that reads
/// through an uninitialised register, and one like the first that returns 0.
fn sample() -> Vec<u8> {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, 32, 1);
    let long = b.int("long", 8, 64, 1);
    let words = b.array(long, int, 4);
    let data = b.var("globals", words, Linkage::Static);
    b.data_section(GLOBALS, 32, &[(data, 0, 32)]);
    let number = |b: &mut BtfBuilder, n| {
        let array = b.array(int, int, n);
        b.ptr(array)
    };
    let (kind, entries) = (number(&mut b, 1), number(&mut b, 16));
    let key = b.ptr(long);
    let decl = b.composite(
        Kind::Struct,
        "",
        32,
        &[
            ("type", kind, 0, 0),
            ("max_entries", entries, 64, 0),
            ("key", key, 128, 0),
            ("value", key, 192, 0),
        ],
    );
    let counts = b.var("counts", decl, Linkage::Global);
    b.data_section(".maps", 32, &[(counts, 0, 32)]);
    let context = b.ptr(TypeId::VOID);
    let proto = b.func_proto(int, &[("ctx", context)]);
    let main = b.func("main_prog", proto, Linkage::Global);
    let bad = b.func("bad_prog", proto, Linkage::Global);
    let quiet = b.func("quiet_prog", proto, Linkage::Global);
    let helper_proto = b.func_proto(int, &[("x", int)]);
    let helper = b.func("helper", helper_proto, Linkage::Static);

    let main_code = [
        insn(0x18, 1, 0, 0, 8),
        0,
        insn(0xb7, 2, 0, 0, 5),
        insn(0xdb, 1, 2, 0, 0),
        insn(0xb7, 1, 0, 0, 7),
        insn(0x85, 0, 1, 0, -1),
        insn(0x95, 0, 0, 0, 0),
    ];
    let mut quiet_code = main_code;
    quiet_code[5] = insn(0xb7, 0, 0, 0, 0);
    let bad_code = [
        insn(0xb7, 0, 0, 0, 0),
        insn(0x79, 0, 3, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ];
    let helper_code = [
        insn(0xbf, 0, 1, 0, 0),
        insn(0x18, 1, 0, 0, 0),
        0,
        insn(0x79, 1, 1, 0, 0),
        insn(0x0f, 0, 1, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ];
    let bytes = |code: &[u64]| {
        code.iter()
            .flat_map(|i| i.to_le_bytes())
            .collect::<Vec<u8>>()
    };

    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let programs = elf.add_section(Vec::new(), b"raw_tp".to_vec(), SectionKind::Text);
    let text = elf.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    let data = elf.add_section(Vec::new(), GLOBALS.as_bytes().to_vec(), SectionKind::Data);
    let maps = elf.add_section(Vec::new(), b".maps".to_vec(), SectionKind::Data);
    let symbol = |elf: &mut Object<'_>, name: &str, section, bytes: Vec<u8>, kind| {
        let value = elf.append_section_data(section, &bytes, 8);
        elf.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size: bytes.len() as u64,
            kind,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    };
    symbol(
        &mut elf,
        "main_prog",
        programs,
        bytes(&main_code),
        SymbolKind::Text,
    );
    symbol(
        &mut elf,
        "bad_prog",
        programs,
        bytes(&bad_code),
        SymbolKind::Text,
    );
    symbol(
        &mut elf,
        "quiet_prog",
        programs,
        bytes(&quiet_code),
        SymbolKind::Text,
    );
    let helper_symbol = symbol(
        &mut elf,
        "helper",
        text,
        bytes(&helper_code),
        SymbolKind::Text,
    );
    symbol(&mut elf, "counts", maps, vec![0; 32], SymbolKind::Data);
    let mut words = vec![0u8; 32];
    words[0] = 100;
    elf.append_section_data(data, &words, 8);
    let data_symbol = elf.section_symbol(data);
    for (section, offset, symbol, r_type) in [
        (programs, 0, data_symbol, 1),
        (programs, 80, data_symbol, 1),
        (programs, 40, helper_symbol, 10),
        (text, 8, data_symbol, 1),
    ] {
        let flags = RelocationFlags::Elf {
            r_type: object::elf::RelocationType(r_type),
        };
        elf.add_relocation(
            section,
            Relocation {
                offset,
                symbol,
                addend: 0,
                flags,
            },
        )
        .unwrap();
    }

    let file = b.string("a.stp");
    let line = b.string("x = *p");
    let (in_programs, in_text) = (b.string("raw_tp"), b.string(".text"));
    let funcs: &[u32] = &[
        8,
        in_programs,
        3,
        0,
        main.0,
        56,
        bad.0,
        80,
        quiet.0,
        in_text,
        1,
        0,
        helper.0,
    ];
    let lines: &[u32] = &[
        16,
        in_programs,
        4,
        0,
        file,
        line,
        1 << 10 | 1,
        56,
        file,
        line,
        6 << 10 | 2,
        64,
        file,
        line,
        7 << 10 | 3,
        80,
        file,
        line,
        8 << 10 | 1,
        in_text,
        1,
        0,
        file,
        line,
        9 << 10,
    ];
    let mut ext = vec![0x9f, 0xeb, 1, 0];
    let (f, l) = (funcs.len() as u32 * 4, lines.len() as u32 * 4);
    for word in [24, 0, f, f, l].iter().chain(funcs).chain(lines) {
        ext.extend(word.to_le_bytes());
    }
    let section = elf.add_section(Vec::new(), b".BTF".to_vec(), SectionKind::Metadata);
    elf.append_section_data(section, &b.finish(), 8);
    let section = elf.add_section(Vec::new(), b".BTF.ext".to_vec(), SectionKind::Metadata);
    elf.append_section_data(section, &ext, 8);
    elf.write().unwrap()
}

const RAW_TRACEPOINT: ProgramKind = ProgramKind {
    kind: ProgType::RawTracepoint,
    attach: AttachType::Any,
    btf_id: 0,
    flags: 0,
};

/// The sample in the kernel, `None` where we may not load.
pub(crate) fn loaded(target: &LiveTarget) -> Option<Loaded> {
    if !Rights::of_self().missing_for_tracing().is_empty() {
        eprintln!("skipped: no right to load programs");
        return None;
    }
    let object = ObjectFile::parse(&sample()).unwrap();
    let options = LoadOptions {
        target,
        ring_buffer_bytes: None,
        same_kernel: true,
    };
    Some(Loaded::new(object, &options).unwrap())
}

#[test]
fn parses_an_object() {
    let object = ObjectFile::parse(&sample()).unwrap();
    assert_eq!(
        object.symbols().collect::<Vec<_>>(),
        ["main_prog", "bad_prog", "quiet_prog", "helper"]
    );
    assert_eq!(object.maps.len(), 1);
    let counts = &object.maps[0];
    assert_eq!(
        (
            counts.kind,
            counts.key_size,
            counts.value_size,
            counts.max_entries
        ),
        (1, 8, 8, 16)
    );
    assert_eq!(object.data.len(), 1);
    assert!(object.data[0].btf_type != 0);
}

#[test]
fn loads_and_runs_a_program() {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let program = loaded.program("main_prog", RAW_TRACEPOINT).unwrap();
    assert_eq!(program.test_run(&[]).unwrap(), 107);
    assert_eq!(program.test_run(&[]).unwrap(), 107);
    let globals = loaded.globals.as_ref().unwrap();
    assert_eq!((globals.load(0), globals.load(8)), (100, 10));
    globals.store(0, 1);
    assert_eq!(program.test_run(&[]).unwrap(), 8);
    assert!(program.info().unwrap().xlated_insns > 10);
}

#[test]
fn maps_keep_what_is_put_in() {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    let map = &loaded.maps["counts"];
    let mut value = Vec::new();
    assert!(!map.lookup(&1u64.to_ne_bytes(), &mut value).unwrap());
    for key in 0..16u64 {
        map.update(&key.to_ne_bytes(), &(key * key).to_ne_bytes(), 0)
            .unwrap();
    }
    assert!(map.update(&99u64.to_ne_bytes(), &[0; 8], 0).is_err());
    assert!(map.update(&[0; 3], &[0; 8], 0).is_err());
    let entries = map.entries().unwrap();
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
    let mut all: Vec<(u64, u64)> = entries.iter().map(|(k, v)| (word(k), word(v))).collect();
    all.sort_unstable();
    assert_eq!(all, (0..16).map(|key| (key, key * key)).collect::<Vec<_>>());
    assert!(map.delete(&3u64.to_ne_bytes()).unwrap());
    assert!(!map.delete(&3u64.to_ne_bytes()).unwrap());
    map.clear().unwrap();
    assert!(map.entries().unwrap().is_empty());
}

#[test]
fn refusals_name_the_line() {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    let Err(LoadError::Refused { verdict, .. }) = loaded.program("bad_prog", RAW_TRACEPOINT) else {
        panic!("the verifier must refuse it");
    };
    assert_eq!(verdict.message, "R3 !read_ok");
    let place = verdict.place.unwrap();
    assert_eq!(
        (place.file.as_str(), place.line, place.column),
        ("a.stp", 7, 3)
    );
    assert!(matches!(
        loaded.program("no_such", RAW_TRACEPOINT),
        Err(LoadError::Damaged(_))
    ));
}

#[test]
fn damaged_objects_never_panic() {
    let good = sample();
    for len in (0..good.len()).step_by(7) {
        let _ = ObjectFile::parse(&good[..len]);
    }
    let mut state = 7u64;
    for _ in 0..4000 {
        let mut bad = good.clone();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bad.len();
            bad[at] = (state >> 24) as u8;
        }
        let Ok(object) = ObjectFile::parse(&bad) else {
            continue;
        };
        let symbols: Vec<String> = object.symbols().map(str::to_owned).collect();
        for symbol in &symbols {
            let _ = object.link(symbol, &|_| Some(3));
        }
    }
}

/// An object of one code section whose instructions access `struct task_struct` as if it
/// were `{ char comm[16]; int pid; }`.
fn relocatable(insns: Vec<u64>, records: &[(usize, &str, u32)]) -> ObjectFile {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, 32, 1);
    let char_ = b.int("char", 1, 8, 1);
    let comm = b.array(char_, int, 16);
    let members = [
        ("comm", comm, 0, 0),
        ("pid", int, 128, 0),
        ("no_such_member", int, 160, 0),
    ];
    let task = b.composite(Kind::Struct, "task_struct", 24, &members);
    let records: Vec<(usize, u32, u32)> = records
        .iter()
        .map(|&(insn, access, kind)| (insn, b.string(access), kind))
        .collect();
    let bytes = b.finish();
    let core_relocs = records.iter().map(|&(insn, access, kind)| ext::CoreReloc {
        insn,
        type_id: task.0,
        access,
        kind,
    });
    let code = image_file::CodeSection {
        insns,
        relocs: Vec::new(),
        func_infos: Vec::new(),
        line_infos: Vec::new(),
        core_relocs: core_relocs.collect(),
    };
    ObjectFile {
        code: vec![code],
        functions: Vec::new(),
        maps: Vec::new(),
        data: Vec::new(),
        btf: Some(rtap_compiler::btf::Btf::parse(bytes.clone()).unwrap()),
        btf_bytes: Some(bytes),
        meta: None,
    }
}

#[test]
fn field_accesses_follow_the_kernel() {
    let target = rtap_compiler::target::fixture::FixtureTarget::standard();
    let btf = target.btf().unwrap();
    let task = btf.find_c_type("struct task_struct").unwrap();
    let offset = |name: &str| {
        u64::from(
            btf.find_member(task, name)
                .unwrap()
                .unwrap()
                .member
                .bit_offset
                / 8,
        )
    };
    let load = insn(0x61, 0, 1, 16, 0);
    let add = insn(0x07, 1, 0, 0, 0);
    let mov = insn(0xb7, 0, 0, 0, 77);
    let records = [
        (0, "0:1", 0),
        (1, "0:0", 0),
        (2, "0:2", 2),
        (3, "0", 9),
        (4, "0:0:5", 0),
        (5, "0:1", 1),
    ];
    let mut object = relocatable(vec![load, add, mov, mov, add, mov], &records);
    object.relocate(&target).unwrap();
    let insns = &object.code[0].insns;
    assert_eq!(insns[0], insn(0x61, 0, 1, offset("pid") as i16, 0));
    assert_eq!(insns[1] >> 32, offset("comm"));
    assert_eq!(insns[2] >> 32, 0, "no such member in the kernel");
    assert_eq!(insns[3] >> 32, btf.size_of(task).unwrap());
    assert_eq!(insns[4] >> 32, offset("comm") + 5);
    assert_eq!(insns[5] >> 32, 4);
    let endless = "0".to_owned() + &":0".repeat(100_000);
    for bad in ["0:2", "0:9", "0:x", "", "0:1:1", &endless] {
        let mut object = relocatable(vec![add], &[(0, bad, 0)]);
        assert!(object.relocate(&target).is_err(), "{bad}");
    }
    let mut outside = relocatable(vec![add], &[(7, "0:1", 0)]);
    assert!(outside.relocate(&target).is_err());
    let mut object = relocatable(vec![add], &[(0, "0:2", 0)]);
    assert_eq!(
        object.relocate(&target).unwrap_err().to_string(),
        "this kernel has no '->no_such_member' for 'struct task_struct': struct task_struct has no \
         member 'no_such_member'"
    );
}

#[test]
fn a_small_file_does_not_become_a_large_one() {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    for name in [".bss.a", ".bss.b"] {
        let kind = SectionKind::UninitializedData;
        let section = elf.add_section(Vec::new(), name.into(), kind);
        elf.append_section_bss(section, 40 << 20, 8);
    }
    let error = ObjectFile::parse(&elf.write().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image is damaged: its sections are too big"
    );
}
