//! The target process: `-c CMD` starts one, `-x PID` names one. Either way a pidfd tells
//! when it ends.
//!
//! A command is started *before* probes are attached, because its PID must be known then, and
//! waits between fork and exec for the gate to open. If rtap dies first, the gate reads as
//! closed and the child leaves; no stopped child is left behind.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The process that `target()` means.
#[derive(Debug)]
pub struct TargetProcess {
    /// Its id.
    pub pid: u32,
    pidfd: OwnedFd,
    /// For a command: the gate, until it is opened.
    gate: Option<OwnedFd>,
    is_child: bool,
}

/// Why there is no target; the text is a whole message.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// `-x` names nothing.
    #[error("no process has the id {0}")]
    NoProcess(u32),
    /// `-c` names no program.
    #[error("cannot run `{command}`: no program of that name")]
    NoProgram {
        /// The command's first word.
        command: String,
    },
    /// A system call failed.
    #[error("cannot start `{command}`: {error}")]
    Start {
        /// The command.
        command: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A system call failed.
    #[error("cannot watch process {pid}: {error}")]
    Watch {
        /// The process.
        pid: u32,
        /// The system's reason.
        error: io::Error,
    },
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// A signal killed it.
    Signalled(i32),
}

impl TargetProcess {
    /// A process that is running already.
    pub fn existing(pid: u32) -> Result<TargetProcess, TargetError> {
        let pidfd = pidfd_open(pid).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH | libc::EINVAL) => TargetError::NoProcess(pid),
            _ => TargetError::Watch { pid, error },
        })?;
        Ok(TargetProcess {
            pid,
            pidfd,
            gate: None,
            is_child: false,
        })
    }

    /// Starts a command that waits for [`TargetProcess::go`]. Without shell syntax it is
    /// run directly, so that the PID is the program's own.
    pub fn command(command: &str) -> Result<TargetProcess, TargetError> {
        let start = |error| TargetError::Start {
            command: command.into(),
            error,
        };
        let words = words(command);
        let program = words.first().cloned().unwrap_or_default();
        if find_program(&program).is_none() {
            return Err(TargetError::NoProgram { command: program });
        }
        let arguments: Result<Vec<CString>, _> = words.into_iter().map(CString::new).collect();
        let arguments = arguments.map_err(|_| start(io::ErrorKind::InvalidInput.into()))?;
        let mut pointers: Vec<*const libc::c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let (read, write) = pipe().map_err(start)?;

        // SAFETY: the child only makes calls that are allowed after fork, and never returns.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(start(io::Error::last_os_error()));
        }
        if pid == 0 {
            // SAFETY: as above; all memory used was made before the fork.
            unsafe { wait_and_exec(read.as_raw_fd(), write.as_raw_fd(), &pointers) };
        }
        let pid = pid as u32;
        let pidfd = pidfd_open(pid).map_err(|error| TargetError::Watch { pid, error })?;
        Ok(TargetProcess {
            pid,
            pidfd,
            gate: Some(write),
            is_child: true,
        })
    }

    /// Lets the command begin.
    pub fn go(&mut self) {
        if let Some(gate) = self.gate.take() {
            // SAFETY: writes one byte out of a constant. A child that is dead already
            // shows in its pidfd.
            unsafe { libc::write(gate.as_raw_fd(), b"g".as_ptr().cast(), 1) };
        }
    }

    /// Whether rtap started it.
    pub fn is_child(&self) -> bool {
        self.is_child
    }

    /// How it ended, if it is a command that has ended.
    pub fn ended(&self) -> Option<Ended> {
        if !self.is_child {
            return None;
        }
        let mut status = 0;
        // SAFETY: room for one status.
        let reaped = unsafe { libc::waitpid(self.pid as i32, &raw mut status, libc::WNOHANG) };
        (reaped == self.pid as i32).then(|| {
            if libc::WIFSIGNALED(status) {
                Ended::Signalled(libc::WTERMSIG(status))
            } else {
                Ended::Exited(libc::WEXITSTATUS(status))
            }
        })
    }

    /// Ends a command that outlives the session: closes the gate if it never began, asks it
    /// to terminate otherwise.
    pub fn dismiss(&mut self) {
        if self.is_child && self.gate.take().is_none() {
            // A stopped one takes it when it goes on.
            for signal in [libc::SIGTERM, libc::SIGCONT] {
                // SAFETY: a signal to our own child, which has not been waited for.
                unsafe { libc::kill(self.pid as i32, signal) };
            }
        }
    }
}

impl AsFd for TargetProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// In the child: waits for the gate, then becomes the command.
///
/// # Safety
/// Only to be called in a forked child; `arguments` ends with a null pointer.
unsafe fn wait_and_exec(gate: i32, other_end: i32, arguments: &[*const libc::c_char]) -> ! {
    let mut byte = 0_u8;
    // SAFETY: read, close, execvp, signal and _exit are allowed in a forked child of a process with
    // one thread; the buffer is one byte.
    unsafe {
        libc::close(other_end);
        if libc::read(gate, (&raw mut byte).cast(), 1) == 1 {
            // Rust ignores SIGPIPE; programs expect the default.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::execvp(arguments[0], arguments.as_ptr());
        }
        libc::_exit(127)
    }
}

/// The words of a command without shell syntax; else a shell that runs it.
fn words(command: &str) -> Vec<String> {
    const SYNTAX: &[char] = &[
        '|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '[', '#', '~', '=',
        '%', '!', '{', '\n',
    ];
    if command.contains(SYNTAX) {
        vec!["/bin/sh".into(), "-c".into(), command.into()]
    } else {
        command.split_whitespace().map(str::to_owned).collect()
    }
}

/// Whether a program of that name can be run: a path, or found in `$PATH`.
fn find_program(name: &str) -> Option<()> {
    let is_program = |path: &std::path::Path| path.is_file();
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return is_program(std::path::Path::new(name)).then_some(());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .any(|dir| is_program(&dir.join(name)))
        .then_some(())
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// pidfd_open(2): kernel 5.3.
fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no addresses are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_commands_are_run_without_a_shell() {
        assert_eq!(words("ls -l /tmp"), ["ls", "-l", "/tmp"]);
        assert_eq!(words("ls | wc"), ["/bin/sh", "-c", "ls | wc"]);
    }

    #[test]
    fn a_command_waits_for_the_gate_and_reports_its_status() {
        let mut target = TargetProcess::command("exit 3; true").expect("a shell");
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(target.ended(), None);
        target.go();
        let ended = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            target.ended()
        });
        assert_eq!(ended.take(400).flatten().next(), Some(Ended::Exited(3)));
    }

    #[test]
    fn a_gate_that_closes_ends_the_child() {
        let mut target = TargetProcess::command("sleep 100").expect("sleep");
        target.dismiss();
        let ended = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            target.ended()
        });
        assert_eq!(ended.take(400).flatten().next(), Some(Ended::Exited(127)));
    }

    #[test]
    fn what_does_not_exist_is_named() {
        assert!(matches!(
            TargetProcess::command("no-such-program-1 x"),
            Err(TargetError::NoProgram { .. })
        ));
        assert!(matches!(
            TargetProcess::existing(u32::MAX / 4),
            Err(TargetError::NoProcess(_))
        ));
    }
}
