//! Printed events: how many a second arrive, at what cost, and how many are lost, when a
//! process makes them as fast as it can.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};

use super::event_cost::load;
use super::session::Session;
use super::table::{Cell, Table, median};
use super::{Peer, Peers};

/// Events made, each of which should be printed.
const EVENTS: u64 = 1_000_000;

struct Sample {
    per_second: f64,
    lost_percent: f64,
    cpu_us_per_event: f64,
}

/// Measures every tracer, in turn, `repetitions` times.
pub fn measure(peers: &Peers, repetitions: usize) -> Table {
    let mut samples: [Vec<Sample>; Peer::ALL.len()] = Default::default();
    let mut failures: [Option<String>; Peer::ALL.len()] = Default::default();
    for _ in 0..repetitions {
        for ((peer, samples), failure) in Peer::ALL.iter().zip(&mut samples).zip(&mut failures) {
            if failure.is_none() {
                match once(peers, *peer) {
                    Ok(sample) => samples.push(sample),
                    Err(why) => *failure = Some(why),
                }
            }
        }
    }
    let mut table = Table::new("printing a line per event, a million as fast as they can be made");
    let mut row = |title: &str, pick: fn(&Sample) -> f64| {
        let cells = samples
            .iter()
            .zip(&failures)
            .map(|(samples, failure)| match failure {
                Some(why) => Cell::Missing(why.clone()),
                None => Cell::Number(median(samples.iter().map(pick))),
            });
        table.row(title, cells.collect());
    };
    row("thousand lines a second", |sample| sample.per_second / 1e3);
    row("lost %", |sample| sample.lost_percent);
    row("CPU of the tracer, µs per line", |sample| {
        sample.cpu_us_per_event
    });
    table
}

fn once(peers: &Peers, peer: Peer) -> Result<Sample, String> {
    let argv = peers.command(peer, "print")?;
    let measured = || -> Result<Sample> {
        // Only to find the tracer's program; it would slow the events down.
        let enabled = enable_stats(Stats::RunTime)?;
        let mut session = Session::start(peers, &argv, Stdio::piped())?;
        drop(enabled);
        let output = session.stdout().context("no output")?;
        let lines = Arc::new(AtomicU64::new(0));
        let last = Arc::new(Mutex::new(Instant::now()));
        let (counted, latest) = (Arc::clone(&lines), Arc::clone(&last));
        let reader = thread::spawn(move || {
            // Big pieces, so that reading costs little.
            let mut output = BufReader::with_capacity(1 << 20, output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                // Those made to find the program have another name.
                if line.windows(10).any(|window| window == b" workload ") {
                    let n = counted.fetch_add(1, Ordering::Relaxed);
                    if n.is_multiple_of(1024) {
                        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    }
                }
                line.clear();
            }
        });
        let started = Instant::now();
        load(&EVENTS.to_string())?;
        // Until nothing more comes.
        let mut seen = u64::MAX;
        while seen != lines.load(Ordering::Relaxed) {
            seen = lines.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(500));
        }
        let usage = session.stop()?;
        // It has ended, so that the pipe has too.
        let _ = reader.join();
        let lines = lines.load(Ordering::Relaxed) as f64;
        let busy = last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saturating_duration_since(started);
        Ok(Sample {
            per_second: lines / busy.as_secs_f64().max(1e-9),
            lost_percent: 100.0 * (1.0 - lines / EVENTS as f64),
            cpu_us_per_event: usage.cpu_ns / 1e3 / lines.max(1.0),
        })
    };
    measured().map_err(|error| format!("{error:#}"))
}
