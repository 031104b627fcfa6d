//! The interpreter on small modules in LIR's text form.

mod control;
mod globals;
mod operations;

use rtap_compiler::image::Layout;
use rtap_compiler::lir::{Channel, Env, HandlerId, Module, Space, text};

use super::{Context, Machine, MemStore, Program, Stop};
use crate::values::Text;

/// A context that remembers what happened, and supplies numbers of its own.
#[derive(Default)]
struct Fake {
    out: Vec<u8>,
    sent: Vec<(Channel, String)>,
    exits: u32,
    /// Answers of `interrupted` until it says yes.
    patience: u32,
    /// Memory from address 4096 on.
    memory: Vec<u8>,
}

impl Context for Fake {
    fn env(&mut self, env: Env) -> i64 {
        match env {
            Env::PidTgid => 7 << 32 | 8,
            Env::Cpu => 3,
            _ => 0,
        }
    }

    fn comm(&mut self) -> Text {
        Text::from("a-name-longer-than-it-may-be")
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn send(&mut self, channel: Channel, text: &[u8]) {
        self.sent
            .push((channel, String::from_utf8_lossy(text).into_owned()));
    }

    fn request_exit(&mut self) {
        self.exits += 1;
    }

    fn interrupted(&mut self) -> bool {
        self.patience = self.patience.saturating_sub(1);
        self.patience == 0
    }

    fn ctx_arg(&mut self, n: u8) -> i64 {
        i64::from(n) * 100
    }

    fn entry_arg(&mut self, n: u8) -> Option<i64> {
        (n == 0).then_some(11)
    }

    fn read(&mut self, _space: Space, address: u64, bytes: &mut [u8]) -> bool {
        let found = address
            .checked_sub(4096)
            .and_then(|at| self.memory.get(at as usize..)?.get(..bytes.len()));
        found.is_some_and(|from| {
            bytes.copy_from_slice(from);
            true
        })
    }
}

/// Tables that most tests need, before the functions of a test.
const TABLES: &str = r#"limits max_action_interruptible=1000000
str0 = ""
str1 = "hello"
fmt0 = out %d "\n"
fmt1 = out %s "\n"
fmt2 = out %d " "
fmt3 = warn %s
fmt4 = out "<" %d "," %s ">"
fmt5 = out %s "=" %d " "
site0 = division_by_zero near "operator '/'" at "a.stp:1:2"
site1 = array_overflow 3 near "identifier 'a'" at "a.stp:2:2"
site2 = empty_stat near "" at ""
site3 = hist_range near "" at ""
site4 = kernel_read_fault near "" at ""
site5 = max_action near "" at "a.stp:3:3"
site6 = max_nesting near "identifier 'f'" at "a.stp:4:4"
site7 = script near "" at ""
site8 = match_range near "" at ""
site9 = user_fn near "identifier 'ctime'" at "a.stp:5:5"
site10 = no_entry near "" at ""
site11 = call near "f" at "a.stp:6:6"
re0 = "a(b+)"
handler0 = user none fn0 "probe begin"
    point "begin" function "" module "" begin priority=0
"#;

fn module(globals: &str, functions: &str) -> Module {
    text::parse(&format!("{globals}{TABLES}\n{functions}")).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs `handler0` of a module whose globals and functions these are.
fn run_in(cx: &mut Fake, globals: &str, functions: &str) -> Result<(), Stop> {
    let module = module(globals, functions);
    let program = Program::new(&module, &Layout::default()).unwrap();
    let mut machine = Machine::new(&program, MemStore::new(&module.globals));
    machine.run(HandlerId::from_u32(0), 0, cx)
}

/// What the handler prints.
fn run(globals: &str, functions: &str) -> String {
    let mut cx = Fake {
        patience: u32::MAX,
        ..Fake::default()
    };
    let result = run_in(&mut cx, globals, functions);
    assert_eq!(result, Ok(()), "{}", String::from_utf8_lossy(&cx.out));
    String::from_utf8(cx.out).unwrap()
}

/// What a body of one block prints.
fn body(instructions: &str) -> String {
    run(
        "",
        &format!("fn0 \"begin\"() {{\nblock0:\n{instructions}\n    return\n}}\n"),
    )
}
