//! The run of a script: `begin` handlers, timers, draining, the end.
//!
//! Order: the target process is started but held; probes are attached while the state is
//! `Starting`, in which kernel handlers do nothing; `begin` handlers run; the state becomes
//! `Running` and the target is let go. After the end (a call of `exit()`, a signal, `-T`, the
//! target's end, too many errors, a closed output) the state is `Stopping`, in which no kernel handler begins; those that
//! have begun are waited for, what is in the ring buffer is drained, `end` handlers run (`error` handlers after too many errors), the globals
//! that nobody read are shown, what was lost or skipped is told, and probes are detached.
//!
//! A user-side handler only ever runs when everything that was recorded before has been
//! printed.

pub mod commands;
mod control;
pub mod errors;
mod hit_report;
mod queue;
mod report;
pub mod signals;
mod target;
mod timers;
pub mod timing;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

pub use control::Control;
pub use signals::Signals;
pub use target::{Ended, TargetError, TargetProcess};
pub use timers::{clock_ns, now_ns};

use rtap_compiler::image::{Attach, Meta, ProgramCounter, SessionState, header};
use rtap_compiler::lir::{Exec, HandlerId};

use crate::bpf::RingReader;
use crate::output::{Sink, SinkError};
use queue::{Queue, Records};
use timers::Timer;

/// Runs user-side handlers; the LIR interpreter, seen from the session.
pub trait Executor {
    /// Runs a handler for one of its points. What it prints goes to the sink.
    fn run(&mut self, handler: HandlerId, point: u32, sink: &mut Sink) -> Result<(), Failure>;

    /// Decodes a record of the ring buffer; output goes to the end of `out`.
    fn decode(
        &mut self,
        record: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<crate::output::Event, crate::values::BadRecord>;

    /// What is to be told since the last call.
    fn warning(&mut self) -> Option<&'static str>;

    /// Shows the globals that were written and never read.
    fn show_globals(&mut self, sink: &mut Sink);
}

/// A run-time error that left a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What tells of it ([`errors::report`]).
    pub report: String,
}

/// What is in the kernel: dropped is detached.
pub trait Attached {
    /// Runs the `begin` handlers that are kernel programs.
    fn run_begin(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    /// Waits until the handlers are over that had begun when the session's state came to be `Stopping`.
    fn settle(&mut self);

    /// Detaches everything, if need be in the background.
    fn release(self: Box<Self>);

    /// What the probes missed, for the report at the end: a line each.
    fn shortfalls(&self) -> Vec<String> {
        Vec::new()
    }

    /// With `-t`, what is known of the image's programs, by their numbers.
    fn runs(&self, _meta: &Meta) -> HashMap<usize, timing::ProgramRuns> {
        HashMap::new()
    }
}

/// How a session is to run.
#[derive(Debug)]
pub struct Options {
    /// `-T`
    pub timeout: Option<Duration>,
    /// `--suppress-handler-errors`
    pub suppress_errors: bool,
    /// Whether globals that nobody reads are shown at the end.
    pub show_globals: bool,
    /// `-t`
    pub timing: bool,
}

/// A session that is ready to run.
pub struct Session<'a> {
    /// The image's metadata.
    pub meta: &'a Meta,
    /// The header of the globals map.
    pub control: &'a Control,
    /// Runs user-side handlers.
    pub executor: &'a mut dyn Executor,
    /// What is attached, if there are kernel handlers.
    pub attached: Option<Box<dyn Attached>>,
    /// The ring buffer, if there are kernel handlers that print.
    pub ring: Option<RingReader>,
    /// `-c`, `-x`.
    pub target: Option<TargetProcess>,
    /// Output.
    pub sink: Sink,
    /// See [`Options`].
    pub options: Options,
    /// Runs of user-side probes, with `-t`.
    measured: Option<HashMap<(HandlerId, u32), timing::Runs>>,
    /// Run-time errors of user-side handlers.
    user_errors: u64,
}

/// Why the session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status of rtap.
    pub status: u8,
}

/// So many records are printed before anything else is looked at.
const BATCH: usize = 4096;
/// Handlers that print wake us up; this bounds the wait in case a wake-up is lost.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// What remains in the ring buffer at the end is printed for at most this long.
const LAST_DRAIN: Duration = Duration::from_secs(10);

