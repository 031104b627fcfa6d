//! Writes the image: one relocatable ELF object, as a C compiler with libbpf's headers would make it,
//! plus the `.rtap` section.
//!
//! References to maps are relocations against the map's symbol in `.maps`, or against the section
//! symbol of a data section with the offset as addend.

mod btf;
mod ext;

use std::collections::BTreeSet;

use object::write::{Object as Elf, Relocation, Symbol, SymbolId, SymbolSection};
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

/// Where a program ended up.
struct Placed {
    section: String,
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
    let btf = btf::write(&object.plan, &object.programs, &used, module, types)
        .map_err(|error| error.to_string())?;

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

    let mut placed = Vec::new();
    let mut sections: Vec<(String, object::write::SectionId)> = Vec::new();
    for program in &object.programs {
        let known = sections
            .iter()
            .find(|(name, _)| *name == program.section)
            .map(|(_, id)| *id);
        let section = known.unwrap_or_else(|| {
            let id = elf.add_section(
                Vec::new(),
                program.section.clone().into_bytes(),
                SectionKind::Text,
            );
            sections.push((program.section.clone(), id));
            id
        });
        let at = elf.append_section_data(section, &program.code.bytes, 8);
        elf.add_symbol(Symbol {
            name: program.symbol.clone().into_bytes(),
            value: at,
            size: program.code.bytes.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        for reloc in &program.code.relocs {
            let (symbol, r_type) = match reloc.target {
                RelocTarget::Map(map) => {
                    (symbols.get(map.0 as usize).copied().flatten(), R_BPF_64_64)
                }
                RelocTarget::Subprogram(_) => (None, R_BPF_64_32),
            };
            let symbol = symbol.ok_or("reference to a map that is not written")?;
            elf.add_relocation(
                section,
                Relocation {
                    offset: at + u64::from(reloc.offset),
                    symbol,
                    addend: 0,
                    flags: RelocationFlags::Elf {
                        r_type: object::elf::RelocationType(r_type),
                    },
                },
            )
            .map_err(|error| error.to_string())?;
        }
        placed.push(Placed {
            section: program.section.clone(),
            offset: at as u32,
        });
    }

    let mut btf = btf;
    let ext = ext::write(&mut btf, &object.programs, &placed, module, &meta.files);
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

/// The maps that the image declares: the globals, every array and statistic of the
/// script, and of the others those that code refers to.
fn used_maps(object: &Object, module: &Module) -> BTreeSet<MapId> {
    let mut used = BTreeSet::from([Plan::GLOBALS]);
    if !module.handlers.is_empty() {
        used.insert(Plan::EVENTS);
    }
    let own = [Plan::GLOBALS, Plan::RODATA, Plan::EVENTS, Plan::FRAMES];
    used.extend(
        (0..object.plan.maps.len() as u32)
            .map(MapId)
            .filter(|map| !own.contains(map)),
    );
    for program in &object.programs {
        for reloc in &program.code.relocs {
            if let RelocTarget::Map(map) = reloc.target {
                used.insert(map);
            }
        }
    }
    used
}
