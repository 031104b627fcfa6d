//! Memory shared with eBPF programs: the values of a memory-mapped array map.
//!
//! Programs write it at any time, so words are accessed atomically and slices are
//! copied out word by word; a string may be torn, a word may not.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mapping of whole pages, of which `bytes` are in use.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the memory is only accessed through atomic operations.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` bytes of `fd`, shared and writable.
    pub(super) fn new(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes })
    }

    /// Bytes that can be accessed.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The word at a byte offset that is a multiple of 8.
    ///
    /// # Panics
    ///
    /// When the offset lies outside the mapping or is not a multiple of 8: layouts are
    /// computed, so this is an error of the program.
    pub fn word(&self, offset: u32) -> &AtomicU64 {
        let offset = offset as usize;
        assert!(
            offset.is_multiple_of(8) && offset + 8 <= self.bytes,
            "word at {offset}"
        );
        // SAFETY: inside the mapping and aligned, as just checked; the mapping lives as
        // long as `self`.
        unsafe { self.start.add(offset / 8).as_ref() }
    }

    /// Reads the word at an offset, see [`Self::word`].
    pub fn load(&self, offset: u32) -> u64 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes the word at an offset, see [`Self::word`].
    pub fn store(&self, offset: u32, value: u64) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// Adds to the word at an offset, see [`Self::word`]. Returns what was there.
    pub fn fetch_add(&self, offset: u32, value: u64) -> u64 {
        self.word(offset).fetch_add(value, Ordering::AcqRel)
    }

    /// Copies out bytes; offset and length are multiples of 8.
    pub fn read(&self, offset: u32, bytes: u32) -> Vec<u8> {
        (0..bytes / 8)
            .flat_map(|word| self.load(offset + word * 8).to_ne_bytes())
            .collect()
    }

    /// Copies in bytes; the offset is a multiple of 8, the last word is padded with zeroes.
    pub fn write(&self, offset: u32, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.store(offset + index as u32 * 8, u64::from_ne_bytes(word));
        }
    }
}

/// Bytes of a page.
pub(super) fn page_bytes() -> u32 {
    // SAFETY: no arguments but a constant.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u32 }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
