//! C types of debug information as BTF, so that whoever works with the kernel's types works with these.
//!
//! In: a type and the BTF that may have it. Out: [`Described`]. Structures, unions, enumerations, typedefs and numbers
//! that the BTF has, by name, size and members, are its own, so that they can be found anew on another kernel; pointers,
//! arrays, qualifiers and what it does not have are made, as BTF on top of it.

mod entry;

use std::rc::Rc;

use gimli::{
    AttributeValue, DW_AT_bit_offset, DW_AT_bit_size, DW_AT_byte_size, DW_AT_data_bit_offset,
    DW_AT_data_member_location, DW_AT_declaration, DW_AT_encoding, DW_AT_name, DebugInfoOffset,
    Dwarf, constants as dw,
};
use rustc_hash::FxHashMap;

use self::entry::{enumerators, lengths, member_names, number, target};
use super::functions::Entry;
use super::unit::Unit;
use super::{Budget, DebugInfo, DwarfError, Slice, TypeRef};
use crate::btf::{Btf, BtfBuilder, Kind, MAX_CHAIN, Type, TypeId};

/// More types are not made for one: what is behind them is only declared.
const MAX_TYPES: usize = 4096;
/// The greatest offset that BTF has room for beside the width of a bit field, in bits.
const MAX_BIT_OFFSET: u64 = 0x00ff_ffff;

/// A type as BTF.
#[derive(Clone, Debug)]
pub struct Described {
    /// Types that were made for it, on top of the BTF that was given; `None` if that has it.
    pub made: Option<Btf>,
    /// The type.
    pub id: TypeId,
}

impl DebugInfo {
    /// A type as BTF, on top of `base`; no type is `void`.
    pub fn describe(
        &self,
        ty: Option<TypeRef>,
        base: Option<&Btf>,
    ) -> Result<Described, DwarfError> {
        let dwarf = self.dwarf();
        let budget = self.budget();
        let mut maker = Maker {
            dwarf: &dwarf,
            budget: &budget,
            base,
            units: Vec::new(),
            known: FxHashMap::default(),
            queue: Vec::new(),
            first: base.map_or(1, Btf::type_count),
        };
        let id = maker.id_of(ty.map(|ty| ty.0))?;
        if maker.queue.is_empty() {
            return Ok(Described { made: None, id });
        }
        let bytes = maker.write()?;
        let made = match base {
            Some(base) => Btf::parse_split(bytes, base.clone()),
            None => Btf::parse(bytes),
        };
        let made = made.map_err(|error| DwarfError::Damaged(error.to_string()))?;
        Ok(Described {
            made: Some(made),
            id,
        })
    }
}

/// What becomes one type of BTF.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    /// An entry; of an array without so many of its dimensions.
    Entry(DebugInfoOffset, usize),
    /// What there is no room for.
    Rest,
}

struct Maker<'m, 'd> {
    dwarf: &'m Dwarf<Slice<'d>>,
    budget: &'m Budget,
    base: Option<&'m Btf>,
    units: Vec<Rc<Unit<'m>>>,
    known: FxHashMap<Part, TypeId>,
    /// What is made, in the order of its ids.
    queue: Vec<Part>,
    first: u32,
}

/// A member of a structure.
struct Member {
    name: String,
    ty: TypeId,
    bit_offset: u32,
    bit_size: u8,
}

