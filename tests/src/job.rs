//! Runs one command, with a time-out and perhaps a companion, and reports all that came of
//! it. The same code runs on this machine and, in the agent, inside a VM.
//!
//! A companion is the process that a tracer watches: either started once the tracer says
//! that it is ready, or started first (its PID is then known) and held back until that moment.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// Output beyond this is cut, and the result says so.
const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// What is to be run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// Program and arguments. `{pid}` in an argument becomes the PID of a companion that was
    /// started first.
    pub argv: Vec<String>,
    /// Environment variables set for all processes of the job.
    pub env: Vec<(String, String)>,
    /// Working directory; the agent's own if empty.
    pub directory: String,
    /// Killed after this time, with its children.
    pub timeout_ms: u64,
    /// The process beside it.
    pub companion: Option<Companion>,
    /// Where the job runs in a VM: its output is sent as it comes, not when it has ended. What a VM
    /// sends makes interrupts in it.
    pub live: bool,
}

/// A process that runs beside the job's command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Companion {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The command is ready when its output contains this.
    pub ready: String,
    /// Start the companion before the command, with its standard input held open and
    /// `RTAP_HOLD` set: it waits for a byte there, which it gets when the command is ready.
    pub first: bool,
    /// Send SIGINT to the command when the companion has ended.
    pub interrupt: bool,
}

/// Which of a process' outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was killed because its time was over.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

/// What came of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// How the command ended.
    pub end: End,
    /// How the companion ended.
    pub companion: Option<End>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// What the workload wrote to the file `$RTAP_FACTS`: lines `name=value`.
    pub facts: String,
    /// The kernel's complaints, if it was tainted meanwhile (a warning, an oops).
    pub kernel_complaint: Option<String>,
    /// Wall time.
    pub elapsed_ms: u64,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => write!(f, "timed out"),
            Self::NotStarted(why) => write!(f, "not started: {why}"),
        }
    }
}

enum Event {
    Output(Stream, Vec<u8>),
    Closed,
    Ended(Who, End),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Command,
    Companion,
}

/// Runs a job. `live` is given the output as it comes.
pub fn run(job: &Job, live: &mut dyn FnMut(Stream, &[u8])) -> Outcome {
    let started = Instant::now();
    let facts = std::env::temp_dir().join(format!(
        "rtap-facts.{}.{:?}",
        std::process::id(),
        thread::current().id()
    ));
    let _ = fs::remove_file(&facts);
    let taint = taint();
    let mut state = Running {
        job,
        facts: &facts,
        live,
        command: None,
        companion: None,
        held: None,
        seen: Vec::new(),
        outcome: Outcome {
            end: End::TimedOut,
            companion: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            facts: String::new(),
            kernel_complaint: None,
            elapsed_ms: 0,
        },
    };
    state.run(started + Duration::from_millis(job.timeout_ms));
    let mut outcome = state.outcome;
    outcome.facts = fs::read_to_string(&facts).unwrap_or_default();
    let _ = fs::remove_file(&facts);
    outcome.kernel_complaint = complaint(taint);
    outcome.elapsed_ms = started.elapsed().as_millis() as u64;
    outcome
}

struct Running<'a> {
    job: &'a Job,
    facts: &'a std::path::Path,
    live: &'a mut dyn FnMut(Stream, &[u8]),
    command: Option<Pid>,
    companion: Option<Pid>,
    /// Standard input of a companion that is held back.
    held: Option<std::process::ChildStdin>,
    /// Output so far, in which the sign of readiness is looked for; empty when no longer needed.
    seen: Vec<u8>,
    outcome: Outcome,
}

