//! Unit tests of the reader over blobs built here.

use super::*;

/// Types that the tests share, with the ids they got.
struct Sample {
    btf: Btf,
    file: TypeId,
    task: TypeId,
}

fn sample() -> Sample {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, 32, 1);
    let uint = b.int("unsigned int", 4, 32, 0);
    let char_ = b.int("char", 1, 8, 1);
    let u64_ = b.int("long long unsigned int", 8, 64, 0);
    let size_t = b.modifier(Kind::Typedef, "size_t", u64_);
    let comm = b.array(char_, uint, 16);
    let ints = b.array(int, uint, 4);
    let grid = b.array(ints, uint, 3);
    let const_char = b.modifier(Kind::Const, "", char_);
    let name_ptr = b.ptr(const_char);
    let qstr = b.composite(
        Kind::Struct,
        "qstr",
        16,
        &[("len", uint, 0, 0), ("name", name_ptr, 64, 0)],
    );
    let parent_id = TypeId(b.next_id().0 + 1);
    let dentry = b.composite(
        Kind::Struct,
        "dentry",
        24,
        &[("d_name", qstr, 0, 0), ("d_parent", parent_id, 128, 0)],
    );
    let dentry_ptr = b.ptr(dentry);
    assert_eq!(dentry_ptr, parent_id);
    let inode = b.forward("inode", false);
    let inode_ptr = b.ptr(inode);
    let path = b.composite(
        Kind::Struct,
        "path",
        16,
        &[("mnt", inode_ptr, 0, 0), ("dentry", dentry_ptr, 64, 0)],
    );
    let anon = b.composite(
        Kind::Union,
        "",
        8,
        &[("f_lock", uint, 0, 0), ("f_pos", u64_, 0, 0)],
    );
    let file = b.composite(
        Kind::Struct,
        "file",
        32,
        &[
            ("f_inode", inode_ptr, 0, 0),
            ("", anon, 64, 0),
            ("f_path", path, 128, 0),
        ],
    );
    let task = b.composite(
        Kind::Struct,
        "task_struct",
        128,
        &[
            ("pid", int, 0, 0),
            ("bits_a", uint, 32, 3),
            ("bits_b", uint, 35, 7),
            ("comm", comm, 64, 0),
            ("grid", grid, 192, 0),
            ("size", size_t, 640, 0),
        ],
    );
    b.enumeration("state", 4, true, false, &[("S_DEAD", -1), ("S_RUN", 0)]);
    b.enumeration("wide", 8, false, true, &[("W_TOP", i64::MIN)]);
    let task_ptr = b.ptr(task);
    let bool_ = b.int("bool", 1, 8, 4);
    let void_ptr = b.ptr(TypeId::VOID);
    let bare = b.func_proto(
        TypeId::VOID,
        &[("", void_ptr), ("", bool_), ("", task_ptr), ("", task_ptr)],
    );
    let bare_ptr = b.ptr(bare);
    b.modifier(Kind::Typedef, "btf_trace_sched_switch", bare_ptr);
    let named = b.func_proto(
        int,
        &[
            ("__data", void_ptr),
            ("preempt", bool_),
            ("prev", task_ptr),
            ("next", task_ptr),
        ],
    );
    b.func("__traceiter_sched_switch", named, Linkage::Global);
    let printk = b.func_proto(int, &[("fmt", name_ptr), ("", TypeId::VOID)]);
    b.func("_printk", printk, Linkage::Global);
    let current = b.var("pcpu_current", task_ptr, Linkage::Global);
    b.data_section(".data..percpu", 64, &[(current, 8, 8)]);
    Sample {
        btf: Btf::parse(b.finish()).expect("the sample is valid"),
        file,
        task,
    }
}

#[test]
fn finds_types_by_name_and_kind() {
    let Sample { btf, file, .. } = sample();
    assert_eq!(btf.find(Kind::Struct, "file"), Some(file));
    assert_eq!(btf.find(Kind::Union, "file"), None);
    assert_eq!(btf.find(Kind::Struct, ""), None);
    assert_eq!(btf.find_c_type("struct file"), Some(file));
    assert_eq!(
        btf.find_c_type("unsigned long long"),
        btf.find(Kind::Int, "long long unsigned int")
    );
    assert_eq!(btf.find_enumerator("S_DEAD"), Some(-1));
    assert_eq!(btf.find_enumerator("W_TOP"), Some(i64::MIN));
}

