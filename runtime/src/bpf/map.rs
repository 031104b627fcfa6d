//! Maps: created and accessed by bytes, as their layout is only known at run time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::mapping::Mapping;
use super::sys::{self, Command};

/// Kinds of maps, with the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "named as in the kernel's header")]
pub enum MapType {
    Hash = 1,
    Array = 2,
    PerfEventArray = 4,
    PerCpuHash = 5,
    PerCpuArray = 6,
    StackTrace = 7,
    LruHash = 9,
    ArrayOfMaps = 12,
    Queue = 22,
    RingBuf = 27,
    TaskStorage = 29,
}

impl MapType {
    /// The kind of a number, `None` for those that images do not use.
    pub fn from_number(number: u32) -> Option<Self> {
        use MapType::*;
        [
            Hash,
            Array,
            PerfEventArray,
            PerCpuHash,
            PerCpuArray,
            StackTrace,
            LruHash,
            Queue,
            RingBuf,
            TaskStorage,
        ]
        .into_iter()
        .find(|&kind| kind as u32 == number)
    }

    /// Whether a value is one per possible CPU.
    pub fn is_per_cpu(self) -> bool {
        matches!(self, Self::PerCpuHash | Self::PerCpuArray)
    }
}

/// `BPF_F_NO_PREALLOC`: elements are allocated when first used.
pub const NO_PREALLOC: u32 = 1;
/// `BPF_F_RDONLY_PROG`: programs cannot write.
pub const READ_ONLY_FOR_PROGRAMS: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`: user space can map the values of an array.
pub const MMAPABLE: u32 = 1 << 10;

/// `bpf_map_update_elem`'s flag: only if the key is new.
pub const NO_EXIST: u64 = 1;
/// `bpf_map_update_elem`'s flag: only if the key is there.
pub const EXIST: u64 = 2;

/// What a map is to be.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec<'a> {
    /// Its name, cut to 15 bytes.
    pub name: &'a str,
    /// Its kind.
    pub kind: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU).
    pub value_size: u32,
    /// Most elements; bytes for a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// BTF object with the ids of the key's and value's types.
    pub btf: Option<(BorrowedFd<'a>, u32, u32)>,
    /// What the maps in a map of maps are like.
    pub inner: Option<BorrowedFd<'a>>,
}

/// A map.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    kind: MapType,
    key_size: usize,
    /// Bytes that a look-up writes: of all CPUs for a per-CPU map.
    value_bytes: usize,
    /// Bytes from one CPU's value to the next.
    cpu_stride: usize,
    max_entries: u32,
    flags: u32,
}

/// Elements that were read at once: keys and values one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_size: usize,
    value_bytes: usize,
}

impl Entries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len().checked_div(self.key_size).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// (key, value) of one.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let part = |bytes: &[u8], size: usize| -> Option<std::ops::Range<usize>> {
            let range = index * size..(index + 1) * size;
            (range.end <= bytes.len()).then_some(range)
        };
        let key = self.keys.get(part(&self.keys, self.key_size)?)?;
        Some((key, self.values.get(part(&self.values, self.value_bytes)?)?))
    }

    /// (key, value) of each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.keys
            .chunks_exact(self.key_size.max(1))
            .zip(self.values.chunks_exact(self.value_bytes.max(1)))
    }
}

impl Map {
    /// Creates a map. `possible_cpus` is the number of possible CPUs, for per-CPU kinds.
    pub fn create(spec: &MapSpec<'_>, possible_cpus: u32) -> io::Result<Self> {
        let (btf_fd, key_type, value_type) = match spec.btf {
            Some((fd, key, value)) => (fd.as_raw_fd() as u32, key, value),
            None => (0, 0, 0),
        };
        let mut attr = sys::MapCreate {
            map_type: spec.kind as u32,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags: spec.flags,
            map_name: sys::object_name(spec.name),
            inner_map_fd: spec.inner.map_or(0, |inner| inner.as_raw_fd() as u32),
            btf_fd,
            btf_key_type_id: key_type,
            btf_value_type_id: value_type,
            ..Default::default()
        };
        // SAFETY: the attributes hold no addresses.
        let fd = unsafe { sys::bpf_fd(Command::MapCreate, &mut attr) }?;
        let cpu_stride = (spec.value_size as usize).next_multiple_of(8);
        let value_bytes = if spec.kind.is_per_cpu() {
            cpu_stride * possible_cpus as usize
        } else {
            spec.value_size as usize
        };
        Ok(Self {
            fd,
            kind: spec.kind,
            key_size: spec.key_size as usize,
            value_bytes,
            cpu_stride,
            max_entries: spec.max_entries,
            flags: spec.flags,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> MapType {
        self.kind
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes that a look-up gives: for a per-CPU map those of all possible CPUs.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Bytes from one CPU's value to the next in a look-up's result.
    pub fn cpu_stride(&self) -> usize {
        self.cpu_stride
    }

    /// Most elements; bytes for a ring buffer.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    fn elem(&self, key: *const u8, value: *const u8, flags: u64) -> sys::MapElem {
        sys::MapElem {
            map_fd: self.fd.as_raw_fd() as u32,
            pad: 0,
            key: key as u64,
            value: value as u64,
            flags,
        }
    }

    fn check_key(&self, key: &[u8]) -> io::Result<()> {
        if key.len() == self.key_size {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// Reads an element into `value`, which becomes [`Self::value_bytes`] long. Returns
    /// whether there is one.
    pub fn lookup(&self, key: &[u8], value: &mut Vec<u8>) -> io::Result<bool> {
        self.check_key(key)?;
        value.resize(self.value_bytes, 0);
        let mut attr = self.elem(key.as_ptr(), value.as_mut_ptr(), 0);
        // SAFETY: `key` and `value` have the map's sizes.
        found(unsafe { sys::bpf(Command::MapLookup, &mut attr) })
    }

    /// Writes an element. `flags`: 0, [`NO_EXIST`] or [`EXIST`].
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check_key(key)?;
        if value.len() != self.value_bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attr = self.elem(key.as_ptr(), value.as_ptr(), flags);
        // SAFETY: `key` and `value` have the map's sizes.
        unsafe { sys::bpf(Command::MapUpdate, &mut attr) }.map(|_| ())
    }

    /// Deletes an element. Returns whether there was one.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        self.check_key(key)?;
        let mut attr = self.elem(key.as_ptr(), std::ptr::null(), 0);
        // SAFETY: `key` has the map's size.
        found(unsafe { sys::bpf(Command::MapDelete, &mut attr) })
    }

    /// Deletes an element and gives its last value, in one step from Linux 5.14 on. Returns whether there
    /// was one.
    pub fn take(&self, key: &[u8], value: &mut Vec<u8>) -> io::Result<bool> {
        /// `ENOTSUPP` of the kernel, which has no name outside of it.
        const ENOTSUPP: i32 = 524;
        self.check_key(key)?;
        value.resize(self.value_bytes, 0);
        let mut attr = self.elem(key.as_ptr(), value.as_mut_ptr(), 0);
        // SAFETY: `key` and `value` have the map's sizes.
        match unsafe { sys::bpf(Command::MapLookupAndDelete, &mut attr) } {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP)
                ) =>
            {
                Ok(self.lookup(key, value)? && self.delete(key)?)
            }
            result => found(result),
        }
    }

    /// Adds an entry to the end of a queue.
    pub fn push(&self, entry: &[u8]) -> io::Result<()> {
        if entry.len() != self.value_bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attr = self.elem(std::ptr::null(), entry.as_ptr(), 0);
        // SAFETY: `entry` has the size of the queue's entries, which have no key.
        unsafe { sys::bpf(Command::MapUpdate, &mut attr) }.map(|_| ())
    }

    /// Takes the entry off the front of a queue. Returns whether there was one.
    pub fn pop(&self, entry: &mut Vec<u8>) -> io::Result<bool> {
        entry.resize(self.value_bytes, 0);
        let mut attr = self.elem(std::ptr::null(), entry.as_mut_ptr(), 0);
        // SAFETY: `entry` has the size of the queue's entries, which have no key.
        found(unsafe { sys::bpf(Command::MapLookupAndDelete, &mut attr) })
    }

    /// Moves `key` on to the next key, or with `first` to the first one. Returns whether
    /// there is one.
    fn next_key(&self, key: &mut [u8], first: bool) -> io::Result<bool> {
        let mut next = vec![0; self.key_size];
        let from = if first {
            std::ptr::null()
        } else {
            key.as_ptr()
        };
        let mut attr = self.elem(from, next.as_mut_ptr(), 0);
        // SAFETY: `key` and `next` have the size of the map's keys.
        let found = found(unsafe { sys::bpf(Command::MapNextKey, &mut attr) })?;
        key.copy_from_slice(&next);
        Ok(found)
    }

    /// Reads all elements. Those that come or go meanwhile may be missed or seen.
    pub fn entries(&self) -> io::Result<Entries> {
        if matches!(
            self.kind,
            MapType::RingBuf | MapType::PerfEventArray | MapType::TaskStorage | MapType::Queue
        ) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        match self.entries_by_batch() {
            // Before Linux 5.6, or 5.13 for per-CPU arrays; or a bucket that keeps growing.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINVAL | libc::ENOSPC | sys::ENOTSUPP | libc::EOPNOTSUPP)
                ) =>
            {
                self.entries_one_by_one()
            }
            result => result,
        }
    }

    fn no_entries(&self) -> Entries {
        Entries {
            key_size: self.key_size,
            value_bytes: self.value_bytes,
            ..Entries::default()
        }
    }

    fn entries_by_batch(&self) -> io::Result<Entries> {
        let mut all = self.no_entries();
        // A hash map must have room for a whole bucket, whose length is not known: ENOSPC
        // asks for more room.
        let mut room = (self.max_entries as usize).clamp(1, 1024);
        // The position is a bucket's number for hash maps, a key for others.
        let mut position = vec![0u8; self.key_size.max(8)];
        let mut next = position.clone();
        let mut first = true;
        loop {
            let start = all.len();
            all.keys.resize((start + room) * self.key_size, 0);
            all.values.resize((start + room) * self.value_bytes, 0);
            let mut attr = sys::MapBatch {
                in_batch: if first { 0 } else { position.as_ptr() as u64 },
                out_batch: next.as_mut_ptr() as u64,
                keys: all.keys[start * self.key_size..].as_mut_ptr() as u64,
                values: all.values[start * self.value_bytes..].as_mut_ptr() as u64,
                count: room as u32,
                map_fd: self.fd.as_raw_fd() as u32,
                elem_flags: 0,
                flags: 0,
            };
            // SAFETY: there is room for `count` keys and values of the map's sizes, and
            // positions take at most a key's or 4 bytes.
            let result = unsafe { sys::bpf(Command::MapLookupBatch, &mut attr) };
            let got = (attr.count as usize).min(room);
            let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
            if errno == Some(libc::ENOSPC) && room < self.max_entries as usize {
                all.keys.truncate(start * self.key_size);
                all.values.truncate(start * self.value_bytes);
                room = (room * 4).min(self.max_entries as usize);
                continue;
            }
            let done = match (result, errno) {
                (Ok(_), _) => false,
                (Err(_), Some(libc::ENOENT)) => true,
                (Err(error), _) => return Err(error),
            };
            all.keys.truncate((start + got) * self.key_size);
            all.values.truncate((start + got) * self.value_bytes);
            if done {
                return Ok(all);
            }
            std::mem::swap(&mut position, &mut next);
            first = false;
        }
    }

    fn entries_one_by_one(&self) -> io::Result<Entries> {
        let mut all = self.no_entries();
        let mut key = vec![0; self.key_size];
        let mut value = Vec::new();
        let mut more = self.next_key(&mut key, true)?;
        // A key that vanishes makes the walk start again; a bound keeps it finite.
        let mut steps = self.max_entries as u64 * 2 + 16;
        while more && steps > 0 {
            if self.lookup(&key, &mut value)? {
                all.keys.extend_from_slice(&key);
                all.values.extend_from_slice(&value);
            }
            more = self.next_key(&mut key, false)?;
            steps -= 1;
        }
        Ok(all)
    }

    /// Deletes all elements (of hash maps).
    pub fn clear(&self) -> io::Result<()> {
        let mut key = vec![0; self.key_size];
        while self.next_key(&mut key, true)? {
            self.delete(&key)?;
        }
        Ok(())
    }

    /// Makes it read-only for user space.
    pub fn freeze(&self) -> io::Result<()> {
        let mut attr = sys::MapFreeze {
            map_fd: self.fd.as_raw_fd() as u32,
        };
        // SAFETY: the attributes hold no addresses.
        unsafe { sys::bpf(Command::MapFreeze, &mut attr) }.map(|_| ())
    }

    /// Maps the values of an array made with [`MMAPABLE`] into memory.
    pub fn mmap(&self) -> io::Result<Mapping> {
        if self.kind != MapType::Array || self.flags & MMAPABLE == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let stride = self.value_bytes.next_multiple_of(8);
        Mapping::new(self.fd.as_fd(), stride * self.max_entries as usize)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `ENOENT` is an answer, not a failure.
fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
