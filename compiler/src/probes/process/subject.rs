//! Whose processes a point is for: `process("path")`, every one that runs the file;
//! `process(PID)`, that one; `process`, the target of `-c` or `-x` and those that descend from
//! it, or all where there is no target.
//!
//! A uprobe fires in every process that maps the file. What has to be left out is left out by
//! a condition, in the script's language, that runs before the handler.

use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::{Arg, Request, glob, is_pattern};
use crate::image::ProcessScope;
use crate::target::{Binary, BinaryError, FileId};

/// Whose processes a point is for.
pub(in crate::probes) struct Subject {
    /// The files that are probed, or that the processes run.
    pub binaries: Vec<Arc<Binary>>,
    /// For the image.
    pub scope: ProcessScope,
    /// How pp() shows it: `process("/bin/sh")`.
    pub text: String,
    /// Whether a library of the processes is probed.
    pub is_library: bool,
    /// The programs that the processes run; `None` for any.
    pub programs: Option<Vec<FileId>>,
}

impl Subject {
    /// A condition that holds in the processes it is for, in the script's language. `None`
    /// where a probe of the file itself fires in no others.
    pub fn condition(&self, is_probe_of_file: bool) -> Option<String> {
        self.confined("_process_runs", is_probe_of_file)
    }

    /// The same where a process ends: what it ran must have been noted before.
    pub fn condition_at_end(&self) -> Option<String> {
        self.confined("_process_ran", false)
    }

    fn confined(&self, runs: &str, is_probe_of_file: bool) -> Option<String> {
        if let ProcessScope::Pid(pid) = self.scope {
            return Some(format!("pid() == {pid}"));
        }
        let in_target = (self.scope == ProcessScope::Target).then_some("target_set_pid(pid())");
        let programs = self.programs.as_ref();
        let programs = programs.filter(|_| !is_probe_of_file || self.is_library);
        let one = |file: &FileId| format!("{runs}({}, {})", file.inode, file.bytes);
        let of_program = programs.map(|all| all.iter().map(one).collect::<Vec<_>>().join(" || "));
        match (in_target, of_program) {
            (Some(target), Some(program)) => Some(format!("{target} && ({program})")),
            (Some(target), None) => Some(target.to_owned()),
            (None, program) => program,
        }
    }
}

/// Finds it.
pub(in crate::probes) fn find(request: &Request<'_>) -> Result<Subject, Box<Diagnostic>> {
    let (path, scope) = program(request)?;
    let library = request.text("library");
    let Some(path) = path else {
        return Ok(Subject {
            binaries: Vec::new(),
            scope,
            text: "process".to_owned(),
            is_library: false,
            programs: None,
        });
    };
    let programs = binaries(request, &path)?;
    let shown = match &programs[..] {
        [one] => &one.path,
        _ => &path,
    };
    let text = match scope {
        ProcessScope::Pid(pid) => format!("process({pid})"),
        ProcessScope::All | ProcessScope::Target => format!("process(\"{shown}\")"),
    };
    Ok(Subject {
        scope,
        text,
        is_library: library.is_some(),
        programs: Some(programs.iter().map(|binary| binary.file).collect()),
        binaries: match library {
            Some(name) if is_pattern(name) && !name.contains('/') => {
                libraries(request, &programs, name)?
            }
            Some(name) => binaries(request, name)?,
            None => programs,
        },
    })
}

/// The files of a path or pattern.
fn binaries(request: &Request<'_>, path: &str) -> Result<Vec<Arc<Binary>>, Box<Diagnostic>> {
    let target = request.session.target;
    let problem = |why: BinaryError| {
        let id = path
            .strip_prefix("/proc/")
            .and_then(|path| path.strip_suffix("/exe"));
        if let (Some(id), BinaryError::NotFound { .. }) = (id, &why) {
            return Box::new(
                Diagnostic::error(codes::NO_PROGRAM, format!("no process has the id {id}"))
                    .label(request.span, "not (any more) when the script is compiled"),
            );
        }
        Box::new(
            Diagnostic::error(codes::NO_PROGRAM, format!("cannot probe '{path}'"))
                .label(request.span, why.to_string())
                .help_if(remedy(&why).map(str::to_owned)),
        )
    };
    if !is_pattern(path) {
        return target
            .binary(path)
            .map(|binary| vec![binary])
            .map_err(problem);
    }
    // What is no program is not meant.
    let found: Vec<Arc<Binary>> = target
        .programs_like(path)
        .iter()
        .filter_map(|path| target.binary(path).ok())
        .collect();
    if found.is_empty() {
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_PROGRAM,
                format!("no program or library is called like '{path}'"),
            )
            .label(request.span, "this pattern")
            .help("'*', '?' and '[…]' stand for characters other than '/'"),
        ));
    }
    Ok(found)
}

