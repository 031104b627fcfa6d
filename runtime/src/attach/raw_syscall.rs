//! `raw_syscalls:sys_enter` and `sys_exit` by perf events, where the kernel would let raw
//! tracepoint programs be preempted (Linux 7.0).
//!
//! All points of a handler share the one event. Detaching takes some 60 ms.

use rtap_compiler::image::Attach;
use rtap_compiler::target::Feature;

use super::{AttachError, AttachOptions, Attachment, Outcome, load};
use crate::bpf::perf::PerfEventSpec;
use crate::bpf::{AttachType, ProgType, Program};
use crate::load::{Loaded, ProgramKind};

pub(super) fn install(
    loaded: &Loaded,
    symbol: &str,
    is_return: bool,
    options: &AttachOptions<'_>,
) -> Result<(Program, Outcome), AttachError> {
    let name = Attach::raw_syscall(is_return);
    let kind = ProgramKind::new(ProgType::Tracepoint, AttachType::Any);
    let program = load(loaded, symbol, kind)?;
    let mut outcome = Outcome::default();
    let format = options.target.tracepoint_format("raw_syscalls", name)?;
    let use_link = options.target.has(Feature::PerfEventLink);
    // One processor's event runs the program on all.
    let link = PerfEventSpec::tracepoint(format.id)
        .open(0, None)
        .and_then(|event| event.attach(&program, use_link, 0))
        .map_err(|error| AttachError::io("attaching to a tracepoint", error));
    outcome.add(0, link, Attachment::Perf);
    Ok((program, outcome))
}
