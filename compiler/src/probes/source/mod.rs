//! Places in source that probe points name: `f`, `f@file`, `f@file:12`, `f@file:10-20,30`, `f@file:*`, `f@file+3`.

mod find;

use std::ops::RangeInclusive;

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use crate::dwarf::Lines;
pub(super) use find::{Source, Wanted};

/// What a point says of a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'w> {
    /// A function's name, perhaps with wildcards.
    pub function: &'w str,
    /// A file, perhaps with wildcards.
    pub file: Option<&'w str>,
    /// Lines of the file.
    pub lines: Lines,
}

impl<'w> Place<'w> {
    /// Takes it apart.
    pub fn parse(written: &'w str, span: Span) -> Result<Self, Box<Diagnostic>> {
        let Some((function, rest)) = written.split_once('@') else {
            return Ok(Place {
                function: written,
                file: None,
                lines: Lines::First,
            });
        };
        // Files may have a '+' in their names, too.
        let at = rest.rfind([':', '+']);
        let (file, lines) = match at.map(|at| (&rest[..at], &rest[at..])) {
            Some((file, "+*" | ":*")) => (file, Lines::All),
            Some((file, lines)) => match (ranges(&lines[1..]), lines.starts_with(':')) {
                (Some(lines), true) => (file, Lines::Numbered(lines)),
                (Some(lines), false) => (file, Lines::Relative(lines)),
                (None, true) => return Err(Box::new(no_lines(&lines[1..], span))),
                (None, false) => (rest, Lines::First),
            },
            None => (rest, Lines::First),
        };
        Ok(Place {
            function,
            file: Some(file).filter(|file| !file.is_empty()),
            lines,
        })
    }
}

/// `3`, `3-7`, `3,5-7`.
fn ranges(text: &str) -> Option<Vec<RangeInclusive<u64>>> {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    text.split(',').map(one).collect()
}

/// The number of bytes behind the `+` of `f+0x12`.
pub(super) fn offset(text: &str) -> Option<u64> {
    match text.trim().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.trim().parse().ok(),
    }
}

/// The refusal of what is neither a function nor an instruction of one.
pub(super) fn no_instruction(written: &str, help: &str, span: Span) -> Box<Diagnostic> {
    let title = format!("'{written}' names no instruction");
    Box::new(
        Diagnostic::error(codes::BAD_POINT, title)
            .label(span, "neither a function's name nor one with an offset")
            .help(help),
    )
}

fn no_lines(text: &str, span: Span) -> Diagnostic {
    Diagnostic::error(codes::BAD_POINT, format!("'{text}' names no lines"))
        .label(span, "behind the file's name")
        .help("write \"f@file.c:12\", \":10-20\", \":12,15-17\", \":*\" for all of f, \"f@file.c+3\" counted from where f is declared")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        let parse = |text| Place::parse(text, Span::NONE).map_err(|_| ());
        let place = |function, file, lines| {
            Ok(Place {
                function,
                file,
                lines,
            })
        };
        assert_eq!(parse("f"), place("f", None, Lines::First));
        assert_eq!(parse("A::f"), place("A::f", None, Lines::First));
        assert_eq!(parse("f@a.c"), place("f", Some("a.c"), Lines::First));
        assert_eq!(
            parse("f@c++/a.c"),
            place("f", Some("c++/a.c"), Lines::First)
        );
        assert_eq!(parse("*@a.c:*"), place("*", Some("a.c"), Lines::All));
        let some = |ranges: &[(u64, u64)]| ranges.iter().map(|&(a, b)| a..=b).collect();
        let lines = Lines::Numbered(some(&[(1, 1), (3, 5)]));
        assert_eq!(parse("f@a.c:1,3-5"), place("f", Some("a.c"), lines));
        let lines = Lines::Relative(some(&[(2, 2)]));
        assert_eq!(parse("f@a+b.c+2"), place("f", Some("a+b.c"), lines));
        assert_eq!(parse("f@a.c:x"), Err(()));
        assert_eq!(parse("f@a.c:5-3"), Err(()));
        assert_eq!(parse("f@a.c:"), Err(()));
    }
}
