//! Writes `docs/coverage.md`: which names of SystemTap's reference manual rtap has.
//!
//! The names are the manual pages of Debian's `systemtap-doc` (`function::NAME`, `probe::NAME`,
//! `macro::NAME`). Each is tried with `rtap check`; whether a test runs it is told by looking for
//! its name in the execution tests, the kernel tests and the examples.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, ensure};
use rtap_tests::{debian, paths};

/// What cannot be had on any kernel, by the beginning of a page's name.
const IMPOSSIBLE: [(&str, &str); 14] = [
    ("function::cve_", "live patches are out of scope"),
    ("function::dump_stack", "eBPF cannot call printk"),
    ("function::mdelay", "eBPF programs may not wait"),
    ("function::module_size", "there is no kernel module"),
    ("function::panic", "eBPF cannot panic the kernel"),
    ("function::print_java", "no points in Java"),
    (
        "function::set_",
        "eBPF may not change the kernel or its arguments",
    ),
    ("function::sprint_java", "no points in Java"),
    ("function::udelay", "eBPF programs may not wait"),
    (
        "probe::nfs.",
        "a module that the tested kernels do not have",
    ),
    (
        "probe::nfsd.",
        "a module that the tested kernels do not have",
    ),
    (
        "probe::scsi.",
        "a module that the tested kernels do not have",
    ),
    ("probe::stap", "points in SystemTap itself"),
    (
        "probe::sunrpc.",
        "a module that the tested kernels do not have",
    ),
];

/// What became of a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Tested,
    Works,
    NeedsFunctions,
    Impossible(String),
    Missing,
}

impl State {
    fn text(&self) -> String {
        match self {
            Self::Tested => "works, tested".into(),
            Self::Works => "works".into(),
            Self::NeedsFunctions => "works on kernels with fentry or kprobes".into(),
            Self::Impossible(why) => format!("impossible: {why}"),
            Self::Missing => "missing".into(),
        }
    }
}

fn main() -> Result<()> {
    let rtap = paths::build_rtap(true)?;
    let tested = words_of_tests()?;
    let mut kinds: BTreeMap<&str, Vec<(String, State)>> = BTreeMap::new();
    for page in pages()? {
        let (kind, name) = page.split_once("::").context("a page without a kind")?;
        let kind = match kind {
            "function" => "Functions",
            "macro" => "Macros",
            _ if name.contains("syscall.") => "System calls",
            _ => "Probe points",
        };
        let state = state(&rtap, &page, &tested)?;
        kinds
            .entry(kind)
            .or_default()
            .push((name.to_owned(), state));
    }
    let path = paths::workspace().join("docs/coverage.md");
    fs::write(&path, document(&kinds))?;
    println!("{} is written", path.display());
    Ok(())
}

/// All manual pages of section 3stap, without their suffixes, in order.
fn pages() -> Result<Vec<String>> {
    let folder = debian::systemtap_doc()?.join("../man/man3");
    let mut pages: Vec<String> = fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".3stap.gz")?.to_owned()))
        .filter(|name| !name.ends_with("::-") && !name.ends_with("::") && name.contains("::"))
        .collect();
    ensure!(!pages.is_empty(), "{}: no pages", folder.display());
    pages.sort();
    Ok(pages)
}

fn state(rtap: &Path, page: &str, tested: &HashSet<String>) -> Result<State> {
    let (kind, name) = page.split_once("::").unwrap_or(("", page));
    let script = match kind {
        "function" => format!("probe never {{ {name}() }}"),
        "macro" => format!("probe never {{ @{name} }}"),
        _ => format!("probe {name} {{ }}"),
    };
    let output = Command::new(rtap)
        .args(["check", "-w", "-g", "-e", &script])
        .output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    let first = message.lines().next().unwrap_or_default();
    let is = |code: &str| first.contains(code);
    // A function or macro that is known but wants arguments is there.
    let exists = output.status.success() || kind != "probe" && !is("E0301") && !is("E0107");
    if exists {
        let is_tested = tested.contains(name);
        return Ok(if is_tested {
            State::Tested
        } else {
            State::Works
        });
    }
    if is("E0505") {
        return Ok(State::NeedsFunctions);
    }
    if let Some((_, why)) = IMPOSSIBLE.iter().find(|(start, _)| page.starts_with(start)) {
        return Ok(State::Impossible((*why).to_owned()));
    }
    let gone = ["E0502", "E0503", "E0504"].iter().any(|code| is(code));
    Ok(if gone {
        let why = first.split_once("]: ").map_or(first, |(_, why)| why);
        State::Impossible(why.replace('\'', "`"))
    } else {
        State::Missing
    })
}

/// All words (names with dots too) of what the tests run.
fn words_of_tests() -> io::Result<HashSet<String>> {
    let root = paths::workspace();
    let mut files = Vec::new();
    for folder in ["tests/golden/exec", "tests/kernel", "examples"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut words = HashSet::new();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        words.extend(text.split(|c| !is_part(c)).map(str::to_owned));
    }
    Ok(words)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rtp" || e == "test") {
            files.push(path);
        }
    }
    Ok(())
}

fn document(kinds: &BTreeMap<&str, Vec<(String, State)>>) -> String {
    let mut text = String::from(
        "# Coverage of SystemTap's reference manual\n\n\
         Written by `cargo run -p rtap-tests --bin coverage` on this machine's kernel: each name that has a page in\n\
         Debian's `systemtap-doc` is tried with `rtap check`. \"Tested\" names are run by a test or an example.\n\n\
         | | works, tested | works | with fentry or kprobes | impossible | missing |\n|---|---|---|---|---|---|\n",
    );
    for (kind, names) in kinds {
        let count = |wanted: fn(&State) -> bool| names.iter().filter(|(_, s)| wanted(s)).count();
        let _ = writeln!(
            text,
            "| {kind} | {} | {} | {} | {} | {} |",
            count(|s| *s == State::Tested),
            count(|s| *s == State::Works),
            count(|s| *s == State::NeedsFunctions),
            count(|s| matches!(s, State::Impossible(_))),
            count(|s| *s == State::Missing),
        );
    }
    for (kind, names) in kinds {
        let _ = writeln!(text, "\n## {kind}\n");
        let mut groups: BTreeMap<&State, Vec<&str>> = BTreeMap::new();
        for (name, state) in names {
            groups.entry(state).or_default().push(name);
        }
        for (state, names) in groups {
            let _ = writeln!(text, "**{}**: `{}`\n", state.text(), names.join("` `"));
        }
    }
    text
}
