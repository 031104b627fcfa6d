//! What can keep a well-typed program from becoming eBPF. Each error names the script text, what
//! it needs, and what to do instead.

use rtap_grammar::source::Span;

/// A program cannot be compiled for the kernel executor.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BpfError {
    /// An operation that kernel handlers do not have (yet).
    #[error("{what} is not available in a kernel handler")]
    Unsupported {
        /// Where it is used.
        span: Span,
        /// The operation in the user's words.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// An operation that the target kernel is too old for.
    #[error("{what} in a kernel handler needs kernel {since}")]
    NeedsKernel {
        /// Where it is used.
        span: Span,
        /// The operation in the user's words.
        what: String,
        /// First kernel that can do it.
        since: &'static str,
        /// What to write instead.
        remedy: String,
    },
    /// Something outgrows what a program can hold.
    #[error("{what} is too large for a kernel handler")]
    TooLarge {
        /// Where.
        span: Span,
        /// What outgrows what.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// The generated code is wrong: a bug in rtap.
    #[error("internal error in code generation: {what}")]
    Internal {
        /// Where.
        span: Span,
        /// Which invariant does not hold.
        what: String,
    },
}

impl BpfError {
    /// The script text it is about.
    pub fn span(&self) -> Span {
        match self {
            BpfError::Unsupported { span, .. }
            | BpfError::NeedsKernel { span, .. }
            | BpfError::TooLarge { span, .. }
            | BpfError::Internal { span, .. } => *span,
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> &str {
        match self {
            BpfError::Unsupported { remedy, .. }
            | BpfError::NeedsKernel { remedy, .. }
            | BpfError::TooLarge { remedy, .. } => remedy,
            BpfError::Internal { .. } => "please report this, with the script",
        }
    }
}
