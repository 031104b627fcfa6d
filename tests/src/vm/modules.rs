//! Modules of a kernel of the matrix, for the tests that require one: out of Debian's package of the very kernel that is
//! booted, each with the modules that it needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cpio::Archive;
use super::kernels::{Kernel, Wanted};
use crate::debian::{self, Suite};
use crate::paths;

/// Below this the packages have a kernel's modules, some in `/usr`.
const MODULES: &str = "./*lib/modules/*";

/// What a module's section `.modinfo` has before the names of the modules that it needs.
const NEEDS: &[u8] = b"\0depends=";

/// An initramfs with these modules and those they need alone, uncompressed, as `modprobe` wants them: the kernel reads it
/// behind another one.
pub fn archive(kernel: &Kernel, names: &[&str]) -> Result<Vec<u8>> {
    let files = files(&get(kernel)?);
    let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut archive = Archive::default();
    let folder = format!("/lib/modules/{}", kernel.release());
    while let Some(name) = wanted.pop() {
        if needs.contains_key(&name) {
            continue;
        }
        let file = files
            .get(&name)
            .with_context(|| format!("{} has no module {name}", kernel.package))?;
        let content = read(file)?;
        archive.file(&format!("{folder}/{name}.ko"), 0o644, &content);
        let needed = needed(&content);
        wanted.extend_from_slice(&needed);
        needs.insert(name, needed);
    }
    archive.file(
        &format!("{folder}/modules.dep"),
        0o644,
        dependencies(&needs).as_bytes(),
    );
    Ok(archive.finish())
}

/// The folder of the kernel's modules, downloaded if the cache does not have them.
fn get(kernel: &Kernel) -> Result<PathBuf> {
    let cache = paths::cache().join("modules");
    let dir = cache.join(&kernel.version);
    fs::create_dir_all(&dir)?;
    let lock = fs::File::create(dir.join("lock"))?;
    lock.lock()?;
    let modules = dir.join(kernel.release());
    if !modules.exists() {
        fetch(kernel, &dir, &modules)
            .with_context(|| format!("modules of {} cannot be had", kernel.package))?;
    }
    Ok(modules)
}

fn fetch(kernel: &Kernel, dir: &Path, modules: &Path) -> Result<()> {
    let wanted = Wanted::of(&kernel.version)?;
    eprintln!(
        "fetching modules of {} from Debian {}",
        kernel.package, wanted.suite
    );
    let suite = Suite::open(wanted.suite, &paths::cache().join("apt"))?;
    // Newer suites have a package of modules alone.
    let alone = format!("linux-modules-{}", kernel.release());
    let package = if suite.versions(&alone).is_empty() {
        &kernel.package
    } else {
        &alone
    };
    // Those of older kernels are of no more use.
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let unpacked = dir.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    suite.unpack_some(package, &[MODULES], &unpacked)?;
    let found = ["lib/modules", "usr/lib/modules"].map(|place| unpacked.join(place));
    let found = found.iter().map(|place| place.join(kernel.release()));
    let found = found.into_iter().find(|place| place.is_dir());
    fs::rename(found.context("the package has no modules")?, modules)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}

/// The files below a folder of modules by the modules' names, in which `-` is `_`.
pub(super) fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if let Some((stem, "" | ".xz" | ".debug")) = name.split_once(".ko") {
                found.insert(stem.replace('-', "_"), path);
            }
        }
    }
    found
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let decompress = || Command::new("xz").arg("-dc").arg(file).output();
    let output = decompress().or_else(|_| {
        debian::install(&["xz-utils"])?;
        decompress().context("cannot start xz")
    })?;
    ensure!(
        output.status.success(),
        "{} is damaged: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The names of the modules that a module needs.
fn needed(content: &[u8]) -> Vec<String> {
    let at = content
        .windows(NEEDS.len())
        .position(|window| window == NEEDS);
    let rest = at.and_then(|at| content.get(at + NEEDS.len()..));
    let end = |rest: &&[u8]| rest.iter().position(|&byte| byte == 0);
    let list = rest.and_then(|rest| rest.get(..end(&rest)?));
    String::from_utf8_lossy(list.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `modules.dep`: behind each module all that it needs, what is to be loaded first last.
fn dependencies(needs: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::new();
    for (name, needed) in needs {
        let mut all: Vec<&String> = Vec::new();
        let mut next: Vec<&String> = needed.iter().collect();
        while let Some(other) = next.pop() {
            // Again, and later, if another one needs it too.
            all.retain(|known| *known != other);
            all.push(other);
            next.extend(needs.get(other).into_iter().flatten());
        }
        let all = all.iter().map(|other| format!(" {other}.ko"));
        text += &format!("{name}.ko:{}\n", all.collect::<String>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modules_need() {
        let content = b"\x7fELF\0license=GPL\0depends=b,c\0retpoline=Y\0";
        assert_eq!(needed(content), ["b", "c"]);
        assert_eq!(needed(b"\0depends=\0name=x\0"), [""; 0]);
        assert_eq!(needed(b""), [""; 0]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let needs = [
            ("a", names(&["c", "b"])),
            ("b", names(&["c"])),
            ("c", names(&[])),
        ];
        let needs = needs.map(|(name, needed)| (name.to_owned(), needed));
        let text = dependencies(&needs.into());
        assert_eq!(text, "a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n");
    }
}
