//! The tracers that are compared: finding, building or fetching them, and their command lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{debian, paths};

/// Endings of the programs in C, bare and with rtap's guarantees.
const BARE: &str = "bare";
const LIKE_RTAP: &str = "like-rtap";

/// One of the tracers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Written by hand in C, compiled by clang -O2, loaded by libbpf.
    C,
    /// The same with what rtap's programs see to as well (`tests/bench/c/guarantees.h`).
    CLikeRtap,
    /// The newest bpftrace of Debian.
    Bpftrace,
    /// This project.
    Rtap,
}

impl Peer {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Self; 4] = [Self::C, Self::CLikeRtap, Self::Bpftrace, Self::Rtap];

    /// The column's title.
    pub fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::CLikeRtap => "C like rtap",
            Self::Bpftrace => "bpftrace",
            Self::Rtap => "rtap",
        }
    }
}

/// The tracers that can be run here.
#[derive(Debug)]
pub struct Peers {
    sources: PathBuf,
    built: PathBuf,
    bpftrace: Result<Vec<String>, String>,
    rtap: Result<PathBuf, String>,
}

impl Peers {
    /// Compiles the C programs, and fetches and installs what is missing.
    pub fn prepare() -> Result<Self> {
        let sources = paths::workspace().join("tests/bench");
        let built = paths::target().join("bench");
        fs::create_dir_all(&built)?;
        compile(&sources.join("c"), &built)?;
        let rtap = paths::target().join("release/rtap");
        let rtap = std::env::var_os("RTAP_BIN").map_or(rtap, PathBuf::from);
        Ok(Self {
            bpftrace: bpftrace(&built).map_err(|error| format!("{error:#}")),
            rtap: if rtap.exists() {
                Ok(rtap)
            } else {
                Err("not built".to_owned())
            },
            sources,
            built,
        })
    }

    /// What is missing, one line each.
    pub fn remarks(&self) -> Vec<String> {
        let version = self.bpftrace.as_ref().map(|argv| output(argv, "--version"));
        let bpftrace = version.unwrap_or_else(|why| format!("bpftrace: {why}"));
        let rtap = self
            .rtap
            .as_ref()
            .map(|path| format!("rtap: {}", path.display()));
        let rtap = rtap.unwrap_or_else(|why| format!("rtap: {why}"));
        vec![output(&["clang".to_owned()], "--version"), bpftrace, rtap]
    }

    /// The command line by which a tracer runs a scenario: the name of a file in `tests/bench`
    /// without its ending.
    pub fn command(&self, peer: Peer, scenario: &str) -> Result<Vec<String>, String> {
        let missing = || "-".to_owned();
        let found = |path: PathBuf| {
            if path.exists() {
                Ok(path.to_string_lossy().into_owned())
            } else {
                Err(missing())
            }
        };
        match peer {
            Peer::C | Peer::CLikeRtap => {
                // The loader has no language to say these in: it attaches one program and ends.
                let (program, once) = match scenario {
                    "hello" => ("empty", true),
                    "syscalls" => ("count", true),
                    other => (other, false),
                };
                let kind = if peer == Peer::C { BARE } else { LIKE_RTAP };
                let mut argv = vec![
                    found(self.built.join("loader"))?,
                    found(self.built.join(format!("{program}.{kind}.o")))?,
                ];
                argv.extend(once.then(|| "--once".to_owned()));
                Ok(argv)
            }
            Peer::Bpftrace => {
                let mut argv = self.bpftrace.clone().map_err(|_| "missing".to_owned())?;
                argv.push(found(self.sources.join(format!("bpftrace/{scenario}.bt")))?);
                Ok(argv)
            }
            Peer::Rtap => {
                let rtap = self.rtap.clone()?.to_string_lossy().into_owned();
                let script = found(self.sources.join(format!("rtap/{scenario}.rtp")))?;
                Ok(vec![rtap, "run".to_owned(), script])
            }
        }
    }

    /// Puts the measuring process before a command: what it used is then in `report`.
    pub fn measured(&self, argv: &[String], report: &Path) -> Vec<String> {
        let measure = self.built.join("measure");
        let mut measured = vec![
            measure.to_string_lossy().into_owned(),
            report.to_string_lossy().into_owned(),
        ];
        measured.extend(argv.iter().cloned());
        measured
    }

    /// A file in the build folder.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.built.join(name)
    }
}

/// What the measuring process reports of a command.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Wall time in nanoseconds.
    pub wall_ns: f64,
    /// Processor time, user and system, in nanoseconds.
    pub cpu_ns: f64,
    /// Peak resident memory in KiB.
    pub peak_kib: f64,
}

impl Usage {
    /// Reads a report.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("no report in {}", path.display()))?;
        let numbers: Vec<f64> = text
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [wall_ns, user_ns, system_ns, peak_kib] = numbers[..] else {
            anyhow::bail!("a strange report: {text}")
        };
        Ok(Self {
            wall_ns,
            cpu_ns: user_ns + system_ns,
            peak_kib,
        })
    }
}

fn compile(sources: &Path, built: &Path) -> Result<()> {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !has("clang") || !has("cc") || !Path::new("/usr/include/bpf/libbpf.h").exists() {
        debian::install(&["clang", "gcc", "libc6-dev", "libbpf-dev", "libelf-dev"])?;
    }
    let run = |command: &mut Command| -> Result<()> {
        let status = command
            .status()
            .with_context(|| format!("cannot run {command:?}"))?;
        ensure!(status.success(), "{command:?} failed");
        Ok(())
    };
    let mut entries: Vec<PathBuf> = fs::read_dir(sources)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for source in entries {
        let name = source
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(stem) = name.strip_suffix(".bpf.c") {
            // Debian keeps asm/types.h in a folder that clang does not search for this target.
            let asm = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
            let clang = |flags: &[&str], kind: &str| {
                run(Command::new("clang")
                    .args(["-O2", "-g", "-Wall", "-target", "bpf", &asm, "-c"])
                    .args(flags)
                    .arg(&source)
                    .arg("-o")
                    .arg(built.join(format!("{stem}.{kind}.o"))))
            };
            clang(&[], BARE)?;
            if fs::read_to_string(&source)?.contains("guarantees.h") {
                clang(&["-DSAME_GUARANTEES"], LIKE_RTAP)?;
            }
        } else if let Some(stem) = name.strip_suffix(".c") {
            run(Command::new("cc")
                .args(["-O2", "-Wall", "-o"])
                .arg(built.join(stem))
                .arg(&source)
                .arg("-lbpf"))?;
        }
    }
    Ok(())
}

/// Debian's newest bpftrace, run with its own libraries; not installed.
fn bpftrace(built: &Path) -> Result<Vec<String>> {
    let root = debian::newest("bpftrace", true)?;
    // Where a kernel does not let the list of traceable functions be read, bpftrace believes that
    // there are no raw tracepoints, unless it is given one.
    let functions = built.join("traceable-functions");
    fs::write(&functions, "__probestub_sys_enter\n__traceiter_sys_enter\n")?;
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let loader = fs::read_dir(root.join("usr/lib64"))
        .context("bpftrace came without a loader")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("ld-linux"))
        .context("bpftrace came without a loader")?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut argv = vec![text(&loader), "--library-path".to_owned(), text(&libraries)];
    argv.extend([
        text(&root.join("usr/bin/bpftrace")),
        "--traceable-functions".to_owned(),
        text(&functions),
    ]);
    Ok(argv)
}

fn output(argv: &[String], argument: &str) -> String {
    let Some((program, args)) = argv.split_first() else {
        return String::new();
    };
    let output = Command::new(program).args(args).arg(argument).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
