//! CO-RE: adapts field accesses to the running kernel's types.
//!
//! Each record names an instruction, a type of the image's BTF and a path of member
//! indexes into it. The path becomes one of member names, which is resolved over the
//! kernel's BTF; the result replaces the instruction's offset or immediate.
//!
//! Source: `enum bpf_core_relo_kind` in `include/uapi/linux/bpf.h`.

use rtap_compiler::btf::{Btf, Hop, Kind, PathError, PlaceKind, Step, Type, TypeId, resolve_path};
use rtap_compiler::target::Target;

use super::error::LoadError;
use super::ext::CoreReloc;
use super::image_file::{LOAD_IMM64, ObjectFile, opcode};
use crate::bpf::Insn;

/// Instruction classes: the low three bits of an opcode.
const CLASS_LDX: u8 = 1;
const CLASS_ST: u8 = 2;
const CLASS_STX: u8 = 3;
const CLASS_ALU: u8 = 4;
const CLASS_ALU64: u8 = 7;

/// Most indexes of an access string (`BPF_CORE_SPEC_MAX_LEN` of libbpf).
const MOST_INDEXES: usize = 64;

/// A path into a type, by names.
struct NamedPath {
    root: TypeId,
    /// How many whole objects to skip first.
    first: i64,
    steps: Vec<OwnedStep>,
    text: String,
}

enum OwnedStep {
    Field(String),
    Index(i64),
}

impl ObjectFile {
    /// Adapts all field accesses to the running kernel.
    pub fn relocate(&mut self, target: &dyn Target) -> Result<(), LoadError> {
        if self.code.iter().all(|code| code.core_relocs.is_empty()) {
            return Ok(());
        }
        let kernel = target.btf()?;
        let missing = || LoadError::damaged("relocations without BTF");
        let local = self.btf.clone().ok_or_else(missing)?;
        for code in &mut self.code {
            for reloc in &code.core_relocs {
                let value = value(reloc, &local, &kernel)?;
                let outside = || LoadError::damaged("a relocation lies outside its section");
                let insn = code.insns.get_mut(reloc.insn).ok_or_else(outside)?;
                patch(insn, &value)?;
                if opcode(*insn) == LOAD_IMM64 {
                    let second = code.insns.get_mut(reloc.insn + 1).ok_or_else(outside)?;
                    *second = value.number & 0xffff_ffff_0000_0000;
                }
            }
        }
        Ok(())
    }
}

/// What a record comes to on the running kernel.
struct Value {
    number: u64,
    /// Size of the field, when the record is about its offset.
    field_bytes: Option<u64>,
}

fn value(reloc: &CoreReloc, local: &Btf, kernel: &Btf) -> Result<Value, LoadError> {
    let plain = |number: u64| {
        Ok(Value {
            number,
            field_bytes: None,
        })
    };
    let ty = TypeId(reloc.type_id);
    if reloc.kind == 6 {
        return plain(u64::from(reloc.type_id));
    }
    let found = find_type(local, ty, kernel)?;
    match reloc.kind {
        // Type id in the kernel, existence, size.
        7 => return plain(u64::from(require(local, ty, found, "")?.0)),
        8 | 12 => return plain(u64::from(found.is_some())),
        9 => return plain(kernel.size_of(require(local, ty, found, "")?)?),
        10 | 11 => {
            let enumerator = enumerator(local, ty, local.string(reloc.access), kernel, found)?;
            return match (reloc.kind, enumerator) {
                (10, found) => plain(u64::from(found.is_some())),
                (_, Some(number)) => plain(number as u64),
                (_, None) => Err(LoadError::NoSuchField {
                    ty: local.c_name(ty),
                    access: "value".into(),
                    reason: "the enumerator is gone".into(),
                }),
            };
        }
        0..=5 => {}
        kind => {
            return Err(LoadError::damaged(format!(
                "unknown kind of relocation {kind}"
            )));
        }
    }
    let path = named_path(local, ty, local.string(reloc.access))?;
    let resolved = found.map(|root| resolve(kernel, root, &path));
    let hop = match resolved {
        Some(Ok(hop)) => hop,
        Some(Err(error)) if reloc.kind != 2 => {
            return Err(LoadError::NoSuchField {
                ty: local.c_name(path.root),
                access: path.text,
                reason: error.to_string(),
            });
        }
        None if reloc.kind != 2 => return Err(absent(local, path.root, &path.text)),
        Some(Err(_)) | None => return plain(0),
    };
    let bits = hop
        .place
        .bits
        .map_or(hop.place.size * 8, |(_, bits)| u64::from(bits));
    let shift = hop.place.bits.map_or(0, |(shift, _)| u64::from(shift));
    match reloc.kind {
        0 => Ok(Value {
            number: hop.offset as u64,
            field_bytes: Some(hop.place.size),
        }),
        1 => plain(hop.place.size),
        2 => plain(1),
        3 => plain(u64::from(matches!(
            hop.place.kind,
            PlaceKind::Integer { signed: true } | PlaceKind::Enum { signed: true }
        ))),
        4 => plain(64u64.saturating_sub(bits + shift)),
        _ => plain(64u64.saturating_sub(bits)),
    }
}

/// A name without the suffix by which a program tells versions of a struct apart.
fn essential(name: &str) -> &str {
    name.split("___").next().unwrap_or(name)
}

/// The kernel's type of the same kind and name.
fn find_type(local: &Btf, ty: TypeId, kernel: &Btf) -> Result<Option<TypeId>, LoadError> {
    let named = if local.name(ty).is_empty() {
        local.strip(ty)?
    } else {
        ty
    };
    let kind = local.kind(named).unwrap_or(Kind::Int);
    let name = essential(local.name(named));
    let kinds: &[Kind] = match kind {
        Kind::Enum | Kind::Enum64 => &[Kind::Enum, Kind::Enum64],
        Kind::Fwd => &[Kind::Struct, Kind::Union],
        _ => &[kind],
    };
    Ok(kinds.iter().find_map(|&kind| kernel.find(kind, name)))
}

