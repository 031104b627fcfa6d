//! Formats made ready to run: user-space functions looked up once, the commonest
//! conversions told apart, so that printing an event looks nothing up.

use rtap_compiler::lir::{Channel, Conv, ConvKind, ConvSize, Format, Piece};

use crate::userfn::{self, UserFnRow};

/// A [`Format`] with its functions resolved.
#[derive(Clone, Debug)]
pub struct Cooked {
    /// Text and conversions.
    pub pieces: Vec<CookedPiece>,
    /// Where the text goes.
    pub channel: Channel,
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
    /// The string that the function makes of the next `n` arguments.
    Call(&'static UserFnRow, u8),
}

impl Cooked {
    /// Makes `format` ready; the error is the name of a function that does not exist.
    pub fn new(format: &Format) -> Result<Cooked, String> {
        let pieces = format
            .pieces
            .iter()
            .map(|piece| {
                Ok(match piece {
                    Piece::Text(text) => CookedPiece::Text(text.as_slice().into()),
                    Piece::Conv(conv) if is_plain(conv, ConvKind::Decimal) => CookedPiece::Decimal,
                    Piece::Conv(conv) if is_plain(conv, ConvKind::Str) => CookedPiece::Str,
                    Piece::Conv(conv) => CookedPiece::Conv(conv.clone()),
                    Piece::Call(function, args) => {
                        let row = userfn::find(&function.0).ok_or_else(|| function.0.clone())?;
                        CookedPiece::Call(row, *args)
                    }
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Cooked {
            pieces,
            channel: format.channel,
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
