//! What cannot be lowered.

use rtap_grammar::source::Span;

use super::Cx;
use crate::bpf::error::BpfError;

/// Why an operation was not lowered: recorded in `Cx::errors`.
pub(super) struct Refused;

/// What lowering gives.
pub(super) type Lowered<T> = Result<T, Refused>;

impl Cx<'_> {
    pub(super) fn unsupported(&mut self, what: &str, remedy: &str) -> Refused {
        self.errors.push(BpfError::Unsupported {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
        Refused
    }

    pub(super) fn needs_kernel(
        &mut self,
        what: &str,
        since: &'static str,
        remedy: &str,
    ) -> Refused {
        self.errors.push(BpfError::NeedsKernel {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
            since,
            remedy: remedy.to_owned(),
        });
        Refused
    }

    pub(super) fn too_large(&mut self, what: &str, remedy: &str) -> Refused {
        self.errors.push(BpfError::TooLarge {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
        Refused
    }

    /// A bug, unless it comes of what was refused before.
    pub(super) fn internal(&mut self, what: &str) -> Refused {
        if !self.errors.is_empty() {
            return Refused;
        }
        self.errors.push(BpfError::Internal {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
        });
        Refused
    }
}
