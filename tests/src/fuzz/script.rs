//! The compiler on scripts that are not.

use std::fs;

use rtap_compiler::pipeline::{self, Emit};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::{Options, Session};
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_grammar::diag::Style;
use rtap_grammar::source::Files;

use crate::paths;

/// Texts of scripts: the examples and what the execution tests run.
pub(super) fn texts() -> Vec<Vec<u8>> {
    let root = paths::workspace();
    let dirs = [
        "examples",
        "tests/golden/exec/language",
        "tests/golden/parse",
    ];
    let mut files: Vec<_> = dirs
        .iter()
        .filter_map(|dir| fs::read_dir(root.join(dir)).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rtp"))
        .collect();
    files.sort();
    files.iter().flat_map(fs::read).collect()
}

/// Lexer, preprocessor, parser, and the printing of what they found.
pub(super) fn parse(bytes: &[u8]) {
    with_session(|session| {
        let mut files = Files::new();
        let text = String::from_utf8_lossy(bytes);
        let id = files.add("fuzz.rtp", text, false);
        for emit in [Emit::Tokens, Emit::Ast] {
            let (_, diags) = pipeline::emit(session, &mut files, &[id], emit);
            let _ = diags.render(&files, Style::Plain);
        }
    });
}

/// All stages.
pub(super) fn compile(bytes: &[u8]) {
    compile_text(&String::from_utf8_lossy(bytes));
}

fn compile_text(text: &str) {
    with_session(|session| {
        let mut files = Files::new();
        let id = files.add("fuzz.rtp", text, false);
        let (output, diags) = pipeline::compile(session, &mut files, &[id]);
        let said = diags.render(&files, Style::Plain);
        assert!(
            output.is_some() || !said.is_empty(),
            "neither an image nor a reason"
        );
        // A fault of the compiler that it noticed itself is one all the same.
        assert!(!said.contains("E0799"), "{said}");
    });
}

/// The words that scripts are made of: each byte is one.
const WORDS: &[&str] = &[
    "probe",
    "global",
    "private",
    "function",
    "if",
    "else",
    "for",
    "foreach",
    "in",
    "limit",
    "return",
    "delete",
    "while",
    "break",
    "continue",
    "next",
    "string",
    "long",
    "try",
    "catch",
    "begin",
    "end",
    "timer",
    ".",
    ".s(1)",
    "kernel",
    ".trace(\"sched_switch\")",
    ".function(\"vfs_read\")",
    ".return",
    "syscall",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    ":",
    "?",
    "!",
    "=",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "=~",
    "!~",
    "<<",
    ">>",
    ">>>",
    "<<<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "++",
    "--",
    "+=",
    ".=",
    "->",
    "&",
    "&&",
    "|",
    "||",
    "^",
    "~",
    "@count",
    "@sum",
    "@avg",
    "@min",
    "@max",
    "@variance",
    "@hist_log",
    "@hist_linear",
    "@cast",
    "@defined",
    "@entry",
    "@choose_defined",
    "@var",
    "@perf",
    "@enum",
    "@define",
    "%(",
    "%)",
    "%?",
    "%:",
    "$prev",
    "$$vars",
    "$",
    "@",
    "$1",
    "@1",
    "0",
    "1",
    "-1",
    "7",
    "0x10",
    "9223372036854775807",
    "\"\"",
    "\"a\"",
    "\"%d %s\\n\"",
    "\"task_struct\"",
    "a",
    "b",
    "c",
    "d",
    "s",
    "x",
    "print",
    "println",
    "printf",
    "sprintf",
    "printd",
    "sprint",
    "strlen",
    "substr",
    "tokenize",
    "pid",
    "execname",
    "symname",
    "backtrace",
    "error",
    "exit",
    "{ x = 1 }",
    "a[1]",
    "a[\"k\", 2]",
    "s <<< 3",
    "probe begin {",
    "*",
    "\n",
];

/// A soup of tokens.
pub(super) fn tokens(bytes: &[u8]) {
    let words = bytes
        .iter()
        .map(|byte| WORDS[usize::from(*byte) % WORDS.len()]);
    let text: Vec<&str> = words.collect();
    compile_text(&text.join(" "));
}

/// `probe begin { a[1] }` and `global a probe begin { … }` as words.
pub(super) fn token_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "probe begin { a = 1 }",
        "global a probe begin { a [ 1 ] ++ foreach ( x in a ) println ( x ) }",
        "function a ( b ) { return b + 1 } probe end { print ( a ( 7 ) ) }",
        "global s probe kernel .trace(\"sched_switch\") { s <<< $prev -> d } probe end { print ( @hist_log ( s ) ) }",
        "probe begin { try { error ( \"a\" ) } catch ( x ) { println ( x ) } }",
    ];
    let word = |text: &str| WORDS.iter().position(|word| *word == text).unwrap_or(0) as u8;
    texts
        .iter()
        .map(|text| text.split(' ').map(word).collect())
        .collect()
}

/// Runs with the fixture's kernel. Both executors compile what they can: `begin` goes to the kernel, `end` stays.
fn with_session(f: impl FnOnce(&Session<'_>)) {
    thread_local! {
        static MACHINE: (FixtureTarget, TapsetLibrary) =
            (FixtureTarget::standard(), TapsetLibrary::embedded());
    }
    MACHINE.with(|(target, library)| {
        let options = Options {
            guru: true,
            begin_in_kernel: true,
            args: vec!["5".to_owned(), "five".to_owned()],
            ..Options::default()
        };
        f(&Session {
            target,
            library,
            options,
        });
    });
}
