//! How large programs are in the kernel: a table, `tests/kernel/sizes.txt`, with the instructions
//! of a test's programs and those that the verifier looked at, for each kernel of the matrix.
//!
//! A test whose programs have grown by more than a tenth fails; so does one that is not in the table.
//! With `RTAP_BLESS=1` what is measured is written instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result};
use regex::Regex;

/// The tests of these files are measured.
pub const MEASURED: &[&str] = &["benches", "examples"];

/// So many instructions more are never too many.
const SLACK: u64 = 16;

const HEADING: &str = "# Test, kernel, instructions, verified instructions (0: the kernel does not tell); \
     written by RTAP_BLESS=1, see docs/kernels.md.\n";

/// What `rtap run -v` says of its programs.
static REPORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"programs? of (\d+) instructions \((\d+) verified\)").expect("a good pattern")
});

/// The size of a test's programs on one kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Instructions after the verifier's rewriting.
    pub insns: u64,
    /// Instructions that the verifier looked at; 0 before Linux 5.16.
    pub verified: u64,
}

impl Size {
    /// What `rtap run -v` has said.
    pub fn reported(stderr: &str) -> Option<Self> {
        let found = REPORT.captures(stderr)?;
        Some(Self {
            insns: found[1].parse().ok()?,
            verified: found[2].parse().ok()?,
        })
    }

    /// Whether it is more than a tenth above `known`.
    fn exceeds(self, known: Self) -> bool {
        let exceeds = |now: u64, then: u64| now > then + (then / 10).max(SLACK);
        exceeds(self.insns, known.insns) || exceeds(self.verified, known.verified)
    }
}

/// By test and kernel.
type Rows = BTreeMap<(String, String), Size>;

/// The table, and what is measured.
#[derive(Debug)]
pub struct Sizes {
    file: PathBuf,
    known: Rows,
    measured: Mutex<Rows>,
    bless: bool,
}

impl Sizes {
    /// Reads the table.
    pub fn read(file: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let known =
            lines.map(|line| row(line).with_context(|| format!("{}: {line}", file.display())));
        Ok(Self {
            known: known.collect::<Result<_>>()?,
            file,
            measured: Mutex::default(),
            bless: std::env::var_os("RTAP_BLESS").is_some(),
        })
    }

    /// Notes what a test said on standard error; what is wrong with it, or "".
    pub fn check(&self, test: &str, kernel: &str, stderr: &str) -> String {
        // Nothing is said where nothing is in the kernel.
        let size = Size::reported(stderr).unwrap_or_default();
        let key = (test.to_owned(), kernel.to_owned());
        let known = self.known.get(&key).copied();
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.insert(key, size);
        match known {
            _ if self.bless => String::new(),
            None => format!("its size, {size:?}, is not in sizes.txt: RTAP_BLESS=1 adds it\n"),
            Some(known) if size.insns == 0 && known.insns > 0 => {
                "rtap does not tell how large its programs are\n".to_owned()
            }
            Some(known) if size.exceeds(known) => {
                format!("its programs have grown from {known:?} to {size:?}\n")
            }
            Some(_) => String::new(),
        }
    }

    /// Writes the table, if it is to be: tests that were not run keep their rows.
    pub fn finish(&self) -> Result<()> {
        if !self.bless {
            return Ok(());
        }
        let mut rows = self.known.clone();
        rows.extend(
            self.measured
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        );
        let mut text = HEADING.to_owned();
        for ((test, kernel), Size { insns, verified }) in rows {
            writeln!(text, "{test} {kernel} {insns} {verified}")?;
        }
        fs::write(&self.file, text).with_context(|| self.file.display().to_string())
    }
}

fn row(line: &str) -> Result<((String, String), Size)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [test, kernel, insns, verified] = words.as_slice() else {
        anyhow::bail!("four words are needed");
    };
    let size = Size {
        insns: insns.parse()?,
        verified: verified.parse()?,
    };
    Ok((((*test).to_owned(), (*kernel).to_owned()), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_found() -> Result<()> {
        let said = |insns: u64| {
            format!("rtap: 2 programs of {insns} instructions (900 verified), 1 links")
        };
        let size = Size {
            insns: 400,
            verified: 900,
        };
        let sizes = Sizes {
            file: PathBuf::new(),
            known: Rows::from([row("a/b 6.1 400 900")?]),
            measured: Mutex::default(),
            bless: false,
        };
        assert_eq!(Size::reported(&said(400)), Some(size));
        assert_eq!(sizes.check("a/b", "6.1", &said(440)), "");
        assert!(sizes.check("a/b", "6.1", &said(441)).contains("grown"));
        assert!(
            sizes
                .check("a/b", "7.2", &said(400))
                .contains("not in sizes.txt")
        );
        assert!(sizes.check("a/b", "6.1", "").contains("does not tell"));
        assert!(row("a/b 6.1 400").is_err());
        Ok(())
    }
}
