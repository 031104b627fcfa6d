//! Images are usual eBPF objects: aya, which knows nothing of rtap, parses one that `rtap build`
//! wrote, makes its maps, loads and attaches its program; the counts are then in its globals. bpftool
//! loads it too, where it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use aya::maps::Array;
use aya::{Btf, Ebpf, programs::BtfTracePoint};
use rtap::host::Rights;
use rtap::load::ObjectFile;
use rtap_compiler::image::{GLOBALS_MAP, GlobalLayout, Meta, ProgramCounter, SessionState, header};
use rtap_tests::paths;

const SCRIPT: &str = r#"
global n
probe kernel.trace("sys_enter") { if (pid() == target() && $id == 110) n++ }
probe end { println(n) }"#;

/// Words of the globals map with one program's counters and one scalar.
const WORDS: usize = header::SIZE as usize / 8 + ProgramCounter::COUNT as usize + 1;

#[test]
fn aya_loads_and_runs_an_image() {
    if !Rights::of_self().missing_for_tracing().is_empty() {
        println!("SKIPPED: loading an image with aya needs root");
        return;
    }
    let path = build("aya");
    let image = std::fs::read(&path).expect("the image was written");
    let meta = meta(&image);
    assert_eq!(meta.layout.globals_bytes as usize, WORDS * 8);

    let mut loaded = Ebpf::load(&image).expect("aya parses it and makes its maps");
    let name = meta.programs[0].symbol.clone();
    let btf = Btf::from_sys_fs().expect("the kernel has BTF");
    let program = loaded.program_mut(&name).expect("aya finds the program");
    let program: &mut BtfTracePoint = program.try_into().expect("it is a BTF tracepoint's");
    program
        .load("sys_enter", &btf)
        .expect("the kernel takes it");
    program.attach().expect("it can be attached");

    let map = loaded.take_map(GLOBALS_MAP).expect("the globals' map");
    let mut globals: Array<_, [u64; WORDS]> = map.try_into().expect("an array of one element");
    let mut words = globals.get(&0, 0).expect("it can be read");
    words[header::STATE as usize / 8] = SessionState::Running as u64;
    words[header::IGNORED_BYTES as usize / 8] = 0;
    words[header::TARGET_PID as usize / 8] = u64::from(std::process::id());
    globals.set(0, words, 0).expect("it can be written");
    for _ in 0..25 {
        // Not cached by the C library, unlike getpid.
        let _ = std::os::unix::process::parent_id();
    }
    let words = globals.get(&0, 0).expect("it can be read");
    assert_eq!(words[slot(&meta) as usize / 8], 25);
}

#[test]
fn bpftool_loads_an_image() {
    let installed = Command::new("bpftool").arg("version").output().is_ok();
    if !installed || !Rights::of_self().missing_for_tracing().is_empty() {
        println!("SKIPPED: loading an image with bpftool needs bpftool and root");
        return;
    }
    let image = build("bpftool");
    let pins = PathBuf::from(format!("/sys/fs/bpf/rtap-test-{}", std::process::id()));
    let output = Command::new("bpftool")
        .args(["prog", "loadall"])
        .args([&image, &pins])
        .output()
        .expect("bpftool runs");
    let loaded = std::fs::read_dir(&pins).map_or(0, Iterator::count);
    let _ = std::fs::remove_dir_all(&pins);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && loaded == 1, "{stderr}");
}

/// Has `rtap build` write the image of [`SCRIPT`].
fn build(name: &str) -> PathBuf {
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.o"));
    let status = Command::new(rtap)
        .args(["build", "-e", SCRIPT, "-o"])
        .arg(&path)
        .status()
        .expect("rtap runs");
    assert!(status.success());
    path
}

fn meta(image: &[u8]) -> Meta {
    let object = ObjectFile::parse(image).expect("rtap reads its own image");
    let bytes = object.meta_bytes().expect("it has metadata");
    Meta::decode(bytes).expect("they can be decoded")
}

/// Where `n` is, bytes from the start of the globals.
fn slot(meta: &Meta) -> u32 {
    let mut globals = meta.layout.globals.values();
    let offset = |layout: &Option<GlobalLayout>| match layout {
        Some(GlobalLayout::Scalar(slot)) => Some(slot.offset),
        _ => None,
    };
    globals.find_map(offset).expect("n has a place")
}
