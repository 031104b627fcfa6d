//! Runs random programs in both executors: `agree --programs 1000 --seed 0`.
//!
//! Prints what became of them, and each program that was refused or that the executors do not
//! agree about, made small. See `rtap_tests::agree`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use rtap_tests::agree::{LIMIT, Runner, SHAPE, Verdict, shrink};
use rtap_tests::generate::{Shape, UNORDERED, script};
use rtap_tests::paths;

/// Runs random programs in the interpreter and in the kernel, and compares.
#[derive(Debug, Parser)]
struct Options {
    /// How many programs.
    #[arg(short, long, default_value_t = 200)]
    programs: u64,
    /// The first program's seed; the others follow.
    #[arg(short, long, default_value_t = 0)]
    seed: u64,
    /// How many at a time.
    #[arg(short, long, default_value_t = 2)]
    jobs: u64,
    /// Most statements of a block.
    #[arg(long, default_value_t = SHAPE.statements)]
    statements: usize,
    /// Stops after so many faults.
    #[arg(long, default_value_t = 5)]
    faults: u64,
    /// Seconds to make a failing program smaller.
    #[arg(long, default_value_t = 60)]
    shrink: u64,
    /// Shows also what kernel handlers do not have.
    #[arg(short, long)]
    verbose: bool,
    /// Divides kernel handlers into parts of about so many instructions.
    #[arg(long)]
    part_insns: Option<u32>,
    /// Makes kernel handlers flat that may cost the verifier more than this.
    #[arg(long)]
    program_cost: Option<u32>,
    /// Leaves out what the kernel is too old for: `large-keys` (before 5.11), `foreach` (before 5.13), `statistics` (before 5.19).
    #[arg(long, value_delimiter = ',')]
    without: Vec<Lacking>,
    /// Prints the first program, and does not run it.
    #[arg(long)]
    print: bool,
    /// Seconds that a run may take; more of them under emulation.
    #[arg(long, default_value_t = LIMIT.as_secs())]
    limit: u64,
}

/// What old kernels lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lacking {
    /// Going through arrays, looking for slices, emptying whole arrays.
    Foreach,
    /// Reading statistics.
    Statistics,
    /// Keys over 512 bytes.
    LargeKeys,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let shape = Shape {
        whole_arrays: !options.without.contains(&Lacking::Foreach),
        statistics: !options.without.contains(&Lacking::Statistics),
        large_keys: !options.without.contains(&Lacking::LargeKeys),
        statements: options.statements,
        ..SHAPE
    };
    if options.print {
        print!("{}", script(options.seed, shape));
        return Ok(ExitCode::SUCCESS);
    }
    let rtap = paths::rtap().context("rtap is not built: cargo build --release -p rtap")?;
    let run = Run {
        next: AtomicU64::new(options.seed),
        found: AtomicU64::new(0),
        counts: Mutex::default(),
        rtap,
        shape,
        options,
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..run.options.jobs.max(1))
            .map(|worker| {
                let run = &run;
                scope.spawn(move || run.work(worker))
            })
            .collect();
        for worker in workers {
            worker.join().expect("a worker that does not panic")?;
        }
        anyhow::Ok(())
    })?;
    let counts = run.counts.into_inner().expect("no worker panicked");
    let line: Vec<String> = counts.iter().map(|(k, n)| format!("{n} {k}")).collect();
    println!(
        "seeds {}..{}: {}",
        run.options.seed,
        run.options.seed + counts.values().sum::<u64>(),
        line.join(", ")
    );
    let failed = run.found.into_inner() != 0;
    Ok(ExitCode::from(u8::from(failed)))
}

/// The state that workers share.
struct Run {
    options: Options,
    rtap: PathBuf,
    shape: Shape<'static>,
    next: AtomicU64,
    found: AtomicU64,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Run {
    fn work(&self, worker: u64) -> Result<()> {
        let options = &self.options;
        let at = std::env::temp_dir().join(format!("agree-{}-{worker}.rtp", std::process::id()));
        let runner = Runner {
            rtap: &self.rtap,
            at: &at,
            part_insns: options.part_insns,
            program_cost: options.program_cost,
            limit: Duration::from_secs(options.limit),
        };
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let enough = self.found.load(Ordering::Relaxed) >= options.faults;
            if seed >= options.seed + options.programs || enough {
                break;
            }
            let text = script(seed, self.shape);
            let verdict = runner.compare(&text)?;
            let name = match &verdict {
                Verdict::Agree => "agree",
                Verdict::Unavailable(why) => {
                    if options.verbose {
                        println!("seed {seed}:\n{why}");
                    }
                    "not available in the kernel"
                }
                Verdict::Invalid(why) => {
                    println!("seed {seed} does not compile:\n{why}");
                    "do not compile"
                }
                Verdict::Refused(_) => "refused",
                Verdict::Differ(..) => "differ",
            };
            *self
                .counts
                .lock()
                .expect("no worker panicked")
                .entry(name)
                .or_default() += 1;
            if verdict.is_fault() {
                self.found.fetch_add(1, Ordering::Relaxed);
                let small = shrink(&text, Duration::from_secs(options.shrink), |text| {
                    // Without this line, what has no order is not known for that.
                    text.contains(UNORDERED)
                        && runner
                            .compare(text)
                            .is_ok_and(|other| other.is_like(&verdict))
                });
                let verdict = runner.compare(&small)?;
                println!("--- seed {seed}\n{small}{}", Shown(&verdict));
            }
        }
        let _ = std::fs::remove_file(at);
        Ok(())
    }
}

struct Shown<'a>(&'a Verdict);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Verdict::Differ(user, kernel) => {
                writeln!(f, "--- interpreter\n{user}--- kernel\n{kernel}")
            }
            Verdict::Refused(why) | Verdict::Invalid(why) | Verdict::Unavailable(why) => {
                let lines: Vec<&str> = why.lines().take(30).collect();
                writeln!(f, "--- kernel\n{}", lines.join("\n"))
            }
            Verdict::Agree => writeln!(f, "--- (now they agree)"),
        }
    }
}
