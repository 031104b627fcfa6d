//! Benches: what a tracer costs, for rtap, for bpftrace and for C by hand (clang, libbpf), in
//! one run on this machine. The programs that are compared are in `tests/bench`.
//!
//! `cargo run --release -p rtap-tests --bin bench` prints the table; docs/performance.md keeps
//! what was measured.

#![expect(clippy::cast_precision_loss, reason = "measurements are far from 2^52")]

pub mod compiling;
pub mod event_cost;
pub mod peers;
pub mod printing;
pub mod session;
pub mod sorting;
pub mod startup;
pub mod table;

pub use peers::{Peer, Peers};
pub use table::{Cell, Table};
