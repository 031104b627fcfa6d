//! Reader of a BPF ring buffer (kernel 5.8).
//!
//! The map's pages (kernel/bpf/ringbuf.c): one page with the consumer's position, ours to
//! write; one with the producers' position; then the data, mapped twice in a row so that a
//! record never wraps. A record is a u32 length with two flag bits (busy, discarded), a u32
//! page offset, then its bytes, padded to 8. Records come in the order in which they were
//! reserved, whatever the CPU.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Map, MapType};

/// Set in a record's length while its producer still writes it.
const BUSY: u32 = 1 << 31;
/// Set in a record's length when its producer gave it up.
const DISCARDED: u32 = 1 << 30;
/// Bytes of a record's head.
const HEAD_BYTES: u64 = 8;

/// The reading end of a ring-buffer map. There must be one only.
#[derive(Debug)]
pub struct RingReader {
    map: Map,
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page_bytes: usize,
    /// Bytes of data, a power of two.
    data_bytes: u64,
}

// SAFETY: the mappings belong to the reader; positions are accessed atomically.
unsafe impl Send for RingReader {}

impl RingReader {
    /// Maps a ring buffer of `map.max_entries()` bytes.
    pub fn new(map: Map) -> io::Result<Self> {
        // Only such a map has these pages, and a power of two of bytes.
        if map.kind() != MapType::RingBuf {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // SAFETY: no arguments but a constant.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let data_bytes = u64::from(map.max_entries());
        let fd = map.as_fd();
        let consumer = map_pages(fd, page_bytes, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let rest = page_bytes + 2 * data_bytes as usize;
        match map_pages(fd, rest, libc::PROT_READ, page_bytes) {
            Ok(producer) => Ok(RingReader {
                map,
                consumer,
                producer,
                page_bytes,
                data_bytes,
            }),
            Err(error) => {
                // SAFETY: mapped just above, used by nobody.
                unsafe { libc::munmap(consumer.as_ptr().cast(), page_bytes) };
                Err(error)
            }
        }
    }

    /// The map itself: it polls as readable when records are waiting.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Hands every finished record to `take`, at most `most` of them; returns how many.
    /// Records that are still being written, and those after them, are left for later.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        let mut position = self.consumer_position().load(Ordering::Acquire);
        let mut end = self.producer_position().load(Ordering::Acquire);
        while taken < most {
            if position >= end {
                end = self.producer_position().load(Ordering::Acquire);
                if position >= end {
                    break;
                }
            }
            let length = self.length_at(position).load(Ordering::Acquire);
            if length & BUSY != 0 {
                break;
            }
            let bytes = u64::from(length & !DISCARDED);
            // A length that the buffer cannot hold is no record of this kernel's.
            if bytes + HEAD_BYTES > self.data_bytes {
                break;
            }
            if length & DISCARDED == 0 {
                let start = self.data(position + HEAD_BYTES);
                // SAFETY: a finished record of `bytes` bytes lies there, wholly inside the
                // doubled mapping; producers do not touch it until the consumer's
                // position is moved beyond it, below.
                take(unsafe { std::slice::from_raw_parts(start, bytes as usize) });
                taken += 1;
            }
            position += (bytes + HEAD_BYTES).next_multiple_of(8);
            self.consumer_position().store(position, Ordering::Release);
        }
        taken
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the first word of a page that lives as long as `self`.
        unsafe { self.consumer.cast().as_ref() }
    }

    fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.producer.cast().as_ref() }
    }

    /// The address of the byte at a position.
    fn data(&self, position: u64) -> *const u8 {
        let offset = (position & (self.data_bytes - 1)) as usize;
        // SAFETY: inside the data, which follows the producers' page.
        unsafe { self.producer.as_ptr().add(self.page_bytes + offset) }
    }

    fn length_at(&self, position: u64) -> &AtomicU32 {
        // SAFETY: positions are multiples of 8, so this is an aligned word of the data.
        unsafe { &*self.data(position).cast::<AtomicU32>() }
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        let rest = self.page_bytes + 2 * self.data_bytes as usize;
        // SAFETY: both mappings are ours, and nothing borrows from them any more.
        unsafe {
            libc::munmap(self.consumer.as_ptr().cast(), self.page_bytes);
            libc::munmap(self.producer.as_ptr().cast(), rest);
        }
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

fn map_pages(
    fd: BorrowedFd<'_>,
    bytes: usize,
    protection: i32,
    offset: usize,
) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            protection,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            offset as i64,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
