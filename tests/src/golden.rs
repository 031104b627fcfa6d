//! Golden files: small scripts beside what a stage of the compiler makes of them.
//!
//! `tests/golden/<stage>/<topic>/<name>.rtp` is the input, `<name>.out` beside it the expected text. A
//! stage's test calls [`check`] with the stage's name and a function from [`Case`] to text. With
//! `RTAP_BLESS=1` the outputs are written instead of compared; look at `git diff` afterwards. With
//! `RTAP_GOLDEN=part` only cases whose name contains `part` run. An `.out` without its `.rtp` fails, so
//! does a stage without cases.
//!
//! A case may carry directives, comment lines of the form `//# key: value`, whose meaning is the stage's.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// One input file.
#[derive(Debug, Clone)]
pub struct Case {
    /// `<topic>/<name>`.
    pub name: String,
    /// The input file.
    pub path: PathBuf,
    /// Its bytes; not necessarily UTF-8.
    pub source: Vec<u8>,
}

impl Case {
    /// What diagnostics should call the file, so that outputs do not depend on where the tree lies.
    pub fn file_name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }

    /// The input as text, bad bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.source).into_owned()
    }

    /// The values of every `//# key: value` line with this key, in order.
    pub fn directives(&self, key: &str) -> Vec<String> {
        directives(&self.text(), key)
    }

    /// The first of [`Case::directives`].
    pub fn directive(&self, key: &str) -> Option<String> {
        self.directives(key).into_iter().next()
    }
}

/// The values of every `//# key: value` line of a text with this key, in order.
pub fn directives(text: &str, key: &str) -> Vec<String> {
    let prefix = format!("//# {key}:");
    let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.map(|value| value.trim().to_owned()).collect()
}

/// The folder of all golden files.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The cases of a stage, by name.
pub fn cases(stage: &str) -> Vec<Case> {
    let folder = root().join(stage);
    let mut cases: Vec<Case> = files_below(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rtp"))
        .map(|path| {
            let name = path.with_extension("");
            let name = name
                .strip_prefix(&folder)
                .unwrap_or(&name)
                .to_string_lossy()
                .into_owned();
            let source = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            Case { name, path, source }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Compares (or blesses) what `produce` makes of each of the stage's cases.
///
/// # Panics
/// Where an output differs, is missing or has lost its input, or the stage has no case.
pub fn check(stage: &str, produce: impl Fn(&Case) -> String) {
    let bless = std::env::var_os("RTAP_BLESS").is_some_and(|v| v == "1");
    let filter = std::env::var("RTAP_GOLDEN").unwrap_or_default();
    let mut report = String::new();
    let (mut ran, mut failed) = (0, 0);
    let mut known = Vec::new();
    for case in cases(stage) {
        let out_path = case.path.with_extension("out");
        known.push(out_path.clone());
        if !case.name.contains(&filter) {
            continue;
        }
        ran += 1;
        let got = produce(&case);
        let want = fs::read(&out_path).ok();
        if want.as_deref() == Some(got.as_bytes()) {
            continue;
        }
        if bless {
            fs::write(&out_path, &got).unwrap_or_else(|e| panic!("{}: {e}", out_path.display()));
            println!("blessed {stage}/{}", case.name);
            continue;
        }
        failed += 1;
        let want = want.map(|w| String::from_utf8_lossy(&w).into_owned());
        let _ = writeln!(report, "\n==== {stage}/{}", case.name);
        match want {
            None => report.push_str("no .out file yet; it would be:\n"),
            Some(_) => report.push_str("- expected, + got:\n"),
        }
        report.push_str(&diff(want.as_deref().unwrap_or(""), &got));
    }
    for path in files_below(&root().join(stage)) {
        if path.extension().is_some_and(|e| e == "out") && !known.contains(&path) {
            failed += 1;
            let _ = writeln!(report, "\n==== {}: has no .rtp beside it", path.display());
        }
    }
    println!("golden {stage}: {ran} cases, {failed} failed");
    assert!(
        ran > 0,
        "no golden case under {}",
        root().join(stage).display()
    );
    assert!(failed == 0, "{report}\nRTAP_BLESS=1 accepts what was got");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines that differ, with what is common at the ends left out.
fn diff(want: &str, got: &str) -> String {
    let (want, got): (Vec<&str>, Vec<&str>) = (want.lines().collect(), got.lines().collect());
    let head = want.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let tail = want[head..]
        .iter()
        .rev()
        .zip(got[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut out = String::new();
    if head > 0 {
        let _ = writeln!(out, "  ({head} equal lines)");
    }
    for line in &want[head..want.len() - tail] {
        let _ = writeln!(out, "- {line}");
    }
    for line in &got[head..got.len() - tail] {
        let _ = writeln!(out, "+ {line}");
    }
    if tail > 0 {
        let _ = writeln!(out, "  ({tail} equal lines)");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_only_what_differs() {
        assert_eq!(
            diff("a\nb\nc\n", "a\nx\ny\nc\n"),
            "  (1 equal lines)\n- b\n+ x\n+ y\n  (1 equal lines)\n"
        );
        assert_eq!(diff("", "a\n"), "+ a\n");
    }

    #[test]
    fn directives_are_comment_lines() {
        let source = b"//# args: one two\nprobe begin {}\n//# args: three\n".to_vec();
        let case = Case {
            name: "t".into(),
            path: "t.rtp".into(),
            source,
        };
        assert_eq!(case.directives("args"), ["one two", "three"]);
        assert_eq!(case.directive("none"), None);
    }
}
