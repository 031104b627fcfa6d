//! What is inside of a function: labels, and what it calls.

use std::ops::Range;

use gimli::{
    AttributeValue, DW_AT_GNU_tail_call, DW_AT_abstract_origin, DW_AT_call_origin,
    DW_AT_call_tail_call, DW_AT_decl_line, DW_AT_low_pc, DW_AT_name, UnitOffset, constants as dw,
};

use super::find::{Code, Place, Query};
use super::functions::{Entry, Function};
use super::unit::Unit;
use super::{DebugInfo, DwarfError};
use crate::glob::glob;

/// A label that has code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Its function, with the label's address and line.
    pub place: Place,
    /// Its name.
    pub name: String,
}

/// The labels that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Those that are meant, by address.
    pub found: Vec<Label>,
    /// The names of all that the functions have.
    pub names: Vec<String>,
    /// Whether there are such functions.
    pub has_function: bool,
}

/// The code of a function, and what it calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Its code.
    pub ranges: Vec<Range<u64>>,
    /// In the order of its description. Calls by pointers are not among them.
    pub all: Vec<Call>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is called: its name, and where it is declared. The address is that of the first instruction, 0 if another unit has it.
    pub callee: Place,
    /// How.
    pub how: CallKind,
    /// The one of the calls before it whose inlined code it is in.
    pub within: Option<usize>,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// So that it returns to where it was called.
    Call,
    /// By a jump: it returns to where the caller was called.
    Jump,
    /// It is part of the caller.
    Inlined,
}

impl DebugInfo {
    /// The labels of functions, also where these have been inlined.
    pub fn labels(
        &self,
        query: &Query<'_>,
        pattern: &str,
        code: &dyn Code,
    ) -> Result<Labels, DwarfError> {
        let mut labels = Labels::default();
        self.find(query, code, true, |part, _| {
            for (function, is_wanted) in part.meant(query) {
                labels.has_function = true;
                let Some(offset) = function.offset.filter(|_| is_wanted) else {
                    continue;
                };
                part.unit.labels_of(offset, |name, address, line| {
                    labels.names.push(name.to_owned());
                    if glob(pattern, name) && code.is_code(address) {
                        labels.found.push(Label {
                            place: Place {
                                address,
                                file: part.unit.file(function.file),
                                line,
                                function: function.name.clone(),
                            },
                            name: name.to_owned(),
                        });
                    }
                })?;
            }
            Ok(())
        })?;
        labels.found.sort();
        labels.found.dedup();
        labels.names.sort();
        labels.names.dedup();
        Ok(labels)
    }

    /// What the function that begins at an address calls; `None` if there is none.
    pub fn calls_of(&self, address: u64) -> Result<Option<Calls>, DwarfError> {
        let Some(offset) = self.unit_at(address)? else {
            return Ok(None);
        };
        let dwarf = self.dwarf();
        let header = dwarf.debug_info.header_from_offset(offset)?;
        let budget = self.budget();
        let Some(unit) = Unit::read(&dwarf, &budget, header)? else {
            return Ok(None);
        };
        let functions = unit.functions()?;
        let mut called = functions.iter().filter(|f| !f.is_inlined);
        let Some(caller) = called.find(|f| f.entry == address) else {
            return Ok(None);
        };
        let Some(offset) = caller.offset else {
            return Ok(None);
        };
        Ok(Some(Calls {
            ranges: caller.ranges.clone(),
            all: unit.calls_from(offset, &functions)?,
        }))
    }
}

impl<'d> Unit<'d> {
    /// The labels of a function, not those of what is inlined into it.
    fn labels_of(
        &self,
        function: UnitOffset,
        mut take: impl FnMut(&str, u64, u64),
    ) -> Result<(), DwarfError> {
        let mut inlined_at = None;
        self.below(function, |unit, entry, depth| {
            if inlined_at.is_some_and(|inlined| depth <= inlined) {
                inlined_at = None;
            }
            if inlined_at.is_some() {
                return Ok(());
            }
            if is_function(entry) {
                inlined_at = Some(depth);
            }
            let (dw::DW_TAG_label, Some(low)) = (entry.tag(), entry.attr_value(DW_AT_low_pc))
            else {
                return Ok(());
            };
            let origin = match entry.attr_value(DW_AT_abstract_origin) {
                Some(origin) => unit.within(&origin),
                None => None,
            };
            let described = match origin {
                Some(origin) => unit.unit.entry(origin)?,
                None => entry.clone(),
            };
            let line = described.attr_value(DW_AT_decl_line);
            let line = line.and_then(|line| line.udata_value()).unwrap_or(0);
            if let (Some(name), Some(address)) = (
                unit.text(&described, DW_AT_name),
                unit.dwarf.attr_address(&unit.unit, low)?,
            ) {
                take(&name, address, line);
            }
            Ok(())
        })
    }

