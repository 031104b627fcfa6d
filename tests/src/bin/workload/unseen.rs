//! Text in pages that the process has not touched yet, as string literals of a program are.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

const PAGE_BYTES: usize = 4096;

/// Calls `f` with the address of the text, which goes over the border of two such pages.
pub(crate) fn with_text(text: &CStr, f: impl FnOnce(*const libc::c_char)) -> io::Result<()> {
    let begin = PAGE_BYTES - text.count_bytes() / 2;
    // SAFETY: a constant name.
    let fd = unsafe { libc::memfd_create(c"unseen".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(2 * PAGE_BYTES as u64)?;
    file.write_all_at(text.to_bytes(), begin as u64)?;
    // SAFETY: a new mapping of a file that is so long.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            2 * PAGE_BYTES,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    f(pages.cast::<libc::c_char>().wrapping_add(begin));
    // SAFETY: the mapping made above, which nobody holds any more.
    unsafe { libc::munmap(pages, 2 * PAGE_BYTES) };
    Ok(())
}
