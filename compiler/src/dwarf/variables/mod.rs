//! The variables and parameters that code at an address can see, and where they are there.
//!
//! In: an address in code. Out: [`Variables`], of each its [`Location`] as an expression over registers and memory, or why it
//! has none ([`Missing`]). Nothing is evaluated: whoever probes the address makes code of it.
//!
//! Functions that are inlined at the address have variables of their own; which of them is meant, its name says.

mod frame;
mod location;
mod scopes;
mod stack;

#[cfg(test)]
mod tests;

pub(in crate::dwarf) use frame::LocationTables;
pub use location::{Location, Missing, Value};

use std::cell::OnceCell;

use gimli::{
    AttributeValue, DW_AT_abstract_origin, DW_AT_artificial, DW_AT_const_value, DW_AT_declaration,
    DW_AT_frame_base, DW_AT_location, DW_AT_name, DW_AT_specification, DW_AT_type,
    DW_TAG_formal_parameter, DW_TAG_variable, DebugInfoOffset, UnitOffset,
};

use super::functions::{Entry, MAX_ORIGINS};
use super::unit::Unit;
use super::{DebugInfo, DwarfError, Slice};
use location::Surroundings;
use scopes::Scope;

/// A type, as debug information numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeRef(pub(super) DebugInfoOffset);

/// What code at an address can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// The function that it is of, as the source has it.
    pub function: String,
    /// Parameters, then variables from the outermost block inwards. Of several of one name the innermost alone.
    pub all: Vec<Variable>,
    /// What the function returns; `None` for nothing.
    pub result: Option<TypeRef>,
}

/// A variable or parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whether it is a parameter.
    pub is_parameter: bool,
    /// Its type; `None` if none is told.
    pub ty: Option<TypeRef>,
    /// Where it is.
    pub location: Result<Location, Missing>,
}

impl Variables {
    /// The variable of a name.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.all.iter().find(|variable| variable.name == name)
    }
}

impl DebugInfo {
    /// What code at an address can see: of the function of that name, inlined there or not, else of the innermost one.
    /// `None` where there is no function.
    pub fn variables_at(
        &self,
        address: u64,
        function: Option<&str>,
    ) -> Result<Option<Variables>, DwarfError> {
        let Some(offset) = self.unit_at(address)? else {
            return Ok(None);
        };
        let tables = self.location_tables()?;
        let mut dwarf = self.dwarf();
        dwarf.locations = tables.lists();
        let header = dwarf.debug_info.header_from_offset(offset)?;
        let budget = self.budget();
        let Some(unit) = Unit::read(&dwarf, &budget, header)? else {
            return Ok(None);
        };
        let path = unit.scopes(address)?;
        let Some(outermost) = path.first() else {
            return Ok(None);
        };
        let surroundings = Surroundings {
            unit: &unit,
            tables,
            address,
            is_entry: outermost.entry == address,
            frame_base: outermost.die.attr_value(DW_AT_frame_base),
            known_base: OnceCell::new(),
            known_address: OnceCell::new(),
        };
        surroundings.variables(scopes::meant(&path, function))
    }
}

