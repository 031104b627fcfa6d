//! The `rtap` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_env = "gnu")]
    rtap::heap::prepare();
    rtap::cli::main(std::env::args_os().collect())
}