impl Running<'_> {
    fn run(&mut self, deadline: Instant) {
        let (send, events) = mpsc::channel();
        let mut argv = self.job.argv.clone();
        if let Some(companion) = self
            .job
            .companion
            .as_ref()
            .filter(|companion| companion.first)
        {
            let Some(pid) = self.start_companion(companion, &send) else {
                return;
            };
            for arg in &mut argv {
                *arg = arg.replace("{pid}", &pid.as_raw_nonzero().to_string());
            }
        }
        match self.spawn(&argv, true) {
            Ok(mut child) => {
                let streams = (child.stdout.take(), child.stderr.take());
                if let Some(stdout) = streams.0 {
                    forward(Stream::Out, stdout, send.clone());
                }
                if let Some(stderr) = streams.1 {
                    forward(Stream::Err, stderr, send.clone());
                }
                self.command = Some(Pid::from_child(&child));
                wait_for(Who::Command, child, send.clone());
            }
            Err(error) => {
                self.outcome.end = End::NotStarted(format!("{}: {error}", argv.join(" ")));
                self.kill();
                return;
            }
        }
        self.follow(&events, &send, deadline);
        self.kill();
    }

    /// Follows the processes until both have ended and the output is complete.
    fn follow(&mut self, events: &Receiver<Event>, send: &Sender<Event>, deadline: Instant) {
        let mut open = 2;
        let mut ended = false;
        // Something that the command left behind may hold its output open: not waited for.
        let mut patience = deadline;
        loop {
            let companion_busy = self.companion.is_some() && self.outcome.companion.is_none();
            if ended && open == 0 && !companion_busy {
                return;
            }
            let limit = patience
                .min(deadline)
                .saturating_duration_since(Instant::now());
            match events.recv_timeout(limit) {
                Ok(Event::Output(stream, bytes)) => self.output(stream, &bytes, send),
                Ok(Event::Closed) => open -= 1,
                Ok(Event::Ended(Who::Command, end)) => {
                    self.outcome.end = end;
                    ended = true;
                    patience = Instant::now() + Duration::from_secs(1);
                    // A companion that is still held back ends by the end of its input.
                    self.held = None;
                }
                Ok(Event::Ended(Who::Companion, end)) => {
                    self.outcome.companion = Some(end);
                    let interrupt = self
                        .job
                        .companion
                        .as_ref()
                        .is_some_and(|companion| companion.interrupt);
                    if let (Some(pid), true, false) = (self.command, interrupt, ended) {
                        let _ = kill_process(pid, Signal::INT);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8], send: &Sender<Event>) {
        (self.live)(stream, bytes);
        let kept = match stream {
            Stream::Out => &mut self.outcome.stdout,
            Stream::Err => &mut self.outcome.stderr,
        };
        let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() > room && room > 0 {
            kept.extend_from_slice(b"\n[output cut here by the test harness]\n");
        }
        let Some(companion) = self.job.companion.as_ref() else {
            return;
        };
        let waiting = if companion.first {
            self.held.is_some()
        } else {
            self.companion.is_none()
        };
        if waiting {
            self.seen.extend_from_slice(bytes);
            let sign = companion.ready.as_bytes();
            if !sign.is_empty() && !self.seen.windows(sign.len()).any(|window| window == sign) {
                return;
            }
            match self.held.take() {
                // It may be gone already, which its end tells.
                Some(mut input) => drop(input.write_all(b"\n")),
                None => drop(self.start_companion(companion, send)),
            }
        }
    }

    fn start_companion(&mut self, companion: &Companion, send: &Sender<Event>) -> Option<Pid> {
        match self.spawn(&companion.argv, false) {
            Ok(mut child) => {
                let pid = Pid::from_child(&child);
                self.held = child.stdin.take().filter(|_| companion.first);
                self.companion = Some(pid);
                wait_for(Who::Companion, child, send.clone());
                Some(pid)
            }
            Err(error) => {
                let why = format!("{}: {error}", companion.argv.join(" "));
                self.outcome.companion = Some(End::NotStarted(why.clone()));
                self.outcome.end = End::NotStarted(why);
                self.kill();
                None
            }
        }
    }

    fn spawn(&self, argv: &[String], is_command: bool) -> std::io::Result<Child> {
        let (program, args) = argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let first = self
            .job
            .companion
            .as_ref()
            .is_some_and(|companion| companion.first);
        let mut command = Command::new(program);
        command
            .args(args)
            .envs(self.job.env.iter().cloned())
            .env("RTAP_FACTS", self.facts)
            .process_group(0);
        if !self.job.directory.is_empty() {
            command.current_dir(&self.job.directory);
        }
        if is_command {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        } else {
            command.stdin(if first { Stdio::piped() } else { Stdio::null() });
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if first {
                command.env("RTAP_HOLD", "1");
            }
        }
        interruptible(&mut command);
        command.spawn()
    }

    /// Kills whatever is left of both process groups.
    fn kill(&mut self) {
        for pid in [self.command, self.companion].into_iter().flatten() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// SIGINT works on it, even if the tests themselves ignore it: what a shell starts in the
/// background does, and what that starts, and a shell there cannot trap it.
#[expect(
    unsafe_code,
    reason = "there is no safe way to run something between fork and exec"
)]
fn interruptible(command: &mut Command) {
    let restore = || {
        // SAFETY: signal(2) may be called in a child between fork and exec.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: the closure calls nothing but signal(2).
    unsafe { command.pre_exec(restore) };
}

fn forward(stream: Stream, mut from: impl Read + Send + 'static, to: Sender<Event>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..n).unwrap_or_default().to_vec();
            if to.send(Event::Output(stream, bytes)).is_err() {
                return;
            }
        }
        // The receiver is gone only when the job is over.
        let _ = to.send(Event::Closed);
    });
}

