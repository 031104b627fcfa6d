//! A script's `#!` line: `#!/usr/bin/stap -g -DMAXACTION=5000`.
//!
//! Run by the kernel, everything behind the interpreter comes as *one* argument, which
//! has to be split. Run as `rtap run FILE`, the options of the file's own first line count
//! too, before those of the command line.

use std::ffi::OsString;

/// Splits a first argument that the kernel glued together: it starts with `-` and
/// contains blanks, and the next argument is the script's file.
pub fn split_glued(args: Vec<OsString>) -> Vec<OsString> {
    let glued = args
        .get(1)
        .and_then(|a| a.to_str())
        .filter(|a| a.starts_with('-') && a.contains(' '));
    let Some(glued) = glued else { return args };
    // `-e 'probe … { }'` as a single word is text of a script, not a list of options.
    if args.len() < 3 || glued.starts_with("-e") {
        return args;
    }
    let mut split: Vec<OsString> = args.first().cloned().into_iter().collect();
    split.extend(glued.split_whitespace().map(OsString::from));
    split.extend(args.iter().skip(2).cloned());
    split
}

/// The options in a script's first line, if its interpreter is `stap` or `rtap`.
pub fn options(script: &str) -> Vec<String> {
    let Some(line) = script
        .strip_prefix("#!")
        .and_then(|rest| rest.lines().next())
    else {
        return Vec::new();
    };
    let mut words = line
        .split_whitespace()
        .skip_while(|w| *w == "-S" || w.ends_with("/env"));
    let name = words.next().map(|w| w.rsplit('/').next().unwrap_or(w));
    match name {
        Some("stap") => words.map(str::to_owned).collect(),
        Some("rtap") => words
            .skip_while(|w| *w == "run")
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_options() {
        assert_eq!(options("#!/usr/bin/stap -g -v\nprobe"), ["-g", "-v"]);
        assert_eq!(options("#! /usr/bin/env stap\n"), Vec::<String>::new());
        assert_eq!(options("#!/usr/bin/env -S stap -t\n"), ["-t"]);
        assert_eq!(options("#!/usr/bin/env -S rtap run -t\n"), ["-t"]);
        assert_eq!(options("#!/bin/sh -e\n"), Vec::<String>::new());
        assert_eq!(options("probe begin {}"), Vec::<String>::new());
    }

    #[test]
    fn splits_what_the_kernel_glued() {
        let args = ["stap", "-g -v", "x.stp", "1"].map(OsString::from).to_vec();
        assert_eq!(split_glued(args), ["stap", "-g", "-v", "x.stp", "1"]);
        let args = ["stap", "-e probe begin {}"].map(OsString::from).to_vec();
        assert_eq!(split_glued(args.clone()), args);
    }
}
