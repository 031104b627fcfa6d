//! What `$x` means at a probe point.

use rtap_grammar::source::Span;

use crate::access::CType;
use crate::hir::Expr;
use crate::resolve::Cx;

/// A value with its C type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    /// The value: a number, an address for what does not fit in one.
    pub expr: Expr,
    /// Its C type.
    pub ty: CType,
}

/// A context variable, for `$$vars` and `rtap list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarInfo {
    /// Name without the dollar.
    pub name: String,
    /// Its type as C spells it.
    pub c_type: String,
}

/// The context variables of a point.
pub(crate) trait ContextVars {
    /// The variable of a name (without the dollar), if there is one.
    fn get(&self, _cx: &mut Cx<'_>, _name: &str, _span: Span) -> Option<Typed> {
        None
    }

    /// All variables that `$$vars` shows, in order; `$return` not among them.
    fn list(&self, _cx: &Cx<'_>) -> Vec<VarInfo> {
        Vec::new()
    }

    /// Those of them that are no parameters.
    fn locals(&self, _cx: &Cx<'_>) -> Vec<VarInfo> {
        Vec::new()
    }

    /// Whether one of them can be read here.
    fn is_readable(&self, _cx: &Cx<'_>, _name: &str) -> bool {
        true
    }

    /// The type of `$return` as C spells it, if there is one.
    fn result(&self, _cx: &Cx<'_>) -> Option<String> {
        None
    }

    /// Whether registers can be read.
    fn has_registers(&self) -> bool {
        false
    }

    /// Whether it is a return probe, so that `@entry` makes sense.
    fn is_return(&self) -> bool {
        false
    }

    /// Whether it is a system call: its arguments are those of the call, not of the tracepoint.
    fn is_syscall(&self) -> bool {
        false
    }

    /// Points whose variables mean the same in every way have the same identity.
    fn identity(&self) -> String {
        String::new()
    }

    /// The module that the point is in.
    fn module(&self) -> Option<&str> {
        None
    }

    /// For points that share an attachment: the number that tells which fired.
    fn selector(&self, _cx: &mut Cx<'_>, _span: Span) -> Option<Expr> {
        None
    }

    /// Why there is no variable of a name, if there is more to say than that.
    fn remark(&self, _cx: &Cx<'_>, _name: &str) -> Option<String> {
        None
    }
}

/// No variables at all.
pub(super) struct NoVars;

impl ContextVars for NoVars {}
