//! Finding and reading programs and libraries.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use object::read::ReadCache;
use rtap_compiler::dwarf::{DebugInfo, DwarfError};
use rtap_compiler::glob::{glob, is_pattern};
use rtap_compiler::target::{Arch, Binary, BinaryError, FileId, Unavailable};

use super::file::{open_regular, reason};

/// Where shells look when `$PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where debug files are installed.
pub(super) const DEBUG_ROOT: &str = "/usr/lib/debug";
/// Where the dynamic loader looks.
const LIBRARY_PATH: &str = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:\
                            /usr/local/lib:/lib:/usr/lib";

/// Reads a program or library. A name without `/` is sought in `$PATH`, or, when it is
/// that of a library (`libc.so.6`), where the dynamic loader would.
pub(super) fn read(path: &str, arch: Arch) -> Result<Binary, BinaryError> {
    let path = resolve(path)?;
    let file = open(&path)?;
    let id = file.metadata().map_or(FileId::default(), |file| FileId {
        inode: file.ino(),
        bytes: file.size(),
    });
    let mut binary = Binary::parse(&path, &ReadCache::new(file), arch)?;
    binary.file = id;
    if binary.is_stripped() {
        let debug = debug_files(&binary);
        debug.iter().any(|path| {
            let file = open_regular(path).ok();
            file.is_some_and(|file| binary.add_debug_file(&ReadCache::new(file), arch))
        });
    }
    Ok(binary)
}

/// Reads the debug information of a program: its own, else that of its debug file.
pub(super) fn debug_info(binary: &Binary, arch: Arch) -> Result<DebugInfo, Unavailable> {
    let files = std::iter::once(PathBuf::from(&binary.path)).chain(debug_files(binary));
    for path in files {
        let Ok(file) = open_regular(&path) else {
            continue;
        };
        let data = ReadCache::new(file);
        // Whatever has become of the path: it must be the program that was read.
        if !binary.is_of_build(&data, arch) {
            continue;
        }
        match DebugInfo::parse(&data) {
            Err(DwarfError::None) => {}
            Ok(info) => return Ok(info),
            Err(error) => {
                return Err(Unavailable::BadDebugInfo {
                    path: path.to_string_lossy().into_owned(),
                    error,
                });
            }
        }
    }
    Err(Unavailable::NoDebugInfo {
        path: binary.path.clone(),
    })
}

/// The debug information of the program or library of a path, if there is any that can be read.
pub fn debug_info_of(path: &str) -> Option<DebugInfo> {
    let arch = super::machine::arch(std::env::consts::ARCH);
    debug_info(&read(path, arch).ok()?, arch).ok()
}

/// Where the debug file of a stripped program may be: by build id, then by the name in the program.
fn debug_files(binary: &Binary) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    paths.extend(binary.build_id.as_deref().and_then(debug_file_of));
    let directory = Path::new(&binary.path).parent();
    // A name, not a path: the file may be anybody's.
    let name = binary.debug_link.as_deref();
    let name = name.filter(|name| !name.contains('/'));
    if let (Some(name), Some(directory)) = (name, directory) {
        paths.push(directory.join(name));
        paths.push(directory.join(".debug").join(name));
        let below_root = directory.strip_prefix("/").unwrap_or(directory);
        paths.push(Path::new(DEBUG_ROOT).join(below_root).join(name));
    }
    paths.retain(|path| path != Path::new(&binary.path));
    paths
}

/// Where the debug file of a build is.
pub(super) fn debug_file_of(build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first()?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("{DEBUG_ROOT}/.build-id/{first:02x}/{rest}.debug");
    Some(PathBuf::from(path))
}

/// The files whose paths are like a pattern, sorted; each inode once. A pattern without `/` is for the
/// directories of `$PATH`.
pub(super) fn like(pattern: &str) -> Vec<String> {
    let mut found = Vec::new();
    if pattern.contains('/') {
        let absolute = std::path::absolute(pattern).unwrap_or_else(|_| PathBuf::from(pattern));
        let absolute = absolute.to_string_lossy();
        let names: Vec<&str> = absolute
            .split('/')
            .filter(|name| !name.is_empty())
            .collect();
        descend(Path::new("/"), &names, &mut found);
    } else {
        let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
        for directory in path.split(':').filter(|path| path.starts_with('/')) {
            descend(Path::new(directory), &[pattern], &mut found);
        }
    }
    found.sort();
    let mut seen = HashSet::new();
    found.retain(|path| fs::metadata(path).is_ok_and(|file| seen.insert((file.dev(), file.ino()))));
    found
}

/// Adds the files below `directory` whose names match, one pattern for each level.
fn descend(directory: &Path, patterns: &[&str], found: &mut Vec<String>) {
    let Some((first, rest)) = patterns.split_first() else {
        return;
    };
    let mut next = |path: PathBuf| match fs::metadata(&path) {
        Ok(file) if file.is_dir() => descend(&path, rest, found),
        Ok(file) if file.is_file() && rest.is_empty() => {
            found.extend(path.to_str().map(str::to_owned));
        }
        _ => {}
    };
    if !is_pattern(first) {
        return next(directory.join(first));
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| glob(first, name)) {
            next(entry.path());
        }
    }
}

