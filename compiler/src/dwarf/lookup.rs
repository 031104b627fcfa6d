//! The line of source that an address is of.

use std::fmt;

use gimli::DebugInfoOffset;

use super::unit::Unit;
use super::{DebugInfo, DwarfError};

/// Which units have code where.
#[derive(Debug)]
pub struct UnitIndex {
    /// Where each range begins and ends and the unit that it is of, by begin.
    ranges: Vec<(u64, u64, DebugInfoOffset)>,
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The file's path.
    pub file: String,
    /// The line, from 1 on.
    pub line: u64,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl UnitIndex {
    /// The unit that the code at an address is of.
    fn at(&self, address: u64) -> Option<DebugInfoOffset> {
        let after = self.ranges.partition_point(|(begin, ..)| *begin <= address);
        let &(_, end, offset) = self.ranges.get(after.checked_sub(1)?)?;
        (address < end).then_some(offset)
    }
}

impl DebugInfo {
    /// The unit that the code at an address is of.
    pub(super) fn unit_at(&self, address: u64) -> Result<Option<DebugInfoOffset>, DwarfError> {
        let index = self.index.get_or_init(|| self.units());
        let index = index.as_ref().map_err(Clone::clone)?;
        Ok(index.at(address))
    }

    /// Reads which units have code where.
    pub fn units(&self) -> Result<UnitIndex, DwarfError> {
        let mut ranges = Vec::new();
        self.each_unit(|unit| {
            let Some(offset) = unit.unit.header.debug_info_offset() else {
                return Ok(());
            };
            let code = unit.code()?.into_iter();
            ranges.extend(code.map(|range| (range.start, range.end, offset)));
            Ok(())
        })?;
        ranges.sort_unstable_by_key(|&(begin, end, DebugInfoOffset(offset))| (begin, end, offset));
        Ok(UnitIndex { ranges })
    }

    /// The line of the code at an address; `None` where no line is told.
    pub fn line_at(
        &self,
        units: &UnitIndex,
        address: u64,
    ) -> Result<Option<SourceLine>, DwarfError> {
        let Some(offset) = units.at(address) else {
            return Ok(None);
        };
        let dwarf = self.dwarf();
        let header = dwarf.debug_info.header_from_offset(offset)?;
        let budget = self.budget();
        match Unit::read(&dwarf, &budget, header)? {
            Some(unit) => unit.line_at(address),
            None => Ok(None),
        }
    }
}

impl Unit<'_> {
    fn line_at(&self, address: u64) -> Result<Option<SourceLine>, DwarfError> {
        let Some(program) = self.unit.line_program.clone() else {
            return Ok(None);
        };
        // The last row of the sequence that says a line, with where its code begins.
        let mut last: Option<(u64, u64, u64)> = None;
        let mut rows = program.rows();
        while let Some((_, row)) = rows.next_row()? {
            self.budget.spend(1)?;
            if let Some((begin, file, line)) = last
                && (begin..row.address()).contains(&address)
            {
                let file = self.file(file);
                return Ok((!file.is_empty()).then_some(SourceLine { file, line }));
            }
            if row.end_sequence() {
                last = None;
            } else if let Some(line) = row.line() {
                last = Some((row.address(), row.file_index(), line.get()));
            }
        }
        Ok(None)
    }
}