fn absent(local: &Btf, ty: TypeId, access: &str) -> LoadError {
    LoadError::NoSuchField {
        ty: local.c_name(ty),
        access: access.to_owned(),
        reason: "the type is gone".to_owned(),
    }
}

fn require(
    local: &Btf,
    ty: TypeId,
    found: Option<TypeId>,
    access: &str,
) -> Result<TypeId, LoadError> {
    found.ok_or_else(|| absent(local, ty, access))
}

/// The kernel's value of the enumerator that `access` is the index of.
fn enumerator(
    local: &Btf,
    ty: TypeId,
    access: &str,
    kernel: &Btf,
    found: Option<TypeId>,
) -> Result<Option<i64>, LoadError> {
    let (_, Type::Enum(all)) = local.get_stripped(ty)? else {
        return Err(LoadError::damaged(
            "an enumerator's relocation without enumeration",
        ));
    };
    let index: usize = access
        .parse()
        .map_err(|_| LoadError::damaged("a bad enumerator index"))?;
    let wanted = all
        .values()
        .nth(index)
        .ok_or_else(|| LoadError::damaged("no such enumerator"))?;
    let name = essential(local.string(wanted.name_offset));
    let Some(found) = found else { return Ok(None) };
    let Type::Enum(all) = kernel.get(found)? else {
        return Ok(None);
    };
    Ok(all
        .values()
        .find(|v| kernel.string(v.name_offset) == name)
        .map(|v| v.value))
}

/// Turns member indexes into names.
fn named_path(local: &Btf, root: TypeId, access: &str) -> Result<NamedPath, LoadError> {
    let bad = || LoadError::damaged(format!("a bad access string '{access}'"));
    if access.split(':').nth(MOST_INDEXES).is_some() {
        return Err(LoadError::damaged("an access string is too long"));
    }
    let mut indexes = access
        .split(':')
        .map(|index| index.parse::<i64>().map_err(|_| bad()));
    let first = indexes.next().ok_or_else(bad)??;
    let mut path = NamedPath {
        root,
        first,
        steps: Vec::new(),
        text: String::new(),
    };
    let mut at = root;
    for index in indexes {
        let index = index?;
        match local.get_stripped(at)?.1 {
            Type::Struct(all) | Type::Union(all) => {
                let position = usize::try_from(index).map_err(|_| bad())?;
                let member = all.members().nth(position).ok_or_else(bad)?;
                let name = local.string(member.name_offset);
                // Anonymous members are seen through by the search for names.
                if !name.is_empty() {
                    path.text = format!("{}->{name}", path.text);
                    path.steps
                        .push(OwnedStep::Field(essential(name).to_owned()));
                }
                at = member.ty;
            }
            Type::Array { elem, .. } => {
                path.text = format!("{}[{index}]", path.text);
                path.steps.push(OwnedStep::Index(index));
                at = elem;
            }
            _ => return Err(bad()),
        }
    }
    Ok(path)
}

/// Resolves a path over the kernel's types: one access, no pointers followed.
fn resolve(kernel: &Btf, root: TypeId, path: &NamedPath) -> Result<Hop, PathError> {
    let steps: Vec<Step<'_>> = path
        .steps
        .iter()
        .map(|step| match step {
            OwnedStep::Field(name) => Step::Field(name),
            OwnedStep::Index(index) => Step::Index(*index),
        })
        .collect();
    let mut hops = resolve_path(kernel, root, &steps)?;
    let mut hop = match (hops.pop(), hops.is_empty()) {
        (Some(hop), true) => hop,
        // An embedded struct has become a pointer.
        _ => {
            return Err(PathError::NotAStruct {
                step: 0,
                ty: kernel.c_name(root),
            });
        }
    };
    if path.first != 0 {
        let size = kernel.size_of(root)? as i64;
        hop.offset = hop.offset.wrapping_add(path.first.wrapping_mul(size));
    }
    Ok(hop)
}

/// Puts a value into an instruction.
fn patch(insn: &mut Insn, value: &Value) -> Result<(), LoadError> {
    let too_far = || LoadError::damaged("a field's offset does not fit its instruction");
    let code = opcode(*insn);
    match code & 7 {
        CLASS_LDX | CLASS_ST | CLASS_STX => {
            let offset = i16::try_from(value.number as i64).map_err(|_| too_far())?;
            *insn = *insn & !0xffff_0000 | u64::from(offset as u16) << 16;
            // The field may have become wider or narrower.
            if let Some(bytes) = value.field_bytes
                && code & 7 == CLASS_LDX
                && let Some(size) = size_bits(bytes)
            {
                *insn = *insn & !0x18 | u64::from(size);
            }
        }
        CLASS_ALU | CLASS_ALU64 => {
            let imm = i32::try_from(value.number as i64).map_err(|_| too_far())?;
            *insn = *insn & 0xffff_ffff | u64::from(imm as u32) << 32;
        }
        _ if code == LOAD_IMM64 => {
            *insn = *insn & 0xffff_ffff | value.number << 32;
        }
        _ => {
            return Err(LoadError::damaged(
                "a relocation of an instruction that takes none",
            ));
        }
    }
    Ok(())
}

/// The size field of a load's opcode.
fn size_bits(bytes: u64) -> Option<u8> {
    match bytes {
        1 => Some(0x10),
        2 => Some(0x08),
        4 => Some(0x00),
        8 => Some(0x18),
        _ => None,
    }
}
