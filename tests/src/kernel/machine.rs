//! The VMs in which one kernel's tests run: one after another, a new one after each crash.

use super::case::Case;
use super::expect::faults;
use super::report::Verdict;
use super::require::lacking;
use super::runner::Recorder;
use super::sizes::Sizes;
use crate::job::{End, Outcome};
use crate::vm::{Failure, Kernel, Vm};

/// How much longer a test may take in a VM than on this machine. Only a hang should meet its end:
/// the machine may be busy.
const SLOWNESS: u64 = 6;

/// After so many crashes of one kernel its remaining tests fail without being run.
const MAX_CRASHES: usize = 4;

/// How often a test is run at most when emulation breaks under it.
const ATTEMPTS: usize = 3;

/// The machine of one kernel.
pub(super) struct Machine<'a> {
    version: &'a str,
    kernel: Kernel,
    initramfs: &'a [u8],
    record: Recorder<'a>,
    vm: Option<Vm>,
    crashes: usize,
}

impl<'a> Machine<'a> {
    /// A machine that is not booted before a test needs it.
    pub(super) fn new(
        version: &'a str,
        kernel: Kernel,
        initramfs: &'a [u8],
        record: Recorder<'a>,
    ) -> Self {
        Self {
            version,
            kernel,
            initramfs,
            record,
            vm: None,
            crashes: 0,
        }
    }

    /// Runs one test.
    pub(super) fn verdict(&mut self, case: &Case, sizes: &Sizes) -> Verdict {
        for attempt in 1.. {
            let Some(running) = self.running() else { break };
            if let Some(reason) = lacking(&case.requires, &running.facts, false) {
                return Verdict::Skipped(reason);
            }
            let (failure, console) = match running.run(&case.job(SLOWNESS), &mut |_, _| {}) {
                Ok(outcome) => {
                    let mut faults = faults(&case.expected, &outcome);
                    if faults.is_empty() && case.is_measured() {
                        let stderr = String::from_utf8_lossy(&outcome.stderr);
                        faults += &sizes.check(&case.name, self.version, &stderr);
                    }
                    // As with a hang; what is left of the VM is of no more use.
                    if !faults.is_empty() && is_stuck(&outcome) && attempt == 1 {
                        let first = faults.lines().next().unwrap_or_default();
                        let (name, version) = (&case.name, self.version);
                        let remark = format!("{name} on {version}: {first}, run again");
                        self.record.remark(remark);
                        self.vm = None;
                        continue;
                    }
                    return Verdict::of(faults);
                }
                Err(failed) => failed,
            };
            self.vm = None;
            match failure {
                Failure::Panic if case.expected.panic => return Verdict::Passed,
                Failure::Emulation if attempt < ATTEMPTS => self.record.remark(format!(
                    "{} on {}: {failure}, run again",
                    case.name, self.version
                )),
                // What really hangs does so again.
                Failure::Hang if attempt == 1 => self.record.remark(format!(
                    "{} on {}: {failure}, run again; the console's last lines:\n{console}",
                    case.name, self.version
                )),
                Failure::Panic | Failure::Emulation | Failure::Crash | Failure::Hang => {
                    self.crashes += 1;
                    return Verdict::Failed(format!(
                        "{failure}; the console's last lines:\n{console}"
                    ));
                }
            }
        }
        Verdict::Failed("the kernel does not boot, or crashed too often".to_owned())
    }

    /// The VM, booted if need be.
    fn running(&mut self) -> Option<&mut Vm> {
        if self.vm.is_none() && self.crashes < MAX_CRASHES {
            match Vm::boot(&self.kernel, self.initramfs) {
                Ok(vm) => self.vm = Some(self.greet(vm)),
                Err(error) => {
                    self.crashes = MAX_CRASHES;
                    self.record
                        .remark(format!("kernel {} does not boot: {error:#}", self.version));
                }
            }
        }
        self.vm.as_mut()
    }

    /// Says what was booted, and how often it took.
    fn greet(&self, vm: Vm) -> Vm {
        let version = self.version;
        for failure in &vm.failed_boots {
            self.record.remark(format!(
                "kernel {version}: a boot failed and was repeated: {failure}"
            ));
        }
        self.record.remark(format!(
            "kernel {version} is {}, booted in {:.1} s",
            vm.facts.release,
            vm.boot_time.as_secs_f64()
        ));
        vm
    }
}

/// Whether a CPU may have got stuck, as emulated ones do at instructions that the kernel is changing.
fn is_stuck(outcome: &Outcome) -> bool {
    let complaint = outcome.kernel_complaint.as_deref().unwrap_or_default();
    outcome.end == End::TimedOut || complaint.contains("soft lockup")
}
