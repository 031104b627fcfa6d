//! Places in a program that are named by source file and line, out of its debug information.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};

use super::super::{Request, debug_info, glob, source};
use super::function::Point;
use crate::dwarf::{DebugInfo, DwarfError, Found, Lines, Query, Symbol};
use crate::target::{Binary, BinaryFunction};

/// Which places are sought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Functions,
    Statements,
}

/// The debug information of a program, or why a place in its source cannot be found.
pub(super) fn read(
    request: &Request<'_>,
    binary: &Binary,
) -> Result<Arc<DebugInfo>, Box<Diagnostic>> {
    request.session.target.debug_info(binary).map_err(|why| {
        let label = "this probe point";
        let help = why
            .help()
            .unwrap_or("name a function, or an instruction by its address, .statement(ADDRESS)");
        let note = why.to_string();
        Box::new(debug_info::no_source(
            false,
            label,
            note,
            help.to_owned(),
            request.span,
        ))
    })
}

/// The functions or statements of a file.
pub(super) fn find(
    request: &Request<'_>,
    binary: &Binary,
    info: &DebugInfo,
    place: &source::Place<'_>,
    wanted: Wanted,
) -> Result<Vec<Point>, Box<Diagnostic>> {
    let search = Search {
        binary,
        info,
        wanted,
    };
    let query = Query {
        function: place.function,
        file: place.file.unwrap_or("*"),
        lines: &place.lines,
    };
    let found = match (&place.lines, request.has("nearest")) {
        (Lines::Numbered(lines), true) => search.nearest(&query, lines),
        _ => search.run(&query),
    };
    let found = found.map_err(|why| damaged(request, binary, &why))?;
    if found.places.is_empty() {
        return Err(Box::new(search.missing(request, &query, &found)));
    }
    let points = found.places.into_iter().filter_map(|place| {
        let offset = binary.file_offset(place.address)?;
        let symbol = binary.function_at(place.address);
        let symbol = symbol.filter(|symbol| symbol.address == place.address);
        let shown = format!("\"{}@{}:{}\"", place.function, place.file, place.line);
        let function = BinaryFunction {
            name: place.function.into(),
            address: place.address,
            size: symbol.map_or(0, |symbol| symbol.size),
            offset,
            exported: symbol.is_some_and(|symbol| symbol.exported),
            is_ifunc: symbol.is_some_and(|symbol| symbol.is_ifunc),
        };
        Some(Point { function, shown })
    });
    Ok(points.collect())
}

struct Search<'s> {
    binary: &'s Binary,
    info: &'s DebugInfo,
    wanted: Wanted,
}

impl Search<'_> {
    fn run(&self, query: &Query<'_>) -> Result<Found, DwarfError> {
        let symbol = |address| {
            let function = self.binary.function_at(address)?;
            Some(Symbol {
                name: function.name.to_string(),
                start: function.address,
                size: function.size,
            })
        };
        let code = |address| {
            let is_code = self.binary.is_code(address);
            is_code.then(|| symbol(address))
        };
        match self.wanted {
            Wanted::Functions => self.info.functions(query, &code),
            Wanted::Statements => self.info.statements(query, &code),
        }
    }

    /// The same for the nearest lines that have code.
    fn nearest(
        &self,
        query: &Query<'_>,
        lines: &[RangeInclusive<u64>],
    ) -> Result<Found, DwarfError> {
        let all = self.run(query)?.lines;
        let near = |range: &RangeInclusive<u64>| {
            if all.range(range.clone()).next().is_some() {
                return range.clone();
            }
            let before = all.range(..range.start()).next_back();
            let after = all.range(range.end()..).next();
            let line = match (before, after) {
                (Some(before), Some(after)) if range.start() - before < after - range.end() => {
                    *before
                }
                (Some(before), None) => *before,
                (_, Some(after)) => *after,
                (None, None) => *range.start(),
            };
            line..=line
        };
        let lines = Lines::Numbered(lines.iter().map(near).collect());
        self.run(&Query {
            lines: &lines,
            ..*query
        })
    }

    fn missing(&self, request: &Request<'_>, query: &Query<'_>, found: &Found) -> Diagnostic {
        let path = &self.binary.path;
        let (function, file) = (query.function, query.file);
        let refuse = |title: String, label: &str| {
            Diagnostic::error(codes::NO_SYMBOL, title).label(request.span, label)
        };
        if !found.has_file {
            let files = self.info.files().unwrap_or_default();
            let names = files.iter().filter_map(|file| file.rsplit('/').next());
            let wanted = file.rsplit('/').next().unwrap_or(file);
            return refuse(
                format!("'{path}' has no code of a source file '{file}'"),
                "not among the files in its debug information",
            )
            .help_if(did_you_mean(wanted, names));
        }
        let is_known = found.functions.iter().any(|name| glob(function, name));
        if found.lines.is_empty() && is_known {
            return refuse(
                format!("'{path}' has '{function}' of '{file}' in other functions only"),
                "the compiler has inlined it",
            )
            .help(format!(
                "its lines can be probed: .statement(\"{function}@{file}:*\")"
            ));
        }
        if found.lines.is_empty() {
            let diag = refuse(
                format!("'{path}' has no function '{function}' in '{file}'"),
                "its debug information has none of that name there",
            );
            let names = found.functions.iter().map(String::as_str);
            return diag.help_if(did_you_mean(function, names));
        }
        let line = match query.lines {
            Lines::Numbered(lines) => lines.first().map(|lines| *lines.start()),
            Lines::First | Lines::All | Lines::Relative(_) => None,
        };
        let of_function = match function {
            "*" => String::new(),
            function => format!(" of '{function}'"),
        };
        let title = match (self.wanted, line) {
            (Wanted::Statements, Some(line)) => {
                format!("line {line} of '{file}' has no code{of_function}")
            }
            (Wanted::Statements, None) => format!("no such line of '{file}' has code{of_function}"),
            (Wanted::Functions, Some(line)) => {
                format!("no function{of_function} has line {line} of '{file}'")
            }
            (Wanted::Functions, None) => {
                format!("no function{of_function} has such a line of '{file}'")
            }
        };
        let near: Vec<&u64> = match line {
            Some(line) => {
                let before = found.lines.range(..line).next_back();
                before
                    .into_iter()
                    .chain(found.lines.range(line..).next())
                    .collect()
            }
            None => found
                .lines
                .first()
                .into_iter()
                .chain(found.lines.last())
                .collect(),
        };
        let near: Vec<String> = near.iter().map(|line| format!("line {line}")).collect();
        let near = near.join(if line.is_some() { " and " } else { " to " });
        let (label, help) = match self.wanted {
            Wanted::Functions => ("in none of the functions there", "functions begin at"),
            Wanted::Statements => (
                "not in the debug information's table of lines",
                "there is code at",
            ),
        };
        let nearest = if line.is_some() { "nearest to it " } else { "" };
        refuse(title, label).help(format!("{nearest}{help} {near}"))
    }
}

fn damaged(request: &Request<'_>, binary: &Binary, why: &DwarfError) -> Box<Diagnostic> {
    let title = format!("the source of '{}' is not known", binary.path);
    let diag = Diagnostic::error(codes::POINT_UNAVAILABLE, title);
    Box::new(
        diag.label(request.span, "this probe point")
            .note(why.to_string()),
    )
}
