//! The `rtap` command.

fn main() {}