impl<'d> Surroundings<'_, 'd> {
    /// The variables of a function and of the blocks in it.
    fn variables(&self, scopes: &[Scope<'d>]) -> Result<Option<Variables>, DwarfError> {
        let Some(function) = scopes.first() else {
            return Ok(None);
        };
        let mut found = Variables {
            function: function.name.clone(),
            all: Vec::new(),
            result: self.unit.described(&function.die)?.1,
        };
        for scope in scopes {
            for entry in &scope.variables {
                self.add(entry, &mut found)?;
            }
        }
        for scope in scopes {
            self.add_unkept(scope, &mut found)?;
        }
        found.all.sort_by_key(|variable| !variable.is_parameter);
        Ok(Some(found))
    }

    fn add(&self, entry: &Entry<'d>, found: &mut Variables) -> Result<(), DwarfError> {
        let (Some(name), ty) = self.unit.described(entry)? else {
            return Ok(());
        };
        if !is_own(entry) {
            return Ok(());
        }
        let location = match entry.attr_value(DW_AT_location) {
            Some(value) => self.locate(value),
            None => constant(entry.attr_value(DW_AT_const_value)),
        };
        found.all.retain(|other| other.name != name);
        found.all.push(Variable {
            name,
            is_parameter: entry.tag() == DW_TAG_formal_parameter,
            ty,
            location,
        });
        Ok(())
    }

    /// What the source has and this code knows nothing of.
    fn add_unkept(&self, scope: &Scope<'d>, found: &mut Variables) -> Result<(), DwarfError> {
        let origin = scope.die.attr_value(DW_AT_abstract_origin);
        let Some(origin) = origin.and_then(|origin| self.unit.within(&origin)) else {
            return Ok(());
        };
        for entry in self.unit.children(origin)? {
            let is_parameter = entry.tag() == DW_TAG_formal_parameter;
            if !is_parameter && entry.tag() != DW_TAG_variable {
                continue;
            }
            let (Some(name), ty) = self.unit.described(&entry)? else {
                continue;
            };
            if found.get(&name).is_none() && is_own(&entry) {
                let location = match entry.attr_value(DW_AT_location) {
                    // One of all calls: it is static.
                    Some(value) => self.locate(value),
                    None => constant(entry.attr_value(DW_AT_const_value)),
                };
                found.all.push(Variable {
                    name,
                    is_parameter,
                    ty,
                    location,
                });
            }
        }
        Ok(())
    }
}

/// Whether the source has it there: not what is declared only, nor what compilers add, such as `__func__`.
fn is_own(entry: &Entry<'_>) -> bool {
    let is_added = entry.attr_value(DW_AT_artificial).is_some();
    entry.attr_value(DW_AT_declaration).is_none()
        && (!is_added || entry.tag() == DW_TAG_formal_parameter)
}

/// The location of what has no place, but perhaps a value that is always the same.
fn constant(value: Option<AttributeValue<Slice<'_>>>) -> Result<Location, Missing> {
    match value {
        Some(AttributeValue::Block(bytes)) => Ok(Location::Bytes(bytes.slice().to_vec())),
        Some(value) => {
            let unsigned = value.udata_value().map(u64::cast_signed);
            let number = unsigned.or_else(|| value.sdata_value());
            let number = number.ok_or(Missing::Unsupported("a constant that is no number"))?;
            Ok(Location::Value(Value::Constant(number)))
        }
        None => Err(Missing::OptimisedOut),
    }
}

impl<'d> Unit<'d> {
    /// Name and type of an entry, or of what it refers to.
    pub(in crate::dwarf) fn described(
        &self,
        entry: &Entry<'d>,
    ) -> Result<(Option<String>, Option<TypeRef>), DwarfError> {
        let mut entry = entry.clone();
        let (mut name, mut ty) = (None, None);
        for _ in 0..MAX_ORIGINS {
            name = name.or_else(|| self.text(&entry, DW_AT_name));
            ty = ty.or_else(|| self.type_ref(&entry.attr_value(DW_AT_type)?));
            let origin = entry.attr_value(DW_AT_abstract_origin);
            let origin = origin.or_else(|| entry.attr_value(DW_AT_specification));
            let Some(at) = origin.and_then(|origin| self.within(&origin)) else {
                break;
            };
            self.budget.spend(1)?;
            entry = self.unit.entry(at)?;
        }
        Ok((name, ty))
    }

    pub(in crate::dwarf) fn type_ref(&self, value: &AttributeValue<Slice<'d>>) -> Option<TypeRef> {
        let offset = match value {
            AttributeValue::UnitRef(offset) => offset.to_debug_info_offset(&self.unit.header),
            AttributeValue::DebugInfoRef(offset) => Some(*offset),
            _ => None,
        };
        offset.map(TypeRef)
    }

    /// The entries directly below one.
    pub(in crate::dwarf) fn children(
        &self,
        parent: UnitOffset,
    ) -> Result<Vec<Entry<'d>>, DwarfError> {
        let mut found = Vec::new();
        let mut entries = self.unit.entries_raw(Some(parent))?;
        let mut entry = Entry::null();
        let first = entries.next_depth();
        let mut is_first = true;
        while !entries.is_empty() && (is_first || entries.next_depth() > first) {
            self.budget.spend(1)?;
            let depth = entries.next_depth();
            if entries.read_entry(&mut entry)? && depth == first + 1 {
                found.push(entry.clone());
            }
            is_first = false;
        }
        Ok(found)
    }
}
