//! The initramfs: busybox, the harness as agent, `rtap` and the files under test, with the
//! shared libraries that they need.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use crate::{debian, paths};

/// An initramfs under construction.
#[derive(Debug)]
pub struct Image {
    archive: Archive,
    added: BTreeSet<String>,
}

impl Image {
    /// The base: busybox, the agent, `rtap` if there is one, the helpers that are built and `lines.elf`, in
    /// `/usr/local/bin` (`stap` is a link to `rtap`).
    pub fn base(rtap: Option<&Path>) -> Result<Self> {
        let mut image = Self {
            archive: Archive::default(),
            added: BTreeSet::new(),
        };
        let archive = &mut image.archive;
        for dir in ["/proc", "/sys", "/dev", "/tmp", "/root", "/usr/local/bin"] {
            archive.dir(dir);
        }
        archive.file("/init", 0o755, include_bytes!("init.sh"));
        // The kernel opens it for the first process, before anything is mounted.
        archive.char_device("/dev/console", 5, 1);
        archive.file(
            "/etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        );
        archive.file("/etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
        image.add(&busybox()?, "/bin/busybox")?;
        image.add(&std::env::current_exe()?, "/agent")?;
        if let Some(rtap) = rtap {
            image.add(rtap, "/usr/local/bin/rtap")?;
            image.archive.symlink("/usr/local/bin/stap", "rtap");
        }
        for helper in paths::HELPERS {
            if let Some(path) = paths::helper(helper) {
                image.add(&path, &format!("/usr/local/bin/{helper}"))?;
            }
        }
        let lines = paths::fixture().join("lines.elf");
        image.add(&lines, "/usr/local/bin/lines.elf")?;
        Ok(image)
    }

    /// Adds a file of this machine, or a directory with all in it, under the name `guest`.
    /// What else a program needs to run (its loader and libraries) goes with it.
    pub fn add(&mut self, host: &Path, guest: &str) -> Result<()> {
        if host.is_dir() {
            self.archive.dir(guest);
            let mut entries: Vec<PathBuf> = fs::read_dir(host)?
                .flatten()
                .map(|entry| entry.path())
                .collect();
            entries.sort();
            for entry in entries {
                let name = entry.file_name().unwrap_or_default().to_string_lossy();
                self.add(&entry, &format!("{}/{name}", guest.trim_end_matches('/')))?;
            }
            return Ok(());
        }
        if !self.added.insert(guest.to_owned()) {
            return Ok(());
        }
        let content = fs::read(host).with_context(|| format!("cannot read {}", host.display()))?;
        let mode = fs::metadata(host)?.permissions().mode() & 0o777;
        self.archive.file(guest, mode, &content);
        if content.starts_with(b"\x7fELF") {
            for library in libraries(host) {
                self.add(Path::new(&library), &library)?;
            }
        }
        Ok(())
    }

    /// Adds a file with this content.
    pub fn add_text(&mut self, guest: &str, content: &str) {
        self.archive.file(guest, 0o644, content.as_bytes());
    }

    /// The finished archive.
    pub fn finish(self) -> Vec<u8> {
        self.archive.finish()
    }
}

fn busybox() -> Result<PathBuf> {
    let found = || {
        ["/bin/busybox", "/usr/bin/busybox"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.exists())
    };
    if found().is_none() {
        debian::install(&["busybox-static"])?;
    }
    found().context("busybox-static has no busybox")
}

/// The loader and libraries of a program, as `ldd` lists them; none for a static one.
fn libraries(program: &Path) -> Vec<String> {
    let Ok(output) = Command::new("ldd").arg(program).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect()
}
