//! Reading the kernel's files: failures as [`Unavailable`], and mappings.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rtap_compiler::target::Unavailable;

/// Reads a whole text file. Bytes that are not UTF-8 are replaced.
pub(super) fn read_text(path: &str) -> Result<String, Unavailable> {
    let bytes = fs::read(path).map_err(|error| unavailable(path, &error))?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// A failure to read a file, in the compiler's terms.
pub(super) fn unavailable(path: &str, error: &io::Error) -> Unavailable {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Unavailable::Permission {
            path: path.to_owned(),
        },
        _ => Unavailable::Io {
            path: path.to_owned(),
            reason: reason(error),
        },
    }
}

/// A failure without Rust's "(os error 2)".
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Opens a file that others may have put there: of a fifo or a device, which would be waited for or never end, nothing
/// is read.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    // Opening a fifo must not wait for its writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// The same for the file with an inode's number, if it is known (not 0): another may have taken its name. On overlays, where
/// containers are, the number in a process's maps can be that of the layer below.
pub fn open_inode(path: &Path, inode: u64) -> io::Result<File> {
    let file = open_regular(path)?;
    if inode == 0 || file.metadata()?.ino() == inode || is_on_overlay(&file) {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn is_on_overlay(file: &File) -> bool {
    const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open, and there is room for the result.
    let failed = unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) } != 0;
    // SAFETY: the call has filled it in.
    !failed && unsafe { stat.assume_init() }.f_type == OVERLAYFS_SUPER_MAGIC
}

/// Whether a file of that name exists.
pub(super) fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// A file of the kernel's in memory, without a copy where the kernel allows to map it.
pub(super) enum KernelFile {
    /// Mapped: its address and length.
    Mapped(*const u8, usize),
    /// Read.
    Read(Vec<u8>),
}

// SAFETY: the mapping is read-only and its contents never change.
unsafe impl Send for KernelFile {}
// SAFETY: as above.
unsafe impl Sync for KernelFile {}

impl KernelFile {
    /// Opens a file in sysfs whose contents never change, such as BTF (which can be
    /// mapped since Linux 6.16).
    pub(super) fn open_unchanging(path: &str) -> io::Result<Self> {
        match Self::map(&File::open(path)?) {
            Some(mapped) => Ok(mapped),
            None => fs::read(path).map(Self::Read),
        }
    }

    /// A file that a package may have installed: packages replace files as a whole. One that others than root could
    /// change meanwhile is read.
    pub(super) fn installed(mut file: File) -> io::Result<Self> {
        let owner = file.metadata()?;
        let is_roots = owner.uid() == 0 && owner.mode() & 0o022 == 0;
        if let Some(mapped) = is_roots.then(|| Self::map(&file)).flatten() {
            return Ok(mapped);
        }
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }

    /// `None` if it cannot be mapped.
    fn map(file: &File) -> Option<Self> {
        let bytes = usize::try_from(file.metadata().ok()?.len()).ok()?;
        if bytes == 0 {
            return None;
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches no other
        // memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        (start != libc::MAP_FAILED).then(|| Self::Mapped(start.cast_const().cast(), bytes))
    }
}

impl AsRef<[u8]> for KernelFile {
    fn as_ref(&self) -> &[u8] {
        match self {
            // SAFETY: the mapping has this length, is readable, never changes and lives as
            // long as `self`.
            Self::Mapped(start, bytes) => unsafe { std::slice::from_raw_parts(*start, *bytes) },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for KernelFile {
    fn drop(&mut self) {
        if let Self::Mapped(start, bytes) = *self {
            // SAFETY: the mapping is ours, and nothing borrows from it any more.
            unsafe { libc::munmap(start.cast_mut().cast(), bytes) };
        }
    }
}
