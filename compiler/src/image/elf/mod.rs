//! Writes the image: one relocatable ELF object, as a C compiler with libbpf's headers would make it,
//! plus the `.rtap` section.
//!
//! References to maps are relocations against the map's symbol in `.maps`, or against the section
//! symbol of a data section with the offset as addend.

mod btf;
mod ext;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use object::write::{Object as Elf, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

use super::{META_SECTION, Meta};
use crate::bpf::Object;
use crate::bpf::encode::RelocTarget;
use crate::bpf::insn::MapId;
use crate::bpf::plan::{MapSort, Plan};
use crate::btf::Btf;
use crate::lir::Module;

/// `R_BPF_64_64`: a 64-bit immediate load.
const R_BPF_64_64: u32 = 1;
/// `R_BPF_64_32`: a call.
const R_BPF_64_32: u32 = 10;
/// Name of the section with map declarations.
const MAPS_SECTION: &str = ".maps";

/// Where a function ended up.
struct Placed {
    section: String,
    id: SectionId,
    /// Bytes from the section's start.
    offset: u32,
}

/// Writes the object.
pub fn write(
    object: &Object,
    module: &Module,
    meta: &Meta,
    types: Option<&Btf>,
) -> Result<Vec<u8>, String> {
    let mut elf = Elf::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let used = used_maps(object, module);
    let btf = btf::write(object, &used, module, types).map_err(|error| error.to_string())?;

    let license = elf.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    elf.append_section_data(license, b"GPL\0", 1);

    let mut symbols: Vec<Option<SymbolId>> = vec![None; object.plan.maps.len()];
    let mut maps_section = None;
    let mut maps_bytes = 0;
    for &map in &used {
        let def = &object.plan.maps[map.0 as usize];
        let symbol = match def.sort {
            MapSort::Data | MapSort::Rodata => {
                let (kind, data) = if def.sort == MapSort::Data {
                    (SectionKind::Data, &object.plan.globals_data)
                } else {
                    (SectionKind::ReadOnlyData, &object.plan.rodata)
                };
                let section = elf.add_section(Vec::new(), def.name.clone().into_bytes(), kind);
                elf.append_section_data(section, data, 8);
                elf.section_symbol(section)
            }
            _ => {
                let section = *maps_section.get_or_insert_with(|| {
                    elf.add_section(
                        Vec::new(),
                        MAPS_SECTION.as_bytes().to_vec(),
                        SectionKind::Data,
                    )
                });
                let bytes = btf::map_struct_bytes(def);
                let at = elf.append_section_data(section, &vec![0; bytes as usize], 8);
                maps_bytes += bytes;
                elf.add_symbol(Symbol {
                    name: def.name.clone().into_bytes(),
                    value: at,
                    size: u64::from(bytes),
                    kind: SymbolKind::Data,
                    scope: SymbolScope::Linkage,
                    weak: false,
                    section: SymbolSection::Section(section),
                    flags: SymbolFlags::None,
                })
            }
        };
        symbols[map.0 as usize] = Some(symbol);
    }
    let _ = maps_bytes;

    let placed = write_code(&mut elf, object, &symbols)?;

    let mut btf = btf;
    let ext = ext::write(&mut btf, object, &placed, module, &meta.files);
    let section = elf.add_section(Vec::new(), b".BTF".to_vec(), SectionKind::Metadata);
    elf.append_section_data(section, &btf.builder.finish(), 8);
    let section = elf.add_section(Vec::new(), b".BTF.ext".to_vec(), SectionKind::Metadata);
    elf.append_section_data(section, &ext, 8);

    let bytes = postcard::to_stdvec(meta).map_err(|error| error.to_string())?;
    let section = elf.add_section(
        Vec::new(),
        META_SECTION.as_bytes().to_vec(),
        SectionKind::Metadata,
    );
    elf.append_section_data(section, &bytes, 8);
    elf.write().map_err(|error| error.to_string())
}

/// Writes all functions with their symbols and relocations.
fn write_code(
    elf: &mut Elf<'_>,
    object: &Object,
    maps: &[Option<SymbolId>],
) -> Result<Vec<Placed>, String> {
    let mut sections: IndexMap<&str, SectionId> = IndexMap::new();
    let mut placed = Vec::new();
    let mut symbols = Vec::new();
    for (name, function) in object.functions() {
        let section = *sections.entry(name).or_insert_with(|| {
            elf.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Text)
        });
        let at = elf.append_section_data(section, &function.code.bytes, 8);
        symbols.push(elf.add_symbol(Symbol {
            name: function.symbol.clone().into_bytes(),
            value: at,
            size: function.code.bytes.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        }));
        placed.push(Placed {
            section: name.to_owned(),
            id: section,
            offset: at as u32,
        });
    }
    // Of each program's functions, the number of the first among all.
    let mut first = 0;
    for program in &object.programs {
        for (function, place) in program.functions.iter().zip(&placed[first..]) {
            for reloc in &function.code.relocs {
                let (symbol, r_type) = match reloc.target {
                    RelocTarget::Map(map) => {
                        (maps.get(map.0 as usize).copied().flatten(), R_BPF_64_64)
                    }
                    RelocTarget::Address(number) => {
                        (symbols.get(first + number as usize).copied(), R_BPF_64_64)
                    }
                    RelocTarget::Subprogram(number) => {
                        (symbols.get(first + number as usize).copied(), R_BPF_64_32)
                    }
                };
                let relocation = Relocation {
                    offset: u64::from(place.offset + reloc.offset),
                    symbol: symbol.ok_or("reference to something that is not written")?,
                    addend: 0,
                    flags: RelocationFlags::Elf {
                        r_type: object::elf::RelocationType(r_type),
                    },
                };
                elf.add_relocation(place.id, relocation)
                    .map_err(|error| error.to_string())?;
            }
        }
        first += program.functions.len();
    }
    Ok(placed)
}

/// The maps that the image declares: the globals, every array and statistic of the
/// script, and of the others those that code refers to.
fn used_maps(object: &Object, module: &Module) -> BTreeSet<MapId> {
    let mut used = BTreeSet::from([Plan::GLOBALS]);
    if !module.handlers.is_empty() {
        used.insert(Plan::EVENTS);
    }
    let own = [
        Plan::GLOBALS,
        Plan::RODATA,
        Plan::EVENTS,
        Plan::FRAMES,
        Plan::SNAPSHOTS,
        Plan::COUNTERS,
    ];
    used.extend(
        (0..object.plan.maps.len() as u32)
            .map(MapId)
            .filter(|map| !own.contains(map)),
    );
    for (_, function) in object.functions() {
        for reloc in &function.code.relocs {
            if let RelocTarget::Map(map) = reloc.target {
                used.insert(map);
            }
        }
    }
    used
}
