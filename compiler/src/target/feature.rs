//! What kernels can do: one row per feature, with the release it came with.
//!
//! The runtime decides most of them by trying, not by version: distributions backport.
//! The release is for messages ("needs Linux 5.17") and for fixtures.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the table says of a feature.
#[derive(Clone, Copy, Debug)]
pub struct FeatureInfo {
    /// The feature.
    pub feature: Feature,
    /// Its name in messages and in `rtap list`.
    pub name: &'static str,
    /// First release that has it: (major, minor).
    pub since: (u32, u32),
    /// The helper function that is the feature, if it is one.
    pub helper: Option<u32>,
    /// The configuration option it depends on, for messages.
    pub option: Option<&'static str>,
}

/// Declares the enum, its `ALL` and its table from one list.
macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident $name:literal $since:tt $(helper $helper:literal)? $(option $option:literal)?;)*) => {
        /// Something that not every supported kernel (5.10 and later) can do, or not
        /// in every configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Feature {
            $($(#[$doc])* $variant,)*
        }

        impl Feature {
            /// Every feature, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The feature's row.
            pub fn info(self) -> FeatureInfo {
                match self {
                    $(Self::$variant => FeatureInfo {
                        feature: self,
                        name: $name,
                        since: $since,
                        helper: [$($helper)?].first().copied(),
                        option: [$($option)?].first().copied(),
                    },)*
                }
            }
        }
    };
}

