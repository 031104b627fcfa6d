//! `perf_event_open(2)`: counters and clocks that sample, kprobes, uprobes.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::link::Link;
use super::prog::Program;

/// `PERF_TYPE_SOFTWARE`
pub const TYPE_SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`
const TYPE_TRACEPOINT: u32 = 2;
/// `PERF_TYPE_BREAKPOINT`
const TYPE_BREAKPOINT: u32 = 5;
/// `HW_BREAKPOINT_R`
const BREAK_ON_READ: u32 = 1;
/// `HW_BREAKPOINT_W`
const BREAK_ON_WRITE: u32 = 2;
/// `PERF_COUNT_SW_CPU_CLOCK`
pub const SOFTWARE_CPU_CLOCK: u64 = 0;

/// `PERF_COUNT_SW_DUMMY`
const SOFTWARE_DUMMY: u64 = 9;

const FLAG_PINNED: u64 = 1 << 2;
const FLAG_MMAP: u64 = 1 << 8;
const FLAG_FREQUENCY: u64 = 1 << 10;
const FLAG_TASK: u64 = 1 << 13;
const FLAG_MMAP2: u64 = 1 << 23;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
/// `PERF_EVENT_IOC_ENABLE`
const IOC_ENABLE: libc::c_ulong = 0x2400;
/// `PERF_EVENT_IOC_SET_BPF`
const IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// `struct perf_event_attr` up to its fifth version (Linux 4.1).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    rest: [u64; 5],
}

/// What to open.
#[derive(Clone, Debug, Default)]
pub struct PerfEventSpec {
    attr: Attr,
    /// What `config1` points to.
    text: Option<CString>,
}

/// An open event; dropping it removes it.
#[derive(Debug)]
pub struct PerfEvent {
    fd: OwnedFd,
}

/// A program on an event. Dropping it detaches.
#[derive(Debug)]
pub struct PerfLink {
    // Dropped in this order: the link, then the event.
    link: Option<Link>,
    event: PerfEvent,
}

impl PerfLink {
    /// What it hangs on.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let link = self.link.as_ref().map(|link| link.as_fd().as_raw_fd());
        link.into_iter()
            .chain([self.event.as_fd().as_raw_fd()])
            .collect()
    }

    /// See [`Link::missed`].
    pub fn missed(&self) -> u64 {
        self.link.as_ref().map_or(0, Link::missed)
    }
}

/// The number of a dynamic PMU, which sysfs tells.
fn pmu_type(name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/type"))?;
    text.trim()
        .parse()
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The bit of `config` that makes a probe one of returns: 0 in all known kernels, sysfs tells.
fn return_bit(pmu: &str) -> u64 {
    let path = format!("/sys/bus/event_source/devices/{pmu}/format/retprobe");
    let text = fs::read_to_string(path).unwrap_or_default();
    let bit = text
        .trim()
        .strip_prefix("config:")
        .and_then(|bit| bit.parse::<u32>().ok());
    1 << bit.unwrap_or(0).min(63)
}

impl PerfEventSpec {
    fn new(kind: u32, config: u64) -> Self {
        let attr = Attr {
            kind,
            config,
            size: size_of::<Attr>() as u32,
            ..Attr::default()
        };
        Self { attr, text: None }
    }

    /// Nothing but the records of what processes map and of their forks.
    pub(super) fn maps_of_processes() -> Self {
        let mut spec = Self::new(TYPE_SOFTWARE, SOFTWARE_DUMMY);
        spec.attr.flags = FLAG_MMAP | FLAG_MMAP2 | FLAG_TASK;
        spec
    }

    /// A counter that does not sample; pinned: it counts all of the time or not at all.
    pub fn counter(kind: u32, config: u64) -> Self {
        let mut spec = Self::new(kind, config);
        spec.attr.flags = FLAG_PINNED;
        spec
    }

    /// An event that runs its program `hz` times a second.
    pub fn sampling_hz(kind: u32, config: u64, hz: u64) -> Self {
        let mut spec = Self::new(kind, config);
        spec.attr.sample = hz;
        spec.attr.flags = FLAG_FREQUENCY;
        spec
    }

    /// An event that runs its program every `count` events.
    pub fn sampling_period(kind: u32, config: u64, count: u64) -> Self {
        let mut spec = Self::new(kind, config);
        spec.attr.sample = count;
        spec
    }

    /// A hardware breakpoint that runs its program at every write (`reads`: and read) of
    /// some of the 1, 2, 4 or 8 bytes at an address of the kernel.
    pub fn breakpoint(address: u64, length_bytes: u8, reads: bool) -> Self {
        let mut spec = Self::sampling_period(TYPE_BREAKPOINT, 0, 1);
        spec.attr.bp_type = BREAK_ON_WRITE | if reads { BREAK_ON_READ } else { 0 };
        // bp_addr and bp_len share these words.
        spec.attr.config1 = address;
        spec.attr.config2 = u64::from(length_bytes);
        spec
    }

    /// A tracepoint, by its number in tracefs.
    pub fn tracepoint(number: u32) -> Self {
        Self::new(TYPE_TRACEPOINT, u64::from(number))
    }

    /// A kprobe at a function or symbol plus offset, or at an address when `symbol` is
    /// `None`; with `is_return` a kretprobe.
    pub fn kprobe(
        symbol: Option<&str>,
        offset_or_address: u64,
        is_return: bool,
    ) -> io::Result<Self> {
        let mut spec = Self::new(pmu_type("kprobe")?, 0);
        if is_return {
            spec.attr.config |= return_bit("kprobe");
        }
        spec.text = symbol.map(CString::new).transpose()?;
        spec.attr.config2 = offset_or_address;
        Ok(spec)
    }

    /// A uprobe at an offset in a file, with `is_return` a uretprobe. `ref_ctr_offset` is
    /// that of a semaphore in the file, 0 for none.
    pub fn uprobe(
        path: &str,
        offset: u64,
        ref_ctr_offset: u64,
        is_return: bool,
    ) -> io::Result<Self> {
        let mut spec = Self::new(pmu_type("uprobe")?, 0);
        if is_return {
            spec.attr.config |= return_bit("uprobe");
        }
        if ref_ctr_offset != 0 {
            let offset = u32::try_from(ref_ctr_offset).map_err(|_| io::ErrorKind::InvalidInput)?;
            spec.attr.config |= u64::from(offset) << 32;
        }
        spec.text = Some(CString::new(path)?);
        spec.attr.config2 = offset;
        Ok(spec)
    }

    /// Opens the event on one CPU, for one process or all (`None`).
    ///
    /// Probes (kprobe, uprobe) fire on all CPUs whichever is given.
    pub fn open(&self, cpu: u32, pid: Option<u32>) -> io::Result<PerfEvent> {
        let mut attr = self.attr;
        if let Some(text) = &self.text {
            attr.config1 = text.as_ptr() as u64;
        }
        // A process is followed on all CPUs.
        let (pid, cpu) = match pid {
            Some(pid) => (pid as libc::pid_t, -1),
            None => (-1, cpu as libc::c_int),
        };
        let no_group: libc::c_int = -1;
        // SAFETY: `attr` is a valid structure of the size it names; `config1` is 0 or a
        // terminated string that lives as long as `self`.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attr,
                pid,
                cpu,
                no_group,
                PERF_FLAG_FD_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call returned a new descriptor, which nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(PerfEvent { fd })
    }
}

impl PerfEvent {
    /// Runs `program` on the event: by a link where the kernel has these (`use_link`,
    /// Linux 5.15), which also gives the program a cookie.
    pub fn attach(self, program: &Program, use_link: bool, cookie: u64) -> io::Result<PerfLink> {
        let link = if use_link {
            Some(Link::perf_event(program, self.fd.as_fd(), cookie)?)
        } else {
            let program = program.as_fd().as_raw_fd() as libc::c_ulong;
            self.ioctl(IOC_SET_BPF, program)?;
            None
        };
        self.ioctl(IOC_ENABLE, 0)?;
        Ok(PerfLink { link, event: self })
    }

    /// Whether it counts: a pinned event that the processor has no counter for gives the end of file.
    pub fn counts(&self) -> bool {
        let mut count = [0_u8; 8];
        // SAFETY: the buffer is as long as said.
        let read =
            unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        read == count.len() as isize
    }

    fn ioctl(&self, request: libc::c_ulong, value: libc::c_ulong) -> io::Result<()> {
        // SAFETY: these requests take a number, not an address.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), request, value) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl AsFd for PerfEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
