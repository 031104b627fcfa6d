//! A script's programs in the kernel: loading an image, attaching its points, reporting
//! what could not be attached, waiting until they are done, detaching.

mod fate;

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use indexmap::IndexSet;
use rtap_compiler::image::{Attach, EVENTS_MAP, Meta, Point, SessionState};
use rtap_compiler::lir::Handler;
use rtap_compiler::target::Target;

use crate::attach::{self, AttachError, AttachOptions, Installed, Job, Missed};
use crate::bpf::{AttachType, Grace, Map, Mapping, ProgType, Program, RingReader, enable_stats};
use crate::cli::Status;
use crate::host::{Capability, LiveTarget, Rights, raise_memlock_limit};
use crate::load::{self, LoadOptions, Loaded, ObjectFile, ProgramKind};
use crate::modules::ProbedModules;
use crate::session::timing::{ProgramRuns, Runs};
use crate::session::{Attached, Control, Signals};
use crate::times::Times;
use fate::{Failed, Fate};

/// What is to be loaded, and where.
pub struct Plan<'a> {
    /// The running machine.
    pub target: &'a LiveTarget,
    /// The image's metadata.
    pub meta: &'a Meta,
    /// Whether the image was compiled against the running kernel.
    pub same_kernel: bool,
    /// `-s`
    pub buffer_bytes: Option<u32>,
    /// `-v`
    pub verbose: u8,
    /// `-t`
    pub timing: bool,
    /// Not `-w`
    pub warnings: bool,
}

/// An image whose maps exist.
pub struct InKernel {
    loaded: Loaded,
}

