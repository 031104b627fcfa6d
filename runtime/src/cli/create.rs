//! Making the files that rtap writes: `-o`'s, and images.
//!
//! rtap runs as root, and where everybody may make files somebody else may have put one of that name there, or
//! a link to one of root's: those are refused, as Linux does itself where `fs.protected_symlinks` and
//! `fs.protected_regular` are set. (They are not everywhere.)

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What files of others are refused with.
const NOT_OURS: &str = "another user has put it there";

/// Makes a file, or empties the one that is there.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let shared = parent_is_shared(path);
    let refused = || Err(io::Error::new(io::ErrorKind::PermissionDenied, NOT_OURS));
    let there = fs::symlink_metadata(path);
    if shared && there.as_ref().is_ok_and(|found| !is_trusted(found)) {
        return refused();
    }
    // Where there was no link of ours, none is followed that somebody has put there since.
    let follow = !shared || there.is_ok_and(|found| found.is_symlink());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(if follow { 0 } else { libc::O_NOFOLLOW })
        .open(path)?;
    let found = file.metadata()?;
    // Somebody may have been quicker, or it is another name of a file of ours.
    if shared && found.is_file() && (!is_trusted(&found) || found.nlink() > 1) {
        return refused();
    }
    if found.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Whether a file is ours or root's.
fn is_trusted(file: &fs::Metadata) -> bool {
    // SAFETY: geteuid always succeeds.
    let user = unsafe { libc::geteuid() };
    file.uid() == user || file.uid() == 0
}

/// Whether everybody can make files in the directory of a path.
fn parent_is_shared(path: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::metadata(parent.unwrap_or(Path::new(".")));
    directory.is_ok_and(|found| found.mode() & OTHERS_WRITE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    /// A directory as /tmp is.
    fn shared() -> std::path::PathBuf {
        let name = format!(
            "rtap-create-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).expect("a directory can be made");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).expect("it is ours");
        dir
    }

    #[test]
    fn files_are_made_and_emptied() {
        let dir = shared();
        let file = dir.join("file");
        for text in ["longer", "short"] {
            let made = create(&file).and_then(|mut file| file.write_all(text.as_bytes()));
            made.expect("the file can be written");
            assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
        }
        let link = dir.join("link");
        symlink(&file, &link).expect("a link can be made");
        create(&link).expect("our own link is followed");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "");
        fs::remove_dir_all(dir).expect("the directory is ours");
    }

    #[test]
    fn what_others_planted_is_refused() {
        const NOBODY: Option<u32> = Some(65534);
        let dir = shared();
        let (target, link, file) = (dir.join("target"), dir.join("link"), dir.join("file"));
        fs::write(&target, "precious").expect("a file can be made");
        fs::write(&file, "planted").expect("a file can be made");
        symlink(&target, &link).expect("a link can be made");
        // Only root can give files away.
        if lchown(&link, NOBODY, None).is_ok() && chown(&file, NOBODY, None).is_ok() {
            for path in [&link, &file] {
                let error = create(path).expect_err("it is another user's");
                assert_eq!(error.to_string(), NOT_OURS);
            }
        }
        assert_eq!(
            fs::read_to_string(&target).expect("it is there"),
            "precious"
        );
        fs::remove_dir_all(dir).expect("the directory is ours");
    }
}
