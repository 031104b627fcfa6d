//! Kills rtap at random moments and looks for what stays behind: see [`once`].
//!
//! The binary `kill-rtap` does it as often as wanted, on this machine and in VMs.

mod left;
mod plan;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::generate::Random;
use crate::scratch::Scratch;
use left::Before;
pub use plan::PLANS;

/// What rtap was doing when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Compiling, loading or attaching.
    Starting,
    /// Its `begin` handler had run.
    Running,
    /// It had been interrupted, and was detaching or printing the last.
    Ending,
    /// It was over before.
    Over,
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Moment::Starting => "while starting",
            Moment::Running => "while running",
            Moment::Ending => "while ending",
            Moment::Over => "too late",
        })
    }
}

/// A run that was killed.
#[derive(Debug)]
pub struct Killed {
    /// What was run, of [`PLANS`].
    pub plan: &'static str,
    /// When.
    pub moment: Moment,
    /// What stays behind, a line each.
    pub left: Vec<String>,
}

/// Runs rtap with the script, and kills it at the moment, that a seed chooses; waits until nothing is left of it, or
/// for too long. `slowness`: how much longer everything takes than on an idle machine of today.
pub fn once(rtap: &Path, seed: u64, slowness: u32) -> Result<Killed> {
    let mut random = Random::new(seed);
    let (plan, arguments) = PLANS[random.below(PLANS.len())];
    let scratch = Scratch::new(&format!("kill-{seed}"))?;
    let mark = format!("RTAP_KILL={}-{seed}", std::process::id());
    let before = Before::now()?;
    let (name, value) = mark.split_once('=').context("a name")?;
    let mut command = Command::new(rtap);
    command
        .args(arguments)
        .env(name, value)
        .env("TMPDIR", &*scratch)
        .env("HOME", &*scratch)
        .env("XDG_CACHE_HOME", &*scratch)
        .current_dir(&*scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    let output = child.stdout.take().context("a pipe")?;
    let ready = Arc::new(AtomicBool::new(false));
    let reader = thread::spawn({
        let ready = Arc::clone(&ready);
        move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if line == b"ready" {
                    ready.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    let pid = Pid::from_child(&child);
    if random.one_in(2) {
        let patience = Instant::now() + Duration::from_secs(5) * slowness;
        while !ready.load(Ordering::Relaxed) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }
    wait(&mut random, 13, slowness);
    let was_ready = ready.load(Ordering::Relaxed);
    let interrupted = random.one_in(3);
    if interrupted {
        kill_process(pid, Signal::INT)?;
        wait(&mut random, 9, slowness);
    }
    let over = child.try_wait()?.is_some();
    if !over {
        kill_process(pid, Signal::KILL)?;
    }
    child.wait()?;
    let after = before.until_now()?;
    // What it started reads to the end of its own output.
    let left = after.left(&mark, &scratch, Duration::from_secs(30) * slowness)?;
    if left.is_empty() {
        // The last writer of its output is gone.
        let _ = reader.join();
    }
    let moment = match (over, interrupted, was_ready) {
        (true, ..) => Moment::Over,
        (_, true, true) => Moment::Ending,
        (_, _, true) => Moment::Running,
        _ => Moment::Starting,
    };
    Ok(Killed { plan, moment, left })
}

/// Waits for a moment, at most 200 µs doubled so many times: short ones are as likely as long ones.
fn wait(random: &mut Random, doublings: usize, slowness: u32) {
    let scale = 1_u64 << random.below(doublings);
    let micros = scale * (100 + random.below(100) as u64);
    thread::sleep(Duration::from_micros(micros) * slowness);
}

/// The lines of a file, none if it cannot be read.
fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let file = File::open(path);
    let lines = file.map(|file| BufReader::new(file).lines().map_while(Result::ok).collect());
    lines.unwrap_or_default()
}
