//! Debug information of one kernel of the matrix, for the tests that require it: `vmlinux` out of Debian's `-dbg` package
//! of the very kernel that is booted. It is large (345 MB), so it goes into an archive of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernels::{Kernel, Wanted};
use crate::debian::Suite;
use crate::paths;

/// The kernel whose debug information is fetched.
pub const VERSION: &str = "6.12";

/// The package's files that are kept.
const VMLINUX: &str = "./usr/lib/debug/boot/vmlinux-*";

/// An initramfs with the kernel's debug information alone: the kernel reads it behind another one.
pub fn archive(kernel: &Kernel) -> Result<Vec<u8>> {
    let vmlinux = get(kernel)?;
    let content =
        fs::read(&vmlinux).with_context(|| format!("cannot read {}", vmlinux.display()))?;
    let mut archive = Archive::default();
    let guest = Path::new("/usr/lib/debug/boot").join(vmlinux.file_name().unwrap_or_default());
    archive.file(&guest.to_string_lossy(), 0o644, &content);
    Ok(archive.finish())
}

/// The kernel's `vmlinux` with debug information, downloaded if the cache does not have it.
fn get(kernel: &Kernel) -> Result<PathBuf> {
    let release = kernel.release();
    let dir = paths::cache().join("debug");
    fs::create_dir_all(&dir)?;
    let lock = fs::File::create(dir.join("lock"))?;
    lock.lock()?;
    let vmlinux = dir.join(format!("vmlinux-{release}"));
    if !vmlinux.exists() {
        let package = format!("linux-image-{release}-dbg");
        fetch(kernel, &package, &dir, &vmlinux)
            .with_context(|| format!("{package} cannot be had"))?;
    }
    Ok(vmlinux)
}

fn fetch(kernel: &Kernel, package: &str, dir: &Path, vmlinux: &Path) -> Result<()> {
    let wanted = Wanted::of(&kernel.version)?;
    eprintln!("fetching {package} from Debian {}", wanted.suite);
    let suite = Suite::open(wanted.suite, &paths::cache().join("apt"))?;
    let unpacked = dir.join("unpacked");
    // Those of older kernels are of no more use.
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("vmlinux-") {
            fs::remove_file(entry.path())?;
        }
    }
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked)?;
    suite.unpack_some(package, VMLINUX, &unpacked)?;
    let name = vmlinux.file_name().unwrap_or_default();
    fs::rename(unpacked.join("usr/lib/debug/boot").join(name), vmlinux)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}
