//! Commands of `system()`: started in the background, in order, and not waited for
//! (function::system).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use crate::output::Sink;

/// Commands that have been started.
#[derive(Debug, Default)]
pub struct Commands(Vec<Child>);

impl Commands {
    /// Starts a shell with a command, after the output that came before it.
    pub fn run(&mut self, command: &[u8], sink: &mut Sink) {
        self.reap();
        sink.flush();
        let started = Command::new("/bin/sh")
            .arg("-c")
            .arg(OsStr::from_bytes(command))
            .stdin(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.0.push(child),
            Err(error) => sink.warn(&format!("system(): {error}")),
        }
    }

    /// Forgets those that have ended, so that no zombies stay.
    pub fn reap(&mut self) {
        self.0
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}
