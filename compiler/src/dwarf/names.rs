//! Which units can speak of a function: those whose entries have its name. A kernel has thousands of units; to look for
//! a few bytes is much cheaper than to read their entries.

use bstr::{ByteSlice, Finder};
use gimli::{Dwarf, Section};
use rustc_hash::FxHashSet;

use super::unit::Unit;
use super::{DebugInfo, Slice};
use crate::glob::is_pattern;

/// So many words are sought one after the other, more of them all at once.
const FEW: usize = 16;

/// Names as short as this are written into entries: a reference to `.debug_str` is no shorter.
const SHORT: usize = 3;

impl DebugInfo {
    /// Whether no entry can have a name, by a look at `.debug_str` alone, where C compilers put all names that are not
    /// short.
    pub fn lacks(&self, name: &str) -> bool {
        let dwarf = self.dwarf();
        let texts = dwarf.debug_str.reader().slice();
        let name = [name.as_bytes(), b"\0"].concat();
        name.len() > SHORT + 1 && !texts.is_empty() && texts.find(&name).is_none()
    }
}

/// Finds a function's name in units.
pub(super) struct NameFilter {
    /// The name itself, and where `.debug_str` has it: as a whole, or at the end of a longer name.
    few: Vec<Finder<'static>>,
    /// The latter, if they are many.
    many: FxHashSet<u32>,
}

impl NameFilter {
    /// `None` if any unit may speak of it: it is a pattern, or names are referred to by index.
    pub fn new(function: &str, dwarf: &Dwarf<Slice<'_>>) -> Option<Self> {
        if is_pattern(function) || !dwarf.debug_str_offsets.reader().is_empty() {
            return None;
        }
        let name = [function.as_bytes(), b"\0"].concat();
        let texts = dwarf.debug_str.reader().slice();
        let offsets: FxHashSet<u32> = texts.find_iter(&name).map(|at| at as u32).collect();
        let finder = |bytes: &[u8]| Finder::new(bytes).into_owned();
        let mut few = vec![finder(&name)];
        if offsets.len() > FEW {
            return Some(Self { few, many: offsets });
        }
        few.extend(offsets.iter().map(|offset| finder(&offset.to_le_bytes())));
        Some(Self {
            few,
            many: FxHashSet::default(),
        })
    }

    /// Whether the name is in a unit.
    pub fn is_in(&self, unit: &Unit<'_>) -> bool {
        let bytes = unit.entries();
        let is_one = |word: &[u8; 4]| self.many.contains(&u32::from_le_bytes(*word));
        let has_many = || bytes.array_windows().any(is_one);
        self.few.iter().any(|one| one.find(bytes).is_some()) || !self.many.is_empty() && has_many()
    }
}
