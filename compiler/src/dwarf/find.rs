//! The places that a function's name, a source file and lines mean.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use super::functions::Function;
use super::lines::Statement;
use super::names::NameFilter;
use super::unit::Unit;
use super::{DebugInfo, DwarfError};
use crate::glob::glob;

/// Which lines are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lines {
    /// None was named: a function's first statement.
    First,
    /// All of a function.
    All,
    /// These of the file.
    Numbered(Vec<RangeInclusive<u64>>),
    /// These, counted from the line that declares the function.
    Relative(Vec<RangeInclusive<u64>>),
}

impl Lines {
    /// Whether some of them are meant, not all or the first.
    fn are_named(&self) -> bool {
        matches!(self, Lines::Numbered(_) | Lines::Relative(_))
    }
}

/// What is sought.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The function, a name of the source or a symbol, perhaps with wildcards.
    pub function: &'q str,
    /// The file: its path or the end of it, perhaps with wildcards.
    pub file: &'q str,
    /// The lines.
    pub lines: &'q Lines,
}

/// A function of the symbol table, for code that debug information knows no function of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Symbol {
    fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.size)
    }
}

/// What the tables of the file say of its code.
pub trait Code {
    /// Whether there is code at an address.
    fn is_code(&self, address: u64) -> bool;

    /// The function that an address is in.
    fn symbol_at(&self, address: u64) -> Option<Symbol>;

    /// Where the functions of a name begin.
    fn starts_of(&self, name: &str) -> Vec<u64>;
}

/// Which code of functions is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// What is called.
    Called,
    /// Where they have been inlined into others.
    Inlined,
}

/// A place in the code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its address.
    pub address: u64,
    /// Its file.
    pub file: String,
    /// Its line, of functions that which declares them.
    pub line: u64,
    /// The function's name in the source.
    pub function: String,
}

impl Place {
    /// As points name it: `"f@file.c:3"`.
    pub fn shown(&self) -> String {
        format!("\"{}@{}:{}\"", self.function, self.file, self.line)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The places, by address.
    pub places: Vec<Place>,
    /// Whether there is such a file.
    pub has_file: bool,
    /// Whether there was such code, which is not in what runs.
    pub is_gone: bool,
    /// Lines of such files that code of such functions is of; where functions are sought, the lines that declare them.
    pub lines: BTreeSet<u64>,
    /// Functions in such files: all, or if one was sought by its name, those of the units that have it.
    pub functions: BTreeSet<String>,
}

impl Found {
    /// Takes note of a line, whether its code is there or not.
    fn note(&mut self, line: u64, is_code: bool) {
        if is_code {
            self.lines.insert(line);
        } else {
            self.is_gone = true;
        }
    }
}

/// A unit with files that are meant.
pub(super) struct Part<'u, 'd> {
    pub unit: &'u Unit<'d>,
    files: Vec<u64>,
    functions: Vec<Function>,
    statements: Vec<Statement>,
}

impl DebugInfo {
    /// Where the code of lines begins.
    pub fn statements(&self, query: &Query<'_>, code: &dyn Code) -> Result<Found, DwarfError> {
        self.find(query, code, true, |part, found| {
            for statement in part
                .statements
                .iter()
                .filter(|s| part.files.contains(&s.file))
            {
                let mut within = statement.within.iter().rev().map(|&at| &part.functions[at]);
                let owner = within.find(|f| !f.is_part && part.is_meant(f, query));
                // Assembly may have no functions.
                let is_bare = statement.within.is_empty() && query.function == "*";
                if owner.is_none() && !is_bare {
                    continue;
                }
                let line = statement.line;
                let is_wanted = match query.lines {
                    Lines::First => owner.is_some_and(|f| f.entry == statement.address),
                    Lines::All => true,
                    Lines::Numbered(lines) => overlap(lines, 0, line, line),
                    Lines::Relative(lines) => {
                        owner.is_some_and(|f| overlap(lines, f.line, line, line))
                    }
                };
                found.note(line, code.is_code(statement.address));
                found.places.extend(is_wanted.then(|| Place {
                    address: statement.address,
                    file: part.unit.file(statement.file),
                    line,
                    function: owner.map_or_else(String::new, |f| f.name.clone()),
                }));
            }
            Ok(())
        })
    }

    /// The functions of files, or those that lines are in.
    pub fn functions(
        &self,
        query: &Query<'_>,
        instances: Instances,
        code: &dyn Code,
    ) -> Result<Found, DwarfError> {
        // Those that only symbols tell of are not inlined.
        let with_lines = instances == Instances::Called || query.lines.are_named();
        self.find(query, code, with_lines, |part, found| {
            for (function, is_wanted) in part.meant(query) {
                let is_wanted_kind = function.is_inlined == (instances == Instances::Inlined);
                if !is_wanted_kind || function.is_part {
                    continue;
                }
                found.note(function.line, code.is_code(function.entry));
                found.places.extend(is_wanted.then(|| Place {
                    address: function.entry,
                    file: part.unit.file(function.file),
                    line: function.line,
                    function: function.name.clone(),
                }));
            }
            Ok(())
        })
    }

    /// The names of all source files.
    pub fn files(&self) -> Result<BTreeSet<String>, DwarfError> {
        let mut files = BTreeSet::new();
        self.each_unit(|unit| {
            files.extend(unit.files().filter(|file| !file.is_empty()));
            Ok(())
        })?;
        Ok(files)
    }

