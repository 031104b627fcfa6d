//! Diagnostics as text, by codespan-reporting.

use super::excerpt::Excerpt;
use super::{Diagnostic, Severity};
use crate::source::Files;
use codespan_reporting::diagnostic as cs;
use codespan_reporting::term::{self, Chars, Config};

/// Titles, labels, notes and helps are cut to this. Bytes.
const MAX_TEXT_BYTES: usize = 2000;

/// What the text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Plain ASCII, for logs, pipes and goldens.
    #[default]
    Plain,
    /// Coloured, with line drawing, for a terminal.
    Color,
}

/// A diagnostic as text, ending in an empty line.
pub fn render(diagnostic: &Diagnostic, files: &Files, style: Style) -> String {
    let labels = || diagnostic.labels.iter().filter(|l| !l.span.is_none());
    let excerpt = Excerpt::new(files, labels().map(|l| l.span));
    let severity = match diagnostic.severity {
        Severity::Error => cs::Severity::Error,
        Severity::Warning => cs::Severity::Warning,
        Severity::Note => cs::Severity::Note,
    };
    let shown = cs::Diagnostic::new(severity)
        .with_code(diagnostic.code)
        .with_message(printable(&diagnostic.title))
        .with_labels_iter(labels().map(|l| {
            let style = if l.primary {
                cs::LabelStyle::Primary
            } else {
                cs::LabelStyle::Secondary
            };
            cs::Label::new(style, l.span.file, excerpt.locate(l.span))
                .with_message(printable(&l.text))
        }))
        .with_notes_iter(expansions(diagnostic, files))
        .with_notes_iter(diagnostic.notes.iter().map(|n| printable(n)))
        .with_notes_iter(
            diagnostic
                .helps
                .iter()
                .map(|h| format!("help: {}", printable(h))),
        );

    let mut config = Config::default();
    let rendered = match style {
        Style::Plain => {
            config.chars = Chars::ascii();
            term::emit_into_string(&config, &excerpt, &shown)
        }
        Style::Color => colored(&config, &excerpt, &shown),
    };
    match rendered {
        Ok(text) => trim_lines(&text),
        // Rendering can only fail if a label is off its file; the message itself is still worth having.
        Err(_) => format!(
            "{severity:?}[{}]: {}\n\n",
            diagnostic.code,
            printable(&diagnostic.title)
        )
        .to_lowercase(),
    }
}

/// Which macros brought in what the labels point at.
fn expansions(diagnostic: &Diagnostic, files: &Files) -> Vec<String> {
    let primary = diagnostic.labels.iter().filter(|l| l.primary);
    primary
        .flat_map(|l| files.expansions(l.span))
        .map(|(name, defined)| {
            format!(
                "in the text of macro '@{name}', defined at {}",
                files.describe(*defined)
            )
        })
        .collect()
}

fn colored(
    config: &Config,
    excerpt: &Excerpt<'_>,
    shown: &cs::Diagnostic<crate::source::FileId>,
) -> Result<String, codespan_reporting::files::Error> {
    let mut writer = term::termcolor::Ansi::new(Vec::new());
    term::emit_to_write_style(&mut writer, config, excerpt, shown)?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).into_owned())
}

/// Text that a script may have had a hand in, made fit for a terminal and of bearable length.
fn printable(text: &str) -> String {
    let cut = crate::source::floor_char_boundary(text, MAX_TEXT_BYTES);
    let mut out: String = text[..cut]
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '?' } else { c })
        .collect();
    if cut < text.len() {
        out.push_str(" ...");
    }
    out
}

/// Takes the blanks off the ends of lines, which codespan leaves beside empty snippets.
fn trim_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, codes};
    use crate::source::Span;

    fn show(text: &str, start: u32, end: u32) -> String {
        let mut files = Files::new();
        let id = files.add("s.stp", text, false);
        let d = Diagnostic::error(codes::UNEXPECTED_TOKEN, "unexpected thing")
            .label(Span::new(id, start, end), "here")
            .note("it was not expected")
            .help("remove it");
        render(&d, &files, Style::Plain)
    }

    #[test]
    fn shows_place_reason_and_remedy() {
        let want = "\
error[E0201]: unexpected thing
  --> s.stp:2:3
  |
2 | xy zw
  |   ^^^ here
  |
  = it was not expected
  = help: remove it

";
        assert_eq!(show("ab\nxy zw\n", 5, 8), want);
    }

    #[test]
    fn a_line_of_megabytes_is_cut_around_the_label() {
        let text = format!("x\n{}BAD{}", "a ".repeat(5_000_000), " b".repeat(1000));
        let shown = show(&text, 10_000_002, 10_000_005);
        assert!(shown.len() < 1000, "{shown}");
        assert!(shown.contains("s.stp:2:10000001"), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[3].find("BAD"), lines[4].find("^^^"), "{shown}");
    }

    #[test]
    fn binary_garbage_and_bad_spans_do_no_harm() {
        let mut files = Files::new();
        let bytes: Vec<u8> = (0..=255u8).cycle().take(5000).collect();
        let id = files.add_bytes("bin", &bytes, false);
        let mut all = Diagnostics::new();
        for (start, end) in [
            (0, 1),
            (130, 4000),
            (9_000_000, 9_000_001),
            (10, 5),
            (u32::MAX, u32::MAX),
        ] {
            all.push(
                Diagnostic::error(codes::BAD_CHARACTER, "bad \x1b[31m")
                    .label(Span::new(id, start, end), "\x07"),
            );
        }
        all.push(Diagnostic::warning(codes::BAD_CHARACTER, "nowhere").label(Span::NONE, "gone"));
        for style in [Style::Plain, Style::Color] {
            assert!(all.render(&files, style).contains("nowhere"));
        }
        let plain = all.render(&files, Style::Plain);
        assert!(
            plain
                .chars()
                .all(|c| !c.is_control() || c == '\n' || c == '\t'),
            "{plain:?}"
        );
    }

    #[test]
    fn a_label_over_many_lines_shows_its_first() {
        let shown = show("ab {\n1\n2\n3\n}\n", 0, 12);
        assert!(shown.contains("1 | ab {\n  | ^^^^ here\n"), "{shown}");
    }

    #[test]
    fn columns_are_those_of_the_file_in_color_too() {
        let mut files = Files::new();
        let id = files.add("s.stp", "  é x", false);
        let d = Diagnostic::error(codes::UNEXPECTED_TOKEN, "t").label(Span::new(id, 5, 6), "");
        assert!(render(&d, &files, Style::Color).contains("s.stp:1:5"));
    }
}
