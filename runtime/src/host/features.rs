//! Which features the kernel has, each tried when first asked for.
//!
//! A try costs some 50 µs: a program of a few instructions, a map of one page, a file's
//! existence. Without the right to try, the kernel's release decides.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rtap_compiler::bpf::DirectReads;
use rtap_compiler::btf::Kind;
use rtap_compiler::image::SMALL_KEY_BYTES;
use rtap_compiler::target::{Feature, Features, Target};

use super::file::exists;
use super::rights::{Capability, Rights, needed_for_perf_events, raise_memlock_limit};
use crate::bpf::map::{MapSpec, MapType};
use crate::bpf::perf::PerfEventSpec;
use crate::bpf::prog::SLEEPABLE;
use crate::bpf::{AttachType, Insn, Link, Map, ProgSpec, ProgType, Program};

/// Answers so far: two bits sets, asked and had.
#[derive(Debug, Default)]
pub(super) struct FeatureProbes {
    asked: AtomicU64,
    had: AtomicU64,
    /// Whether we may load programs.
    may_try: OnceLock<bool>,
}

impl FeatureProbes {
    /// The features that were asked for and are there.
    pub(super) fn had(&self) -> Features {
        let had = self.had.load(Ordering::Acquire);
        let all = Feature::ALL.iter().copied();
        all.filter(|feature| had >> *feature as u32 & 1 != 0)
            .collect()
    }

    /// Whether we may load programs, to see what the kernel says.
    pub(super) fn may_try(&self) -> bool {
        *self.may_try.get_or_init(|| {
            // What other programs hold counts too: at the limit every try would fail.
            raise_memlock_limit();
            Rights::of_self().missing_for_tracing().is_empty() && is_permitted()
        })
    }

    /// Whether the kernel has a feature.
    pub(super) fn has(&self, feature: Feature, target: &dyn Target) -> bool {
        let bit = 1 << feature as u32;
        if self.asked.load(Ordering::Acquire) & bit == 0 {
            let by_release = feature.info().since <= target.kernel().minor();
            let has = if self.may_try() {
                probe(feature, target).unwrap_or(by_release)
            } else {
                by_release
            };
            if has {
                self.had.fetch_or(bit, Ordering::Release);
            }
            self.asked.fetch_or(bit, Ordering::Release);
        }
        self.had.load(Ordering::Acquire) & bit != 0
    }
}

/// Whether programs are loaded at all: a container's seccomp filter may refuse bpf(2), or a limit memory.
fn is_permitted() -> bool {
    let tried = ProgSpec::new("probe", ProgType::Kprobe, &RETURN_0).load_quietly();
    !tried.is_err_and(|error| matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)))
}

