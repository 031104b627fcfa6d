//! Wall time and peak memory: of saying hello, and of attaching every system call.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::peers::Usage;
use super::table::{Cell, Table, median};
use super::{Peer, Peers};

/// Measures both with every tracer. A slow tracer is not waited for more than twice.
pub fn measure(peers: &Peers, repetitions: usize, slow_ones: bool) -> Result<Table> {
    let mut table = Table::new("start-up");
    for (scenario, title) in [
        ("hello", "hello"),
        ("syscalls", "attach every system call, and end"),
    ] {
        let mut samples: [Vec<Usage>; Peer::ALL.len()] = Default::default();
        let mut failures: [Option<String>; Peer::ALL.len()] = Default::default();
        for _ in 0..repetitions {
            for ((peer, samples), failure) in Peer::ALL.iter().zip(&mut samples).zip(&mut failures)
            {
                if failure.is_some() || samples.last().is_some_and(|usage| usage.wall_ns > 5e9) {
                    continue;
                }
                if !slow_ones && scenario == "syscalls" && *peer == Peer::Bpftrace {
                    *failure = Some("left out".to_owned());
                    continue;
                }
                match once(peers, *peer, scenario) {
                    Ok(usage) => samples.push(usage),
                    Err(why) => *failure = Some(why),
                }
            }
        }
        let cells = |pick: fn(&Usage) -> f64| {
            let cells = samples
                .iter()
                .zip(&failures)
                .map(|(samples, failure)| match failure {
                    Some(why) => Cell::Missing(why.clone()),
                    None => Cell::Number(median(samples.iter().map(pick))),
                });
            cells.collect::<Vec<_>>()
        };
        table.row(
            &format!("{title}: wall ms"),
            cells(|usage| usage.wall_ns / 1e6),
        );
        table.row(
            &format!("{title}: CPU ms"),
            cells(|usage| usage.cpu_ns / 1e6),
        );
        table.row(
            &format!("{title}: peak MiB"),
            cells(|usage| usage.peak_kib / 1024.0),
        );
    }
    Ok(table)
}

fn once(peers: &Peers, peer: Peer, scenario: &str) -> Result<Usage, String> {
    let argv = peers.command(peer, scenario)?;
    let measured = || -> Result<Usage> {
        let report = peers.scratch("startup.usage");
        let argv = peers.measured(&argv, &report);
        let (program, args) = argv.split_first().context("no command")?;
        let mut command = Command::new(program);
        let status = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "{status}");
        Usage::read(&report)
    };
    measured().map_err(|error| format!("{error:#}"))
}
