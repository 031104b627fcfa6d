//! Why an image was not loaded.

use std::io;

use rtap_compiler::btf::PathError;
use rtap_compiler::image::{EVENTS_MAP, MetaError};
use rtap_compiler::target::Unavailable;
use thiserror::Error;

use super::verifier::Verdict;
use crate::host::{is_locked_memory_limited, reason};

/// Why an image was not loaded. `Display` is a title for a diagnostic.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Not an object of eBPF programs.
    #[error("not an rtap image: {0}")]
    NotAnImage(&'static str),
    /// Its metadata cannot be used.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// Parts of it contradict each other.
    #[error("the image is damaged: {0}")]
    Damaged(String),
    /// A map could not be created or filled.
    #[error("cannot create map '{name}': {}", reason(.error))]
    Map {
        /// The map.
        name: String,
        /// The system's word.
        error: io::Error,
    },
    /// The kernel refused a program.
    #[error("the kernel refused program '{program}': {verdict}")]
    Refused {
        /// Its symbol.
        program: String,
        /// Why, and where in the script.
        verdict: Box<Verdict>,
    },
    /// A field access that the running kernel's types do not allow.
    #[error("this kernel has no '{access}' for '{ty}': {reason}")]
    NoSuchField {
        /// The type as compiled.
        ty: String,
        /// The fields.
        access: String,
        /// What is different.
        reason: String,
    },
    /// The image needs the kernel's types.
    #[error("the image must be adapted to this kernel, but {0}")]
    NoTypes(#[from] Unavailable),
}

impl LoadError {
    pub(super) fn map(name: &str, error: io::Error) -> Self {
        Self::Map {
            name: name.to_owned(),
            error,
        }
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// What to do about it, for a diagnostic's `help:`.
    pub fn help(&self) -> Option<String> {
        let errno = match self {
            Self::Map { name, error } => return map_help(name, error),
            Self::Refused { verdict, .. } => verdict.errno,
            Self::NotAnImage(_) | Self::Meta(_) => {
                return Some("build one with 'rtap build SCRIPT -o FILE'".into());
            }
            Self::NoTypes(reason) => return reason.help(),
            Self::Damaged(_) | Self::NoSuchField { .. } => {
                return Some("build the image again on this machine".into());
            }
        };
        match errno {
            Some(libc::EPERM | libc::EACCES) => Some(refused_help().into()),
            Some(libc::EMFILE) => Some(FILES.into()),
            Some(libc::ENOMEM) => Some("free some memory, or make the probe smaller".into()),
            Some(libc::E2BIG) => Some("make the probe smaller, or lower -DMAXACTION".into()),
            _ => None,
        }
    }
}

/// What to do where all capabilities are there, which is looked at before anything is loaded.
pub const FORBIDDEN: &str = "look for what restricts bpf(2) here: a container's seccomp filter, lockdown, a security module";

/// What to do where descriptors ran out.
pub const FILES: &str = "raise the limit of open files: 'ulimit -n 65536'";

/// What to do where the kernel does not permit something although the capabilities are there.
fn refused_help() -> &'static str {
    if is_locked_memory_limited() {
        "before Linux 5.11 maps and programs are locked memory: raise its limit with 'ulimit -l unlimited', or give rtap CAP_SYS_RESOURCE"
    } else {
        FORBIDDEN
    }
}

/// What to do about a map that could not be made.
fn map_help(name: &str, error: &io::Error) -> Option<String> {
    let help = match error.raw_os_error()? {
        libc::EPERM => refused_help(),
        libc::EMFILE => FILES,
        libc::ENOMEM if name == EVENTS_MAP => "make the output buffer smaller: '-s MIB'",
        libc::ENOMEM => "make the arrays smaller: '[n]' or -DMAXMAPENTRIES",
        libc::E2BIG => {
            "make it smaller: fewer elements ('[n]'), shorter strings (-DMAXSTRINGLEN), fewer keys"
        }
        libc::EINVAL => "this kernel may not have its kind of map: rtap needs Linux 5.10",
        _ => return None,
    };
    Some(help.into())
}

impl From<PathError> for LoadError {
    fn from(error: PathError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<rtap_compiler::btf::BtfError> for LoadError {
    fn from(error: rtap_compiler::btf::BtfError) -> Self {
        Self::Damaged(format!("its BTF: {error}"))
    }
}
