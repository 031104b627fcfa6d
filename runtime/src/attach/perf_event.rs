//! Perf events on every CPU: `timer.profile`'s clock, hardware and software counters.

use std::io;

use rtap_compiler::image::{Attach, PerfPeriod, Point};
use rtap_compiler::target::{Feature, Kconfig, Target};

use super::{AttachError, AttachOptions, Attachment, Outcome, load};
use crate::bpf::perf::{PerfEventSpec, SOFTWARE_CPU_CLOCK, TYPE_SOFTWARE};
use crate::bpf::{AttachType, ProgType, Program};
use crate::host::online_cpus;
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
    let mut outcome = Outcome::default();
    for (at, point) in points.iter().enumerate() {
        let Some(spec) = event(&point.attach, options.target) else {
            continue;
        };
        let explain = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL) => AttachError::NoEvent,
            _ => AttachError::io("opening a perf event", error),
        };
        on_every_cpu(&mut outcome, at, &spec, &program, options, explain);
    }
    Ok((program, outcome))
}

/// Runs `program` on an event of every CPU, up to the first that refuses.
pub(super) fn on_every_cpu(
    outcome: &mut Outcome,
    at: usize,
    spec: &PerfEventSpec,
    program: &Program,
    options: &AttachOptions<'_>,
    explain: impl Fn(io::Error) -> AttachError,
) {
    let use_link = options.target.has(Feature::PerfEventLink);
    for cpu in online_cpus() {
        let link = spec.open(cpu, None).map_err(&explain).and_then(|event| {
            let attached = event.attach(program, use_link, 0);
            attached.map_err(|error| AttachError::io("attaching to a perf event", error))
        });
        let gave_up = link.is_err();
        outcome.add(at, link, Attachment::Perf);
        if gave_up {
            break;
        }
    }
}

fn event(attach: &Attach, target: &dyn Target) -> Option<PerfEventSpec> {
    match attach {
        // By period, not frequency: exact, and not throttled by the sampling limit.
        Attach::Profile { hz } => {
            let hz = if *hz == 0 { tick_rate(target) } else { *hz };
            let period = (NANOSECONDS / hz).max(1);
            Some(PerfEventSpec::sampling_period(
                TYPE_SOFTWARE,
                SOFTWARE_CPU_CLOCK,
                period,
            ))
        }
        Attach::PerfEvent {
            kind,
            config,
            period: PerfPeriod::Count(count),
        } => Some(PerfEventSpec::sampling_period(*kind, *config, *count)),
        Attach::PerfEvent {
            kind,
            config,
            period: PerfPeriod::Hz(hz),
        } => Some(PerfEventSpec::sampling_hz(*kind, *config, *hz)),
        _ => None,
    }
}

/// CONFIG_HZ.
fn tick_rate(target: &dyn Target) -> u64 {
    match target.kconfig("CONFIG_HZ") {
        Kconfig::Number(hz) if hz > 0 => hz as u64,
        _ => DEFAULT_HZ,
    }
}
