//! How large programs are in the kernel: a table, `tests/kernel/sizes.txt`, with the instructions
//! of programs and those that the verifier looked at, on each kernel of the matrix.
//!
//! A row is a test's programs together, or, of tests that run all probe points of a pattern, those of one point. A
//! test whose programs have grown by more than a tenth fails; so does one that is not in the table, or that
//! the table has and that is no longer measured. With `RTAP_BLESS=1` what is measured is written instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use regex::Regex;

use crate::vm::kernels::MATRIX;

/// The tests of these files are measured, and those of probe points.
pub const MEASURED: &[&str] = &["benches", "examples"];

/// So many instructions more are never too many.
const SLACK: u64 = 16;

const HEADING: &str = "# Test and probe point; instructions/verified instructions on each kernel (0: it does not tell; -: not \
     there).\n# Written by RTAP_BLESS=1, see docs/kernels.md.\n";

/// What `rtap run -v` says of its programs, and what `-vv` says of each handler's.
static REPORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?m)^rtap: (?:\d+ programs? of|(?<point>\S+)[^:]*:) (?<insns>\d+) instructions \((?<verified>\d+) verified\)",
    )
    .expect("a good pattern")
});

/// The size of programs on one kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Instructions after the verifier's rewriting.
    pub insns: u64,
    /// Instructions that the verifier looked at; 0 before Linux 5.16.
    pub verified: u64,
}

impl Size {
    /// What rtap has said: of each probe point, or of all together under the name "".
    pub fn reported(stderr: &str) -> BTreeMap<&str, Self> {
        let mut sizes: BTreeMap<&str, Self> = BTreeMap::new();
        for found in REPORT.captures_iter(stderr) {
            let point = found.name("point").map_or("", |point| point.as_str());
            let size = sizes.entry(point).or_default();
            // Numbers that do not fit are no sizes.
            size.insns += found["insns"].parse().unwrap_or(0);
            size.verified += found["verified"].parse().unwrap_or(0);
        }
        if sizes.len() > 1 {
            sizes.remove("");
        }
        sizes
    }

    /// Whether it is more than a tenth above `known`.
    fn exceeds(self, known: Self) -> bool {
        let exceeds = |now: u64, then: u64| now > then + (then / 10).max(SLACK);
        exceeds(self.insns, known.insns) || exceeds(self.verified, known.verified)
    }
}

/// By row and kernel.
type Rows = BTreeMap<(String, String), Size>;

/// The table, and what is measured.
#[derive(Debug)]
pub struct Sizes {
    file: PathBuf,
    known: Rows,
    /// What was measured, and for which tests and kernels.
    measured: Mutex<(Rows, Vec<(String, String)>)>,
    bless: bool,
}

impl Sizes {
    /// Reads the table.
    pub fn read(file: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let mut known = Rows::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            known.extend(row(line).with_context(|| format!("{}: {line}", file.display()))?);
        }
        Ok(Self {
            known,
            file,
            measured: Mutex::default(),
            bless: std::env::var_os("RTAP_BLESS").is_some(),
        })
    }

    /// Notes what a test said on standard error; what is wrong with it, or "".
    pub fn check(&self, test: &str, kernel: &str, stderr: &str) -> String {
        let mut sizes = Size::reported(stderr);
        if sizes.is_empty() {
            // Nothing is said where nothing is in the kernel.
            sizes.insert("", Size::default());
        }
        let mut faults = String::new();
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, tests) = &mut *measured;
        tests.push((test.to_owned(), kernel.to_owned()));
        for (point, size) in sizes {
            let name = if point.is_empty() {
                test.to_owned()
            } else {
                format!("{test}:{point}")
            };
            let key = (name, kernel.to_owned());
            faults += &self.fault(&key, size);
            rows.insert(key, size);
        }
        for key in self.known.keys().filter(|key| key.1 == kernel) {
            if is_of(&key.0, test) && !rows.contains_key(key) {
                faults += &format!("{} is in sizes.txt, and no longer measured\n", key.0);
            }
        }
        if self.bless { String::new() } else { faults }
    }

    /// What is wrong with the size of a row.
    fn fault(&self, key: &(String, String), size: Size) -> String {
        let row = &key.0;
        match self.known.get(key) {
            None => {
                format!("{row}: its size, {size:?}, is not in sizes.txt: RTAP_BLESS=1 adds it\n")
            }
            Some(known) if size.insns == 0 && known.insns > 0 => {
                format!("{row}: rtap does not tell how large its programs are\n")
            }
            Some(known) if size.exceeds(*known) => {
                format!("{row}: its programs have grown from {known:?} to {size:?}\n")
            }
            Some(_) => String::new(),
        }
    }

    /// Writes the table, if it is to be: tests that were not run keep their rows.
    pub fn finish(&self) -> Result<()> {
        if !self.bless {
            return Ok(());
        }
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, tests) = &*measured;
        let mut rows = self.known.clone();
        rows.retain(|(row, kernel), _| {
            let mut run = tests.iter().filter(|(_, on)| on == kernel);
            !run.any(|(test, _)| is_of(row, test))
        });
        rows.extend(new.clone());
        let text = format!("{HEADING}{}", table(&rows)?);
        fs::write(&self.file, text).with_context(|| self.file.display().to_string())
    }
}

