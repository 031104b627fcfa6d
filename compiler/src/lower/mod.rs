//! HIR to LIR.
//!
//! [`lower`] takes a checked program and makes a module: globals, functions, handlers. What the
//! tree says implicitly becomes explicit here: control flow (short-circuits, loops,
//! `try`), the order of evaluation, error sites, the ends of iterations, the widths that
//! strings are stored with.
//!
//! Files: `tables` (constants, formats, sites, each once), `needs` (what functions need of
//! those who call them), `function` and `probe` (bodies), `stmt`, `foreach`, `expr`, `assign`,
//! `print` (what bodies are made of), `emit` (appending operations), `near` (what messages
//! name).
//!
//! A function is lowered once for each [`Spec`] that it is needed in; most are needed in one.

mod emit;
mod near;
mod tables;

use std::collections::HashMap;

use rtap_grammar::source::{Files, Span};

use crate::hir::Program;
use crate::lir::builder::Builder;
use crate::lir::{Block, Context, Exec, StrId, Value};
use tables::Tables;

/// The state of lowering one body.
pub struct Lower<'a> {
    program: &'a Program,
    files: &'a Files,
    tables: &'a mut Tables,
    builder: Builder,
    spec: Spec,
    /// What surrounds the current statement, innermost last.
    scopes: Vec<Scope>,
    /// Numbers of constant values, for builtins that want constants.
    constants: HashMap<Value, i64>,
    /// The same for strings.
    constant_texts: HashMap<Value, StrId>,
}

/// What a copy of a function is made for. `None` where the function does not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Spec {
    exec: Option<Exec>,
    context: Option<Context>,
}

/// Something that has to be dealt with when control leaves it.
#[derive(Clone, Copy)]
enum Scope {
    /// A loop: where `break` and `continue` go.
    Loop { on_break: Block, on_continue: Block },
    /// A `try`: where errors go.
    Try { catch: Block },
    /// An open iteration. Errors that are caught outside of it go by way of `landing`,
    /// which ends it.
    Iter {
        handle: Value,
        landing: Option<Block>,
    },
}

/// Why something cannot be lowered; becomes a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
}

/// Result of lowering a part.
pub type Lowered<T> = Result<T, Fault>;