fn wait_for(who: Who, mut child: Child, to: Sender<Event>) {
    thread::spawn(move || {
        // `wait` would close the standard input of a companion that is held back, but that
        // has been taken out of the child.
        let end = match child.wait() {
            Ok(status) => status
                .code()
                .map(End::Exited)
                .or_else(|| status.signal().map(End::Signalled))
                .unwrap_or(End::NotStarted("it has no exit status".to_owned())),
            Err(error) => End::NotStarted(error.to_string()),
        };
        let _ = to.send(Event::Ended(who, end));
    });
}

/// The taint flags that tell of a kernel bug: oops (bit 7) and warning (bit 9).
fn taint() -> u64 {
    let flags = fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    flags.trim().parse::<u64>().unwrap_or(0) & (1 << 7 | 1 << 9)
}

/// Warnings of the kernel about itself alone: of ext4's checks in Linux 6.18, when a page of a program must be read from the disk to
/// set a uprobe.
const ABOUT_ITSELF: &str = " ext4_check_map_extents_env+";

/// Whether all warnings and oopses of a kernel's log are of that kind.
fn is_about_itself(log: &str) -> bool {
    const HEADS: [&str; 3] = ["WARNING: ", "BUG: ", "Oops"];
    let mut heads = log
        .lines()
        .filter(|line| HEADS.iter().any(|head| line.contains(head)))
        .peekable();
    heads.peek().is_some() && heads.all(|head| head.contains(ABOUT_ITSELF))
}

fn complaint(before: u64) -> Option<String> {
    if taint() == before {
        return None;
    }
    let log = Command::new("dmesg")
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    if is_about_itself(&log) {
        return None;
    }
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines
        .get(lines.len().saturating_sub(40)..)
        .unwrap_or_default();
    Some(tail.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Job {
        Job {
            argv: vec!["sh".into(), "-c".into(), script.into()],
            timeout_ms: 5_000,
            ..Job::default()
        }
    }

    fn companion(script: &str, first: bool) -> Companion {
        let argv = vec!["sh".into(), "-c".into(), script.into()];
        Companion {
            argv,
            ready: "ready".into(),
            first,
            interrupt: true,
        }
    }

    #[test]
    fn warnings_of_the_kernel_about_itself_are_told_from_others() {
        let own = "[ 1.0] WARNING: CPU: 0 PID: 9 at fs/ext4/inode.c:460 ext4_check_map_extents_env+0xbc/0xd0\n[ 1.1] RIP: 0010:x";
        let other = "[ 2.0] WARNING: CPU: 1 PID: 9 at kernel/bpf/core.c:1 bpf_prog_free+0x1/0x2";
        assert!(is_about_itself(own));
        assert!(!is_about_itself(other) && !is_about_itself(""));
        assert!(!is_about_itself(&format!("{own}\n{other}")));
    }

    #[test]
    fn output_and_status_are_reported() {
        let outcome = run(
            &sh("echo a; echo b >&2; echo n=7 > $RTAP_FACTS; exit 3"),
            &mut |_, _| {},
        );
        assert_eq!(outcome.end, End::Exited(3));
        assert_eq!(
            (outcome.stdout.as_slice(), outcome.stderr.as_slice()),
            (&b"a\n"[..], &b"b\n"[..])
        );
        assert_eq!(outcome.facts, "n=7\n");
    }

    #[test]
    fn a_hanging_command_is_killed_with_its_children() {
        let mut job = sh("sleep 60 & sleep 60");
        job.timeout_ms = 200;
        let outcome = run(&job, &mut |_, _| {});
        assert_eq!(outcome.end, End::TimedOut);
        assert!(outcome.elapsed_ms < 3_000);
    }

    #[test]
    fn a_missing_program_says_so() {
        let job = Job {
            argv: vec!["/no/such/program".into()],
            timeout_ms: 1_000,
            ..Job::default()
        };
        assert!(matches!(run(&job, &mut |_, _| {}).end, End::NotStarted(_)));
    }

    #[test]
    fn a_companion_starts_when_the_command_is_ready() {
        let mut job =
            sh("trap 'echo got it; exit 0' INT; echo ready; while :; do sleep 0.02; done");
        job.companion = Some(companion("echo ran=1 > $RTAP_FACTS", false));
        let outcome = run(&job, &mut |_, _| {});
        assert_eq!(outcome.companion, Some(End::Exited(0)));
        assert_eq!(outcome.stdout, b"ready\ngot it\n");
        assert_eq!(outcome.facts, "ran=1\n");
    }

    #[test]
    fn a_first_companion_is_held_back_and_its_pid_is_known() {
        let mut job =
            sh("trap 'exit 4' INT; kill -0 {pid} && echo ready; while :; do sleep 0.02; done");
        job.companion = Some(companion("read line; echo pid=$$ > $RTAP_FACTS", true));
        let outcome = run(&job, &mut |_, _| {});
        assert_eq!(outcome.end, End::Exited(4));
        assert!(outcome.facts.starts_with("pid="));
    }
}
