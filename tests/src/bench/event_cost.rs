//! Nanoseconds and instructions per event, as the kernel counts them (`bpf_stats`).

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use aya::sys::{Stats, enable_stats};

use super::session::Session;
use super::table::{Cell, Table, median};
use super::{Peer, Peers};
use crate::paths;

/// What is counted; the files in `tests/bench` have these names.
const SCENARIOS: [(&str, &str); 7] = [
    ("empty", "empty program"),
    ("count", "count"),
    ("pid", "count per pid"),
    ("comm", "count per comm"),
    ("hist", "histogram (log2)"),
    ("stats", "count, sum, min, max"),
    ("fields", "ten members of structures"),
];

/// System calls made for each measurement.
const LOAD: &str = "1000000";

/// Measures every scenario with every tracer, in turn, `repetitions` times.
pub fn measure(peers: &Peers, repetitions: usize) -> Result<(Table, Table)> {
    let _enabled =
        enable_stats(Stats::RunTime).context("the kernel does not count the time of programs")?;
    let mut time = Table::new("ns per event, above the empty program (median)");
    let mut insns = Table::new("eBPF instructions");
    let mut floor = 0.0;
    for (scenario, title) in SCENARIOS {
        let mut samples: [Vec<(f64, f64)>; Peer::ALL.len()] = Default::default();
        let mut failures: [Option<String>; Peer::ALL.len()] = Default::default();
        for _ in 0..repetitions {
            for ((peer, samples), failure) in Peer::ALL.iter().zip(&mut samples).zip(&mut failures)
            {
                if failure.is_none() {
                    match once(peers, *peer, scenario) {
                        Ok(sample) => samples.push(sample),
                        Err(why) => *failure = Some(why),
                    }
                }
            }
        }
        let cells = |pick: fn(&(f64, f64)) -> f64, floor: f64| {
            let cells = samples
                .iter()
                .zip(&failures)
                .map(|(samples, failure)| match failure {
                    Some(why) => Cell::Missing(why.clone()),
                    None => Cell::Number(median(samples.iter().map(pick)) - floor),
                });
            cells.collect::<Vec<_>>()
        };
        if scenario == "empty" {
            floor = median(samples.iter().take(1).flatten().map(|(ns, _)| *ns));
            time.row(
                &format!("{title}: {floor:.1}, taken off below"),
                cells(|sample| sample.0, 0.0),
            );
        } else {
            time.row(title, cells(|sample| sample.0, floor));
        }
        insns.row(title, cells(|sample| sample.1, 0.0));
    }
    Ok((time, insns))
}

/// Nanoseconds per run and instructions.
fn once(peers: &Peers, peer: Peer, scenario: &str) -> Result<(f64, f64), String> {
    let argv = peers.command(peer, scenario)?;
    let measured = || -> Result<(f64, f64)> {
        let session = Session::start(peers, &argv, Stdio::null())?;
        load(LOAD)?;
        let from = session.counters()?;
        load(LOAD)?;
        let to = session.counters()?;
        session.stop()?;
        Ok((
            (to.run_time_ns - from.run_time_ns) / (to.runs - from.runs),
            to.insns,
        ))
    };
    measured().map_err(|error| format!("{error:#}"))
}

/// Makes so many system calls.
pub fn load(count: &str) -> Result<()> {
    let workload = paths::helper("workload").context("the workload binary is not built")?;
    let status = Command::new(workload)
        .args(["getppid", count])
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "the workload failed");
    Ok(())
}
