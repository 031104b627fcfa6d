//! What the parts of a regular expression match, found by tables: for kernel handlers that ask for
//! `matched(n)`.
//!
//! A match is the leftmost of the longest, its groups those of the first way through the pattern that
//! takes just that text (as `runtime/src/interp/regex.rs` has it). Four walks over the text find it:
//!
//! 1. backwards, with the states from which some end can be reached: where matches begin;
//! 2. forwards from the first of these: where the longest ends;
//! 3. backwards from there, with the states from which that end can be reached, each kept;
//! 4. forwards, one state at a time: the first in the pattern's order that is among those kept. On
//!    the way there the ends of groups are noted.

mod closure;
mod tables;

pub use tables::{Captures, FLAG_BITS};

#[cfg(test)]
mod tests;
