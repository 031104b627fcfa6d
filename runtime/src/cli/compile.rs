//! From options to a compiled script: what `run`, `check` and `build` have in common.

use std::io::IsTerminal;

use rtap_compiler::pipeline::{self, Emit, Output};
use rtap_compiler::resolve::{self, TapsetLibrary};
use rtap_compiler::session::{self, Session};
use rtap_compiler::target::OLDEST_RELEASE;
use rtap_grammar::SYSTEMTAP_VERSION;
use rtap_grammar::diag::{Diagnostics, Style};
use rtap_grammar::source::{FileId, Files};

use super::Status;
use super::args::{self, Color, ScriptArgs};
use super::passes::Passes;
use super::{limits, source};
use crate::host::LiveTarget;

/// So many diagnostics are shown: more do not fit on a screen.
const MOST_SHOWN: usize = 10;

/// A script on its way: its texts, the machine, what the command line says.
pub struct Job {
    setting: Setting,
    files: Files,
    scripts: Vec<FileId>,
    style: Style,
    no_warnings: bool,
    warnings_are_errors: bool,
    /// `-v`
    pub passes: Passes,
}

/// What stays the same for all stages.
struct Setting {
    target: LiveTarget,
    library: TapsetLibrary,
    options: session::Options,
}

impl Setting {
    fn session(&self) -> Session<'_> {
        Session {
            target: &self.target,
            library: &self.library,
            options: self.options.clone(),
        }
    }
}

impl Job {
    /// Reads the script and its tapset directories.
    pub fn new(args: &ScriptArgs, command: Option<&str>, has_target: bool) -> Result<Job, Status> {
        let (script, arguments) = source::script(args).map_err(source::SourceError::report)?;
        Job::of_script(args, script, arguments, command, has_target)
    }