/// The answer of the kernel, `None` when its release has to decide.
fn probe(feature: Feature, target: &dyn Target) -> Option<bool> {
    use Feature::*;
    let pmu = |name: &str| exists(&format!("/sys/bus/event_source/devices/{name}"));
    Some(match feature {
        Kprobe => pmu("kprobe/type"),
        Uprobe => pmu("uprobe/type"),
        UprobeRefCounter => pmu("uprobe/format/ref_ctr_offset"),
        PerfEvent => pmu("software/type"),
        PerfHardware => hardware_counters(),
        HardwareBreakpoint => pmu("breakpoint/type"),
        KprobeMulti => takes_kprobe_multi(AttachType::TraceKprobeMulti),
        KprobeSession => takes_kprobe_multi(AttachType::TraceKprobeSession),
        UprobeMulti => takes_uprobe_multi(AttachType::TraceUprobeMulti),
        SleepableUprobe => {
            let spec = ProgSpec::new("probe", ProgType::Kprobe, &RETURN_0);
            ProgSpec {
                flags: SLEEPABLE,
                ..spec
            }
            .load_quietly()
            .is_ok()
        }
        SleepableQueue => takes_sleepable_queues(),
        UprobeSession => takes_uprobe_multi(AttachType::TraceUprobeSession),
        PerfEventLink => takes_perf_links(),
        RawTracepoint => loads(ProgType::RawTracepoint, &RETURN_0),
        Netfilter => {
            let spec = ProgSpec::new("probe", ProgType::Netfilter, &RETURN_1);
            ProgSpec {
                attach: AttachType::Netfilter,
                ..spec
            }
            .load_quietly()
            .is_ok()
        }
        BtfTracepoint => {
            let id = tracepoint_id(target);
            id.is_some_and(|id| tracing(AttachType::TraceRawTp, id, &RETURN_0).is_ok())
        }
        // The kernel hands out the BTF of modules to whoever may do all.
        BtfTracepointModule => {
            let is_possible = target.has(BtfTracepoint)
                && Rights::of_self().has(Capability::SysAdmin)
                && target.kconfig("CONFIG_DEBUG_INFO_BTF_MODULES").is_on() != Some(false);
            return if is_possible { None } else { Some(false) };
        }
        Fentry => attaches_fentry(target),
        StructArguments => {
            // It takes a `kuid_t`.
            let function = target.btf().ok()?.find(Kind::Func, "from_kuid")?;
            tracing(AttachType::TraceFentry, function.0, &RETURN_0).is_ok()
        }
        FentryModule => {
            return target
                .has(Fentry)
                .then_some(())
                .map_or(Some(false), |()| None);
        }
        TracingCookie => tracing_helper(target, 174)?,
        Lsm => std::fs::read_to_string("/sys/kernel/security/lsm")
            .is_ok_and(|list| list.trim().split(',').any(|name| name == "bpf")),
        TestRunRawTracepoint => {
            let spec = ProgSpec::new("probe", ProgType::RawTracepoint, &RETURN_0);
            spec.load_quietly()
                .is_ok_and(|program| program.test_run(&[]).is_ok())
        }
        RingBuffer => makes_ring_buffer(),
        LargeKeys => takes_large_keys(),
        // In all kernels that rtap supports, or of no use without another feature.
        ProgramStats | BatchMapOps | BatchPercpuArray | NumberArguments | PointerArguments
        | RecursionGuard | FuncArg => return None,
        // Of interest where perf events can take their place.
        PreemptibleTracepoint => {
            feature.info().since <= target.kernel().minor() && opens_syscall_events(target)
        }
        // As libbpf does: bpf_ktime_get_coarse_ns came with the same release.
        CgroupAccounting => {
            knows_helper(&ProgSpec::new("probe", ProgType::SocketFilter, &call(160)))
        }
        AtomicFetch => loads(ProgType::RawTracepoint, &ATOMIC_FETCH),
        LoadAcquire => loads(ProgType::RawTracepoint, &LOAD_ACQUIRE),
        CpuV4 => loads(ProgType::RawTracepoint, &SIGNED_DIVISION),
        MayGoto => loads(ProgType::RawTracepoint, &MAY_GOTO),
        NumIterator => target
            .btf()
            .ok()?
            .find(Kind::Func, "bpf_iter_num_new")
            .is_some(),
        ReadOnlyCast => {
            let reads = DirectReads::of(&target.btf().ok()?);
            reads.is_some_and(|reads| loads(ProgType::Kprobe, &direct_read(reads)))
        }
        DPath => tracing_helper(target, feature.info().helper?)?,
        BpfLoop | ForEachMapElem | LookupPercpuElem | AttachCookie | FuncIp | KtimeBoot
        | KtimeTai | CurrentTaskBtf | TaskPtRegs | Snprintf | Strncmp | ProbeReadKernel
        | CopyFromUser | SendSignal | SendSignalThread | ProbeWriteUser | OverrideReturn
        | BranchSnapshot | TaskStack | TaskStorage => {
            let insns = call(feature.info().helper?);
            knows_helper(&ProgSpec::new("probe", ProgType::Kprobe, &insns))
        }
    })
}

