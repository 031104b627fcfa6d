//! The functions of a unit that have code, and the places where they have been inlined.

use std::ops::Range;

use gimli::{
    AttributeValue, DW_AT_abstract_origin, DW_AT_call_file, DW_AT_call_line, DW_AT_decl_file,
    DW_AT_decl_line, DW_AT_entry_pc, DW_AT_high_pc, DW_AT_linkage_name, DW_AT_low_pc, DW_AT_name,
    DW_AT_ranges, DW_AT_specification, DW_TAG_inlined_subroutine, DW_TAG_subprogram,
    DebuggingInformationEntry, UnitOffset,
};

use super::unit::Unit;
use super::{DwarfError, Slice};

pub(super) type Entry<'d> = DebuggingInformationEntry<Slice<'d>>;

/// A function's description refers to others of it no oftener than this: instance, definition, declaration.
pub(super) const MAX_ORIGINS: usize = 4;

/// Code of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// As the source has it, without namespaces.
    pub name: String,
    /// Its symbol, where that is another name.
    pub symbol: Option<String>,
    /// The file that declares it, as its number in the unit.
    pub file: u64,
    /// Where it does.
    pub line: u64,
    /// Its code.
    pub ranges: Vec<Range<u64>>,
    /// The address of its first instruction.
    pub entry: u64,
    /// Whether it is part of another function here.
    pub is_inlined: bool,
    /// Whether that is itself: compilers split functions, and inline the parts one by one.
    pub is_part: bool,
    /// Where it is described; `None` if only a symbol tells of it.
    pub offset: Option<UnitOffset>,
}

impl<'d> Unit<'d> {
    /// The functions, those around others first.
    pub fn functions(&self) -> Result<Vec<Function>, DwarfError> {
        let mut found = Vec::new();
        let mut entries = self.unit.entries_raw(None)?;
        let mut entry = DebuggingInformationEntry::null();
        while !entries.is_empty() {
            self.budget.spend(1)?;
            let at = entries.clone();
            let Some(kind) = entries.read_abbreviation()? else {
                continue;
            };
            // Most entries are of other kinds: types, variables, blocks.
            let is_function = [DW_TAG_inlined_subroutine, DW_TAG_subprogram].contains(&kind.tag());
            if !is_function {
                entries.skip_attributes(kind.attributes())?;
                continue;
            }
            entries = at;
            entries.read_entry(&mut entry)?;
            let ranges = self.ranges(&entry)?;
            if !ranges.is_empty() {
                let is_inlined = entry.tag() == DW_TAG_inlined_subroutine;
                found.extend(self.function(&entry, ranges, is_inlined)?);
            }
        }
        Ok(found)
    }

    /// Where the unit has code.
    pub fn code(&self) -> Result<Vec<Range<u64>>, DwarfError> {
        let mut entries = self.unit.entries();
        entries.next_dfs()?;
        match entries.current() {
            Some(root) => self.ranges(root),
            None => Ok(Vec::new()),
        }
    }

    /// Where its code is. (`Dwarf::die_ranges` does the same, but a size may be too much for it.)
    pub(super) fn ranges(&self, entry: &Entry<'d>) -> Result<Vec<Range<u64>>, DwarfError> {
        let Some(list) = entry.attr_value(DW_AT_ranges) else {
            return Ok(self.range(entry)?.into_iter().collect());
        };
        let mut found = Vec::new();
        let Some(mut ranges) = self.dwarf.attr_ranges(&self.unit, list)? else {
            return Ok(found);
        };
        while let Some(range) = ranges.next()? {
            self.budget.spend(1)?;
            if range.begin < range.end {
                found.push(range.begin..range.end);
            }
        }
        Ok(found)
    }

    fn range(&self, entry: &Entry<'d>) -> Result<Option<Range<u64>>, DwarfError> {
        let address = |value| self.dwarf.attr_address(&self.unit, value);
        let (Some(low), Some(high)) = (
            entry.attr_value(DW_AT_low_pc),
            entry.attr_value(DW_AT_high_pc),
        ) else {
            return Ok(None);
        };
        let Some(start) = address(low)? else {
            return Ok(None);
        };
        let end = match high {
            AttributeValue::Udata(bytes) => start.checked_add(bytes),
            high => address(high)?,
        };
        Ok(end.filter(|end| start < *end).map(|end| start..end))
    }

    /// Where its code is entered. What has been inlined may be in several pieces, in any order.
    fn start(&self, entry: &Entry<'d>, ranges: &[Range<u64>]) -> Result<u64, DwarfError> {
        let first = ranges.first().map_or(0, |range| range.start);
        let said = match entry.attr_value(DW_AT_entry_pc) {
            Some(AttributeValue::Udata(bytes)) => first.checked_add(bytes),
            Some(address) => self.dwarf.attr_address(&self.unit, address)?,
            None => None,
        };
        let inside = said.filter(|at| ranges.iter().any(|range| range.contains(at)));
        Ok(inside.unwrap_or(first))
    }

    /// What is said of a function, here or where this refers to. `None` if it has no name.
    pub(super) fn function(
        &self,
        entry: &Entry<'d>,
        ranges: Vec<Range<u64>>,
        is_inlined: bool,
    ) -> Result<Option<Function>, DwarfError> {
        let start = self.start(entry, &ranges)?;
        let offset = Some(entry.offset());
        let called = [DW_AT_call_file, DW_AT_call_line]
            .map(|at| entry.attr_value(at).and_then(file_or_line));
        let mut entry = entry.clone();
        let (mut name, mut symbol, mut file, mut line) = (None, None, None, None);
        for _ in 0..MAX_ORIGINS {
            name = name.or_else(|| self.text(&entry, DW_AT_name));
            symbol = symbol.or_else(|| self.text(&entry, DW_AT_linkage_name));
            let number = |at| entry.attr_value(at).and_then(file_or_line);
            file = file.or_else(|| number(DW_AT_decl_file));
            line = line.or_else(|| number(DW_AT_decl_line));
            let origin = entry.attr_value(DW_AT_abstract_origin);
            let Some(origin) = origin.or_else(|| entry.attr_value(DW_AT_specification)) else {
                break;
            };
            let Some(at) = self.within(&origin) else {
                break;
            };
            self.budget.spend(1)?;
            entry = self.unit.entry(at)?;
        }
        Ok(name.or_else(|| symbol.clone()).map(|name| Function {
            name,
            symbol,
            file: file.unwrap_or(u64::MAX),
            line: line.unwrap_or(0),
            entry: start,
            ranges,
            is_inlined,
            // A call is behind the line that declares what it is in.
            is_part: is_inlined && file.is_some() && called == [file, line],
            offset,
        }))
    }

    pub(super) fn text(&self, entry: &Entry<'d>, at: gimli::DwAt) -> Option<String> {
        let text = self.dwarf.attr_string(&self.unit, entry.attr_value(at)?);
        Some(text.ok()?.to_string_lossy().into_owned())
    }

    /// Where in this unit something is referred to.
    pub(super) fn within(&self, reference: &AttributeValue<Slice<'d>>) -> Option<UnitOffset> {
        match reference {
            AttributeValue::UnitRef(offset) => Some(*offset),
            AttributeValue::DebugInfoRef(offset) => offset.to_unit_offset(&self.unit.header),
            _ => None,
        }
    }
}

/// The number of a file or line.
fn file_or_line(value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(number) => Some(number),
        other => other.udata_value(),
    }
}
