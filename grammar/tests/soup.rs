//! Garbage: no input may panic or hang the parser, and every diagnostic renders.
//!
//! Random bytes, random tokens, and real scripts with random damage. `RTAP_FUZZ_SECONDS=60` goes on with
//! new seeds for that long.

mod common;

use common::Rng;
use rtap_grammar::source::Files;
use rtap_grammar::{
    MacroLibrary, StaticFacts, add_macros, ast, diag, emit_tokens, parse, print, scan_index,
};
use std::path::Path;
use std::time::{Duration, Instant};

const TOKENS: [&str; 110] = [
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
    "a",
    "b",
    "pid",
    "$x",
    "$$vars",
    "$",
    "$$",
    "$x$",
    "x$$",
    "@count",
    "@hist_log",
    "@sum",
    "@define",
    "@m",
    "@n",
    "@cast",
    "@foo",
    "$1",
    "@1",
    "$#",
    "@#",
    "$9",
    "0",
    "1",
    "0x7f",
    "08",
    "12ab",
    "\"s\"",
    "\"\"",
    "\"",
    "\\",
    "%{",
    "%}",
    "%{ x %}",
    "/*",
    "*/",
    "//",
    "#",
    "\n",
    "<<<",
    ">>>",
    "<<=",
    "==",
    "!=",
    "<=",
    "=~",
    "!~",
    "+=",
    ".=",
    "&&",
    "||",
    "++",
    "--",
    "->",
    "<<",
    "%(",
    "%?",
    "%:",
    "%)",
    "=",
    "<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "|",
    "^",
    "!",
    "~",
    ".",
    ",",
    ";",
    ":",
    "?",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "kernel_v",
    "\"3\"",
    "CONFIG_A",
    "begin",
    "kernel.function(\"f\")",
    "é",
    "\0",
    "`",
];

/// Parses; checks what must be true of any result. The time is bounded by the caller.
fn digest(text: &[u8]) {
    let args = vec!["5".to_owned(), "a $1 \" b".to_owned()];
    let facts = StaticFacts {
        args,
        ..StaticFacts::default()
    };
    let mut files = Files::new();
    let mut macros = MacroLibrary::new();
    let id = files.add_bytes("soup", text, false);
    let length = files.text(id).len() as u32;
    let _ = scan_index(files.text(id));
    let _ = emit_tokens(&files, id, &facts, &macros);
    let mut parsed = parse(&mut files, id, &facts, &macros);
    for d in &parsed.diagnostics {
        assert!(!d.title.is_empty() && !d.labels.is_empty(), "{d:?}");
        for label in &d.labels {
            assert!(
                label.span.file == id
                    && label.span.start <= label.span.end
                    && label.span.end <= length,
                "{d:?}"
            );
        }
    }
    let _ = parsed.diagnostics.render(&files, diag::Style::Plain);
    let printed = print::print(&parsed.file);
    if parsed.diagnostics.is_empty() {
        let again = files.add("printed", printed.as_str(), false);
        let mut second = parse(&mut files, again, &facts, &macros);
        ast::strip_spans(&mut parsed.file);
        ast::strip_spans(&mut second.file);
        assert!(parsed.file == second.file, "another tree after\n{printed}");
    }
    let library = files.add_bytes("soup.stpm", text, true);
    let _ = add_macros(&files, library, &facts, &mut macros);
}

fn token_soup(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut out = String::new();
    for _ in 0..length {
        out.push_str(rng.pick::<&str>(&TOKENS));
        if !rng.chance(4) {
            out.push(if rng.chance(6) { '\n' } else { ' ' });
        }
    }
    out.into_bytes()
}

/// Damages a script: bytes changed, runs removed, repeated or moved, tokens put in.
fn damage(rng: &mut Rng, script: &[u8]) -> Vec<u8> {
    let mut out = script.to_vec();
    for _ in 0..=rng.below(4) {
        if out.is_empty() {
            break;
        }
        let at = rng.below(out.len());
        let end = (at + rng.below(40)).min(out.len());
        match rng.below(5) {
            0 => out[at] = rng.next() as u8,
            1 => drop(out.drain(at..end)),
            2 => {
                let run = out[at..end].to_vec();
                let to = rng.below(out.len());
                out.splice(to..to, run);
            }
            3 => out.truncate(at),
            _ => {
                let token = *rng.pick(&TOKENS);
                out.splice(at..at, token.bytes());
            }
        }
    }
    out
}

/// Scripts to damage: the golden inputs, and SystemTap's examples where they are installed.
fn scripts() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/parse"),
        Path::new("/usr/share/systemtap/examples").to_owned(),
    ];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rtp" || e == "stp") {
                found.extend(std::fs::read(&path).ok().filter(|text| text.len() < 20_000));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "the golden inputs are missing");
    found
}

