//! Kernel tests: scripts run against real workloads, on this machine and on the kernels of the
//! matrix. The tests are text, `tests/kernel/*.test`; [`case`] tells their form.
//!
//! `tests/tests/kernel.rs` is the test target.

pub mod case;
pub mod expect;
mod machine;
pub mod report;
pub mod require;
pub mod runner;
pub mod sizes;

pub use case::Case;
pub use report::{Report, Verdict};
