//! Reads an eBPF object: code with its relocations, map declarations, data, BTF.
//!
//! In: the bytes of an ELF file as our compiler, or clang with libbpf's headers, writes
//! it. Everything that later stages index by is checked here.

use std::collections::HashMap;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, Rel, SectionHeader, SectionTable, Sym};
use rtap_compiler::btf::{Btf, Kind, Type, TypeId};

use super::error::LoadError;
use super::ext::{self, CoreReloc, FuncInfo, LineInfo};
use crate::bpf::Insn;

type Header = elf::FileHeader64<Endianness>;

/// `R_BPF_64_64`: a 64-bit immediate load.
const R_BPF_64_64: u32 = 1;
/// `R_BPF_64_32`: a call.
const R_BPF_64_32: u32 = 10;
/// Machine number of eBPF.
const EM_BPF: u16 = 247;
const MAPS_SECTION: &str = ".maps";
/// Opcode of a 64-bit immediate load.
pub(super) const LOAD_IMM64: u8 = 0x18;
/// Opcode of a call.
pub(super) const CALL: u8 = 0x85;

/// A parsed object.
#[derive(Debug)]
pub struct ObjectFile {
    pub(super) code: Vec<CodeSection>,
    pub(super) functions: Vec<Function>,
    pub(super) maps: Vec<MapDecl>,
    pub(super) data: Vec<DataSection>,
    pub(super) btf_bytes: Option<Vec<u8>>,
    pub(super) btf: Option<Btf>,
    /// The contents of the `.rtap` section.
    pub(super) meta: Option<Vec<u8>>,
}

/// A section with instructions.
#[derive(Debug)]
pub(super) struct CodeSection {
    pub insns: Vec<Insn>,
    /// By instruction, ascending.
    pub relocs: Vec<Reloc>,
    /// By instruction, ascending.
    pub func_infos: Vec<FuncInfo>,
    /// By instruction, ascending.
    pub line_infos: Vec<LineInfo>,
    pub core_relocs: Vec<CoreReloc>,
}

/// An instruction that refers to something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reloc {
    /// The instruction, from the section's start.
    pub insn: usize,
    pub target: Target,
}

/// What an instruction refers to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The descriptor of a declared map, by index.
    Map(usize),
    /// An address in a data section's map: section's index, offset in bytes.
    Data(usize, u32),
    /// A function to call, by index.
    Call(usize),
    /// A function's address, by index.
    Address(usize),
}

/// A function: a program or subprogram.
#[derive(Debug)]
pub(super) struct Function {
    pub symbol: String,
    /// Index in [`ObjectFile::code`].
    pub section: usize,
    /// First instruction, from the section's start.
    pub first: usize,
    /// Number of instructions.
    pub count: usize,
}

/// A map declared in `.maps`.
#[derive(Debug, Default)]
pub(super) struct MapDecl {
    pub name: String,
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub key_type: u32,
    pub value_type: u32,
}

/// `.data`, `.rodata`, `.bss`: a map of one element.
#[derive(Debug)]
pub(super) struct DataSection {
    pub name: String,
    pub bytes: Vec<u8>,
    pub read_only: bool,
    /// Its `DataSec` in the BTF, 0 for none.
    pub btf_type: u32,
}

/// Where the sections of the ELF file ended up.
#[derive(Default)]
struct Places {
    code: HashMap<usize, usize>,
    data: HashMap<usize, usize>,
    /// Section number of `.maps`.
    maps: Option<usize>,
    /// Offsets in `.maps` of the declarations, as symbols tell them. (Those in the BTF of a
    /// C compiler are filled in by a linker, if at all.)
    map_offsets: HashMap<u64, usize>,
}

