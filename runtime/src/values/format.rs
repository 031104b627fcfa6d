//! Rendering of formats: `printf`, `sprintf`, late strings.
//!
//! Arguments come from the interpreter ([`ValueArgs`]) or straight out of a record's bytes
//! (`RecordArgs`); the text goes to the end of a buffer. The common conversions allocate
//! nothing.

use rtap_compiler::image::RecordLayout;
use rtap_compiler::lir::{Conv, ConvFlag, ConvKind, ConvSize, FormatId};

use super::record::{BadRecord, RecordArgs};
use super::{Cooked, CookedPiece, Value, number};
use crate::userfn::Host;

/// The widest field and the most digits that are made, bytes; larger ones are taken as this.
const MAX_FIELD: usize = 8192;

/// Late strings in late strings in …, at most.
const MAX_DEPTH: u32 = 16;

/// A conversion with its sizes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Flag, if any.
    pub flag: Option<ConvFlag>,
    /// Least width, bytes.
    pub width: Option<usize>,
    /// Precision.
    pub precision: Option<usize>,
    /// What is printed.
    pub kind: ConvKind,
}

/// An argument of a format.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// A number.
    Int(i64),
    /// A string's bytes.
    Text(&'a [u8]),
    /// A late string's record: u32 id, four bytes of padding, fields.
    Late(&'a [u8]),
}

/// Where arguments come from, in order.
pub trait Args<'a> {
    /// The next argument.
    fn next(&mut self) -> Result<Arg<'a>, BadRecord>;
}

/// Arguments that are the interpreter's values, each with whether it is a late string.
pub struct ValueArgs<I>(pub I);

impl<'a, I: Iterator<Item = (&'a Value, bool)>> Args<'a> for ValueArgs<I> {
    fn next(&mut self) -> Result<Arg<'a>, BadRecord> {
        match self.0.next() {
            Some((Value::Int(n), _)) => Ok(Arg::Int(*n)),
            Some((Value::Str(text), false)) => Ok(Arg::Text(text.as_bytes())),
            Some((Value::Str(text), true)) => Ok(Arg::Late(text.as_bytes())),
            None => Err(BadRecord::Corrupt("too few arguments for its format")),
        }
    }
}

/// What rendering needs of the image.
#[derive(Clone, Copy)]
pub struct Renderer<'a> {
    /// The formats, by [`FormatId`].
    pub formats: &'a [Cooked],
    /// Layouts of records and late strings, by a record's id.
    pub records: &'a [RecordLayout],
    /// Most bytes of a string's text.
    pub most_text_bytes: usize,
}

