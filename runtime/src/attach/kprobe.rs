//! kprobes and kretprobes: by the `kprobe` PMU (Linux 4.17), or many at once by one
//! `kprobe.multi` link (Linux 5.18).
//!
//! Not by tracefs events: those would outlive rtap when it is killed.

use std::io;

use rtap_compiler::image::{Attach, KernelFunction, Point};
use rtap_compiler::probes::addresses_of;
use rtap_compiler::target::{Feature, Unavailable};

use super::halves::by_halves;
use super::{AttachError, AttachOptions, Attachment, Outcome, load};
use crate::bpf::link::KprobeTargets;
use crate::bpf::perf::{PerfEvent, PerfEventSpec};
use crate::bpf::{AttachType, Link, ProgType, Program};
use crate::host::{Capability, needed_for_perf_events};
use crate::load::{Loaded, ProgramKind};

/// A kprobe's place.
struct Place<'a> {
    /// Position in the list of points.
    at: usize,
    function: &'a KernelFunction,
    /// Where the function is, if it is not to be found by its name; several places if its module has several of the name.
    addresses: Vec<u64>,
    offset: u64,
    is_return: bool,
}

/// The address that the image has of a function, if it has one.
fn own_address(function: &KernelFunction) -> Vec<u64> {
    Vec::from_iter((function.address != 0).then_some(function.address))
}

