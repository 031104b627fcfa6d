//! Programs and libraries: what user-space probes need to know of an ELF file.
//!
//! In: the bytes of the file. Out: [`Binary`]. Offsets for uprobes are those in the
//! file, computed from the segment that an address lies in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bstr::ByteSlice;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::{Endianness, ReadRef};
use thiserror::Error;

use super::Arch;
use super::sdt::{self, Mark, Note, Operand};

type Header = elf::FileHeader64<Endianness>;

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
    /// Data symbols that operands of marks name: their addresses before relocation.
    objects: BTreeMap<String, u64>,
    /// Indexes of `functions` by address.
    by_address: OnceLock<Vec<u32>>,
}

impl Binary {
    /// Reads the tables of an ELF file, all in memory or read piecewise
    /// (`object::read::ReadCache`); `path` is for messages.
    pub fn parse<'d>(path: &str, data: impl ReadRef<'d>, arch: Arch) -> Result<Self, BinaryError> {
        let header = check_header(path, data, arch)?;
        parse_tables(header, data, arch)
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
            functions,
            ..Self::default()
        }
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

fn offset_in(segments: &[(u64, u64, u64)], wanted: u64) -> Option<u64> {
    segments.iter().find_map(|&(address, bytes, offset)| {
        let within = wanted
            .checked_sub(address)
            .filter(|&within| within < bytes)?;
        offset.checked_add(within)
    })
}

/// Longest first line of a script that is looked at.
const MAX_SCRIPT_LINE: u64 = 256;

/// Refuses what is not a 64-bit program or library of `arch`, saying what it is instead.
fn check_header<'d>(
    path: &str,
    data: impl ReadRef<'d>,
    arch: Arch,
) -> Result<&'d Header, BinaryError> {
    let path = || path.to_owned();
    let bytes = data.len().unwrap_or(0).min(MAX_SCRIPT_LINE);
    let start = data.read_bytes_at(0, bytes).unwrap_or_default();
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
        let line = lossy(line);
        let interpreter = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned();
        return Err(BinaryError::Script {
            path: path(),
            interpreter,
        });
    }
    if !start.starts_with(&elf::ELFMAG) {
        return Err(BinaryError::NotElf { path: path() });
    }
    if start.get(4) == Some(&elf::ELFCLASS32.0) {
        return Err(BinaryError::Not64Bit { path: path() });
    }
    let header = Header::parse(data).map_err(|_| BinaryError::NotElf { path: path() })?;
    let endian = header
        .endian()
        .map_err(|_| BinaryError::NotElf { path: path() })?;
    let machine = header.e_machine.get(endian).0;
    if machine != arch.elf_machine() {
        return Err(BinaryError::OtherMachine {
            path: path(),
            machine,
        });
    }
    if !matches!(header.e_type.get(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Err(BinaryError::NotElf { path: path() });
    }
    Ok(header)
}

