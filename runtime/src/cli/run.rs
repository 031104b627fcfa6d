//! `rtap run`: compile (or read an image), load, attach, run the session.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rtap_compiler::image::{Meta, header};
use rtap_compiler::lir::Handler;
use rtap_compiler::target::{Feature, Target};

use super::Status;
use super::args::RunArgs;
use super::compile::Job;
use super::create::create;
use super::{build, shebang, source};
use crate::bpf::RingReader;
use crate::host::{LiveTarget, OwnStack, Rights};
use crate::interp::{BpfStore, MemStore, Program, UserSide};
use crate::kernel::{Installation, Plan};
use crate::load::{ObjectFile, read_meta};
use crate::output::Sink;
use crate::session::{self, Control, Executor, Session, Signals, TargetProcess};

/// `rtap run`, and `stap`.
pub fn run(args: RunArgs) -> Status {
    match prepare(args) {
        Ok((args, work)) => work.run(&args),
        Err(status) => status,
    }
}

/// What is to be run.
enum Work {
    /// A stage is to be printed, or an image written.
    Compile(Box<Job>),
    /// A script.
    Script(Box<Job>),
    /// A prebuilt image.
    Image(Vec<u8>, Box<Meta>),
}

/// Reads the script or image; options of the script's `#!` line come before the others.
fn prepare(mut args: RunArgs) -> Result<(RunArgs, Work), Status> {
    let (text, arguments) = source::script(&args.script).map_err(source::SourceError::report)?;
    if args.script.script.is_none() {
        args = with_shebang(args, &text.bytes)?;
    }
    check_foreign(&args)?;
    if text.bytes.starts_with(b"\x7fELF") {
        let object = ObjectFile::parse(&text.bytes);
        let meta = object.and_then(|object| read_meta(&object));
        let meta = meta.map_err(|error| {
            Status::fail(
                &format!("{}: {error}", text.name),
                Some("build it again with this rtap: rtap build SCRIPT -o FILE"),
            )
        })?;
        return Ok((args, Work::Image(text.bytes, Box::new(meta))));
    }
    let has_target = args.command.is_some() || args.target_pid.is_some();
    let program = match (&args.command, args.target_pid) {
        (Some(command), _) => Some(command.clone()),
        (None, pid) => pid.map(|pid| format!("/proc/{pid}/exe")),
    };
    let mut job = Job::of_script(
        &args.script,
        text,
        arguments,
        program.as_deref(),
        has_target,
    )?;
    if args.begin_in_kernel {
        job.begin_in_kernel();
    }
    if let Some(insns) = args.part_insns {
        job.divide(insns);
    }
    if let Some(cost) = args.program_cost {
        job.share(cost);
    }
    let work = if build::stops_early(&args.script) {
        Work::Compile(Box::new(job))
    } else {
        Work::Script(Box::new(job))
    };
    Ok((args, work))
}

/// Options of SystemTap that mean nothing here: one note, or an error for what cannot be ignored.
fn check_foreign(args: &RunArgs) -> Result<(), Status> {
    if let Some((name, instead)) = args.foreign.refused() {
        return Err(Status::usage(&format!(
            "rtap has no {name}\n  help: {instead}"
        )));
    }
    if !args.script.no_warnings
        && let Some(note) = args.foreign.note()
    {
        Status::say(&format!("note: {note}"));
    }
    Ok(())
}

/// Refuses an image that relies on what the running kernel has not.
fn check_features(meta: &Meta, target: &LiveTarget) -> Result<(), Status> {
    let has = |name: &String| {
        let known = Feature::ALL
            .iter()
            .find(|feature| feature.to_string() == *name);
        known.is_some_and(|feature| target.has(*feature))
    };
    let missing: Vec<&str> = meta
        .requires
        .iter()
        .filter(|name| !has(name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Status::fail(
        &format!(
            "the image was built on Linux {} and needs what this kernel, {}, has not: {}",
            meta.kernel_release,
            target.kernel().text,
            missing.join(", ")
        ),
        Some("build it on this machine, or use less of the language in kernel probes"),
    ))
}

/// Adds the options of the script's first line.
fn with_shebang(args: RunArgs, text: &[u8]) -> Result<RunArgs, Status> {
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let options = shebang::options(&String::from_utf8_lossy(first));
    if options.is_empty() {
        return Ok(args);
    }
    args.with_options(&options)
        .map_err(|error| Status::usage(&format!("the script's #! line: {error}")))
}

impl Work {
    fn run(self, args: &RunArgs) -> Status {
        match self {
            Work::Compile(mut job) => build::emit(&mut job, &args.script)
                .unwrap_or_else(|| build::write_image(&mut job, &args.script)),
            Work::Script(mut job) => match job.compile() {
                Ok(output) => {
                    job.passes.starting();
                    let start = Start {
                        args,
                        target: job.target(),
                        meta: &output.meta,
                        same_kernel: true,
                    };
                    let status = start.run(&output.elf);
                    job.passes.completed();
                    status
                }
                Err(status) => status,
            },
            Work::Image(image, meta) => {
                let target = LiveTarget::new();
                if let Err(status) = check_features(&meta, &target) {
                    return status;
                }
                let same_kernel = meta.kernel_release == target.kernel().text
                    && meta.btf_hash == target.kernel_id();
                Start {
                    args,
                    target: &target,
                    meta: &meta,
                    same_kernel,
                }
                .run(&image)
            }
        }
    }
}

/// A compiled script about to run.
struct Start<'a> {
    args: &'a RunArgs,
    target: &'a LiveTarget,
    meta: &'a Meta,
    /// Whether the image was compiled against the running kernel.
    same_kernel: bool,
}

