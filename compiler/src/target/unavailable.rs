//! Why a fact about the machine cannot be had.

use thiserror::Error;

use crate::dwarf::DwarfError;

/// Why a look-up failed. Its `Display` is a clause for a diagnostic's note, without a
/// capital letter and full stop; [`Unavailable::help`] says what to do about it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unavailable {
    /// The kernel was built without BTF.
    #[error("the kernel has no type information: {path} does not exist")]
    NoBtf {
        /// Where it was sought.
        path: String,
    },
    /// The kernel's or a module's BTF could not be understood.
    #[error("the type information in {path} is damaged: {error}")]
    BadBtf {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        error: crate::btf::BtfError,
    },
    /// The module is not loaded.
    #[error("no module '{name}' is loaded")]
    NoModule {
        /// The module's name.
        name: String,
    },
    /// tracefs is not mounted and could not be.
    #[error("tracefs is not mounted, and mounting it failed: {reason}")]
    NoTracefs {
        /// The system's word.
        reason: String,
    },
    /// There is no such tracepoint.
    #[error("no tracepoint {system}:{name} in tracefs")]
    NoTracepoint {
        /// Its system, such as `sched`.
        system: String,
        /// Its name.
        name: String,
    },
    /// A file could not be read for lack of rights.
    #[error("no permission to read {path}")]
    Permission {
        /// The file.
        path: String,
    },
    /// The kernel lacks what would list it.
    #[error("this kernel does not provide {what}{}", option_note(*.option))]
    NotProvided {
        /// What is missing, such as "a list of traceable functions".
        what: &'static str,
        /// The configuration option behind it.
        option: Option<&'static str>,
    },
    /// Symbols are there, their addresses are hidden.
    #[error("the kernel hides its symbols' addresses")]
    AddressesHidden,
    /// A program without debug information.
    #[error("{path} has no debug information, and there is no debug file for it")]
    NoDebugInfo {
        /// The program.
        path: String,
    },
    /// The debug information cannot be read.
    #[error("{path}: {error}")]
    BadDebugInfo {
        /// The file that has it.
        path: String,
        /// What is wrong with it.
        error: DwarfError,
    },
    /// Any other failure of a file.
    #[error("cannot read {path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// The system's word.
        reason: String,
    },
    /// A file did not have the expected form.
    #[error("cannot understand {path}: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What was odd.
        reason: String,
    },
}

/// What a user can do.
pub type Remedy = &'static str;

impl Unavailable {
    /// What to do about it, for a diagnostic's `help:`.
    pub fn help(&self) -> Option<Remedy> {
        match self {
            Self::NoBtf { .. } => Some("use a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
            Self::NoTracefs { .. } => Some(
                "run as root, or with CAP_SYS_ADMIN, or have root run 'mount -t tracefs tracefs /sys/kernel/tracing'",
            ),
            Self::Permission { .. } => Some("run as root, or with CAP_DAC_READ_SEARCH"),
            Self::NoModule { .. } => Some("load the module first"),
            Self::AddressesHidden => {
                Some("run as root, or with CAP_SYSLOG, unless kernel.kptr_restrict is 2")
            }
            Self::NoDebugInfo { .. } => Some(
                "compile it with -g, or install its debug file below /usr/lib/debug (Debian: the package's name with -dbgsym)",
            ),
            Self::NotProvided { .. }
            | Self::BadDebugInfo { .. }
            | Self::BadBtf { .. }
            | Self::NoTracepoint { .. }
            | Self::Io { .. }
            | Self::Malformed { .. } => None,
        }
    }
}

fn option_note(option: Option<&'static str>) -> String {
    option
        .map(|option| format!(" ({option} is not set)"))
        .unwrap_or_default()
}