impl<'m, 'd: 'm> Maker<'m, 'd> {
    /// The type of an entry, found or to be made.
    fn id_of(&mut self, ty: Option<DebugInfoOffset>) -> Result<TypeId, DwarfError> {
        let mut at = ty;
        for _ in 0..MAX_CHAIN {
            let Some(offset) = at else {
                return Ok(TypeId::VOID);
            };
            let part = Part::Entry(offset, 0);
            if let Some(&known) = self.known.get(&part) {
                return Ok(known);
            }
            let (unit, entry) = self.entry(offset)?;
            let found = match entry.tag() {
                dw::DW_TAG_base_type => self.in_base(&unit, &entry, &[Kind::Int, Kind::Float])?,
                dw::DW_TAG_typedef => self.in_base(&unit, &entry, &[Kind::Typedef])?,
                dw::DW_TAG_structure_type | dw::DW_TAG_class_type => {
                    self.in_base(&unit, &entry, &[Kind::Struct])?
                }
                dw::DW_TAG_union_type => self.in_base(&unit, &entry, &[Kind::Union])?,
                dw::DW_TAG_enumeration_type => {
                    self.in_base(&unit, &entry, &[Kind::Enum, Kind::Enum64])?
                }
                dw::DW_TAG_pointer_type
                | dw::DW_TAG_reference_type
                | dw::DW_TAG_rvalue_reference_type
                | dw::DW_TAG_array_type
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type
                | dw::DW_TAG_subroutine_type => None,
                // Other qualifiers change nothing here.
                _ => {
                    at = target(&unit, &entry);
                    continue;
                }
            };
            return Ok(match found {
                Some(found) => {
                    self.known.insert(part, found);
                    found
                }
                None => self.queued(part),
            });
        }
        Err(DwarfError::Damaged(
            "its types go round in circles".to_owned(),
        ))
    }

    fn queued(&mut self, part: Part) -> TypeId {
        let part = if self.queue.len() < MAX_TYPES {
            part
        } else {
            Part::Rest
        };
        if let Some(&known) = self.known.get(&part) {
            return known;
        }
        let id = TypeId(self.first + self.queue.len() as u32);
        self.queue.push(part);
        self.known.insert(part, id);
        id
    }

    /// The same type in the BTF below.
    fn in_base(
        &self,
        unit: &Unit<'m>,
        entry: &Entry<'m>,
        kinds: &[Kind],
    ) -> Result<Option<TypeId>, DwarfError> {
        let (Some(base), Some(name)) = (self.base, unit.text(entry, DW_AT_name)) else {
            return Ok(None);
        };
        let is_kind = |id: &TypeId| base.kind(*id).is_some_and(|kind| kinds.contains(&kind));
        let mut named = base.find_all(&name).filter(is_kind);
        if kinds.contains(&Kind::Typedef) {
            // Which of several it is would take to compare what they stand for.
            let first = named.next();
            return Ok(first.filter(|_| named.next().is_none()));
        }
        if entry.attr_value(DW_AT_declaration).is_some() {
            return Ok(named.next());
        }
        let Some(size) = number(entry, DW_AT_byte_size) else {
            return Ok(None);
        };
        let mut members = None;
        for id in named {
            if base.size_of(id) != Ok(size) {
                continue;
            }
            let Ok(Type::Struct(all) | Type::Union(all)) = base.get(id) else {
                return Ok(Some(id));
            };
            let members = match &members {
                Some(known) => known,
                None => members.insert(member_names(unit, entry)?),
            };
            let own = all.members().map(|member| base.string(member.name_offset));
            if own.eq(members.iter().map(String::as_str)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Writes what is to be made, and what that refers to.
    fn write(mut self) -> Result<Vec<u8>, DwarfError> {
        let mut out = match self.base {
            Some(base) => BtfBuilder::on(base),
            None => BtfBuilder::new(),
        };
        let mut next = 0;
        while let Some(&part) = self.queue.get(next) {
            match part {
                Part::Entry(offset, dimension) => self.make(offset, dimension, &mut out)?,
                Part::Rest => {
                    out.forward("...", false);
                }
            }
            next += 1;
        }
        Ok(out.finish())
    }

    fn make(
        &mut self,
        offset: DebugInfoOffset,
        dimension: usize,
        out: &mut BtfBuilder,
    ) -> Result<(), DwarfError> {
        let (unit, entry) = self.entry(offset)?;
        let name = unit.text(&entry, DW_AT_name).unwrap_or_default();
        let size = number(&entry, DW_AT_byte_size).and_then(|size| u32::try_from(size).ok());
        let to = target(&unit, &entry);
        match entry.tag() {
            dw::DW_TAG_base_type => {
                let size = size.unwrap_or(0);
                let encoding = match entry.attr_value(DW_AT_encoding) {
                    Some(AttributeValue::Encoding(encoding)) => encoding,
                    _ => dw::DW_ATE_unsigned,
                };
                let bits = u8::try_from(size.saturating_mul(8)).unwrap_or(u8::MAX);
                match encoding {
                    dw::DW_ATE_float => out.float(&name, size),
                    dw::DW_ATE_signed | dw::DW_ATE_signed_char => out.int(&name, size, bits, 1),
                    dw::DW_ATE_boolean => out.int(&name, size, bits, 4),
                    _ => out.int(&name, size, bits, 0),
                }
            }
            dw::DW_TAG_typedef => out.modifier(Kind::Typedef, &name, self.id_of(to)?),
            dw::DW_TAG_const_type => out.modifier(Kind::Const, "", self.id_of(to)?),
            dw::DW_TAG_volatile_type => out.modifier(Kind::Volatile, "", self.id_of(to)?),
            dw::DW_TAG_restrict_type => out.modifier(Kind::Restrict, "", self.id_of(to)?),
            dw::DW_TAG_array_type => {
                let lengths = lengths(&unit, &entry)?;
                let last = dimension + 1 >= lengths.len();
                let element = if last {
                    self.id_of(to)?
                } else {
                    self.queued(Part::Entry(offset, dimension + 1))
                };
                let length = lengths.get(dimension).copied().unwrap_or(0);
                out.array(element, element, length)
            }
            dw::DW_TAG_enumeration_type => {
                let values = enumerators(&unit, &entry)?;
                let signed = values.iter().any(|(_, value)| *value < 0);
                let size = size.unwrap_or(4);
                let values: Vec<_> = values.iter().map(|(n, v)| (n.as_str(), *v)).collect();
                out.enumeration(&name, size, signed, size > 4, &values)
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                let is_union = entry.tag() == dw::DW_TAG_union_type;
                let is_declared = entry.attr_value(DW_AT_declaration).is_some();
                match size.filter(|_| !is_declared) {
                    None => out.forward(&name, is_union),
                    Some(size) => {
                        let members = self.members(&unit, &entry)?;
                        let members: Vec<_> = members
                            .iter()
                            .map(|m| (m.name.as_str(), m.ty, m.bit_offset, m.bit_size))
                            .collect();
                        let kind = if is_union { Kind::Union } else { Kind::Struct };
                        out.composite(kind, &name, size, &members)
                    }
                }
            }
            dw::DW_TAG_subroutine_type => {
                let result = self.id_of(to)?;
                out.func_proto(result, &[])
            }
            _ => out.ptr(self.id_of(to)?),
        };
        Ok(())
    }

    fn members(
        &mut self,
        unit: &Rc<Unit<'m>>,
        entry: &Entry<'m>,
    ) -> Result<Vec<Member>, DwarfError> {
        let mut members = Vec::new();
        for member in unit.children(entry.offset())? {
            if member.tag() != dw::DW_TAG_member {
                continue;
            }
            let width = number(&member, DW_AT_bit_size).unwrap_or(0);
            let bytes = number(&member, DW_AT_data_member_location).unwrap_or(0);
            let within = match number(&member, DW_AT_data_bit_offset) {
                Some(bits) => Some(bits),
                // Before DWARF 4: from the highest bit of the word that has it.
                None => number(&member, DW_AT_bit_offset).and_then(|from_top| {
                    let word = number(&member, DW_AT_byte_size)?.checked_mul(8)?;
                    word.checked_sub(from_top)?.checked_sub(width)
                }),
            };
            let offset = bytes
                .checked_mul(8)
                .and_then(|bits| bits.checked_add(within.unwrap_or(0)));
            // What does not fit is left out.
            let (Some(bit_offset @ 0..=MAX_BIT_OFFSET), Ok(bit_size)) =
                (offset, u8::try_from(width))
            else {
                continue;
            };
            members.push(Member {
                name: unit.text(&member, DW_AT_name).unwrap_or_default(),
                ty: self.id_of(target(unit, &member))?,
                bit_offset: bit_offset as u32,
                bit_size,
            });
        }
        Ok(members)
    }

    /// An entry with its unit.
    fn entry(&mut self, offset: DebugInfoOffset) -> Result<(Rc<Unit<'m>>, Entry<'m>), DwarfError> {
        self.budget.spend(1)?;
        let at = |unit: &Rc<Unit<'m>>| offset.to_unit_offset(&unit.unit.header);
        let known = self.units.iter().find(|unit| at(unit).is_some());
        let unit = match known {
            Some(unit) => Rc::clone(unit),
            None => {
                let unit = Rc::new(self.unit_of(offset)?);
                self.units.push(Rc::clone(&unit));
                unit
            }
        };
        let nowhere = || DwarfError::Damaged("a type is in none of its units".to_owned());
        let entry = unit.unit.entry(at(&unit).ok_or_else(nowhere)?)?;
        Ok((unit, entry))
    }

    fn unit_of(&self, offset: DebugInfoOffset) -> Result<Unit<'m>, DwarfError> {
        let mut headers = self.dwarf.units();
        while let Some(header) = headers.next()? {
            self.budget.spend(1)?;
            if offset.to_unit_offset(&header).is_some() {
                return Ok(Unit {
                    dwarf: self.dwarf,
                    budget: self.budget,
                    unit: self.dwarf.unit(header)?,
                });
            }
        }
        Err(DwarfError::Damaged(
            "a type is in none of its units".to_owned(),
        ))
    }
}