    /// The same for a script that has been read.
    pub fn of_script(
        args: &ScriptArgs,
        script: source::Source,
        arguments: Vec<String>,
        command: Option<&str>,
        has_target: bool,
    ) -> Result<Job, Status> {
        let tapsets = source::tapsets(&args.tapset_dirs).map_err(source::SourceError::report)?;
        let (mut limits, warnings) =
            limits::parse(&args.defines).map_err(|error| Status::usage(&error))?;
        if args.suppress_time_limits {
            if !args.guru {
                return Err(Status::usage("--suppress-time-limits needs guru mode: -g"));
            }
            limits::lift_time_limits(&mut limits);
        }
        if !args.no_warnings {
            for warning in warnings {
                Status::warn(&warning);
            }
        }
        let mut globals = Vec::new();
        for global in &args.globals {
            let (name, value) = global
                .split_once('=')
                .ok_or_else(|| Status::usage(&format!("-G {global}: NAME=VALUE is needed")))?;
            globals.push((name.to_owned(), value.to_owned()));
        }
        let mut files = Files::new();
        let mut scripts = vec![files.add_bytes(script.name, &script.bytes, false)];
        for extra in source::extra_scripts(args) {
            scripts.push(files.add_bytes(extra.name, &extra.bytes, false));
        }
        let texts = tapsets
            .into_iter()
            .map(|t| (t.name, String::from_utf8_lossy(&t.bytes).into_owned()));
        let color = match args.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stderr().is_terminal(),
        };
        Ok(Job {
            setting: Setting {
                target: LiveTarget::new(),
                library: TapsetLibrary::with_user_files(texts),
                options: session::Options {
                    guru: args.guru,
                    globals,
                    limits,
                    args: arguments,
                    kprobe_style: match args.kprobe_style {
                        args::KprobeStyle::Auto => session::KprobeStyle::Auto,
                        args::KprobeStyle::Fentry => session::KprobeStyle::Fentry,
                        args::KprobeStyle::Kprobe => session::KprobeStyle::Kprobe,
                    },
                    command: command.map(str::to_owned),
                    has_target,
                    compatible: args.compatible.as_deref().map(version).transpose()?,
                    skip_badvars: args.skip_badvars,
                    is_measured: args.timing,
                    ..session::Options::default()
                },
            },
            files,
            scripts,
            style: if color { Style::Color } else { Style::Plain },
            no_warnings: args.no_warnings,
            warnings_are_errors: args.warnings_are_errors,
            passes: Passes::new(args.verbose > 0),
        })
    }

    /// Prints what SystemTap's pass 1 prints: the syntax trees under their files' names.
    pub fn dump_trees(&mut self) -> Status {
        let names: Vec<&str> = self.scripts.iter().map(|id| self.files.name(*id)).collect();
        let heading = format!("# parse tree dump\n# file {}\n", names.join(", "));
        Status::print(&heading).and(|| self.emit(Emit::Ast))
    }

    /// Prints the text of a stage.
    pub fn emit(&mut self, stage: Emit) -> Status {
        let session = self.setting.session();
        let (text, diagnostics) = pipeline::emit_watched(
            &session,
            &mut self.files,
            &self.scripts,
            stage,
            &mut |milestone| self.passes.reached(milestone),
        );
        Status::print(&text).and(|| self.report(diagnostics))
    }

    /// Prints the probe points that the script's probes mean, one a line, with their variables.
    pub fn list(&mut self, names_only: bool) -> Status {
        let (points, diagnostics) = self.points(names_only);
        Status::print(&points).and(|| self.report(diagnostics))
    }

    /// The points that the script's probes mean, a line each, and what is wrong with the probes.
    pub fn points(&mut self, names_only: bool) -> (String, Diagnostics) {
        let session = self.setting.session();
        let (listed, diagnostics) =
            pipeline::list(&session, &mut self.files, &self.scripts, !names_only);
        let mut text = String::new();
        for point in listed {
            text.push_str(&point.point);
            for (name, ty) in point.variables {
                text.push_str(&format!(" {name}:{ty}"));
            }
            text.push('\n');
        }
        (text, diagnostics)
    }

    /// All aliases of the tapsets.
    pub fn aliases(&self) -> Vec<String> {
        resolve::aliases(&self.setting.session())
    }

    /// All functions of the tapsets.
    pub fn functions(&mut self) -> Vec<String> {
        let session = self.setting.session();
        resolve::functions(&session, &mut self.files)
    }

    /// Parses, resolves and infers: errors only.
    pub fn check(&mut self) -> Status {
        let session = self.setting.session();
        let (_, diagnostics) =
            pipeline::check_watched(&session, &mut self.files, &self.scripts, &mut |milestone| {
                self.passes.reached(milestone)
            });
        self.report(diagnostics)
    }

    /// Compiles for other machines too: for the oldest kernel if the script asks for no more,
    /// else for kernels with the features that it needs.
    pub fn compile_portably(&mut self) -> Result<Output, Status> {
        self.setting.options.portable = true;
        let oldest = LiveTarget::as_of(OLDEST_RELEASE);
        let this_one = std::mem::replace(&mut self.setting.target, oldest);
        let files = self.files.clone();
        let compiled = self.pipeline();
        if compiled.0.is_some() {
            return self.finish(compiled);
        }
        self.setting.target = this_one;
        self.files = files;
        self.compile()
    }

    /// `begin` handlers are run in the kernel.
    pub fn begin_in_kernel(&mut self) {
        self.setting.options.begin_in_kernel = true;
    }

    /// Functions of kernel handlers are divided into parts of about so many instructions.
    pub fn divide(&mut self, insns: usize) {
        let sizes = &mut self.setting.options.sizes;
        (sizes.whole, sizes.part) = (insns, insns);
    }

    /// Kernel handlers of many system calls become programs that cost the verifier no more than this, if they can; handlers
    /// that cost more are made flat where that costs less.
    pub fn share(&mut self, cost: u64) {
        self.setting.options.sizes.cost = cost;
    }

    /// The machine.
    pub fn target(&self) -> &LiveTarget {
        &self.setting.target
    }

    /// Compiles.
    pub fn compile(&mut self) -> Result<Output, Status> {
        let compiled = self.pipeline();
        self.finish(compiled)
    }

    fn pipeline(&mut self) -> (Option<Output>, Diagnostics) {
        let session = self.setting.session();
        pipeline::compile_watched(&session, &mut self.files, &self.scripts, &mut |milestone| {
            self.passes.reached(milestone)
        })
    }

    fn finish(&self, compiled: (Option<Output>, Diagnostics)) -> Result<Output, Status> {
        let (output, diagnostics) = compiled;
        match (self.report(diagnostics), output) {
            (Status::Success, Some(output)) => Ok(output),
            (Status::Success, None) => Err(Status::Failure),
            (status, _) => Err(status),
        }
    }

    /// Shows diagnostics on standard error.
    pub fn report(&self, mut diagnostics: Diagnostics) -> Status {
        if self.warnings_are_errors {
            diagnostics.promote_warnings();
        }
        let failed = diagnostics.has_errors();
        if failed || !(self.no_warnings || diagnostics.is_empty()) {
            let mut shown = Diagnostics::new();
            shown.extend(diagnostics.iter().take(MOST_SHOWN).cloned());
            Status::say(shown.render(&self.files, self.style).trim_end());
            let more = diagnostics.len().saturating_sub(MOST_SHOWN);
            if more > 0 {
                Status::say(&format!("\n… and {more} more; mend these first"));
            }
        }
        if failed {
            Status::Failure
        } else {
            Status::Success
        }
    }
}

/// A version for `--compatible`: `4.8`, at most what rtap speaks.
fn version(text: &str) -> Result<String, Status> {
    let number = |part: &str| part.parse::<u32>().ok();
    let parts = |text: &str| text.split('.').map(number).collect::<Option<Vec<u32>>>();
    match (parts(text), parts(SYSTEMTAP_VERSION)) {
        (Some(wanted), newest) if Some(&wanted) <= newest.as_ref() => Ok(text.to_owned()),
        _ => Err(Status::usage(&format!(
            "--compatible {text}: a version of SystemTap up to {SYSTEMTAP_VERSION} is needed"
        ))),
    }
}