impl Renderer<'_> {
    /// The format of an id.
    pub fn format(&self, id: FormatId) -> Result<&Cooked, BadRecord> {
        self.formats
            .get(id.as_u32() as usize)
            .ok_or(BadRecord::Corrupt("its format does not exist"))
    }

    /// The layout of a record's id.
    pub fn record(&self, id: u32) -> Result<&RecordLayout, BadRecord> {
        self.records
            .get(id as usize)
            .ok_or(BadRecord::Corrupt("its layout does not exist"))
    }

    /// Appends what `format` makes of `args`.
    pub fn render<'a>(
        &self,
        out: &mut Vec<u8>,
        format: &Cooked,
        args: &mut impl Args<'a>,
        host: &mut Host,
    ) -> Result<(), BadRecord> {
        self.render_at(out, format, args, host, 0)
    }

    /// Appends the text of a late string: u32 id, padding, fields; zeros at the end may be
    /// missing. Id 0 is the empty string.
    pub fn late(&self, out: &mut Vec<u8>, bytes: &[u8], host: &mut Host) -> Result<(), BadRecord> {
        self.late_at(out, bytes, host, 0)
    }

    fn late_at(
        &self,
        out: &mut Vec<u8>,
        bytes: &[u8],
        host: &mut Host,
        depth: u32,
    ) -> Result<(), BadRecord> {
        // The interpreter leaves out zeros at the end, ids below 2^24 therefore a byte.
        let mut head = [0; 8];
        let present = bytes.len().min(8);
        head[..present].copy_from_slice(&bytes[..present]);
        let id = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if id == 0 {
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(BadRecord::Corrupt("late strings are nested too deep"));
        }
        let layout = self.record(id)?;
        let body = bytes.get(8..).unwrap_or_default();
        let mut args = RecordArgs::late(&layout.fields, body);
        let begin = out.len();
        let format = self.format(layout.format)?;
        self.render_at(out, format, &mut args, host, depth + 1)?;
        if format.whole {
            return Ok(());
        }
        // A string ends at the first 0 that is put into it, and is cut where any other would be.
        let text = out.get(begin..).unwrap_or_default();
        let end = text.iter().position(|byte| *byte == 0);
        out.truncate(begin + end.unwrap_or(text.len()).min(self.most_text_bytes));
        Ok(())
    }

    fn render_at<'a>(
        &self,
        out: &mut Vec<u8>,
        format: &Cooked,
        args: &mut impl Args<'a>,
        host: &mut Host,
        depth: u32,
    ) -> Result<(), BadRecord> {
        for piece in &format.pieces {
            match piece {
                CookedPiece::Text(text) => out.extend_from_slice(text),
                CookedPiece::Decimal => {
                    let Arg::Int(n) = args.next()? else {
                        return Err(BadRecord::Corrupt("a string where a number is printed"));
                    };
                    if n < 0 {
                        out.push(b'-');
                    }
                    out.extend_from_slice(number::decimal(&mut [0; 20], n.unsigned_abs()));
                }
                CookedPiece::Str => match args.next()? {
                    Arg::Text(text) => out.extend_from_slice(text),
                    Arg::Late(record) => self.late_at(out, record, host, depth)?,
                    Arg::Int(n) => conversion(out, &plain(ConvKind::Decimal), Arg::Int(n))?,
                },
                CookedPiece::Conv(conv) => {
                    let spec = sizes(conv, args)?;
                    match args.next()? {
                        Arg::Late(record) => {
                            let mut text = Vec::new();
                            self.late_at(&mut text, record, host, depth)?;
                            conversion(out, &spec, Arg::Text(&text))?;
                        }
                        arg => conversion(out, &spec, arg)?,
                    }
                }
                CookedPiece::Call(row, count, list) => {
                    let mut values = Vec::with_capacity(usize::from(*count) + 1);
                    for _ in 0..*count {
                        values.push(match args.next()? {
                            Arg::Int(n) => Value::Int(n),
                            Arg::Text(text) => Value::from(text),
                            Arg::Late(record) => {
                                let mut text = Vec::new();
                                self.late_at(&mut text, record, host, depth)?;
                                Value::from(&text[..])
                            }
                        });
                    }
                    values.extend(list.clone());
                    match row.call(host, &values).map_err(BadRecord::Function)? {
                        Value::Str(text) => out.extend_from_slice(&text),
                        Value::Int(n) => {
                            conversion(out, &plain(ConvKind::Decimal), Arg::Int(n))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A conversion without flag and sizes.
fn plain(kind: ConvKind) -> Spec {
    Spec {
        flag: None,
        width: None,
        precision: None,
        kind,
    }
}

/// Takes the arguments of `*` sizes. A negative width counts as none, a negative precision
/// as 0 (observed).
fn sizes<'a>(conv: &Conv, args: &mut impl Args<'a>) -> Result<Spec, BadRecord> {
    let mut size = |size: ConvSize| match size {
        ConvSize::None => Ok(None),
        ConvSize::Fixed(n) => Ok(Some(i64::from(n))),
        ConvSize::Arg => match args.next()? {
            Arg::Int(n) => Ok(Some(n)),
            Arg::Text(_) | Arg::Late(_) => {
                Err(BadRecord::Corrupt("a string where a width is taken"))
            }
        },
    };
    let width = size(conv.width)?;
    let precision = size(conv.precision)?;
    let clamp = |n: i64| n.clamp(0, MAX_FIELD as i64) as usize;
    Ok(Spec {
        flag: conv.flag,
        width: width.map(clamp),
        precision: precision.map(clamp),
        kind: conv.kind,
    })
}

/// Appends one argument as `spec` shows it.
pub fn conversion(out: &mut Vec<u8>, spec: &Spec, arg: Arg<'_>) -> Result<(), BadRecord> {
    match (arg, spec.kind) {
        (Arg::Int(n), _) => number::integer(out, spec, n),
        (Arg::Text(text), ConvKind::Str) => number::string(out, spec, text),
        (Arg::Text(digits), ConvKind::Memory) => number::memory(out, spec, digits),
        (Arg::Text(_) | Arg::Late(_), _) => {
            return Err(BadRecord::Corrupt("a string where a number is printed"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
