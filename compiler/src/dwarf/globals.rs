//! Variables that have a symbol: of which type they are, and which file declares them.
//!
//! A kernel has thousands of units. The one that has a variable is found by its address, which is in no other entry; of symbols
//! that the linker makes, a unit that only declares them does.

use std::sync::PoisonError;

use bstr::ByteSlice;
use gimli::{
    AttributeValue, DW_AT_abstract_origin, DW_AT_decl_file, DW_AT_location, DW_AT_specification,
    DW_TAG_variable, Section, UnitHeader, constants::DW_OP_addr,
};

use super::functions::{Entry, MAX_ORIGINS};
use super::names::NameFilter;
use super::unit::Unit;
use super::{DebugInfo, DwarfError, Slice, TypeRef, path};

/// A variable of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its type; `None` if none is told.
    pub ty: Option<TypeRef>,
    /// The file that declares it, and the one that was compiled.
    pub files: [String; 2],
}

impl Global {
    /// Whether it is of a file that is named by its path or the end of it.
    pub fn is_of(&self, file: &str) -> bool {
        self.files.iter().any(|path| path::is_like(file, path))
    }
}

impl DebugInfo {
    /// The variable of a name at an address.
    pub fn global_at(&self, name: &str, address: u64) -> Result<Option<Global>, DwarfError> {
        let key = (name.to_owned(), address);
        let mut globals = self.globals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = globals.get(&key) {
            return Ok(found.clone());
        }
        let found = match self.defined(name, address)? {
            Some(found) => Some(found),
            None => self.declared(name)?,
        };
        globals.insert(key, found.clone());
        Ok(found)
    }

    fn defined(&self, name: &str, address: u64) -> Result<Option<Global>, DwarfError> {
        let mut location = vec![DW_OP_addr.0];
        location.extend(address.to_le_bytes());
        let dwarf = self.dwarf();
        let bytes = dwarf.debug_info.reader().slice();
        let mut places = bytes.find_iter(&location).peekable();
        let mut headers = dwarf.units();
        let budget = self.budget();
        // Static ones in functions have a number behind their name: calls.0.
        let name = name.split('.').next().unwrap_or(name);
        while places.peek().is_some()
            && let Some(header) = headers.next()?
        {
            let end = end_of(&header);
            let is_here = |at: &usize| *at < end;
            if places.next_if(is_here).is_none() {
                continue;
            }
            while places.next_if(is_here).is_some() {}
            budget.spend(1)?;
            let Some(unit) = Unit::read(&dwarf, &budget, header)? else {
                continue;
            };
            let found = unit.find_entry(|unit, entry| {
                Ok(is_at(entry, &location) && unit.is_variable(entry, name)?)
            })?;
            if let Some(entry) = found {
                return Ok(Some(unit.global(&entry)?));
            }
        }
        Ok(None)
    }

    /// What the first unit that declares a variable says of it.
    fn declared(&self, name: &str) -> Result<Option<Global>, DwarfError> {
        let dwarf = self.dwarf();
        let filter = NameFilter::new(name, &dwarf);
        let budget = self.budget();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            budget.spend(1)?;
            let Some(unit) = Unit::read(&dwarf, &budget, header)? else {
                continue;
            };
            if filter.as_ref().is_some_and(|filter| !filter.is_in(&unit)) {
                continue;
            }
            for entry in unit.children(unit.unit.header.root_offset())? {
                if unit.is_variable(&entry, name)? {
                    return Ok(Some(unit.global(&entry)?));
                }
            }
        }
        Ok(None)
    }
}

/// Where a unit ends in its section.
fn end_of(header: &UnitHeader<Slice<'_>>) -> usize {
    let start = header.debug_info_offset().map_or(0, |offset| offset.0);
    start.saturating_add(header.length_including_self())
}

fn is_at(entry: &Entry<'_>, location: &[u8]) -> bool {
    match entry.attr_value(DW_AT_location) {
        Some(AttributeValue::Exprloc(expression)) => expression.0.slice() == location,
        _ => false,
    }
}

impl<'d> Unit<'d> {
    /// The first entry that is wanted.
    fn find_entry(
        &self,
        is_wanted: impl Fn(&Self, &Entry<'d>) -> Result<bool, DwarfError>,
    ) -> Result<Option<Entry<'d>>, DwarfError> {
        let mut entries = self.unit.entries_raw(None)?;
        let mut entry = Entry::null();
        while !entries.is_empty() {
            self.budget.spend(1)?;
            if entries.read_entry(&mut entry)? && is_wanted(self, &entry)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn is_variable(&self, entry: &Entry<'d>, name: &str) -> Result<bool, DwarfError> {
        Ok(entry.tag() == DW_TAG_variable && self.described(entry)?.0.as_deref() == Some(name))
    }

    fn global(&self, entry: &Entry<'d>) -> Result<Global, DwarfError> {
        let (_, ty) = self.described(entry)?;
        let mut entry = entry.clone();
        let mut file = None;
        for _ in 0..MAX_ORIGINS {
            file = file.or_else(|| match entry.attr_value(DW_AT_decl_file)? {
                AttributeValue::FileIndex(number) => Some(number),
                other => other.udata_value(),
            });
            let origin = entry.attr_value(DW_AT_specification);
            let origin = origin.or_else(|| entry.attr_value(DW_AT_abstract_origin));
            let Some(at) = origin.and_then(|origin| self.within(&origin)) else {
                break;
            };
            self.budget.spend(1)?;
            entry = self.unit.entry(at)?;
        }
        let compiled = self
            .unit
            .name
            .map(|name| name.to_string_lossy().into_owned());
        Ok(Global {
            ty,
            files: [
                file.map_or_else(String::new, |file| self.file(file)),
                compiled.unwrap_or_default(),
            ],
        })
    }
}