impl<'a> Session<'a> {
    /// A session of user-side handlers alone.
    pub fn new(
        meta: &'a Meta,
        control: &'a Control,
        executor: &'a mut dyn Executor,
        sink: Sink,
        options: Options,
    ) -> Session<'a> {
        let measured = options.timing.then(HashMap::new);
        Session {
            meta,
            control,
            executor,
            attached: None,
            ring: None,
            target: None,
            sink,
            options,
            measured,
            user_errors: 0,
        }
    }

    /// Runs it to its end.
    pub fn run(mut self, signals: &Signals) -> Outcome {
        if self.options.suppress_errors {
            self.control.store(header::MAX_ERRORS, u64::MAX);
        }
        let deadline = self.options.timeout.and_then(|timeout| {
            signals.alarm_after(timeout);
            Instant::now().checked_add(timeout)
        });
        let mut begin = self.user_points(|attach| match attach {
            Attach::Begin { priority } => Some(*priority),
            _ => None,
        });
        begin.sort_by_key(|&(priority, ..)| priority);
        for (_, handler, point) in begin {
            if self.must_end() {
                break;
            }
            self.run_handler(handler, point);
        }
        let began_well = self.control.state() != SessionState::Error;
        self.control.advance(SessionState::Running);
        let mut queue = Queue::default();
        if let Some(attached) = self.attached.as_mut()
            && let Err(error) = attached.run_begin()
        {
            self.sink.message(&format!(
                "ERROR: cannot run a begin handler in the kernel: {error}"
            ));
            self.control.advance(SessionState::Error);
        }
        if let Some(target) = self.target.as_mut()
            && !self.control.is_ending()
        {
            target.go();
        }
        let mut timers = self.timers();
        while !self.must_end() {
            self.check_skipped();
            self.sink.flush();
            let wait = self.wait_time(deadline);
            poll(&self.descriptors(signals, &timers), wait);
            if deadline.is_some_and(|d| Instant::now() >= d) || self.target_has_ended() {
                break;
            }
            self.drain(&mut queue, BATCH);
            for timer in &mut timers {
                for _ in 0..timer.expirations() {
                    if self.must_end() {
                        break;
                    }
                    while self.drain(&mut queue, BATCH) == BATCH {}
                    self.run_handler(timer.handler, timer.point);
                }
            }
        }
        self.end(&mut queue, began_well)
    }

    /// Drains, runs the last handlers, reports, detaches.
    fn end(mut self, queue: &mut Queue, began_well: bool) -> Outcome {
        self.control.advance(SessionState::Stopping);
        let mut shortfalls = Vec::new();
        let mut in_kernel = HashMap::new();
        if let Some(attached) = self.attached.as_mut() {
            attached.settle();
            shortfalls = attached.shortfalls();
            in_kernel = attached.runs(self.meta);
        }
        self.check_skipped();
        let drain_until = Instant::now() + LAST_DRAIN;
        // What a full disk does not take goes to standard error.
        while self.sink.error() != Some(SinkError::Closed)
            && self.drain(queue, BATCH) > 0
            && Instant::now() < drain_until
        {}
        let mut failed = self.control.state() == SessionState::Error;
        if !failed {
            failed = !self.run_last(false, |attach| match attach {
                Attach::End { priority } => Some(*priority),
                _ => None,
            });
        }
        if failed {
            self.run_last(true, |attach| match attach {
                Attach::Error { priority } => Some(*priority),
                _ => None,
            });
        } else if self.options.show_globals {
            self.executor.show_globals(&mut self.sink);
            self.pass_on_warning();
        }
        self.sink.flush();
        let mut status = u8::from(failed || !began_well);
        status = status.max(self.report_target());
        self.report_timing(&in_kernel);
        self.report_shortfalls(&shortfalls, queue);
        if self.sink.error() == Some(SinkError::Failed) {
            status = 1;
        }
        if let Some(attached) = self.attached.take() {
            attached.release();
        }
        Outcome { status }
    }

    /// Runs `end` or `error` handlers, in order. Of the former the first that fails is the last,
    /// and the result is false; the latter are all attempted (stapprobes(3stap), observed).
    fn run_last(&mut self, despite_errors: bool, order: impl Fn(&Attach) -> Option<i64>) -> bool {
        let mut last = self.user_points(order);
        last.sort_by_key(|&(priority, ..)| priority);
        for (_, handler, point) in last {
            let errors = self.control.load(header::ERRORS);
            self.run_handler(handler, point);
            if !despite_errors
                && self.control.load(header::ERRORS) != errors
                && self.control.state() == SessionState::Error
            {
                return false;
            }
        }
        true
    }

    /// The user-side points of a kind, with what `order` makes of them.
    fn user_points<T>(&self, order: impl Fn(&Attach) -> Option<T>) -> Vec<(T, HandlerId, u32)> {
        let mut points = Vec::new();
        for (id, handler) in &self.meta.module.handlers {
            if handler.exec == Exec::User {
                for (index, point) in handler.points.iter().enumerate() {
                    if let Some(order) = order(&point.attach) {
                        points.push((order, id, index as u32));
                    }
                }
            }
        }
        points
    }

    fn timers(&mut self) -> Vec<Timer> {
        let mut timers = Vec::new();
        let points = self.user_points(|attach| match attach {
            Attach::Timer {
                period_ns,
                randomize_ns,
            } => Some((*period_ns, *randomize_ns)),
            _ => None,
        });
        for ((period, randomize), handler, point) in points {
            match Timer::start(handler, point, period, randomize) {
                Ok(timer) => timers.push(timer),
                Err(error) => {
                    self.sink
                        .message(&format!("ERROR: cannot start a timer: {error}"));
                    self.control.advance(SessionState::Error);
                }
            }
        }
        timers
    }

    fn run_handler(&mut self, handler: HandlerId, point: u32) {
        let begin = self.measured.is_some().then(Instant::now);
        let result = self.executor.run(handler, point, &mut self.sink);
        self.pass_on_warning();
        if let (Some(begin), Some(measured)) = (begin, self.measured.as_mut()) {
            let runs = measured.entry((handler, point)).or_default();
            runs.add(begin.elapsed());
        }
        if let Err(failure) = result {
            if !self.options.suppress_errors {
                self.sink.message(&failure.report);
            }
            self.user_errors += 1;
            self.control.count_error();
        }
    }

    /// Too many skipped handlers are an error: what the script shows would be wrong.
    fn check_skipped(&mut self) {
        if self.options.suppress_errors || self.control.state() == SessionState::Error {
            return;
        }
        let most = u64::from(self.meta.module.limits.max_skipped);
        if self.counted(ProgramCounter::Skipped) > most {
            self.sink.message(
                "ERROR: Skipped too many probes, check MAXSKIPPED or try again with -t for more details.",
            );
            self.control.advance(SessionState::Error);
        }
    }

    fn must_end(&self) -> bool {
        Signals::caught() || self.control.is_ending() || self.sink.error().is_some()
    }

    fn drain(&mut self, queue: &mut Queue, most: usize) -> usize {
        let Some(ring) = self.ring.as_mut() else {
            return 0;
        };
        let show_errors = !self.options.suppress_errors;
        let mut records = Records {
            meta: self.meta,
            executor: &mut *self.executor,
            sink: &mut self.sink,
            show_errors,
        };
        let drained = queue.drain(ring, &mut records, most);
        self.pass_on_warning();
        drained
    }

    fn pass_on_warning(&mut self) {
        if let Some(warning) = self.executor.warning() {
            self.sink.warn(warning);
        }
    }

    fn wait_time(&self, deadline: Option<Instant>) -> Duration {
        let longest = if self.ring.is_some() || self.attached.is_some() {
            LONGEST_WAIT
        } else {
            Duration::from_secs(3600)
        };
        deadline.map_or(longest, |d| {
            d.saturating_duration_since(Instant::now()).min(longest)
        })
    }

    fn descriptors(&self, signals: &Signals, timers: &[Timer]) -> Vec<RawFd> {
        let mut fds = vec![signals.as_raw_fd()];
        fds.extend(self.command().map(|t| t.as_fd().as_raw_fd()));
        fds.extend(self.ring.as_ref().map(|r| r.as_fd().as_raw_fd()));
        fds.extend(timers.iter().map(|t| t.as_fd().as_raw_fd()));
        fds
    }

    /// `-c`'s command. The process of `-x` may end without the script's ending.
    fn command(&self) -> Option<&TargetProcess> {
        self.target.as_ref().filter(|target| target.is_child())
    }

    fn target_has_ended(&self) -> bool {
        self.command()
            .is_some_and(|command| is_readable(command.as_fd().as_raw_fd()))
    }
}

/// Waits until one of the descriptors is readable, a signal comes, or time is up.
fn poll(fds: &[RawFd], wait: Duration) {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let time = libc::timespec {
        tv_sec: wait.as_secs() as i64,
        tv_nsec: i64::from(wait.subsec_nanos()),
    };
    // SAFETY: `polled` is valid for its length; a null mask leaves signals as they are.
    unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            polled.len() as u64,
            &raw const time,
            std::ptr::null(),
        )
    };
}

fn is_readable(fd: RawFd) -> bool {
    let mut polled = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd, no waiting.
    unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
}
