//! Why a probe point was not attached to.

use std::io;

use rtap_compiler::target::{Feature, Unavailable};
use thiserror::Error;

use crate::host::{Capability, Rights};
use crate::load::{FILES, FORBIDDEN, LoadError};

/// Why a probe point was not attached to. `Display` is a clause for a diagnostic.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The program could not be loaded.
    #[error(transparent)]
    Load(#[from] Box<LoadError>),
    /// The kernel lacks the mechanism.
    #[error("this kernel has no {feature}{}", option_note(*.feature))]
    Missing {
        /// What it lacks.
        feature: Feature,
    },
    /// There is no such tracepoint.
    #[error("this kernel has no tracepoint '{0}'")]
    NoTracepoint(String),
    /// There is no such function, or it cannot be traced.
    #[error("this kernel has no function '{0}' that can be traced")]
    NoFunction(String),
    /// Several functions have the name.
    #[error("several functions of this kernel are named '{0}'")]
    Ambiguous(String),
    /// One of several functions of a name is not where it was.
    #[error(
        "several functions are named '{0}', and the one meant is not where it was when the script was compiled"
    )]
    Moved(String),
    /// An instruction of another build of the kernel.
    #[error(
        "the script was compiled for another kernel, in which '{0}' may have other instructions"
    )]
    OtherBuild(String),
    /// The kernel refuses to trace this place.
    #[error("the kernel does not allow probes in '{0}'")]
    Forbidden(String),
    /// The kernel refuses to trace this instruction of a function.
    #[error("the kernel does not allow a probe at {function}+{offset:#x}")]
    ForbiddenAt {
        /// The function.
        function: String,
        /// Bytes from its start.
        offset: u64,
    },
    /// In the middle of an instruction of the kernel.
    #[error("no instruction begins {offset:#x} bytes from the start of '{function}'")]
    NoInstruction {
        /// The function.
        function: String,
        /// Bytes from its start.
        offset: u64,
    },
    /// The file of a user probe is not there.
    #[error("{0} does not exist")]
    NoFile(String),
    /// No instruction begins there.
    #[error("no instruction begins at offset {offset:#x} of {path}, or it cannot be probed")]
    NotAnInstruction {
        /// The file.
        path: String,
        /// The offset in it.
        offset: u64,
    },
    /// The event is not supported by this machine.
    #[error("this machine does not count that event")]
    NoEvent,
    /// All hardware counters are in use.
    #[error("the processor has no hardware counter left for that event")]
    NoCounterLeft,
    /// The kernel has no such data.
    #[error("this kernel has no data called '{0}' with a known address")]
    NoData(String),
    /// All debug registers are in use.
    #[error("the processor has no hardware breakpoint left (x86-64 has four)")]
    NoBreakpointLeft,
    /// The processor cannot watch such a place.
    #[error(
        "the processor cannot watch this: an address of the kernel that is a multiple of the length is needed"
    )]
    BadBreakpoint,
    /// What must be known to attach is not.
    #[error(transparent)]
    Unknown(#[from] Unavailable),
    /// No right to attach. The capabilities that are missing, if it is these.
    #[error("{}", refusal_text(.0))]
    Permission(Vec<&'static str>),
    /// The user wanted an end.
    #[error("interrupted while probes were being attached; none has run")]
    Interrupted,
    /// Nothing to attach to.
    #[error("the program has no probe point in the kernel")]
    NoPoints,
    /// Any other failure.
    #[error("{what} failed: {error}")]
    Io {
        /// The call.
        what: &'static str,
        /// The system's word.
        error: io::Error,
    },
}

impl AttachError {
    /// A failure that has no more precise meaning.
    pub(super) fn io(what: &'static str, error: io::Error) -> Self {
        Self::io_with(&[Capability::Bpf, Capability::Perfmon], what, error)
    }

    /// The same for what the kernel asks for certain capabilities.
    pub(super) fn io_with(needed: &[Capability], what: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Permission(Rights::of_self().missing(needed)),
            _ => Self::Io { what, error },
        }
    }

    /// Whether it is about the place alone: others of the probe may do.
    pub fn is_of_place(&self) -> bool {
        self.is_forbidden() || matches!(self, Self::NoFunction(_) | Self::NoTracepoint(_))
    }

    /// Whether the kernel refuses to trace the place.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::ForbiddenAt { .. })
    }

    /// The verifier's whole log, if it is the verifier that refused.
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Load(error) => match &**error {
                LoadError::Refused { verdict, .. } => Some(&verdict.log),
                _ => None,
            },
            _ => None,
        }
    }

    /// What to do about it, for a diagnostic's `help:`.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.help(),
            Self::Unknown(reason) => reason.help(),
            Self::Permission(missing) if missing.is_empty() => Some(FORBIDDEN.to_owned()),
            Self::Permission(_) => {
                Some("run it as root, or give rtap these capabilities".to_owned())
            }
            Self::NoEvent => Some(
                "virtual machines often have no hardware counters; perf.sw.* are the kernel's own"
                    .to_owned(),
            ),
            Self::NoCounterLeft => Some(
                "use fewer counters, or end what uses them, such as the NMI watchdog".to_owned(),
            ),
            Self::Missing { feature } => {
                let (major, minor) = feature.info().since;
                Some(format!("{feature} came with Linux {major}.{minor}"))
            }
            Self::Ambiguous(name) => Some(format!(
                "probe one of them by its address, kernel.function(0xADDRESS): `grep -w {name} /proc/kallsyms` shows them"
            )),
            Self::OtherBuild(_) => Some("compile it on this machine".to_owned()),
            Self::Moved(_) => Some(
                "compile it on this machine: addresses change with each start of the kernel"
                    .to_owned(),
            ),
            Self::Io { error, .. } if error.raw_os_error() == Some(libc::EMFILE) => {
                Some(FILES.to_owned())
            }
            Self::Forbidden(_) => Some(
                "probes themselves or the entry to the kernel need it (noinstr, notrace), or it was for the kernel's start only (__init)"
                    .to_owned(),
            ),
            Self::ForbiddenAt { .. } => Some(
                "the kernel changes this instruction itself (a static key or call), it traps (BUG, WARN), or probes themselves need it"
                    .to_owned(),
            ),
            Self::NoTracepoint(_)
            | Self::NoFunction(_)
            | Self::Interrupted
            | Self::NoInstruction { .. }
            | Self::NoFile(_)
            | Self::NotAnInstruction { .. }
            | Self::NoPoints
            | Self::NoData(_)
            | Self::NoBreakpointLeft
            | Self::BadBreakpoint
            | Self::Io { .. } => None,
        }
    }
}

impl From<LoadError> for AttachError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

fn refusal_text(missing: &[&str]) -> String {
    if missing.is_empty() {
        "the kernel forbids it, although no capability is missing".to_owned()
    } else {
        format!(
            "this process may not attach there: {} missing",
            missing.join(", ")
        )
    }
}

fn option_note(feature: Feature) -> String {
    let option = feature.info().option;
    option
        .map(|option| format!(" ({option} is not set)"))
        .unwrap_or_default()
}
