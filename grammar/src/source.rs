//! Source files and places in them.
//!
//! A [`Span`] is a range of bytes of one file; [`Files`] owns the text of every file that a compilation
//! looked at and turns offsets into lines and columns. Invariants: a [`FileId`] stays valid for the life
//! of its [`Files`]; text never changes once added; text is valid UTF-8 (bad bytes became U+FFFD when the
//! file was added); a file is at most [`MAX_FILE_BYTES`] long. Offsets are bytes, lines and columns count
//! from 1.

use crate::preprocess::Expansion;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The longest text a file may have; what is beyond it is cut off when the file is added. Bytes.
pub const MAX_FILE_BYTES: usize = 256 << 20;

/// Columns are counted in characters up to this many bytes into a line, in bytes beyond it, so that a
/// look-up in a line of megabytes costs nothing.
const EXACT_COLUMN_BYTES: usize = 4096;

/// A file in a [`Files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

impl FileId {
    /// The file of [`Span::NONE`]; no [`Files`] ever gives it out.
    pub const NONE: FileId = FileId(u32::MAX);
}

/// A range of bytes, `start..end`, of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte; equal to `start` for a place between two bytes.
    pub end: u32,
}

impl Span {
    /// No place at all: made by the compiler, not written by anyone. Diagnostics leave such labels out.
    pub const NONE: Span = Span {
        file: FileId::NONE,
        start: 0,
        end: 0,
    };

    /// The bytes `start..end` of `file`.
    pub const fn new(file: FileId, start: u32, end: u32) -> Span {
        Span { file, start, end }
    }

    /// Whether this is a place in no file.
    pub fn is_none(self) -> bool {
        self.file == FileId::NONE
    }

    /// The smallest span that covers both. Where the two lie in different files, or `other` is nowhere,
    /// this one.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        if self.is_none() {
            return other;
        }
        if self.file != other.file {
            return self;
        }
        Span {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The empty span at this one's start.
    #[must_use]
    pub fn at_start(self) -> Span {
        Span {
            end: self.start,
            ..self
        }
    }

    /// The empty span at this one's end.
    #[must_use]
    pub fn at_end(self) -> Span {
        Span {
            start: self.end,
            ..self
        }
    }

    /// Length in bytes.
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A line and a column, both from 1. Columns count characters (bytes far into very long lines).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineCol {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for LineCol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One source file.
#[derive(Clone, Debug)]
struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
    is_library: bool,
    /// Offsets where lines begin; made at the first look-up, so files that nobody complains about cost
    /// nothing.
    line_starts: OnceLock<Vec<u32>>,
}

impl SourceFile {
    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let after_newlines = self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
            std::iter::once(0)
                .chain(after_newlines.map(|(i, _)| i as u32 + 1))
                .collect()
        })
    }
}

/// Every source file of one compilation: scripts, tapsets, command-line text.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<SourceFile>,
    /// Uses of macros, for diagnostics about what they brought in.
    expansions: BTreeMap<Span, Vec<(String, Span)>>,
}

impl Files {
    /// No files yet.
    pub fn new() -> Files {
        Files::default()
    }

