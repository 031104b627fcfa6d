//! Symbols of user programs: which file a process has mapped where, and that file's
//! symbol table.
//!
//! Files are opened through /proc/PID/root, so that containers' files are found. A process's
//! maps are kept for a moment, and kept on when it is gone by then. What processes map that end before
//! anybody asks is in the log ([`Processes::listen`]).

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use object::{Object, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind};

use crate::bpf::{MapEvent, MapLog};
use crate::host::open_inode;

/// How long a process's maps are believed.
const FRESH: Duration = Duration::from_millis(200);

/// Processes of the log that are kept at most; one more and all are forgotten.
const KEPT_LOGGED: usize = 8192;

/// How many parents of a process are asked for a mapping: more than any chain of forks without `execve`.
const MAX_ANCESTRY: usize = 64;

/// Processes whose maps are kept at most; one more and all are forgotten.
const KEPT: usize = 256;

/// What is known of processes and the files they run.
#[derive(Debug, Default)]
pub(super) struct Processes {
    processes: HashMap<i64, Process>,
    log: Option<MapLog>,
    /// What the log told: the mappings of each process, later ones last.
    logged: HashMap<i64, Vec<Mapping>>,
    /// Who made which process.
    parents: HashMap<i64, i64>,
    files: HashMap<FileId, File>,
}

/// Which file it is: of a path there can be one in each container, and another one later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FileId {
    device: (u32, u32),
    inode: u64,
    path: String,
}

/// A file that processes map.
#[derive(Debug, Default)]
struct File {
    /// Where it is, seen from here.
    path: String,
    symbols: Symbols,
}

#[derive(Debug)]
struct Process {
    read: Instant,
    mappings: Vec<Mapping>,
}

/// A mapped file.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    file_offset: u64,
    file: FileId,
}

/// The symbol table of a file.
#[derive(Debug, Default)]
struct Symbols {
    /// Loaded segments: file offset, size, address.
    segments: Vec<(u64, u64, u64)>,
    /// Functions: address, size, name; sorted.
    functions: Vec<(u64, u64, String)>,
}

/// What is known of a user address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// The mapped file.
    pub path: String,
    /// Function, offset in it, its size.
    pub function: Option<(&'a str, u64, u64)>,
    /// Offset from where the file begins in memory: an address of the file, if it is a library.
    pub offset: u64,
    /// Bytes from there to the end of the last of it that is mapped.
    pub size: u64,
    /// The address that the file's symbols have there.
    pub address: Option<u64>,
    /// Where the file is, seen from here: processes in containers have their own paths.
    pub file: &'a str,
}