impl Plan<'_> {
    /// Creates the maps.
    pub fn load(&self, image: &[u8]) -> Result<InKernel, Status> {
        raise_memlock_limit();
        if let Some(complaint) = too_many_cpus(self.meta.max_cpus, self.target.cpus().possible) {
            let help = "read and reset statistics in end and timer probes instead";
            return Err(Status::fail(&complaint, Some(help)));
        }
        let options = LoadOptions {
            target: self.target,
            ring_buffer_bytes: self.buffer_bytes,
            same_kernel: self.same_kernel,
        };
        let loaded = ObjectFile::parse(image)
            .and_then(|object| {
                debug_assert!(load::check(&object, self.meta).is_ok());
                Loaded::new(object, &options)
            })
            .map_err(|error| Status::fail(&error.to_string(), error.help().as_deref()))?;
        attach::perf_counter::open_all(self.meta, &loaded)
            .map_err(|(point, error)| self.refused(&point.text, &error))?;
        if self.verbose > 0 {
            for warning in &loaded.warnings {
                self.warn(warning);
            }
        }
        Ok(InKernel { loaded })
    }

    /// Loads and attaches the programs. A point that is not optional and cannot be attached
    /// to is an error; everything attached before is detached then.
    pub fn attach(&self, kernel: &InKernel, control: &Control) -> Result<Installation, Status> {
        let mut programs = self.meta.programs.iter();
        let asks_kernel = self.timing && programs.any(|program| program.times.is_none());
        let statistics = asks_kernel
            .then(enable_stats)
            .transpose()
            .map_err(|error| {
                let missing = Rights::of_self().missing(&[Capability::SysAdmin]);
                let reason = match missing.first() {
                    Some(capability) => format!("{capability} missing"),
                    None => error.to_string(),
                };
                Status::fail(
                    &format!("-t: the kernel does not measure programs: {reason}"),
                    Some("run it as root, or without -t"),
                )
            })?;
        let mut installation = Installation {
            installed: Vec::with_capacity(self.meta.programs.len()),
            begin_programs: Vec::new(),
            statistics,
            times: None,
            modules: ProbedModules::of(self.meta),
        };
        match self.attach_all(kernel, &mut installation) {
            Ok(()) => Ok(installation),
            Err(status) => {
                // What keeps account from the first is not to run until it is detached.
                control.advance(SessionState::Stopping);
                Box::new(installation).release();
                Err(status)
            }
        }
    }

    fn attach_all(&self, kernel: &InKernel, installation: &mut Installation) -> Result<(), Status> {
        let begin = Instant::now();
        let options = AttachOptions {
            target: self.target,
            same_kernel: self.same_kernel,
            multi: true,
            cookies: &[],
            sleepable: false,
            rights: Rights::of_self(),
            interrupted: Signals::caught,
        };
        let Installation {
            installed,
            begin_programs,
            ..
        } = installation;
        let places = self.places();
        let mut jobs = Vec::with_capacity(places.len());
        let mut of_jobs = Vec::with_capacity(places.len());
        for (number, handler, points) in &places {
            let program = &self.meta.programs[*number];
            if let Some(Attach::Begin { priority }) = points.first().map(|point| &point.attach) {
                let kind = ProgramKind::new(ProgType::RawTracepoint, AttachType::Any);
                let loaded = kernel.loaded.program(&program.symbol, kind);
                let loaded = loaded.map_err(|error| self.refused(&handler.name, &error.into()))?;
                begin_programs.push((*priority, loaded));
                continue;
            }
            // Both halves tell calls apart by the stack pointer, which multi links do not
            // keep in the same way.
            let mut halves = self.meta.programs.iter();
            let halved = halves.any(|other| other.handler == program.handler && other.entry_half);
            let asks = program.points.iter().filter(|_| program.by_cookie);
            jobs.push(Job {
                symbol: &program.symbol,
                points: points.iter().map(Cow::as_ref).collect(),
                multi: !halved,
                cookies: asks.map(|&point| u64::from(point)).collect(),
                sleepable: program.sleepable,
            });
            of_jobs.push((*number, *handler));
        }
        let mut fates = self.fates();
        // Whose program each of those installed is.
        let mut handlers = Vec::with_capacity(jobs.len());
        let results = attach::install_all(&kernel.loaded, &jobs, &options);
        for ((job, (number, handler)), result) in jobs.iter().zip(of_jobs).zip(results) {
            let (program, points) = (&self.meta.programs[number], &job.points);
            let fate = fates.entry(&handler.name).or_default();
            let mut result = match result {
                Some(Ok(result)) => result,
                Some(Err(error)) if error.is_of_place() && points.len() == 1 => {
                    self.report_failed(vec![(0, error)], points, fate)?;
                    continue;
                }
                Some(Err(AttachError::Interrupted)) | None => {
                    return Err(interrupted(AttachError::Interrupted));
                }
                Some(Err(error)) => return Err(self.refused(&handler.name, &error)),
            };
            if !program.entry_half {
                fate.attached += points.len() - result.failed.len();
            }
            self.report_failed(std::mem::take(&mut result.failed), points, fate)?;
            // Of a handler that is divided, what a program is for is told by its point, if it is one.
            handlers.push(match (&points[..], &handler.points[..]) {
                ([point], [_, _, ..]) => &point.text,
                _ => &handler.name,
            });
            let name = name_of(handler, points, program.entry_half);
            installed.push((number, name, result));
        }
        self.report_left_out(fates)?;
        if self.verbose > 0 {
            let took = begin.elapsed();
            let links: usize = installed.iter().map(|(.., i)| i.links()).sum();
            let programs = installed.len();
            let (mut insns, mut verified) = (0, 0);
            for (handler, (.., program)) in handlers.iter().zip(&*installed) {
                let Ok(info) = program.program.info() else {
                    continue;
                };
                insns += info.xlated_insns;
                verified += info.verified_insns;
                if self.verbose > 1 {
                    Status::say(&format!(
                        "rtap: {handler}: {} instructions ({} verified)",
                        info.xlated_insns, info.verified_insns
                    ));
                }
            }
            let s = |count: usize| if count == 1 { "" } else { "s" };
            Status::say(&format!(
                "rtap: {programs} program{} of {insns} instructions ({verified} verified), \
                 {links} link{} attached in {:.1} ms",
                s(programs),
                s(links),
                took.as_secs_f64() * 1e3
            ));
        }
        begin_programs.sort_by_key(|(priority, _)| *priority);
        Ok(())
    }

    /// For each program that has some: its number, its handler and where it is attached.
    fn places(&self) -> Vec<(usize, &Handler, Vec<Cow<'_, Point>>)> {
        let programs = self.meta.programs.iter().enumerate();
        programs
            .filter_map(|(number, program)| {
                let handler = self.meta.module.handlers.get(program.handler)?;
                let indices = program.points.iter();
                let own = indices.filter_map(|index| handler.points.get(*index as usize));
                // The entry half of a return probe goes to the functions' entries.
                let points = if program.entry_half {
                    own.filter_map(|point| {
                        let attach = point.attach.entry()?;
                        let point = point.clone();
                        Some(Cow::Owned(Point { attach, ..point }))
                    })
                    .collect()
                } else {
                    own.map(Cow::Borrowed).collect()
                };
                Some((number, handler, points))
            })
            .collect()
    }

    /// What becomes of each probe, by its text: one of a pattern can have several handlers, each several programs.
    fn fates(&self) -> HashMap<&str, Fate> {
        let mut fates: HashMap<&str, Fate> = HashMap::new();
        for handler in self.meta.module.handlers.values() {
            let fate = fates.entry(&handler.name).or_default();
            fate.points += handler.points.len();
            fate.must_be |= handler.points.iter().any(|point| !point.optional);
        }
        fates
    }

    /// Points that could not be attached to. Of a pattern's many some may be places that no
    /// kernel can probe: these are warned about; a probe left with no point at all is an error.
    fn report_failed(
        &self,
        failed: Vec<(usize, AttachError)>,
        points: &[&Point],
        fate: &mut Fate,
    ) -> Result<(), Status> {
        for (at, error) in failed {
            let Some(point) = points.get(at) else {
                continue;
            };
            if !point.optional && fate.points == 1 {
                return Err(self.refused(&point.text, &error));
            }
            fate.failed.push(Failed {
                point: point.text.clone(),
                error,
                is_told: !point.optional || self.verbose > 0,
            });
        }
        Ok(())
    }

    /// Tells what has been left out of each probe. One may have been left with no point.
    fn report_left_out(&self, mut fates: HashMap<&str, Fate>) -> Result<(), Status> {
        for handler in self.meta.module.handlers.values() {
            let Some(fate) = fates.remove(&*handler.name) else {
                continue;
            };
            if fate.attached == 0
                && fate.must_be
                && let Some(first) = fate.failed.first()
            {
                let help = first.error.help();
                return Err(Status::fail(
                    &fate.none(&handler.name, first),
                    help.as_deref(),
                ));
            }
            if let Some(warning) = fate.warning(&handler.name, self.verbose > 0) {
                self.warn(&warning);
            }
        }
        Ok(())
    }

    fn warn(&self, message: &str) {
        if self.warnings {
            Status::warn(message);
        }
    }

    fn refused(&self, what: &str, error: &AttachError) -> Status {
        let status = Status::fail(&format!("{what}: {error}"), error.help().as_deref());
        if self.verbose > 1
            && let Some(log) = error.verifier_log()
        {
            Status::say(log);
        }
        status
    }
}

