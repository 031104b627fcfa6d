//! The command line.

pub mod args;
pub mod limits;
pub mod shebang;
pub mod source;
