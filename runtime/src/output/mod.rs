//! What users see: standard output or `-o`'s file, standard error, and what the records of
//! the ring buffer become there.
//!
//! This is the only module of rtap that writes to standard output and standard error
//! while a script runs.

mod events;
mod patient;
mod sink;

pub use events::{Event, Events};
pub use sink::{Sink, SinkError};