impl ObjectFile {
    /// Parses the bytes of an image.
    pub fn parse(data: &[u8]) -> Result<Self, LoadError> {
        let header = Header::parse(data).map_err(|_| LoadError::NotAnImage("not an ELF file"))?;
        let endian = match header.endian() {
            Ok(Endianness::Little) => Endianness::Little,
            _ => return Err(LoadError::NotAnImage("not a little-endian ELF file")),
        };
        if header.e_machine.get(endian).0 != EM_BPF {
            return Err(LoadError::NotAnImage("not an ELF file of eBPF programs"));
        }
        let sections = header.sections(endian, data)?;
        let mut this = Self {
            code: Vec::new(),
            functions: Vec::new(),
            maps: Vec::new(),
            data: Vec::new(),
            btf_bytes: None,
            btf: None,
            meta: None,
        };
        let mut places = Places::default();
        let mut ext = None;
        let mut code_names = Vec::new();
        // Sections may lie over one another: a small file must not become a large one.
        let mut room = MAX_SECTIONS_BYTES;
        let mut take = |bytes: u64| {
            room = usize::try_from(bytes)
                .ok()
                .and_then(|bytes| room.checked_sub(bytes))?;
            Some(())
        };
        let too_big = || LoadError::damaged("its sections are too big");
        for (index, section) in sections.enumerate() {
            let name = sections.section_name(endian, section)?;
            let name = String::from_utf8_lossy(name).into_owned();
            let bytes = || section.data(endian, data);
            match name.as_str() {
                ".BTF" => this.btf_bytes = Some(bytes()?.to_vec()),
                ".BTF.ext" => ext = Some(bytes()?),
                rtap_compiler::image::META_SECTION => this.meta = Some(bytes()?.to_vec()),
                MAPS_SECTION => places.maps = Some(index.0),
                _ if section.sh_flags(endian).0 & elf::SHF_EXECINSTR.0 != 0 => {
                    take(section.sh_size(endian)).ok_or_else(too_big)?;
                    places.code.insert(index.0, this.code.len());
                    this.code.push(CodeSection::new(bytes()?)?);
                    code_names.push(name);
                }
                _ if [".data", ".rodata", ".bss"]
                    .iter()
                    .any(|prefix| is_data(&name, prefix)) =>
                {
                    places.data.insert(index.0, this.data.len());
                    take(section.sh_size(endian)).ok_or_else(too_big)?;
                    let bytes = if section.sh_type(endian) == elf::SHT_NOBITS {
                        vec![0; section.sh_size(endian) as usize]
                    } else {
                        bytes()?.to_vec()
                    };
                    let read_only = name.starts_with(".rodata");
                    this.data.push(DataSection {
                        name,
                        bytes,
                        read_only,
                        btf_type: 0,
                    });
                }
                _ => {}
            }
        }
        this.read_btf()?;
        this.read_symbols(&sections, endian, data, &mut places)?;
        this.read_relocs(&sections, endian, data, &places)?;
        if let (Some(ext), Some(btf)) = (ext, &this.btf) {
            ext::read(ext, btf, &code_names, &mut this.code)?;
        }
        Ok(this)
    }

    /// The contents of the `.rtap` section.
    pub fn meta_bytes(&self) -> Option<&[u8]> {
        self.meta.as_deref()
    }

    /// The BTF of the object.
    pub(super) fn btf_bytes(&self) -> Option<&[u8]> {
        self.btf_bytes.as_deref()
    }

