//! Programs and libraries: what user-space probes need to know of an ELF file.
//!
//! In: the bytes of the file. Out: [`Binary`]. Offsets for uprobes are those in the
//! file, computed from the segment that an address lies in.

mod elf;
mod plt;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use object::ReadRef;
use object::read::elf::FileHeader;
use thiserror::Error;

use super::Arch;
use super::sdt::Mark;
use crate::dwarf::{Code, Symbol};

/// Why a file cannot be probed. Its `Display` is a clause for a diagnostic.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BinaryError {
    /// There is no such file.
    #[error("{path} does not exist")]
    NotFound {
        /// The path as given.
        path: String,
    },
    /// A bare name that no directory of `$PATH` has.
    #[error("no program '{name}' in $PATH")]
    NotInPath {
        /// The name as given.
        name: String,
    },
    /// No right to read it.
    #[error("no permission to read {path}")]
    Permission {
        /// The path.
        path: String,
    },
    /// A script: its interpreter would have to be probed.
    #[error("{path} is a script run by {interpreter}, not a compiled program")]
    Script {
        /// The path.
        path: String,
        /// What its first line names.
        interpreter: String,
    },
    /// Neither a program nor a library.
    #[error("{path} is not an ELF program or library")]
    NotElf {
        /// The path.
        path: String,
    },
    /// A 32-bit program.
    #[error("{path} is a 32-bit program; rtap probes 64-bit ones only")]
    Not64Bit {
        /// The path.
        path: String,
    },
    /// For another processor.
    #[error("{path} is for another processor (ELF machine {machine})")]
    OtherMachine {
        /// The path.
        path: String,
        /// The ELF machine number.
        machine: u16,
    },
    /// Cut short or damaged.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Any other failure.
    #[error("cannot read {path}: {reason}")]
    Io {
        /// The path.
        path: String,
        /// The system's word.
        reason: String,
    },
}

/// A function of a program or library.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BinaryFunction {
    /// Its symbol, without version.
    pub name: Box<str>,
    /// Its address before relocation.
    pub address: u64,
    /// Its size in bytes, 0 when the symbol does not tell.
    pub size: u64,
    /// Where its first instruction is in the file: where a uprobe goes.
    pub offset: u64,
    /// Whether other objects can call it (it is in the dynamic symbol table).
    pub exported: bool,
    /// Whether it is a resolver that chooses the real function (`memcpy` of glibc).
    pub is_ifunc: bool,
}

/// What tells a file from others while it is there: its inode, and its size, as inodes of
/// different file systems may have the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileId {
    /// The inode's number.
    pub inode: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A program or library.
#[derive(Clone, Debug, Default)]
pub struct Binary {
    /// Its path after look-up in `$PATH`.
    pub path: String,
    /// The file.
    pub file: FileId,
    /// Whether it is loaded at any address: a library or position-independent program.
    pub position_independent: bool,
    /// Whether it can be run: it names an interpreter or has a fixed address.
    pub is_program: bool,
    /// Identifies the build.
    pub build_id: Option<Vec<u8>>,
    /// Names of the libraries it needs (`libc.so.6`).
    pub needed: Vec<String>,
    /// The dynamic loader.
    pub interpreter: Option<String>,
    /// The name that other objects need it by.
    pub soname: Option<String>,
    /// Whether it was made by the Go compiler, whose stacks uretprobes destroy.
    pub is_go: bool,
    /// Loaded ranges: (address, bytes in the file, offset in the file).
    segments: Vec<(u64, u64, u64)>,
    /// Sorted by name, then address.
    functions: Vec<BinaryFunction>,
    /// Sorted by provider, then name, then address.
    marks: Vec<Mark>,
    /// Entries of the procedure linkage table by the function they lead to, sorted by name.
    plt: Vec<BinaryFunction>,
    /// Loaded ranges that can be executed: (address, bytes).
    code: Vec<(u64, u64)>,
    /// Whether it has its full symbol table.
    has_symtab: bool,
    /// The name of the file that holds its debug information (`.gnu_debuglink`).
    pub debug_link: Option<String>,
    /// Data symbols that operands of marks name: their addresses before relocation.
    objects: BTreeMap<String, u64>,
    /// Indexes of `functions` by address.
    by_address: OnceLock<Vec<u32>>,
}