fn remedy(why: &BinaryError) -> Option<&'static str> {
    match why {
        BinaryError::NotFound { .. } => {
            Some("is the path right? It is looked up when the script is compiled")
        }
        BinaryError::NotInPath { .. } => Some("give its full path"),
        BinaryError::Permission { .. } => Some("run as a user who may read it"),
        BinaryError::Script { .. } => {
            Some("probe the interpreter, or the compiled program that the script starts")
        }
        BinaryError::NotElf { .. }
        | BinaryError::Not64Bit { .. }
        | BinaryError::OtherMachine { .. }
        | BinaryError::Damaged { .. }
        | BinaryError::Io { .. } => None,
    }
}

/// Whether a point is a place in a file, not something that happens to processes.
pub(super) fn is_of_file(request: &Request<'_>) -> bool {
    ["function", "plt", "statement", "mark", "**"]
        .iter()
        .any(|component| request.has(component))
}

/// The libraries that programs use, directly or through others, whose names are like a pattern.
fn libraries(
    request: &Request<'_>,
    programs: &[Arc<Binary>],
    pattern: &str,
) -> Result<Vec<Arc<Binary>>, Box<Diagnostic>> {
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut open: Vec<Arc<Binary>> = programs.to_vec();
    while let Some(binary) = open.pop() {
        for name in &binary.needed {
            if names.contains(name) {
                continue;
            }
            names.push(name.clone());
            if let Ok(library) = request.session.target.binary(name) {
                if glob(pattern, name) {
                    found.push(Arc::clone(&library));
                }
                open.push(library);
            }
        }
    }
    if found.is_empty() {
        let program = programs.first().map_or("", |program| &program.path);
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_PROGRAM,
                format!("'{program}' uses no library like '{pattern}'"),
            )
            .label(request.span, "not among its libraries")
            .note(match &names[..] {
                [] => "it uses none".to_owned(),
                _ => format!("it uses {}", names.join(", ")),
            }),
        ));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The file and the processes that a point names. Without a file it is for whatever the processes
/// run.
fn program(request: &Request<'_>) -> Result<(Option<String>, ProcessScope), Box<Diagnostic>> {
    let options = &request.session.options;
    let scope = if options.has_target {
        ProcessScope::Target
    } else {
        ProcessScope::All
    };
    let process = request.components.iter().find(|c| &*c.name == "process");
    match process.and_then(|c| c.arg.as_ref()) {
        Some(Arg::Text(path)) => Ok((Some(path.clone()), scope)),
        Some(Arg::Number(pid)) => match u32::try_from(*pid) {
            Ok(pid) if pid > 0 => Ok((Some(format!("/proc/{pid}/exe")), ProcessScope::Pid(pid))),
            _ => Err(Box::new(
                Diagnostic::error(codes::BAD_POINT, format!("{pid} is no process id"))
                    .label(request.span, "in this probe point"),
            )),
        },
        None if !is_of_file(request) => Ok((None, scope)),
        // The command's first word is its program, unless there is shell syntax before it.
        None => match options
            .command
            .as_deref()
            .and_then(|c| c.split_whitespace().next())
        {
            Some(program) => Ok((Some(program.to_owned()), ProcessScope::Target)),
            None => Err(Box::new(
                Diagnostic::error(codes::BAD_POINT, "which process is not said")
                    .label(request.span, "no program named here")
                    .help("name it, process(\"path\"), or run a command with -c"),
            )),
        },
    }
}
