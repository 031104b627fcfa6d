//! Processor time and memory of compiling: what a script costs before anything is loaded (`rtap run -p4`).

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::peers::{Peer, Peers, Usage};
use super::table::{Cell, Table, median};
use crate::generate::large;

const KERNEL: &str = "kernel.trace(\"raw_syscalls:sys_enter\")";
/// Where statements are spread over many handlers.
const SPREAD: [&str; 5] = [
    KERNEL,
    "kernel.trace(\"raw_syscalls:sys_exit\")",
    "kernel.trace(\"sched_switch\")",
    "kernel.trace(\"sched_wakeup\")",
    "kernel.trace(\"sched_process_exit\")",
];
const STRACE: &str = "probe syscall.* { printf(\"%s(%s)\\n\", name, argstr) }\n";

/// Measures each script `repetitions` times. The others have no such scripts.
pub fn measure(peers: &Peers, repetitions: usize) -> Result<Table> {
    let mut table = Table::new("compiling");
    for (name, title, text) in [
        (
            "user-1000",
            "1,000 statements, begin",
            large(1000, &["begin"]),
        ),
        (
            "user-5000",
            "5,000 statements, begin",
            large(5000, &["begin"]),
        ),
        (
            "kernel-250",
            "250 statements, kernel handler",
            large(250, &[KERNEL]),
        ),
        (
            "kernel-1000",
            "1,000 statements, kernel handler",
            large(1000, &[KERNEL]),
        ),
        (
            "many-1000",
            "1,000 statements, 100 kernel handlers",
            large(1000, &[SPREAD; 20].concat()),
        ),
        ("strace", "strace in one line", STRACE.to_owned()),
    ] {
        let script = peers.scratch(&format!("{name}.rtp"));
        fs::write(&script, text)?;
        let samples: Result<Vec<Usage>, String> = (0..repetitions)
            .map(|_| once(peers, &script.to_string_lossy()))
            .collect();
        let cells = |pick: fn(&Usage) -> f64| {
            Peer::ALL.map(|peer| match (&samples, peer) {
                (_, Peer::C | Peer::CLikeRtap | Peer::Bpftrace) => Cell::Missing("-".to_owned()),
                (Ok(samples), Peer::Rtap) => Cell::Number(median(samples.iter().map(pick))),
                (Err(why), Peer::Rtap) => Cell::Missing(why.clone()),
            })
        };
        table.row(
            &format!("{title}: CPU ms"),
            cells(|usage| usage.cpu_ns / 1e6).to_vec(),
        );
        table.row(
            &format!("{title}: peak MiB"),
            cells(|usage| usage.peak_kib / 1024.0).to_vec(),
        );
    }
    Ok(table)
}

fn once(peers: &Peers, script: &str) -> Result<Usage, String> {
    let rtap = peers.command(Peer::Rtap, "hello")?.swap_remove(0);
    let measured = || -> Result<Usage> {
        let report = peers.scratch("compiling.usage");
        let image = peers.scratch("compiled.o").to_string_lossy().into_owned();
        let argv = ["run", "-p4", "-w", "-o", &image, script].map(str::to_owned);
        let argv = peers.measured(&[vec![rtap.clone()], argv.to_vec()].concat(), &report);
        let (program, args) = argv.split_first().context("no command")?;
        let output = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{}",
            said.lines().next().unwrap_or_default()
        );
        Usage::read(&report)
    };
    measured().map_err(|error| format!("{error:#}"))
}
