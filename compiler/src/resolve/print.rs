//! The print family and its formats.

use bstr::{BString, ByteSlice};
use rtap_grammar::ast::{self, ExprKind as Ast};
use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Cx, error};
use crate::hir::{Expr, ExprKind, Print, PrintArg, PrintKind, Ty};
use crate::lir::{Channel, Conv, ConvFlag, ConvKind, ConvSize, Format, MAX_MEMORY_BYTES, Piece};

/// A member of the print family, by its name.
#[derive(Clone, Copy)]
struct Member {
    /// Gives a string instead of printing.
    sprint: bool,
    /// Ends with a newline.
    newline: bool,
    /// Takes a delimiter first.
    delimiter: bool,
    /// Takes a format first.
    format: bool,
}

fn member(name: &str) -> Option<Member> {
    let rest = name.strip_prefix('s').unwrap_or(name);
    let rest = rest.strip_prefix("print")?;
    let (newline, delimiter, format) = match rest {
        "" => (false, false, false),
        "ln" => (true, false, false),
        "d" => (false, true, false),
        "dln" => (true, true, false),
        "f" => (false, false, true),
        _ => return None,
    };
    Some(Member {
        sprint: name.starts_with('s'),
        newline,
        delimiter,
        format,
    })
}

/// Whether a member's argument is a histogram where it can be one.
fn is_histogram(arg: &ast::Expr, member: Member) -> bool {
    let histogram = matches!(&arg.kind, Ast::At { op, .. } if op.is_hist());
    histogram && !member.format && !member.delimiter
}

impl Cx<'_> {
    /// A call of a member of the print family; `None` if the name is not one.
    pub(crate) fn print_call(
        &mut self,
        name: &ast::Ident,
        args: &[ast::Expr],
        span: Span,
    ) -> Option<Expr> {
        let member = member(name.as_str())?;
        let mut rest = args;
        let kind = if member.format {
            let Some((format, after)) = args.split_first() else {
                return Some(self.too_few(name, span, "a format"));
            };
            rest = after;
            let Ast::String(text) = &format.kind else {
                return Some(self.fail(
                    codes::BAD_FORMAT,
                    format!("the format of '{}' has to be a literal", name.as_str()),
                    format.span,
                    "not a string literal",
                ));
            };
            match parse_format(text) {
                Ok(format) => PrintKind::Format(format),
                Err(problem) => {
                    return Some(self.fail(
                        codes::BAD_FORMAT,
                        problem,
                        format.span,
                        "in this format",
                    ));
                }
            }
        } else if member.delimiter {
            let Some((delimiter, after)) = args.split_first() else {
                return Some(self.too_few(name, span, "a delimiter"));
            };
            rest = after;
            let Ast::String(text) = &delimiter.kind else {
                return Some(self.fail(
                    codes::BAD_FORMAT,
                    format!("the delimiter of '{}' has to be a literal", name.as_str()),
                    delimiter.span,
                    "not a string literal",
                ));
            };
            PrintKind::Plain {
                delimiter: super::until_nul(text).into(),
                newline: member.newline,
            }
        } else {
            PrintKind::Plain {
                delimiter: BString::default(),
                newline: member.newline,
            }
        };
        if rest.is_empty() && !member.format && (member.delimiter || !member.newline) {
            return Some(self.too_few(name, span, "something to print"));
        }
        if let (true, [hist]) = (member.sprint, rest)
            && is_histogram(hist, member)
        {
            return Some(match self.histogram(hist) {
                Some((stat, number, _)) => {
                    Expr::new(ExprKind::HistText(stat, number), Ty::Str, span)
                }
                None => error(span),
            });
        }
        let mut values = Vec::with_capacity(rest.len());
        for arg in rest {
            values.push(self.print_arg(arg, member));
        }
        if let PrintKind::Format(format) = &kind {
            if let Err(diag) = check_count(format, &values, span) {
                self.report(*diag);
                return Some(error(span));
            }
            self.memory_sizes(format, span);
        }
        let print = Print {
            kind,
            args: values,
            channel: Channel::Out,
        };
        Some(if member.sprint {
            Expr::new(ExprKind::Sprint(print), Ty::Str, span)
        } else {
            Expr::new(ExprKind::Print(print), Ty::Void, span)
        })
    }

    fn print_arg(&mut self, arg: &ast::Expr, member: Member) -> PrintArg {
        if is_histogram(arg, member) {
            return match self.histogram(arg) {
                Some((stat, _, histogram)) => PrintArg::Hist(stat, histogram),
                None => PrintArg::Value(error(arg.span)),
            };
        }
        PrintArg::Value(self.expr(arg))
    }

    fn too_few(&mut self, name: &ast::Ident, span: Span, what: &str) -> Expr {
        self.fail(
            codes::WRONG_ARITY,
            format!("'{}' needs {what}", name.as_str()),
            span,
            "too few arguments",
        )
    }

    /// `%m` and `%M` show so much memory and no more.
    fn memory_sizes(&mut self, format: &Format, span: Span) {
        for piece in &format.pieces {
            let Piece::Conv(conv) = piece else { continue };
            if matches!(conv.kind, ConvKind::Memory | ConvKind::MemoryHex)
                && matches!(conv.precision, ConvSize::Fixed(n) if n > MAX_MEMORY_BYTES)
            {
                let title = format!("%m and %M show at most {MAX_MEMORY_BYTES} bytes");
                self.fail(codes::BAD_FORMAT, title, span, "more than that here");
            }
        }
    }
}

