//! tracefs: where it is, mounting it when it is nowhere, what it lists.

use std::io;
use std::sync::Arc;

use rtap_compiler::target::{TraceableFunction, TracepointFormat, Unavailable};

use super::file::{exists, read_text, reason};

/// Where it is usually mounted, best first.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The directory that tracefs is mounted on; mounts it if it is not.
pub(super) fn locate() -> Result<&'static str, Unavailable> {
    let mounted = || {
        PLACES
            .into_iter()
            .find(|place| exists(&format!("{place}/events")))
    };
    if let Some(place) = mounted() {
        return Ok(place);
    }
    mount().map_err(|error| Unavailable::NoTracefs {
        reason: reason(&error),
    })?;
    mounted().ok_or_else(|| Unavailable::NoTracefs {
        reason: "it has no events".to_owned(),
    })
}

fn mount() -> io::Result<()> {
    // SAFETY: the strings are terminated and constant; no data is passed.
    let result = unsafe {
        libc::mount(
            c"tracefs".as_ptr(),
            c"/sys/kernel/tracing".as_ptr(),
            c"tracefs".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            std::ptr::null(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// All tracepoints as (system, name), sorted.
pub(super) fn tracepoints(root: &str) -> Result<Vec<(String, String)>, Unavailable> {
    let text = read_text(&format!("{root}/available_events"))?;
    let mut all: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(system, name)| (system.to_owned(), name.to_owned()))
        .collect();
    all.sort();
    Ok(all)
}

/// The format of one tracepoint.
pub(super) fn format(
    root: &str,
    system: &str,
    name: &str,
) -> Result<Arc<TracepointFormat>, Unavailable> {
    // The names come from scripts and become part of a path.
    let is_name = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
            && !s.starts_with('.')
    };
    let missing = || Unavailable::NoTracepoint {
        system: system.to_owned(),
        name: name.to_owned(),
    };
    if !is_name(system) || !is_name(name) {
        return Err(missing());
    }
    let path = format!("{root}/events/{system}/{name}/format");
    let text = read_text(&path).map_err(|error| if exists(&path) { error } else { missing() })?;
    TracepointFormat::parse(&text)
        .map(Arc::new)
        .ok_or(Unavailable::Malformed {
            path,
            reason: "not the format of a tracepoint".to_owned(),
        })
}

/// What ftrace says can be traced, sorted.
pub(super) fn traceable_functions(root: &str) -> Result<Vec<TraceableFunction>, Unavailable> {
    let path = format!("{root}/available_filter_functions");
    if !exists(&path) {
        return Err(Unavailable::NotProvided {
            what: "a list of traceable functions",
            option: Some("CONFIG_DYNAMIC_FTRACE"),
        });
    }
    let text = read_text(&path)?;
    let mut all: Vec<TraceableFunction> = text
        .lines()
        // Functions that no longer exist are listed under a made-up name.
        .filter(|line| !line.starts_with("__ftrace_invalid_address___"))
        .map(|line| {
            let (name, module) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let module = module
                .trim()
                .strip_prefix('[')
                .and_then(|m| m.strip_suffix(']'));
            TraceableFunction {
                name: name.to_owned(),
                module: module.map(str::to_owned),
            }
        })
        .collect();
    all.sort();
    all.dedup();
    Ok(all)
}
