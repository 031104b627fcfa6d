//! Checks that a module is LIR as [the specification](super) says.
//!
//! # Of a module
//! * Every index refers to something.
//! * Arrays have 1-9 keys; initial values have their global's type.
//! * Strings have at most [`MOST_STRING_BYTES`](super::MOST_STRING_BYTES); linear histograms have a width, and the buckets
//!   that [`Histogram::is_sound`](super::Histogram::is_sound) allows; limits are in their range.
//! * A handler's function has no parameters and no result.
//! * A callee stands before its callers, unless they are in one group of recursion.
//! * What a kernel handler reaches by calls holds no user-side operation, what a user-side
//!   handler reaches no kernel-side one ([`Op::place`](super::Op::place)), and context operations fit the handler's
//!   [`Context`](super::Context). `env.point` occurs in handlers' own functions only.
//!
//! # Of a function
//! * The entry's parameters are the function's. Nothing jumps to the entry.
//! * Every value is defined once, and its definition dominates its uses in reachable blocks.
//! * Jumps pass as many arguments, of the same types, as the target has parameters after those
//!   that the terminator supplies: the result for a `try`'s first target, site and argument
//!   (`i64`) for its second; keys and value for `iter.next`'s first.
//! * `try` holds an operation that can fail.
//! * A jump goes backwards only to a block that dominates it and has `loop_head`.
//! * An iteration's handle is what `iter.begin` defined (as an instruction, or as the first
//!   parameter of the `ok` block of a `try`, to which nothing else jumps), and is used by
//!   `iter.next` and `iter.end` only.
//!
//! # Of an operation
//! * Operands and results have the types that its row in `op` says: integers are
//!   [`Ty::I64`](super::Ty); keys and elements are exactly of the global's types (widths and
//!   lateness included), arguments and results exactly of the function's.
//! * A format's conversions agree with the arguments in number and kind.
//! * Only stores, calls, jumps, returns, `emit`, `str.late` and `str.cut` take late strings.
//!   `str.cut` makes a late string of a late one that is not wider, or, in user-side code,
//!   renders it.

mod function;
mod global;
mod module;
mod op;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::lir::{Block, Function, Module};

/// A rule broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The function, if it is in one.
    pub function: Option<String>,
    /// The block, if it is in one.
    pub block: Option<Block>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(function) = &self.function {
            write!(f, "{function}: ")?;
        }
        if let Some(block) = self.block {
            write!(f, "{block}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Checks a module; gives all that is wrong with it.
pub fn verify(module: &Module) -> Result<(), Vec<VerifyError>> {
    let mut errors = Vec::new();
    module::check(module, &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Checks one function, which need not be (or not in this form) in the module that it is of.
pub fn verify_function(module: &Module, function: &Function) -> Result<(), Vec<VerifyError>> {
    let mut errors = Vec::new();
    function::check(module, function, &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
