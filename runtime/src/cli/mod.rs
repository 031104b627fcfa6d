//! The command line: options, subcommands, and SystemTap's own form when rtap is started
//! through a link named `stap`.

mod args;
mod build;
mod compile;
mod create;
mod foreign;
mod limits;
mod list;
mod passes;
mod run;
mod shebang;
mod source;
mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Stap};
pub use status::Status;

/// Runs the command line.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args = shebang::split_glued(args);
    let name = args.first().map(std::path::PathBuf::from);
    let is_stap = name
        .as_deref()
        .and_then(|n| n.file_name())
        .is_some_and(|n| n == "stap");
    let status = if is_stap { stap(args) } else { rtap(args) };
    status.into()
}

fn rtap(args: Vec<OsString>) -> Status {
    match Cli::try_parse_from(args) {
        Ok(Cli { command }) => match command {
            Command::Run(args) => run::run(args),
            Command::Check(args) => build::check(&args),
            Command::Build(args) => build::build(&args),
            Command::List(args) => list::list(&args),
            Command::Stap { args } => {
                let mut words = vec![OsString::from("stap")];
                words.extend(args);
                stap(shebang::split_glued(words))
            }
        },
        Err(error) => refused(&error),
    }
}

fn stap(args: Vec<OsString>) -> Status {
    let stap = match Stap::try_parse_from(args) {
        Ok(stap) => stap,
        Err(error) => return refused(&error),
    };
    if stap.dump_probe_types {
        return list::kinds();
    }
    if stap.dump_probe_aliases {
        return list::aliases(&stap.run.script);
    }
    if stap.dump_functions {
        return list::functions(&stap.run.script);
    }
    let list = match (&stap.list, &stap.list_variables) {
        (Some(pattern), _) => Some((pattern.clone(), true)),
        (None, Some(pattern)) => Some((pattern.clone(), false)),
        (None, None) => None,
    };
    match list {
        Some((pattern, names_only)) => list::list_pattern(&stap.run.script, &pattern, names_only),
        None => run::run(stap.run),
    }
}

/// `--help` and `--version` are no errors.
fn refused(error: &clap::Error) -> Status {
    // Nothing can be said about the output being gone.
    let _ = error.print();
    if error.use_stderr() {
        Status::Usage
    } else {
        Status::Success
    }
}
