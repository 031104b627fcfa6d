//! The `rtap` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A compiler makes and drops small objects all the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    rtap::cli::main(std::env::args_os().collect())
}
