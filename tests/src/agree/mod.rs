//! Whether both executors agree: a script's `begin` handlers run by the interpreter, and as eBPF by the
//! kernel (`rtap run --begin-in-kernel`), must give the same output, errors, globals and status; and
//! no program may be refused by the verifier.

mod shrink;

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use shrink::shrink;

use crate::generate::{Shape, UNORDERED, fills_late_globals};
use crate::golden::directives;

/// What the scripts are made for.
pub const SHAPE: Shape<'static> = Shape::all(&["begin"]);

/// Rounds of all loops in one run of a handler; what needs more is run again with so many times more.
const ROUNDS: [u32; 2] = [2000, 40_000];

/// Longest time that a run may take on a machine of its own.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What stands for the output of a run that had to be killed.
const NO_END: &str = "error: it did not end";

/// What came of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both executors did the same.
    Agree,
    /// The script uses what kernel handlers do not have (a diagnostic says so).
    Unavailable(String),
    /// The script does not compile at all: the generator is at fault.
    Invalid(String),
    /// The verifier refused the program, or the compiler did not come to an end with it, or wants text where all text is there.
    Refused(String),
    /// The executors differ: what the interpreter did, what the kernel did.
    Differ(String, String),
}

impl Verdict {
    /// Whether it is a fault of rtap.
    pub fn is_fault(&self) -> bool {
        matches!(self, Verdict::Refused(_) | Verdict::Differ(..))
    }

    /// Whether two verdicts can be of one cause.
    pub fn is_like(&self, other: &Verdict) -> bool {
        match (self, other) {
            (Verdict::Refused(a), Verdict::Refused(b)) => kind(a) == kind(b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

/// The line of a refusal that says what was wrong, without numbers.
fn kind(refusal: &str) -> String {
    let line = refusal
        .lines()
        .find(|line| line.contains("error") || line.contains("panicked"));
    let line = line.unwrap_or_default();
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// How scripts are run in both executors.
#[derive(Clone, Copy, Debug)]
pub struct Runner<'a> {
    /// The binary.
    pub rtap: &'a Path,
    /// Where the script's text is put.
    pub at: &'a Path,
    /// About how many instructions the parts have into which kernel handlers are divided, if not the usual number.
    pub part_insns: Option<u32>,
    /// What kernel handlers may cost the verifier before they are made flat, if not as usual.
    pub program_cost: Option<u32>,
    /// Longest time that a run may take.
    pub limit: Duration,
}

impl Runner<'_> {
    /// Runs a script in both executors.
    pub fn compare(&self, script: &str) -> io::Result<Verdict> {
        std::fs::write(self.at, script)?;
        let options = directives(script, "options");
        let mut verdict = Verdict::Agree;
        for rounds in ROUNDS {
            verdict = self.compare_within(rounds, &options)?;
            if !fills_late_globals(script)
                && let Verdict::Unavailable(why) = &verdict
                && why.contains("error[E0701]")
            {
                verdict = Verdict::Refused(why.clone());
            }
            // Kernel handlers count more: rounds of `foreach` and calls of functions that recurse.
            if !matches!(&verdict, Verdict::Differ(_, in_kernel) if in_kernel.contains("MAXACTION exceeded"))
            {
                break;
            }
        }
        Ok(verdict)
    }

    fn compare_within(&self, rounds: u32, options: &[String]) -> io::Result<Verdict> {
        let interpreted = self.run(false, rounds, options)?;
        if interpreted.contains("error[E") {
            return Ok(Verdict::Invalid(interpreted));
        }
        let in_kernel = self.run(true, rounds, options)?;
        let unavailable = [
            "error[E0701]",
            "error[E0702]",
            "error[E0703]",
            "error[E0704]",
        ];
        let refusals = ["the kernel refused", "error[E0799]", NO_END];
        Ok(
            if interpreted == in_kernel || is_shorter_of_calls(&in_kernel, &interpreted) {
                Verdict::Agree
            } else if unavailable.iter().any(|code| in_kernel.contains(code)) {
                Verdict::Unavailable(in_kernel)
            } else if refusals.iter().any(|text| in_kernel.contains(text)) {
                Verdict::Refused(in_kernel)
            } else {
                Verdict::Differ(interpreted, in_kernel)
            },
        )
    }

    /// Output, errors and status of a run.
    fn run(&self, in_kernel: bool, rounds: u32, options: &[String]) -> io::Result<String> {
        let mut command = Command::new(self.rtap);
        command.args(["run", "-w", "--trace-self"]);
        for limit in ["MAXACTION", "MAXACTION_INTERRUPTIBLE"] {
            command.arg(format!("-D{limit}={rounds}"));
        }
        command.args(options);
        command.args(["-E", "probe timer.ms(1) { exit() }"]);
        if in_kernel {
            command.arg("--begin-in-kernel");
            let parts = self.part_insns.map(|insns| format!("--part-insns={insns}"));
            let cost = self
                .program_cost
                .map(|cost| format!("--program-cost={cost}"));
            command.args(parts.into_iter().chain(cost));
        }
        command.arg(self.at);
        outcome(command, self.limit)
    }
}

/// Output, errors and status of a command.
fn outcome(command: Command, limit: Duration) -> io::Result<String> {
    let Some(output) = finish(command, limit)? else {
        return Ok(NO_END.to_owned());
    };
    let status = output
        .status
        .code()
        .map_or("killed".to_owned(), |code| code.to_string());
    Ok(format!(
        "{}{}status {status}\n",
        in_order(&String::from_utf8_lossy(&output.stdout)),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Whether output is like another, but for some of the calls that led to errors: in a long handler those of functions that
/// it has only once are not known.
fn is_shorter_of_calls(output: &str, other: &str) -> bool {
    fn rest(output: &str) -> impl Iterator<Item = &str> {
        let is_call = |line: &&str| line.starts_with("    in ") && line.contains("called at ");
        output.lines().filter(move |line| !is_call(line))
    }
    output.len() < other.len() && rest(output).eq(rest(other))
}

/// Output with its unordered part sorted.
fn in_order(output: &str) -> String {
    let Some(at) = output.find(UNORDERED) else {
        return output.to_owned();
    };
    let (ordered, unordered) = output.split_at(at);
    let mut lines: Vec<&str> = unordered.lines().collect();
    lines.sort_unstable();
    format!("{ordered}{}\n", lines.join("\n"))
}

/// Runs a command; nothing if it had to be killed.
fn finish(mut command: Command, limit: Duration) -> io::Result<Option<Output>> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = rustix::process::Pid::from_child(&child);
    let (done, wait) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let output = child.wait_with_output();
        // Nobody listens any more if it was killed.
        let _ = done.send(());
        output
    });
    let start = Instant::now();
    let ended = wait.recv_timeout(limit).is_ok();
    if !ended {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    }
    let output = reader.join().map_err(|_| io::Error::other("reader"))??;
    Ok((ended && start.elapsed() < limit).then_some(output))
}
