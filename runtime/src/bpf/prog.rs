//! Programs: loading, with the verifier's log only when something is wrong; test runs;
//! statistics.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::sys::{self, Command};

/// `struct bpf_insn`: opcode, registers, offset, immediate.
pub type Insn = u64;

/// Kinds of programs, with the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "named as in the kernel's header")]
pub enum ProgType {
    SocketFilter = 1,
    Kprobe = 2,
    Tracepoint = 5,
    PerfEvent = 7,
    RawTracepoint = 17,
    Tracing = 26,
    Lsm = 29,
    Syscall = 31,
    Netfilter = 32,
}

/// How a program will be attached, with the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "named as in the kernel's header")]
pub enum AttachType {
    /// None in particular.
    Any = 0,
    TraceRawTp = 23,
    TraceFentry = 24,
    TraceFexit = 25,
    ModifyReturn = 26,
    LsmMac = 27,
    PerfEvent = 41,
    TraceKprobeMulti = 42,
    Netfilter = 45,
    TraceUprobeMulti = 48,
    TraceKprobeSession = 56,
    TraceUprobeSession = 57,
}

/// `BPF_F_SLEEPABLE`
pub const SLEEPABLE: u32 = 1 << 4;

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct ProgSpec<'a> {
    /// Its name, cut to 15 bytes.
    pub name: &'a str,
    /// Its kind.
    pub kind: ProgType,
    /// How it will be attached.
    pub attach: AttachType,
    /// Its instructions, subprograms behind the main one.
    pub insns: &'a [Insn],
    /// `BPF_F_*`.
    pub flags: u32,
    /// BTF id of what `Tracing` and `Lsm` programs attach to.
    pub attach_btf_id: u32,
    /// The module's BTF when `attach_btf_id` is not of vmlinux.
    pub attach_btf: Option<BorrowedFd<'a>>,
    /// The program's own BTF with its function and line records.
    pub debug: Option<ProgDebug<'a>>,
}

/// BTF of a program: `bpf_func_info` and `bpf_line_info` records as bytes.
#[derive(Clone, Copy, Debug)]
pub struct ProgDebug<'a> {
    /// The loaded BTF.
    pub btf: BorrowedFd<'a>,
    /// Function records of 8 bytes: instruction, type id.
    pub func_info: &'a [u8],
    /// Line records of 16 bytes: instruction, file name, line text, line and column.
    pub line_info: &'a [u8],
}

/// Size of `struct bpf_func_info`.
const FUNC_INFO_BYTES: usize = 8;
/// Size of `struct bpf_line_info`.
const LINE_INFO_BYTES: usize = 16;
/// The verifier asks to be called again when a signal is pending.
const MAX_RETRIES: u32 = 16;

/// Why a program was not loaded.
#[derive(Debug)]
pub struct LoadFailure {
    /// The system's word.
    pub error: io::Error,
    /// The verifier's log, empty when it was not the verifier that refused.
    pub log: String,
}

/// A loaded program.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
}

impl<'a> ProgSpec<'a> {
    /// A program without BTF.
    pub fn new(name: &'a str, kind: ProgType, insns: &'a [Insn]) -> Self {
        Self {
            name,
            kind,
            attach: AttachType::Any,
            insns,
            flags: 0,
            attach_btf_id: 0,
            attach_btf: None,
            debug: None,
        }
    }

    /// Loads the program without asking for a log.
    pub fn load_quietly(&self) -> io::Result<Program> {
        self.call(0, &mut [])
    }

