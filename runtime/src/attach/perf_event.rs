//! Perf events on every CPU that is online at the start: `timer.profile`'s clock, hardware and software
//! counters, and hardware breakpoints on data of the kernel, `kernel.data(…)` (Linux 2.6.33,
//! CONFIG_HAVE_HW_BREAKPOINT).
//!
//! The processor has few breakpoints (x86-64: four) and shares them with debuggers. x86 stops
//! after the access; every access is an event.

use std::io;

use rtap_compiler::image::{Attach, DataAccess, DataPlace, PerfPeriod, Point};
use rtap_compiler::target::{Feature, Kconfig, Target, Unavailable};

use super::{AttachError, AttachOptions, Attachment, Outcome, load};
use crate::bpf::perf::{PerfEventSpec, SOFTWARE_CPU_CLOCK, TYPE_SOFTWARE};
use crate::bpf::{AttachType, ProgType, Program};
use crate::host::{Capability, online_cpus};
use crate::load::{Loaded, ProgramKind};

/// Ticks per second where the kernel's configuration cannot be read.
const DEFAULT_HZ: u64 = 250;
const NANOSECONDS: u64 = 1_000_000_000;

pub(super) fn install(
    loaded: &Loaded,
    symbol: &str,
    points: &[&Point],
    options: &AttachOptions<'_>,
) -> Result<(Program, Outcome), AttachError> {
    if !options.target.has(Feature::PerfEvent) {
        return Err(AttachError::Missing {
            feature: Feature::PerfEvent,
        });
    }
    let program = load(
        loaded,
        symbol,
        ProgramKind::new(ProgType::PerfEvent, AttachType::Any),
    )?;
    let use_link = options.target.has(Feature::PerfEventLink);
    let cpus = online_cpus();
    let mut outcome = Outcome::default();
    for (at, point) in points.iter().enumerate() {
        let spec = match event(&point.attach, options.target) {
            Ok(spec) => spec,
            Err(error) => {
                outcome.failed.push((at, error));
                continue;
            }
        };
        for &cpu in &cpus {
            let opened = spec.open(cpu, None);
            let link = opened.map_err(|error| refusal(&point.attach, error));
            let link = link.and_then(|event| {
                let attached = event.attach(&program, use_link, 0);
                attached.map_err(|error| AttachError::io("attaching to a perf event", error))
            });
            let gave_up = link.is_err();
            outcome.add(at, link, Attachment::Perf);
            if gave_up {
                break;
            }
        }
    }
    Ok((program, outcome))
}

/// Why the kernel does not open an event.
fn refusal(attach: &Attach, error: io::Error) -> AttachError {
    match (attach, error.raw_os_error()) {
        (Attach::Breakpoint { .. }, Some(libc::ENOSPC | libc::EBUSY)) => {
            AttachError::NoBreakpointLeft
        }
        (Attach::Breakpoint { .. }, Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            AttachError::BadBreakpoint
        }
        (Attach::Breakpoint { .. }, _) => {
            AttachError::io_with(&[Capability::SysAdmin], "opening a breakpoint", error)
        }
        _ => super::perf_counter::refusal(error),
    }
}

fn event(attach: &Attach, target: &dyn Target) -> Result<PerfEventSpec, AttachError> {
    Ok(match attach {
        // By period, not frequency: exact, and not throttled by the sampling limit.
        Attach::Profile { hz } => {
            let hz = if *hz == 0 { tick_rate(target) } else { *hz };
            let period = (NANOSECONDS / hz).max(1);
            PerfEventSpec::sampling_period(TYPE_SOFTWARE, SOFTWARE_CPU_CLOCK, period)
        }
        Attach::PerfEvent {
            kind,
            config,
            period: PerfPeriod::Count(count),
        } => PerfEventSpec::sampling_period(*kind, *config, *count),
        Attach::PerfEvent {
            kind,
            config,
            period: PerfPeriod::Hz(hz),
        } => PerfEventSpec::sampling_hz(*kind, *config, *hz),
        Attach::Breakpoint {
            place,
            access,
            length_bytes,
        } => {
            if !target.has(Feature::HardwareBreakpoint) {
                return Err(AttachError::Missing {
                    feature: Feature::HardwareBreakpoint,
                });
            }
            let reads = *access == DataAccess::ReadWrite;
            PerfEventSpec::breakpoint(address_of(place, target)?, *length_bytes, reads)
        }
        _ => return Err(AttachError::NoPoints),
    })
}

/// The address of data in the running kernel.
fn address_of(place: &DataPlace, target: &dyn Target) -> Result<u64, AttachError> {
    match place {
        DataPlace::Address(address) => Ok(*address),
        DataPlace::Symbol(name) => {
            let symbols = target.symbols()?;
            // A variable rather than a function of the same name.
            let found = symbols.by_name(name).min_by_key(|s| s.is_function());
            match found.map(|symbol| symbol.address) {
                Some(0) => Err(Unavailable::AddressesHidden.into()),
                Some(address) => Ok(address),
                None => Err(AttachError::NoData(name.clone())),
            }
        }
    }
}

/// CONFIG_HZ.
fn tick_rate(target: &dyn Target) -> u64 {
    match target.kconfig("CONFIG_HZ") {
        Kconfig::Number(hz) if hz > 0 => hz as u64,
        _ => DEFAULT_HZ,
    }
}
