//! Writing to somebody who may not read: waited for as long as the session lasts, but not for ever once its
//! end was asked for.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::time::{Duration, Instant};

use crate::session::Signals;

/// How long a reader that takes nothing is waited for after a signal, or the end of `-T`.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a pipe takes without waiting if it takes anything (PIPE_BUF).
const PIECE_BYTES: usize = 4096;

/// Text that was not written, and why.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Bytes that were.
    pub written: usize,
    /// The system's reason; `TimedOut` for a reader that takes nothing.
    pub error: io::Error,
}

impl Unwritten {
    /// Whether there is a reader, which takes nothing.
    pub fn is_unread(&self) -> bool {
        self.error.kind() == io::ErrorKind::TimedOut
    }

    /// The reason without Rust's "(os error 28)".
    pub fn reason(&self) -> String {
        crate::host::reason(&self.error)
    }
}

/// Writes all of `text`, without the line buffering of `std::io::Stdout`; waits for a
/// non-blocking reader.
pub(super) fn write_all(fd: BorrowedFd<'_>, text: &[u8]) -> Result<(), Unwritten> {
    // SAFETY: the descriptor stays open during the borrow, and ManuallyDrop leaves it open.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) });
    let mut written = 0;
    let mut last = None;
    while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
        // A signal that comes between this and the writing is followed by others.
        let ending = Signals::caught();
        if ending && !is_ready(fd, Duration::from_millis(200)) {
            if last.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                continue;
            }
            let error = io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing");
            return Err(Unwritten { written, error });
        }
        let most = if ending { PIECE_BYTES } else { rest.len() };
        let error = match file.write(&rest[..most.min(rest.len())]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                last = None;
                continue;
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => {
                is_ready(fd, Duration::from_secs(1));
            }
            _ => return Err(Unwritten { written, error }),
        }
    }
    Ok(())
}

/// Waits until something can be written, or writing fails at once.
fn is_ready(fd: BorrowedFd<'_>, wait: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, wait.as_millis() as i32) > 0 }
}
