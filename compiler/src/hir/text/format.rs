//! Print formats as text.

use std::fmt::{self, Write};

use crate::lir::{Conv, ConvFlag, ConvKind, ConvSize, Piece};

/// A format as it was written, near enough.
pub(super) fn format_text(pieces: &[Piece]) -> String {
    let mut text = String::from("\"");
    for piece in pieces {
        match piece {
            Piece::Text(t) => {
                let _ = write!(text, "{}", t.escape_ascii().to_string().replace('%', "%%"));
            }
            Piece::Conv(conv) => {
                let _ = write!(text, "{}", Shown(conv));
            }
            Piece::Call(function, args) => {
                let _ = write!(text, "%{{{}/{args}}}", function.0);
            }
        }
    }
    text.push('"');
    text
}

struct Shown<'c>(&'c Conv);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conv = self.0;
        f.write_str("%")?;
        f.write_str(match conv.flag {
            None => "",
            Some(ConvFlag::Zero) => "0",
            Some(ConvFlag::Plus) => "+",
            Some(ConvFlag::Left) => "-",
            Some(ConvFlag::Space) => " ",
            Some(ConvFlag::Alternate) => "#",
        })?;
        match conv.width {
            ConvSize::None => {}
            ConvSize::Fixed(n) => write!(f, "{n}")?,
            ConvSize::Arg => f.write_str("*")?,
        }
        match conv.precision {
            ConvSize::None => {}
            ConvSize::Fixed(n) => write!(f, ".{n}")?,
            ConvSize::Arg => f.write_str(".*")?,
        }
        f.write_str(match conv.kind {
            ConvKind::Decimal => "d",
            ConvKind::Unsigned => "u",
            ConvKind::Octal => "o",
            ConvKind::HexLower => "x",
            ConvKind::HexUpper => "X",
            ConvKind::Pointer => "p",
            ConvKind::Char => "c",
            ConvKind::Str => "s",
            ConvKind::Binary => "b",
            ConvKind::Memory => "m",
            ConvKind::MemoryHex => "M",
        })
    }
}
