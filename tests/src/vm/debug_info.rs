//! Debug information of one kernel of the matrix, for the tests that require it: `vmlinux` out of Debian's `-dbg` package
//! of the very kernel that is booted, and the files of modules that tests name. It is large (345 MB), so it goes into an archive of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernels::{Kernel, Wanted};
use super::modules;
use crate::debian::Suite;
use crate::paths;

/// The kernel whose debug information is fetched.
pub const VERSION: &str = "6.12";

/// The package's files that are kept.
const VMLINUX: &str = "./usr/lib/debug/boot/vmlinux-*";
/// Below this it has those of modules.
const MODULES: &str = "./usr/lib/debug/lib/modules";

/// An initramfs with the debug information of the kernel and of modules alone: the kernel reads it behind another one.
pub fn archive(kernel: &Kernel, modules: &[&str]) -> Result<Vec<u8>> {
    let files = get(kernel, modules)?;
    let mut archive = Archive::default();
    for (file, guest) in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        archive.file(&guest, 0o644, &content);
    }
    Ok(archive.finish())
}

/// The files with debug information and their places in the guest, downloaded if the cache does not have one.
fn get(kernel: &Kernel, modules: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let release = kernel.release();
    let dir = paths::cache().join("debug");
    fs::create_dir_all(&dir)?;
    let lock = fs::File::create(dir.join("lock"))?;
    lock.lock()?;
    let of_modules = dir.join(format!("modules-{release}"));
    let mut files = vec![(
        dir.join(format!("vmlinux-{release}")),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
    )];
    files.extend(modules.iter().map(|name| {
        let guest = format!("/usr/lib/debug/lib/modules/{release}/{name}.ko");
        (of_modules.join(format!("{name}.ko")), guest)
    }));
    if files.iter().any(|(file, _)| !file.exists()) {
        let package = format!("linux-image-{release}-dbg");
        fetch(kernel, &package, &dir, modules)
            .with_context(|| format!("{package} cannot be had"))?;
    }
    Ok(files)
}

fn fetch(kernel: &Kernel, package: &str, dir: &Path, wanted: &[&str]) -> Result<()> {
    let release = kernel.release();
    let suite = Wanted::of(&kernel.version)?.suite;
    eprintln!("fetching {package} from Debian {suite}");
    let suite = Suite::open(suite, &paths::cache().join("apt"))?;
    let unpacked = dir.join("unpacked");
    // Those of older kernels are of no more use.
    for entry in fs::read_dir(dir)?.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        let is_own = name.ends_with(release);
        if name.starts_with("vmlinux-") && !is_own {
            fs::remove_file(path)?;
        } else if name.starts_with("modules-") && !is_own {
            fs::remove_dir_all(path)?;
        }
    }
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked)?;
    // The names of files have `-` or `_`.
    let files = wanted
        .iter()
        .map(|name| format!("{MODULES}/*/{}.ko*", name.replace('_', "?")));
    let patterns: Vec<String> = std::iter::once(VMLINUX.to_owned()).chain(files).collect();
    suite.unpack_some(package, &patterns, &unpacked)?;
    let name = format!("vmlinux-{release}");
    fs::rename(
        unpacked.join("usr/lib/debug/boot").join(&name),
        dir.join(&name),
    )?;
    let of_modules = dir.join(format!("modules-{release}"));
    fs::create_dir_all(&of_modules)?;
    for (name, file) in modules::files(&unpacked.join(MODULES)) {
        fs::rename(file, of_modules.join(format!("{name}.ko")))?;
    }
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}
