//! Finding vmlinux and modules with debug information: where packages install them, by build id first.
//!
//! A file counts only if it is of the running build. Nothing is fetched, unless `$DEBUGINFOD_URLS` is set and
//! `debuginfod-find` installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use object::ReadCache;
use rtap_compiler::dwarf::{DwarfError, SharedFile};
use rtap_compiler::target::{BuildId, Fetch, KernelObject, KernelRelease, OtherBuild, Unavailable};

use super::binaries::{DEBUG_ROOT, debug_file_of};
use super::file::{KernelFile, open_regular};
use super::machine;
use crate::cli::Status;

/// Reads the debug information of the running kernel or of a loaded module.
pub(super) fn read(
    kernel: &KernelRelease,
    module: Option<&str>,
    fetch: Fetch,
) -> Result<KernelObject, Unavailable> {
    let of = match module {
        None => format!("the running kernel, {kernel}"),
        Some(module) => format!("module {module} of {kernel}"),
    };
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let package = package_of(&os_release, kernel);
    let Some(running) = machine::build_id(module) else {
        return Err(Unavailable::NoKernelDebugInfo { of, package });
    };
    let mut files = Vec::from_iter(debug_file_of(&running.0));
    match module {
        None => files.extend(vmlinux(kernel)),
        Some(module) => files.extend(of_module(kernel, module)),
    }
    let mut of_another_build = None;
    let mut take = |path: &Path| {
        let found = look_at(path, &running);
        match found {
            Ok(object) => return object.map(Ok),
            Err(NotTaken::Damaged(error)) => {
                return Some(Err(Unavailable::BadDebugInfo {
                    path: path.to_string_lossy().into_owned(),
                    error,
                }));
            }
            Err(NotTaken::OtherBuild(found)) => {
                of_another_build.get_or_insert((path.to_path_buf(), found));
            }
        }
        None
    };
    if let Some(found) = files.iter().find_map(|path| take(path)) {
        return found;
    }
    if fetch == Fetch::Yes
        && let Some(found) = ask_servers(&running, &of).and_then(|path| take(&path))
    {
        return found;
    }
    Err(match of_another_build {
        Some((path, found)) => Unavailable::OtherBuild(Box::new(OtherBuild {
            path: path.to_string_lossy().into_owned(),
            found,
            of,
            running,
            package,
        })),
        None => Unavailable::NoKernelDebugInfo { of, package },
    })
}

/// The debug information of the running kernel or of a loaded module, if there is any that can be read.
pub fn of_running(module: Option<&str>) -> Option<KernelObject> {
    let (kernel, _) = machine::uname();
    read(&kernel, module, Fetch::No).ok()
}

/// Why a file that is there is not the one.
enum NotTaken {
    OtherBuild(Option<BuildId>),
    Damaged(DwarfError),
}

/// `None` for a file that is not there or has no debug information.
fn look_at(path: &Path, running: &BuildId) -> Result<Option<KernelObject>, NotTaken> {
    let Ok(file) = open_regular(path) else {
        return Ok(None);
    };
    // Before it is all read: it may be a gigabyte, and of another kernel.
    let found = BuildId::of_file(&ReadCache::new(&file));
    if found.as_ref() != Some(running) {
        return Err(NotTaken::OtherBuild(found));
    }
    let Ok(file) = KernelFile::installed(file) else {
        return Ok(None);
    };
    let file: SharedFile = Arc::new(file);
    match KernelObject::parse(&path.to_string_lossy(), &file) {
        Ok(object) => Ok(Some(object)),
        Err(DwarfError::None) => Ok(None),
        Err(error) => Err(NotTaken::Damaged(error)),
    }
}

fn vmlinux(kernel: &KernelRelease) -> Vec<PathBuf> {
    [
        format!("{DEBUG_ROOT}/boot/vmlinux-{kernel}"),
        format!("{DEBUG_ROOT}/lib/modules/{kernel}/vmlinux"),
        format!("{DEBUG_ROOT}/usr/lib/modules/{kernel}/vmlinux"),
        format!("/lib/modules/{kernel}/vmlinux"),
        format!("/lib/modules/{kernel}/build/vmlinux"),
        format!("/boot/vmlinux-{kernel}"),
    ]
    .map(PathBuf::from)
    .into()
}

