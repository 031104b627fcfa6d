//! What the compiler may know of a machine: [`Target`], a set of lazy look-ups.
//!
//! In: whatever implements the trait. `runtime/src/host` answers from the running
//! machine, [`fixture`] from committed files, for tests. Out: plain data.
//!
//! Invariants:
//! - The compiler learns nothing of a machine in any other way, so the same script and
//!   the same target give the same bytes.
//! - Look-ups take `&self`, cost nothing until called, and give the same answer each time.
//! - A look-up that cannot be made says why ([`Unavailable`]), in words that a diagnostic
//!   can show as they are.

pub mod arch;
pub mod binary;
pub mod feature;
pub mod fixture;
pub mod kconfig;
pub mod kernel;
pub mod kernel_object;
pub mod sdt;
pub mod suggest;
pub mod symbols;
pub mod syscalls;
pub mod tracepoint;
mod unavailable;

pub use arch::Arch;
pub use binary::{Binary, BinaryError, BinaryFunction, FileId};
pub use feature::{Feature, Features, OLDEST_RELEASE};
pub use kconfig::Kconfig;
pub use kernel::KernelRelease;
pub use kernel_object::{BuildId, Fetch, KernelObject};
pub use suggest::suggest;
pub use symbols::{KernelSymbol, KernelSymbols, TraceableFunction};
pub use syscalls::{Syscall, SyscallTable};
pub use tracepoint::{FormatField, TracepointFormat};
pub use unavailable::{OtherBuild, Unavailable};

use std::sync::Arc;

use crate::btf::Btf;
use crate::dwarf::DebugInfo;

/// The number of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCount {
    /// Running now.
    pub online: u32,
    /// That may ever run; per-CPU maps have a value for each.
    pub possible: u32,
}

/// A machine, as far as the compiler may know it.
pub trait Target: Send + Sync {
    /// Processor architecture.
    fn arch(&self) -> Arch;

    /// The kernel's release.
    fn kernel(&self) -> &KernelRelease;

    /// A number that tells this kernel build from others (of its build-id), 0 when unknown.
    fn kernel_id(&self) -> u64;

    /// A configuration option, by its full name (`CONFIG_KPROBES`).
    fn kconfig(&self, name: &str) -> Kconfig;

    /// The number of processors.
    fn cpus(&self) -> CpuCount;

    /// Whether the kernel, and our rights on it, give a feature.
    fn has(&self, feature: Feature) -> bool;

    /// The features beyond the oldest kernel's that code was made to rely on, as far as this
    /// target has been asked.
    fn relied_on(&self) -> Features {
        Features::default()
    }

    /// All features at once. Trying them all takes some milliseconds.
    fn features(&self) -> Features {
        self.features_among(Feature::ALL)
    }

    /// Those of the wanted features that there are.
    fn features_among(&self, wanted: &[Feature]) -> Features {
        let wanted = wanted.iter().copied();
        wanted.filter(|&feature| self.has(feature)).collect()
    }

    /// The kernel's own BTF.
    fn btf(&self) -> Result<Btf, Unavailable>;

    /// A loaded module's BTF, on top of the kernel's.
    fn module_btf(&self, module: &str) -> Result<Btf, Unavailable>;

    /// Names of the loaded modules, sorted.
    fn modules(&self) -> Result<Arc<Vec<String>>, Unavailable>;

    /// All tracepoints that tracefs lists, as (system, name), sorted.
    ///
    /// For existence and arguments of a kernel tracepoint ask [`Btf::tracepoint`] first:
    /// some have no entry in tracefs.
    fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable>;

    /// The record format of one tracepoint of tracefs.
    fn tracepoint_format(
        &self,
        system: &str,
        name: &str,
    ) -> Result<Arc<TracepointFormat>, Unavailable>;

    /// The architecture's system calls, from a built-in table: the system call interface
    /// does not change, and reading the kernel's own 350 formats takes 10 ms.
    fn syscalls(&self) -> Arc<SyscallTable>;

    /// The kernel's symbols. Slow (tens of milliseconds): for what BTF cannot answer.
    fn symbols(&self) -> Result<Arc<KernelSymbols>, Unavailable>;

    /// Whether a function that BTF describes exists under its name: the compiler may have kept
    /// only copies of it, such as `f.isra.0`.
    fn has_function(&self, module: Option<&str>, name: &str) -> bool;

    /// Whether the kernel makes a trampoline for a function that BTF describes, as far as that can be told without
    /// attaching to it.
    fn takes_trampoline(&self, module: Option<&str>, name: &str) -> bool;

    /// Whether other symbols may have this name of a function: of the kernel or of any module, functions or data. When it is `false`,
    /// the kernel finds this function by its name.
    fn is_shared(&self, module: Option<&str>, name: &str) -> bool;

    /// The functions that kprobes and fentry can attach to, sorted, several of one name each by itself. Slow: for
    /// wildcards.
    fn traceable_functions(&self) -> Result<Arc<Vec<TraceableFunction>>, Unavailable>;

    /// Places of the functions that kprobes and fentry can attach to, a few bytes from their starts, sorted (Linux 6.5).
    fn traceable_addresses(&self) -> Result<Arc<Vec<u64>>, Unavailable>;

    /// A program or library. A name without `/` is sought as a shell would.
    fn binary(&self, path: &str) -> Result<Arc<Binary>, BinaryError>;

    /// The debug information of a program or library: its own, or its debug file's.
    fn debug_info(&self, binary: &Binary) -> Result<Arc<DebugInfo>, Unavailable>;

    /// The running kernel or one of its modules as a file with debug information has it. Slow (hundreds of
    /// milliseconds to look through): for what only that can answer.
    fn kernel_object(
        &self,
        module: Option<&str>,
        fetch: Fetch,
    ) -> Result<Arc<KernelObject>, Unavailable>;

    /// The files whose paths are like a pattern, as `glob` compares them, name by name, sorted. Without
    /// `/` those in `$PATH` are meant.
    fn programs_like(&self, pattern: &str) -> Vec<String>;
}
