//! Draining the ring buffer: each record becomes output, a message, a command.

use rtap_compiler::image::Meta;
use rtap_compiler::lir::{Channel, SiteId};

use super::{Executor, errors};
use crate::bpf::RingReader;
use crate::output::{Event, Sink};

/// What is kept between drains.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Records that could not be understood.
    pub(super) corrupt: u64,
    /// Commands of `system()` that have been started.
    commands: Vec<std::process::Child>,
}

/// Where records go.
pub(super) struct Records<'a> {
    pub(super) meta: &'a Meta,
    pub(super) executor: &'a mut dyn Executor,
    pub(super) sink: &'a mut Sink,
    pub(super) show_errors: bool,
}

impl Queue {
    /// Deals with up to `most` records; returns how many there were.
    pub(super) fn drain(
        &mut self,
        ring: &mut RingReader,
        to: &mut Records<'_>,
        most: usize,
    ) -> usize {
        self.commands
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        ring.drain(most, |record| self.take(record, to))
    }

    fn take(&mut self, record: &[u8], to: &mut Records<'_>) {
        let before = to.sink.buffer().len();
        match to.executor.decode(record, to.sink.buffer()) {
            Ok(Event::Printed) => to.sink.written(),
            Ok(Event::Exit) => {}
            Ok(Event::Text(Channel::System, command)) => self.system(&command, to.sink),
            Ok(Event::Text(channel, text)) => to.sink.print_to(channel, &text),
            Ok(Event::Error {
                site, arg, message, ..
            }) => {
                if to.show_errors {
                    let site = u32::try_from(site)
                        .ok()
                        .and_then(|s| to.meta.module.sites.get(SiteId::from_u32(s)));
                    to.sink.message(&errors::report(site, arg, &message));
                }
            }
            Err(_) => {
                to.sink.buffer().truncate(before);
                self.corrupt += 1;
            }
        }
    }

    /// `system()`: a shell, not waited for, after the output that came before it.
    fn system(&mut self, command: &[u8], sink: &mut Sink) {
        use std::os::unix::ffi::OsStrExt;
        sink.flush();
        let started = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(std::ffi::OsStr::from_bytes(command))
            .stdin(std::process::Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.commands.push(child),
            Err(error) => sink.warn(&format!("system(): {error}")),
        }
    }
}