#[test]
fn garbage_is_digested() {
    let seconds = std::env::var("RTAP_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(seconds);
    let scripts = scripts();
    let mut seed = if seconds > 0 {
        std::process::id().into()
    } else {
        0
    };
    let mut ran = 0;
    while ran < 1500 || Instant::now() < until {
        seed += 1;
        let mut rng = Rng(seed);
        let text = match rng.below(4) {
            0 => (0..rng.below(300)).map(|_| rng.next() as u8).collect(),
            1 => {
                let length = rng.below(300);
                token_soup(&mut rng, length)
            }
            2 => {
                let length = rng.below(12);
                let mut text = b"probe begin { ".to_vec();
                text.extend(token_soup(&mut rng, length));
                text.extend(b" x = 1 }\nprobe end { y = 2 }\n");
                text
            }
            _ => {
                let script = rng.pick(&scripts).clone();
                damage(&mut rng, &script)
            }
        };
        let begun = Instant::now();
        let result = std::panic::catch_unwind(|| digest(&text));
        let took = begun.elapsed();
        assert!(
            result.is_ok(),
            "seed {seed}:\n{}",
            String::from_utf8_lossy(&text)
        );
        assert!(
            took < Duration::from_secs(5),
            "seed {seed} took {took:?}:\n{}",
            String::from_utf8_lossy(&text)
        );
        ran += 1;
    }
    println!("{ran} inputs");
}

/// Inputs that are easy to make slow or deep. Bounds are generous: this runs unoptimised on busy machines.
#[test]
fn extreme_inputs_take_bounded_time() {
    let mib = 1 << 20;
    let inputs: Vec<(&str, String)> = vec![
        (
            "parentheses",
            "probe begin { x = ".to_owned() + &"(".repeat(100_000),
        ),
        (
            "closed parentheses",
            format!(
                "probe begin {{ x = {}1{} }}",
                "(".repeat(100_000),
                ")".repeat(100_000)
            ),
        ),
        ("braces", "probe begin ".to_owned() + &"{".repeat(100_000)),
        (
            "closed braces",
            format!("probe begin {}{}", "{".repeat(100_000), "}".repeat(100_000)),
        ),
        (
            "brackets",
            "probe begin { x".to_owned() + &"[".repeat(100_000),
        ),
        (
            "unary",
            "probe begin { x = ".to_owned() + &"!".repeat(100_000),
        ),
        (
            "chain",
            "probe begin { x = 1".to_owned() + &" + 1".repeat(100_000) + " }",
        ),
        (
            "assignments",
            "probe begin { ".to_owned() + &"x = ".repeat(100_000) + "1 }",
        ),
        (
            "ternaries",
            "probe begin { x = ".to_owned() + &"a ? b : ".repeat(100_000) + "1 }",
        ),
        (
            "ifs",
            "probe begin { ".to_owned() + &"if (x) ".repeat(100_000) + "y }",
        ),
        (
            "else ifs",
            "probe begin { if (x) y ".to_owned() + &"else if (x) y ".repeat(100_000) + "}",
        ),
        (
            "members",
            "probe begin { $x".to_owned() + &"->y".repeat(100_000) + " }",
        ),
        ("point braces", "probe ".to_owned() + &"a.{".repeat(100_000)),
        ("conditionals", "%( 1 == 1 %? ".repeat(50_000)),
        ("skipped conditionals", "%( 1 == 2 %? ".repeat(50_000)),
        ("one line of bytes", "a".repeat(mib)),
        ("quotes", "\"".repeat(mib)),
        ("backslashes", "\"".to_owned() + &"\\".repeat(mib)),
        ("bad characters", "\u{1}`".repeat(mib / 4)),
        ("lone ats", "@ ".repeat(mib / 4)),
        ("comment openers", "/*".repeat(mib / 2)),
        ("embedded openers", "%{".repeat(mib / 2)),
        ("arguments", "$1 ".repeat(mib / 8)),
        ("missing arguments", "$9 ".repeat(mib / 8)),
        ("unknown macros", "@foo(".repeat(mib / 16)),
        (
            "items",
            "probe probe function global private ".repeat(mib / 64),
        ),
        (
            "errors in one item",
            "probe begin { ".to_owned() + &"x = = 1; ".repeat(mib / 16),
        ),
        (
            "errors in many items",
            "probe begin { x = = 1 }\n".repeat(mib / 32),
        ),
        (
            "open heads",
            "probe begin { ".to_owned() + &"f(a b; ".repeat(mib / 16),
        ),
        ("closers", ")]}".repeat(mib / 8)),
        (
            "macro uses",
            "@define m %( a %) probe begin { ".to_owned() + &"@m ".repeat(mib / 8) + "}",
        ),
        (
            "macro arguments",
            "@define m(x) %( @x %) ".to_owned() + &"@m(".repeat(20_000),
        ),
        (
            "nested macro uses",
            format!(
                "@define m(x) %( @x %) x = {}1{}",
                "@m(".repeat(2000),
                ")".repeat(2000)
            ),
        ),
    ];
    for (name, text) in inputs {
        let begun = Instant::now();
        digest(text.as_bytes());
        let took = begun.elapsed();
        println!("{name}: {} KiB in {took:?}", text.len() / 1024);
        assert!(took < Duration::from_secs(20), "{name} took {took:?}");
    }
}
