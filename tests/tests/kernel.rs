//! The kernel tests, `tests/kernel/*.test`, on this machine and on every kernel of the matrix.
//!
//! `cargo test -p rtap-tests --test kernel -- --kernel host,6.1 NAME` runs those whose name contains NAME.
//! `docs/kernels.md` tells more.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use rtap_tests::kernel::{Case, runner};
use rtap_tests::paths;
use rtap_tests::vm::{MATRIX, agent};

/// Runs the kernel tests.
#[derive(Debug, Parser)]
struct Options {
    /// Runs the tests whose name contains one of these.
    names: Vec<String>,
    /// Where, separated by commas: `host`, versions of the matrix, or `all`.
    #[arg(short, long, default_value_t = default_kernels())]
    kernel: String,
    /// Tests cargo's debug build of rtap instead of the release build.
    #[arg(long)]
    debug: bool,
    /// Lists the tests and runs none.
    #[arg(long)]
    list: bool,
    /// The names must match wholly.
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    ignored: Ignored,
}

/// Options of Rust's own test harness, which `cargo test -- …` gives to every test target.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "the options have these names")]
struct Ignored {
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    test_threads: Option<u32>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
}

/// `RTAP_TEST_KERNELS`, or all.
fn default_kernels() -> String {
    std::env::var("RTAP_TEST_KERNELS").unwrap_or_else(|_| "all".to_owned())
}

fn main() -> Result<ExitCode> {
    agent::run_if_asked();
    let options = Options::parse();
    let mut cases = Case::all(&paths::workspace().join("tests/kernel"))?;
    cases.retain(|case| options.selects(&case.name));
    if options.list {
        for case in &cases {
            println!("{}: test", case.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let places = places(&options.kernel)?;
    if cases.is_empty() {
        println!("\nkernel: 0 passed, 0 failed, 0 skipped");
        return Ok(ExitCode::SUCCESS);
    }
    let rtap = paths::build_rtap(options.debug)?;
    let report = runner::run(&cases, &places, &rtap)?;
    println!("\n{report}");
    let (_, failed, _) = report.counts();
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Options {
    fn selects(&self, name: &str) -> bool {
        let fits = |wanted: &String| {
            if self.exact {
                name == wanted
            } else {
                name.contains(wanted.as_str())
            }
        };
        (self.names.is_empty() || self.names.iter().any(fits))
            && !self.ignored.skip.iter().any(fits)
            && !self.ignored.ignored
    }
}

fn places(wanted: &str) -> Result<Vec<String>> {
    let known: Vec<String> = std::iter::once("host")
        .chain(MATRIX.iter().map(|k| k.version))
        .map(str::to_owned)
        .collect();
    if wanted == "all" {
        return Ok(known);
    }
    let places: Vec<String> = wanted.split(',').map(str::to_owned).collect();
    for place in &places {
        ensure!(
            known.contains(place),
            "there is no kernel {place}; there are {}",
            known.join(", ")
        );
    }
    Ok(places)
}
