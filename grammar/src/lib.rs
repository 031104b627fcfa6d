//! rtap-grammar: SystemTap's language from text to syntax tree.
//!
//! In: source text registered in [`source::Files`]. Out: an [`ast::File`] whose every node has a
//! [`source::Span`], and [`diag::Diagnostics`]. Pure: no file system, no clock, no environment.
//!
//! Layers, each knowing only those before it: [`source`] (files, spans), [`diag`] (what is wrong and
//! where, and its rendering), [`ast`] (the tree).

pub mod ast;
pub mod diag;
pub mod lexer;
mod parser;
pub mod preprocess;
pub mod print;
pub mod source;

pub use parser::{Parsed, parse};
pub use preprocess::{MacroLibrary, PreprocessorFacts, StaticFacts, add_macros};