impl Start<'_> {
    fn run(&self, image: &[u8]) -> Status {
        match self.try_run(image) {
            Ok(0) => Status::Success,
            Ok(_) => Status::Failure,
            Err(status) => status,
        }
    }

    fn try_run(&self, image: &[u8]) -> Result<u8, Status> {
        let sink = Sink::new(self.output_file()?, !self.args.script.no_warnings);
        let signals = Signals::catch()
            .map_err(|error| Status::fail(&format!("cannot catch signals: {error}"), None))?;
        let target = self.target_process()?;
        let pid = target.as_ref().map_or(0, |t| u64::from(t.pid));
        let options = session::Options {
            timeout: self.timeout()?,
            suppress_errors: self.args.suppress_handler_errors,
            show_globals: !self.args.no_global_var_display,
            timing: self.args.script.timing,
        };
        let program = Program::new(&self.meta.module, &self.meta.layout).map_err(|error| {
            Status::fail(
                &error.to_string(),
                Some("build the image again with this rtap"),
            )
        })?;
        if self.meta.programs.is_empty() {
            let control = Control::default();
            self.fill_header(&control, pid)?;
            let store = MemStore::new(&self.meta.module.globals);
            let mut user_side = UserSide::new(&program, store, &control);
            user_side.describe(self.meta);
            return Ok(self.session(
                &control,
                &mut user_side,
                sink,
                target,
                options,
                None,
                None,
                &signals,
            ));
        }
        self.check_rights()?;
        let plan = Plan {
            target: self.target,
            meta: self.meta,
            same_kernel: self.same_kernel,
            buffer_bytes: self
                .args
                .buffer_mib
                .map(|mib| mib.clamp(1, 1024).next_power_of_two() << 20),
            verbose: self.args.script.verbose,
            timing: self.args.script.timing,
            warnings: !self.args.script.no_warnings,
        };
        let mut loaded = plan.load(image)?;
        let globals = Arc::new(loaded.globals()?);
        let control = Control::Mapped(Arc::clone(&globals));
        self.fill_header(&control, pid)?;
        let mut installation = plan.attach(&loaded, &control)?;
        loaded.give_times(&mut installation);
        let ring = loaded.take_ring()?;
        let maps = loaded.into_maps();
        let store = BpfStore::new(
            &self.meta.module,
            &self.meta.layout,
            |name| maps.get(name),
            Some(Arc::clone(&globals)),
        )
        .map_err(|error| {
            Status::fail(
                &error.to_string(),
                Some("build the image again with this rtap"),
            )
        })?;
        let mut user_side = UserSide::new(&program, store, &control);
        user_side.describe(self.meta);
        Ok(self.session(
            &control,
            &mut user_side,
            sink,
            target,
            options,
            Some(installation),
            ring,
            &signals,
        ))
    }

    fn session(
        &self,
        control: &Control,
        executor: &mut dyn Executor,
        sink: Sink,
        target: Option<TargetProcess>,
        options: session::Options,
        installation: Option<Installation>,
        ring: Option<RingReader>,
        signals: &Signals,
    ) -> u8 {
        let mut session = Session::new(self.meta, control, executor, sink, options);
        session.attached = installation.map(|i| Box::new(i) as Box<dyn session::Attached>);
        session.ring = ring;
        session.target = target;
        #[cfg(target_env = "gnu")]
        crate::heap::give_back();
        session.run(signals).status
    }

    /// What kernel handlers and user-side handlers read in the header of the globals.
    fn fill_header(&self, control: &Control, target_pid: u64) -> Result<(), Status> {
        let self_pid = if self.args.trace_self || self.args.begin_in_kernel {
            0
        } else {
            u64::from(std::process::id())
        };
        control.store(header::SELF_TGID, self_pid);
        let stack = self.own_stack(self_pid)?;
        control.store(header::SELF_STACK, stack.begin);
        control.store(header::SELF_STACK_BYTES, stack.bytes);
        control.store(header::TARGET_PID, target_pid);
        control.store(
            header::REALTIME_OFFSET_NS,
            session::clock_ns(libc::CLOCK_REALTIME).wrapping_sub(session::now_ns()),
        );
        control.store(
            header::MAX_ERRORS,
            u64::from(self.meta.module.limits.max_errors),
        );
        Ok(())
    }

    /// Where contexts of events are that rtap itself makes.
    fn own_stack(&self, self_pid: u64) -> Result<OwnStack, Status> {
        let handlers = &self.meta.module.handlers;
        let mut programs = self.meta.programs.iter();
        let looks = programs.any(|program| {
            let handler = handlers.get(program.handler);
            handler.is_some_and(Handler::has_context_on_stack)
        });
        if self_pid == 0 || !looks {
            return Ok(OwnStack::NOWHERE);
        }
        // All that rtap does, it does in this thread.
        let types = self.target.btf().ok();
        let stack = types.and_then(|types| OwnStack::find(&types));
        stack.ok_or_else(|| {
            Status::fail(
                "cannot tell rtap's own events from others: the kernel does not say where its stack is",
                Some("trace them as well, with --trace-self"),
            )
        })
    }

    /// `-o`'s file, and its name.
    fn output_file(&self) -> Result<Option<(File, String)>, Status> {
        let open = |path: &Path| {
            let path = &dated(path);
            let name = path.display().to_string();
            match create(path) {
                Ok(file) => Ok((file, name)),
                Err(error) => Err(Status::not_written(&name, &error)),
            }
        };
        self.args.script.output.as_deref().map(open).transpose()
    }

    fn target_process(&self) -> Result<Option<TargetProcess>, Status> {
        let target = match (&self.args.command, self.args.target_pid) {
            (Some(command), _) => TargetProcess::command(command).map(Some),
            (None, Some(pid)) => TargetProcess::existing(pid).map(Some),
            (None, None) => Ok(None),
        };
        target.map_err(|error| {
            Status::fail(
                &error.to_string(),
                Some("look for it with `ps` or `command -v`"),
            )
        })
    }

    fn timeout(&self) -> Result<Option<Duration>, Status> {
        let to_duration = |seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|time| !time.is_zero())
                .ok_or_else(|| {
                    Status::usage(&format!(
                        "-T {seconds}: a number of seconds is needed, more than 0"
                    ))
                })
        };
        self.args.timeout.map(to_duration).transpose()
    }

    fn check_rights(&self) -> Result<(), Status> {
        let missing = Rights::of_self().missing_for_tracing();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "this script traces the kernel, and this process may not: {} missing",
            missing.join(", ")
        );
        Err(Status::fail(
            &message,
            Some("run it as root, or give rtap these capabilities"),
        ))
    }
}

/// A file's name with the date and time that it asks for: `trace-%Y%m%d.txt` (strftime(3)).
fn dated(path: &Path) -> PathBuf {
    let name = path.as_os_str().as_bytes();
    let Ok(format) = CString::new(name) else {
        return path.to_owned();
    };
    if !name.contains(&b'%') {
        return path.to_owned();
    }
    let mut text = vec![0_u8; name.len() * 4 + 256];
    // SAFETY: the time is valid and there is room for its parts; strftime is given the length of
    // its buffer and a string that ends with a zero.
    let written = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const now, &raw mut parts);
        libc::strftime(
            text.as_mut_ptr().cast(),
            text.len(),
            format.as_ptr(),
            &raw const parts,
        )
    };
    text.truncate(written);
    if text.is_empty() {
        path.to_owned()
    } else {
        PathBuf::from(OsString::from_vec(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_may_hold_the_date() {
        assert_eq!(dated(Path::new("a b")), Path::new("a b"));
        assert_eq!(dated(Path::new("a%%b")), Path::new("a%b"));
        let year = dated(Path::new("%Y"));
        assert!(
            year.to_string_lossy()
                .parse::<u32>()
                .is_ok_and(|y| y > 2000)
        );
    }
}
