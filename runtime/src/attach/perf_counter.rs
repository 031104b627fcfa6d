//! Counters that `@perf` reads: perf events on every CPU that is online at the start, in a map
//! (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`, Linux 4.3), which keeps them open. Programs read that of their CPU.
//!
//! They are pinned: an event that shares a hardware counter with others would count only part of the
//! time, and show too little. One for which the processor has no counter left is an error here.

use std::os::fd::{AsFd, AsRawFd};

use rtap_compiler::image::{Attach, COUNTERS_MAP, MOST_COUNTERS, Meta, Point};

use super::AttachError;
use crate::bpf::perf::PerfEventSpec;
use crate::host::{needed_for_perf_events, online_cpus};
use crate::load::Loaded;

/// Opens all counters of an image. An error comes with the point that declares the counter.
pub fn open_all<'m>(meta: &'m Meta, loaded: &Loaded) -> Result<(), (&'m Point, AttachError)> {
    let points = meta.module.handlers.values().flat_map(|h| &h.points);
    for point in points {
        match open(&point.attach, loaded) {
            Err(error) if !point.optional => return Err((point, error)),
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}

fn open(attach: &Attach, loaded: &Loaded) -> Result<(), AttachError> {
    // Without the map nothing reads them.
    let (
        Attach::PerfCounter {
            number,
            kind,
            config,
            ..
        },
        Some(map),
    ) = (attach, loaded.maps.get(COUNTERS_MAP))
    else {
        return Ok(());
    };
    let spec = PerfEventSpec::counter(*kind, *config);
    for cpu in online_cpus() {
        let event = spec.open(cpu, None).map_err(refusal)?;
        if !event.counts() {
            return Err(AttachError::NoCounterLeft);
        }
        let fd = event.as_fd().as_raw_fd();
        let index = cpu * MOST_COUNTERS + number;
        map.update(&index.to_ne_bytes(), &fd.to_ne_bytes(), 0)
            .map_err(|error| AttachError::io("keeping a performance counter", error))?;
    }
    Ok(())
}

/// Why the kernel does not open an event.
pub(super) fn refusal(error: std::io::Error) -> AttachError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL) => AttachError::NoEvent,
        _ => AttachError::io_with(needed_for_perf_events(), "opening a perf event", error),
    }
}
