//! BTF: the kernel's own description of its types, functions and tracepoints.
//!
//! In: the bytes of a `.BTF` blob (`/sys/kernel/btf/vmlinux`, a module's file
//! beside it, a fixture). Out: typed look-ups over those bytes.
//!
//! Invariants:
//! - Nothing is copied out of the blob. Parsing is one pass that records where
//!   each type begins; the name index is built at the first look-up by name.
//! - The blob is not trusted. A malformed one gives a [`BtfError`]; no input
//!   panics, and every walk (typedef chains, nested anonymous members) has a
//!   bound.
//! - Type ids are those of the kernel, so that they can be handed to `bpf()`.
//!
//! Source: `include/uapi/linux/btf.h`, `Documentation/bpf/btf.rst`.

mod build;
mod extract;
mod func;
mod name;
mod path;
mod print;
mod raw;
mod resolve;
mod types;

#[cfg(test)]
mod tests;

pub use build::BtfBuilder;
pub use extract::{extract, extract_into};
pub use func::{Param, Signature};
pub use path::{DynamicIndex, Hop, PathError, Place, PlaceKind, Step, place, resolve_path};
pub use raw::{Btf, BtfError};
pub use resolve::{FoundMember, MAX_CHAIN, MAX_NESTING};
pub use types::{
    Composite, Enumeration, Enumerator, Kind, Linkage, Member, Modifier, Prototype, SectionVar,
    Type,
};

use serde::{Deserialize, Serialize};

/// The number of a type in a [`Btf`]; 0 is `void`.
///
/// The ids of a module's BTF go on where those of vmlinux end, so an id is
/// meaningful with the `Btf` it came from (and, below the base's count, with the base).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`, which has no entry of its own.
    pub const VOID: Self = Self(0);

    /// Whether this is `void`.
    pub fn is_void(self) -> bool {
        self == Self::VOID
    }
}
