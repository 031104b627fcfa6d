//! `rtap run`: compile (or read an image), load, attach, run the session.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rtap_compiler::image::{Meta, MetaError, header};
use rtap_compiler::lir;
use rtap_compiler::target::Target;

use super::Status;
use super::args::RunArgs;
use super::compile::Job;
use super::{build, shebang, source};
use crate::bpf::RingReader;
use crate::host::{LiveTarget, Rights};
use crate::interp::{BpfStore, MemStore, Program, UserSide};
use crate::kernel::{Installation, Plan};
use crate::load::ObjectFile;
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
    if text.bytes.starts_with(b"\x7fELF") {
        let meta = read_meta(&text.bytes).map_err(|error| {
            Status::fail(
                &format!("{}: {error}", text.name),
                Some("build it again with this rtap: rtap build SCRIPT -o FILE"),
            )
        })?;
        return Ok((args, Work::Image(text.bytes, Box::new(meta))));
    }
    if args.script.script.is_none() {
        args = with_shebang(args, &text.bytes)?;
    }
    let has_target = args.command.is_some() || args.target_pid.is_some();
    let mut job = Job::of_script(
        &args.script,
        text,
        arguments,
        args.command.as_deref(),
        has_target,
    )?;
    job.options.begin_in_kernel = args.begin_in_kernel;
    let stops =
        build::stage(&args.script).is_some() || args.script.pass.is_some_and(|pass| pass < 5);
    Ok((
        args,
        if stops {
            Work::Compile(Box::new(job))
        } else {
            Work::Script(Box::new(job))
        },
    ))
}

/// The metadata of an image. Its LIR is verified before anything is done with it: the file may
/// come from anybody.
fn read_meta(image: &[u8]) -> Result<Meta, String> {
    let object = ObjectFile::parse(image).map_err(|error| error.to_string())?;
    let bytes = object
        .meta_bytes()
        .ok_or_else(|| MetaError::NotAnImage.to_string())?;
    let meta = Meta::decode(bytes).map_err(|error| error.to_string())?;
    lir::verify::verify(&meta.module).map_err(|_| MetaError::Damaged.to_string())?;
    Ok(meta)
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
            Work::Compile(mut job) => match build::stage(&args.script) {
                Some(stage) => job.emit(stage),
                None => build::write_image(&mut job, &args.script),
            },
            Work::Script(mut job) => match job.compile() {
                Ok(output) => Start {
                    args,
                    target: &job.target,
                    meta: &output.meta,
                    same_kernel: true,
                }
                .run(&output.elf),
                Err(status) => status,
            },
            Work::Image(image, meta) => {
                let target = LiveTarget::new();
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
        };
        let program = Program::new(&self.meta.module, &self.meta.layout).map_err(|error| {
            Status::fail(
                &error.to_string(),
                Some("build the image again with this rtap"),
            )
        })?;
        if self.meta.programs.is_empty() {
            let control = Control::default();
            self.fill_header(&control, pid);
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
        };
        let mut loaded = plan.load(image)?;
        let globals = Arc::new(loaded.globals()?);
        let control = Control::Mapped(Arc::clone(&globals));
        self.fill_header(&control, pid);
        let installation = plan.attach(&loaded)?;
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
        let session = Session {
            meta: self.meta,
            control,
            executor,
            attached: installation.map(|i| Box::new(i) as Box<dyn session::Attached>),
            ring,
            target,
            sink,
            options,
        };
        session.run(signals).status
    }

    /// What kernel handlers and user-side handlers read in the header of the globals.
    fn fill_header(&self, control: &Control, target_pid: u64) {
        let self_pid = if self.args.trace_self || self.args.begin_in_kernel {
            0
        } else {
            u64::from(std::process::id())
        };
        control.store(header::SELF_TGID, self_pid);
        control.store(header::TARGET_PID, target_pid);
        control.store(
            header::REALTIME_OFFSET_NS,
            session::clock_ns(libc::CLOCK_REALTIME).wrapping_sub(session::now_ns()),
        );
        control.store(
            header::MAX_ERRORS,
            u64::from(self.meta.module.limits.max_errors),
        );
    }

    fn output_file(&self) -> Result<Option<File>, Status> {
        let create = |path: &Path| {
            File::create(path).map_err(|error| {
                Status::fail(
                    &format!("cannot write {}: {error}", path.display()),
                    Some("name another file with -o"),
                )
            })
        };
        self.args.script.output.as_deref().map(create).transpose()
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
                .map_err(|_| Status::usage(&format!("-T {seconds}: a number of seconds is needed")))
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