impl Processes {
    /// What `address` is in process `pid`.
    pub fn find(&mut self, pid: i64, address: u64) -> Option<Found<'_>> {
        self.refresh(pid);
        let holds = |m: &&Mapping| (m.start..m.end).contains(&address);
        let of = |mappings: &'_ Vec<Mapping>, mapping: &Mapping| {
            let offset = address - mapping.start + mapping.file_offset;
            let range = format!("{:x}-{:x}", mapping.start, mapping.end);
            (
                mapping.file.clone(),
                range,
                offset,
                extent(mappings, mapping),
            )
        };
        let mapped = self
            .processes
            .get(&pid)
            .and_then(|p| Some(of(&p.mappings, p.mappings.iter().find(holds)?)));
        let mapped = mapped.or_else(|| {
            self.ancestry(pid).find_map(|pid| {
                let mappings = self.logged.get(&pid)?;
                Some(of(mappings, mappings.iter().rfind(holds)?))
            })
        });
        let (id, range, file_offset, (begin, end)) = mapped?;
        let path = id.path.clone();
        let file = self.files.entry(id).or_insert_with_key(|id| {
            // A process that is gone has no root; a file that was deleted or replaced is in its mapping alone.
            let places = [
                format!("/proc/{pid}/root{path}"),
                path.clone(),
                format!("/proc/{pid}/map_files/{range}"),
            ];
            let found = places.into_iter().find_map(|path| {
                let symbols = Symbols::read(&path, id.inode)?;
                Some(File { path, symbols })
            });
            found.unwrap_or_default()
        });
        let in_file = file.symbols.address(file_offset);
        Some(Found {
            path,
            function: in_file.and_then(|address| file.symbols.find(address)),
            offset: address - begin,
            size: end - begin,
            address: in_file,
            file: &file.path,
        })
    }

    /// Listens from now on to what processes map. Without the right to do so, only those that
    /// still run when they are asked for are known.
    pub fn listen(&mut self, cpus: &[u32]) {
        self.log = MapLog::open(cpus).ok();
    }

    /// A process and those that it descends from, as far as the log tells.
    fn ancestry(&self, pid: i64) -> impl Iterator<Item = i64> {
        std::iter::successors(Some(pid), |pid| self.parents.get(pid).copied()).take(MAX_ANCESTRY)
    }

    fn read_log(&mut self) {
        let mut events = self.log.as_ref().map(MapLog::drain).unwrap_or_default();
        // The rings of the CPUs are not ordered: a process forks before it maps.
        events.sort_by_key(|event| matches!(event, MapEvent::Mapped { .. }));
        if self.logged.len() > KEPT_LOGGED {
            self.logged.clear();
            self.parents.clear();
        }
        for event in events {
            match event {
                MapEvent::Mapped {
                    pid,
                    start,
                    bytes,
                    file_offset,
                    device,
                    inode,
                    path,
                } => {
                    let mapping = Mapping {
                        start,
                        end: start.saturating_add(bytes),
                        file_offset,
                        file: FileId {
                            device,
                            inode,
                            path,
                        },
                    };
                    if mapping.file.path.starts_with('/') {
                        self.logged.entry(i64::from(pid)).or_default().push(mapping);
                    }
                }
                MapEvent::Forked { pid, parent } => {
                    // The number may have been another process's.
                    self.logged.remove(&i64::from(pid));
                    self.parents.insert(i64::from(pid), i64::from(parent));
                }
            }
        }
    }

    /// Reads the process's maps unless they are fresh.
    fn refresh(&mut self, pid: i64) {
        if self
            .processes
            .get(&pid)
            .is_some_and(|p| p.read.elapsed() < FRESH)
        {
            return;
        }
        self.read_log();
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/maps")) else {
            return;
        };
        let mappings: Vec<Mapping> = text.lines().filter_map(mapping).collect();
        // Of a process at its end nothing is left but its number.
        if mappings.is_empty() && self.processes.contains_key(&pid) {
            return;
        }
        if self.processes.len() >= KEPT {
            self.processes.clear();
        }
        self.processes.insert(
            pid,
            Process {
                read: Instant::now(),
                mappings,
            },
        );
    }
}

/// A line of maps that names a file: `start-end perms offset dev inode path`.
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let _permissions = words.next()?;
    let file_offset = words.next()?;
    let (major, minor) = words.next()?.split_once(':')?;
    let inode = words.next()?;
    let path = words.next()?.trim_start();
    if !path.starts_with('/') {
        return None;
    }
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        file_offset: u64::from_str_radix(file_offset, 16).ok()?,
        file: FileId {
            device: (
                u32::from_str_radix(major, 16).ok()?,
                u32::from_str_radix(minor, 16).ok()?,
            ),
            inode: inode.parse().ok()?,
            path: path.trim_end_matches(" (deleted)").to_owned(),
        },
    })
}

/// Where the file of a mapping begins and ends in memory, with its other mappings. One that is mapped several times
/// begins at each mapping of its first byte.
fn extent(mappings: &[Mapping], of: &Mapping) -> (u64, u64) {
    let same = || mappings.iter().filter(|mapping| mapping.file == of.file);
    let begins = || same().filter(|mapping| mapping.file_offset == 0);
    let begin = begins()
        .map(|mapping| mapping.start)
        .filter(|start| *start <= of.start);
    let begin = begin
        .max()
        .unwrap_or(of.start.saturating_sub(of.file_offset));
    let next = begins()
        .map(|mapping| mapping.start)
        .filter(|start| *start > of.start);
    let next = next.min().unwrap_or(u64::MAX);
    let own = same().filter(|mapping| (begin..next).contains(&mapping.start));
    let end = own.map(|mapping| mapping.end).max();
    (begin, end.unwrap_or(of.end))
}