/// What the user is told who did not wait.
fn interrupted(error: AttachError) -> Status {
    Status::fail(&error.to_string(), None)
}

/// What a program missed, and why: a line for each reason.
fn reasons(name: &str, missed: Missed) -> Vec<String> {
    let Missed { busy, unremembered } = missed;
    let mut lines = Vec::new();
    if busy > 0 {
        lines.push(format!(
            "{busy} events missed by {name}: the probe was busy on that processor, \
             with an event before or in a task that was interrupted"
        ));
    }
    if unremembered > 0 {
        lines.push(format!(
            "{unremembered} events missed by {name}: more calls were under way at a time than a kretprobe remembers; \
             a trampoline (--kprobe-style fentry) has no such limit"
        ));
    }
    lines
}

/// Why an image is not loaded that goes through `most` CPUs at most, if any, on a machine with `possible`.
fn too_many_cpus(most: Option<u32>, possible: u32) -> Option<String> {
    let most = most.filter(|most| *most < possible)?;
    Some(format!(
        "a kernel handler reads or resets a statistic, which it can for {most} CPUs; \
         this machine may have {possible}"
    ))
}

/// What a program is called in reports.
fn name_of(handler: &Handler, points: &[&Point], entry_half: bool) -> String {
    let (name, all) = (&handler.name, handler.points.len());
    let name = match points {
        [point] => point.text.clone(),
        some if some.len() < all => format!("{name} ({} of {all} points)", some.len()),
        _ => format!("{name} ({all} points)"),
    };
    if points.iter().any(|point| point.selector.is_some()) {
        format!("{name}, sees all system calls")
    } else if entry_half {
        format!("{name}, at the entry")
    } else {
        name
    }
}

impl InKernel {
    /// The memory-mapped globals.
    pub fn globals(&mut self) -> Result<Mapping, Status> {
        self.loaded.globals.take().ok_or_else(|| {
            Status::fail(
                "the image is damaged: it has no globals",
                Some("build it again"),
            )
        })
    }