    /// Loads the program; when that fails, again with a log big enough for all that the
    /// verifier has to say.
    pub fn load(&self) -> Result<Program, LoadFailure> {
        let error = match self.load_quietly() {
            Ok(program) => return Ok(program),
            Err(error) => error,
        };
        if matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
        ) {
            return Err(LoadFailure {
                error,
                log: String::new(),
            });
        }
        let mut bytes = 1 << 20;
        loop {
            match self.load_with_log(bytes) {
                // The log did not fit.
                Err(failure)
                    if failure.error.raw_os_error() == Some(libc::ENOSPC) && bytes < 1 << 26 =>
                {
                    bytes *= 4;
                }
                result => return result,
            }
        }
    }

    /// Loads the program asking for a log of at most so many bytes.
    pub fn load_with_log(&self, bytes: usize) -> Result<Program, LoadFailure> {
        let mut log = vec![0; bytes];
        self.call(1, &mut log).map_err(|error| {
            let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
            let log = String::from_utf8_lossy(&log[..end]).into_owned();
            LoadFailure { error, log }
        })
    }

    fn call(&self, log_level: u32, log: &mut [u8]) -> io::Result<Program> {
        let mut attr = sys::ProgLoad {
            prog_type: self.kind as u32,
            insn_cnt: self.insns.len() as u32,
            insns: self.insns.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level,
            log_size: log.len() as u32,
            log_buf: if log.is_empty() {
                0
            } else {
                log.as_mut_ptr() as u64
            },
            prog_flags: self.flags,
            prog_name: sys::object_name(self.name),
            expected_attach_type: self.attach as u32,
            attach_btf_id: self.attach_btf_id,
            attach_btf_obj_fd: self.attach_btf.map_or(0, |fd| fd.as_raw_fd() as u32),
            ..Default::default()
        };
        if let Some(debug) = &self.debug {
            attr.prog_btf_fd = debug.btf.as_raw_fd() as u32;
            if !debug.func_info.is_empty() {
                attr.func_info = debug.func_info.as_ptr() as u64;
                attr.func_info_rec_size = FUNC_INFO_BYTES as u32;
                attr.func_info_cnt = (debug.func_info.len() / FUNC_INFO_BYTES) as u32;
            }
            if !debug.line_info.is_empty() {
                attr.line_info = debug.line_info.as_ptr() as u64;
                attr.line_info_rec_size = LINE_INFO_BYTES as u32;
                attr.line_info_cnt = (debug.line_info.len() / LINE_INFO_BYTES) as u32;
            }
        }
        let mut retries = 0;
        loop {
            // SAFETY: all addresses are those of slices with the lengths given beside them.
            match unsafe { sys::bpf_fd(Command::ProgLoad, &mut attr) } {
                Err(error)
                    if error.raw_os_error() == Some(libc::EAGAIN) && retries < MAX_RETRIES =>
                {
                    retries += 1;
                }
                result => return result.map(|fd| Program { fd }),
            }
        }
    }
}

/// What the kernel tells of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgInfo {
    /// The kernel's number of it.
    pub id: u32,
    /// Bytes after just-in-time compilation.
    pub jited_bytes: u32,
    /// Instructions after the verifier's rewriting.
    pub xlated_insns: u32,
    /// Nanoseconds spent in it while statistics were on.
    pub run_time_ns: u64,
    /// Runs while statistics were on.
    pub run_count: u64,
    /// Runs skipped because it interrupted itself (Linux 5.12).
    pub recursion_misses: u64,
    /// Instructions that the verifier looked at (Linux 5.16).
    pub verified_insns: u32,
}

/// The first part of `struct bpf_prog_info`, in words of four bytes.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct RawProgInfo([u32; 58]);

impl Program {
    /// What the kernel tells of it.
    pub fn info(&self) -> io::Result<ProgInfo> {
        let mut raw = RawProgInfo([0; 58]);
        let mut attr = sys::InfoByFd {
            bpf_fd: self.fd.as_raw_fd() as u32,
            info_len: size_of::<RawProgInfo>() as u32,
            info: std::ptr::from_mut(&mut raw) as u64,
        };
        // SAFETY: `raw` has room for `info_len` bytes, zeroed, so that no array is asked for.
        unsafe { sys::bpf(Command::InfoByFd, &mut attr) }?;
        let word = |byte: usize| raw.0[byte / 4];
        let long = |byte: usize| u64::from(word(byte)) | u64::from(word(byte + 4)) << 32;
        Ok(ProgInfo {
            id: word(4),
            jited_bytes: word(16),
            xlated_insns: word(20) / 8,
            run_time_ns: long(192),
            run_count: long(200),
            recursion_misses: long(208),
            verified_insns: word(216),
        })
    }

    /// Runs it once on a context, as `BPF_PROG_TEST_RUN` does: for raw tracepoints the
    /// arguments (Linux 5.10). Returns the program's result.
    pub fn test_run(&self, context: &[u64]) -> io::Result<u32> {
        let mut attr = sys::TestRun {
            prog_fd: self.fd.as_raw_fd() as u32,
            ctx_size_in: size_of_val(context) as u32,
            ctx_in: if context.is_empty() {
                0
            } else {
                context.as_ptr() as u64
            },
            ..Default::default()
        };
        // SAFETY: `ctx_in` is the address of `ctx_size_in` bytes.
        unsafe { sys::bpf(Command::TestRun, &mut attr) }?;
        Ok(attr.retval)
    }