#[test]
fn spells_types_as_c_does() {
    let Sample { btf, file, task } = sample();
    let spell = |ty, member| {
        let found = btf.find_member(ty, member).unwrap().unwrap();
        btf.c_declaration(found.member.ty, member)
    };
    assert_eq!(spell(task, "comm"), "char comm[16]");
    assert_eq!(spell(task, "grid"), "int grid[3][4]");
    assert_eq!(spell(task, "size"), "size_t size");
    assert_eq!(spell(file, "f_inode"), "struct inode *f_inode");
    let qstr = btf.find_c_type("qstr").unwrap();
    assert_eq!(spell(qstr, "name"), "const char *name");
    let trace = btf.find(Kind::Typedef, "btf_trace_sched_switch").unwrap();
    let Type::Modifier(_, pointer) = btf.get(trace).unwrap() else {
        panic!("a typedef")
    };
    assert_eq!(
        btf.c_name(pointer),
        "void (*)(void *, bool, struct task_struct *, struct task_struct *)"
    );
}

#[test]
fn gives_tracepoint_arguments_their_names() {
    let Sample { btf, task, .. } = sample();
    let signature = btf.tracepoint("sched_switch").unwrap().unwrap();
    let names: Vec<&str> = signature.params.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["preempt", "prev", "next"]);
    assert_eq!(btf.pointee(signature.params[1].ty), Some(task));
    assert_eq!(btf.name(signature.attach_id), "btf_trace_sched_switch");
    assert_eq!(btf.tracepoint("nope").unwrap(), None);
    assert_eq!(btf.own_tracepoints().collect::<Vec<_>>(), ["sched_switch"]);
}

#[test]
fn marks_variadic_functions() {
    let Sample { btf, .. } = sample();
    let printk = btf.function("_printk").unwrap().unwrap();
    assert!(printk.variadic);
    assert_eq!(printk.params.len(), 1);
}

#[test]
fn knows_per_cpu_variables() {
    let Sample { btf, task, .. } = sample();
    let (var, ty) = btf.find_var("pcpu_current").unwrap();
    assert!(btf.is_per_cpu(var));
    assert_eq!(btf.pointee(ty), Some(task));
}

/// A path as a compact text: `access@offset` per hop, then the last place.
fn path(btf: &Btf, root: TypeId, steps: &[Step<'_>]) -> String {
    let hops = match resolve_path(btf, root, steps) {
        Ok(hops) => hops,
        Err(error) => return error.to_string(),
    };
    let mut text: Vec<String> = hops
        .iter()
        .map(|hop| {
            let dynamic: Vec<String> = hop
                .dynamic
                .iter()
                .map(|d| format!("+[{}]*{}", d.step, d.stride))
                .collect();
            format!(
                "{} {}@{}{}",
                btf.c_name(hop.root),
                hop.access,
                hop.offset,
                dynamic.concat()
            )
        })
        .collect();
    let place = &hops.last().unwrap().place;
    text.push(format!(
        "{:?} size {} bits {:?}",
        place.kind, place.size, place.bits
    ));
    text.join("; ")
}

#[test]
fn resolves_paths() {
    use Step::*;
    let Sample { btf, file, task } = sample();
    assert_eq!(
        path(
            &btf,
            file,
            &[
                Field("f_path"),
                Field("dentry"),
                Field("d_name"),
                Field("len")
            ]
        ),
        "struct file 0:2:1@24; struct dentry 0:0:0@0; Integer { signed: false } size 4 bits None"
    );
    assert_eq!(
        path(&btf, file, &[Field("f_pos")]),
        "struct file 0:1:1@8; Integer { signed: false } size 8 bits None"
    );
    assert_eq!(
        path(&btf, task, &[Field("grid"), Index(2), Index(1)]),
        "struct task_struct 0:4:2:1@60; Integer { signed: true } size 4 bits None"
    );
    assert_eq!(
        path(&btf, task, &[Field("grid"), DynamicIndex, Index(1)]),
        "struct task_struct 0:4:0:1@28+[1]*16; Integer { signed: true } size 4 bits None"
    );
    assert_eq!(
        path(&btf, task, &[Field("comm")]),
        "struct task_struct 0:3@8; CharArray { len: 16 } size 16 bits None"
    );
    assert_eq!(
        path(&btf, task, &[Field("bits_b")]),
        "struct task_struct 0:2@4; Integer { signed: false } size 4 bits Some((3, 7))"
    );
    assert_eq!(
        path(
            &btf,
            file,
            &[
                Field("f_path"),
                Field("dentry"),
                Field("d_name"),
                Field("name"),
                Index(-2)
            ]
        ),
        "struct file 0:2:1@24; struct dentry 0:0:1@8; char -2@-2; Integer { signed: true } size 1 bits None"
    );
    assert_eq!(
        path(&btf, task, &[]),
        "struct task_struct 0@0; Composite size 128 bits None"
    );
}

#[test]
fn says_why_a_path_fails() {
    use Step::*;
    let Sample { btf, file, task } = sample();
    assert_eq!(
        path(&btf, task, &[Field("pidd")]),
        "struct task_struct has no member 'pidd'"
    );
    assert_eq!(
        path(&btf, task, &[Field("pid"), Field("x")]),
        "int is not a struct or union"
    );
    assert_eq!(
        path(&btf, file, &[Field("f_inode"), Field("i_ino")]),
        "struct inode is only declared, its members are not known"
    );
    assert_eq!(
        path(&btf, task, &[Field("comm"), Index(16)]),
        "index 16 is outside char[16]"
    );
    assert_eq!(
        path(&btf, task, &[Field("pid"), Index(0)]),
        "int is neither an array nor a pointer"
    );
}

#[test]
fn split_blobs_continue_their_base() {
    let Sample { btf, file, .. } = sample();
    let base_strings = btf.string_bytes().len() as u32;
    let base_count = btf.type_count();
    // A module's struct that embeds the base's `struct file` by its id; the name is
    // moved behind the base's strings by hand.
    let mut b = BtfBuilder::new();
    b.composite(Kind::Struct, "mod_file", 32, &[("file", file, 0, 0)]);
    let mut blob = b.finish();
    for at in [24, 36] {
        let moved = u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) + base_strings;
        blob[at..at + 4].copy_from_slice(&moved.to_le_bytes());
    }
    let module = Btf::parse_split(blob, btf).unwrap();
    let id = module.find(Kind::Struct, "mod_file").unwrap();
    assert_eq!(id.0, base_count);
    assert_eq!(module.find(Kind::Struct, "file"), Some(file));
    assert!(module.own_function("vfs_read").is_none());
    assert_eq!(
        path(&module, id, &[Step::Field("file"), Step::Field("f_pos")]),
        "struct mod_file 0:0:1:1@8; Integer { signed: false } size 8 bits None"
    );
}

