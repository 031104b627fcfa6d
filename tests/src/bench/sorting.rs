//! A user-side `foreach` that sorts: the largest few of many elements of a map. The script says how long it took.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::table::{Cell, Table, median};
use super::{Peer, Peers};

/// Runs the script `repetitions` times. The others have no such statement.
pub fn measure(peers: &Peers, repetitions: usize) -> Table {
    let mut table = Table::new("foreach, in user space");
    let samples: Result<Vec<f64>, String> = (0..repetitions).map(|_| once(peers)).collect();
    let cells = Peer::ALL.map(|peer| match (&samples, peer) {
        (_, Peer::C | Peer::CLikeRtap | Peer::Bpftrace) => Cell::Missing("-".to_owned()),
        (Ok(samples), Peer::Rtap) => Cell::Number(median(samples.iter().copied())),
        (Err(why), Peer::Rtap) => Cell::Missing(why.clone()),
    });
    table.row("the ten largest of 100,000, ms", cells.to_vec());
    table
}

/// The median of what one run says, in milliseconds.
fn once(peers: &Peers) -> Result<f64, String> {
    let argv = peers.command(Peer::Rtap, "foreach")?;
    let measured = || -> Result<f64> {
        let (program, args) = argv.split_first().context("no command")?;
        let output = Command::new(program)
            .args(args)
            // The array is filled in one run of a handler.
            .arg("-DMAXACTION_INTERRUPTIBLE=1000000")
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{}",
            said.lines().next().unwrap_or_default()
        );
        let text = String::from_utf8_lossy(&output.stdout);
        let took = text.lines().filter_map(|line| line.parse::<f64>().ok());
        Ok(median(took) / 1e3)
    };
    measured().map_err(|error| format!("{error:#}"))
}
