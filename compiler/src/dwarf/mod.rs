//! DWARF: what debug information says of the source that code comes from.
//!
//! In: the bytes of an ELF file with debug sections, compressed or not; DWARF 2 to 5. Out: the places that a function's
//! name, a file and lines mean ([`DebugInfo::statements`], [`DebugInfo::functions`]), labels and calls in functions ([`DebugInfo::labels`], [`DebugInfo::calls_of`]), the variables that code at an address can
//! see, where they are ([`DebugInfo::variables_at`]), those of symbols ([`DebugInfo::global_at`]), and of which types they are ([`DebugInfo::describe`]). Addresses are those before relocation, as the
//! file's symbol table has them; in relocatable files (kernel modules) those of [`Layout`].
//!
//! Invariants:
//! - Units are read one at a time, when they are asked for: what stays in memory are the sections, and of a file that is
//!   mapped ([`DebugInfo::of_file`]) only what had to be unpacked.
//! - The bytes are not trusted. No input panics; walks end at the latest when more has been read than the
//!   sections can hold ([`Budget`]). A unit that is damaged is left out, the others are good.
//!
//! Source: the DWARF standard, <https://dwarfstd.org>.

mod bytes;
mod find;
mod functions;
mod globals;
mod inside;
mod lines;
mod lookup;
mod names;
mod path;
mod relocate;
mod sections;
mod types;
mod unit;
mod variables;

#[cfg(test)]
mod tests;

pub use bytes::SharedFile;
pub(crate) use bytes::contents;
pub use find::{Code, Found, Instances, Lines, Place, Query, Symbol};
pub use globals::Global;
pub use inside::{Call, CallKind, Calls, Label, Labels};
pub use lookup::{SourceLine, UnitIndex};
pub(crate) use relocate::{Layout, is_code, is_loaded, is_relocatable};
pub use types::Described;
pub use variables::{Location, Missing, TypeRef, Value, Variable, Variables};

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, OnceLock};

use gimli::{DwarfSections, EndianSlice, LittleEndian};
use thiserror::Error;

use bytes::Bytes;
use variables::LocationTables;

/// A part of a section.
type Slice<'d> = EndianSlice<'d, LittleEndian>;

/// Why debug information cannot be read. Its `Display` is a clause for a diagnostic.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DwarfError {
    /// The file has none.
    #[error("it has no debug information")]
    None,
    /// It cannot be understood.
    #[error("its debug information is damaged: {0}")]
    Damaged(String),
}

impl From<gimli::Error> for DwarfError {
    fn from(error: gimli::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<object::Error> for DwarfError {
    fn from(error: object::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The debug information of a program, a library or a kernel.
pub struct DebugInfo {
    sections: DwarfSections<Bytes>,
    /// Bytes of all sections.
    bytes: u64,
    /// What it was read from, if that is kept.
    file: Option<SharedFile>,
    location_tables: OnceLock<Result<LocationTables, DwarfError>>,
    index: OnceLock<Result<UnitIndex, DwarfError>>,
    /// Variables that were asked for, by name and address.
    globals: Mutex<BTreeMap<(String, u64), Option<Global>>>,
}

impl fmt::Debug for DebugInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of debug information", self.bytes)
    }
}

/// How much may still be read. Parts of sections may be referred to any number of times: in a hostile file that would
/// take for ever.
struct Budget(Cell<u64>);

impl Budget {
    /// Takes note of something that was read.
    fn spend(&self, steps: u64) -> Result<(), DwarfError> {
        match self.0.get().checked_sub(steps) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(DwarfError::Damaged(
                "it refers to the same parts over and over".to_owned(),
            )),
        }
    }
}