impl Binary {
    /// Reads the tables of an ELF file, all in memory or read piecewise
    /// (`object::read::ReadCache`); `path` is for messages.
    pub fn parse<'d>(path: &str, data: impl ReadRef<'d>, arch: Arch) -> Result<Self, BinaryError> {
        let header = elf::check_header(path, data, arch)?;
        elf::parse_tables(header, data, arch)
            .map(|binary| Self {
                path: path.to_owned(),
                ..binary
            })
            .map_err(|error| BinaryError::Damaged {
                path: path.to_owned(),
                reason: error.to_string(),
            })
    }

    /// A program made of (name, address, size) of functions, for fixtures. It is mapped one to
    /// one: offsets are addresses.
    pub fn synthetic(path: &str, functions: &[(&str, u64, u64)]) -> Self {
        let mut functions: Vec<BinaryFunction> = functions
            .iter()
            .map(|&(name, address, size)| BinaryFunction {
                name: name.into(),
                address,
                size,
                offset: address,
                exported: true,
                is_ifunc: false,
            })
            .collect();
        functions.sort();
        Self {
            path: path.to_owned(),
            position_independent: true,
            is_program: !path.contains(".so"),
            segments: vec![(0, 1 << 32, 0)],
            code: vec![(0, 1 << 32)],
            functions,
            ..Self::default()
        }
    }

    /// The same with entries of a procedure linkage table.
    #[must_use]
    pub fn with_plt(mut self, entries: &[(&str, u64)]) -> Self {
        let entry = |&(name, address): &(&str, u64)| BinaryFunction {
            name: name.into(),
            address,
            size: 16,
            offset: address,
            exported: false,
            is_ifunc: false,
        };
        self.plt = entries.iter().map(entry).collect();
        self
    }

    /// The same with SDT marks.
    #[must_use]
    pub fn with_marks(mut self, mut marks: Vec<Mark>) -> Self {
        marks.sort_unstable();
        self.marks = marks;
        self
    }

    /// All functions, sorted by name.
    pub fn functions(&self) -> &[BinaryFunction] {
        &self.functions
    }

    /// The functions of a name; several when static functions share it.
    pub fn function(&self, name: &str) -> &[BinaryFunction] {
        let start = self.functions.partition_point(|f| *f.name < *name);
        let count = self.functions[start..]
            .iter()
            .take_while(|f| *f.name == *name)
            .count();
        &self.functions[start..start + count]
    }

    /// Whether its symbol table was stripped: a debug file may have it.
    pub fn is_stripped(&self) -> bool {
        !self.has_symtab
    }

    /// Whether a file is of the same build: the program itself, or its debug file.
    pub fn is_of_build<'d>(&self, data: impl ReadRef<'d>, arch: Arch) -> bool {
        let header = elf::check_header("", data, arch).ok();
        let build_id = header.and_then(|header| elf::build_id(header, data).ok());
        build_id.is_some_and(|build_id| build_id == self.build_id)
    }

    /// Adds the symbols of its debug file. Whether it is of the same build.
    pub fn add_debug_file<'d>(&mut self, data: impl ReadRef<'d>, arch: Arch) -> bool {
        let read = || {
            if !self.is_of_build(data, arch) {
                return None;
            }
            let header = elf::check_header("", data, arch).ok()?;
            let endian = header.endian().ok()?;
            let sections = header.sections(endian, data).ok()?;
            // Its segments have no bytes in the file: the program's own tell where functions are.
            elf::read_symbols(&sections, endian, data, &self.segments, &BTreeSet::new()).ok()
        };
        let Some(symbols) = read() else {
            return false;
        };
        self.functions.extend(symbols.functions);
        elf::sort(&mut self.functions);
        self.has_symtab |= symbols.has_symtab;
        self.by_address = OnceLock::new();
        true
    }

    /// The entries of the procedure linkage table, through which it calls other objects, sorted by the
    /// names of the functions that they lead to.
    pub fn plt(&self) -> &[BinaryFunction] {
        &self.plt
    }

    /// All SDT marks, sorted by provider and name.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The address (before relocation) of a symbol that a mark's operand names.
    pub fn operand_symbol(&self, name: &str) -> Option<u64> {
        let function = || self.function(name).first().map(|f| f.address);
        self.objects.get(name).copied().or_else(function)
    }

    /// The function that an address (before relocation) lies in.
    pub fn function_at(&self, address: u64) -> Option<&BinaryFunction> {
        let order = self.by_address.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.functions.len() as u32).collect();
            order.sort_by_key(|&at| self.functions[at as usize].address);
            order
        });
        let after = order.partition_point(|&at| self.functions[at as usize].address <= address);
        let found = &self.functions[*order.get(after.checked_sub(1)?)? as usize];
        (address - found.address < found.size.max(1)).then_some(found)
    }

    /// Offset in the file of what is loaded at an address (before relocation).
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        offset_in(&self.segments, address)
    }

    /// The address (before relocation) of a byte of the file.
    pub fn address_of(&self, file_offset: u64) -> Option<u64> {
        self.segments.iter().find_map(|&(address, bytes, offset)| {
            let within = file_offset
                .checked_sub(offset)
                .filter(|&within| within < bytes)?;
            address.checked_add(within)
        })
    }
}

impl Code for Binary {
    fn is_code(&self, address: u64) -> bool {
        let holds = |&(start, bytes): &(u64, u64)| address.wrapping_sub(start) < bytes;
        self.code.iter().any(holds)
    }

    fn symbol_at(&self, address: u64) -> Option<Symbol> {
        self.function_at(address).map(|function| Symbol {
            name: function.name.to_string(),
            start: function.address,
            size: function.size,
        })
    }

    fn starts_of(&self, name: &str) -> Vec<u64> {
        self.function(name).iter().map(|f| f.address).collect()
    }
}

fn offset_in(segments: &[(u64, u64, u64)], wanted: u64) -> Option<u64> {
    segments.iter().find_map(|&(address, bytes, offset)| {
        let within = wanted
            .checked_sub(address)
            .filter(|&within| within < bytes)?;
        offset.checked_add(within)
    })
}
