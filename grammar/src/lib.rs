//! rtap-grammar: SystemTap's language from text to syntax tree.
//!
//! In: source text registered in [`source::Files`]. Out: an [`ast::File`] whose every node has a
//! [`source::Span`], and [`diag::Diagnostics`]. Pure: no file system, no clock, no environment.
//!
//! The way of a file: [`lexer`] makes tokens, [`preprocess`] expands macros and decides conditionals,
//! [`parse`] does both and makes the [`ast`]. [`mod@print`] turns a tree back into source. [`scan_index`]
//! tells what a tapset file defines without parsing it. Layers, each knowing only those before it:
//! [`source`], [`diag`], [`lexer`], [`preprocess`], the parser.

pub mod ast;
pub mod diag;
mod dialect;
pub mod lexer;
mod parser;
pub mod preprocess;
pub mod print;
mod scan;
pub mod source;

pub use parser::{Parsed, emit_tokens, parse};
pub use preprocess::{MacroLibrary, PreprocessorFacts, SYSTEMTAP_VERSION, StaticFacts, add_macros};
pub use scan::{Definition, DefinitionKind, scan_index};
