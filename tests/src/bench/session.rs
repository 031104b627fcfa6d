//! A tracer that runs: its programs in the kernel, found by what is new there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::programs::{ProgramInfo, loaded_programs};
use rustix::process::{Pid, Signal, kill_process};

use super::peers::{Peers, Usage};

/// A running tracer.
#[derive(Debug)]
pub struct Session {
    child: Child,
    report: PathBuf,
    /// The program that runs at each system call.
    program: u32,
}

/// What a program has done so far.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    /// Time in the program, in nanoseconds.
    pub run_time_ns: f64,
    /// Runs.
    pub runs: f64,
    /// Instructions, as the verifier left them.
    pub insns: f64,
}

impl Session {
    /// Starts a tracer and waits until one of its programs is being run. Statistics of
    /// programs must be enabled.
    pub fn start(peers: &Peers, argv: &[String], stdout: Stdio) -> Result<Self> {
        let before: BTreeSet<u32> = programs().iter().map(ProgramInfo::id).collect();
        let report = peers.scratch("session.usage");
        let argv = peers.measured(argv, &report);
        let (program, args) = argv.split_first().context("no command")?;
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null());
        let mut session = Self {
            child: command.spawn()?,
            report,
            program: 0,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            sleep(Duration::from_millis(50));
            if let Some(status) = session.child.try_wait()? {
                bail!("it ended early, with {status}");
            }
            let busiest = programs()
                .into_iter()
                .filter(|info| !before.contains(&info.id()))
                .max_by_key(ProgramInfo::run_count);
            if let Some(info) = busiest.filter(|info| info.run_count() > 100) {
                session.program = info.id();
                return Ok(session);
            }
            // For its program to run.
            for _ in 0..1000 {
                let _ = rustix::process::getppid();
            }
        }
        bail!("none of its programs is run")
    }

    /// Its standard output, if that is piped.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The counters of its program.
    pub fn counters(&self) -> Result<Counters> {
        let info = programs()
            .into_iter()
            .find(|info| info.id() == self.program)
            .context("its program is gone")?;
        Ok(Counters {
            run_time_ns: info.run_time().as_nanos() as f64,
            runs: info.run_count() as f64,
            insns: f64::from(info.size_translated().unwrap_or(0)) / 8.0,
        })
    }

    /// Interrupts it and waits for its end.
    pub fn stop(mut self) -> Result<Usage> {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("it does not end when interrupted");
            }
            sleep(Duration::from_millis(5));
        }
        Usage::read(&self.report)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
            sleep(Duration::from_millis(500));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// All programs in the kernel; those that vanish meanwhile are left out.
fn programs() -> Vec<ProgramInfo> {
    loaded_programs().flatten().collect()
}
