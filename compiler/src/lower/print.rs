//! The print family and its string-making twins.

use bstr::BString;
use rtap_grammar::source::Span;

use super::{Lower, Lowered};
use crate::hir::{self, ExprKind, Print, PrintArg, PrintKind};
use crate::lir::*;

/// A format under construction, with its arguments.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
    args: Vec<Value>,
}

impl Pieces {
    fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            last.extend_from_slice(text);
        } else {
            self.pieces.push(Piece::Text(BString::from(text)));
        }
    }
}

impl Lower<'_> {
    /// `print`, `println`, `printd`, `printdln`, `printf`.
    pub(super) fn print(&mut self, print: &Print, span: Span) -> Lowered<()> {
        let mut pieces = Pieces::default();
        match &print.kind {
            PrintKind::Format(format) => self.formatted(&mut pieces, format, &print.args, true)?,
            PrintKind::Plain { delimiter, newline } => {
                for (i, arg) in print.args.iter().enumerate() {
                    if i > 0 {
                        pieces.text(delimiter);
                    }
                    match arg {
                        PrintArg::Value(_) => self.plain(&mut pieces, arg, true)?,
                        PrintArg::Hist(stat, histogram) => {
                            // A histogram is a record of its own, between what stands around it.
                            self.flush(&mut pieces, print.channel, span);
                            let global = &self.program.globals[stat.global];
                            let known = &global.stat.histograms;
                            let number = known.iter().position(|h| h == histogram);
                            let number = number.unwrap_or(0) as u8;
                            let keys = self.keys(stat.global, &stat.keys)?;
                            let site = self.site(ErrorKind::EmptyStat, span);
                            self.effect(Op::EmitHist(stat.global, keys, number, site), span);
                        }
                    }
                }
                // A histogram ends in an empty line of its own: println adds none (observed).
                let ends_in_histogram = matches!(print.args.last(), Some(PrintArg::Hist(..)));
                if *newline && !ends_in_histogram {
                    pieces.text(b"\n");
                }
            }
        }
        self.flush(&mut pieces, print.channel, span);
        Ok(())
    }

    /// Emits what there is.
    fn flush(&mut self, pieces: &mut Pieces, channel: Channel, span: Span) {
        if pieces.pieces.is_empty() {
            return;
        }
        let Pieces { pieces, args } = std::mem::take(pieces);
        let format = self.format(Format { pieces, channel });
        self.effect(Op::Emit(format, args), span);
    }

    /// `sprint`, `sprintln`, `sprintd`, `sprintdln`, `sprintf`: a string as wide (and as late) as
    /// `cap` says.
    pub(super) fn sprint(
        &mut self,
        print: &Print,
        (cap, late): (u32, bool),
        span: Span,
    ) -> Lowered<Value> {
        let mut pieces = Pieces::default();
        match &print.kind {
            PrintKind::Format(format) => self.formatted(&mut pieces, format, &print.args, late)?,
            PrintKind::Plain { delimiter, newline } => {
                for (i, arg) in print.args.iter().enumerate() {
                    if i > 0 {
                        pieces.text(delimiter);
                    }
                    self.plain(&mut pieces, arg, late)?;
                }
                if *newline {
                    pieces.text(b"\n");
                }
            }
        }
        let Pieces { pieces, args } = pieces;
        let format = self.format(Format {
            pieces,
            channel: Channel::Out,
        });
        let (op, ty) = if late {
            (Op::StrLate(format, args), Ty::Str { cap, late })
        } else {
            (Op::StrFormat(format, args), Ty::str(cap))
        };
        Ok(self.builder.value(op, ty, span))
    }

    /// A value as `print` shows it: numbers by `%d`, strings as they are. Literals become text.
    fn plain(&mut self, pieces: &mut Pieces, arg: &PrintArg, late: bool) -> Lowered<()> {
        let PrintArg::Value(expr) = arg else {
            return Ok(());
        };
        match &expr.kind {
            ExprKind::Str(text) => pieces.text(text),
            ExprKind::Int(n) => pieces.text(n.to_string().as_bytes()),
            _ => {
                let kind = match expr.ty {
                    hir::Ty::Str => ConvKind::Str,
                    _ => ConvKind::Decimal,
                };
                let value = self.argument(expr, late)?;
                pieces.pieces.push(Piece::Conv(Conv::plain(kind)));
                pieces.args.push(value);
            }
        }
        Ok(())
    }

    /// An argument; where user space formats, it may be late.
    fn argument(&mut self, expr: &hir::Expr, late: bool) -> Lowered<Value> {
        if late {
            self.value(expr)
        } else {
            self.chars(expr)
        }
    }

    /// `printf`'s pieces with their arguments. `%m` and `%M` take the memory from its address.
    fn formatted(
        &mut self,
        pieces: &mut Pieces,
        format: &Format,
        args: &[PrintArg],
        late: bool,
    ) -> Lowered<()> {
        let mut args = args.iter().filter_map(|arg| match arg {
            PrintArg::Value(expr) => Some(expr),
            PrintArg::Hist(..) => None,
        });
        for piece in &format.pieces {
            let conv = match piece {
                Piece::Text(text) => {
                    pieces.text(text);
                    continue;
                }
                Piece::Call(..) => continue,
                Piece::Conv(conv) => conv,
            };
            let mut sizes = Vec::new();
            for size in [conv.width, conv.precision] {
                if size == ConvSize::Arg
                    && let Some(expr) = args.next()
                {
                    sizes.push(self.value(expr)?);
                }
            }
            let Some(expr) = args.next() else {
                continue;
            };
            let memory = matches!(conv.kind, ConvKind::Memory | ConvKind::MemoryHex);
            if memory && conv.precision != ConvSize::Arg {
                self.memory(pieces, conv, &sizes, expr, late)?;
                continue;
            }
            let value = self.argument(expr, late)?;
            pieces.args.append(&mut sizes);
            pieces.args.push(value);
            pieces.pieces.push(Piece::Conv(conv.clone()));
        }
        Ok(())
    }

    /// `%m` and `%M`: as many bytes of memory as the precision says, one without. Where user space
    /// formats, and in hexadecimal, they are read as numbers: bytes of 0 are shown too.
    fn memory(
        &mut self,
        pieces: &mut Pieces,
        conv: &Conv,
        sizes: &[Value],
        addr: &hir::Expr,
        late: bool,
    ) -> Lowered<()> {
        let span = addr.span;
        let space = match conv.flag {
            Some(ConvFlag::Alternate) => Space::User,
            _ => Space::Kernel,
        };
        let bytes = match conv.precision {
            ConvSize::Fixed(n) => n,
            ConvSize::None | ConvSize::Arg => 1,
        };
        let addr = self.value(addr)?;
        let site = self.site(ErrorKind::ReadFault(space), span);
        if conv.kind == ConvKind::Memory && !late {
            let len = self.const_int(i64::from(bytes), span);
            let op = Op::MemReadStrN {
                addr,
                len,
                space,
                site,
            };
            let text = self.text(op, bytes.min(self.max_cap()), span);
            pieces.args.extend_from_slice(sizes);
            pieces.args.push(text);
            pieces.pieces.push(Piece::Conv(conv.clone()));
            return Ok(());
        }
        let (kind, shown) = match conv.kind {
            ConvKind::MemoryHex => (ConvKind::MemoryHex, bytes * 2),
            _ => (ConvKind::Binary, bytes),
        };
        let left = conv.flag == Some(ConvFlag::Left);
        if !left {
            self.blanks(pieces, conv.width, sizes, shown, span);
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
            pieces.args.push(word);
            pieces.pieces.push(Piece::Conv(Conv {
                width: ConvSize::Fixed(size),
                ..Conv::plain(kind)
            }));
            offset += size;
        }
        if left {
            self.blanks(pieces, conv.width, sizes, shown, span);
        }
        Ok(())
    }

    /// Blanks that make a width of `shown` bytes.
    fn blanks(
        &mut self,
        pieces: &mut Pieces,
        width: ConvSize,
        sizes: &[Value],
        shown: u32,
        span: Span,
    ) {
        match (width, sizes.first()) {
            (ConvSize::Fixed(width), _) => {
                pieces.text(&vec![b' '; width.saturating_sub(shown) as usize]);
            }
            (ConvSize::Arg, Some(width)) => {
                let shown = self.const_int(i64::from(shown), span);
                let count = self.int(Op::Bin(BinOp::Sub, *width, shown), span);
                let nothing = self.const_text(b"", 0, span);
                pieces.args.extend([count, nothing]);
                pieces.pieces.push(Piece::Conv(Conv {
                    width: ConvSize::Arg,
                    ..Conv::plain(ConvKind::Str)
                }));
            }
            (ConvSize::None | ConvSize::Arg, _) => {}
        }
    }
}