    /// Attaches it to a raw tracepoint by name, or for `Tracing` and `Lsm` programs
    /// (`None`) to what it was loaded for. The link detaches when dropped.
    pub fn open_raw_tracepoint(&self, name: Option<&str>) -> io::Result<super::Link> {
        let name = name.map(CString::new).transpose()?;
        let mut attr = sys::RawTracepointOpen {
            name: name.as_ref().map_or(0, |name| name.as_ptr() as u64),
            prog_fd: self.fd.as_raw_fd() as u32,
            ..Default::default()
        };
        // SAFETY: `name` is 0 or a terminated string that lives until after the call.
        unsafe { sys::bpf_fd(Command::RawTracepointOpen, &mut attr) }.map(super::Link::from_fd)
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// BTF of programs and maps, loaded.
#[derive(Debug)]
pub struct Btf {
    fd: OwnedFd,
}

impl Btf {
    /// Loads a blob; on failure again with a log.
    pub fn load(blob: &[u8]) -> Result<Self, LoadFailure> {
        let error = match Self::call(blob, &mut []) {
            Ok(btf) => return Ok(btf),
            Err(error) => error,
        };
        let mut log = vec![0; 1 << 20];
        if Self::call(blob, &mut log).is_ok() {
            return Self::call(blob, &mut []).map_err(|error| LoadFailure {
                error,
                log: String::new(),
            });
        }
        let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
        Err(LoadFailure {
            error,
            log: String::from_utf8_lossy(&log[..end]).into_owned(),
        })
    }

    fn call(blob: &[u8], log: &mut [u8]) -> io::Result<Self> {
        let mut attr = sys::BtfLoad {
            btf: blob.as_ptr() as u64,
            btf_size: blob.len() as u32,
            btf_log_buf: if log.is_empty() {
                0
            } else {
                log.as_mut_ptr() as u64
            },
            btf_log_size: log.len() as u32,
            btf_log_level: u32::from(!log.is_empty()),
            ..Default::default()
        };
        // SAFETY: the addresses are those of slices with the lengths given beside them.
        unsafe { sys::bpf_fd(Command::BtfLoad, &mut attr) }.map(|fd| Self { fd })
    }
}

/// `struct bpf_btf_info`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct RawBtfInfo {
    btf: u64,
    btf_size: u32,
    id: u32,
    name: u64,
    name_len: u32,
    kernel_btf: u32,
}

impl Btf {
    /// The kernel's BTF of a loaded module (Linux 5.11), for programs that attach to it.
    pub fn of_module(module: &str) -> io::Result<Self> {
        let mut id = 0;
        loop {
            let mut attr = sys::GetId {
                id,
                ..Default::default()
            };
            // SAFETY: the attributes hold no addresses.
            unsafe { sys::bpf(Command::BtfGetNextId, &mut attr) }?;
            id = attr.next;
            let mut attr = sys::GetId {
                id,
                ..Default::default()
            };
            // SAFETY: as above; the command returns a new descriptor.
            let Ok(fd) = (unsafe { sys::bpf_fd(Command::BtfGetFdById, &mut attr) }) else {
                // Gone meanwhile.
                continue;
            };
            let btf = Self { fd };
            if btf.kernel_name()?.as_deref() == Some(module) {
                return Ok(btf);
            }
        }
    }

    /// The module's name when it is the kernel's own ("vmlinux" for the kernel).
    fn kernel_name(&self) -> io::Result<Option<String>> {
        let mut name = [0u8; 64];
        let mut raw = RawBtfInfo {
            name: name.as_mut_ptr() as u64,
            name_len: name.len() as u32,
            ..RawBtfInfo::default()
        };
        let mut attr = sys::InfoByFd {
            bpf_fd: self.fd.as_raw_fd() as u32,
            info_len: size_of::<RawBtfInfo>() as u32,
            info: std::ptr::from_mut(&mut raw) as u64,
        };
        // SAFETY: `raw` has room for `info_len` bytes, and what it points to for `name_len`.
        unsafe { sys::bpf(Command::InfoByFd, &mut attr) }?;
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        Ok((raw.kernel_btf != 0).then_some(name))
    }
}

impl AsFd for Btf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the kernel measure programs (run time and count) until the result is dropped.
pub fn enable_stats() -> io::Result<OwnedFd> {
    let mut attr = sys::EnableStats { kind: 0 };
    // SAFETY: the attributes hold no addresses; the command returns a new descriptor.
    unsafe { sys::bpf_fd(Command::EnableStats, &mut attr) }
}