    /// The symbols of its functions: programs and subprograms.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.functions
            .iter()
            .map(|function| function.symbol.as_str())
    }

    /// Reads the map declarations.
    fn read_btf(&mut self) -> Result<(), LoadError> {
        let Some(bytes) = &self.btf_bytes else {
            return Ok(());
        };
        let btf = Btf::parse(bytes.clone())?;
        let data = self.data.iter_mut();
        let mut data: HashMap<&str, &mut u32> = data
            .map(|data| (data.name.as_str(), &mut data.btf_type))
            .collect();
        for section in btf.own_ids_of(Kind::DataSec) {
            let Type::DataSec(all) = btf.get(section)? else {
                continue;
            };
            let name = btf.name(section);
            if let Some(btf_type) = data.get_mut(name) {
                **btf_type = section.0;
            }
            if name == MAPS_SECTION {
                for variable in all.variables() {
                    let decl = MapDecl::read(&btf, variable.var)?;
                    self.maps.push(decl);
                }
            }
        }
        self.btf = Some(btf);
        Ok(())
    }

    fn read_symbols(
        &mut self,
        sections: &SectionTable<'_, Header>,
        endian: Endianness,
        data: &[u8],
        places: &mut Places,
    ) -> Result<(), LoadError> {
        let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB)?;
        let names = self.maps.iter().enumerate();
        let maps: HashMap<&[u8], usize> =
            names.map(|(n, decl)| (decl.name.as_bytes(), n)).collect();
        for symbol in symbols.iter() {
            let section = symbol.st_shndx(endian).0 as usize;
            if Some(section) == places.maps {
                let name = symbols.symbol_name(endian, symbol)?;
                let map = maps.get(name);
                places
                    .map_offsets
                    .extend(map.map(|&map| (symbol.st_value(endian), map)));
                continue;
            }
            let Some(&section) = places.code.get(&section) else {
                continue;
            };
            if symbol.st_type() != elf::STT_FUNC {
                continue;
            }
            let name = String::from_utf8_lossy(symbols.symbol_name(endian, symbol)?).into_owned();
            let (at, bytes) = (symbol.st_value(endian), symbol.st_size(endian));
            let insns = self.code.get(section).map_or(0, |code| code.insns.len()) as u64;
            let end = at.checked_add(bytes).map(|end| end / 8);
            if bytes == 0 || at % 8 != 0 || bytes % 8 != 0 || end.is_none_or(|end| end > insns) {
                return Err(LoadError::damaged(format!(
                    "function '{name}' lies outside its section"
                )));
            }
            let (first, count) = ((at / 8) as usize, (bytes / 8) as usize);
            self.functions.push(Function {
                symbol: name,
                section,
                first,
                count,
            });
        }
        Ok(())
    }

    fn read_relocs(
        &mut self,
        sections: &SectionTable<'_, Header>,
        endian: Endianness,
        data: &[u8],
        places: &Places,
    ) -> Result<(), LoadError> {
        let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB)?;
        let functions: HashMap<(usize, usize), usize> = self
            .functions
            .iter()
            .enumerate()
            .map(|(n, f)| ((f.section, f.first), n))
            .collect();
        for section in sections.iter() {
            let Some(&code) = places.code.get(&(section.sh_info(endian) as usize)) else {
                continue;
            };
            let Some((entries, _)) = section.rel(endian, data)? else {
                continue;
            };
            for entry in entries {
                let code = &mut self.code[code];
                if code.relocs.len() >= code.insns.len() {
                    return Err(LoadError::damaged(
                        "it has more relocations than instructions",
                    ));
                }
                let insn = (entry.r_offset(endian) / 8) as usize;
                let symbol = symbols.symbol(object::SymbolIndex(entry.r_sym(endian) as usize))?;
                let resolver = Resolver {
                    places,
                    functions: &functions,
                };
                let kind = entry.r_type(endian).0;
                let value = symbol.st_value(endian);
                let of_section = symbol.st_shndx(endian).0 as usize;
                let target = resolver.target(code, insn, kind, of_section, value)?;
                code.relocs.push(Reloc { insn, target });
            }
        }
        for code in &mut self.code {
            code.relocs.sort_by_key(|reloc| reloc.insn);
        }
        Ok(())
    }
}

/// The most bytes of code and data that are believed.
const MAX_SECTIONS_BYTES: usize = 64 << 20;

fn is_data(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The fields of an instruction.
pub(super) fn opcode(insn: Insn) -> u8 {
    insn as u8
}

/// The immediate of an instruction.
pub(super) fn immediate(insn: Insn) -> i32 {
    (insn >> 32) as i32
}

struct Resolver<'a> {
    places: &'a Places,
    /// By code section and first instruction.
    functions: &'a HashMap<(usize, usize), usize>,
}

