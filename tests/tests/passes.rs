//! Optimised code does what the code did before: random scripts in the interpreter, before and after
//! the passes, with the same output, errors and globals.
//!
//! `RTAP_SEEDS=from..to` runs other scripts than the usual ones; a failure shows the script.

use rtap::interp::{Context, Machine, MemStore, Program, Stop};
use rtap::values::Text;
use rtap_compiler::image::{Attach, Layout};
use rtap_compiler::lir::verify::verify;
use rtap_compiler::lir::{Channel, Env, Module, text};
use rtap_compiler::pipeline::{Emit, emit};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::Session;
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_grammar::diag::Style;
use rtap_grammar::source::Files;
use rtap_tests::generate::{Shape, script};

#[test]
fn passes_keep_the_meaning() {
    let seeds = std::env::var("RTAP_SEEDS").unwrap_or_else(|_| "0..60".to_owned());
    let (from, to) = seeds.split_once("..").expect("RTAP_SEEDS is from..to");
    let seeds = from.parse().unwrap()..to.parse().unwrap();
    let shape = Shape {
        context: &["pid()", "cpu()", "(tid() & 1)"],
        ..Shape::all(&["begin", "timer.s(1)", "kernel.trace(\"sys_enter\")"])
    };
    for seed in seeds {
        let source = script(seed, shape);
        let raw = run(&module(&source, Emit::LirRaw));
        let optimised = run(&module(&source, Emit::Lir));
        assert!(
            raw == optimised,
            "seed {seed}\n{source}\n--- before\n{raw}\n--- after\n{optimised}"
        );
    }
}

fn module(source: &str, stage: Emit) -> Module {
    let target = FixtureTarget::standard();
    let library = TapsetLibrary::embedded();
    let session = Session::new(&target, &library);
    let mut files = Files::new();
    let id = files.add("random.rtp", source, false);
    let (lir, diags) = emit(&session, &mut files, &[id], stage);
    assert!(
        !diags.has_errors(),
        "{source}\n{}",
        diags.render(&files, Style::Plain)
    );
    let module = text::parse(&lir).unwrap_or_else(|e| panic!("{source}\n{lir}\n{e}"));
    if let Err(errors) = verify(&module) {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{source}\n{lir}\n{}", errors.join("\n"));
    }
    module
}

/// All that a module's handlers, run one after another, let the world see.
fn run(module: &Module) -> String {
    let program = Program::new(module, &Layout::default()).expect("a module that can be run");
    let store = MemStore::new(&module.globals);
    let mut machine = Machine::new(&program, store);
    let mut world = World::default();
    for (handler, data) in &module.handlers {
        if data.points.iter().any(|p| p.attach == Attach::Never) {
            continue;
        }
        if let Err(Stop::Error { site, arg, text }) = machine.run(handler, 0, &mut world) {
            let site = &machine.sites()[site];
            let message = format!("{:?} {} {arg} {text:?}\n", site.kind, site.position);
            world.out.extend_from_slice(message.as_bytes());
        }
    }
    String::from_utf8_lossy(&world.out).into_owned()
}

#[derive(Default)]
struct World {
    out: Vec<u8>,
}

impl Context for World {
    fn env(&mut self, env: Env) -> i64 {
        match env {
            Env::PidTgid => 1234 << 32 | 1235,
            Env::Cpu => 1,
            _ => 0,
        }
    }

    fn comm(&mut self) -> Text {
        Text::from("task")
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn send(&mut self, channel: Channel, text: &[u8]) {
        self.out
            .extend_from_slice(format!("{channel:?} ").as_bytes());
        self.out.extend_from_slice(text);
    }

    fn request_exit(&mut self) {
        self.out.extend_from_slice(b"exit\n");
    }

    fn ctx_arg(&mut self, n: u8) -> i64 {
        i64::from(n) * 100 + 7
    }
}
