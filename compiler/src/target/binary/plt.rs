//! The procedure linkage table: the stubs through which an object calls functions of others.
//!
//! A stub jumps to what a slot of the global offset table holds, and the slot's relocation names the
//! function. In: the sections `.plt`, `.plt.sec` and `.plt.got` and the relocations. Out: a
//! [`BinaryFunction`] for each stub, called like the function it leads to.
//!
//! Source: System V ABI, AMD64 supplement, "Procedure Linkage Table".

use std::collections::BTreeMap;

use object::elf;
use object::read::elf::{Rela, SectionHeader};
use object::{Endianness, ReadRef};

use super::elf::{Sections, sort, symbol_name};
use super::{BinaryFunction, offset_in};

/// Where stubs begin, bytes.
const STUB_ALIGNMENT: usize = 8;
/// `endbr64`, before the jump where indirect branches are tracked.
const ENDBR: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
/// The prefix `bnd`, which old linkers put before the jump.
const BND: &[u8] = &[0xf2];
/// `jmp *displacement(%rip)`, before the four bytes of the displacement.
const JUMP: &[u8] = &[0xff, 0x25];

/// Reads the stubs.
pub(super) fn read<'d, R: ReadRef<'d>>(
    sections: &Sections<'d, R>,
    endian: Endianness,
    data: R,
    segments: &[(u64, u64, u64)],
) -> object::Result<Vec<BinaryFunction>> {
    let mut stubs = Vec::new();
    let mut slots = None;
    for name in [".plt", ".plt.sec", ".plt.got"] {
        let Some((_, section)) = sections.section_by_name(endian, name.as_bytes()) else {
            continue;
        };
        let slots = match &slots {
            Some(slots) => slots,
            None => slots.insert(read_slots(sections, endian, data)?),
        };
        let (start, bytes) = (section.sh_addr(endian), section.data(endian, data)?);
        for at in (0..bytes.len()).step_by(STUB_ALIGNMENT) {
            let address = start.wrapping_add(at as u64);
            let slot = slot_of(&bytes[at..], address);
            if let Some(name) = slot.and_then(|slot| slots.get(&slot))
                && let Some(offset) = offset_in(segments, address)
            {
                stubs.push(BinaryFunction {
                    name: (*name).into(),
                    address,
                    size: STUB_ALIGNMENT as u64,
                    offset,
                    exported: false,
                    is_ifunc: false,
                });
            }
        }
    }
    sort(&mut stubs);
    Ok(stubs)
}

/// The slot that a stub at `address` jumps through.
fn slot_of(code: &[u8], address: u64) -> Option<u64> {
    let after = code.strip_prefix(ENDBR).unwrap_or(code);
    let after = after.strip_prefix(BND).unwrap_or(after);
    let (displacement, rest) = after.strip_prefix(JUMP)?.split_first_chunk()?;
    let next = address.wrapping_add((code.len() - rest.len()) as u64);
    Some(next.wrapping_add_signed(i64::from(i32::from_le_bytes(*displacement))))
}

/// The functions that slots are for, by the slots' addresses.
fn read_slots<'d, R: ReadRef<'d>>(
    sections: &Sections<'d, R>,
    endian: Endianness,
    data: R,
) -> object::Result<BTreeMap<u64, &'d str>> {
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
    let names = match sections.section(symbols.string_section()) {
        Ok(section) => section.data(endian, data)?,
        Err(_) => &[],
    };
    let mut slots = BTreeMap::new();
    for section in sections.iter() {
        let Some((relocations, _)) = section.rela(endian, data)? else {
            continue;
        };
        for relocation in relocations {
            let kind = relocation.r_type(endian, false);
            if !matches!(kind, elf::R_X86_64_JUMP_SLOT | elf::R_X86_64_GLOB_DAT) {
                continue;
            }
            let symbol = relocation.symbol(endian, false);
            let name = symbol
                .and_then(|index| symbols.symbol(index).ok())
                .and_then(|symbol| {
                    symbol_name(names, object::read::elf::Sym::st_name(symbol, endian))
                });
            if let Some(name) = name {
                slots.insert(relocation.r_offset(endian), name);
            }
        }
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_stubs() {
        let plain = [0xff, 0x25, 0x10, 0, 0, 0, 0x68, 0];
        assert_eq!(slot_of(&plain, 0x1000), Some(0x1016));
        let tracked = [
            0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0xf0, 0xff, 0xff, 0xff, 0x90,
        ];
        assert_eq!(slot_of(&tracked, 0x1000), Some(0xffb));
        assert_eq!(slot_of(&[0xff, 0x35, 0, 0, 0, 0], 0x1000), None);
        assert_eq!(slot_of(&[0xff, 0x25, 0, 0], 0x1000), None);
    }
}
