//! Files and tables that come from elsewhere: images, and what kernel and programs tell of themselves.

use std::fs;
use std::sync::Arc;

use rtap::interp::{Context, Machine, MemStore, Program};
use rtap::load::{ObjectFile, read_meta};
use rtap::output::Events;
use rtap::values::Text;
use rtap_compiler::btf::{Btf, Step, resolve_path};
use rtap_compiler::dwarf::{Code, DebugInfo, Instances, Lines, Query, SharedFile, Symbol};
use rtap_compiler::lir::{Channel, Env, Exec};
use rtap_compiler::pipeline;
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::Session;
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_compiler::target::kconfig::KconfigTable;
use rtap_compiler::target::{
    Arch, Binary, KernelObject, KernelRelease, KernelSymbols, Target, TracepointFormat, sdt,
};
use rtap_grammar::source::Files;

use crate::paths;

/// An image from a file: read and linked as for the kernel, and what of it runs in user space run, after the checks that `rtap run` makes. Records are
/// decoded as if its programs had made them: cut out of the image.
pub(super) fn image(bytes: &[u8]) {
    let Ok(mut object) = ObjectFile::parse(bytes) else {
        return;
    };
    thread_local! {
        static MACHINE: FixtureTarget = FixtureTarget::standard();
    }
    let _ = MACHINE.with(|machine| object.relocate(machine));
    let symbols: Vec<String> = object.symbols().map(str::to_owned).collect();
    for symbol in symbols.iter().take(100) {
        let _ = object.link(symbol, &|_| Some(3));
    }
    let Ok(meta) = read_meta(&object) else {
        return;
    };
    let Ok(program) = Program::new(&meta.module, &meta.layout) else {
        return;
    };
    let mut machine = Machine::new(&program, MemStore::new(&meta.module.globals));
    machine.loop_limit = machine.loop_limit.min(10_000);
    let mut cx = Nobody::default();
    for (id, handler) in &meta.module.handlers {
        if handler.exec == Exec::User {
            let _ = machine.run(id, 0, &mut cx);
        }
    }
    let events = Events {
        renderer: program.renderer(),
        channels: &[],
    };
    for record in bytes.chunks(256).take(64) {
        for number in 0..2 {
            let record = [&[0, 0, 0, 0, number, 0, 0, 0], record].concat();
            let _ = events.decode(&record, &mut Vec::new(), &mut machine.store.host);
        }
    }
}

/// Surroundings in which nothing is there and nothing is done.
#[derive(Default)]
struct Nobody {
    out: Vec<u8>,
    asked: u32,
}

impl Context for Nobody {
    fn env(&mut self, _env: Env) -> i64 {
        0
    }

    fn comm(&mut self) -> Text {
        Text::default()
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn printed(&mut self) {
        self.out.clear();
    }

    fn send(&mut self, _channel: Channel, _text: &[u8]) {}

    fn request_exit(&mut self) {}

    fn interrupted(&mut self) -> bool {
        self.asked += 1;
        self.asked > 20
    }
}

/// Images of small scripts.
pub(super) fn images() -> Vec<Vec<u8>> {
    let scripts = [
        "probe begin { println(1) }",
        "global a, n function f(x) { return x > 0 ? f(x - 1) . \"b\" : \"\" } probe begin { for (i = 0; i < 9; i++) a[i, f(i)] = i try { n = 1 / n } catch (m) { printf(\"%s %5d %c\\n\", m, n, 65) } } probe end { foreach ([i, t] in a- limit 3) println(i, substr(t, 1, i), strlen(t)) if (\"ab\" =~ \"a(b*)\") println(matched(1)) }",
        "global t, w%[8], d%[8], s probe kernel.trace(\"sched_switch\") { t = execname() w[t, pid()] = pid() d[t] = t s[t] <<< pid() } probe end { println(@max(s[t])) delete d[t] delete s foreach ([x, y] in w) println(x, y, w[x, y]) }",
        "global a, s probe kernel.trace(\"sched_switch\") { a[execname()]++ s <<< $prev->pid } probe end { print(@hist_log(s)) }",
    ];
    let target = FixtureTarget::standard();
    let library = TapsetLibrary::embedded();
    let session = Session::new(&target, &library);
    let compiled = scripts.iter().filter_map(|script| {
        let mut files = Files::new();
        let id = files.add("seed.rtp", *script, false);
        pipeline::compile(&session, &mut files, &[id]).0
    });
    compiled.map(|output| output.elf).collect()
}

/// BTF, and everything that is asked of it.
pub(super) fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else {
        return;
    };
    for id in btf.own_ids().take(200) {
        let _ = btf.get(id);
        let _ = btf.strip(id);
        let _ = btf.complete(id);
        let _ = btf.size_of(id);
        let _ = btf.c_declaration(id, "x");
        let _ = btf.member_names(id);
        let _ = btf.enumerators(id);
        let _ = btf.signature(id);
        let _ = btf.is_char_pointer(id);
        let _ = resolve_path(&btf, id, &[Step::Field("a"), Step::Index(3)]);
    }
    let _ = btf.own_functions().count();
    let _ = btf.own_tracepoints().count();
    let _ = btf.find_enumerator("A");
    let _ = btf.find_var("v");
    let _ = btf.find_c_type("struct a");
}

