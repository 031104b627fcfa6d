//! Loads the programs of an image and attaches them, one file for each kernel mechanism.
//!
//! Everything that is attached hangs on file descriptors: an [`Installed`] that is dropped,
//! or a process that is killed, leaves nothing behind. Detaching is closing. For some
//! mechanisms it takes the kernel tens of milliseconds each ([`release`]).

mod background;
mod error;
mod halves;
mod kprobe;
mod parallel;
pub mod perf_counter;
mod perf_event;
mod raw_syscall;
mod raw_tracepoint;
mod tracing;
mod uprobe;

#[cfg(test)]
mod tests;

pub use error::AttachError;
pub use parallel::{Job, install_all};

use std::os::fd::{AsFd, AsRawFd, RawFd};

use rtap_compiler::image::{Attach, Point};
use rtap_compiler::target::Target;

use crate::bpf::perf::PerfLink;
use crate::bpf::{Link, Program};
use crate::host::Rights;
use crate::load::{Loaded, ProgramKind};

/// What attaching needs to know besides the program.
#[derive(Clone, Copy)]
pub struct AttachOptions<'a> {
    /// The running machine.
    pub target: &'a dyn Target,
    /// Whether the image was compiled against this very kernel: its BTF ids are right.
    pub same_kernel: bool,
    /// Whether to use one link for many kprobes or uprobes where the kernel can; otherwise each
    /// has a perf event of its own.
    pub multi: bool,
    /// What `bpf_get_attach_cookie` gives at each of the points; empty if nobody asks.
    pub cookies: &'a [u64],
    /// Whether the program may sleep.
    pub sleepable: bool,
    /// What this process may do.
    pub rights: Rights,
    /// Whether the user wants an end: thousands of perf events take their time.
    pub interrupted: fn() -> bool,
}

impl AttachOptions<'_> {
    /// The cookie of a point.
    fn cookie(&self, at: usize) -> u64 {
        self.cookies.get(at).copied().unwrap_or(0)
    }

    /// Fails when the user wants an end.
    pub fn go_on(&self) -> Result<(), AttachError> {
        if (self.interrupted)() {
            return Err(AttachError::Interrupted);
        }
        Ok(())
    }
}

/// A program in the kernel with its attachments. Dropped: detached and unloaded.
#[derive(Debug)]
pub struct Installed {
    // Dropped in this order.
    links: Vec<Attachment>,
    /// The program, for its statistics.
    pub program: Program,
    /// Points that could not be attached to, with the reason: (position in the list, why).
    pub failed: Vec<(usize, AttachError)>,
    /// What the links missed, once they are gone.
    missed_by_links: u64,
    /// Whether it is at the returns of functions, by kretprobe.
    is_kretprobe: bool,
    /// Whether the kernel tells what they miss.
    pub tells_missed: bool,
    /// Whether it is detached in [`Self::settle`].
    at_once: bool,
}

/// From this kernel on links tell how many calls a kretprobe had no room to remember.
const TELLS_MISSED_RETURNS: (u32, u32, u32) = (6, 7, 0);

impl Installed {
    /// How many links hold it.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Detaches what is not to wait for [`release`]: programs that may sleep, which no grace period waits for; breakpoints and
    /// counters, of which there are few. The program stays loaded, its statistics readable.
    pub fn settle(&mut self) {
        if self.at_once {
            self.detach();
        }
    }

    /// Detaches; the program stays loaded, its statistics readable.
    pub fn detach(&mut self) {
        self.missed_by_links = self.missed_by_links();
        self.links.clear();
    }

    fn missed_by_links(&self) -> u64 {
        let links: u64 = self.links.iter().map(Attachment::missed).sum();
        self.missed_by_links + links
    }

    /// How many events did not run the program although it was attached.
    pub fn missed(&self) -> Missed {
        let program = self.program.info().unwrap_or_default();
        let by_links = self.missed_by_links();
        let (busy, unremembered) = if self.is_kretprobe {
            (0, by_links)
        } else {
            (by_links, 0)
        };
        Missed {
            busy: busy + program.recursion_misses,
            unremembered,
        }
    }
}

/// Events that did not run a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// It was running on that processor already.
    pub busy: u64,
    /// A kretprobe had no room to remember the call. (The few calls that came while a probe ran on that processor are
    /// among them: the kernel does not tell these apart.)
    pub unremembered: u64,
}

impl Missed {
    /// All of them.
    pub fn total(self) -> u64 {
        self.busy + self.unremembered
    }
}

