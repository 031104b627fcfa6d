//! Whether a function that BTF describes is in the kernel under its name and can be traced, and whether others have that name.
//!
//! The kernel looks it up when a program for it is loaded or a kprobe made, in some 50 µs (from 6.7 on it goes through the symbols of all
//! modules for that, too); its list of symbols takes tens of milliseconds to read.

use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use rtap_compiler::btf::Kind;
use rtap_compiler::target::Target;

use crate::bpf::perf::PerfEventSpec;
use crate::bpf::{AttachType, Btf, Insn, ProgSpec, ProgType};

/// `r0 = 0; exit`
const RETURN_0: [Insn; 2] = [0xb7, 0x95];

/// What the kernel says of a program on a function that BTF describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It makes a trampoline, unless attaching fails.
    Yes,
    /// There is no function of that name.
    Missing,
    /// It makes none: the function has arguments that programs cannot have, or must not be traced.
    No,
}

/// `None` when it says nothing of the function. We must have the right to load programs.
pub(super) fn trampoline(target: &dyn Target, module: Option<&str>, name: &str) -> Option<Said> {
    let (btf, module_btf) = match module {
        None => (target.btf().ok()?, None),
        Some(module) => (
            target.module_btf(module).ok()?,
            Some(Btf::of_module(module).ok()?),
        ),
    };
    let spec = ProgSpec {
        attach: AttachType::TraceFentry,
        attach_btf_id: btf.find(Kind::Func, name)?.0,
        attach_btf: module_btf.as_ref().map(AsFd::as_fd),
        ..ProgSpec::new("probe", ProgType::Tracing, &RETURN_0)
    };
    match spec.load_quietly() {
        Ok(_) => Some(Said::Yes),
        Err(error) => match error.raw_os_error() {
            // "The address of function … cannot be found"
            Some(libc::ENOENT) => Some(Said::Missing),
            Some(libc::EINVAL) => Some(Said::No),
            _ => None,
        },
    }
}

/// Names that several functions have in kernels that are configured for anything.
const OFTEN_SHARED: [&str; 4] = ["type_show", "name_show", "init_once", "state_show"];

/// Where no function has anything: a kprobe there is refused, but only after its name was looked up.
const NOWHERE: u64 = 0x7fff_f000;

/// Whether several symbols of the kernel have that name. Kernels that refuse kprobes on such names tell (Linux 6.7, and
/// older ones' later updates); `None` when it cannot be told so.
pub(super) fn is_shared(name: &str) -> Option<bool> {
    static TELLS: OnceLock<bool> = OnceLock::new();
    let tells = || {
        let mut names = OFTEN_SHARED.iter();
        names.any(|name| refusal(name) == Some(libc::EADDRNOTAVAIL))
    };
    match refusal(name)? {
        libc::EADDRNOTAVAIL => Some(true),
        libc::EINVAL | libc::ENOENT | libc::EILSEQ => TELLS.get_or_init(tells).then_some(false),
        _ => None,
    }
}

/// Why the kernel refuses a kretprobe that is not at a function's start.
fn refusal(name: &str) -> Option<i32> {
    let spec = PerfEventSpec::kprobe(Some(name), NOWHERE, true);
    let refused = spec.and_then(|spec| spec.open(0, None)).err();
    refused.as_ref().and_then(io::Error::raw_os_error)
}
