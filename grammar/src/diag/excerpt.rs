//! What of the sources a diagnostic shows: the lines its labels lie in, made fit for a terminal.
//!
//! In: labels with spans anywhere in files of any content. Out: a small text per file and the labels'
//! ranges in it. Long lines are cut to a window around their labels, control characters are replaced,
//! and a label over several lines is cut to its first line, so that what is rendered stays small whatever
//! the input is. Line numbers and columns stay the true ones.

use crate::source::{FileId, Files, Span, floor_char_boundary};
use codespan_reporting::files as cs;
use std::collections::BTreeMap;
use std::ops::Range;

/// At most this much of a line is shown. Bytes.
const WINDOW_BYTES: usize = 160;
/// How much of the window lies before the first label.
const BEFORE_BYTES: usize = 60;

/// One line as it is shown.
#[derive(Debug)]
struct Line {
    /// Where it is in the excerpt's text.
    shown: Range<usize>,
    /// The part of the file it shows.
    source: Range<usize>,
    /// What stands in front for what was cut off. Bytes.
    prefix_bytes: usize,
}

/// The shown part of one file.
#[derive(Debug, Default)]
struct Part {
    text: String,
    /// By line index in the file.
    lines: BTreeMap<usize, Line>,
}

/// The shown parts of all files of one diagnostic.
pub(super) struct Excerpt<'f> {
    files: &'f Files,
    parts: BTreeMap<FileId, Part>,
}

impl<'f> Excerpt<'f> {
    /// The excerpt that shows the given places.
    pub(super) fn new(files: &'f Files, spans: impl Iterator<Item = Span>) -> Excerpt<'f> {
        // Line by line, the first and last byte that labels point at.
        let mut wanted: BTreeMap<(FileId, usize), Range<usize>> = BTreeMap::new();
        for span in spans {
            let (line, range) = first_line(files, span);
            let range = range.start..range.end.min(range.start + WINDOW_BYTES);
            wanted
                .entry((span.file, line))
                .and_modify(|r| *r = r.start.min(range.start)..r.end.max(range.end))
                .or_insert(range);
        }
        let mut parts: BTreeMap<FileId, Part> = BTreeMap::new();
        for ((file, line), range) in wanted {
            parts
                .entry(file)
                .or_default()
                .add_line(files, file, line, &range);
        }
        Excerpt { files, parts }
    }

    /// Where a span's first line lies in its file's excerpt.
    pub(super) fn locate(&self, span: Span) -> Range<usize> {
        let (line_index, range) = first_line(self.files, span);
        let Some(line) = self
            .parts
            .get(&span.file)
            .and_then(|p| p.lines.get(&line_index))
        else {
            return 0..0;
        };
        let place = |offset: usize| {
            let inside = offset.clamp(line.source.start, line.source.end) - line.source.start;
            (line.shown.start + line.prefix_bytes + inside).min(line.shown.end)
        };
        place(range.start)..place(range.end)
    }
}

/// The index of the line where a span begins and the bytes of the span in that line.
fn first_line(files: &Files, span: Span) -> (usize, Range<usize>) {
    let index = files.line_index(span.file, span.start);
    let line = files.line_bytes(span.file, index).unwrap_or(0..0);
    let text = files.text(span.file);
    let start = floor_char_boundary(text, span.start as usize).clamp(line.start, line.end);
    let end = floor_char_boundary(text, span.end as usize).clamp(start, line.end);
    (index, start..end)
}

impl Part {
    /// Appends a line, cut to a window that shows `range`.
    fn add_line(&mut self, files: &Files, file: FileId, line_index: usize, range: &Range<usize>) {
        let text = files.text(file);
        let line = files.line_bytes(file, line_index).unwrap_or(0..0);
        let mut window = line.clone();
        if line.len() > WINDOW_BYTES {
            let start = floor_char_boundary(
                text,
                range.start.saturating_sub(BEFORE_BYTES).max(line.start),
            );
            window =
                start..floor_char_boundary(text, (start + WINDOW_BYTES).min(line.end)).max(start);
        }
        let begin = self.text.len();
        let mut prefix_bytes = 0;
        if window.start > line.start {
            self.text.push_str("... ");
            prefix_bytes = self.text.len() - begin;
        }
        push_visible(&mut self.text, &text[window.clone()]);
        if window.end < line.end {
            self.text.push_str(" ...");
        }
        self.lines.insert(
            line_index,
            Line {
                shown: begin..self.text.len(),
                source: window,
                prefix_bytes,
            },
        );
        self.text.push('\n');
    }
}

/// Appends `text` with every character that a terminal would obey replaced by as many bytes of harmless
/// ones, so that offsets stay true.
fn push_visible(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            '\r' => out.push(' '),
            // Invisible or direction-changing characters would make the line lie about itself.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                out.push('\u{fffd}');
            }
            c if c.is_control() => out.extend(std::iter::repeat_n('?', c.len_utf8())),
            c => out.push(c),
        }
    }
}

impl<'a> cs::Files<'a> for Excerpt<'_> {
    type FileId = FileId;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: FileId) -> Result<&'a str, cs::Error> {
        Ok(self.files.name(id))
    }

    fn source(&'a self, id: FileId) -> Result<&'a str, cs::Error> {
        self.parts
            .get(&id)
            .map(|p| p.text.as_str())
            .ok_or(cs::Error::FileMissing)
    }

    fn line_index(&'a self, id: FileId, byte: usize) -> Result<usize, cs::Error> {
        let part = self.parts.get(&id).ok_or(cs::Error::FileMissing)?;
        let line = part
            .lines
            .iter()
            .find(|(_, l)| byte <= l.shown.end)
            .or(part.lines.iter().next_back());
        line.map(|(index, _)| *index).ok_or(cs::Error::FileMissing)
    }

    fn line_range(&'a self, id: FileId, line_index: usize) -> Result<Range<usize>, cs::Error> {
        let part = self.parts.get(&id).ok_or(cs::Error::FileMissing)?;
        Ok(part
            .lines
            .get(&line_index)
            .map_or(0..0, |l| l.shown.clone()))
    }

    fn column_number(
        &'a self,
        id: FileId,
        line_index: usize,
        byte: usize,
    ) -> Result<usize, cs::Error> {
        let part = self.parts.get(&id).ok_or(cs::Error::FileMissing)?;
        let Some(line) = part.lines.get(&line_index) else {
            return Ok(1);
        };
        let offset = line.source.start + byte.saturating_sub(line.shown.start + line.prefix_bytes);
        Ok(self.files.line_col(id, offset as u32).column as usize)
    }
}
