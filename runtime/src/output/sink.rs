//! The output's end: a buffer in front of a file, and standard error for what is not output.
//!
//! Text is gathered and written by one system call when the buffer is full or `flush` is
//! called (before waiting, before anything on standard error, at the end). The first
//! failure is kept: a closed pipe ends the session quietly. Anything else is reported once, and what could
//! not be written, and what `end` handlers still print, goes to standard error.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rtap_compiler::lir::Channel;

use super::patient::{Unwritten, write_all};

/// The buffer is written when it holds this much, bytes.
const FULL_BYTES: usize = 64 << 10;

/// Why nothing more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkError {
    /// The reader has gone away.
    Closed,
    /// Anything else. It has been reported.
    Failed,
}

/// Where output goes.
#[derive(Debug)]
pub struct Sink {
    buffer: Vec<u8>,
    /// `-o`'s file; else standard output.
    file: Option<OwnedFd>,
    /// What messages call it.
    name: String,
    error: Option<SinkError>,
    /// Standard error's reader takes nothing.
    unheard: bool,
    /// Whether warnings are shown (`-w` turns them off).
    warnings: bool,
}

impl Sink {
    /// Output to a file and its name, or to standard output.
    pub fn new(file: Option<(File, String)>, warnings: bool) -> Sink {
        let (file, name) = file.unzip();
        Sink {
            buffer: Vec::with_capacity(FULL_BYTES + 4096),
            file: file.map(OwnedFd::from),
            name: name.unwrap_or_else(|| "standard output".to_owned()),
            error: None,
            unheard: false,
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
        self.tell(format!("{line}\n").as_bytes());
    }

    /// Text on standard error.
    fn tell(&mut self, text: &[u8]) {
        if !self.unheard {
            // Nothing can be said about standard error being gone.
            let told = write_all(io::stderr().as_fd(), text);
            self.unheard = told.is_err_and(|unwritten| unwritten.is_unread());
        }
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
        if self.buffer.is_empty() {
            return;
        }
        let mut text = std::mem::take(&mut self.buffer);
        match self.error {
            None => {
                if let Err(unwritten) = self.write_out(&text) {
                    self.fail(&unwritten, &text);
                }
            }
            Some(SinkError::Failed) => self.tell(&text),
            Some(SinkError::Closed) => {}
        }
        text.clear();
        self.buffer = text;
    }

    fn write_out(&self, text: &[u8]) -> Result<(), Unwritten> {
        let stdout = io::stdout();
        let fd = self
            .file
            .as_ref()
            .map_or_else(|| stdout.as_fd(), OwnedFd::as_fd);
        write_all(fd, text)
    }

    /// Nothing more can be written.
    fn fail(&mut self, unwritten: &Unwritten, text: &[u8]) {
        if unwritten.error.kind() == io::ErrorKind::BrokenPipe {
            self.error = Some(SinkError::Closed);
            return;
        }
        self.error = Some(SinkError::Failed);
        let help = if unwritten.is_unread() {
            "end the program that does not read it"
        } else {
            "name a file elsewhere with -o"
        };
        let message = format!(
            "ERROR: cannot write {}: {}; what is missing there follows here\n  help: {help}\n",
            self.name,
            unwritten.reason()
        );
        self.tell(message.as_bytes());
        self.tell(text.get(unwritten.written..).unwrap_or_default());
    }

    /// Why output failed, if it did.
    pub fn error(&self) -> Option<SinkError> {
        self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn output_reaches_a_file_in_order() {
        let path = std::env::temp_dir().join(format!("rtap-sink-{}", std::process::id()));
        let file = File::create(&path).expect("a temporary file");
        let mut sink = Sink::new(Some((file, "it".into())), true);
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
        let full = File::options().write(true).open("/dev/full");
        let mut sink = Sink::new(Some((full.expect("/dev/full"), "it".into())), true);
        sink.print(b"a");
        sink.flush();
        assert_eq!(sink.error(), Some(SinkError::Failed));
    }
}
