//! How a command ends, and the few lines that it says without a script's session.

use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0
    Success,
    /// 1: a fault of the script, of the machine, or at run time. It has been reported.
    Failure,
    /// 2: a fault of the command line. It has been reported.
    Usage,
}

impl Status {
    /// Reports an error with its remedy.
    pub fn fail(message: &str, help: Option<&str>) -> Status {
        Status::say(&format!("error: {message}"));
        if let Some(help) = help {
            Status::say(&format!("  help: {help}"));
        }
        Status::Failure
    }

    /// Reports a fault of the command line.
    pub fn usage(message: &str) -> Status {
        Status::say(&format!("error: {message}"));
        Status::Usage
    }

    /// Reports a warning.
    pub fn warn(message: &str) {
        Status::say(&format!("WARNING: {message}"));
    }

    /// A line on standard error.
    pub fn say(line: &str) {
        // Nothing can be said about standard error being gone.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Text on standard output; a reader that has gone away is no fault.
    pub fn print(text: &str) -> Status {
        let mut output = io::stdout();
        let printed = output.write_all(text.as_bytes());
        match printed.and_then(|()| output.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Status::not_written("standard output", &error)
            }
            _ => Status::Success,
        }
    }

    /// Reports an output that cannot be written.
    pub fn not_written(name: &str, error: &io::Error) -> Status {
        let reason = crate::host::reason(error);
        Status::fail(
            &format!("cannot write {name}: {reason}"),
            Some("name another file with -o"),
        )
    }

    /// What comes of two steps: the first fault.
    #[must_use]
    pub fn and(self, then: impl FnOnce() -> Status) -> Status {
        match self {
            Status::Success => then(),
            fault => fault,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        match status {
            Status::Success => ExitCode::SUCCESS,
            Status::Failure => ExitCode::from(1),
            Status::Usage => ExitCode::from(2),
        }
    }
}
