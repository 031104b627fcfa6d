//! The sections of an ELF file that hold debug information.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock};

use gimli::{
    AbbreviationsCacheStrategy, Dwarf, DwarfSections, EndianSlice, LittleEndian, SectionId,
};
use object::read::elf::{ElfFile64, ElfSection64};
use object::{CompressionFormat, Endianness, Object, ObjectSection, ReadRef};

use super::bytes::{Bytes, SharedFile, contents};
use super::relocate::{Layout, is_relocatable, relocate};
use super::unit::Unit;
use super::{Budget, DebugInfo, DwarfError, Slice};

/// A section that claims to be larger when it is unpacked is not believed. Bytes.
const MAX_SECTION_BYTES: u64 = 1 << 31;
/// How often each byte may be read, and how many steps even a tiny file has.
const STEPS_PER_BYTE: u64 = 4;
const LEAST_STEPS: u64 = 10_000;

impl DebugInfo {
    /// Reads the debug sections of an ELF file, all in memory or read piecewise (`object::read::ReadCache`).
    pub fn parse<'d>(data: impl ReadRef<'d>) -> Result<Self, DwarfError> {
        Self::read(data, None)
    }

    /// The same for a file that stays in memory: sections that need not be unpacked are used where they are.
    pub fn of_file(file: &SharedFile) -> Result<Self, DwarfError> {
        Self::read(contents(file), Some(file))
    }

    fn read<'d>(data: impl ReadRef<'d>, whole: Option<&SharedFile>) -> Result<Self, DwarfError> {
        let file = ElfFile64::<Endianness, _>::parse(data)?;
        if !file.is_little_endian() {
            return Err(DwarfError::Damaged("it is big-endian".to_owned()));
        }
        let layout = is_relocatable(&file).then(|| Layout::of(&file));
        let (mut bytes, mut has_lines) = (0, false);
        let sections = DwarfSections::load(|id| -> Result<Bytes, DwarfError> {
            if !is_read(id) {
                return Ok(Bytes::Own(Vec::new()));
            }
            let loaded = load(&file, id, whole, layout.as_ref())?;
            bytes += loaded.len() as u64;
            has_lines |= id == SectionId::DebugLine && file.section_by_name(id.name()).is_some();
            Ok(loaded)
        })?;
        if !has_lines {
            return Err(DwarfError::None);
        }
        Ok(Self {
            sections,
            bytes,
            file: whole.cloned(),
            location_tables: OnceLock::new(),
            index: OnceLock::new(),
            globals: Mutex::default(),
        })
    }

    /// How much one walk may read.
    pub(super) fn budget(&self) -> Budget {
        let steps = self.bytes.saturating_mul(STEPS_PER_BYTE);
        Budget(Cell::new(steps.saturating_add(LEAST_STEPS)))
    }

    /// The sections where they lie.
    pub(super) fn dwarf(&self) -> Dwarf<Slice<'_>> {
        self.sections
            .borrow(|section| EndianSlice::new(section, LittleEndian))
    }

    /// Goes through the compilation units. One that is damaged is left out, unless all are.
    pub(super) fn each_unit(
        &self,
        mut visit: impl FnMut(&Unit<'_>) -> Result<(), DwarfError>,
    ) -> Result<(), DwarfError> {
        let mut dwarf = self.dwarf();
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let budget = self.budget();
        let mut good = false;
        let mut problem = None;
        let mut headers = dwarf.units();
        loop {
            let visited = match headers.next() {
                Ok(None) => break,
                Ok(Some(header)) => Unit::read(&dwarf, &budget, header)
                    .and_then(|unit| unit.map_or(Ok(()), |unit| visit(&unit))),
                // Where the next one begins is not known then.
                Err(error) => {
                    problem = problem.or(Some(error.into()));
                    break;
                }
            };
            budget.spend(1)?;
            good |= visited.is_ok();
            problem = problem.or(visited.err());
        }
        match problem {
            Some(problem) if !good => Err(problem),
            _ => Ok(()),
        }
    }
}

/// A section; empty if there is none.
pub(super) fn load<'d, R: ReadRef<'d>>(
    file: &ElfFile64<'d, Endianness, R>,
    id: SectionId,
    whole: Option<&SharedFile>,
    layout: Option<&Layout>,
) -> Result<Bytes, DwarfError> {
    let Some(section) = file.section_by_name(id.name()) else {
        return Ok(Bytes::Own(Vec::new()));
    };
    let as_it_is = match (whole, layout) {
        (Some(whole), None) => as_it_is(&section, whole)?,
        _ => None,
    };
    if let Some(loaded) = as_it_is {
        return Ok(loaded);
    }
    let mut own = unpack(&section, id)?;
    if let Some(layout) = layout {
        relocate(file, layout, &section, &mut own)?;
    }
    Ok(Bytes::Own(own))
}

/// A section that is not compressed, where it is in the file.
fn as_it_is<'d, R: ReadRef<'d>>(
    section: &ElfSection64<'d, '_, Endianness, R>,
    whole: &SharedFile,
) -> Result<Option<Bytes>, DwarfError> {
    let range = section.compressed_file_range()?;
    if range.format != CompressionFormat::None {
        return Ok(None);
    }
    Ok(Bytes::part(whole, range.offset, range.compressed_size))
}

fn unpack<'d, R: ReadRef<'d>>(
    section: &ElfSection64<'d, '_, Endianness, R>,
    id: SectionId,
) -> Result<Vec<u8>, DwarfError> {
    let packed = section.compressed_data()?;
    if packed.uncompressed_size > MAX_SECTION_BYTES {
        return Err(DwarfError::Damaged(format!("{} is too large", id.name())));
    }
    Ok(packed.decompress()?.into_owned())
}

/// Sections that functions and lines are read from.
fn is_read(id: SectionId) -> bool {
    matches!(
        id,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugInfo
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugRanges
            | SectionId::DebugRngLists
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
    )
}