#[test]
fn functions_of_one_name_are_described_if_they_are_alike() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, 32, 1);
    let long = b.int("long", 8, 64, 1);
    let (one, other) = (
        b.func_proto(int, &[("a", int)]),
        b.func_proto(int, &[("a", long)]),
    );
    b.func("alike", one, Linkage::Static);
    b.func("alike", one, Linkage::Static);
    b.func("unlike", one, Linkage::Static);
    b.func("unlike", other, Linkage::Static);
    let btf = Btf::parse(b.finish()).unwrap();
    assert_eq!(btf.own_function("alike").unwrap().params[0].ty, int);
    assert!(btf.function("unlike").unwrap().is_some());
    assert!(btf.own_function("unlike").is_none());
}

#[test]
fn finds_pointers_to_types() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, 32, 1);
    let alias = b.modifier(Kind::Typedef, "number", int);
    let pointer = b.ptr(alias);
    let long = b.int("long", 8, 64, 1);
    let btf = Btf::parse(b.finish()).unwrap();
    assert_eq!(btf.pointer_to(alias), Some(pointer));
    assert_eq!(btf.pointer_to(int), Some(pointer));
    assert_eq!(btf.pointer_to(long), None);
}

#[test]
fn extracts_what_the_roots_need() {
    let Sample { btf, file, .. } = sample();
    let roots = [
        file,
        btf.find(Kind::Typedef, "btf_trace_sched_switch").unwrap(),
    ];
    let cut = Btf::parse(extract(&btf, &roots).unwrap()).unwrap();
    assert!(cut.type_count() < btf.type_count());
    let file = cut.find(Kind::Struct, "file").unwrap();
    assert_eq!(
        path(&cut, file, &[Step::Field("f_path"), Step::Field("dentry")]),
        "struct file 0:2:1@24; Pointer(TypeId(7)) size 8 bits None".replace(
            "TypeId(7)",
            &format!("{:?}", cut.find(Kind::Fwd, "dentry").unwrap())
        )
    );
    assert_eq!(cut.find(Kind::Struct, "task_struct"), None);
    assert!(cut.tracepoint("sched_switch").unwrap().is_some());
    assert_eq!(extract(&btf, &[roots[1], roots[0]]), extract(&btf, &roots));
}