impl Symbols {
    fn read(path: &str, inode: u64) -> Option<Symbols> {
        let data = ReadCache::new(open_inode(Path::new(path), inode).ok()?);
        let file = object::File::parse(&data).ok()?;
        let segments = file
            .segments()
            .map(|s| {
                let (offset, size) = s.file_range();
                (offset, size, s.address())
            })
            .collect();
        let mut functions: Vec<_> = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|s| s.kind() == SymbolKind::Text && s.is_definition())
            .filter_map(|s| Some((s.address(), s.size(), s.name().ok()?.to_owned())))
            .collect();
        functions.sort();
        functions.dedup_by_key(|f| f.0);
        Some(Symbols {
            segments,
            functions,
        })
    }

    /// The address of what is at an offset of the file.
    fn address(&self, offset: u64) -> Option<u64> {
        let (from, _, base) = self
            .segments
            .iter()
            .find(|(from, size, _)| offset.checked_sub(*from).is_some_and(|at| at < *size))?;
        Some((offset - from).wrapping_add(*base))
    }

    /// The function at an address.
    fn find(&self, address: u64) -> Option<(&str, u64, u64)> {
        let after = self.functions.partition_point(|f| f.0 <= address);
        let (start, size, name) = self.functions.get(after.checked_sub(1)?)?;
        (address - start < (*size).max(1)).then_some((name, address - start, *size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps() {
        assert_eq!(
            mapping("7f00-8000 r-xp 00001000 08:01 123     /usr/lib/a b.so"),
            Some(Mapping {
                start: 0x7f00,
                end: 0x8000,
                file_offset: 0x1000,
                file: FileId {
                    device: (8, 1),
                    inode: 123,
                    path: "/usr/lib/a b.so".to_owned(),
                },
            })
        );
        assert_eq!(mapping("7f00-8000 rw-p 00000000 00:00 0      [heap]"), None);
        assert_eq!(mapping("7f00-8000 rw-p 00000000 00:00 0"), None);
        assert_eq!(mapping("nonsense"), None);
    }

    #[test]
    fn a_file_begins_at_its_first_byte() {
        let map = |start, end, file_offset, path: &str| Mapping {
            start,
            end,
            file_offset,
            file: FileId {
                device: (8, 1),
                inode: 1,
                path: path.to_owned(),
            },
        };
        let all = [
            map(0x1000, 0x3000, 0, "a"),
            map(0x3000, 0x4000, 0x1000, "a"),
            map(0x4000, 0x5000, 0, "b"),
            map(0x5000, 0x6000, 0x3000, "a"),
            map(0x7000, 0x9000, 0, "a"),
            map(0x9000, 0xa000, 0x8000, "c"),
        ];
        let extents: Vec<(u64, u64)> = all.iter().map(|mapping| extent(&all, mapping)).collect();
        let a = (0x1000, 0x6000);
        let b = (0x4000, 0x5000);
        assert_eq!(extents, [a, a, b, a, (0x7000, 0x9000), (0x1000, 0xa000)]);
    }

    /// A process may have put anything where it had a file.
    #[test]
    fn what_is_no_file_is_not_read() {
        assert!(Symbols::read("/dev/zero", 0).is_none());
        assert!(Symbols::read("/proc/self/exe", 0).is_some());
        let fifo = std::env::temp_dir().join(format!("rtap-fifo-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|status| status.success()));
        let read = Symbols::read(&fifo.to_string_lossy(), 0);
        fs::remove_file(&fifo).expect("it is ours");
        assert!(read.is_none());
    }

    #[test]
    fn a_function_of_this_program() {
        fn here() {}
        let address = here as fn() as usize as u64;
        let mut processes = Processes::default();
        let found = processes
            .find(i64::from(std::process::id()), address)
            .expect("this program is mapped");
        let (name, offset, _) = found.function.expect("tests are not stripped");
        assert!(name.contains("here") || offset == 0, "{name}+{offset:#x}");
    }
}