/// The types of the fixture's kernel.
pub(super) fn btfs() -> Vec<Vec<u8>> {
    let file = paths::workspace().join("compiler/src/target/fixture/vmlinux.btf");
    fs::read(file).into_iter().collect()
}

/// A tracepoint's format file.
pub(super) fn tracepoint(bytes: &[u8]) {
    let Some(format) = TracepointFormat::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    for field in &format.fields {
        let _ = field.element_size();
    }
}

/// Two of them.
pub(super) fn tracepoints() -> Vec<Vec<u8>> {
    let plain = "name: sched_switch\nID: 100\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:0;\n\
        \tfield:unsigned long args[6];\toffset:32;\tsize:48;\tsigned:0;\n\n\
        print fmt: \"%s\", REC->prev_comm\n";
    vec![plain.into(), plain.replace("name: ", "name:").into()]
}

/// A program, its symbols and marks, its debug information.
pub(super) fn elf(bytes: &[u8]) {
    debug_info(bytes);
    let Ok(binary) = Binary::parse("/fuzz", bytes, Arch::X86_64) else {
        return;
    };
    for function in binary.functions().iter().take(100) {
        let _ = binary.function_at(function.address);
    }
}

fn debug_info(bytes: &[u8]) {
    let Ok(info) = DebugInfo::parse(bytes) else {
        return;
    };
    let query = Query {
        function: "*",
        file: "*",
        lines: &Lines::All,
    };
    let _ = info.statements(&query, &AllCode);
    for instances in [Instances::Called, Instances::Inlined] {
        let _ = info.functions(&query, instances, &AllCode);
    }
    let _ = info.files();
    if let Ok(units) = info.units() {
        for address in [0, 0x1000, 0x40_0176, u64::MAX] {
            let _ = info.line_at(&units, address);
        }
    }
    let file: SharedFile = Arc::new(bytes.to_vec());
    if let Ok(object) = KernelObject::parse("/fuzz", &file) {
        let query = Query {
            function: "step",
            ..query
        };
        let _ = object.info.functions(&query, Instances::Inlined, &object);
        let _ = object.info.labels(&query, "*", &object);
        for name in ["twice", "checked"] {
            for address in object.variables(name).unwrap_or_default() {
                let _ = object.info.global_at(name, address);
            }
        }
        variables(&object.info);
    }
}

/// What is seen at some addresses of the seeds, and of which types it is.
fn variables(info: &DebugInfo) {
    thread_local! {
        static BTF: Option<Btf> = FixtureTarget::standard().btf().ok();
    }
    let btf = BTF.with(Clone::clone);
    for address in [
        0,
        0x1000,
        0x40_0176,
        0x40_0226,
        0x40_02bc,
        0xffff_ffff_8100_702e,
        0xffff_ffff_8100_b000,
    ] {
        let _ = info.calls_of(address);
        for function in [None, Some("run")] {
            let found = info.variables_at(address, function);
            for variable in found.ok().flatten().into_iter().flat_map(|found| found.all) {
                let _ = info.describe(variable.ty, None);
                let _ = info.describe(variable.ty, btf.as_ref());
            }
        }
    }
}

/// Everything is code of a function.
struct AllCode;

impl Code for AllCode {
    fn is_code(&self, _: u64) -> bool {
        true
    }

    fn symbol_at(&self, address: u64) -> Option<Symbol> {
        Some(Symbol {
            name: String::new(),
            start: address,
            size: 8,
        })
    }

    fn starts_of(&self, _: &str) -> Vec<u64> {
        Vec::new()
    }
}

/// A small library of this machine: every linker makes one of each table in it.
pub(super) fn elfs() -> Vec<Vec<u8>> {
    let libraries = [
        "/lib/x86_64-linux-gnu/libdl.so.2",
        "/lib/x86_64-linux-gnu/libanl.so.1",
    ];
    libraries.iter().flat_map(fs::read).collect()
}

/// Small texts of the kernel and of marks.
pub(super) fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let _ = sdt::parse_arguments(&text, Arch::X86_64);
    let _ = sdt::Note::parse(bytes);
    let _ = KernelRelease::parse(&text);
    let _ = KconfigTable::parse(&text);
    let _ = KernelSymbols::parse(text);
}

/// One of each.
pub(super) fn texts() -> Vec<Vec<u8>> {
    vec![
        b"-4@%eax 8@-16(%rbp,%rax,8) 1@$0x10 -2@name+4(%rip) 8@%r12".to_vec(),
        b"6.12.85+deb13-amd64".to_vec(),
        b"CONFIG_BPF=y\n# CONFIG_X is not set\nCONFIG_HZ=250\nCONFIG_S=\"a\"\n".to_vec(),
        b"ffffffff81000000 T _text\nffffffff81000010 t f.isra.0\t[mod]\n".to_vec(),
    ]
}