/// What holds a program to its points; detaches when dropped.
#[derive(Debug)]
enum Attachment {
    Link(Link),
    Perf(PerfLink),
}

impl Attachment {
    fn missed(&self) -> u64 {
        match self {
            Attachment::Link(link) => link.missed(),
            Attachment::Perf(link) => link.missed(),
        }
    }

    /// What it hangs on.
    fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Attachment::Link(link) => vec![link.as_fd().as_raw_fd()],
            Attachment::Perf(link) => link.descriptors(),
        }
    }
}

/// Detaches all of them, and does not wait for long until the kernel has done so.
pub fn release(installed: Vec<Installed>) {
    let links = installed.iter().flat_map(|installed| &installed.links);
    let descriptors: Vec<RawFd> = links.flat_map(Attachment::descriptors).collect();
    if descriptors.is_empty() {
        return;
    }
    background::close(installed, descriptors);
}

/// What attaching to some points came to.
#[derive(Debug, Default)]
struct Outcome {
    links: Vec<Attachment>,
    failed: Vec<(usize, AttachError)>,
}

impl Outcome {
    /// Notes the result of attaching to point `at`.
    fn add<A>(
        &mut self,
        at: usize,
        result: Result<A, AttachError>,
        wrap: impl FnOnce(A) -> Attachment,
    ) {
        match result {
            Ok(attachment) => self.links.push(wrap(attachment)),
            Err(error) => self.failed.push((at, error)),
        }
    }
}

/// Loads the program of `symbol` and attaches it to `points`, which are all of one kind.
///
/// An error means that the program could not be loaded. Points that cannot be attached
/// to are in [`Installed::failed`]: the caller knows which are optional.
pub fn install(
    loaded: &Loaded,
    symbol: &str,
    points: &[&Point],
    options: &AttachOptions<'_>,
) -> Result<Installed, AttachError> {
    let first = points.first().ok_or(AttachError::NoPoints)?;
    let (program, outcome) = match &first.attach {
        Attach::RawTracepoint { .. } => raw_tracepoint::install(loaded, symbol, points, options)?,
        Attach::RawSyscall { is_return } => {
            raw_syscall::install(loaded, symbol, *is_return, options)?
        }
        Attach::BtfTracepoint { .. } | Attach::Fentry(_) | Attach::Fexit(_) => {
            tracing::install(loaded, symbol, points, options)?
        }
        Attach::Kprobe { .. } | Attach::Kretprobe { .. } => {
            kprobe::install(loaded, symbol, points, options)?
        }
        Attach::Uprobe { .. } | Attach::Uretprobe { .. } => {
            uprobe::install(loaded, symbol, points, options)?
        }
        Attach::Profile { .. } | Attach::PerfEvent { .. } | Attach::Breakpoint { .. } => {
            perf_event::install(loaded, symbol, points, options)?
        }
        Attach::Begin { .. }
        | Attach::End { .. }
        | Attach::Error { .. }
        | Attach::Never
        | Attach::PerfCounter { .. }
        | Attach::Timer { .. } => return Err(AttachError::NoPoints),
    };
    let is_kretprobe = matches!(first.attach, Attach::Kretprobe { .. });
    Ok(Installed {
        links: outcome.links,
        program,
        failed: outcome.failed,
        missed_by_links: 0,
        is_kretprobe,
        tells_missed: !is_kretprobe || options.target.kernel().version >= TELLS_MISSED_RETURNS,
        at_once: options.sleepable || is_scarce(&first.attach),
    })
}

/// Whether there are few of what the kernel needs for it, so that others may want it soon.
fn is_scarce(attach: &Attach) -> bool {
    match attach {
        Attach::Profile { .. }
        | Attach::PerfEvent { .. }
        | Attach::PerfCounter { .. }
        | Attach::Breakpoint { .. } => true,
        Attach::RawTracepoint { .. }
        | Attach::RawSyscall { .. }
        | Attach::BtfTracepoint { .. }
        | Attach::Fentry(_)
        | Attach::Fexit(_)
        | Attach::Kprobe { .. }
        | Attach::Kretprobe { .. }
        | Attach::Uprobe { .. }
        | Attach::Uretprobe { .. }
        | Attach::Begin { .. }
        | Attach::End { .. }
        | Attach::Error { .. }
        | Attach::Never
        | Attach::Timer { .. } => false,
    }
}

fn load(loaded: &Loaded, symbol: &str, kind: ProgramKind) -> Result<Program, AttachError> {
    Ok(loaded.program(symbol, kind)?)
}