fn parse_tables<'d>(header: &Header, data: impl ReadRef<'d>, arch: Arch) -> object::Result<Binary> {
    let endian = header.endian()?;
    let mut binary = Binary {
        position_independent: header.e_type.get(endian) == elf::ET_DYN,
        ..Binary::default()
    };
    for segment in header.program_headers(endian, data)? {
        match segment.p_type(endian) {
            elf::PT_LOAD => binary.segments.push((
                segment.p_vaddr(endian),
                segment.p_filesz(endian),
                segment.p_offset(endian),
            )),
            elf::PT_INTERP => {
                binary.interpreter = segment.interpreter(endian, data)?.map(lossy);
            }
            elf::PT_NOTE => {
                if let Some(mut notes) = segment.notes(endian, data)? {
                    while let Some(note) = notes.next()? {
                        if note.name() == elf::ELF_NOTE_GNU
                            && note.n_type(endian) == elf::NT_GNU_BUILD_ID
                        {
                            binary.build_id = Some(note.desc().to_vec());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    binary.is_program = binary.interpreter.is_some() || !binary.position_independent;
    let sections = header.sections(endian, data)?;
    binary.marks = read_marks(&sections, endian, data, &binary.segments)?;
    let operand_symbols = named_by(&binary.marks, arch);
    let mut functions = Vec::new();
    for kind in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
        let exported = kind == elf::SHT_DYNSYM;
        let symbols = sections.symbols(endian, data, kind)?;
        // The names in one read: one by one they would be a read of the file each.
        let names = match sections.section(symbols.string_section()) {
            Ok(section) => section.data(endian, data)?,
            Err(_) => &[],
        };
        for symbol in symbols.iter() {
            let is_ifunc = symbol.st_type() == elf::STT_GNU_IFUNC;
            let is_function = is_ifunc || symbol.st_type() == elf::STT_FUNC;
            if !is_function && operand_symbols.is_empty() || symbol.is_undefined(endian) {
                continue;
            }
            let address = symbol.st_value(endian);
            let name = names
                .get(symbol.st_name(endian) as usize..)
                .unwrap_or_default();
            let name = &name[..name.find_byte(0).unwrap_or(name.len())];
            // `symtab` names carry their version: `read@@GLIBC_2.2.5`.
            let name = name.split(|&b| b == b'@').next().unwrap_or(name);
            let Ok(name) = str::from_utf8(name) else {
                continue;
            };
            if !is_function && operand_symbols.contains(name) {
                binary.objects.insert(name.to_owned(), address);
            }
            if let Some(offset) = offset_in(&binary.segments, address)
                && is_function
                && !name.is_empty()
            {
                let (name, size) = (name.into(), symbol.st_size(endian));
                functions.push(BinaryFunction {
                    name,
                    address,
                    size,
                    offset,
                    exported,
                    is_ifunc,
                });
            }
        }
    }
    // Exported ones first among equals, to be the ones that stay.
    functions.sort_unstable_by(|a, b| {
        (&a.name, a.address, b.exported, a.size).cmp(&(&b.name, b.address, a.exported, b.size))
    });
    functions.dedup_by(|later, first| later.name == first.name && later.address == first.address);
    binary.functions = functions;
    for section in sections.iter() {
        let name = sections.section_name(endian, section)?;
        binary.is_go |= name == b".note.go.buildid" || name == b".gopclntab";
        if let Some((entries, link)) = section.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            for entry in entries {
                let text = || strings.get(entry.d_val(endian) as u32).ok().map(lossy);
                match entry.d_tag(endian) {
                    elf::DT_NEEDED => binary.needed.extend(text()),
                    elf::DT_SONAME => binary.soname = text(),
                    elf::DT_NULL => break,
                    _ => {}
                }
            }
        }
    }
    Ok(binary)
}

/// Reads the SDT marks. A damaged note is left out: the others are good.
fn read_marks<'d>(
    sections: &SectionTable<'d, elf::FileHeader64<Endianness>, impl ReadRef<'d>>,
    endian: Endianness,
    data: impl ReadRef<'d>,
    segments: &[(u64, u64, u64)],
) -> object::Result<Vec<Mark>> {
    let mut marks = Vec::new();
    let Some((_, section)) = sections.section_by_name(endian, sdt::NOTE_SECTION) else {
        return Ok(marks);
    };
    let base = sections
        .section_by_name(endian, sdt::BASE_SECTION)
        .map(|(_, base)| base.sh_addr(endian));
    let Some(mut notes) = section.notes(endian, data)? else {
        return Ok(marks);
    };
    while let Some(note) = notes.next()? {
        if note.n_type(endian).0 != sdt::NOTE_TYPE || note.name() != sdt::NOTE_OWNER {
            continue;
        }
        let Some(note) = Note::parse(note.desc()) else {
            continue;
        };
        let moved = base.map_or(0, |base| base.wrapping_sub(note.base));
        let address = note.address.wrapping_add(moved);
        let Some(offset) = offset_in(segments, address) else {
            continue;
        };
        let semaphore_offset = match note.semaphore {
            0 => Some(0),
            semaphore => offset_in(segments, semaphore.wrapping_add(moved)),
        };
        let [provider, name, arguments] = note.texts.map(Into::into);
        marks.extend(semaphore_offset.map(|semaphore_offset| Mark {
            provider,
            name,
            address,
            offset,
            semaphore_offset,
            arguments,
        }));
    }
    marks.sort_unstable();
    marks.dedup();
    Ok(marks)
}

/// The symbols that operands of marks name.
fn named_by(marks: &[Mark], arch: Arch) -> BTreeSet<String> {
    let operands = marks
        .iter()
        .flat_map(|mark| sdt::parse_arguments(&mark.arguments, arch));
    operands
        .filter_map(|argument| match argument.ok()?.operand {
            Operand::Address(symbol, _) => Some(symbol),
            Operand::Memory(memory) => memory.symbol,
            Operand::Register(..) | Operand::Constant(_) => None,
        })
        .collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
