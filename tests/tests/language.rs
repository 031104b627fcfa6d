//! The examples of docs/language.md: each is run by the interpreter and, its `begin` handlers as eBPF, by
//! the kernel, and prints what stands below it. `RTAP_BLESS=1` writes that into the page.
//!
//! Words behind ```` ```rtap ````: `user`, only user space can do it; `check`, it is compiled only;
//! `error=CODE`, it is refused with this code; `kernel=CODE`, the kernel's executor refuses it so; `args=…` and `options=…`, of the command line, between commas.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use rtap::host::Rights;
use rtap_tests::page::{self, Example};
use rtap_tests::paths;
use rtap_tests::scratch::Scratch;

#[test]
fn examples_do_what_the_page_says() {
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let path = paths::workspace().join("docs/language.md");
    let mut text = fs::read_to_string(&path).expect("the page can be read");
    let bless = std::env::var_os("RTAP_BLESS").is_some_and(|v| v == "1");
    let kernel = Rights::of_self().missing_for_tracing().is_empty();
    if !kernel {
        println!("SKIPPED in the kernel: needs root; the interpreter alone is tested");
    }
    let examples = page::examples(&text);
    let scratch = Scratch::new("language").expect("a directory can be made");
    assert!(examples.len() > 40, "the page has lost its examples");
    let mut failures = String::new();
    // From the end, so that places stay what they are.
    for example in examples.iter().rev() {
        let got = run(&rtap, example, false, &scratch);
        let everywhere = !["user", "check"].iter().any(|word| example.has(word));
        if kernel && everywhere && example.value("error").is_none() {
            let in_kernel = run(&rtap, example, true, &scratch);
            let as_said = match example.value("kernel") {
                Some(code) => in_kernel.contains(code),
                None => in_kernel == got,
            };
            if !as_said {
                let line = example.line;
                let _ = writeln!(
                    failures,
                    "line {line}, user space:\n{got}kernel:\n{in_kernel}"
                );
            }
        }
        let accepted = match &example.output {
            Some((want, place)) => {
                if bless {
                    text.replace_range(place.clone(), &got);
                }
                bless || got == *want
            }
            None => example.has("check") && got.is_empty(),
        };
        let code = example.value("error");
        if !accepted || code.is_some_and(|code| !got.contains(code)) {
            let line = example.line;
            let _ = writeln!(failures, "line {line} prints:\n{got}");
        }
    }
    if bless {
        fs::write(&path, text).expect("the page can be written");
    }
    assert!(failures.is_empty(), "docs/language.md:\n{failures}");
}

/// What an example prints, then its messages.
fn run(rtap: &Path, example: &Example, in_kernel: bool, directory: &Path) -> String {
    fs::write(directory.join("language.rtp"), &example.script).expect("a file can be written");
    let mut command = Command::new(rtap);
    if example.has("check") {
        command.arg("check");
    } else {
        // `-E` adds the end.
        let end = "probe timer.ms(1) { exit() }";
        command.args(["run", "-w", "--trace-self", "-E", end]);
    }
    if in_kernel {
        command.arg("--begin-in-kernel");
    }
    let output = command
        .args(example.items("options"))
        .arg("language.rtp")
        .args(example.items("args"))
        .current_dir(directory)
        .output()
        .expect("rtap runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
