//! Reading the kernel's files: failures as [`Unavailable`], and mappings.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
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
pub fn open_regular(path: &Path) -> io::Result<File> {
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
        let file = File::open(path)?;
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        if bytes > 0 {
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
            if start != libc::MAP_FAILED {
                return Ok(Self::Mapped(start.cast_const().cast(), bytes));
            }
        }
        fs::read(path).map(Self::Read)
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
