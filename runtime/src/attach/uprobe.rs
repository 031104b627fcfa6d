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

use super::{AttachError, AttachOptions, Attachment, Outcome, load};
use crate::bpf::link::UprobeTargets;
use crate::bpf::perf::PerfEventSpec;
use crate::bpf::{AttachType, Link, ProgType, Program};
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
    if places.len() > 1 && options.multi && options.target.has(Feature::UprobeMulti) {
        let kind = ProgramKind::new(ProgType::Kprobe, AttachType::TraceUprobeMulti);
        let program = load(loaded, symbol, kind)?;
        // One place that cannot be probed fails its group: then each on its own.
        if let Ok(links) = attach_groups(&program, &places) {
            return Ok((
                program,
                Outcome {
                    links,
                    ..Outcome::default()
                },
            ));
        }
    }
    if !options.target.has(Feature::Uprobe) {
        return Err(AttachError::Missing {
            feature: Feature::Uprobe,
        });
    }
    let program = load(
        loaded,
        symbol,
        ProgramKind::new(ProgType::Kprobe, AttachType::Any),
    )?;
    let use_link = options.target.has(Feature::PerfEventLink);
    let mut outcome = Outcome::default();
    for place in &places {
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
                let attached = event.attach(&program, use_link, 0);
                attached.map_err(|error| AttachError::io("attaching to a uprobe", error))
            });
        outcome.add(place.at, link, Attachment::Perf);
    }
    Ok((program, outcome))
}

/// One link for each file and direction.
fn attach_groups(program: &Program, places: &[Place<'_>]) -> io::Result<Vec<Attachment>> {
    let mut groups: IndexMap<(&str, bool), Vec<&Place<'_>>> = IndexMap::new();
    for place in places {
        groups
            .entry((place.path, place.is_return))
            .or_default()
            .push(place);
    }
    let attach_group = |((path, is_return), group): ((&str, bool), Vec<&Place<'_>>)| {
        let offsets: Vec<u64> = group.iter().map(|place| place.offset).collect();
        let semaphores: Vec<u64> = group.iter().map(|place| place.ref_ctr_offset).collect();
        let has_semaphores = semaphores.iter().any(|&offset| offset != 0);
        let targets = UprobeTargets {
            path,
            offsets: &offsets,
            ref_ctr_offsets: if has_semaphores { &semaphores } else { &[] },
            cookies: &[],
            is_return,
            pid: 0,
            attach: AttachType::TraceUprobeMulti,
        };
        Link::uprobe_multi(program, &targets).map(Attachment::Link)
    };
    groups.into_iter().map(attach_group).collect()
}

fn explain(place: &Place<'_>, error: io::Error) -> AttachError {
    match error.raw_os_error() {
        Some(libc::ENOENT) => AttachError::NoFile(place.path.to_owned()),
        Some(libc::EINVAL | libc::EILSEQ | libc::EIO | libc::EOPNOTSUPP) => {
            AttachError::NotAnInstruction {
                path: place.path.to_owned(),
                offset: place.offset,
            }
        }
        _ => AttachError::io("opening a uprobe", error),
    }
}
