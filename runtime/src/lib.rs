//! The runtime: everything that touches the machine. Host facts, loading, attaching,
//! user-side handlers, output, command line.

pub mod bpf;
pub mod host;
pub mod load;
pub mod userfn;
pub mod values;
