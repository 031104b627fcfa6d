//! From options to a compiled script: what `run`, `check` and `build` have in common.

use std::io::IsTerminal;

use rtap_compiler::pipeline::{self, Emit, Output};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::{self, Session};
use rtap_grammar::diag::{Diagnostics, Style};
use rtap_grammar::source::{FileId, Files};

use super::Status;
use super::args::{self, Color, ScriptArgs};
use super::{limits, source};
use crate::host::LiveTarget;

/// So many diagnostics are shown: more do not fit on a screen.
const MOST_SHOWN: usize = 10;

/// A script on its way: its texts, the machine, what the command line says.
pub struct Job {
    /// The machine.
    pub target: LiveTarget,
    library: TapsetLibrary,
    /// Options that bear on compiling.
    pub options: session::Options,
    /// The texts.
    pub files: Files,
    scripts: Vec<FileId>,
    style: Style,
    no_warnings: bool,
    warnings_are_errors: bool,
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
        let (limits, warnings) =
            limits::parse(&args.defines).map_err(|error| Status::usage(&error))?;
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
                ..session::Options::default()
            },
            files,
            scripts,
            style: if color { Style::Color } else { Style::Plain },
            no_warnings: args.no_warnings,
            warnings_are_errors: args.warnings_are_errors,
        })
    }

    /// Prints the text of a stage.
    pub fn emit(&mut self, stage: Emit) -> Status {
        let session = Session {
            target: &self.target,
            library: &self.library,
            options: self.options.clone(),
        };
        let (text, diagnostics) = pipeline::emit(&session, &mut self.files, &self.scripts, stage);
        Status::print(&text);
        self.report(diagnostics)
    }

    /// Prints the probe points that the script's probes mean, one a line, with their variables.
    pub fn list(&mut self, names_only: bool) -> Status {
        let session = Session {
            target: &self.target,
            library: &self.library,
            options: self.options.clone(),
        };
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
        Status::print(&text);
        self.report(diagnostics)
    }

    /// Parses, resolves and infers: errors only.
    pub fn check(&mut self) -> Status {
        let session = Session {
            target: &self.target,
            library: &self.library,
            options: self.options.clone(),
        };
        let (_, diagnostics) = pipeline::check(&session, &mut self.files, &self.scripts);
        self.report(diagnostics)
    }

    /// The image is for other machines too.
    pub fn portable(&mut self) {
        self.options.portable = true;
    }

    /// Compiles.
    pub fn compile(&mut self) -> Result<Output, Status> {
        let session = Session {
            target: &self.target,
            library: &self.library,
            options: self.options.clone(),
        };
        let (output, diagnostics) = pipeline::compile(&session, &mut self.files, &self.scripts);
        match (self.report(diagnostics), output) {
            (Status::Success, Some(output)) => Ok(output),
            (Status::Success, None) => Err(Status::Failure),
            (status, _) => Err(status),
        }
    }

    /// Shows diagnostics on standard error.
    fn report(&self, mut diagnostics: Diagnostics) -> Status {
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