    fn calls_from(
        &self,
        caller: UnitOffset,
        functions: &[Function],
    ) -> Result<Vec<Call>, DwarfError> {
        let mut all: Vec<Call> = Vec::new();
        // Inlined code that is not over yet: its depth and number.
        let mut open: Vec<(isize, usize)> = Vec::new();
        self.below(caller, |unit, entry, depth| {
            while open.last().is_some_and(|(last, _)| depth <= *last) {
                open.pop();
            }
            let within = open.last().map(|(_, at)| *at);
            let (how, function) = match entry.tag() {
                dw::DW_TAG_inlined_subroutine => {
                    let ranges = unit.ranges(entry)?;
                    if ranges.is_empty() {
                        return Ok(());
                    }
                    open.push((depth, all.len()));
                    (CallKind::Inlined, unit.function(entry, ranges, true)?)
                }
                dw::DW_TAG_call_site | dw::DW_TAG_GNU_call_site => {
                    let origin = entry.attr_value(DW_AT_call_origin);
                    let origin = origin.or_else(|| entry.attr_value(DW_AT_abstract_origin));
                    let Some(origin) = origin.and_then(|origin| unit.within(&origin)) else {
                        return Ok(());
                    };
                    let callee = unit.unit.entry(origin)?;
                    let is_jump = [DW_AT_call_tail_call, DW_AT_GNU_tail_call]
                        .into_iter()
                        .filter_map(|at| entry.attr_value(at))
                        .any(|value| value != AttributeValue::Flag(false));
                    let how = if is_jump {
                        CallKind::Jump
                    } else {
                        CallKind::Call
                    };
                    (how, unit.function(&callee, unit.ranges(&callee)?, false)?)
                }
                _ => return Ok(()),
            };
            let Some(function) = function else {
                return Ok(());
            };
            let mut entries = vec![function.entry];
            if how != CallKind::Inlined && function.ranges.is_empty() {
                unit.budget.spend(functions.len() as u64)?;
                // A copy that is optimised for its callers is of what is called by the source.
                let copies = functions.iter().filter(|other| {
                    !other.is_inlined
                        && (other.line, &other.name) == (function.line, &function.name)
                });
                let copies: Vec<u64> = copies.map(|copy| copy.entry).collect();
                if !copies.is_empty() {
                    entries = copies;
                }
            }
            all.extend(entries.into_iter().map(|address| Call {
                callee: Place {
                    address,
                    file: unit.file(function.file),
                    line: function.line,
                    function: function.name.clone(),
                },
                how,
                within,
            }));
            Ok(())
        })?;
        Ok(all)
    }

    /// Goes through what is below an entry.
    fn below(
        &self,
        top: UnitOffset,
        mut visit: impl FnMut(&Self, &Entry<'d>, isize) -> Result<(), DwarfError>,
    ) -> Result<(), DwarfError> {
        let mut entries = self.unit.entries_raw(Some(top))?;
        let first = entries.next_depth();
        let mut entry = Entry::null();
        let mut is_first = true;
        while !entries.is_empty() && (is_first || entries.next_depth() > first) {
            self.budget.spend(1)?;
            let depth = entries.next_depth();
            if entries.read_entry(&mut entry)? && !is_first {
                visit(self, &entry, depth)?;
            }
            is_first = false;
        }
        Ok(())
    }
}

fn is_function(entry: &Entry<'_>) -> bool {
    matches!(
        entry.tag(),
        dw::DW_TAG_inlined_subroutine | dw::DW_TAG_subprogram
    )
}
