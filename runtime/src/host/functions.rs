//! Whether a function that BTF describes is in the kernel under its name.
//!
//! The kernel looks it up when a program for it is loaded, in some 50 µs; its list of symbols takes
//! tens of milliseconds to read.

use std::os::fd::AsFd;

use rtap_compiler::btf::Kind;
use rtap_compiler::target::Target;

use crate::bpf::{AttachType, Btf, Insn, ProgSpec, ProgType};

/// `r0 = 0; exit`
const RETURN_0: [Insn; 2] = [0xb7, 0x95];

/// `None` when it cannot be told so. We must have the right to load programs.
pub(super) fn exists(target: &dyn Target, module: Option<&str>, name: &str) -> Option<bool> {
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
        Ok(_) => Some(true),
        Err(error) => match error.raw_os_error() {
            // "The address of function … cannot be found"
            Some(libc::ENOENT) => Some(false),
            // It has arguments that programs cannot have, or must not be traced.
            _ => None,
        },
    }
}
