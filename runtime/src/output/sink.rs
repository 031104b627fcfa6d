//! The output's end: a buffer in front of a file, and standard error for what is not output.
//!
//! Text is gathered and written by one system call when the buffer is full or `flush` is
//! called (before waiting, before anything on standard error, at the end). The first
//! failure is kept: a closed pipe ends the session quietly, anything else is reported once.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rtap_compiler::lir::Channel;

/// The buffer is written when it holds this much, bytes.
const FULL_BYTES: usize = 64 << 10;

/// Why nothing more can be written.
#[derive(Debug)]
pub enum SinkError {
    /// The reader has gone away.
    Closed,
    /// Anything else.
    Failed(io::Error),
}

/// Where output goes.
#[derive(Debug)]
pub struct Sink {
    buffer: Vec<u8>,
    /// `-o`'s file; else standard output.
    file: Option<OwnedFd>,
    error: Option<SinkError>,
    /// Whether warnings are shown (`-w` turns them off).
    warnings: bool,
}

impl Sink {
    /// Output to a file, or to standard output.
    pub fn new(file: Option<File>, warnings: bool) -> Sink {
        Sink {
            buffer: Vec::with_capacity(FULL_BYTES + 4096),
            file: file.map(OwnedFd::from),
            error: None,
            warnings,
        }
    }

    /// The buffer, to append output to. Call [`Sink::written`] afterwards.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// To be called after something was appended: writes the buffer when it is full.
    pub fn written(&mut self) {
        if self.buffer.len() >= FULL_BYTES {
            self.flush();
        }
    }

    /// Appends output.
    pub fn print(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
        self.written();
    }

    /// Sends what a script printed to a channel where it belongs. `Channel::System` is not
    /// printing: the session runs it.
    pub fn print_to(&mut self, channel: Channel, text: &[u8]) {
        match channel {
            Channel::Out => self.print(text),
            Channel::Log => {
                self.buffer.extend_from_slice(text);
                self.buffer.push(b'\n');
                self.written();
            }
            Channel::Warn => self.warn(&String::from_utf8_lossy(
                text.strip_suffix(b"\n").unwrap_or(text),
            )),
            Channel::Printk => self.printk(text),
            Channel::System => {}
        }
    }

    /// `WARNING: …` on standard error.
    pub fn warn(&mut self, text: &str) {
        if self.warnings {
            self.message(&format!("WARNING: {text}"));
        }
    }

    /// A line on standard error, after the output that came before it.
    pub fn message(&mut self, line: &str) {
        self.flush();
        // Nothing can be said about standard error being gone.
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn printk(&mut self, text: &[u8]) {
        let written = File::options()
            .write(true)
            .open("/dev/kmsg")
            .and_then(|mut log| log.write_all(text));
        if let Err(error) = written {
            self.warn(&format!("printk: /dev/kmsg: {error}"));
        }
    }

    /// Writes everything.
    pub fn flush(&mut self) {
        if self.error.is_none()
            && !self.buffer.is_empty()
            && let Err(error) = self.write_out()
        {
            self.error = Some(match error.kind() {
                io::ErrorKind::BrokenPipe => SinkError::Closed,
                _ => SinkError::Failed(error),
            });
        }
        self.buffer.clear();
    }

    fn write_out(&self) -> io::Result<()> {
        let stdout = io::stdout();
        let fd = self
            .file
            .as_ref()
            .map_or_else(|| stdout.as_fd(), OwnedFd::as_fd);
        write_all(fd, &self.buffer)
    }

    /// Why output failed, if it did.
    pub fn error(&self) -> Option<&SinkError> {
        self.error.as_ref()
    }
}

/// Writes all of `text`, without the line buffering of `std::io::Stdout`; waits for a
/// non-blocking reader.
fn write_all(fd: BorrowedFd<'_>, mut text: &[u8]) -> io::Result<()> {
    // SAFETY: the descriptor stays open during the borrow, and ManuallyDrop leaves it open.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) });
    while !text.is_empty() {
        match file.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => text = &text[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut poll = libc::pollfd {
                    fd: fd.as_raw_fd(),
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: one valid pollfd.
                unsafe { libc::poll(&raw mut poll, 1, 1000) };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn output_reaches_a_file_in_order() {
        let path = std::env::temp_dir().join(format!("rtap-sink-{}", std::process::id()));
        let file = File::create(&path).expect("a temporary file");
        let mut sink = Sink::new(Some(file), true);
        sink.print(b"a");
        sink.print_to(Channel::Log, b"b");
        sink.print(&vec![b'x'; FULL_BYTES]);
        sink.flush();
        let mut text = Vec::new();
        File::open(&path)
            .and_then(|mut f| f.read_to_end(&mut text))
            .expect("readable");
        std::fs::remove_file(&path).expect("removable");
        assert!(text.starts_with(b"ab\nxx"));
        assert_eq!(text.len(), 3 + FULL_BYTES);
        assert!(sink.error().is_none());
    }

    #[test]
    fn a_full_disk_is_kept_as_an_error() {
        let mut sink = Sink::new(
            Some(
                File::options()
                    .write(true)
                    .open("/dev/full")
                    .expect("/dev/full"),
            ),
            true,
        );
        sink.print(b"a");
        sink.flush();
        assert!(matches!(sink.error(), Some(SinkError::Failed(_))));
    }
}
