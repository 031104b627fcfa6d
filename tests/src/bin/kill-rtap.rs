//! Kills rtap at random moments: `kill-rtap --times 100 --seed 0`.
//!
//! Prints when it was, and what stayed behind. See `rtap_tests::kill`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use rtap_tests::{kill, paths};

/// Kills rtap at random moments and looks for what it leaves behind.
#[derive(Debug, Parser)]
struct Options {
    /// How often.
    #[arg(short, long, default_value_t = 100)]
    times: u64,
    /// The first one's seed; the others follow.
    #[arg(short, long, default_value_t = 0)]
    seed: u64,
    /// How much longer everything takes here: more under emulation.
    #[arg(long, default_value_t = 1)]
    slowness: u32,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let rtap = paths::rtap().context("rtap is not built: cargo build --release -p rtap")?;
    let mut moments = BTreeMap::new();
    let mut faults = 0;
    let end = options.seed + options.times;
    for seed in options.seed..end {
        let killed = kill::once(&rtap, seed, options.slowness)?;
        *moments.entry(killed.moment).or_insert(0) += 1;
        if !killed.left.is_empty() {
            faults += 1;
            println!("seed {seed}, {}, {}:", killed.plan, killed.moment);
            for line in killed.left {
                println!("    {line}");
            }
        }
    }
    let moments: Vec<String> = moments
        .iter()
        .map(|(moment, n)| format!("{n} {moment}"))
        .collect();
    println!(
        "seeds {}..{end}: killed {}; left something: {faults}",
        options.seed,
        moments.join(", ")
    );
    Ok(ExitCode::from(u8::from(faults != 0)))
}
