//! Arguments read straight out of a record's bytes.
//!
//! The bytes come from the kernel and are trusted no further than their length: whatever
//! they hold, the result is an argument or a [`BadRecord`].

use rtap_compiler::image::Field;
use thiserror::Error;

use super::format::{Arg, Args};
use super::text::until_nul;

/// Why a record cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// Its bytes do not fit its layout.
    #[error("corrupt record: {0}")]
    Corrupt(&'static str),
    /// A function of user space failed on its arguments.
    #[error("{0}")]
    Function(String),
}

/// The arguments of one record.
pub struct RecordArgs<'a> {
    fields: std::slice::Iter<'a, Field>,
    bytes: &'a [u8],
    /// Whether missing bytes are zeros: the ends of late strings' records are left out.
    zeros: bool,
}

impl<'a> RecordArgs<'a> {
    /// The arguments laid out as `fields` in `bytes` (the body, after the head).
    pub fn new(fields: &'a [Field], bytes: &'a [u8]) -> Self {
        RecordArgs {
            fields: fields.iter(),
            bytes,
            zeros: false,
        }
    }

    /// The arguments of a late string's record, whose last zeros may have been left out.
    pub fn late(fields: &'a [Field], bytes: &'a [u8]) -> Self {
        RecordArgs {
            zeros: true,
            ..RecordArgs::new(fields, bytes)
        }
    }

    /// Takes `count` bytes.
    fn take(&mut self, count: usize) -> Result<&'a [u8], BadRecord> {
        if self.zeros && count > self.bytes.len() {
            return Ok(std::mem::take(&mut self.bytes));
        }
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or(BadRecord::Corrupt("it ends before its arguments"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Takes a little-endian word.
    fn word(&mut self) -> Result<u64, BadRecord> {
        let mut word = [0; 8];
        let bytes = self.take(8)?;
        word[..bytes.len()].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(word))
    }

    /// A slot's contents.
    fn content(slot: &'a [u8], late: bool) -> Arg<'a> {
        if late {
            Arg::Late(slot)
        } else {
            Arg::Text(until_nul(slot))
        }
    }
}

impl<'a> Args<'a> for RecordArgs<'a> {
    fn next(&mut self) -> Result<Arg<'a>, BadRecord> {
        let field = self
            .fields
            .next()
            .ok_or(BadRecord::Corrupt("too few arguments for its format"))?;
        match *field {
            Field::Int => Ok(Arg::Int(self.word()? as i64)),
            Field::Fixed { width, late } => Ok(Self::content(self.take(width as usize)?, late)),
            Field::Variable { late } => {
                let length = usize::try_from(self.word()?).unwrap_or(usize::MAX);
                if length > self.bytes.len() {
                    return Err(BadRecord::Corrupt("a string is longer than the record"));
                }
                let padded = length.next_multiple_of(8).min(self.bytes.len());
                let slot = self.take(padded)?;
                Ok(Self::content(&slot[..length], late))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_order() {
        let fields = [
            Field::Int,
            Field::Fixed {
                width: 8,
                late: false,
            },
            Field::Variable { late: false },
            Field::Int,
        ];
        let mut bytes = (-5_i64).to_le_bytes().to_vec();
        bytes.extend_from_slice(b"abc\0\0\0\0\0");
        bytes.extend_from_slice(&9_u64.to_le_bytes());
        bytes.extend_from_slice(b"ninebytes\0\0\0\0\0\0\0");
        bytes.extend_from_slice(&7_u64.to_le_bytes());
        let mut args = RecordArgs::new(&fields, &bytes);
        assert!(matches!(args.next(), Ok(Arg::Int(-5))));
        assert!(matches!(args.next(), Ok(Arg::Text(b"abc"))));
        assert!(matches!(args.next(), Ok(Arg::Text(b"ninebytes"))));
        assert!(matches!(args.next(), Ok(Arg::Int(7))));
        assert!(args.next().is_err());
    }

    #[test]
    fn every_truncation_is_an_error_or_an_argument() {
        let fields = [
            Field::Variable { late: false },
            Field::Fixed {
                width: 16,
                late: true,
            },
        ];
        let mut bytes = 3_u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[b'x'; 24]);
        for end in 0..bytes.len() {
            let mut args = RecordArgs::new(&fields, &bytes[..end]);
            assert!(args.next().and_then(|_| args.next()).is_err());
        }
        let mut args = RecordArgs::new(&fields, &[0xff; 64]);
        assert!(args.next().is_err());
    }
}
