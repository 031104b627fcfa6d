//! The print family and its string-making twins.

use bstr::BString;
use rtap_grammar::source::Span;

use super::{Lower, Lowered};
use crate::hir::{self, ExprKind, Print, PrintArg, PrintKind};
use crate::lir::*;

/// What is made of a format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// Output.
    Output,
    /// A string that user space makes.
    Late,
    /// A string's characters.
    Text,
}

impl Made {
    /// Of a string that is late or not.
    fn string(late: bool) -> Made {
        if late { Made::Late } else { Made::Text }
    }
}

/// A format under construction, with its arguments.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    args: Vec<Value>,
}

impl Pieces {
    /// Adds a conversion with its arguments.
    pub(super) fn conv(&mut self, conv: Conv, args: &[Value]) {
        self.args.extend_from_slice(args);
        self.pieces.push(Piece::Conv(conv));
    }

    /// Adds constant text.
    pub(super) fn text(&mut self, text: &[u8]) {
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
            PrintKind::Format(format) => {
                self.formatted(&mut pieces, format, &print.args, Made::Output)?;
            }
            PrintKind::Plain { delimiter, newline } => {
                for (i, arg) in print.args.iter().enumerate() {
                    if i > 0 {
                        pieces.text(delimiter);
                    }
                    match arg {
                        PrintArg::Value(_) => self.plain(&mut pieces, arg, Made::Output)?,
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
        let made = Made::string(late);
        match &print.kind {
            PrintKind::Format(format) => self.formatted(&mut pieces, format, &print.args, made)?,
            PrintKind::Plain { delimiter, newline } => {
                for (i, arg) in print.args.iter().enumerate() {
                    if i > 0 {
                        pieces.text(delimiter);
                    }
                    self.plain(&mut pieces, arg, made)?;
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

    /// The format that makes a histogram's text of the counts of its buckets.
    pub(super) fn histogram_format(&mut self, global: hir::Global, which: u8) -> FormatId {
        let known = &self.program.globals[global].stat.histograms;
        let histogram = known.get(usize::from(which)).copied();
        let (function, buckets) = match histogram {
            Some(Histogram::Linear { low, high, width }) => {
                (format!("hist_linear {low} {high} {width}"), histogram)
            }
            Some(Histogram::Log) | None => ("hist_log ".to_owned(), histogram),
        };
        let buckets = buckets.map_or(0, Histogram::buckets) as u8;
        self.format(Format {
            pieces: vec![Piece::Call(UserFn(function), buckets)],
            channel: Channel::Out,
        })
    }

    /// A value as `print` shows it: numbers by `%d`, strings as they are. Literals become text.
    fn plain(&mut self, pieces: &mut Pieces, arg: &PrintArg, made: Made) -> Lowered<()> {
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
                let value = self.argument(expr, made)?;
                pieces.conv(Conv::plain(kind), &[value]);
            }
        }
        Ok(())
    }

    /// An argument; where user space formats, it may be late.
    fn argument(&mut self, expr: &hir::Expr, made: Made) -> Lowered<Value> {
        match made {
            Made::Output | Made::Late => self.value(expr),
            Made::Text => self.chars(expr),
        }
    }

    /// `printf`'s pieces with their arguments.
    fn formatted(
        &mut self,
        pieces: &mut Pieces,
        format: &Format,
        args: &[PrintArg],
        made: Made,
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
            let value = self.argument(expr, made)?;
            if matches!(conv.kind, ConvKind::Memory | ConvKind::MemoryHex) {
                self.memory(pieces, conv, &sizes, (value, expr.span), made);
                continue;
            }
            sizes.push(value);
            pieces.conv(conv.clone(), &sizes);
        }
        Ok(())
    }
}