    /// Adds a file. `name` is what diagnostics call it; `is_library` says that it is a tapset, which
    /// users should not be blamed for.
    pub fn add(
        &mut self,
        name: impl Into<Arc<str>>,
        text: impl Into<Arc<str>>,
        is_library: bool,
    ) -> FileId {
        let mut text: Arc<str> = text.into();
        if text.len() > MAX_FILE_BYTES {
            text = text[..floor_char_boundary(&text, MAX_FILE_BYTES)].into();
        }
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX - 1));
        self.files.push(SourceFile {
            name: name.into(),
            text,
            is_library,
            line_starts: OnceLock::new(),
        });
        id
    }

    /// Adds a file of unknown encoding: bytes that are not UTF-8 become U+FFFD.
    pub fn add_bytes(
        &mut self,
        name: impl Into<Arc<str>>,
        bytes: &[u8],
        is_library: bool,
    ) -> FileId {
        let bytes = &bytes[..bytes.len().min(MAX_FILE_BYTES)];
        self.add(name, String::from_utf8_lossy(bytes), is_library)
    }

    fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// The file's name; `?` for a file that is not there.
    pub fn name(&self, id: FileId) -> &str {
        self.get(id).map_or("?", |f| &f.name)
    }

    /// The file's whole text; empty for a file that is not there.
    pub fn text(&self, id: FileId) -> &str {
        self.get(id).map_or("", |f| &f.text)
    }

    /// The file's text, shared.
    pub fn text_arc(&self, id: FileId) -> Arc<str> {
        self.get(id)
            .map_or_else(|| Arc::from(""), |f| Arc::clone(&f.text))
    }

    /// Whether the file is part of the tapset library.
    pub fn is_library(&self, id: FileId) -> bool {
        self.get(id).is_some_and(|f| f.is_library)
    }

    /// The files in the order they were added.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len() as u32).map(FileId)
    }

    /// The text a span covers; what part of it exists, for a span that is off.
    pub fn slice(&self, span: Span) -> &str {
        let text = self.text(span.file);
        let end = floor_char_boundary(text, span.end as usize);
        let start = floor_char_boundary(text, span.start as usize).min(end);
        &text[start..end]
    }

    /// The index, from 0, of the line that holds the byte at `offset` (the last line's beyond the end).
    pub fn line_index(&self, id: FileId, offset: u32) -> usize {
        let Some(file) = self.get(id) else { return 0 };
        file.line_starts()
            .partition_point(|&start| start <= offset)
            .saturating_sub(1)
    }

    /// The bytes of a line by its index from 0, its line end not included. `None` beyond the last line.
    pub fn line_bytes(&self, id: FileId, line_index: usize) -> Option<std::ops::Range<usize>> {
        let file = self.get(id)?;
        let starts = file.line_starts();
        let start = *starts.get(line_index)? as usize;
        let end = starts
            .get(line_index + 1)
            .map_or(file.text.len(), |&next| next as usize - 1);
        Some(start..end.max(start))
    }

    /// The line and column of a byte.
    pub fn line_col(&self, id: FileId, offset: u32) -> LineCol {
        let line_index = self.line_index(id, offset);
        let Some(line) = self.line_bytes(id, line_index) else {
            return LineCol { line: 1, column: 1 };
        };
        let text = self.text(id);
        let offset = floor_char_boundary(text, (offset as usize).min(line.end)).max(line.start);
        let before = &text[line.start..offset];
        let column = if before.len() > EXACT_COLUMN_BYTES {
            before.len()
        } else {
            before.chars().count()
        };
        LineCol {
            line: line_index as u32 + 1,
            column: column as u32 + 1,
        }
    }

    /// The line and column where a span starts.
    pub fn location(&self, span: Span) -> LineCol {
        self.line_col(span.file, span.start)
    }

    /// Remembers uses of macros.
    pub(crate) fn note_expansions(&mut self, expansions: &[Expansion]) {
        for e in expansions {
            self.expansions
                .entry(e.used)
                .or_default()
                .push((e.name.clone(), e.defined));
        }
    }

    /// The macros, names and places of definition, that brought in what has this place.
    pub(crate) fn expansions(&self, span: Span) -> &[(String, Span)] {
        self.expansions.get(&span).map_or(&[], Vec::as_slice)
    }

    /// `name:line:column` of a span's start, as run-time errors show it.
    pub fn describe(&self, span: Span) -> String {
        if span.is_none() {
            return "<generated>".to_owned();
        }
        format!("{}:{}", self.name(span.file), self.location(span))
    }
}

/// The nearest character boundary at or before `offset`, which may be beyond the text.
pub(crate) fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl<'a> codespan_reporting::files::Files<'a> for Files {
    type FileId = FileId;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: FileId) -> Result<&'a str, codespan_reporting::files::Error> {
        Ok(self.name(id))
    }

    fn source(&'a self, id: FileId) -> Result<&'a str, codespan_reporting::files::Error> {
        Ok(self.text(id))
    }

    fn line_index(
        &'a self,
        id: FileId,
        offset: usize,
    ) -> Result<usize, codespan_reporting::files::Error> {
        Ok(self.line_index(id, offset.min(u32::MAX as usize) as u32))
    }

    fn line_range(
        &'a self,
        id: FileId,
        line_index: usize,
    ) -> Result<std::ops::Range<usize>, codespan_reporting::files::Error> {
        let max = self.get(id).map_or(0, |f| f.line_starts().len());
        self.line_bytes(id, line_index)
            .ok_or(codespan_reporting::files::Error::LineTooLarge {
                given: line_index,
                max,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let mut files = Files::new();
        let id = files.add("a.stp", "ab\ncdé\n\nx", false);
        let at = |o| files.line_col(id, o).to_string();
        assert_eq!(at(0), "1:1");
        assert_eq!(at(2), "1:3");
        assert_eq!(at(3), "2:1");
        assert_eq!(at(6), "2:3", "the middle of é is é");
        assert_eq!(at(7), "2:4");
        assert_eq!(at(8), "3:1");
        assert_eq!(at(9), "4:1");
        assert_eq!(at(1000), "4:2");
        assert_eq!(files.describe(Span::new(id, 3, 4)), "a.stp:2:1");
    }

    #[test]
    fn spans_join_only_within_a_file() {
        let (a, b) = (Span::new(FileId(0), 3, 5), Span::new(FileId(1), 1, 2));
        assert_eq!(a.to(Span::new(FileId(0), 7, 9)), Span::new(FileId(0), 3, 9));
        assert_eq!(a.to(b), a);
        assert_eq!(Span::NONE.to(b), b);
        assert_eq!(a.to(Span::NONE), a);
    }

    #[test]
    fn bad_utf8_becomes_replacement_characters() {
        let mut files = Files::new();
        let id = files.add_bytes("b", b"a\xff\xfeb", false);
        assert_eq!(files.text(id), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn a_span_off_the_text_gives_what_is_there() {
        let mut files = Files::new();
        let id = files.add("c", "é", false);
        assert_eq!(files.slice(Span::new(id, 0, 1)), "");
        assert_eq!(files.slice(Span::new(id, 0, 99)), "é");
        assert_eq!(files.slice(Span::NONE), "");
    }
}
