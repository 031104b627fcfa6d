//! `rtap list`: probe points that match a pattern, with their variables and types; kinds of
//! probe points, aliases and functions; whatever has a word in its name.

use rtap_compiler::glob::{glob, is_pattern};
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
    let pattern = args.pattern.as_deref();
    let function = pattern.and_then(|pattern| pattern.strip_prefix("function "));
    match (pattern, function) {
        (_, Some(like)) => functions_matching(&script, like.trim()),
        (Some(like), None) if args.functions => functions_matching(&script, like),
        (None, None) if args.functions => functions(&script),
        (Some(word), None) if is_word(word) => named(&script, word, args.names_only),
        (Some(pattern), None) => list_pattern(&script, pattern, args.names_only),
        (None, None) => everything(&script, args.names_only),
    }
}

/// Whether it is a name with or without wildcards, other than `*` for all: not yet a probe point.
fn is_word(pattern: &str) -> bool {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || "_*?[]-".contains(c);
    pattern.chars().all(is_of_names) && pattern.contains(|c: char| c.is_ascii_alphanumeric())
}

/// Points of that name, such as `begin`. If there are none: aliases, system calls, tracepoints and
/// functions that have the word in their names.
fn named(args: &ScriptArgs, word: &str, names_only: bool) -> Status {
    let like = if is_pattern(word) {
        word.to_owned()
    } else {
        format!("*{word}*")
    };
    with_job(args, &format!("probe {word} {{ }}"), |job| {
        let (mut found, diagnostics) = job.points(names_only);
        if !found.is_empty() {
            return Status::print(&found).and(|| job.report(diagnostics));
        }
        let is_like = |name: &str| name.split('.').any(|part| glob(&like, part));
        found.push_str(&lines(job.aliases().iter().filter(|name| is_like(name))));
        for points in [
            format!("syscall.{like}"),
            format!("kernel.trace(\"{like}\")"),
        ] {
            found.push_str(&points_of(args, &points, names_only));
        }
        found.push_str(&functions_like(job, &like));
        if found.is_empty() {
            return job.report(diagnostics);
        }
        Status::print(&found)
    })
}

/// The points that a pattern means; nothing if there are none.
fn points_of(args: &ScriptArgs, pattern: &str, names_only: bool) -> String {
    let mut found = String::new();
    with_job(args, &format!("probe {pattern} {{ }}"), |job| {
        found = job.points(names_only).0;
        Status::Success
    });
    found
}

/// Functions of the tapsets whose names match, with their types: as calls are written, not as
/// `--dump-functions` does.
fn functions_like(job: &mut Job, like: &str) -> String {
    let all = job.functions();
    let is_like = |line: &&String| {
        let name = line.split(':').next().unwrap_or_default();
        glob(like, name)
    };
    let found = all.iter().filter(is_like);
    found.map(|line| format!("function {line}\n")).collect()
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
    Status::print(&text).and(|| aliases(args))
}

/// `--dump-probe-types`
pub fn kinds() -> Status {
    let forms = catalogue().flat_map(|(_, forms, _)| forms);
    let mut forms: Vec<&str> = forms.copied().filter(|f| !f.starts_with('_')).collect();
    forms.sort_unstable();
    Status::print(&lines(forms))
}

/// `--dump-probe-aliases`
pub fn aliases(args: &ScriptArgs) -> Status {
    with_job(args, "", |job| Status::print(&lines(job.aliases())))
}

/// `--dump-functions`
pub fn functions(args: &ScriptArgs) -> Status {
    with_job(args, "", |job| Status::print(&lines(job.functions())))
}

/// Functions of the tapsets whose names match.
fn functions_matching(args: &ScriptArgs, like: &str) -> Status {
    with_job(args, "", |job| {
        let found = functions_like(job, like);
        if found.is_empty() {
            return Status::fail(
                &format!("no function of the tapsets is called '{like}'"),
                Some("'rtap list -f' shows all of them"),
            );
        }
        Status::print(&found)
    })
}

fn lines<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> String {
    let all = all.into_iter();
    all.map(|line| format!("{}\n", line.as_ref())).collect()
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
