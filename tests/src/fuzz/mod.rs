//! What is fuzzed: functions of bytes that must neither panic nor take long, whatever the bytes are.
//!
//! `tests/fuzz` runs them under libFuzzer, which looks for new ways through the code; the test command runs
//! each on its corpus and on a fixed number of damaged copies ([`mutate`]).

mod host;
pub mod mutate;
mod script;

use std::fs;
use std::path::PathBuf;

use crate::paths;

/// Something to fuzz.
pub struct Target {
    /// Its name, that of its folder in `tests/fuzz/corpus` too.
    pub name: &'static str,
    /// Runs it on some bytes.
    pub run: fn(&[u8]),
    /// Good inputs to begin with, besides the corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The largest input worth trying. Bytes.
    pub most: usize,
}

/// All there is to fuzz.
pub const TARGETS: &[Target] = &[
    Target {
        name: "parse",
        run: script::parse,
        seeds: script::texts,
        most: 4096,
    },
    Target {
        name: "compile",
        run: script::compile,
        seeds: script::texts,
        most: 4096,
    },
    Target {
        name: "tokens",
        run: script::tokens,
        seeds: script::token_seeds,
        most: 400,
    },
    Target {
        name: "image",
        run: host::image,
        seeds: host::images,
        most: 1 << 16,
    },
    Target {
        name: "btf",
        run: host::btf,
        seeds: host::btfs,
        most: 1 << 16,
    },
    Target {
        name: "tracepoint",
        run: host::tracepoint,
        seeds: host::tracepoints,
        most: 4096,
    },
    Target {
        name: "elf",
        run: host::elf,
        seeds: host::elfs,
        most: 1 << 16,
    },
    Target {
        name: "text",
        run: host::text,
        seeds: host::texts,
        most: 4096,
    },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// Inputs that were interesting once.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let dir = self.corpus_dir();
        let mut files: Vec<PathBuf> = fs::read_dir(dir)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        files.iter().flat_map(fs::read).collect()
    }

    /// Where they are.
    pub fn corpus_dir(&self) -> PathBuf {
        paths::workspace().join("tests/fuzz/corpus").join(self.name)
    }
}