    /// Goes through the units that may have what is sought; without their lines, if these are not needed, which is quicker.
    pub(super) fn find(
        &self,
        query: &Query<'_>,
        code: &dyn Code,
        with_lines: bool,
        mut take: impl FnMut(&Part<'_, '_>, &mut Found) -> Result<(), DwarfError>,
    ) -> Result<Found, DwarfError> {
        let mut found = Found::default();
        let name = NameFilter::new(query.function, &self.dwarf());
        // Symbols tell functions where there are line tables only.
        let starts = code.starts_of(query.function);
        self.each_unit(|unit| {
            if name.as_ref().is_some_and(|name| !name.is_in(unit)) && !unit.has_code(&starts)? {
                found.has_file = found.has_file || !unit.files_like(query.file).is_empty();
                return Ok(());
            }
            let files = unit.files_like(query.file);
            if files.is_empty() {
                return Ok(());
            }
            found.has_file = true;
            let part = Part::read(unit, files, code, with_lines)?;
            let declared = part
                .functions
                .iter()
                .filter(|f| part.files.contains(&f.file));
            found.functions.extend(declared.map(|f| f.name.clone()));
            take(&part, &mut found)
        })?;
        // What the linker has left out has addresses that are no code.
        let meant = found.places.len();
        found.places.retain(|place| code.is_code(place.address));
        found.is_gone &= found.places.is_empty() && (meant > 0 || found.lines.is_empty());
        found.places.sort();
        found.places.dedup();
        if *query.lines == Lines::First {
            // Optimised code of several lines may begin at a function's first instruction.
            let start = |place: &Place| (place.address, place.function.clone());
            found.places.dedup_by_key(|place| start(place));
        }
        Ok(found)
    }
}

impl<'u, 'd> Part<'u, 'd> {
    fn read(
        unit: &'u Unit<'d>,
        files: Vec<u64>,
        code: &dyn Code,
        with_lines: bool,
    ) -> Result<Self, DwarfError> {
        let functions = unit.functions()?;
        let statements = if with_lines || functions.iter().any(|f| f.line == 0) {
            unit.statements(&functions)?
        } else {
            Vec::new()
        };
        let mut part = Part {
            unit,
            files,
            functions,
            statements,
        };
        part.declare();
        part.add_symbols(code);
        Ok(part)
    }

    /// Functions of which it is not said where they are declared are where their code begins.
    fn declare(&mut self) {
        for function in self.functions.iter_mut().filter(|f| f.line == 0) {
            let entry = function.entry;
            let after = self.statements.partition_point(|s| s.address < entry);
            if let Some(first) = self.statements.get(after).filter(|s| s.address == entry) {
                (function.file, function.line) = (first.file, first.line);
            }
        }
    }

    /// Of programs with line tables only, symbols tell the functions.
    fn add_symbols(&mut self, code: &dyn Code) {
        let mut known: BTreeMap<u64, usize> = BTreeMap::new();
        for statement in self.statements.iter_mut().filter(|s| s.within.is_empty()) {
            let Some(symbol) = code.symbol_at(statement.address) else {
                continue;
            };
            let at = *known.entry(symbol.start).or_insert_with(|| {
                self.functions.push(Function {
                    name: symbol.name.clone(),
                    symbol: None,
                    file: statement.file,
                    line: statement.line,
                    ranges: [symbol.range()].into(),
                    entry: symbol.start,
                    is_inlined: false,
                    is_part: false,
                    offset: None,
                });
                self.functions.len() - 1
            });
            statement.within.push(at);
        }
    }

    /// The functions of the name and files, called or inlined, with each whether it has any of the lines.
    pub fn meant(&self, query: &Query<'_>) -> Vec<(&Function, bool)> {
        let mut last_lines: Vec<u64> = self.functions.iter().map(|f| f.line).collect();
        for statement in &self.statements {
            if let Some(&at) = statement.within.last()
                && self.functions[at].file == statement.file
            {
                last_lines[at] = last_lines[at].max(statement.line);
            }
        }
        let all = self.functions.iter().zip(last_lines);
        let named = all.filter(|(function, _)| {
            function.is_called(query.function) && self.files.contains(&function.file)
        });
        let with_lines = named.map(|(function, last)| {
            let has_lines = match query.lines {
                Lines::First | Lines::All => true,
                Lines::Numbered(lines) => overlap(lines, 0, function.line, last),
                Lines::Relative(lines) => overlap(lines, function.line, function.line, last),
            };
            (function, has_lines)
        });
        with_lines.collect()
    }

    /// Whether the code of a function is meant where it has lines of the wanted files.
    fn is_meant(&self, function: &Function, query: &Query<'_>) -> bool {
        let is_any = query.function == "*";
        function.is_called(query.function) && (is_any || self.files.contains(&function.file))
    }
}

impl Function {
    fn is_called(&self, pattern: &str) -> bool {
        let symbol = self.symbol.as_deref();
        glob(pattern, &self.name) || symbol.is_some_and(|symbol| glob(pattern, symbol))
    }
}

/// Whether any of the ranges, counted from `base`, has a line from `first` to `last`.
fn overlap(ranges: &[RangeInclusive<u64>], base: u64, first: u64, last: u64) -> bool {
    let counted = |range: &RangeInclusive<u64>| {
        (
            base.saturating_add(*range.start()),
            base.saturating_add(*range.end()),
        )
    };
    ranges
        .iter()
        .map(counted)
        .any(|(start, end)| start <= last && end >= first)
}
