//! The text form of LIR: what `--emit=lir` prints, goldens compare and tests are written in.
//!
//! [`print()`] and [`parse()`] are inverse: parsing a printed module gives the same module, but for spans,
//! which are printed only by [`print_with_spans`]. A construct never goes over the end of its line;
//! `;` begins a comment. A line is one of
//!
//! ```text
//! limits max_action=100                         ; those that differ from the defaults
//! g0 = global "hits" i64 = 0 shared print
//! g1 = global "by" array [i64, str<15>] -> i64 max 2048 wrap
//! g2 = global "lat" stat {sum min max variance log linear 0 100 10}
//! str0 = "text\n\x01"
//! fmt0 = out "n=" %-8d " " %s call "ctime" 1
//! site0 = division_by_zero near "operator '/'" at "a.stp:1:2"
//! core0 = field_byte_offset "task_struct" 123 "0:1:3" = 44
//! re0 = "a.*b"
//! table0 = "zero" "one"
//! handler0 = kernel raw_tracepoint fn0 "probe kernel.trace(\"sched_switch\")"
//!     point "kernel.trace(\"sched_switch\")" function "" module "" raw_tracepoint name="sched_switch"
//! fn0 "probe_0"(i64, str<15>) -> i64 {
//! block0(v0: i64, v1: str<15>):
//!     v2: i64 = iconst 5
//!     v3: i64 = array.get g1[v0, v1]
//!     try i64 = div v2, v3 !site0, block1(), block2()
//! block1(v4: i64):
//!     return v4
//! block2(v5: i64, v6: i64):
//!     raise v5, v6
//! }
//! ```
//!
//! Types are `i64`, `str<cap>` and `late<cap>`. `!siteN` is an operation's error site, `_` in brackets an
//! open place of a slice.

mod cursor;
mod names;
mod parse;
mod parse_op;
mod parse_table;
mod points;
mod print;
mod print_op;
#[cfg(test)]
mod tests;

pub use cursor::ParseError;
pub use parse::parse;

use super::{Function, Module, Op};

/// The text of a whole module.
pub fn print(module: &Module) -> String {
    print::module(module, false)
}

/// The same with ` @file:start-end` after every instruction and terminator.
pub fn print_with_spans(module: &Module) -> String {
    print::module(module, true)
}

/// The text of one function, as messages of the verifier show it.
pub fn print_function(function: &Function) -> String {
    let mut out = String::new();
    print::function(&mut out, function, false);
    out
}

/// The text of one operation.
pub fn print_op_text(op: &Op) -> String {
    let mut out = String::new();
    print_op::op(&mut out, op);
    out
}
