//! Relocatable files, which kernel modules are: their sections have no addresses yet, and debug sections no values where
//! those belong. Sections are laid out one after the other here, as if they were loaded so.

use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Endianness, Object, ObjectKind, ObjectSection, ObjectSymbol, ReadRef, RelocationKind,
    RelocationTarget, SectionFlags, SectionIndex, SymbolIndex, elf,
};

use super::DwarfError;

/// Sections begin at pages, the first at the second one: 0 is no address.
const PAGE: u64 = 0x1000;

/// The addresses of a file's sections: its own, or for relocatable files such as are given here.
pub(crate) struct Layout(Vec<u64>);

impl Layout {
    pub fn of<'d, R: ReadRef<'d>>(file: &ElfFile64<'d, Endianness, R>) -> Self {
        let is_relocatable = is_relocatable(file);
        let mut addresses = Vec::new();
        let mut next = PAGE;
        for section in file.sections() {
            let SectionIndex(index) = section.index();
            if addresses.len() <= index {
                addresses.resize(index + 1, 0);
            }
            if !is_relocatable {
                addresses[index] = section.address();
            } else if is_loaded(&section) {
                addresses[index] = next;
                let end = next.saturating_add(section.size());
                next = end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
            }
        }
        Self(addresses)
    }

    /// Where a section begins; 0 for what is not loaded.
    pub fn address(&self, SectionIndex(index): SectionIndex) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Where a symbol is.
    pub fn symbol<'d>(&self, is_relocatable: bool, symbol: &impl ObjectSymbol<'d>) -> u64 {
        let within = symbol.address();
        match symbol.section_index() {
            Some(section) if is_relocatable => self.address(section).wrapping_add(within),
            _ => within,
        }
    }
}

pub(crate) fn is_relocatable<'d, R: ReadRef<'d>>(file: &ElfFile64<'d, Endianness, R>) -> bool {
    file.kind() == ObjectKind::Relocatable
}

/// Whether the section is part of what is loaded.
pub(crate) fn is_loaded<'d, R: ReadRef<'d>>(section: &ElfSection64<'d, '_, Endianness, R>) -> bool {
    has_flags(section, elf::SHF_ALLOC)
}

/// Whether the section is loaded code.
pub(crate) fn is_code<'d, R: ReadRef<'d>>(section: &ElfSection64<'d, '_, Endianness, R>) -> bool {
    has_flags(section, elf::SHF_ALLOC | elf::SHF_EXECINSTR)
}

fn has_flags<'d, R: ReadRef<'d>>(
    section: &ElfSection64<'d, '_, Endianness, R>,
    wanted: elf::SectionFlags,
) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(wanted))
}

/// Writes the values into a debug section.
pub(super) fn relocate<'d, R: ReadRef<'d>>(
    file: &ElfFile64<'d, Endianness, R>,
    layout: &Layout,
    section: &ElfSection64<'d, '_, Endianness, R>,
    bytes: &mut [u8],
) -> Result<(), DwarfError> {
    let symbol = |index: SymbolIndex| -> Result<u64, DwarfError> {
        Ok(layout.symbol(true, &file.symbol_by_index(index)?))
    };
    for (offset, relocation) in section.relocations() {
        if relocation.kind() != RelocationKind::Absolute {
            continue;
        }
        let base = match relocation.target() {
            RelocationTarget::Symbol(index) => symbol(index)?,
            RelocationTarget::Section(index) => layout.address(index),
            _ => 0,
        };
        let value = base.wrapping_add_signed(relocation.addend()).to_le_bytes();
        let size = usize::from(relocation.size() / 8).min(value.len());
        let place = usize::try_from(offset)
            .ok()
            .and_then(|start| bytes.get_mut(start..start.checked_add(size)?));
        if let Some(place) = place {
            place.copy_from_slice(&value[..size]);
        }
    }
    Ok(())
}
