//! Macro libraries: the `.stpm` files of tapsets.

use super::macros::{Macro, Run};
use crate::lexer::{Flaw, Token, TokenKind};
use crate::source::Span;
use indexmap::IndexMap;
use std::rc::Rc;
use std::sync::Arc;

/// Macros that every file may use, from `.stpm` files. Filled by [`crate::add_macros`].
#[derive(Debug, Clone, Default)]
pub struct MacroLibrary {
    macros: IndexMap<String, Stored>,
}

/// A macro that owns its text.
#[derive(Debug, Clone)]
struct Stored {
    defined: Span,
    params: Option<Vec<String>>,
    /// The text of the file that it comes from; its tokens' spans are offsets in this.
    text: Arc<str>,
    body: Vec<(TokenKind, Option<Flaw>, Span)>,
}

impl MacroLibrary {
    /// No macros.
    pub fn new() -> MacroLibrary {
        MacroLibrary::default()
    }

    /// The macros' names, without `@`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.macros.keys().map(String::as_str)
    }

    /// Adds the macros of a file with this text. The first of a name stays; the names and places of the
    /// others are returned.
    pub(super) fn add(
        &mut self,
        text: &Arc<str>,
        macros: IndexMap<&str, Macro<'_>>,
    ) -> Vec<(String, Span, Span)> {
        let mut doubles = Vec::new();
        for (name, found) in macros {
            if let Some(first) = self.macros.get(name) {
                doubles.push((name.to_owned(), found.defined, first.defined));
                continue;
            }
            let params = found
                .params
                .map(|p| p.iter().map(|&p| p.to_owned()).collect());
            let body = found
                .body
                .as_slice()
                .iter()
                .map(|t| (t.kind, t.flaw, t.span))
                .collect();
            let stored = Stored {
                defined: found.defined,
                params,
                text: Arc::clone(text),
                body,
            };
            self.macros.insert(name.to_owned(), stored);
        }
        doubles
    }

    /// The macro of this name.
    pub(super) fn get(&self, name: &str) -> Option<Macro<'_>> {
        let stored = self.macros.get(name)?;
        let text = |span: Span| {
            stored
                .text
                .get(span.start as usize..span.end as usize)
                .unwrap_or("")
        };
        let body = stored.body.iter().map(|&(kind, flaw, span)| Token {
            kind,
            flaw,
            first_on_line: false,
            span,
            text: text(span),
        });
        let params = stored
            .params
            .as_ref()
            .map(|p| p.iter().map(String::as_str).collect::<Rc<[&str]>>());
        Some(Macro {
            defined: stored.defined,
            params,
            body: Run::new(body.collect()),
        })
    }
}
