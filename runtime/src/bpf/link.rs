//! Links: attachments that last as long as their descriptor.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::prog::{AttachType, Program};
use super::sys::{self, Command};

/// An attachment; dropping it detaches.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
}

/// `BPF_F_KPROBE_MULTI_RETURN`, and the same for uprobes.
const MULTI_RETURN: u32 = 1;

impl Link {
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Attaches to a perf event (kprobe, uprobe, counter) (Linux 5.15).
    pub fn perf_event(program: &Program, event: BorrowedFd<'_>, cookie: u64) -> io::Result<Self> {
        let mut attr = sys::LinkCreatePerfEvent {
            prog_fd: program.as_fd().as_raw_fd() as u32,
            target_fd: event.as_raw_fd() as u32,
            attach_type: AttachType::PerfEvent as u32,
            cookie,
            ..Default::default()
        };
        // SAFETY: the attributes hold no addresses.
        unsafe { sys::bpf_fd(Command::LinkCreate, &mut attr) }.map(Self::from_fd)
    }

    /// Attaches a `Tracing` program to what it was loaded for, with a cookie (Linux 5.19).
    pub fn tracing(program: &Program, attach: AttachType, cookie: u64) -> io::Result<Self> {
        let mut attr = sys::LinkCreateTracing {
            prog_fd: program.as_fd().as_raw_fd() as u32,
            attach_type: attach as u32,
            cookie,
            ..Default::default()
        };
        // SAFETY: the attributes hold no addresses.
        unsafe { sys::bpf_fd(Command::LinkCreate, &mut attr) }.map(Self::from_fd)
    }

    /// Attaches to the entries, or with `is_return` to the returns, of many kernel
    /// functions (Linux 5.18). `cookies` is empty or has one for each function.
    ///
    /// One name that the kernel does not know, or that is not traceable, fails all.
    pub fn kprobe_multi(
        program: &Program,
        functions: KprobeTargets<'_>,
        cookies: &[u64],
        is_return: bool,
        attach: AttachType,
    ) -> io::Result<Self> {
        let names: Vec<CString>;
        let pointers: Vec<u64>;
        let (cnt, syms, addrs) = match functions {
            KprobeTargets::Names(all) => {
                names = all
                    .iter()
                    .map(|&name| CString::new(name))
                    .collect::<Result<_, _>>()?;
                pointers = names.iter().map(|name| name.as_ptr() as u64).collect();
                (all.len(), pointers.as_ptr() as u64, 0)
            }
            KprobeTargets::Addresses(all) => (all.len(), 0, all.as_ptr() as u64),
        };
        check_cookies(cookies, cnt)?;
        let mut attr = sys::LinkCreateKprobeMulti {
            prog_fd: program.as_fd().as_raw_fd() as u32,
            attach_type: attach as u32,
            multi_flags: if is_return { MULTI_RETURN } else { 0 },
            cnt: cnt as u32,
            syms,
            addrs,
            cookies: address_or_zero(cookies),
            ..Default::default()
        };
        // SAFETY: `syms` or `addrs`, and `cookies` unless 0, are arrays of `cnt` words; the
        // strings live until the end of this function.
        unsafe { sys::bpf_fd(Command::LinkCreate, &mut attr) }.map(Self::from_fd)
    }

    /// Attaches to many places of one user binary (Linux 6.6).
    pub fn uprobe_multi(program: &Program, targets: &UprobeTargets<'_>) -> io::Result<Self> {
        let path = CString::new(targets.path)?;
        let cnt = targets.offsets.len();
        check_cookies(targets.cookies, cnt)?;
        check_cookies(targets.ref_ctr_offsets, cnt)?;
        let mut attr = sys::LinkCreateUprobeMulti {
            prog_fd: program.as_fd().as_raw_fd() as u32,
            attach_type: targets.attach as u32,
            path: path.as_ptr() as u64,
            offsets: targets.offsets.as_ptr() as u64,
            ref_ctr_offsets: address_or_zero(targets.ref_ctr_offsets),
            cookies: address_or_zero(targets.cookies),
            cnt: cnt as u32,
            multi_flags: if targets.is_return { MULTI_RETURN } else { 0 },
            pid: targets.pid,
            ..Default::default()
        };
        // SAFETY: `path` is a terminated string, the arrays have `cnt` words or are 0.
        unsafe { sys::bpf_fd(Command::LinkCreate, &mut attr) }.map(Self::from_fd)
    }
}