/// Compares the number of conversions with that of arguments.
fn check_count(format: &Format, values: &[PrintArg], span: Span) -> Result<(), Box<Diagnostic>> {
    let mut wanted = 0;
    for piece in &format.pieces {
        if let Piece::Conv(conv) = piece {
            let stars = [conv.width, conv.precision]
                .iter()
                .filter(|s| **s == ConvSize::Arg)
                .count();
            wanted += 1 + stars;
        }
    }
    if wanted == values.len() {
        return Ok(());
    }
    let given = values.len();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let title = format!(
        "the format takes {wanted} argument{}, but {given} {} given",
        plural(wanted),
        if given == 1 { "is" } else { "are" }
    );
    let label = if given < wanted {
        "too few arguments"
    } else {
        "too many arguments"
    };
    Err(Box::new(
        Diagnostic::error(codes::BAD_FORMAT, title).label(span, label),
    ))
}

/// Takes a format apart: `%[flag][width][.precision][l]letter`, `%%`, and `%n`, which is nothing.
pub(crate) fn parse_format(text: &[u8]) -> Result<Format, String> {
    let mut pieces = Vec::new();
    let mut plain = BString::default();
    let mut rest = text;
    while let Some(at) = rest.find_byte(b'%') {
        plain.extend_from_slice(super::until_nul(&rest[..at]));
        let mut cx = Scan {
            text: &rest[at + 1..],
        };
        if cx.take(b'%') {
            plain.push(b'%');
        } else if !cx.take(b'n') {
            let conv = cx.conversion()?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Conv(conv));
        }
        rest = cx.text;
    }
    plain.extend_from_slice(super::until_nul(rest));
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(Format {
        pieces,
        channel: Channel::Out,
    })
}

struct Scan<'t> {
    text: &'t [u8],
}

impl Scan<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let found = self.text.first() == Some(&byte);
        if found {
            self.text = &self.text[1..];
        }
        found
    }

    fn size(&mut self) -> Result<ConvSize, String> {
        if self.take(b'*') {
            return Ok(ConvSize::Arg);
        }
        let digits = self.text.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.text.split_at(digits);
        self.text = rest;
        if digits == 0 {
            return Ok(ConvSize::None);
        }
        let number = String::from_utf8_lossy(number);
        match number.parse::<u32>() {
            Ok(n) if n <= 1 << 20 => Ok(ConvSize::Fixed(n)),
            _ => Err(format!("width or precision {number} is too large")),
        }
    }

    fn conversion(&mut self) -> Result<Conv, String> {
        let flags = [
            (b'0', ConvFlag::Zero),
            (b'+', ConvFlag::Plus),
            (b'-', ConvFlag::Left),
            (b' ', ConvFlag::Space),
            (b'#', ConvFlag::Alternate),
        ];
        let flag = flags
            .iter()
            .find(|(byte, _)| self.take(*byte))
            .map(|(_, flag)| *flag);
        let width = self.size()?;
        let precision = if self.take(b'.') {
            // A point without digits counts as no precision (observed).
            self.size()?
        } else {
            ConvSize::None
        };
        while self.take(b'l') {}
        let Some((letter, rest)) = self.text.split_first() else {
            return Err(
                "the format ends within a conversion; write %% for a percent sign".to_owned(),
            );
        };
        self.text = rest;
        let kind = match letter {
            b'd' | b'i' => ConvKind::Decimal,
            b'u' => ConvKind::Unsigned,
            b'o' => ConvKind::Octal,
            b'x' => ConvKind::HexLower,
            b'X' => ConvKind::HexUpper,
            b'p' => ConvKind::Pointer,
            b'c' => ConvKind::Char,
            b's' => ConvKind::Str,
            b'b' => ConvKind::Binary,
            b'm' => ConvKind::Memory,
            b'M' => ConvKind::MemoryHex,
            other => {
                return Err(format!(
                    "there is no conversion '%{}'",
                    other.escape_ascii()
                ));
            }
        };
        Ok(Conv {
            flag,
            width,
            precision,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_taken_apart() {
        let format = parse_format(b"a%%b %-5d|%*.*s%#lx").unwrap();
        assert_eq!(format.pieces.len(), 5);
        assert_eq!(format.pieces[0], Piece::Text("a%b ".into()));
        let Piece::Conv(conv) = &format.pieces[3] else {
            panic!("a conversion")
        };
        assert_eq!((conv.width, conv.precision), (ConvSize::Arg, ConvSize::Arg));
        assert_eq!(
            parse_format(b"a%nb").unwrap().pieces,
            [Piece::Text("ab".into())]
        );
        assert!(parse_format(b"%").is_err());
        assert!(parse_format(b"%y").is_err());
        assert!(parse_format(b"%99999999999d").is_err());
    }
}