/// The files of a module: they are some directories down.
fn of_module(kernel: &KernelRelease, module: &str) -> Vec<PathBuf> {
    let roots = [
        format!("{DEBUG_ROOT}/lib/modules/{kernel}"),
        format!("{DEBUG_ROOT}/usr/lib/modules/{kernel}"),
        format!("/lib/modules/{kernel}"),
    ];
    let mut found = Vec::new();
    for root in roots {
        below(Path::new(&root), module, DEEPEST, &mut found);
    }
    found
}

/// Modules are no more directories down than this.
const DEEPEST: u32 = 12;

fn below(directory: &Path, module: &str, depth: u32, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let stem = name.to_str().and_then(module_name);
        // Not through links: they may lead anywhere.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && depth > 0 {
            below(&entry.path(), module, depth - 1, found);
        } else if stem.is_some_and(|stem| stem == module) {
            found.push(entry.path());
        }
    }
}

/// The module in a file of that name: `snd-hda.ko`, `snd-hda.ko.debug` → `snd_hda`.
fn module_name(file: &str) -> Option<String> {
    let stem = file
        .strip_suffix(".debug")
        .unwrap_or(file)
        .strip_suffix(".ko")?;
    Some(stem.replace('-', "_"))
}

/// Asks the servers that the user has named, and says so: it can take long.
fn ask_servers(id: &BuildId, of: &str) -> Option<PathBuf> {
    std::env::var_os("DEBUGINFOD_URLS").filter(|urls| !urls.is_empty())?;
    let mut command = Command::new("debuginfod-find");
    command.args(["debuginfo", &id.to_string()]);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    command.stdout(Stdio::piped());
    let asked = command.spawn().ok()?;
    Status::say(&format!(
        "rtap: asking $DEBUGINFOD_URLS for debug information of {of}"
    ));
    let found = asked.wait_with_output().ok()?;
    let path = String::from_utf8(found.stdout).ok()?;
    found
        .status
        .success()
        .then(|| PathBuf::from(path.trim_end()))
}

/// The package of a distribution that has the kernel's debug information, by what /etc/os-release says.
fn package_of(os_release: &str, kernel: &KernelRelease) -> Option<String> {
    let value = |key: &str| {
        let mut lines = os_release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value
            .unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    let (id, like) = (value("ID"), value("ID_LIKE"));
    std::iter::once(id.as_str())
        .chain(like.split(' '))
        .find_map(|id| match id {
            "ubuntu" => Some(format!("linux-image-{kernel}-dbgsym")),
            "debian" => Some(format!("linux-image-{kernel}-dbg")),
            "fedora" | "rhel" | "centos" => Some(format!("kernel-debuginfo-{kernel}")),
            "suse" | "opensuse" => Some("kernel-default-debuginfo".to_owned()),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_by_distribution() {
        let kernel = KernelRelease::parse("6.12.1-amd64");
        let of = |text: &str| package_of(text, &kernel);
        let debian = of("NAME=\"Debian\"\nID=debian\n");
        assert_eq!(debian.as_deref(), Some("linux-image-6.12.1-amd64-dbg"));
        let ubuntu = of("ID=ubuntu\nID_LIKE=debian\n");
        assert_eq!(ubuntu.as_deref(), Some("linux-image-6.12.1-amd64-dbgsym"));
        let like_fedora = of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
        assert_eq!(
            like_fedora.as_deref(),
            Some("kernel-debuginfo-6.12.1-amd64")
        );
        assert_eq!(of("ID=arch\n"), None);
    }

    #[test]
    fn modules_by_their_files() {
        assert_eq!(module_name("snd-hda.ko").as_deref(), Some("snd_hda"));
        assert_eq!(module_name("loop.ko.debug").as_deref(), Some("loop"));
        assert_eq!(module_name("modules.dep"), None);
    }

    /// What is there but of another build is not taken.
    #[test]
    fn builds_must_be_the_same() {
        let own = std::env::current_exe().unwrap();
        let other = BuildId(vec![1, 2, 3]);
        let refused = look_at(&own, &other);
        assert!(
            matches!(refused, Err(NotTaken::OtherBuild(found)) if found.as_ref().is_some_and(|found| *found != other))
        );
        assert!(matches!(look_at(Path::new("/no/such"), &other), Ok(None)));
    }
}
