//! `rtap list`: probe points that match a pattern, with their variables and types; kinds of
//! probe points, aliases and functions.

use rtap_compiler::probes::catalogue;

use super::Status;
use super::args::{ListArgs, ScriptArgs};
use super::compile::Job;
use super::source::Source;

/// `rtap list`
pub fn list(args: &ListArgs) -> Status {
    let script = ScriptArgs {
        tapset_dirs: args.tapset_dirs.clone(),
        ..ScriptArgs::default()
    };
    match &args.pattern {
        _ if args.functions => functions(&script),
        Some(pattern) => list_pattern(&script, pattern, args.names_only),
        None => everything(&script, args.names_only),
    }
}

/// The same for `stap -l` and `-L`.
pub fn list_pattern(args: &ScriptArgs, pattern: &str, names_only: bool) -> Status {
    // The pattern is a probe point: it is resolved as that of an empty probe.
    with_job(args, &format!("probe {pattern} {{ }}"), |job| {
        job.list(names_only)
    })
}

/// All kinds of probe points, then all aliases.
fn everything(args: &ScriptArgs, names_only: bool) -> Status {
    let mut text = String::new();
    for (_, forms, doc) in catalogue() {
        if !names_only {
            text.push_str(&format!("# {doc}\n"));
        }
        for form in forms.iter().filter(|form| !form.starts_with('_')) {
            text.push_str(&format!("{form}\n"));
        }
    }
    if !names_only {
        text.push_str("# system calls: syscall.NAME, syscall.NAME.return; 'rtap list \"syscall.*\"' shows them\n");
        text.push_str("# aliases\n");
    }
    Status::print(&text);
    aliases(args)
}

/// `--dump-probe-types`
pub fn kinds() -> Status {
    let forms = catalogue().flat_map(|(_, forms, _)| forms);
    let mut forms: Vec<&str> = forms.copied().filter(|f| !f.starts_with('_')).collect();
    forms.sort_unstable();
    Status::print(&lines(&forms));
    Status::Success
}

/// `--dump-probe-aliases`
pub fn aliases(args: &ScriptArgs) -> Status {
    with_job(args, "", |job| {
        Status::print(&lines(&job.aliases()));
        Status::Success
    })
}

/// `--dump-functions`
pub fn functions(args: &ScriptArgs) -> Status {
    with_job(args, "", |job| {
        Status::print(&lines(&job.functions()));
        Status::Success
    })
}

fn lines<T: AsRef<str>>(all: &[T]) -> String {
    all.iter()
        .map(|line| format!("{}\n", line.as_ref()))
        .collect()
}

fn with_job(args: &ScriptArgs, script: &str, work: impl FnOnce(&mut Job) -> Status) -> Status {
    let source = Source {
        name: "<pattern>".into(),
        bytes: script.into(),
    };
    match Job::of_script(args, source, Vec::new(), None, false) {
        Ok(mut job) => work(&mut job),
        Err(status) => status,
    }
}
