//! Formats made ready to run: user-space functions looked up once, the commonest
//! conversions told apart, so that printing an event looks nothing up.

use rtap_compiler::lir::{Channel, Conv, ConvKind, ConvSize, Format, Piece};

use super::Value;
use crate::userfn::{self, Kind, UserFnRow};

/// A [`Format`] with its functions resolved.
#[derive(Clone, Debug)]
pub struct Cooked {
    /// Text and conversions.
    pub pieces: Vec<CookedPiece>,
    /// Where the text goes.
    pub channel: Channel,
    /// Whether the text is lines that are not cut as a string is.
    pub whole: bool,
}

/// A part of a [`Cooked`] format.
#[derive(Clone, Debug)]
pub enum CookedPiece {
    /// Text as it is.
    Text(Box<[u8]>),
    /// `%d` without anything.
    Decimal,
    /// `%s` without anything.
    Str,
    /// Any other conversion.
    Conv(Conv),
    /// The string that the function makes of the next `n` arguments and, if there is one, the
    /// text: what stands behind the function's name in the format.
    Call(&'static UserFnRow, u8, Option<Value>),
}

impl Cooked {
    /// Makes `format` ready; the error is the name of a function that does not exist.
    pub fn new(format: &Format) -> Result<Cooked, String> {
        let pieces: Vec<CookedPiece> = format
            .pieces
            .iter()
            .map(|piece| {
                Ok(match piece {
                    Piece::Text(text) => CookedPiece::Text(text.as_slice().into()),
                    Piece::Conv(conv) if is_plain(conv, ConvKind::Decimal) => CookedPiece::Decimal,
                    Piece::Conv(conv) if is_plain(conv, ConvKind::Str) => CookedPiece::Str,
                    Piece::Conv(conv) => CookedPiece::Conv(conv.clone()),
                    Piece::Call(function, args) => {
                        let (name, list) = match function.0.split_once(' ') {
                            Some((name, list)) => (name, Some(Value::from(list.as_bytes()))),
                            None => (function.0.as_str(), None),
                        };
                        let row = userfn::find(name).ok_or_else(|| function.0.clone())?;
                        CookedPiece::Call(row, *args, list)
                    }
                })
            })
            .collect::<Result<_, String>>()?;
        let whole =
            matches!(&pieces[..], [CookedPiece::Call(row, ..)] if row.result == Kind::Lines);
        Ok(Cooked {
            pieces,
            channel: format.channel,
            whole,
        })
    }
}

/// Whether the conversion has neither flag, width nor precision.
fn is_plain(conv: &Conv, kind: ConvKind) -> bool {
    conv.kind == kind
        && conv.flag.is_none()
        && conv.width == ConvSize::None
        && conv.precision == ConvSize::None
}
