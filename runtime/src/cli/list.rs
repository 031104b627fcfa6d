//! `rtap list`: probe points that match a pattern, with their variables and types.

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
    list_pattern(&script, &args.pattern, args.names_only)
}

/// The same for `stap -l` and `-L`.
pub fn list_pattern(args: &ScriptArgs, pattern: &str, names_only: bool) -> Status {
    // The pattern is a probe point: it is resolved as that of an empty probe.
    let text = format!("probe {pattern} {{ }}");
    let source = Source {
        name: "<pattern>".into(),
        bytes: text.into_bytes(),
    };
    match Job::of_script(args, source, Vec::new(), None, false) {
        Ok(mut job) => job.list(names_only),
        Err(status) => status,
    }
}
