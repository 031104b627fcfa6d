//! What processes map, as the kernel tells it while it happens: perf's own records of `mmap` and `fork`
//! (Linux 3.16), one ring for each CPU. So addresses of processes that have ended meanwhile still
//! have names.
//!
//! Records are not ordered between CPUs: a process can be heard of before the one that made it.

use std::io;
use std::os::fd::AsFd;

use super::Mapping;
use super::mapping::page_bytes;
use super::perf::{PerfEvent, PerfEventSpec};

/// Bytes of a CPU's ring, a power of two: some thousands of records.
const DATA_BYTES: u64 = 256 << 10;
/// Offsets of `data_head` and `data_tail` in `struct perf_event_mmap_page`.
const HEAD: u32 = 1024;
const TAIL: u32 = 1032;
/// `PERF_RECORD_FORK`, `PERF_RECORD_MMAP2`
const RECORD_FORK: u32 = 7;
const RECORD_MMAP: u32 = 10;
/// Bytes of a record's head: type, flags, size.
const HEAD_BYTES: u64 = 8;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapEvent {
    /// A process mapped a file to be executed.
    Mapped {
        /// The process.
        pid: u32,
        /// First address.
        start: u64,
        /// Bytes.
        bytes: u64,
        /// Where in the file, bytes.
        file_offset: u64,
        /// The file's device: major and minor number.
        device: (u32, u32),
        /// The file's inode.
        inode: u64,
        /// The file.
        path: String,
    },
    /// A process began as a copy of another.
    Forked {
        /// The new one.
        pid: u32,
        /// The old one.
        parent: u32,
    },
}

/// The rings. Dropped: the kernel stops writing.
#[derive(Debug)]
pub struct MapLog {
    rings: Vec<Ring>,
}

#[derive(Debug)]
struct Ring {
    mapping: Mapping,
    page_bytes: u32,
    _event: PerfEvent,
}

impl MapLog {
    /// Begins to listen on these CPUs.
    pub fn open(cpus: &[u32]) -> io::Result<Self> {
        let page_bytes = page_bytes();
        let open = |cpu: &u32| {
            let event = PerfEventSpec::maps_of_processes().open(*cpu, None)?;
            let bytes = page_bytes as usize + DATA_BYTES as usize;
            Ok(Ring {
                mapping: Mapping::new(event.as_fd(), bytes)?,
                page_bytes,
                _event: event,
            })
        };
        let rings: io::Result<Vec<Ring>> = cpus.iter().map(open).collect();
        Ok(Self { rings: rings? })
    }

    /// What has happened since the last call.
    pub fn drain(&self) -> Vec<MapEvent> {
        let mut events = Vec::new();
        for ring in &self.rings {
            ring.drain(&mut events);
        }
        events
    }
}

impl Ring {
    fn drain(&self, events: &mut Vec<MapEvent>) {
        let head = self.mapping.load(HEAD);
        let mut tail = self.mapping.load(TAIL);
        while head.wrapping_sub(tail) >= HEAD_BYTES {
            let first = self.word(tail);
            let bytes = first >> 48;
            if bytes < HEAD_BYTES || bytes > head.wrapping_sub(tail) {
                break;
            }
            let words = (HEAD_BYTES..bytes).step_by(8);
            let body: Vec<u8> = words
                .flat_map(|at| self.word(tail.wrapping_add(at)).to_le_bytes())
                .collect();
            events.extend(event(first as u32, &body));
            tail = tail.wrapping_add(bytes);
        }
        self.mapping.store(TAIL, head);
    }

    /// Records are multiples of 8 bytes: a word never wraps.
    fn word(&self, position: u64) -> u64 {
        let at = (position & (DATA_BYTES - 1)) as u32;
        self.mapping.load(self.page_bytes + (at & !7))
    }
}

/// A record's body: numbers as the kernel lays them out.
fn event(kind: u32, body: &[u8]) -> Option<MapEvent> {
    let int = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    match kind {
        RECORD_MMAP => {
            let path = body.get(64..)?;
            let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
            Some(MapEvent::Mapped {
                pid: int(0)?,
                start: long(8)?,
                bytes: long(16)?,
                file_offset: long(24)?,
                device: (int(32)?, int(36)?),
                inode: long(40)?,
                path: String::from_utf8_lossy(path).into_owned(),
            })
        }
        // A new thread has its process's id.
        RECORD_FORK if int(0)? != int(4)? => Some(MapEvent::Forked {
            pid: int(0)?,
            parent: int(4)?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut body = Vec::new();
        body.extend(7_u32.to_le_bytes());
        body.extend(8_u32.to_le_bytes());
        for n in [0x1000_u64, 0x2000, 0x3000] {
            body.extend(n.to_le_bytes());
        }
        body.extend(8_u32.to_le_bytes());
        body.extend(1_u32.to_le_bytes());
        body.extend(99_u64.to_le_bytes());
        body.resize(64, 0);
        body.extend(b"/bin/x\0\0");
        let mapped = MapEvent::Mapped {
            pid: 7,
            start: 0x1000,
            bytes: 0x2000,
            file_offset: 0x3000,
            device: (8, 1),
            inode: 99,
            path: "/bin/x".to_owned(),
        };
        assert_eq!(event(RECORD_MMAP, &body), Some(mapped));
        assert_eq!(event(RECORD_MMAP, &body[..60]), None);
        let forked = MapEvent::Forked { pid: 7, parent: 8 };
        assert_eq!(event(RECORD_FORK, &body), Some(forked));
        assert_eq!(event(3, &body), None);
    }
}