fn place(at: usize, attach: &Attach) -> Option<Place<'_>> {
    match attach {
        Attach::Kprobe { function, offset } => Some(Place {
            at,
            function,
            addresses: own_address(function),
            offset: *offset,
            is_return: false,
        }),
        Attach::Kretprobe { function, .. } => Some(Place {
            at,
            function,
            addresses: own_address(function),
            offset: 0,
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
    let mut outcome = Outcome::default();
    let mut places: Vec<Place<'_>> = Vec::with_capacity(points.len());
    for (at, point) in points.iter().enumerate() {
        let Some(place) = place(at, &point.attach) else {
            continue;
        };
        match check_place(&place, options) {
            Ok(()) => places.push(place),
            Err(error) => outcome.failed.push((at, error)),
        }
    }
    // CAP_PERFMON does for such a link; perf events may want CAP_SYS_ADMIN.
    let many = places.len() > 1 || !options.rights.has(Capability::SysAdmin);
    let one_link = many && options.multi && options.target.has(Feature::KprobeMulti);
    if one_link {
        for place in locate_in_modules(&mut places, options) {
            let error = AttachError::NoFunction(place.function.name.clone());
            outcome.failed.push((place.at, error));
        }
    }
    if one_link && fit_one_link(&places) {
        let kind = ProgramKind::new(ProgType::Kprobe, AttachType::TraceKprobeMulti);
        let program = load(loaded, symbol, kind)?;
        let attach = |group: &[&Place<'_>]| attach_group(&program, group, options);
        let (by_name, by_address): (Vec<_>, Vec<_>) =
            places.iter().partition(|place| place.addresses.is_empty());
        let wrong = |place: &Place<'_>, error: &io::Error| wrong(place, error, options);
        if let Ok(mut linked) = by_halves(vec![by_name, by_address], attach, wrong) {
            linked.failed.append(&mut outcome.failed);
            return Ok((program, linked));
        }
    }
    if !options.target.has(Feature::Kprobe) {
        return Err(AttachError::Missing {
            feature: Feature::Kprobe,
        });
    }
    let program = load(
        loaded,
        symbol,
        ProgramKind::new(ProgType::Kprobe, AttachType::Any),
    )?;
    let use_link = options.target.has(Feature::PerfEventLink);
    for place in &places {
        options.go_on()?;
        let link = open(place)
            .or_else(|error| open_only(place, error, options))
            .map_err(|error| explain(place, error))
            .and_then(|event| {
                let attached = event.attach(&program, use_link, options.cookie(place.at));
                attached.map_err(|error| AttachError::io("attaching to a kprobe", error))
            });
        outcome.add(place.at, link, Attachment::Perf);
    }
    Ok((program, outcome))
}

/// Instructions are those of one build of the kernel, and an address is right for as long as the machine runs: an image may
/// come from before, or from another machine.
fn check_place(place: &Place<'_>, options: &AttachOptions<'_>) -> Result<(), AttachError> {
    let function = place.function;
    if let (Some(module), Ok(loaded)) = (&function.module, options.target.modules())
        && !loaded.contains(module)
    {
        let name = module.clone();
        return Err(Unavailable::NoModule { name }.into());
    }
    if place.offset != 0 && !options.same_kernel {
        return Err(AttachError::OtherBuild(function.name.clone()));
    }
    if function.address == 0 {
        return Ok(());
    }
    let symbols = options.target.symbols()?;
    if !symbols.has_addresses() {
        return Err(Unavailable::AddressesHidden.into());
    }
    let mut named = symbols.by_name(&function.name);
    if named.any(|symbol| symbol.address == function.address) {
        return Ok(());
    }
    Err(AttachError::Moved(function.name.clone()))
}

/// One link takes functions of modules by their addresses: finds those that have their names in their modules for themselves. Gives
/// those that are not there (what a module needed to start is gone).
fn locate_in_modules<'a>(
    places: &mut Vec<Place<'a>>,
    options: &AttachOptions<'_>,
) -> Vec<Place<'a>> {
    let is_unknown =
        |place: &Place<'_>| place.addresses.is_empty() && place.function.module.is_some();
    if !places.iter().any(is_unknown) {
        return Vec::new();
    }
    let symbols = options.target.symbols();
    let Some(symbols) = symbols.ok().filter(|symbols| symbols.has_addresses()) else {
        return Vec::new();
    };
    for place in places.iter_mut().filter(|place| is_unknown(place)) {
        let module = place.function.module.as_deref();
        let named = symbols.by_name(&place.function.name);
        let own = named.filter(|symbol| symbol.module == module && symbol.is_function());
        place.addresses = own.map(|symbol| symbol.address).collect();
        place.addresses.dedup();
    }
    let (known, unknown) = std::mem::take(places)
        .into_iter()
        .partition(|place| !is_unknown(place));
    *places = known;
    unknown
}

/// Whether the places are entries, or returns, of functions only.
fn fit_one_link(places: &[Place<'_>]) -> bool {
    let is_return = places.first().is_some_and(|place| place.is_return);
    places.iter().all(|place| {
        place.offset == 0
            && place.is_return == is_return
            && (!place.addresses.is_empty() || place.function.module.is_none())
    })
}

/// Links places of one direction.
fn attach_group(
    program: &Program,
    group: &[&Place<'_>],
    options: &AttachOptions<'_>,
) -> io::Result<Link> {
    let first = group.first().ok_or(io::ErrorKind::InvalidInput)?;
    let addresses: Vec<u64> = group
        .iter()
        .flat_map(|place| place.addresses.iter().copied())
        .collect();
    let names: Vec<&str> = group
        .iter()
        .map(|place| place.function.name.as_str())
        .collect();
    let targets = if addresses.is_empty() {
        KprobeTargets::Names(&names)
    } else {
        KprobeTargets::Addresses(&addresses)
    };
    let cookies: Vec<u64> = if options.cookies.is_empty() {
        Vec::new()
    } else {
        let each = |place: &&Place<'_>| {
            let count = place.addresses.len().max(1);
            std::iter::repeat_n(options.cookie(place.at), count)
        };
        group.iter().flat_map(each).collect()
    };
    Link::kprobe_multi(
        program,
        targets,
        &cookies,
        first.is_return,
        AttachType::TraceKprobeMulti,
    )
}

/// What is wrong with a place that a link was refused for, if that is the reason.
fn wrong(
    place: &Place<'_>,
    error: &io::Error,
    options: &AttachOptions<'_>,
) -> Option<(usize, AttachError)> {
    let code = error.raw_os_error()?;
    let name = &place.function.name;
    let reason = match code {
        // None of that name that can be traced, or several.
        libc::ESRCH if is_only(name, options) => AttachError::Forbidden(name.clone()),
        libc::ESRCH => AttachError::NoFunction(name.clone()),
        libc::ENOENT | libc::EINVAL | libc::EILSEQ | libc::EADDRNOTAVAIL => {
            explain(place, io::Error::from_raw_os_error(code))
        }
        _ => return None,
    };
    Some((place.at, reason))
}

/// Whether the kernel has just one function of a name.
fn is_only(name: &str, options: &AttachOptions<'_>) -> bool {
    let symbols = options.target.symbols();
    symbols.is_ok_and(|symbols| {
        let functions = symbols.by_name(name).filter(|symbol| symbol.is_function());
        functions.count() == 1
    })
}

fn open(place: &Place<'_>) -> io::Result<PerfEvent> {
    let function = place.function;
    if let [address] = place.addresses[..] {
        return open_at(place, address);
    }
    let symbol = match &function.module {
        Some(module) => format!("{module}:{}", function.name),
        None => function.name.clone(),
    };
    PerfEventSpec::kprobe(Some(&symbol), place.offset, place.is_return)?.open(0, None)
}

fn open_at(place: &Place<'_>, function: u64) -> io::Result<PerfEvent> {
    let address = function.wrapping_add(place.offset);
    PerfEventSpec::kprobe(None, address, place.is_return)?.open(0, None)
}

/// The kernel refuses a name that other symbols have too, be they data: the only function of them that can be traced is meant.
fn open_only(
    place: &Place<'_>,
    error: io::Error,
    options: &AttachOptions<'_>,
) -> io::Result<PerfEvent> {
    let function = place.function;
    if error.raw_os_error() != Some(libc::EADDRNOTAVAIL) || !place.addresses.is_empty() {
        return Err(error);
    }
    let Ok(symbols) = options.target.symbols() else {
        return Err(error);
    };
    let module = function.module.as_deref();
    match addresses_of(options.target, &symbols, module, &function.name)[..] {
        [address] if address != 0 => open_at(place, address),
        _ => Err(error),
    }
}

fn explain(place: &Place<'_>, error: io::Error) -> AttachError {
    let name = place.function.name.clone();
    match error.raw_os_error() {
        Some(libc::ENOENT) => AttachError::NoFunction(name),
        Some(libc::EADDRNOTAVAIL) => AttachError::Ambiguous(name),
        Some(libc::EILSEQ) if place.offset != 0 => AttachError::NoInstruction {
            function: name,
            offset: place.offset,
        },
        // EINVAL and EILSEQ: on the list of what must not be probed, or no instruction there.
        Some(libc::EINVAL | libc::EILSEQ) if place.offset == 0 => AttachError::Forbidden(name),
        Some(libc::EINVAL) => AttachError::ForbiddenAt {
            function: name,
            offset: place.offset,
        },
        _ => AttachError::io_with(needed_for_perf_events(), "opening a kprobe", error),
    }
}
