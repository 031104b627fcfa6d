//! Many programs at a time: the kernel verifies each by itself, on the processor that asks for it.

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rtap_compiler::image::Point;

use super::{AttachError, AttachOptions, Installed, install};
use crate::load::Loaded;

/// A machine on call has other things to do.
const MAX_THREADS: usize = 8;
/// So many programs are worth a thread.
const PROGRAMS_PER_THREAD: usize = 4;

/// A program that is to be loaded and attached.
pub struct Job<'a> {
    /// The program.
    pub symbol: &'a str,
    /// Where it is to be attached.
    pub points: Vec<&'a Point>,
    /// See [`AttachOptions`].
    pub multi: bool,
    /// See [`AttachOptions`].
    pub cookies: Vec<u64>,
    /// See [`AttachOptions`].
    pub sleepable: bool,
}

impl Job<'_> {
    fn run(&self, loaded: &Loaded, options: &AttachOptions<'_>) -> Result<Installed, AttachError> {
        options.go_on()?;
        let options = AttachOptions {
            multi: self.multi,
            cookies: &self.cookies,
            sleepable: self.sleepable,
            ..*options
        };
        install(loaded, self.symbol, &self.points, &options)
    }

    /// Whether nothing else matters after such an error: only one point may be missing.
    fn is_fatal(&self, error: &AttachError) -> bool {
        !(error.is_of_place() && self.points.len() == 1)
    }
}

/// What came of each job, in order. After an error that is not of a point alone no job is begun;
/// those before it all have a result.
pub fn install_all(
    loaded: &Loaded,
    jobs: &[Job<'_>],
    options: &AttachOptions<'_>,
) -> Vec<Option<Result<Installed, AttachError>>> {
    let results: Vec<OnceLock<_>> = jobs.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(job), Some(result)) = (jobs.get(at), results.get(at)) else {
                break;
            };
            let outcome = job.run(loaded, options);
            if let Err(error) = &outcome
                && job.is_fatal(error)
            {
                stopped.store(true, Ordering::Relaxed);
            }
            // Nobody else has taken this number.
            let _ = result.set(outcome);
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors
        .min(MAX_THREADS)
        .min(jobs.len().div_ceil(PROGRAMS_PER_THREAD));
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without it the others do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    results.into_iter().map(OnceLock::into_inner).collect()
}
