//! Names of source files.

use crate::glob::glob;

/// The path of a file that was named from a directory, without `.` and `..` where they can be taken out.
pub(super) fn join(directory: &str, name: &str) -> String {
    let whole = if name.starts_with('/') || directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if whole.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Whether a path is like a pattern: the whole of it, or its last components.
pub(super) fn is_like(pattern: &str, path: &str) -> bool {
    glob(pattern, path) || glob(&format!("*/{pattern}"), path)
}

/// The end of all paths that are like a pattern: what is behind its last wildcard, of its last component.
pub(super) fn literal_end(pattern: &str) -> &str {
    let end = pattern.rsplit(['*', '?', ']', '/']).next();
    end.unwrap_or_default()
}