/// The first part of `struct bpf_link_info`, in words of eight bytes.
#[repr(C)]
struct RawLinkInfo([u64; 8]);

/// `BPF_LINK_TYPE_PERF_EVENT`
const PERF_EVENT: u32 = 7;
/// `BPF_LINK_TYPE_KPROBE_MULTI`
const KPROBE_MULTI: u32 = 8;
/// `BPF_PERF_EVENT_KPROBE` and `BPF_PERF_EVENT_KRETPROBE`
const KPROBES: std::ops::RangeInclusive<u32> = 3..=4;

impl Link {
    /// How often a kprobe could not fire, or a kretprobe had no room to remember a call
    /// (Linux 6.7; 0 before, and for other kinds of links).
    pub fn missed(&self) -> u64 {
        let mut raw = RawLinkInfo([0; 8]);
        let mut attr = sys::InfoByFd {
            bpf_fd: self.fd.as_raw_fd() as u32,
            info_len: size_of::<RawLinkInfo>() as u32,
            info: std::ptr::from_mut(&mut raw) as u64,
        };
        // SAFETY: `raw` has room for `info_len` bytes, zeroed, so that no array is asked for.
        if unsafe { sys::bpf(Command::InfoByFd, &mut attr) }.is_err() {
            return 0;
        }
        let [type_and_id, _, kind, _, multi_missed, _, event_missed, _] = raw.0;
        match type_and_id as u32 {
            PERF_EVENT if KPROBES.contains(&(kind as u32)) => event_missed,
            KPROBE_MULTI => multi_missed,
            _ => 0,
        }
    }

    /// The error number that a request of one function at a bad address meets; tells
    /// whether the kernel knows such requests.
    pub(crate) fn probe_kprobe_multi(
        program: &Program,
        attach: AttachType,
        bad: u64,
    ) -> Option<i32> {
        let mut attr = sys::LinkCreateKprobeMulti {
            prog_fd: program.as_fd().as_raw_fd() as u32,
            attach_type: attach as u32,
            cnt: 1,
            addrs: bad,
            ..Default::default()
        };
        // SAFETY: the kernel checks addresses; it only reads from this one.
        unsafe { sys::bpf_fd(Command::LinkCreate, &mut attr) }
            .err()?
            .raw_os_error()
    }

    /// The same for user binaries.
    pub(crate) fn probe_uprobe_multi(
        program: &Program,
        attach: AttachType,
        bad: u64,
    ) -> Option<i32> {
        let mut attr = sys::LinkCreateUprobeMulti {
            prog_fd: program.as_fd().as_raw_fd() as u32,
            attach_type: attach as u32,
            path: bad,
            offsets: bad,
            cnt: 1,
            ..Default::default()
        };
        // SAFETY: the kernel checks addresses; it only reads from these.
        unsafe { sys::bpf_fd(Command::LinkCreate, &mut attr) }
            .err()?
            .raw_os_error()
    }
}

/// Functions of the kernel.
#[derive(Clone, Copy, Debug)]
pub enum KprobeTargets<'a> {
    /// By symbol.
    Names(&'a [&'a str]),
    /// By address of the function's entry.
    Addresses(&'a [u64]),
}

/// Places in a user binary.
#[derive(Clone, Copy, Debug)]
pub struct UprobeTargets<'a> {
    /// The file.
    pub path: &'a str,
    /// Offsets in the file.
    pub offsets: &'a [u64],
    /// Offsets in the file of semaphores; empty, or one for each offset (0: none).
    pub ref_ctr_offsets: &'a [u64],
    /// Empty, or one for each offset.
    pub cookies: &'a [u64],
    /// Whether to probe the returns of the functions there.
    pub is_return: bool,
    /// The one process to probe, 0 for all.
    pub pid: u32,
    /// How the program was loaded: `TraceUprobeMulti` or `TraceUprobeSession`.
    pub attach: AttachType,
}

fn check_cookies(cookies: &[u64], count: usize) -> io::Result<()> {
    if cookies.is_empty() || cookies.len() == count {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

fn address_or_zero(words: &[u64]) -> u64 {
    if words.is_empty() {
        0
    } else {
        words.as_ptr() as u64
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
