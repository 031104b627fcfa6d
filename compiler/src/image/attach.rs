//! What a handler is attached to. One variant for each kernel mechanism; the same names
//! as the files of `runtime/src/attach`.

use serde::{Deserialize, Serialize};

/// A resolved probe point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The point in full, as `pp()` and messages show it: `kernel.function("vfs_read@fs/read_write.c:555").call`.
    pub text: String,
    /// `probefunc()`: the function's name, or "".
    pub function: String,
    /// `probemod()`: module or binary, or "".
    pub module: String,
    /// The mechanism.
    pub attach: Attach,
    /// When several points share one attachment (system calls), the number that tells
    /// this point from the others; the handler's body switches on it.
    pub selector: Option<i64>,
    /// `?` or `!`: failing to attach is no error.
    pub optional: bool,
}

/// A mechanism with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attach {
    /// `begin`, `begin(n)`: run once at the start, smallest number first.
    Begin {
        /// Order.
        priority: i64,
    },
    /// `end`, `end(n)`.
    End {
        /// Order.
        priority: i64,
    },
    /// `error`, `error(n)`: instead of `end`, when a run-time error ended the session.
    Error {
        /// Order.
        priority: i64,
    },
    /// `never`: compiled, not run.
    Never,
    /// `timer.{ns,us,ms,s,jiffies,hz}`.
    Timer {
        /// Time between runs.
        period_ns: u64,
        /// `.randomize(n)`: up to this much is added or taken at random each time.
        randomize_ns: u64,
    },
    /// `timer.profile`, `timer.profile.freq.hz(n)`: on every CPU.
    Profile {
        /// Samples per second on each CPU; 0 for the kernel's tick rate.
        hz: u64,
    },
    /// Raw tracepoint by name (`sched_switch`).
    RawTracepoint {
        /// Name of the tracepoint.
        name: String,
    },
    /// The same with verifier-known types.
    BtfTracepoint {
        /// Name of the tracepoint.
        name: String,
        /// The module that has it.
        module: Option<String>,
        /// Id of `btf_trace_NAME` in the BTF of the kernel or module compiled against (0: look it up).
        btf_id: u32,
    },
    /// `raw_syscalls:sys_enter` or `sys_exit` through a perf event, which keeps preemption off.
    RawSyscall {
        /// Whether it is `sys_exit`.
        is_return: bool,
    },
    /// Function entry through a trampoline.
    Fentry(KernelFunction),
    /// Function return through a trampoline.
    Fexit(KernelFunction),
    /// Function entry or an instruction, through a kprobe.
    Kprobe {
        /// Where.
        function: KernelFunction,
        /// Bytes from the function's start.
        offset: u64,
    },
    /// Function return through a kretprobe.
    Kretprobe {
        /// Which.
        function: KernelFunction,
        /// `.maxactive(n)`; 0 for the kernel's default.
        maxactive: u32,
        /// Whether a kprobe must save the entry arguments first.
        save_entry: bool,
    },
    /// An instruction of a user binary.
    Uprobe {
        /// The file.
        path: String,
        /// Offset in the file, bytes.
        offset: u64,
        /// Offset in the file of a 16-bit semaphore to raise while attached; 0 for none.
        ref_ctr_offset: u64,
        /// Whose processes.
        scope: ProcessScope,
    },
    /// The return of a user function.
    Uretprobe {
        /// The file.
        path: String,
        /// Offset of the function's entry in the file, bytes.
        offset: u64,
        /// Whose processes.
        scope: ProcessScope,
        /// Whether a uprobe must save the entry arguments first.
        save_entry: bool,
    },
    /// A perf event on every CPU (or one process).
    PerfEvent {
        /// `PERF_TYPE_*`.
        kind: u32,
        /// The event.
        config: u64,
        /// Sample every `.0` events, or `.0` times a second.
        period: PerfPeriod,
    },
    /// A counter that `@perf` reads, on every CPU. Its handler never runs.
    PerfCounter {
        /// Its name.
        name: String,
        /// Its number in the map of counters.
        number: u32,
        /// `PERF_TYPE_*`.
        kind: u32,
        /// The event.
        config: u64,
    },
    /// A hardware breakpoint on data of the kernel, on every CPU.
    Breakpoint {
        /// Where.
        place: DataPlace,
        /// Which accesses.
        access: DataAccess,
        /// Bytes that are watched: 1, 2, 4 or 8.
        length_bytes: u8,
    },
}

