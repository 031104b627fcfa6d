//! Draining the ring buffer: each record becomes output, a message, a command.

use rtap_compiler::image::Meta;
use rtap_compiler::lir::Channel;

use super::commands::Commands;
use super::{Executor, errors};
use crate::bpf::RingReader;
use crate::output::{Event, Sink};

/// What is kept between drains.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Records that could not be understood.
    pub(super) corrupt: u64,
    /// Run-time errors of kernel handlers that were reported.
    pub(super) errors: u64,
    /// Commands of `system()`.
    commands: Commands,
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
        self.commands.reap();
        ring.drain(most, |record| self.take(record, to))
    }

    fn take(&mut self, record: &[u8], to: &mut Records<'_>) {
        let before = to.sink.buffer().len();
        match to.executor.decode(record, to.sink.buffer()) {
            Ok(Event::Printed) => to.sink.written(),
            Ok(Event::Exit) => {}
            Ok(Event::Text(Channel::System, command)) => self.commands.run(&command, to.sink),
            Ok(Event::Text(channel, text)) => to.sink.print_to(channel, &text),
            Ok(Event::Error {
                program,
                site,
                point,
                arg,
                message,
            }) => {
                self.errors += 1;
                if to.show_errors {
                    let module = &to.meta.module;
                    let probe = to.meta.programs.get(program as usize).map(|program| {
                        let point = program.by_cookie.then_some(point);
                        errors::probe(module, program.handler, point)
                    });
                    let probe = probe.unwrap_or("?");
                    let site = i64::from(site);
                    let report = errors::report(&module.sites, site, arg, &message, probe);
                    to.sink.message(&report);
                }
            }
            Err(_) => {
                to.sink.buffer().truncate(before);
                self.corrupt += 1;
            }
        }
    }
}