#[test]
fn self_containing_types_are_errors() {
    let mut b = BtfBuilder::new();
    let looped = b.modifier(Kind::Typedef, "loop", TypeId(1));
    let nested = b.composite(
        Kind::Struct,
        "nested",
        8,
        &[("", TypeId(2), 0, 0), ("", TypeId(2), 0, 0)],
    );
    let array = b.array(TypeId(3), TypeId(3), 2);
    let beyond = b.ptr(TypeId(99));
    let proto = b.func_proto(TypeId(5), &[("a", TypeId(5)), ("b", TypeId(5))]);
    let btf = Btf::parse(b.finish()).unwrap();
    assert_eq!(btf.strip(looped), Err(BtfError::TooDeep(1)));
    assert!(btf.find_member(nested, "x").is_err());
    assert!(btf.member_names(nested).is_err());
    assert_eq!(btf.size_of(array), Err(BtfError::TooDeep(3)));
    assert_eq!(btf.get(TypeId(99)).err(), Some(BtfError::NoType(99)));
    assert_eq!(btf.c_name(beyond), "? *");
    assert!(btf.c_name(proto).len() < 10_000);
    assert!(btf.c_name(looped).len() < 10_000);
    assert!(extract(&btf, &[beyond]).is_err());
    assert!(extract(&btf, &[looped, nested]).is_ok());
}

#[test]
fn malformed_blobs_are_errors() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, 32, 1);
    b.composite(Kind::Struct, "s", 4, &[("a", int, 0, 0)]);
    let good = b.finish();
    assert!(Btf::parse(good.clone()).is_ok());
    for len in 0..good.len() {
        assert!(
            Btf::parse(good[..len].to_vec()).is_err(),
            "cut to {len} bytes"
        );
    }
    let parse_with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        Btf::parse(bad).err()
    };
    assert_eq!(parse_with(0, 0), Some(BtfError::BadMagic));
    assert_eq!(parse_with(2, 2), Some(BtfError::BadVersion(2)));
    assert_eq!(
        parse_with(24 + 7, 60),
        Some(BtfError::UnknownKind { id: 1, kind: 60 })
    );
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert_eq!(Btf::parse(swapped).err(), Some(BtfError::WrongEndian));
}

#[test]
fn unknown_kinds_are_skipped_by_the_kind_layout() {
    // A header of 32 bytes, one type of kind 20 with vlen 2 and 8-byte elements, one int.
    let mut types = Vec::new();
    for word in [0u32, 20 << 24 | 2, 0, 7, 7, 7, 7] {
        types.extend(word.to_le_bytes());
    }
    for word in [1u32, 1 << 24, 4, 1 << 24 | 32] {
        types.extend(word.to_le_bytes());
    }
    let mut layout = vec![0u8; 21 * 4];
    layout[20 * 4 + 1] = 8;
    let strings = b"\0int\0";
    let mut blob = vec![0x9f, 0xeb, 1, 0];
    let (t, s, l) = (
        types.len() as u32,
        strings.len() as u32,
        layout.len() as u32,
    );
    for word in [32, 0, t, t, s, t + s, l] {
        blob.extend(word.to_le_bytes());
    }
    blob.extend(types);
    blob.extend(strings);
    blob.extend(layout);
    let btf = Btf::parse(blob).unwrap();
    assert_eq!(btf.find(Kind::Int, "int"), Some(TypeId(2)));
    assert_eq!(
        btf.get(TypeId(1)).err(),
        Some(BtfError::UnknownKind { id: 1, kind: 20 })
    );
}

#[test]
fn damaged_blobs_never_panic() {
    let Sample { btf, .. } = sample();
    let roots: Vec<TypeId> = btf.own_ids().collect();
    let good = extract(&btf, &roots).unwrap();
    let mut state = 1u64;
    for _ in 0..4000 {
        let mut bad = good.clone();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bad.len();
            bad[at] = (state >> 24) as u8;
        }
        let Ok(btf) = Btf::parse(bad) else { continue };
        for id in btf.own_ids() {
            let _ = (btf.get(id), btf.size_of(id), btf.c_name(id).len());
            let _ = (btf.signature(id), btf.member_names(id));
            let _ = resolve_path(
                &btf,
                id,
                &[Step::Field("f_path"), Step::Field("dentry"), Step::Index(3)],
            );
        }
        let _ = btf.tracepoint("sched_switch");
        let _ = btf.find_enumerator("S_RUN");
        let _ = extract(&btf, &[TypeId(18)]);
    }
}
