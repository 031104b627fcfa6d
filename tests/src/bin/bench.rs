//! The benches, see [`rtap_tests::bench`].

use anyhow::Result;
use clap::Parser;
use rtap_tests::bench::{Peers, compiling, event_cost, printing, sorting, startup};

/// Compares rtap, bpftrace and C by hand: start-up, cost per event, printing, sorting, compiling.
#[derive(Debug, Parser)]
struct Options {
    /// Measurements of each value, of which the median is shown.
    #[arg(short, long, default_value_t = 5)]
    repetitions: usize,
    /// Only `startup`, `events`, `printing`, `sorting` or `compiling`.
    #[arg(short, long)]
    only: Option<String>,
    /// Leaves out what takes half a minute: bpftrace attaching every system call.
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let peers = Peers::prepare()?;
    let wanted = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    for remark in peers.remarks() {
        println!("{remark}");
    }
    println!();
    if wanted("startup") {
        println!(
            "{}",
            startup::measure(&peers, options.repetitions, !options.quick)?
        );
    }
    if wanted("events") {
        let (time, insns) = event_cost::measure(&peers, options.repetitions)?;
        println!("{time}\n{insns}");
    }
    if wanted("printing") {
        println!("{}", printing::measure(&peers, options.repetitions));
    }
    if wanted("sorting") {
        println!("{}", sorting::measure(&peers, options.repetitions));
    }
    if wanted("compiling") {
        println!("{}", compiling::measure(&peers, options.repetitions)?);
    }
    Ok(())
}
