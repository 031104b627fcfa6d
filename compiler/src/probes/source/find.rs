//! Finding the places of source that a point means, in the debug information of a program or of the kernel.

use std::ops::RangeInclusive;

use rtap_grammar::diag::{Code, Diagnostic, codes, did_you_mean};

use super::super::{Request, glob};
use super::Place;
use crate::dwarf::{self, DebugInfo, DwarfError, Found, Instances, Lines, Query};

/// Which places are sought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::probes) enum Wanted {
    Functions(Instances),
    Statements,
}

/// What is looked through.
pub(in crate::probes) struct Source<'s> {
    /// Its name for messages: `'/usr/bin/lines'`, `the kernel`.
    pub whose: String,
    /// The code of an error that says that something is not in it.
    pub missing: Code,
    pub info: &'s DebugInfo,
    pub code: &'s dyn dwarf::Code,
}

impl Source<'_> {
    /// The places that a point means; at least one.
    pub fn find(
        &self,
        request: &Request<'_>,
        place: &Place<'_>,
        wanted: Wanted,
    ) -> Result<Vec<dwarf::Place>, Box<Diagnostic>> {
        let search = Search {
            source: self,
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
        let found = found.map_err(|why| self.damaged(request, &why))?;
        if found.places.is_empty() {
            return Err(Box::new(search.missing(request, &query, &found)));
        }
        Ok(found.places)
    }

    fn damaged(&self, request: &Request<'_>, why: &DwarfError) -> Box<Diagnostic> {
        let title = format!("the source of {} is not known", self.whose);
        let diag = Diagnostic::error(codes::POINT_UNAVAILABLE, title);
        Box::new(
            diag.label(request.span, "this probe point")
                .note(why.to_string()),
        )
    }
}

struct Search<'s> {
    source: &'s Source<'s>,
    wanted: Wanted,
}

impl Search<'_> {
    fn run(&self, query: &Query<'_>) -> Result<Found, DwarfError> {
        let Source { info, code, .. } = self.source;
        match self.wanted {
            Wanted::Functions(instances) => info.functions(query, instances, *code),
            Wanted::Statements => info.statements(query, *code),
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
        let whose = &self.source.whose;
        let (function, file) = (query.function, query.file);
        let refuse = |title: String, label: &str| {
            Diagnostic::error(self.source.missing, title).label(request.span, label)
        };
        if !found.has_file {
            let files = self.source.info.files().unwrap_or_default();
            let names = files.iter().filter_map(|file| file.rsplit('/').next());
            let wanted = file.rsplit('/').next().unwrap_or(file);
            return refuse(
                format!("{whose} has no code of a source file '{file}'"),
                "not among the files in its debug information",
            )
            .help_if(did_you_mean(wanted, names));
        }
        if found.is_gone {
            return refuse(
                format!("{whose} does not have that code of '{file}' any more"),
                "only its start needed it, or the linker has left it out",
            );
        }
        if found.lines.is_empty() {
            return self.no_function(request, query, found);
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
            (Wanted::Functions(_), Some(line)) => {
                format!("no function{of_function} has line {line} of '{file}'")
            }
            (Wanted::Functions(_), None) => {
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
            Wanted::Functions(_) => ("in none of the functions there", "functions begin at"),
            Wanted::Statements => (
                "not in the debug information's table of lines",
                "there is code at",
            ),
        };
        let nearest = if line.is_some() { "nearest to it " } else { "" };
        refuse(title, label).help(format!("{nearest}{help} {near}"))
    }

    /// No such function is in the file, or no such code of it.
    fn no_function(&self, request: &Request<'_>, query: &Query<'_>, found: &Found) -> Diagnostic {
        let whose = &self.source.whose;
        let function = query.function;
        let (of_file, in_file) = match query.file {
            "*" => (String::new(), String::new()),
            file => (format!(" of '{file}'"), format!(" in '{file}'")),
        };
        let refuse = |title: String, label: &str| {
            Diagnostic::error(self.source.missing, title).label(request.span, label)
        };
        if found.functions.iter().any(|name| glob(function, name)) {
            let written = match query.file {
                "*" => function.to_owned(),
                file => format!("{function}@{file}"),
            };
            return if self.wanted == Wanted::Functions(Instances::Inlined) {
                refuse(
                    format!("{whose} has '{function}'{of_file} in no other function"),
                    "the compiler has not inlined it",
                )
                .help(format!("it is called: .function(\"{written}\").call"))
            } else {
                refuse(
                    format!("{whose} has '{function}'{of_file} in other functions only"),
                    "the compiler has inlined it",
                )
                .help(format!(
                    "where it has gone can be probed: .function(\"{written}\").inline"
                ))
            };
        }
        let diag = refuse(
            format!("{whose} has no function '{function}'{in_file}"),
            "its debug information has none of that name there",
        );
        if query.file == "*" {
            return diag;
        }
        // Only units that have the name have been looked at.
        let all = self.run(&Query {
            function: "*",
            ..*query
        });
        let names = all.map(|all| all.functions).unwrap_or_default();
        diag.help_if(did_you_mean(function, names.iter().map(String::as_str)))
    }
}
