//! `%m` and `%M`: memory at an address, as it is or in hexadecimal.
//!
//! What is printed has its bytes of 0, too. A few bytes are read word by word, and user space shows the words; many, or
//! a number of them that is not known, become a string of hexadecimal digits, which has no 0 in it. Strings end
//! at their first 0 anyway.

use rtap_grammar::source::Span;

use super::Lower;
use super::print::{Made, Pieces};
use crate::lir::*;

/// The most bytes that are read word by word: each is a value of its own until all are printed.
const WORDS_BYTES: u32 = 64;

/// Memory to be shown.
struct Memory {
    addr: Value,
    space: Space,
    site: SiteId,
    span: Span,
}

impl Lower<'_> {
    /// Adds the memory at `addr`, as many bytes as the precision says, one without. `sizes` are the values of `*`.
    pub(super) fn memory(
        &mut self,
        pieces: &mut Pieces,
        conv: &Conv,
        sizes: &[Value],
        (addr, span): (Value, Span),
        made: Made,
    ) {
        let space = match conv.flag {
            Some(ConvFlag::Alternate) => Space::User,
            _ => Space::Kernel,
        };
        let memory = Memory {
            addr,
            space,
            site: self.site(ErrorKind::ReadFault(space), span),
            span,
        };
        let (widths, len) = match (conv.precision, sizes) {
            (ConvSize::Arg, [widths @ .., len]) => (widths, *len),
            (ConvSize::Fixed(n), _) => (sizes, self.const_int(i64::from(n), span)),
            (ConvSize::None | ConvSize::Arg, _) => (sizes, self.const_int(1, span)),
        };
        let most = i64::from(MAX_MEMORY_BYTES);
        let bytes = self.as_const(len).map(|n| n.clamp(0, most) as u32);
        match (conv.kind, made, bytes) {
            (_, Made::Output, Some(bytes)) | (ConvKind::MemoryHex, Made::Text, Some(bytes))
                if bytes <= WORDS_BYTES =>
            {
                self.memory_words(pieces, conv, widths, &memory, bytes);
            }
            (kind, made, bytes) => {
                let text = self.memory_text(&memory, kind, made, (len, bytes));
                let mut args = widths.to_vec();
                args.push(text);
                let kind = match (kind, made) {
                    (ConvKind::Memory, Made::Output) => ConvKind::Memory,
                    _ => ConvKind::Str,
                };
                let conv = Conv {
                    kind,
                    precision: ConvSize::None,
                    ..conv.clone()
                };
                pieces.conv(conv, &args);
            }
        }
    }

    /// Memory as a string: hexadecimal digits, or for `%m` in a string its characters.
    fn memory_text(
        &mut self,
        memory: &Memory,
        kind: ConvKind,
        made: Made,
        (len, bytes): (Value, Option<u32>),
    ) -> Value {
        let &Memory {
            addr,
            space,
            site,
            span,
        } = memory;
        let bytes = bytes.unwrap_or(MAX_MEMORY_BYTES);
        let longest = self.max_cap();
        match (kind, made) {
            (ConvKind::Memory, Made::Late | Made::Text) => {
                let op = Op::MemReadStrN {
                    addr,
                    len,
                    space,
                    site,
                };
                self.text(op, bytes.min(longest), span)
            }
            (_, made) => {
                let op = Op::MemReadHex {
                    addr,
                    len,
                    space,
                    site,
                };
                let cap = match made {
                    Made::Output => bytes * 2,
                    Made::Late | Made::Text => (bytes * 2).min(longest),
                };
                self.text(op, cap, span)
            }
        }
    }

    /// Memory read as numbers of eight bytes and fewer.
    fn memory_words(
        &mut self,
        pieces: &mut Pieces,
        conv: &Conv,
        widths: &[Value],
        memory: &Memory,
        bytes: u32,
    ) {
        let &Memory {
            addr,
            space,
            site,
            span,
        } = memory;
        let (kind, shown) = match conv.kind {
            ConvKind::MemoryHex => (ConvKind::MemoryHex, bytes * 2),
            _ => (ConvKind::Binary, bytes),
        };
        let left = conv.flag == Some(ConvFlag::Left);
        if !left {
            self.blanks(pieces, conv.width, widths, shown, span);
        }
        let mut offset = 0;
        while offset < bytes {
            let fits = |size: &u32| offset + size <= bytes;
            let size = [8, 4, 2, 1].into_iter().find(fits).unwrap_or(1);
            let distance = self.const_int(i64::from(offset), span);
            let op = Op::MemRead {
                addr: self.int(Op::Bin(BinOp::Add, addr, distance), span),
                space,
                size: size as u8,
                signed: false,
                site,
            };
            let word = self.int(op, span);
            let conv = Conv {
                width: ConvSize::Fixed(size),
                ..Conv::plain(kind)
            };
            pieces.conv(conv, &[word]);
            offset += size;
        }
        if left {
            self.blanks(pieces, conv.width, widths, shown, span);
        }
    }

    /// Blanks that make a width of `shown` bytes.
    fn blanks(
        &mut self,
        pieces: &mut Pieces,
        width: ConvSize,
        widths: &[Value],
        shown: u32,
        span: Span,
    ) {
        match (width, widths.first()) {
            (ConvSize::Fixed(width), _) => {
                pieces.text(&vec![b' '; width.saturating_sub(shown) as usize]);
            }
            (ConvSize::Arg, Some(width)) => {
                let shown = self.const_int(i64::from(shown), span);
                let count = self.int(Op::Bin(BinOp::Sub, *width, shown), span);
                let nothing = self.const_text(b"", 0, span);
                let conv = Conv {
                    width: ConvSize::Arg,
                    ..Conv::plain(ConvKind::Str)
                };
                pieces.conv(conv, &[count, nothing]);
            }
            (ConvSize::None | ConvSize::Arg, _) => {}
        }
    }
}