    /// The ring buffer's reading end, if the image has one.
    pub fn take_ring(&mut self) -> Result<Option<RingReader>, Status> {
        let map = self.loaded.maps.shift_remove(EVENTS_MAP);
        let failed = |error| {
            Status::fail(
                &format!("cannot map the output buffer: {error}"),
                Some("make it smaller with -s"),
            )
        };
        map.map(RingReader::new).transpose().map_err(failed)
    }

    /// What programs measure of their runs goes to who reports it.
    pub fn give_times(&mut self, installation: &mut Installation) {
        installation.times = Times::take(&mut self.loaded);
    }

    /// The maps, for user-side handlers.
    pub fn into_maps(self) -> indexmap::IndexMap<String, Map> {
        self.loaded.maps
    }
}

/// Everything that is attached. Dropped: detached.
pub struct Installation {
    /// The number of each in the image, what it is called, and the program.
    installed: Vec<(usize, String, Installed)>,
    /// `begin` handlers that are to run in the kernel, in order.
    begin_programs: Vec<(i64, Program)>,
    /// While this is open the kernel measures programs.
    statistics: Option<OwnedFd>,
    /// What they measure themselves.
    times: Option<Times>,
    /// The modules that kprobes are in.
    modules: ProbedModules,
}

impl Attached for Installation {
    fn run_begin(&mut self) -> std::io::Result<()> {
        for (_, program) in &self.begin_programs {
            program.test_run(&[])?;
        }
        Ok(())
    }

    fn settle(&mut self) {
        for (.., installed) in &mut self.installed {
            installed.settle();
        }
        if Grace::new().and_then(|grace| grace.wait()).is_err() {
            for (.., installed) in &mut self.installed {
                installed.detach();
            }
        }
    }

    fn release(self: Box<Self>) {
        attach::release(self.installed.into_iter().map(|(.., i)| i).collect());
    }

    fn shortfalls(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut untold: IndexSet<&str> = IndexSet::new();
        for (_, name, installed) in &self.installed {
            lines.extend(reasons(name, installed.missed()));
            if !installed.tells_missed {
                untold.insert(name);
            }
        }
        if let Some(name) = untold.first() {
            let others = match untold.len() - 1 {
                0 => String::new(),
                1 => " and one more".to_owned(),
                n => format!(" and {n} more"),
            };
            lines.push(format!(
                "how many returns {name}{others} missed is not known: kernels before 6.7 do not tell, and a kretprobe \
                 follows a limited number of calls at a time"
            ));
        }
        lines.extend(self.modules.unloaded());
        lines
    }

    fn runs(&self, meta: &Meta) -> HashMap<usize, ProgramRuns> {
        let mut all: HashMap<usize, ProgramRuns> = HashMap::new();
        if let Some(times) = &self.times {
            for (number, program) in meta.programs.iter().enumerate() {
                let handler = meta.module.handlers.get(program.handler);
                let points = handler.map_or(0, |handler| handler.points.len());
                all.entry(number).or_default().points = times.of_program(program, points);
            }
        }
        for (number, _, installed) in &self.installed {
            let known = all.entry(*number).or_default();
            known.missed = installed.tells_missed.then(|| installed.missed().total());
            if self.statistics.is_some() && known.points.is_empty() {
                known.whole = installed.program.info().ok().map(|info| Runs {
                    hits: info.run_count,
                    total_ns: info.run_time_ns,
                    range_ns: None,
                });
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{Missed, reasons, too_many_cpus};

    #[test]
    fn what_was_missed_is_told_with_its_reason() {
        let told = |busy, unremembered| reasons("PROBE", Missed { busy, unremembered });
        assert!(told(0, 0).is_empty());
        let both = told(2, 102);
        assert!(both[0].starts_with("2 events missed by PROBE: the probe was busy"));
        assert!(both[1].starts_with("102 events missed by PROBE: more calls were under way"));
    }

    #[test]
    fn images_that_go_through_cpus_need_a_machine_that_is_not_too_large() {
        assert_eq!(too_many_cpus(None, 8192), None);
        assert_eq!(too_many_cpus(Some(1024), 1024), None);
        let complaint = too_many_cpus(Some(1024), 1025).expect("a complaint");
        assert!(complaint.ends_with("for 1024 CPUs; this machine may have 1025"));
    }
}
