//! LIR: the one typed low-level IR, run by two executors (eBPF in the kernel, the
//! interpreter in user space). This page is its specification; `verify` checks it,
//! `text` prints and parses it.
//!
//! # Shape
//! A [`Module`] holds globals, constants, formats, error sites and functions. A
//! [`Function`] is a control-flow graph of [`Block`]s in SSA form with block
//! parameters: every [`Value`] is defined once (by an instruction or as a block
//! parameter) and its definition dominates every use. `block0` is the entry; its
//! parameters are the function's.
//!
//! # Types
//! * [`Ty::I64`]: a signed 64-bit integer that wraps.
//! * [`Ty::Str`]`{cap, late}`: an immutable byte string of at most `cap` bytes, none of
//!   them NUL. Values are never modified: `str.concat` makes a new one. A *late* string
//!   is one whose characters only user space can make (or makes cheaper): what it holds
//!   is a record `(format, arguments)`, made by `str.late` and rendered when it is
//!   printed. Late strings may be stored, passed, returned, emitted and used as
//!   keys; no other string operation accepts one, except that `str.cut` to a string that is
//!   not late renders it (user-side code only). Both executors hold the record: a key that a
//!   `foreach` took out of an array finds its element again.
//!
//! LIR is abstract about memory: there are no pointers to globals, no buffers, no stack.
//! A result longer than its `cap` is cut silently to `cap` bytes (SystemTap's rule).
//! Addresses of traced memory are plain `i64`.
//!
//! # Errors
//! An operation for which [`Op::can_fail`] holds names an error [`SiteId`]. It stands in
//! one of two places:
//! * as an instruction of a block: its error leaves the function (the caller sees it; in
//!   a handler it is the run-time error that is reported and counted);
//! * in the terminator [`Terminator::Try`]: on success control goes to `ok`, whose
//!   target's *first parameter* is the operation's result if it has one; on error
//!   to `catch`, whose target's *first two parameters* are the site number and the error's
//!   integer argument. The call's own arguments follow those.
//!
//! `err.text` makes the message a `catch (msg)` sees out of site and argument;
//! [`Terminator::Raise`] raises (again) out of the two numbers. The text of
//! `error("…")` travels beside them in one message buffer per handler run,
//! written by `err.set` just before its `raise`. How control came to the operation is in its
//! site ([`chain`]).
//!
//! # Two executors
//! [`Op::place`] says whether an operation exists in the kernel, in user space or in both.
//! A kernel handler's functions may hold no user-only operation and the other way round;
//! everything else must give the same result in both executors, to the bit. Shift counts
//! are taken modulo 64. `div` and `rem` are C's on signed numbers, with `MIN / -1 = MIN`.
//!
//! # Loops
//! Back edges are ordinary jumps to a block whose [`BlockData::loop_head`] is set (the
//! lowering sets it, with the site for `MAXACTION`). The kernel executor bounds each by
//! MAXACTION; the interpreter by MAXACTION_INTERRUPTIBLE, those of `foreach` apart.

pub mod builder;
pub mod cfg;
pub mod chain;
pub mod entity;
pub mod ere;
mod func;
mod module;
mod op;
mod op_info;
pub mod text;
pub mod verify;

pub use chain::Chains;
pub use entity::*;
pub use func::*;
pub use module::*;
pub use op::*;
