//! Boots a kernel, talks to its agent, and tells apart the ways in which that goes wrong.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::facts::Facts;
use super::kernels::Kernel;
use super::protocol::{FromGuest, FromHost, receive, send};
use crate::job::{Job, Outcome, Stream};
use crate::{debian, paths};

/// A boot takes 2 s on a quiet machine; this allows for a busy one.
const BOOT_LIMIT: Duration = Duration::from_mins(1);

/// Emulation crashes a kernel early in its boot once in a while: then it is booted again.
const BOOT_ATTEMPTS: u32 = 3;

/// On the console when a CPU met a breakpoint that nobody had set.
const STALE_BREAKPOINT: &str = "int3: 0000 [#";

/// The lines of the console that are shown when something went wrong: those of two CPUs' stacks.
const TAIL_LINES: usize = 100;

/// Memory beside what the initramfs takes.
const MEMORY_MB: u64 = 1500;

/// How much longer than a job's own time-out the host waits for the agent to say so.
const AGENT_GRACE: Duration = Duration::from_secs(20);

/// A running VM. Dropping it ends it.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    to_guest: ChildStdin,
    messages: Receiver<FromGuest>,
    files: Files,
    /// What the booted kernel can do.
    pub facts: Facts,
    /// How long it took until the agent answered.
    pub boot_time: Duration,
    /// The boots that failed before this one, each with its reason.
    pub failed_boots: Vec<String>,
}

/// How a VM can fail while it runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The kernel panicked.
    Panic,
    /// The emulation broke: a CPU ran a breakpoint that the kernel had already taken out of its own
    /// code. Two emulated CPUs, of which one changes the code that the other one runs, as switching
    /// a tracepoint on does, can meet this; a processor cannot.
    Emulation,
    /// QEMU ended without a panic.
    Crash,
    /// It does not answer any more.
    Hang,
}

/// The console's log and the initramfs of one VM; removed with it.
#[derive(Debug)]
struct Files {
    console: PathBuf,
    initramfs: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.console);
        let _ = fs::remove_file(&self.initramfs);
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Panic => "kernel panic",
            Self::Emulation => "kernel panic by the emulation's fault",
            Self::Crash => "the VM ended",
            Self::Hang => "the VM hangs",
        })
    }
}

impl Vm {
    /// Boots `kernel` with an initramfs made by [`super::Image`]. The VM ends with the calling
    /// thread at the latest.
    pub fn boot(kernel: &Kernel, initramfs: &[u8]) -> Result<Self> {
        let mut failed_boots = Vec::new();
        while failed_boots.len() < BOOT_ATTEMPTS as usize {
            match Self::try_boot(kernel, initramfs)? {
                Ok(mut vm) => {
                    vm.failed_boots = failed_boots;
                    return Ok(vm);
                }
                Err(reason) => failed_boots.push(reason),
            }
        }
        Err(anyhow!(
            "{} boots of kernel {} failed; the last: {}",
            BOOT_ATTEMPTS,
            kernel.version,
            failed_boots.join("\n")
        ))
    }

