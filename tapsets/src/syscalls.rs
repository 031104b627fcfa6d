//! The table of system calls, as text; `docs/tapset-syscalls.md` is its specification. The
//! compiler takes from it the lines that a script needs.

/// `syscalls.table` without comments and blank lines.
pub static SYSCALLS: &str = include_str!(concat!(env!("OUT_DIR"), "/syscalls.table"));
