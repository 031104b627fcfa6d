//! HIR to LIR.

use rtap_grammar::source::Span;

/// The state of lowering one function.
pub struct Lower<'a> {
    #[expect(dead_code, reason = "the fields come with the lowering itself")]
    program: &'a crate::hir::Program,
}

/// Why something cannot be lowered; becomes a diagnostic.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
}
