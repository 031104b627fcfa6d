//! Script values and how they are shown: strings, numbers, formats, statistics,
//! histograms, and their bytes in maps and records.
//!
//! Nothing here does I/O. Where a fact about SystemTap's behaviour is relied on, the item's
//! comment says where it is from: a manual page, the language reference, or "observed", which
//! means that SystemTap 4.8 did so when run.

mod cooked;
mod escape;
mod format;
mod hex;
mod hist;
mod number;
mod record;
mod slot;
mod stat;
mod text;

pub use cooked::{Cooked, CookedPiece};
pub use escape::{escape_char, quote};
pub use format::{Arg, Args, Renderer, Spec, ValueArgs, conversion};
pub use hex::hex;
pub use hist::{HIST_ELISION, HIST_WIDTH, bucket_label, histogram};
pub use record::{BadRecord, RecordArgs};
pub use slot::{read_slot, slot_text, write_slot};
pub use stat::Stat;
pub use text::Text;

/// A script value at run time: what the interpreter computes with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// A `long`.
    Int(i64),
    /// A `string`.
    Str(Text),
}

impl Value {
    /// The number; 0 for a string, which a verified program never asks for.
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            Value::Str(_) => 0,
        }
    }

    /// The string's bytes; none for a number, which a verified program never asks for.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Int(_) => b"",
            Value::Str(text) => text.as_bytes(),
        }
    }

    /// The string; empty for a number.
    pub fn text(&self) -> Text {
        match self {
            Value::Int(_) => Text::default(),
            Value::Str(text) => text.clone(),
        }
    }

    /// The value that an unset variable of this type has.
    pub fn zero(ty: rtap_compiler::lir::Ty) -> Value {
        if ty.is_str() {
            Value::Str(Text::default())
        } else {
            Value::Int(0)
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(Text::new(text.as_bytes()))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Str(Text::new(bytes))
    }
}
