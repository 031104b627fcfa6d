//! tracefs: where it is, mounting it when it is nowhere, what it lists.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use rtap_compiler::target::{TraceableFunction, TracepointFormat, Unavailable};

use super::file::{exists, read_text, reason};

/// Where it is usually mounted.
const PLACE: &str = "/sys/kernel/tracing";
/// Where debugfs has it: the kernel mounts it there when somebody looks, and it stays.
const PLACE_IN_DEBUGFS: &str = "/sys/kernel/debug/tracing";

/// tracefs, as long as this exists.
#[derive(Debug)]
pub(super) struct Tracefs {
    /// Its directory.
    pub root: String,
    /// If it is nowhere else: a mount that nobody but us sees, and that goes with its descriptor.
    _mount: Option<OwnedFd>,
}

/// Finds it; mounts it for ourselves if it is not mounted.
pub(super) fn locate() -> Result<Tracefs, Unavailable> {
    let at = |root: &str| Tracefs {
        root: root.to_owned(),
        _mount: None,
    };
    let is_there = |place: &str| fs::metadata(format!("{place}/events"));
    let missing = match is_there(PLACE) {
        Ok(_) => return Ok(at(PLACE)),
        Err(error) => error,
    };
    match mount() {
        Ok(mount) => Ok(Tracefs {
            root: format!("/proc/self/fd/{}", mount.as_raw_fd()),
            _mount: Some(mount),
        }),
        Err(_) if is_there(PLACE_IN_DEBUGFS).is_ok() => Ok(at(PLACE_IN_DEBUGFS)),
        Err(_) if missing.kind() == io::ErrorKind::PermissionDenied => {
            Err(Unavailable::Permission {
                path: PLACE.to_owned(),
            })
        }
        Err(error) => Err(Unavailable::NoTracefs {
            reason: reason(&error),
        }),
    }
}

/// A mount of its own, attached nowhere (Linux 5.2).
fn mount() -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: u32 = 1;
    const FSCONFIG_CMD_CREATE: u32 = 6;
    const FSMOUNT_CLOEXEC: u32 = 1;
    let nothing = std::ptr::null::<u8>();
    // SAFETY: the name is a constant string; the call makes a descriptor.
    let filesystem = descriptor(unsafe {
        libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), FSOPEN_CLOEXEC)
    })?;
    let filesystem = filesystem.as_raw_fd();
    // SAFETY: this command takes neither a name nor a value.
    let made = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            filesystem,
            FSCONFIG_CMD_CREATE,
            nothing,
            nothing,
            0,
        )
    };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    // SAFETY: no addresses are passed; the call makes a descriptor.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, filesystem, FSMOUNT_CLOEXEC, attributes) })
}

/// The result of a call that makes a descriptor.
fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
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

/// What ftrace says can be traced, sorted; several functions of one name each by itself.
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
    Ok(all)
}

/// Where ftrace has hooked them in, sorted (Linux 6.5).
pub(super) fn traceable_addresses(root: &str) -> Result<Vec<u64>, Unavailable> {
    let path = format!("{root}/available_filter_functions_addrs");
    if !exists(&path) {
        return Err(Unavailable::NotProvided {
            what: "a list of traceable functions by their addresses",
            option: None,
        });
    }
    let text = read_text(&path)?;
    let addresses = text.lines().filter_map(|line| line.split(' ').next());
    let mut all: Vec<u64> = addresses
        .filter_map(|address| u64::from_str_radix(address, 16).ok())
        .collect();
    all.sort_unstable();
    Ok(all)
}
