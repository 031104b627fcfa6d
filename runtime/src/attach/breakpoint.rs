//! Hardware breakpoints on data of the kernel: `kernel.data(…)`.
//!
//! Perf events of type `PERF_TYPE_BREAKPOINT` (Linux 2.6.33, CONFIG_HAVE_HW_BREAKPOINT), one on every
//! CPU that is online at the start. The processor has few (x86-64: four) and shares them with
//! debuggers. x86 stops after the access; every access is an event, none is missed.

use std::io;

use rtap_compiler::image::{Attach, DataAccess, DataPlace, Point};
use rtap_compiler::target::{Feature, Target};

use super::{AttachError, AttachOptions, Outcome, load, perf_event};
use crate::bpf::perf::PerfEventSpec;
use crate::bpf::{AttachType, ProgType, Program};
use crate::load::{Loaded, ProgramKind};

pub(super) fn install(
    loaded: &Loaded,
    symbol: &str,
    points: &[&Point],
    options: &AttachOptions<'_>,
) -> Result<(Program, Outcome), AttachError> {
    if !options.target.has(Feature::HardwareBreakpoint) {
        return Err(AttachError::Missing {
            feature: Feature::HardwareBreakpoint,
        });
    }
    let program = load(
        loaded,
        symbol,
        ProgramKind::new(ProgType::PerfEvent, AttachType::Any),
    )?;
    let mut outcome = Outcome::default();
    for (at, point) in points.iter().enumerate() {
        let Attach::Breakpoint {
            place,
            access,
            length_bytes,
        } = &point.attach
        else {
            continue;
        };
        let address = match address_of(place, options.target) {
            Ok(address) => address,
            Err(error) => {
                outcome.failed.push((at, error));
                continue;
            }
        };
        let reads = *access == DataAccess::ReadWrite;
        let spec = PerfEventSpec::breakpoint(address, *length_bytes, reads);
        let explain = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EBUSY) => AttachError::NoBreakpointLeft,
            Some(libc::EINVAL | libc::EOPNOTSUPP) => AttachError::BadBreakpoint {
                address,
                length_bytes: *length_bytes,
            },
            _ => AttachError::io("setting a hardware breakpoint", error),
        };
        perf_event::on_every_cpu(&mut outcome, at, &spec, &program, options, explain);
    }
    Ok((program, outcome))
}

/// The address of data in the running kernel.
fn address_of(place: &DataPlace, target: &dyn Target) -> Result<u64, AttachError> {
    match place {
        DataPlace::Address(address) => Ok(*address),
        DataPlace::Symbol(name) => {
            let symbols = target.symbols()?;
            // A variable rather than a function of the same name.
            let found = symbols.by_name(name).min_by_key(|s| s.is_function());
            found
                .map(|symbol| symbol.address)
                .filter(|address| *address != 0)
                .ok_or_else(|| AttachError::NoData(name.clone()))
        }
    }
}
