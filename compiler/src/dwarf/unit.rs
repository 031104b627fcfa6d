//! A compilation unit: its source files.

use gimli::{AttributeValue, Dwarf, FileEntry, LineProgramHeader, UnitHeader, UnitType};

use super::{Budget, DwarfError, Slice, path};

/// What was compiled in one go.
pub(super) struct Unit<'d> {
    pub dwarf: &'d Dwarf<Slice<'d>>,
    pub budget: &'d Budget,
    pub unit: gimli::Unit<Slice<'d>>,
}

impl<'d> Unit<'d> {
    /// Reads what the header of its line table says; `None` for units without code: of types, or parts of others.
    pub fn read(
        dwarf: &'d Dwarf<Slice<'d>>,
        budget: &'d Budget,
        header: UnitHeader<Slice<'d>>,
    ) -> Result<Option<Self>, DwarfError> {
        if !matches!(
            header.type_(),
            UnitType::Compilation | UnitType::Skeleton(_)
        ) {
            return Ok(None);
        }
        let unit = dwarf.unit(header)?;
        let Some(program) = &unit.line_program else {
            return Ok(None);
        };
        let header = program.header();
        budget.spend(header.header_length() as u64)?;
        Ok(Some(Self {
            dwarf,
            budget,
            unit,
        }))
    }

    /// What it says of functions, types and variables.
    pub fn entries(&self) -> &'d [u8] {
        let header = &self.unit.header;
        let entries = header.range_from(header.root_offset()..);
        entries.map_or(&[], |entries| entries.slice())
    }

    /// Whether code at any of the addresses is of it.
    pub fn has_code(&self, addresses: &[u64]) -> Result<bool, DwarfError> {
        if addresses.is_empty() {
            return Ok(false);
        }
        let code = self.code()?;
        Ok(code
            .iter()
            .any(|range| addresses.iter().any(|at| range.contains(at))))
    }

    /// The path of a file by its number; "" if there is none.
    pub fn file(&self, number: u64) -> String {
        let header = self.header();
        let entry = header.and_then(|header| Some((header, header.file(number)?)));
        entry.map_or_else(String::new, |(header, entry)| self.path(header, entry))
    }

    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = String> {
        self.numbered()
            .map(|(header, _, entry)| self.path(header, entry))
    }

    /// The numbers of the files that are wanted.
    pub fn files_like(&self, pattern: &str) -> Vec<u64> {
        let end = path::literal_end(pattern).as_bytes();
        // Most names need not be made paths to see that they are not meant.
        let may_be = |entry: &FileEntry<Slice<'d>>| {
            let name = self.dwarf.attr_string(&self.unit, entry.path_name());
            name.is_ok_and(|name| name.slice().ends_with(end))
        };
        self.numbered()
            .filter(|(header, _, entry)| {
                pattern == "*" || may_be(entry) && path::is_like(pattern, &self.path(header, entry))
            })
            .map(|(_, number, _)| number)
            .collect()
    }

    fn header(&self) -> Option<&LineProgramHeader<Slice<'d>>> {
        self.unit
            .line_program
            .as_ref()
            .map(gimli::IncompleteLineProgram::header)
    }

    /// All files of the line table. Before DWARF 5 the first is number 1.
    fn numbered(
        &self,
    ) -> impl Iterator<Item = (&LineProgramHeader<Slice<'d>>, u64, &FileEntry<Slice<'d>>)> {
        self.header().into_iter().flat_map(|header| {
            let first = u64::from(header.version() < 5);
            let files = (first..).zip(header.file_names());
            files.map(move |(number, entry)| (header, number, entry))
        })
    }

    fn path(&self, header: &LineProgramHeader<Slice<'d>>, entry: &FileEntry<Slice<'d>>) -> String {
        let text = |value: AttributeValue<Slice<'d>>| {
            let text = self.dwarf.attr_string(&self.unit, value).ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        let compiled_in = self.unit.comp_dir;
        let compiled_in = compiled_in.map(|name| name.to_string_lossy().into_owned());
        let compiled_in = compiled_in.unwrap_or_default();
        let directory = entry.directory(header).and_then(text).unwrap_or_default();
        let name = text(entry.path_name()).unwrap_or_default();
        path::join(&path::join(&compiled_in, &directory), &name)
    }
}
