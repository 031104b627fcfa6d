//! Why a fact about the machine cannot be had.

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;
use thiserror::Error;

use super::BuildId;
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
    /// No symbol tells where the kernel has loaded a section of its file or of a module's.
    #[error(
        "where this code was loaded is not known: none of the functions around it has a name that no other has"
    )]
    NoLandmark,
    /// A program without debug information.
    #[error("{path} has no debug information, and there is no debug file for it")]
    NoDebugInfo {
        /// The program.
        path: String,
    },
    /// No file has the debug information of the running kernel or of a module.
    #[error("there is no debug information of {of}")]
    NoKernelDebugInfo {
        /// What was sought: "the running kernel, 6.12.0".
        of: String,
        /// The package that has it, if the distribution is known.
        package: Option<String>,
    },
    /// The debug information that there is, is that of another build.
    #[error("{0}")]
    OtherBuild(Box<OtherBuild>),
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

impl Unavailable {
    /// The refusal of what cannot be had without the fact: the reason, and what to do about it.
    pub(crate) fn refusal(
        &self,
        title: impl Into<String>,
        label: impl Into<String>,
        span: Span,
    ) -> Diagnostic {
        Diagnostic::error(codes::POINT_UNAVAILABLE, title)
            .label(span, label)
            .note(self.to_string())
            .help_if(self.help())
    }

    /// What to do about it, for a diagnostic's `help:`.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::NoKernelDebugInfo { package, .. } => return Some(install(package.as_deref())),
            Self::OtherBuild(other) => return Some(install(other.package.as_deref())),
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
            | Self::NoLandmark
            | Self::BadDebugInfo { .. }
            | Self::BadBtf { .. }
            | Self::NoTracepoint { .. }
            | Self::Io { .. }
            | Self::Malformed { .. } => None,
        };
        text.map(str::to_owned)
    }
}

/// A file that is of another build than what runs.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{path} is of another build: its build id is {}, that of {of} {running}",
    found.as_ref().map_or_else(|| "none".to_owned(), BuildId::to_string)
)]
pub struct OtherBuild {
    /// The file.
    pub path: String,
    /// Its build id.
    pub found: Option<BuildId>,
    /// What was sought: "the running kernel, 6.12.0".
    pub of: String,
    /// The build id of that.
    pub running: BuildId,
    /// The package that has the right one, if the distribution is known.
    pub package: Option<String>,
}

/// How to come by the kernel's debug information.
fn install(package: Option<&str>) -> String {
    match package {
        Some(package) => format!("install the package {package}"),
        None => "install the debug information of this very build below /usr/lib/debug".to_owned(),
    }
}

fn option_note(option: Option<&'static str>) -> String {
    option
        .map(|option| format!(" ({option} is not set)"))
        .unwrap_or_default()
}