features! {
    // Mechanisms.
    /// kprobes through the `kprobe` PMU.
    Kprobe "kprobes" (4, 17) option "CONFIG_KPROBE_EVENTS";
    /// One link for many kprobes.
    KprobeMulti "kprobe.multi" (5, 18) option "CONFIG_FPROBE";
    /// Entry and return of many functions in one program, with a cookie between them.
    KprobeSession "kprobe.session" (6, 10) option "CONFIG_FPROBE";
    /// uprobes through the `uprobe` PMU.
    Uprobe "uprobes" (4, 17) option "CONFIG_UPROBE_EVENTS";
    /// Semaphores of SDT probes.
    UprobeRefCounter "uprobe reference counters" (4, 20) option "CONFIG_UPROBE_EVENTS";
    /// One link for many uprobes.
    UprobeMulti "uprobe.multi" (6, 6) option "CONFIG_UPROBE_EVENTS";
    /// Entry and return of many user functions in one program.
    UprobeSession "uprobe.session" (6, 13) option "CONFIG_UPROBE_EVENTS";
    /// Programs on uprobes that may sleep: pages that are not there yet are brought in.
    SleepableUprobe "sleepable uprobe programs" (6, 0) option "CONFIG_UPROBE_EVENTS";
    /// Queues in programs that may sleep.
    SleepableQueue "queues in sleepable programs" (6, 9);
    /// Raw tracepoints.
    RawTracepoint "raw tracepoints" (4, 17) option "CONFIG_TRACEPOINTS";
    /// Raw tracepoints with arguments typed by BTF.
    BtfTracepoint "BTF tracepoints" (5, 5) option "CONFIG_DEBUG_INFO_BTF";
    /// The same for tracepoints of modules.
    BtfTracepointModule "BTF tracepoints of modules" (5, 11) option "CONFIG_DEBUG_INFO_BTF_MODULES";
    /// fentry and fexit on kernel functions.
    Fentry "fentry" (5, 5) option "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";
    /// fentry and fexit on functions of modules.
    FentryModule "fentry on modules" (5, 11) option "CONFIG_DEBUG_INFO_BTF_MODULES";
    /// Programs on software and hardware counters.
    PerfEvent "perf events" (4, 9) option "CONFIG_PERF_EVENTS";
    /// Hardware counters: cycles, instructions.
    PerfHardware "hardware perf events" (2, 6) option "CONFIG_PERF_EVENTS";
    /// Hardware breakpoints on data.
    HardwareBreakpoint "hardware breakpoints" (2, 6) option "CONFIG_HAVE_HW_BREAKPOINT";
    /// Trampolines of functions that take structures by value.
    StructArguments "structures as arguments of fentry" (6, 1);
    /// Programs on trampolines may read arguments that point to numbers.
    NumberArguments "arguments that point to numbers" (5, 17);
    /// They may read whatever pointers there are.
    PointerArguments "arguments that point to anything" (7, 0);
    /// Links and cookies for kprobes, uprobes and perf events.
    PerfEventLink "perf event links" (5, 15);
    /// Cookies for BTF tracepoints, fentry and fexit.
    TracingCookie "tracing cookies" (5, 19);
    /// Programs that decide LSM hooks.
    Lsm "BPF LSM" (5, 7) option "CONFIG_BPF_LSM";
    /// netfilter programs.
    Netfilter "netfilter programs" (6, 4) option "CONFIG_NETFILTER_BPF_LINK";
    /// Running raw tracepoint programs by hand.
    TestRunRawTracepoint "test runs of raw tracepoints" (5, 10);
    /// Time and count per program.
    ProgramStats "program statistics" (5, 8);
    /// A program that interrupts itself is skipped and counted.
    RecursionGuard "recursion guard of raw tracepoints" (6, 1);
    /// Programs on tracepoints run with preemption on: what happens on a processor while one
    /// is interrupted, the kernel does not give to it.
    PreemptibleTracepoint "preemptible tracepoint programs" (7, 0);

    // Maps.
    /// `BPF_MAP_TYPE_RINGBUF`
    RingBuffer "ring buffers" (5, 8);
    /// `BPF_MAP_LOOKUP_BATCH` and its kin for hash maps.
    BatchMapOps "batch map operations" (5, 6);
    /// Batch operations for per-CPU arrays.
    BatchPercpuArray "batch operations on per-CPU arrays" (5, 13);
    /// Keys of hash maps larger than the eBPF stack.
    LargeKeys "hash map keys above 512 bytes" (5, 11);
    /// `BPF_MAP_TYPE_TASK_STORAGE` in tracing programs.
    TaskStorage "task storage" (5, 11) helper 156;
    /// Memory is charged to a cgroup, not to RLIMIT_MEMLOCK.
    CgroupAccounting "cgroup accounting" (5, 11);

    // Instructions and control flow.
    /// `BPF_FETCH`, `BPF_XCHG`, `BPF_CMPXCHG`, atomic and/or/xor.
    AtomicFetch "atomic fetch and exchange" (5, 12);
    /// Version 4 instructions: signed division, sign-extending loads and moves, `bswap`.
    CpuV4 "version 4 instructions" (6, 6);
    /// `may_goto`
    MayGoto "may_goto" (6, 9);
    /// Iterators over numbers, `bpf_iter_num_new`.
    NumIterator "number iterators" (6, 4);
    /// `bpf_rdonly_cast`: loads from any address of the kernel.
    ReadOnlyCast "bpf_rdonly_cast" (6, 2);
    /// Load-acquire and store-release.
    LoadAcquire "load-acquire" (6, 15);

    // Helpers.
    /// `bpf_loop`
    BpfLoop "bpf_loop" (5, 17) helper 181;
    /// `bpf_for_each_map_elem`
    ForEachMapElem "bpf_for_each_map_elem" (5, 13) helper 164;
    /// `bpf_map_lookup_percpu_elem`
    LookupPercpuElem "bpf_map_lookup_percpu_elem" (5, 19) helper 195;
    /// `bpf_get_attach_cookie`
    AttachCookie "bpf_get_attach_cookie" (5, 15) helper 174;
    /// `bpf_get_func_ip`
    FuncIp "bpf_get_func_ip" (5, 15) helper 173;
    /// `bpf_get_func_arg`, `_ret` and `_cnt`
    FuncArg "bpf_get_func_arg" (5, 17) helper 183;
    /// `bpf_ktime_get_boot_ns`
    KtimeBoot "bpf_ktime_get_boot_ns" (5, 8) helper 125;
    /// `bpf_ktime_get_tai_ns`
    KtimeTai "bpf_ktime_get_tai_ns" (6, 1) helper 208;
    /// `bpf_get_current_task_btf`
    CurrentTaskBtf "bpf_get_current_task_btf" (5, 11) helper 158;
    /// `bpf_task_pt_regs`
    TaskPtRegs "bpf_task_pt_regs" (5, 15) helper 175;
    /// `bpf_snprintf`
    Snprintf "bpf_snprintf" (5, 13) helper 165;
    /// `bpf_strncmp`
    Strncmp "bpf_strncmp" (5, 17) helper 182;
    /// `bpf_d_path`, in a few functions only.
    DPath "bpf_d_path" (5, 10) helper 147;
    /// `bpf_probe_read_kernel` and its kin.
    ProbeReadKernel "bpf_probe_read_kernel" (5, 5) helper 113;
    /// `bpf_copy_from_user`, in programs that may sleep.
    CopyFromUser "bpf_copy_from_user" (5, 10) helper 148;
    /// `bpf_send_signal`
    SendSignal "bpf_send_signal" (5, 3) helper 109;
    /// `bpf_send_signal_thread`
    SendSignalThread "bpf_send_signal_thread" (5, 5) helper 117;
    /// `bpf_probe_write_user`
    ProbeWriteUser "bpf_probe_write_user" (4, 8) helper 36;
    /// `bpf_override_return`
    OverrideReturn "bpf_override_return" (4, 16) helper 58 option "CONFIG_BPF_KPROBE_OVERRIDE";
    /// `bpf_get_branch_snapshot`
    BranchSnapshot "bpf_get_branch_snapshot" (5, 16) helper 176;
    /// `bpf_get_task_stack`
    TaskStack "bpf_get_task_stack" (5, 9) helper 141;
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}