/// The absolute path of a program or library, see [`read`].
pub fn resolve(path: &str) -> Result<String, BinaryError> {
    if path.contains('/') {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let absolute = of_process(&absolute).unwrap_or(absolute);
        return Ok(absolute.to_string_lossy().into_owned());
    }
    let in_path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let found = find(path, &in_path, true).or_else(|| {
        let is_library = path.starts_with("lib") && path.contains(".so");
        let configured = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        is_library
            .then(|| find(path, &configured, false).or_else(|| find(path, LIBRARY_PATH, false)))
            .flatten()
    });
    found.ok_or_else(|| BinaryError::NotInPath {
        name: path.to_owned(),
    })
}

/// The file of `/proc/PID/exe` by a path of its own, seen from here: containers have theirs below
/// `/proc/PID/root`. `None` if it has none (any more).
fn of_process(link: &Path) -> Option<PathBuf> {
    let process = link.strip_prefix("/proc").ok()?.parent()?;
    if !link.ends_with("exe") || process.components().count() != 1 {
        return None;
    }
    let wanted = fs::metadata(link).ok()?;
    let named = fs::read_link(link).ok()?;
    let root = Path::new("/proc").join(process).join("root");
    let inside = root.join(named.strip_prefix("/").ok()?);
    [named, inside].into_iter().find(|path| {
        fs::metadata(path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino()))
    })
}

fn find(name: &str, directories: &str, executable: bool) -> Option<String> {
    directories
        .split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| Path::new(directory).join(name))
        .find(|path| {
            fs::metadata(path).is_ok_and(|file| {
                file.is_file() && (!executable || file.permissions().mode() & 0o111 != 0)
            })
        })
        .map(|path| path.to_string_lossy().into_owned())
}

fn open(path: &str) -> Result<File, BinaryError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => BinaryError::NotFound {
            path: path.to_owned(),
        },
        io::ErrorKind::PermissionDenied => BinaryError::Permission {
            path: path.to_owned(),
        },
        io::ErrorKind::InvalidInput => BinaryError::NotElf {
            path: path.to_owned(),
        },
        _ => BinaryError::Io {
            path: path.to_owned(),
            reason: reason(&error),
        },
    };
    open_regular(Path::new(path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_program() {
        let path = std::env::current_exe().unwrap();
        let binary = read(path.to_str().unwrap(), Arch::X86_64).unwrap();
        assert!(binary.is_program && binary.position_independent);
        assert!(binary.needed.iter().any(|name| name.starts_with("libc.so")));
        let [main] = binary.function("main") else {
            panic!("one main")
        };
        assert_eq!(binary.file_offset(main.address), Some(main.offset));
        assert_eq!(binary.address_of(main.offset), Some(main.address));
        assert_eq!(
            binary.function_at(main.address).map(|f| &*f.name),
            Some("main")
        );
    }

    #[test]
    fn finds_programs_and_libraries() {
        let shells = like("/*/[bs]*sh");
        assert!(shells.iter().any(|path| path.ends_with("sh")), "{shells:?}");
        assert!(like("b?sh").len() <= 1, "each file once");
        assert!(like("/no/such*/x").is_empty());
        let own = resolve(&format!("/proc/{}/exe", std::process::id())).unwrap();
        assert_eq!(Path::new(&own), std::env::current_exe().unwrap());
        assert!(resolve("sh").unwrap().ends_with("/sh"));
        let libc = read("libc.so.6", Arch::X86_64).unwrap();
        assert!(!libc.function("malloc").is_empty());
        assert_eq!(libc.soname.as_deref(), Some("libc.so.6"));
        assert!(libc.build_id.is_some());
    }

    /// Headers of debug files speak of what was left in the program.
    #[test]
    fn knows_debug_files_by_their_build() {
        let libc = read("libc.so.6", Arch::X86_64).unwrap();
        let mut debug = fs::read(&libc.path).unwrap();
        let interpreter = debug[64..]
            .chunks_exact_mut(56)
            .find(|header| header[0] == 3);
        interpreter.unwrap()[32..40].fill(0);
        assert!(Binary::parse("debug", debug.as_slice(), Arch::X86_64).is_err());
        assert!(libc.is_of_build(debug.as_slice(), Arch::X86_64));
        let shell = read("sh", Arch::X86_64).unwrap();
        assert!(!shell.is_of_build(debug.as_slice(), Arch::X86_64));
    }

    /// Damaged files give an error or what is good in them, never a panic.
    #[test]
    fn no_file_panics() {
        let whole = fs::read(resolve("sh").unwrap()).unwrap();
        let parse = |bytes: &[u8]| {
            let _ = Binary::parse("damaged", bytes, Arch::X86_64);
        };
        for cut in (0..whole.len()).step_by(whole.len() / 200) {
            parse(&whole[..cut]);
        }
        // A generator of numbers that is the same each time.
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for round in 0..2000 {
            let mut bytes = whole.clone();
            // Headers first: there a byte does the most.
            let within = if round % 2 == 0 { 1024 } else { bytes.len() };
            for _ in 0..=random(8) {
                let at = random(within);
                bytes[at] = [0, 0xff, random(256) as u8][random(3)];
            }
            parse(&bytes);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |path: &str| read(path, Arch::X86_64).unwrap_err().to_string();
        assert_eq!(
            error("no-such-program-x"),
            "no program 'no-such-program-x' in $PATH"
        );
        assert_eq!(error("/nope/x"), "/nope/x does not exist");
        assert_eq!(
            error("/etc/passwd"),
            "/etc/passwd is not an ELF program or library"
        );
        assert_eq!(error("/"), "/ is not an ELF program or library");
        assert_eq!(
            error("/dev/zero"),
            "/dev/zero is not an ELF program or library"
        );
        assert_eq!(error(""), "no program '' in $PATH");
    }
}