impl Resolver<'_> {
    fn target(
        &self,
        code: &CodeSection,
        insn: usize,
        kind: u32,
        section: usize,
        value: u64,
    ) -> Result<Target, LoadError> {
        let bad =
            |what: &str| LoadError::damaged(format!("relocation of instruction {insn}: {what}"));
        let word = *code
            .insns
            .get(insn)
            .ok_or_else(|| bad("outside its section"))?;
        let imm = i64::from(immediate(word));
        let value = i64::try_from(value).map_err(|_| bad("bad symbol"))?;
        let function = |at: i64| {
            let code = *self
                .places
                .code
                .get(&section)
                .ok_or_else(|| bad("no function there"))?;
            let first = usize::try_from(at).map_err(|_| bad("no function there"))?;
            self.functions
                .get(&(code, first))
                .copied()
                .ok_or_else(|| bad("no function there"))
        };
        match (kind, opcode(word)) {
            // Against a function's symbol the immediate is -1, against the section's it is the
            // function's instruction - 1.
            (R_BPF_64_32, CALL) => Ok(Target::Call(function(value / 8 + imm + 1)?)),
            (R_BPF_64_64, LOAD_IMM64) => {
                code.insns
                    .get(insn + 1)
                    .ok_or_else(|| bad("half an instruction"))?;
                if Some(section) == self.places.maps {
                    let map = self.places.map_offsets.get(&(value as u64));
                    return map
                        .map(|&map| Target::Map(map))
                        .ok_or_else(|| bad("no map there"));
                }
                if let Some(&data) = self.places.data.get(&section) {
                    let offset = u32::try_from(value + imm).map_err(|_| bad("bad offset"))?;
                    return Ok(Target::Data(data, offset));
                }
                Ok(Target::Address(function((value + imm) / 8)?))
            }
            _ => Err(bad("of a kind that is not known")),
        }
    }
}

impl CodeSection {
    fn new(bytes: &[u8]) -> Result<Self, LoadError> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(LoadError::damaged("half an instruction"));
        }
        Ok(Self {
            insns: words
                .iter()
                .map(|&word| Insn::from_le_bytes(word))
                .collect(),
            relocs: Vec::new(),
            func_infos: Vec::new(),
            line_infos: Vec::new(),
            core_relocs: Vec::new(),
        })
    }
}

impl MapDecl {
    /// Reads `struct { int (*type)[N]; … key_type *key; } NAME;`.
    fn read(btf: &Btf, var: TypeId) -> Result<Self, LoadError> {
        let Type::Var { ty, .. } = btf.get(var)? else {
            return Err(LoadError::damaged(
                "'.maps' lists something that is no variable",
            ));
        };
        let (_, all) = btf.composite(ty)?;
        let mut decl = Self {
            name: btf.name(var).to_owned(),
            ..Self::default()
        };
        for member in all.members() {
            let Some(to) = btf.pointee(member.ty) else {
                continue;
            };
            // `int (*field)[N]` spells the number N.
            let number = || match btf.get(to)? {
                Type::Array { len, .. } => Ok(len),
                _ => Err(LoadError::damaged(
                    "a map's declaration has no number where one belongs",
                )),
            };
            let size = || Ok::<u32, LoadError>(u32::try_from(btf.size_of(to)?).unwrap_or(u32::MAX));
            match btf.string(member.name_offset) {
                "type" => decl.kind = number()?,
                "max_entries" => decl.max_entries = number()?,
                "map_flags" => decl.flags = number()?,
                "key_size" => decl.key_size = number()?,
                "value_size" => decl.value_size = number()?,
                "key" => (decl.key_size, decl.key_type) = (size()?, to.0),
                "value" => (decl.value_size, decl.value_type) = (size()?, to.0),
                _ => {}
            }
        }
        Ok(decl)
    }
}

impl From<object::Error> for LoadError {
    fn from(error: object::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}
