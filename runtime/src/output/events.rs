//! From a record of the ring buffer to what it means. Layouts: `rtap_compiler::image::layout`.
//!
//! The bytes come from programs that rtap wrote, but are trusted no further than
//! their length: whatever they hold, the result is an [`Event`] or an error.

use rtap_compiler::image::{HIST_HEAD_WORDS, RECORD_HEAD_BYTES, RecordKind};
use rtap_compiler::lir::{Channel, FormatId, Histogram};

use crate::userfn::Host;
use crate::values::{Arg, Args, BadRecord, RecordArgs, Renderer, histogram};

/// What a record says, apart from plain output, which is appended to the buffer at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Output; already in the buffer.
    Printed,
    /// Text for another channel than output.
    Text(Channel, Vec<u8>),
    /// A run-time error of program number `program`.
    Error {
        /// Index into the image's programs.
        program: u32,
        /// Number of the site where it was raised.
        site: u32,
        /// The handler's point that fired, for programs that ask for it (`Program::by_cookie`).
        point: u32,
        /// Its argument.
        arg: i64,
        /// The message buffer.
        message: Vec<u8>,
    },
    /// A kernel handler called `exit()`.
    Exit,
}

/// Decodes records.
pub struct Events<'a> {
    /// Formats and layouts of the image.
    pub renderer: Renderer<'a>,
    /// Each format's channel, by [`FormatId`].
    pub channels: &'a [Channel],
}

impl Events<'_> {
    /// Decodes one record; output goes to the end of `out`.
    pub fn decode(
        &self,
        record: &[u8],
        out: &mut Vec<u8>,
        host: &mut Host,
    ) -> Result<Event, BadRecord> {
        let word = |at: usize| -> Result<[u8; 4], BadRecord> {
            let bytes = record.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.ok_or(BadRecord::Corrupt("it is shorter than its head"))
        };
        let kind = u32::from_le_bytes(word(0)?);
        let id = u32::from_le_bytes(word(4)?);
        let body = record.get(RECORD_HEAD_BYTES as usize..).unwrap_or_default();
        match kind {
            k if k == RecordKind::Print as u32 => self.print(id, body, out, host),
            k if k == RecordKind::Error as u32 => error(id, body),
            k if k == RecordKind::Exit as u32 => Ok(Event::Exit),
            k if k == RecordKind::Hist as u32 => print_histogram(body, out),
            _ => Err(BadRecord::Corrupt("its kind is unknown")),
        }
    }

    fn print(
        &self,
        id: u32,
        body: &[u8],
        out: &mut Vec<u8>,
        host: &mut Host,
    ) -> Result<Event, BadRecord> {
        let layout = self.renderer.record(id)?;
        let format = self.renderer.format(layout.format)?;
        let mut args = RecordArgs::new(&layout.fields, body);
        let channel = self.channel(layout.format);
        if channel == Channel::Out {
            self.renderer.render(out, format, &mut args, host)?;
            return Ok(Event::Printed);
        }
        let mut text = Vec::new();
        self.renderer.render(&mut text, format, &mut args, host)?;
        Ok(Event::Text(channel, text))
    }

    fn channel(&self, format: FormatId) -> Channel {
        self.channels
            .get(format.as_u32() as usize)
            .copied()
            .unwrap_or(Channel::Out)
    }
}

fn print_histogram(body: &[u8], out: &mut Vec<u8>) -> Result<Event, BadRecord> {
    let words = body.as_chunks::<8>().0.iter();
    let words: Vec<i64> = words.map(|word| i64::from_le_bytes(*word)).collect();
    let Some((&[linear, low, high, width], counts)) = words.split_first_chunk() else {
        return Err(BadRecord::Corrupt("a histogram without its kind"));
    };
    const { assert!(HIST_HEAD_WORDS == 4, "the pattern above") };
    let kind = match linear {
        0 => Histogram::Log,
        _ => Histogram::Linear { low, high, width },
    };
    if !kind.is_sound() {
        return Err(BadRecord::Corrupt(
            "a histogram without width, or too large",
        ));
    }
    if counts.len() != kind.buckets() {
        return Err(BadRecord::Corrupt("a histogram of the wrong size"));
    }
    histogram(out, kind, counts);
    Ok(Event::Printed)
}

fn error(program: u32, body: &[u8]) -> Result<Event, BadRecord> {
    use rtap_compiler::image::Field;
    let fields = [Field::Int, Field::Int, Field::Variable { late: false }];
    let mut args = RecordArgs::new(&fields, body);
    let mut int = || match args.next()? {
        Arg::Int(n) => Ok(n),
        Arg::Text(_) | Arg::Late(_) => Err(BadRecord::Corrupt("a number was expected")),
    };
    let (site, arg) = (int()?, int()?);
    let message = match args.next() {
        Ok(Arg::Text(text)) => text.to_vec(),
        _ => Vec::new(),
    };
    Ok(Event::Error {
        program,
        site: site as u32,
        point: (site >> 32) as u32,
        arg,
        message,
    })
}
