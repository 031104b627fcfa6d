//! Generated code, run: LIR in text form is compiled for the kernel this runs on, loaded, run
//! once by `BPF_PROG_TEST_RUN`, and its globals are compared.
//!
//! Runs in a VM as well (docs/kernels.md): `vm -k all -a target/debug/deps/backend-…:/t -- /t`.

use std::collections::BTreeMap;

use rtap::bpf::{AttachType, ProgType};
use rtap::host::LiveTarget;
use rtap::load::{LoadOptions, Loaded, ObjectFile, ProgramKind};
use rtap_compiler::bpf::compile;
use rtap_compiler::image::{GlobalLayout, Meta, SessionState, header};
use rtap_compiler::lir::{Module, Ty, text};
use rtap_compiler::target::{Features, Target};

/// Globals by name after a run: integers, or strings in quotes.
type Globals = BTreeMap<String, String>;

struct Session {
    loaded: Loaded,
    meta: Meta,
}

impl Session {
    fn new(module: &Module, features: Features) -> Session {
        let (elf, meta) =
            compile(module.clone(), features, ("", 0), &[]).unwrap_or_else(|errors| {
                panic!(
                    "{}",
                    errors.iter().map(|e| format!("{e}\n")).collect::<String>()
                )
            });
        let target = LiveTarget::new();
        let options = LoadOptions {
            target: &target,
            ring_buffer_bytes: Some(1 << 16),
            same_kernel: true,
        };
        let object = ObjectFile::parse(&elf).expect("an object that can be read");
        let loaded = Loaded::new(object, &options).expect("maps");
        assert_eq!(loaded.warnings, Vec::<String>::new());
        Session { loaded, meta }
    }

    /// Runs every program once; gives the number of verified instructions.
    fn run(&self, context: &[u64]) -> u64 {
        let globals = self.loaded.globals.as_ref().expect("globals");
        globals.store(header::STATE, SessionState::Running as u64);
        globals.store(header::IGNORED_BYTES, 0);
        let mut verified = 0;
        for program in &self.meta.programs {
            let kind = ProgramKind::new(ProgType::RawTracepoint, AttachType::Any);
            let program = match self.loaded.program(&program.symbol, kind) {
                Ok(program) => program,
                Err(error) => panic!("{error}\n{}", error.help().unwrap_or_default()),
            };
            program.test_run(context).expect("test run");
            verified += program
                .info()
                .map_or(0, |info| u64::from(info.verified_insns));
        }
        verified
    }

    fn globals(&self) -> Globals {
        let memory = self.loaded.globals.as_ref().expect("globals");
        let mut values = Globals::new();
        for (global, data) in &self.meta.module.globals {
            let Some(GlobalLayout::Scalar(slot)) = &self.meta.layout.globals[global] else {
                continue;
            };
            let value = match slot.ty {
                Ty::I64 => (memory.load(slot.offset) as i64).to_string(),
                Ty::Str { .. } => {
                    let bytes = memory.read(slot.offset, slot.width());
                    let text: Vec<u8> = bytes.iter().copied().take_while(|b| *b != 0).collect();
                    assert!(
                        bytes[text.len()..].iter().all(|b| *b == 0),
                        "{} is not zero-padded: {bytes:?}",
                        data.name
                    );
                    format!("{:?}", String::from_utf8_lossy(&text))
                }
            };
            values.insert(data.name.clone(), value);
        }
        values
    }
}

/// Whether programs can be loaded at all; says so if not.
fn skip() -> bool {
    if rtap::host::Rights::of_self()
        .missing_for_tracing()
        .is_empty()
    {
        return false;
    }
    println!("skipped: loading eBPF programs needs root");
    true
}

fn module(source: &str) -> Module {
    let name = source.find(" \"p\"()").expect("a function named p");
    let main = &source[source[..name].rfind('\n').map_or(0, |at| at + 1)..name];
    let handler = format!(
        "handler0 = kernel raw_tracepoint {main} \"p\"\n    point \"p\" function \"\" module \"\" \
         raw_tracepoint name=\"sys_enter\"\n"
    );
    let at = source.find("\nfn0 ").expect("a function fn0") + 1;
    let full = format!("{}{handler}{}", &source[..at], &source[at..]);
    match text::parse(&full) {
        Ok(module) => module,
        Err(error) => panic!("line {}: {}\n{full}", error.line, error.message),
    }
}

/// Runs `source` with the features of this kernel and with those of 5.10, and compares.
fn check(source: &str, context: &[u64], expected: &[(&str, &str)]) {
    if skip() {
        return;
    }
    let module = module(source);
    let here = LiveTarget::new().features();
    for features in [here, Features::of_release((5, 10))] {
        let session = Session::new(&module, features);
        let verified = session.run(context);
        println!("{verified} instructions verified");
        let got = session.globals();
        for (name, value) in expected {
            assert_eq!(
                got.get(*name).map(String::as_str),
                Some(*value),
                "{name} in {got:?}"
            );
        }
    }
}

#[path = "backend/int.rs"]
mod int;
#[path = "backend/maps.rs"]
mod maps;
#[path = "backend/strings.rs"]
mod strings;
