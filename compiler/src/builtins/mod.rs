//! Builtin functions: what the language cannot express itself. One table, a row each,
//! in one file per family; tapset functions wrap them (docs/adding-a-builtin.md).
//!
//! Builtins whose names begin with `__` are for tapsets only.

#![allow(
    clippy::unnecessary_wraps,
    reason = "the functions of all rows have one type"
)]

mod characters;
mod context;
pub mod errno;
mod memory;
pub mod names;
mod output;
mod registers;
mod stacks;
mod strings;
mod symbols;
mod time;
mod user;

use crate::hir::Ty;
use crate::lir::{Place, Value};
use crate::lower::{Lower, Lowered};

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// Name in scripts.
    pub name: &'static str,
    /// Types of the parameters.
    pub params: &'static [Ty],
    /// How many of the parameters may be left out, at the end.
    pub optional: usize,
    /// Type of the result.
    pub ret: Ty,
    /// Where it can run.
    pub place: Place,
    /// Whether what it is depends on the probe's context, without needing one.
    pub by_context: bool,
    /// Whether it reads registers: what calls it is attached by a kprobe where a trampoline would do otherwise.
    pub registers: bool,
    /// Whether string arguments may be late: they are only printed.
    pub late_args: bool,
    /// Whether literal arguments are taken whole, whatever MAXSTRINGLEN is.
    pub whole_literals: bool,
    /// Whether (and how) a string result may be late, when all its uses allow it.
    pub late: Option<Late>,
    /// The widest string that results, from the arguments' widths (0 for numbers) and the
    /// widest of all (MAXSTRINGLEN - 1).
    pub cap: fn(args: &[u32], max: u32) -> u32,
    /// The parameter that, where it is a constant, is the most bytes the result can have.
    pub bound: Option<usize>,
    /// Whether a call whose result is not used can be left out.
    pub pure: bool,
    /// Appends the operations that compute it.
    pub lower: fn(&mut Lower<'_>, &Call<'_>) -> Lowered<Option<Value>>,
    /// One sentence: what it gives, its unit, the minimum kernel.
    pub doc: &'static str,
}

impl Builtin {
    /// What most rows have in common: a pure function of both executors whose result is a
    /// number.
    const BASE: Builtin = Builtin {
        name: "",
        params: &[],
        optional: 0,
        ret: Ty::Long,
        place: Place::Both,
        by_context: false,
        registers: false,
        late_args: false,
        whole_literals: false,
        late: None,
        cap: |_, max| max,
        bound: None,
        pure: true,
        lower: |_, _| Ok(None),
        doc: "",
    };
}

/// The late form of a builtin's string result.
#[derive(Clone, Copy)]
pub struct Late {
    /// Bytes of the late record after its 8-byte head, from the arguments' widths (0 for
    /// numbers) and the widest string of all: 8 for each integer, the slot's width for each
    /// string.
    pub bytes: fn(args: &[u32], max: u32) -> u32,
    /// Whether equal strings always have equal records, so that it is an array key like any.
    pub key: bool,
    /// Whether it can be the empty string.
    pub empty: bool,
}

/// A call to be lowered.
pub struct Call<'a> {
    /// The row.
    pub builtin: &'static Builtin,
    /// The arguments' values; strings are late only if the row allows it.
    pub args: &'a [Value],
    /// The result's width, and whether it is to be late.
    pub cap: (u32, bool),
    /// The call's place.
    pub span: rtap_grammar::source::Span,
}

/// A builtin, as an index into the table: the family's number times 256 plus the row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BuiltinId(pub u16);

/// The families' tables, one file each. Rows and families may be added anywhere: ids are
/// never stored outside of one compilation.
const FAMILIES: &[&[Builtin]] = &[
    context::ROWS,
    memory::ROWS,
    names::ROWS,
    output::ROWS,
    registers::ROWS,
    stacks::ROWS,
    strings::ROWS,
    time::ROWS,
    user::ROWS,
];

/// The builtin of a name.
pub fn find(name: &str) -> Option<BuiltinId> {
    all()
        .find(|(_, builtin)| builtin.name == name)
        .map(|(id, _)| id)
}

/// A builtin's row.
pub fn get(id: BuiltinId) -> &'static Builtin {
    &FAMILIES[usize::from(id.0 >> 8)][usize::from(id.0 & 0xff)]
}

/// All builtins, in the table's order.
pub fn all() -> impl Iterator<Item = (BuiltinId, &'static Builtin)> {
    FAMILIES.iter().enumerate().flat_map(|(family, rows)| {
        rows.iter()
            .enumerate()
            .map(move |(row, builtin)| (BuiltinId((family << 8 | row) as u16), builtin))
    })
}
