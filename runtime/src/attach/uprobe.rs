//! uprobes and uretprobes: by the `uprobe` PMU (Linux 4.17, semaphores 4.20), or many
//! in one file by one `uprobe.multi` link (Linux 6.6).
//!
//! Probes are for all processes that map the file, now or later. Programs filter by
//! process themselves: the PMU's own filter knows threads only, and children of the
//! target must be seen too.

use std::io;

use indexmap::IndexMap;
use rtap_compiler::image::{Attach, Point};
use rtap_compiler::target::Feature;

use super::halves::by_halves;
use super::{AttachError, AttachOptions, Attachment, Outcome, load};
use crate::bpf::link::UprobeTargets;
use crate::bpf::perf::PerfEventSpec;
use crate::bpf::prog::SLEEPABLE;
use crate::bpf::{AttachType, Link, ProgType, Program};
use crate::host::Capability;
use crate::load::{Loaded, ProgramKind};

/// A uprobe's place.
struct Place<'a> {
    /// Position in the list of points.
    at: usize,
    path: &'a str,
    offset: u64,
    ref_ctr_offset: u64,
    is_return: bool,
}

fn place(at: usize, attach: &Attach) -> Option<Place<'_>> {
    match attach {
        Attach::Uprobe {
            path,
            offset,
            ref_ctr_offset,
            ..
        } => Some(Place {
            at,
            path,
            offset: *offset,
            ref_ctr_offset: *ref_ctr_offset,
            is_return: false,
        }),
        Attach::Uretprobe { path, offset, .. } => Some(Place {
            at,
            path,
            offset: *offset,
            ref_ctr_offset: 0,
            is_return: true,
        }),
        _ => None,
    }
}

pub(super) fn install(
    loaded: &Loaded,
    symbol: &str,
    points: &[&Point],
    options: &AttachOptions<'_>,
) -> Result<(Program, Outcome), AttachError> {
    let places: Vec<Place<'_>> = points
        .iter()
        .enumerate()
        .filter_map(|(at, point)| place(at, &point.attach))
        .collect();
    // CAP_PERFMON does for these links; the PMU wants CAP_SYS_ADMIN.
    let many = places.len() > 1 || !options.rights.has(Capability::SysAdmin);
    if many && options.multi && options.target.has(Feature::UprobeMulti) {
        let kind = kind(AttachType::TraceUprobeMulti, options);
        let program = load(loaded, symbol, kind)?;
        if let Ok(outcome) = attach_groups(&program, &places, options) {
            return Ok((program, outcome));
        }
    }
    if !options.target.has(Feature::Uprobe) {
        return Err(AttachError::Missing {
            feature: Feature::Uprobe,
        });
    }
    let program = load(loaded, symbol, kind(AttachType::Any, options))?;
    let use_link = options.target.has(Feature::PerfEventLink);
    let mut outcome = Outcome::default();
    for place in &places {
        options.go_on()?;
        let spec = PerfEventSpec::uprobe(
            place.path,
            place.offset,
            place.ref_ctr_offset,
            place.is_return,
        );
        let link = spec
            .and_then(|spec| spec.open(0, None))
            .map_err(|error| explain(place, error))
            .and_then(|event| {
                let attached = event.attach(&program, use_link, options.cookie(place.at));
                attached.map_err(|error| AttachError::io("attaching to a uprobe", error))
            });
        outcome.add(place.at, link, Attachment::Perf);
    }
    Ok((program, outcome))
}

fn kind(attach: AttachType, options: &AttachOptions<'_>) -> ProgramKind {
    ProgramKind {
        flags: if options.sleepable { SLEEPABLE } else { 0 },
        ..ProgramKind::new(ProgType::Kprobe, attach)
    }
}

/// One link for each file and direction.
fn attach_groups(
    program: &Program,
    places: &[Place<'_>],
    options: &AttachOptions<'_>,
) -> io::Result<Outcome> {
    let mut groups: IndexMap<(&str, bool), Vec<&Place<'_>>> = IndexMap::new();
    for place in places {
        groups
            .entry((place.path, place.is_return))
            .or_default()
            .push(place);
    }
    by_halves(
        groups.into_values().collect(),
        |group| attach_group(program, group, options),
        |place, error| {
            let code = error.raw_os_error().filter(|_| is_of_place(error))?;
            Some((place.at, explain(place, io::Error::from_raw_os_error(code))))
        },
    )
}

/// Links places of one file and direction.
fn attach_group(
    program: &Program,
    group: &[&Place<'_>],
    options: &AttachOptions<'_>,
) -> io::Result<Link> {
    let first = group.first().ok_or(io::ErrorKind::InvalidInput)?;
    let offsets: Vec<u64> = group.iter().map(|place| place.offset).collect();
    let cookies: Vec<u64> = group.iter().map(|place| options.cookie(place.at)).collect();
    let semaphores: Vec<u64> = group.iter().map(|place| place.ref_ctr_offset).collect();
    let some = |words: Vec<u64>, used: bool| if used { words } else { Vec::new() };
    let has_semaphores = semaphores.iter().any(|&offset| offset != 0);
    let targets = UprobeTargets {
        path: first.path,
        offsets: &offsets,
        ref_ctr_offsets: &some(semaphores, has_semaphores),
        cookies: &some(cookies, !options.cookies.is_empty()),
        is_return: first.is_return,
        pid: 0,
        attach: AttachType::TraceUprobeMulti,
    };
    Link::uprobe_multi(program, &targets)
}

/// `ENOTSUPP` of the kernel, which has no name outside of it.
const ENOTSUPP: i32 = 524;

/// Whether the error says that there is something with a place, not with links.
fn is_of_place(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EILSEQ | libc::EIO | libc::EOPNOTSUPP | ENOTSUPP)
    )
}

fn explain(place: &Place<'_>, error: io::Error) -> AttachError {
    match error.raw_os_error() {
        Some(libc::ENOENT) => AttachError::NoFile(place.path.to_owned()),
        _ if is_of_place(&error) => AttachError::NotAnInstruction {
            path: place.path.to_owned(),
            offset: place.offset,
        },
        _ => AttachError::io_with(&[Capability::SysAdmin], "opening a uprobe", error),
    }
}
