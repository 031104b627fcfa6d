//! The runtime: everything that touches the machine. Host facts, loading, attaching,
//! user-side handlers, output, command line.

pub mod attach;
pub mod bpf;
pub mod cli;
#[cfg(target_env = "gnu")]
pub mod heap;
pub mod host;
pub mod interp;
pub mod kernel;
pub mod load;
mod modules;
pub mod output;
pub mod session;
mod times;
pub mod userfn;
pub mod values;
