//! A compilation unit: its source files.

use gimli::{AttributeValue, Dwarf, FileEntry, LineProgramHeader, UnitHeader, UnitType};

use super::{Budget, DwarfError, Slice, path};

/// What was compiled in one go.
pub(super) struct Unit<'d> {
    pub dwarf: &'d Dwarf<Slice<'d>>,
    pub budget: &'d Budget,
    pub unit: gimli::Unit<Slice<'d>>,
    /// Its files by number; "" for numbers that none has.
    pub files: Vec<String>,
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
        let files = files(dwarf, &unit, header);
        Ok(Some(Self {
            dwarf,
            budget,
            unit,
            files,
        }))
    }

    /// The file of a number; "" if there is none.
    pub fn file(&self, number: u64) -> &str {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.files.get(number).map_or("", String::as_str)
    }

    /// The numbers of the files that are wanted.
    pub fn files_like(&self, pattern: &str) -> Vec<u64> {
        let numbered = self.files.iter().enumerate();
        numbered
            .filter(|(_, file)| !file.is_empty() && path::is_like(pattern, file))
            .map(|(number, _)| number as u64)
            .collect()
    }
}

/// All files of a line table. Before DWARF 5 the first is number 1.
fn files(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    header: &LineProgramHeader<Slice<'_>>,
) -> Vec<String> {
    let text = |value: AttributeValue<Slice<'_>>| {
        let text = dwarf.attr_string(unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    };
    let compiled_in = unit
        .comp_dir
        .map(|name| name.to_string_lossy().into_owned());
    let compiled_in = compiled_in.unwrap_or_default();
    let named = |entry: &FileEntry<Slice<'_>>| {
        let directory = entry.directory(header).and_then(text).unwrap_or_default();
        let name = text(entry.path_name()).unwrap_or_default();
        path::join(&path::join(&compiled_in, &directory), &name)
    };
    let unnumbered = usize::from(header.version() < 5);
    let before = std::iter::repeat_n(String::new(), unnumbered);
    before
        .chain(header.file_names().iter().map(named))
        .collect()
}