/// Whether a row is a test's.
fn is_of(row: &str, test: &str) -> bool {
    row.strip_prefix(test)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The table's lines.
fn table(rows: &Rows) -> Result<String> {
    let mut names: Vec<&String> = rows.keys().map(|(name, _)| name).collect();
    names.dedup();
    let mut text = String::new();
    for name in names {
        text += name;
        for kernel in MATRIX.map(|wanted| wanted.version) {
            match rows.get(&(name.clone(), kernel.to_owned())) {
                Some(Size { insns, verified }) => write!(text, " {insns}/{verified}")?,
                None => text += " -",
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// A line of the table.
fn row(line: &str) -> Result<Rows> {
    let mut words = line.split_whitespace();
    let name = words.next().context("a name is needed")?;
    let cells: Vec<&str> = words.collect();
    ensure!(
        cells.len() == MATRIX.len(),
        "there are {} kernels",
        MATRIX.len()
    );
    let mut row = Rows::new();
    for (cell, kernel) in cells.into_iter().zip(&MATRIX) {
        if cell == "-" {
            continue;
        }
        let (insns, verified) = cell.split_once('/').context("two numbers are needed")?;
        let size = Size {
            insns: insns.parse()?,
            verified: verified.parse()?,
        };
        row.insert((name.to_owned(), kernel.version.to_owned()), size);
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lines: &[&str]) -> Result<Sizes> {
        let mut known = Rows::new();
        for line in lines {
            known.extend(row(line)?);
        }
        Ok(Sizes {
            file: PathBuf::new(),
            known,
            measured: Mutex::default(),
            bless: false,
        })
    }

    #[test]
    fn growth_is_found() -> Result<()> {
        let said = |insns: u64| {
            format!("rtap: 2 programs of {insns} instructions (900 verified), 1 links")
        };
        let sizes = sizes(&["a/b - 400/900 - -"])?;
        assert_eq!(sizes.check("a/b", "6.1", &said(440)), "");
        assert!(sizes.check("a/b", "6.1", &said(441)).contains("grown"));
        assert!(
            sizes
                .check("a/b", "7.2", &said(400))
                .contains("not in sizes.txt")
        );
        assert!(sizes.check("a/b", "6.1", "").contains("does not tell"));
        assert!(row("a/b 400/900").is_err());
        Ok(())
    }

    #[test]
    fn points_have_rows_of_their_own() -> Result<()> {
        let said = "rtap: vm.brk ?: 40 instructions (50 verified)\n\
                    rtap: vm.brk ?: 60 instructions (70 verified)\n\
                    rtap: vm.mmap: 30 instructions (30 verified)\n\
                    rtap: 3 programs of 130 instructions (150 verified), 3 links attached in 1 ms\n";
        let lines = ["t/vm:vm.brk - 100/120 - -", "t/vm:vm.mmap - 30/30 - -"];
        let sizes = sizes(&lines)?;
        assert_eq!(sizes.check("t/vm", "6.1", said), "");
        assert_eq!(table(&sizes.known)?, format!("{}\n", lines.join("\n")));
        let more = said.replace("(30 verified)", "(60 verified)");
        assert!(
            sizes
                .check("t/vm", "6.1", &more)
                .contains("t/vm:vm.mmap: its programs have grown")
        );
        Ok(())
    }

    #[test]
    fn points_that_are_missing_are_found() -> Result<()> {
        let sizes = sizes(&["t/vm:vm.brk - 100/120 - -", "t/vmx:vm.mmap - 30/30 - -"])?;
        let said = "rtap: vm.kfree: 30 instructions (30 verified)\n";
        let faults = sizes.check("t/vm", "6.1", said);
        assert!(
            faults.contains("vm.brk is in sizes.txt, and no longer"),
            "{faults}"
        );
        assert!(faults.contains("t/vm:vm.kfree: its size"), "{faults}");
        assert!(!faults.contains("vm.mmap"), "{faults}");
        Ok(())
    }
}