    /// Runs a job. `live` is given the output of a live one as it comes. After an `Err` the VM is of no more
    /// use; the text is the console's last lines.
    pub fn run(
        &mut self,
        job: &Job,
        live: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Outcome, (Failure, String)> {
        if send(&mut self.to_guest, &FromHost::Run(job.clone())).is_err() {
            return Err(self.failure(Failure::Crash));
        }
        let deadline = Instant::now() + Duration::from_millis(job.timeout_ms) + AGENT_GRACE;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self
                .messages
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(FromGuest::Output(stream, bytes)) => {
                    live(stream, &bytes);
                    match stream {
                        Stream::Out => stdout.extend(bytes),
                        Stream::Err => stderr.extend(bytes),
                    }
                }
                Ok(FromGuest::Done(outcome)) => {
                    stdout.extend(&outcome.stdout);
                    stderr.extend(&outcome.stderr);
                    return Ok(Outcome {
                        stdout,
                        stderr,
                        ..outcome
                    });
                }
                // The agent has started anew.
                Ok(FromGuest::Hello(_)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failure(Failure::Crash));
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.failure(Failure::Hang)),
            }
        }
    }

    /// The last lines of the kernel's console.
    pub fn console_tail(&self) -> String {
        tail(&self.files.console)
    }

    fn failure(&self, kind: Failure) -> (Failure, String) {
        let console = read_lossy(&self.files.console);
        let kind = if console.contains(STALE_BREAKPOINT) {
            Failure::Emulation
        } else if console.contains("Kernel panic") {
            Failure::Panic
        } else {
            kind
        };
        (kind, self.console_tail())
    }

    /// One boot: the outer error is one of this machine (no QEMU), the inner one of the boot.
    fn try_boot(kernel: &Kernel, initramfs: &[u8]) -> Result<Result<Self, String>> {
        let files = files()?;
        fs::write(&files.initramfs, initramfs)?;
        let started = Instant::now();
        let mut child = command(kernel, &files.initramfs, "")?
            .arg("-serial")
            .arg(format!("file:{}", files.console.display()))
            .args([
                "-chardev",
                "stdio,id=agent,signal=off",
                "-serial",
                "chardev:agent",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let to_guest = child.stdin.take().context("QEMU has no input")?;
        let from_guest = child.stdout.take().context("QEMU has no output")?;
        let (send, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut from_guest = BufReader::new(from_guest);
            while let Ok(message) = receive(&mut from_guest) {
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut vm = Self {
            child,
            to_guest,
            messages,
            files,
            facts: Facts::default(),
            boot_time: Duration::ZERO,
            failed_boots: Vec::new(),
        };
        let reason = match vm.messages.recv_timeout(BOOT_LIMIT) {
            Ok(FromGuest::Hello(facts)) => {
                vm.facts = facts;
                vm.boot_time = started.elapsed();
                return Ok(Ok(vm));
            }
            Ok(FromGuest::Output(..) | FromGuest::Done(_)) => "the agent spoke out of turn",
            Err(RecvTimeoutError::Timeout) => "hung while booting",
            Err(RecvTimeoutError::Disconnected) => "crashed while booting",
        };
        let _ = vm.child.kill();
        let complaint = vm
            .child
            .stderr
            .take()
            .map(|stderr| std::io::read_to_string(stderr).unwrap_or_default());
        Ok(Err(format!(
            "{reason}\n{}{}",
            complaint.unwrap_or_default(),
            vm.console_tail()
        )))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Nothing in a VM is worth an orderly end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Boots a VM with a shell on this terminal, and waits for its end.
pub fn shell(kernel: &Kernel, initramfs: &[u8]) -> Result<()> {
    let files = files()?;
    fs::write(&files.initramfs, initramfs)?;
    let mut command = command(kernel, &files.initramfs, "rtap.shell")?;
    command.args([
        "-chardev",
        "stdio,id=console,mux=on,signal=off",
        "-serial",
        "chardev:console",
    ]);
    command
        .args(["-mon", "chardev=console"])
        .status()
        .context("cannot start qemu-system-x86_64")?;
    Ok(())
}

/// QEMU with all that does not depend on what the VM is used for.
fn command(kernel: &Kernel, initramfs: &Path, more: &str) -> Result<Command> {
    const QEMU: &str = "qemu-system-x86_64";
    if Command::new(QEMU).arg("--version").output().is_err() {
        debian::install(&["qemu-system-x86"])?;
    }
    // quiet: each line on an emulated console costs. loglevel 5: but warnings are wanted.
    // mitigations and the check of the clock are slow, and no use here. no_timer_check: on a busy machine
    // an emulated timer seems not to work.
    let append = format!(
        "console=ttyS0 quiet loglevel=5 panic=-1 mitigations=off nokaslr tsc=reliable \
         no_timer_check audit=0 ima_policy= random.trust_cpu=1 lsm=lockdown,yama,integrity,apparmor,bpf {more}"
    );
    // It is there twice while it is unpacked.
    let memory_mb = MEMORY_MB + 2 * (fs::metadata(initramfs)?.len() >> 20);
    // When the harness is killed, so is the VM; not sent by QEMU, which would outlive it.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", QEMU])
        .args([
            "-accel",
            "tcg",
            "-cpu",
            "Haswell-noTSX",
            "-smp",
            "2",
            "-m",
            &memory_mb.to_string(),
        ])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(&kernel.vmlinuz)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", append.trim_end()]);
    Ok(command)
}

fn files() -> Result<Files> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let dir = paths::cache().join("tmp");
    fs::create_dir_all(&dir)?;
    let name = format!(
        "{}.{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    Ok(Files {
        console: dir.join(format!("{name}.console")),
        initramfs: dir.join(format!("{name}.cpio")),
    })
}

fn tail(console: &Path) -> String {
    let text = read_lossy(console);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(TAIL_LINES)..)
        .unwrap_or_default()
        .join("\n")
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
