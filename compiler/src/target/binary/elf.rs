//! Reading the tables of an ELF file: segments, symbols, notes, the dynamic section.

use std::collections::{BTreeMap, BTreeSet};

use bstr::ByteSlice;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::{Endianness, ReadRef};

use super::{Binary, BinaryError, BinaryFunction, offset_in, plt};
use crate::target::Arch;
use crate::target::sdt::{self, Mark, Note, Operand};

pub(super) type Header = elf::FileHeader64<Endianness>;
pub(super) type Sections<'d, R> = SectionTable<'d, Header, R>;

/// Longest first line of a script that is looked at.
const MAX_SCRIPT_LINE: u64 = 256;

/// Refuses what is not a 64-bit program or library of `arch`, saying what it is instead.
pub(super) fn check_header<'d>(
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

pub(super) fn parse_tables<'d>(
    header: &Header,
    data: impl ReadRef<'d>,
    arch: Arch,
) -> object::Result<Binary> {
    let endian = header.endian()?;
    let mut binary = Binary {
        build_id: build_id(header, data)?,
        position_independent: header.e_type.get(endian) == elf::ET_DYN,
        ..Binary::default()
    };
    for segment in header.program_headers(endian, data)? {
        match segment.p_type(endian) {
            elf::PT_LOAD => {
                let (address, bytes) = (segment.p_vaddr(endian), segment.p_filesz(endian));
                binary
                    .segments
                    .push((address, bytes, segment.p_offset(endian)));
                if segment.p_flags(endian).contains(elf::PF_X) {
                    binary.code.push((address, bytes));
                }
            }
            elf::PT_INTERP => {
                binary.interpreter = segment.interpreter(endian, data)?.map(lossy);
            }
            _ => {}
        }
    }
    binary.is_program = binary.interpreter.is_some() || !binary.position_independent;
    let sections = header.sections(endian, data)?;
    binary.marks = read_marks(&sections, endian, data, &binary.segments)?;
    let operand_symbols = named_by(&binary.marks, arch);
    let symbols = read_symbols(&sections, endian, data, &binary.segments, &operand_symbols)?;
    binary.functions = symbols.functions;
    binary.objects = symbols.objects;
    binary.has_symtab = symbols.has_symtab;
    binary.plt = plt::read(&sections, endian, data, &binary.segments)?;
    binary.debug_link = debug_link(&sections, endian, data);
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

/// What identifies the build. Debug files have it, too, though most of what their headers name is not in them.
pub(super) fn build_id<'d>(
    header: &Header,
    data: impl ReadRef<'d>,
) -> object::Result<Option<Vec<u8>>> {
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        let Some(mut notes) = segment.notes(endian, data)? else {
            continue;
        };
        while let Some(note) = notes.next()? {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                return Ok(Some(note.desc().to_vec()));
            }
        }
    }
    Ok(None)
}

/// What the symbol tables tell.
#[derive(Default)]
pub(super) struct Symbols {
    /// Sorted by name, then address; of those in both tables once.
    pub functions: Vec<BinaryFunction>,
    /// Addresses of the wanted data symbols.
    pub objects: BTreeMap<String, u64>,
    /// Whether there is a table of all symbols, not only of the dynamic ones.
    pub has_symtab: bool,
}

/// Reads the symbols of both tables; of the data only the wanted ones.
pub(super) fn read_symbols<'d, R: ReadRef<'d>>(
    sections: &Sections<'d, R>,
    endian: Endianness,
    data: R,
    segments: &[(u64, u64, u64)],
    wanted: &BTreeSet<String>,
) -> object::Result<Symbols> {
    let mut found = Symbols::default();
    for kind in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
        let exported = kind == elf::SHT_DYNSYM;
        let symbols = sections.symbols(endian, data, kind)?;
        found.has_symtab |= !exported && !symbols.is_empty();
        // The names in one read: one by one they would be a read of the file each.
        let names = match sections.section(symbols.string_section()) {
            Ok(section) => section.data(endian, data)?,
            Err(_) => &[],
        };
        for symbol in symbols.iter() {
            let is_ifunc = symbol.st_type() == elf::STT_GNU_IFUNC;
            let is_function = is_ifunc || symbol.st_type() == elf::STT_FUNC;
            if !is_function && wanted.is_empty() || symbol.is_undefined(endian) {
                continue;
            }
            let Some(name) = symbol_name(names, symbol.st_name(endian)) else {
                continue;
            };
            let address = symbol.st_value(endian);
            if !is_function && wanted.contains(name) {
                found.objects.insert(name.to_owned(), address);
            }
            if let Some(offset) = offset_in(segments, address)
                && is_function
            {
                found.functions.push(BinaryFunction {
                    name: name.into(),
                    address,
                    size: symbol.st_size(endian),
                    offset,
                    exported,
                    is_ifunc,
                });
            }
        }
    }
    sort(&mut found.functions);
    Ok(found)
}

/// Sorts functions and takes out doubles: exported ones first among equals, to be the ones that stay.
pub(super) fn sort(functions: &mut Vec<BinaryFunction>) {
    functions.sort_unstable_by(|a, b| {
        (&a.name, a.address, b.exported, a.size).cmp(&(&b.name, b.address, a.exported, b.size))
    });
    functions.dedup_by(|later, first| later.name == first.name && later.address == first.address);
}

/// A name out of a string table, without its version (`read@@GLIBC_2.2.5`); `None` if it is empty
/// or no text.
pub(super) fn symbol_name(names: &[u8], at: u32) -> Option<&str> {
    let name = names.get(at as usize..)?;
    let name = &name[..name.find_byte(0).unwrap_or(name.len())];
    let name = name.split(|&b| b == b'@').next().unwrap_or(name);
    str::from_utf8(name).ok().filter(|name| !name.is_empty())
}

/// The name of the file that holds what was stripped.
fn debug_link<'d, R: ReadRef<'d>>(
    sections: &Sections<'d, R>,
    endian: Endianness,
    data: R,
) -> Option<String> {
    let (_, section) = sections.section_by_name(endian, b".gnu_debuglink")?;
    let name = section.data(endian, data).ok()?.split(|&b| b == 0).next()?;
    str::from_utf8(name).ok().map(str::to_owned)
}

/// Reads the SDT marks. A damaged note is left out: the others are good.
fn read_marks<'d>(
    sections: &Sections<'d, impl ReadRef<'d>>,
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