/// Where data of the kernel is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataPlace {
    /// At this address.
    Address(u64),
    /// At the symbol's address, which the running kernel tells.
    Symbol(String),
}

/// Which accesses a hardware breakpoint stops at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataAccess {
    /// Writes.
    Write,
    /// Reads and writes.
    ReadWrite,
}

/// A function of the kernel or of a module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KernelFunction {
    /// Its symbol.
    pub name: String,
    /// Its module; `None` for vmlinux.
    pub module: Option<String>,
    /// Id of its BTF function in the kernel compiled against (0: none, or look it up).
    pub btf_id: u32,
    /// Its address when it must be attached by address (duplicate names, `.absolute`), else 0.
    pub address: u64,
}

/// Which processes a user probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProcessScope {
    /// All that map the file, also future ones.
    All,
    /// One PID, known when compiling.
    Pid(u32),
    /// The target of `-x` or `-c` (and its children), known when running.
    Target,
}

/// How often a perf event samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PerfPeriod {
    /// Every n-th event.
    Count(u64),
    /// n times a second.
    Hz(u64),
}

/// Tracepoints in the functions that lock, or that keep interrupts and preemption off while something is locked.
const LOCK_TRACEPOINTS: [&str; 9] = [
    "contention_begin",
    "contention_end",
    "irq_disable",
    "irq_enable",
    "lock_acquire",
    "lock_acquired",
    "lock_release",
    "preempt_disable",
    "preempt_enable",
];

/// Parts of the names of such functions.
const LOCK_FUNCTIONS: [&str; 10] = [
    "bpf_common_lru",
    "bpf_lru_",
    "freelist_",
    "spin_lock",
    "spin_release",
    "spin_trylock",
    "spin_unlock",
    "lock_acquire",
    "lock_release",
    "preempt_count_",
];

impl Attach {
    /// Name of the tracepoint of a [`Attach::RawSyscall`].
    pub fn raw_syscall(is_return: bool) -> &'static str {
        if is_return { "sys_exit" } else { "sys_enter" }
    }

    /// Whether it is at an instruction of a program, entry or return.
    pub fn is_uprobe(&self) -> bool {
        matches!(self, Attach::Uprobe { .. } | Attach::Uretprobe { .. })
    }

    /// Whether it is where a function of the kernel returns to, the registers being its caller's.
    pub fn is_kretprobe(&self) -> bool {
        matches!(self, Attach::Kretprobe { .. })
    }

    /// Whether the kernel may come there while it takes or gives back a lock, that of a map too.
    pub fn is_in_locks(&self) -> bool {
        match self {
            Attach::RawTracepoint { name } | Attach::BtfTracepoint { name, .. } => {
                LOCK_TRACEPOINTS.contains(&name.as_str())
            }
            Attach::Fentry(function)
            | Attach::Fexit(function)
            | Attach::Kprobe { function, .. }
            | Attach::Kretprobe { function, .. } => LOCK_FUNCTIONS
                .iter()
                .any(|part| function.name.contains(part)),
            // User-side, or where no lock is held; in interrupts that nothing keeps off maps only try to take locks.
            Attach::Begin { .. }
            | Attach::End { .. }
            | Attach::Error { .. }
            | Attach::Never
            | Attach::Timer { .. }
            | Attach::Profile { .. }
            | Attach::RawSyscall { .. }
            | Attach::Uprobe { .. }
            | Attach::Uretprobe { .. }
            | Attach::PerfEvent { .. }
            | Attach::PerfCounter { .. }
            | Attach::Breakpoint { .. } => false,
        }
    }

    /// Where the entry half of a return probe is attached: the function's entry.
    pub fn entry(&self) -> Option<Attach> {
        match self {
            Attach::Kretprobe { function, .. } => Some(Attach::Kprobe {
                function: function.clone(),
                offset: 0,
            }),
            Attach::Uretprobe {
                path,
                offset,
                scope,
                ..
            } => Some(Attach::Uprobe {
                path: path.clone(),
                offset: *offset,
                ref_ctr_offset: 0,
                scope: *scope,
            }),
            _ => None,
        }
    }

    /// Whether the runtime itself runs the handler, in user space.
    pub fn is_user_side(&self) -> bool {
        matches!(
            self,
            Attach::Begin { .. }
                | Attach::End { .. }
                | Attach::Error { .. }
                | Attach::Never
                | Attach::PerfCounter { .. }
                | Attach::Timer { .. }
        )
    }
}
