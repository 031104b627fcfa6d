//! Which units can speak of a function: those whose entries have its name. A kernel has thousands of units; to look for
//! a few bytes is much cheaper than to read their entries.

use bstr::ByteSlice;
use gimli::{Dwarf, Section};
use rustc_hash::FxHashSet;

use super::Slice;
use super::unit::Unit;
use crate::probes::is_pattern;

/// Finds a function's name in units.
pub(super) struct NameFilter {
    /// The name as entries have it that hold it themselves.
    name: Vec<u8>,
    /// Where `.debug_str` has it: as a whole, or at the end of a longer name.
    offsets: FxHashSet<u32>,
    /// The lower halves of these, a bit for each: most words are none of them.
    halves: Vec<bool>,
}

impl NameFilter {
    /// `None` if any unit may speak of it: it is a pattern, or names are referred to by index.
    pub fn new(function: &str, dwarf: &Dwarf<Slice<'_>>) -> Option<Self> {
        if is_pattern(function) || !dwarf.debug_str_offsets.reader().is_empty() {
            return None;
        }
        let name = [function.as_bytes(), b"\0"].concat();
        let mut halves = vec![false; 1 << 16];
        let texts = dwarf.debug_str.reader().slice();
        let offsets: FxHashSet<u32> = texts.find_iter(&name).map(|at| at as u32).collect();
        for offset in &offsets {
            halves[*offset as usize & 0xffff] = true;
        }
        Some(Self {
            name,
            offsets,
            halves,
        })
    }

    /// Whether the name is in a unit.
    pub fn is_in(&self, unit: &Unit<'_>) -> bool {
        let bytes = unit.entries();
        let refers = |word: &[u8]| {
            let low = usize::from(u16::from_le_bytes([word[0], word[1]]));
            self.halves[low]
                && self
                    .offsets
                    .contains(&u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        };
        !self.offsets.is_empty() && bytes.windows(4).any(refers) || bytes.contains_str(&self.name)
    }
}
