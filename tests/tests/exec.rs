//! Execution: `tests/golden/exec`. Each script's `begin` handlers are run by the interpreter and, as
//! eBPF programs, by the kernel (`rtap run --begin-in-kernel`, by `BPF_PROG_TEST_RUN`), as one function each, divided
//! into many, and made flat. All must print the same, end with the same status, and print what the golden file says.
//!
//! `//# executor: user` marks what kernel handlers cannot do: only the interpreter runs it. `//# flat: too large` marks what
//! is short, but too much for a verifier when it is made flat, `//# flat: yes` what is known to cost less flat: elsewhere code may
//! be the same as without. `//# options: …` and `//# args: …` are of the command line, one a line. Runs on this machine's kernel, as root; elsewhere it says so and compares the interpreter's output alone.

use std::path::Path;
use std::process::Command;

use rtap::host::Rights;
use rtap_tests::golden::{self, Case};
use rtap_tests::paths;

/// Options with which handlers are made flat if that costs less at all.
const FLAT: &[&str] = &["--begin-in-kernel", "--program-cost=1"];

#[test]
fn both_executors_agree() {
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let kernel = Rights::of_self().missing_for_tracing().is_empty();
    if !kernel {
        println!("SKIPPED in the kernel: needs root; the interpreter alone is tested");
    }
    golden::check("exec", |case| {
        let interpreted = run(&rtap, case, &[]);
        if kernel && case.directive("executor").as_deref() != Some("user") {
            let flat = case.directive("flat");
            let mut ways = vec![
                &["--begin-in-kernel"][..],
                &["--begin-in-kernel", "--part-insns=20"],
            ];
            if flat.as_deref() != Some("too large") {
                ways.push(FLAT);
            }
            if flat.as_deref() == Some("yes") {
                assert!(is_made_flat(&rtap, case), "{}: not flat", case.name);
            }
            for options in ways {
                let in_kernel = run(&rtap, case, options);
                assert_eq!(
                    interpreted, in_kernel,
                    "{}: interpreter (left) and kernel (right, {options:?}) differ",
                    case.name
                );
            }
        }
        interpreted
    });
}

/// Were `begin` handlers not to run in the kernel, the test above would compare the interpreter with
/// itself: what only user space can do is refused there.
#[test]
fn begin_handlers_run_in_the_kernel() {
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let script = r#"probe begin { if (usymname(1) == "x") exit() } probe timer.ms(1) { exit() }"#;
    let run = |options: &[&str]| {
        Command::new(&rtap)
            .args(["run", "-w", "-p4", "-e", script])
            .args(options)
            .current_dir(std::env::temp_dir())
            .output()
            .expect("rtap runs")
    };
    assert!(run(&[]).status.success());
    let refused = run(&["--begin-in-kernel"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("E0701"));
}

/// A handler of thousands of instructions becomes many functions, and does the same.
#[test]
fn long_handlers_run_in_the_kernel() {
    if !Rights::of_self().missing_for_tracing().is_empty() {
        println!("SKIPPED: needs root");
        return;
    }
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let mut script = "global n, s, t\nprobe begin {\n".to_owned();
    for i in 0..1000 {
        script += &format!(
            "n[{}, {}] += {i} s[execname(), {i}] = n[{i}, 0]\n",
            i % 50,
            i % 7
        );
        if i % 20 == 0 {
            script += &format!("for (i = 0; i < 3; i++) t .= \"{}\"\n", i % 9);
        }
    }
    script += "foreach ([i, j] in n) sum += n[i, j] * (i * 7 + j)\nprintln(sum, \" \", s[execname(), 49], t)\n}\n";
    let run = |options: &[&str]| {
        let output = Command::new(&rtap)
            .args(["run", "-w", "--trace-self", "-T", "1", "-e", &script])
            .args(options)
            .output()
            .expect("rtap runs");
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let interpreted = run(&[]);
    assert!(interpreted[0].contains(" 49000222"), "{interpreted:?}");
    assert_eq!(interpreted, run(&["--begin-in-kernel"]));
}

/// Whether some program of a case is flat with [`FLAT`].
fn is_made_flat(rtap: &Path, case: &Case) -> bool {
    let code = run(rtap, case, &[FLAT, &["--emit=bpf"]].concat());
    code.contains(", flat):")
}

/// Output, errors and status of a run.
fn run(rtap: &Path, case: &Case, options: &[&str]) -> String {
    let mut command = Command::new(rtap);
    // `-E` adds the end, so that cases are nothing but their `begin` handlers.
    command.args([
        "run",
        "-w",
        "--trace-self",
        "-E",
        "probe timer.ms(1) { exit() }",
    ]);
    let directory = case.path.parent().expect("a case lies in a folder");
    let output = command
        .args(options)
        .args(case.directives("options"))
        .arg(case.file_name())
        .args(case.directives("args"))
        .current_dir(directory)
        .output()
        .expect("rtap runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = output
        .status
        .code()
        .map_or("killed".to_owned(), |code| code.to_string());
    format!(
        "{}{}status {status}\n",
        text(&output.stdout),
        text(&output.stderr)
    )
}
