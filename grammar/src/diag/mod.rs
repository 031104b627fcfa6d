//! Diagnostics: what is wrong, where, why, and what to do.
//!
//! A phase returns its value *and* a [`Diagnostics`]; it never prints. Each kind of mistake has a
//! [`Code`] from the one table in [`codes`], a page `docs/errors/<code>.md` and a golden. House rules:
//! titles are lower-case without a full stop and say what happened; labels say where; notes say why;
//! helps say what to do. When the fault shows inside a tapset, the primary label is the user's call and
//! the place in the tapset is a secondary one.

pub mod codes;
mod excerpt;
mod render;
mod suggest;

pub use codes::Code;
pub use render::{Style, render};
pub use suggest::{did_you_mean, nearest};

use crate::source::{Files, Span};
use std::fmt::Write as _;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Note,
    /// The script runs, perhaps not as meant.
    Warning,
    /// The script does not run.
    Error,
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place; a [`Span::NONE`] is not shown.
    pub span: Span,
    /// What is to be said; may be empty.
    pub text: String,
    /// Whether this is the place of the mistake itself rather than of something that explains it.
    pub primary: bool,
}

/// One mistake or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a diagnostic does nothing until it is pushed into a `Diagnostics`"]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Which kind it is.
    pub code: Code,
    /// What happened, lower-case, without a full stop.
    pub title: String,
    /// Where.
    pub labels: Vec<Label>,
    /// Why.
    pub notes: Vec<String>,
    /// What to do.
    pub helps: Vec<String>,
}

impl Diagnostic {
    fn new(severity: Severity, code: Code, title: impl Into<String>) -> Diagnostic {
        let (labels, notes, helps) = (Vec::new(), Vec::new(), Vec::new());
        Diagnostic {
            severity,
            code,
            title: title.into(),
            labels,
            notes,
            helps,
        }
    }

    /// An error.
    pub fn error(code: Code, title: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, title)
    }

    /// A warning.
    pub fn warning(code: Code, title: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, title)
    }

    /// Adds the place of the mistake.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary: true,
        });
        self
    }

    /// Adds a place that explains the mistake.
    pub fn secondary(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary: false,
        });
        self
    }

    /// Adds a reason.
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Adds a remedy.
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.helps.push(text.into());
        self
    }

    /// Adds a remedy if there is one: `.help_if(did_you_mean(name, names))`.
    pub fn help_if(self, text: Option<String>) -> Diagnostic {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// The first primary label's place, else the first label's, else [`Span::NONE`].
    pub fn span(&self) -> Span {
        let main = self
            .labels
            .iter()
            .find(|l| l.primary)
            .or(self.labels.first());
        main.map_or(Span::NONE, |l| l.span)
    }
}

/// How many errors [`Diagnostics::render`] shows in full; the others are counted.
const MAX_SHOWN: usize = 20;

/// The diagnostics of one or more phases, in the order they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds those of another phase.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(other);
    }

    /// How many are errors.
    pub fn error_count(&self) -> usize {
        self.list
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there are none, not even notes.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Drops those that were there before: of code that is looked at once for each probe point.
    pub fn drop_repeated(&mut self) {
        let mut said: Vec<Diagnostic> = Vec::with_capacity(self.list.len());
        for diagnostic in self.list.drain(..) {
            if !said.contains(&diagnostic) {
                said.push(diagnostic);
            }
        }
        self.list = said;
    }

    /// The first with a code and a place, to be added to.
    pub fn find_mut(&mut self, code: Code, span: Span) -> Option<&mut Diagnostic> {
        self.list
            .iter_mut()
            .find(|d| d.code == code && d.span() == span)
    }

    /// Sorts them by file and place, those without a place first; equal places keep their order.
    pub fn sort_by_place(&mut self) {
        self.list.sort_by_key(|d| {
            let span = d.span();
            (!span.is_none(), span.file, span.start)
        });
    }

    /// Makes every warning an error (`-W`).
    pub fn promote_warnings(&mut self) {
        for d in self
            .list
            .iter_mut()
            .filter(|d| d.severity == Severity::Warning)
        {
            d.severity = Severity::Error;
        }
    }

    /// Shows them all, one after the other. Beyond a screenful they are only counted.
    pub fn render(&self, files: &Files, style: Style) -> String {
        let mut out = String::new();
        for d in self.list.iter().take(MAX_SHOWN) {
            out.push_str(&render(d, files, style));
        }
        if self.list.len() > MAX_SHOWN {
            let _ = writeln!(out, "... and {} more", self.list.len() - MAX_SHOWN);
        }
        out
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<T: IntoIterator<Item = Diagnostic>>(iter: T) -> Self {
        Diagnostics {
            list: iter.into_iter().collect(),
        }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