/// An instruction: opcode, destination, source, offset, immediate.
const fn insn(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Insn {
    let low = u16::from_le_bytes([code, dst | src << 4]) as u64;
    low | (offset as u16 as u64) << 16 | (imm as u32 as u64) << 32
}

const EXIT: Insn = insn(0x95, 0, 0, 0, 0);
const MOV_R0_0: Insn = insn(0xb7, 0, 0, 0, 0);
const MOV_R0_1: Insn = insn(0xb7, 0, 0, 0, 1);
/// `*(u64 *)(r10 - 8) = 0`
const CLEAR_SLOT: Insn = insn(0x7a, 10, 0, -8, 0);

const RETURN_0: [Insn; 2] = [MOV_R0_0, EXIT];
const RETURN_1: [Insn; 2] = [MOV_R0_1, EXIT];
/// `r0 = atomic_fetch_add(r10 - 8, r0)`
const ATOMIC_FETCH: [Insn; 4] = [MOV_R0_1, CLEAR_SLOT, insn(0xdb, 10, 0, -8, 1), EXIT];
/// `r0 = load_acquire(r10 - 8)`
const LOAD_ACQUIRE: [Insn; 3] = [CLEAR_SLOT, insn(0xdb, 0, 10, -8, 0x100), EXIT];
/// `r0 s/= 2`
const SIGNED_DIVISION: [Insn; 3] = [MOV_R0_1, insn(0x37, 0, 0, 1, 2), EXIT];
/// `may_goto +0`
const MAY_GOTO: [Insn; 3] = [insn(0xe5, 0, 0, 0, 0), MOV_R0_0, EXIT];

/// A call of a helper without arguments: refused, but how shows whether it is known.
fn call(helper: u32) -> [Insn; 2] {
    [insn(0x85, 0, 0, 0, helper as i32), EXIT]
}

/// `r0 = *(u64 *)bpf_rdonly_cast(0, structure)`
fn direct_read(reads: DirectReads) -> [Insn; 5] {
    let address = insn(0xb7, 1, 0, 0, 0);
    let structure = insn(0xb7, 2, 0, 0, reads.word.0 as i32);
    let cast = insn(0x85, 0, 2, 0, reads.cast.0 as i32);
    [address, structure, cast, insn(0x79, 0, 0, 0, 0), EXIT]
}

fn loads(kind: ProgType, insns: &[Insn]) -> bool {
    ProgSpec::new("probe", kind, insns).load_quietly().is_ok()
}

/// Whether the verifier refuses a helper as unknown, or for its missing arguments.
fn knows_helper(spec: &ProgSpec<'_>) -> bool {
    /// Enough for a program of two instructions.
    const LOG_BYTES: usize = 16 << 10;
    let Err(failure) = spec.load_with_log(LOG_BYTES) else {
        return true;
    };
    !failure.log.is_empty()
        && !["unknown func", "invalid func", "cannot use helper"]
            .iter()
            .any(|word| failure.log.contains(word))
}

fn tracing(attach: AttachType, id: u32, insns: &[Insn]) -> io::Result<Program> {
    let spec = ProgSpec::new("probe", ProgType::Tracing, insns);
    ProgSpec {
        attach,
        attach_btf_id: id,
        ..spec
    }
    .load_quietly()
}

fn tracepoint_id(target: &dyn Target) -> Option<u32> {
    let btf = target.btf().ok()?;
    Some(btf.find(Kind::Typedef, "btf_trace_sched_switch")?.0)
}

/// Whether BTF tracepoint programs know a helper, `None` without such programs.
fn tracing_helper(target: &dyn Target, helper: u32) -> Option<bool> {
    let insns = call(helper);
    let spec = ProgSpec::new("probe", ProgType::Tracing, &insns);
    let attach_btf_id = tracepoint_id(target)?;
    Some(knows_helper(&ProgSpec {
        attach: AttachType::TraceRawTp,
        attach_btf_id,
        ..spec
    }))
}

/// Attaches to a function that nobody calls outside the kernel's own tests of fentry.
fn attaches_fentry(target: &dyn Target) -> bool {
    let Ok(btf) = target.btf() else { return false };
    let Some(id) = btf.find(Kind::Func, "bpf_fentry_test1") else {
        return false;
    };
    tracing(AttachType::TraceFentry, id.0, &RETURN_0)
        .is_ok_and(|program| program.open_raw_tracepoint(None).is_ok())
}

fn kprobe_program(attach: AttachType) -> io::Result<Program> {
    let spec = ProgSpec::new("probe", ProgType::Kprobe, &RETURN_0);
    ProgSpec { attach, ..spec }.load_quietly()
}

/// Address of an unmapped page: a kernel that knows the request gets as far as reading it.
const BAD_ADDRESS: u64 = 1;

fn takes_kprobe_multi(attach: AttachType) -> bool {
    kprobe_program(attach).is_ok_and(|program| {
        Link::probe_kprobe_multi(&program, attach, BAD_ADDRESS) == Some(libc::EFAULT)
    })
}

fn takes_uprobe_multi(attach: AttachType) -> bool {
    kprobe_program(attach).is_ok_and(|program| {
        Link::probe_uprobe_multi(&program, attach, BAD_ADDRESS) == Some(libc::EFAULT)
    })
}

/// Whether system calls can be had by perf events: their numbers are in tracefs.
fn opens_syscall_events(target: &dyn Target) -> bool {
    Rights::of_self()
        .missing(needed_for_perf_events())
        .is_empty()
        && target
            .tracepoint_format("raw_syscalls", "sys_enter")
            .is_ok()
}

/// Links to something that is no perf event: known requests complain about that.
fn takes_perf_links() -> bool {
    let Ok(program) = kprobe_program(AttachType::Any) else {
        return false;
    };
    let Ok(other) = kprobe_program(AttachType::Any) else {
        return false;
    };
    let refused = Link::perf_event(&program, other.as_fd(), 0).err();
    refused.and_then(|error| error.raw_os_error()) == Some(libc::EBADF)
}

fn takes_sleepable_queues() -> bool {
    let spec = MapSpec {
        name: "probe",
        kind: MapType::Queue,
        key_size: 0,
        value_size: 8,
        max_entries: 1,
        flags: 0,
        btf: None,
        inner: None,
    };
    let Ok(queue) = Map::create(&spec, 1) else {
        return false;
    };
    // r1 = the queue
    let address = insn(0x18, 1, 1, 0, queue.as_fd().as_raw_fd());
    let insns = [address, insn(0, 0, 0, 0, 0), MOV_R0_0, EXIT];
    let spec = ProgSpec::new("probe", ProgType::Kprobe, &insns);
    ProgSpec {
        flags: SLEEPABLE,
        ..spec
    }
    .load_quietly()
    .is_ok()
}

fn makes_ring_buffer() -> bool {
    let page = page_bytes();
    let spec = MapSpec {
        name: "probe",
        kind: MapType::RingBuf,
        key_size: 0,
        value_size: 0,
        max_entries: page,
        flags: 0,
        btf: None,
        inner: None,
    };
    Map::create(&spec, 1).is_ok()
}

fn takes_large_keys() -> bool {
    let spec = MapSpec {
        name: "probe",
        kind: MapType::Hash,
        key_size: SMALL_KEY_BYTES + 8,
        value_size: 8,
        max_entries: 1,
        flags: 0,
        btf: None,
        inner: None,
    };
    Map::create(&spec, 1).is_ok()
}

fn page_bytes() -> u32 {
    // SAFETY: no memory is involved.
    u32::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn hardware_counters() -> bool {
    // PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES.
    PerfEventSpec::counter(0, 0).open(0, None).is_ok()
}
