//! The kernels of the matrix: which there are, and getting them.
//!
//! Each is the newest "cloud" kernel of a Debian suite: BTF, kprobes, fentry, uprobes and
//! the tracepoints built in, few drivers. A kernel once unpacked stays in the cache.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::debian::{Suite, version_key};
use crate::paths;

/// One column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The kernel's version, `6.1`.
    pub version: &'static str,
    /// The Debian suite that has it.
    pub suite: &'static str,
}

/// The matrix, oldest first.
pub const MATRIX: [Wanted; 4] = [
    Wanted {
        version: "5.10",
        suite: "bullseye",
    },
    Wanted {
        version: "6.1",
        suite: "bookworm",
    },
    Wanted {
        version: "6.12",
        suite: "trixie",
    },
    Wanted {
        version: "7.2",
        suite: "sid",
    },
];

impl Wanted {
    /// The column of a version.
    pub fn of(version: &str) -> Result<&'static Self> {
        let known = || MATRIX.map(|wanted| wanted.version).join(", ");
        let wanted = MATRIX.iter().find(|wanted| wanted.version == version);
        wanted.with_context(|| format!("there is no kernel {version} in the matrix ({})", known()))
    }
}

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The version asked for, `6.1`.
    pub version: String,
    /// The compressed image.
    pub vmlinuz: PathBuf,
    /// The Debian package it came in.
    pub package: String,
}

impl Kernel {
    /// `uname -r`, as its package's name has it.
    pub fn release(&self) -> &str {
        let after = |name| str::split_once(name, '-').unwrap_or_default().1;
        after(after(&self.package))
    }
}

/// The matrix' kernel `version`, downloaded if the cache does not have it. `refresh` looks
/// for a newer one even if it does.
pub fn get(version: &str, refresh: bool) -> Result<Kernel> {
    let wanted = Wanted::of(version)?;
    let dir = paths::cache().join("kernels").join(version);
    fs::create_dir_all(&dir)?;
    // Test runs may start at the same time; one of them downloads.
    let lock = fs::File::create(dir.join("lock"))?;
    lock.lock()?;
    match cached(&dir, wanted) {
        Some(kernel) if !refresh => Ok(kernel),
        old => match fetch(&dir, wanted) {
            Ok(kernel) => Ok(kernel),
            Err(error) => old.with_context(|| format!("kernel {version} cannot be had: {error:#}")),
        },
    }
}

fn cached(dir: &Path, wanted: &Wanted) -> Option<Kernel> {
    let package = fs::read_to_string(dir.join("package")).ok()?;
    let vmlinuz = dir.join("vmlinuz");
    vmlinuz.exists().then(|| Kernel {
        version: wanted.version.to_owned(),
        vmlinuz,
        package,
    })
}

fn fetch(dir: &Path, wanted: &Wanted) -> Result<Kernel> {
    eprintln!(
        "fetching kernel {} from Debian {}",
        wanted.version, wanted.suite
    );
    let suite = Suite::open(wanted.suite, &paths::cache().join("apt"))?;
    let mut failures = Vec::new();
    for package in candidates(&suite, wanted).into_iter().take(4) {
        let unpacked = dir.join("unpacked");
        let _ = fs::remove_dir_all(&unpacked);
        fs::create_dir_all(&unpacked)?;
        match suite
            .unpack(&[&package], &unpacked)
            .and_then(|()| take_image(&unpacked, dir))
        {
            Ok(()) => {
                fs::remove_dir_all(&unpacked)?;
                fs::write(dir.join("package"), &package)?;
                return cached(dir, wanted).context("the cache lost what was just written to it");
            }
            Err(error) => failures.push(format!("{package}: {error:#}")),
        }
    }
    if failures.is_empty() {
        bail!("Debian {} has no cloud kernel", wanted.suite);
    }
    bail!("{}", failures.join("; "))
}

/// The suite's kernel packages, best first: of the wanted version if there is one, else the
/// newest. In newer suites `linux-image-*` only depends on `linux-binary-*`, which has the image.
fn candidates(suite: &Suite, wanted: &Wanted) -> Vec<String> {
    let mut found: Vec<(bool, Vec<u64>, bool, String)> = Vec::new();
    for prefix in ["linux-binary-", "linux-image-"] {
        for name in suite.names(prefix) {
            let release = name
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_suffix("-cloud-amd64"));
            let Some(release) =
                release.filter(|release| release.starts_with(|c: char| c.is_ascii_digit()))
            else {
                continue;
            };
            let numbers = version_key(release);
            let matches = numbers.starts_with(&version_key(wanted.version));
            found.push((matches, numbers, prefix == "linux-binary-", name));
        }
    }
    found.sort_by_cached_key(|candidate| Reverse(candidate.clone()));
    found.into_iter().map(|(_, _, _, name)| name).collect()
}

/// Moves the image (and the configuration, if it is there) out of an unpacked package.
fn take_image(unpacked: &Path, dir: &Path) -> Result<()> {
    let modules = unpacked.join("usr/lib/modules");
    let mut folders = vec![unpacked.join("boot"), modules.clone()];
    folders.extend(
        fs::read_dir(&modules)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    let mut found = false;
    for file in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("vmlinuz") {
            fs::rename(file.path(), dir.join("vmlinuz"))?;
            found = true;
        } else if name.starts_with("config") {
            fs::rename(file.path(), dir.join("config"))?;
        }
    }
    if !found {
        bail!("the package has no kernel image");
    }
    Ok(())
}