/// The oldest release of Linux that rtap supports.
pub const OLDEST_RELEASE: (u32, u32) = (5, 10);

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(u64);

const _: () = assert!(Feature::ALL.len() <= 64, "Features is a set of 64 bits");

impl Features {
    /// The set of everything.
    pub fn all() -> Self {
        Feature::ALL.iter().copied().collect()
    }

    /// What an unpatched kernel of a release has when all options are on.
    pub fn of_release(release: (u32, u32)) -> Self {
        Feature::ALL
            .iter()
            .copied()
            .filter(|feature| feature.info().since <= release)
            .collect()
    }

    /// Whether a feature is in the set.
    pub fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 != 0
    }

    /// The set with a feature.
    #[must_use]
    pub fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u32)
    }

    /// The set without a feature.
    #[must_use]
    pub fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u32))
    }

    /// The set without the features of another one.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The features of the set, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .iter()
            .copied()
            .filter(move |&feature| self.has(feature))
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_features() {
        let set = Features::default()
            .with(Feature::BpfLoop)
            .with(Feature::TaskStack);
        assert!(set.has(Feature::BpfLoop) && !set.has(Feature::Kprobe));
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Feature::BpfLoop, Feature::TaskStack]
        );
        assert_eq!(set.without(Feature::BpfLoop).iter().count(), 1);
        assert_eq!(Features::all().iter().count(), Feature::ALL.len());
    }

    #[test]
    fn releases_bring_features() {
        let old = Features::of_release((5, 10));
        assert!(old.has(Feature::RingBuffer) && !old.has(Feature::BpfLoop));
        assert!(Features::of_release((5, 17)).has(Feature::BpfLoop));
        assert_eq!(Feature::BpfLoop.info().helper, Some(181));
        assert_eq!(Feature::BpfLoop.to_string(), "bpf_loop");
    }
}
