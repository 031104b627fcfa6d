//! The `rtap` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    rtap::cli::main(std::env::args_os().collect())
}
