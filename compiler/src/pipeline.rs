//! The compiler, stage by stage: parse → resolve → infer types → infer widths → lower → passes →
//! eBPF → image.
//!
//! Each stage gives a value and diagnostics; after one with errors the later ones do not run.
//! [`Emit`] asks for the text of what a stage made.

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, Diagnostics};
use rtap_grammar::source::{FileId, Files};

use crate::hir;
use crate::infer::{infer_types, infer_widths};
use crate::resolve::{Loader, resolve};
use crate::session::Session;

/// What a stage made, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Emit {
    /// The syntax tree, as source.
    Ast,
    /// The typed tree.
    Hir,
}

/// What compiling gives.
#[derive(Debug, Default)]
pub struct Output {
    /// The typed tree.
    pub program: hir::Program,
}

/// Parses scripts and resolves them into a typed program: SystemTap's passes 1 and 2.
pub fn check(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
) -> (Option<hir::Program>, Diagnostics) {
    let mut loader = Loader::new(session);
    let (trees, mut diags) = parse_scripts(&mut loader, files, scripts);
    if diags.has_errors() {
        return (None, diags);
    }
    let (mut program, found) = resolve(session, loader, files, trees);
    extend(&mut diags, found, &program, files);
    if diags.has_errors() {
        return (None, diags);
    }
    let mut found = Diagnostics::new();
    infer_types(&mut program, &mut found);
    extend(&mut diags, found, &program, files);
    if diags.has_errors() {
        return (None, diags);
    }
    infer_widths(&mut program);
    (Some(program), diags)
}

/// Pass 1 alone.
fn parse_scripts(
    loader: &mut Loader<'_>,
    files: &mut Files,
    scripts: &[FileId],
) -> (Vec<ast::File>, Diagnostics) {
    let mut diags = Diagnostics::new();
    let mut trees = Vec::with_capacity(scripts.len());
    for id in scripts {
        let (tree, found) = loader.parse(files, *id);
        trees.push(tree);
        diags.extend(found);
    }
    (trees, diags)
}

/// Adds diagnostics; those about a tapset's code are made to point at the script's place that
/// brought it in.
fn extend(diags: &mut Diagnostics, found: Diagnostics, program: &hir::Program, files: &Files) {
    let blamed = found.into_iter().map(|diag| blame(diag, program, files));
    diags.extend(blamed);
}

fn blame(mut diag: Diagnostic, program: &hir::Program, files: &Files) -> Diagnostic {
    let span = diag.span();
    if span.is_none() || !files.is_library(span.file) {
        return diag;
    }
    if let Some(user) = program.blame_of(span) {
        for label in &mut diag.labels {
            label.primary = false;
        }
        diag = diag.label(user, "because of this");
    }
    diag
}

/// The text of what a stage made of the scripts.
pub fn emit(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
    stage: Emit,
) -> (String, Diagnostics) {
    match stage {
        Emit::Ast => {
            let mut loader = Loader::new(session);
            let (trees, diags) = parse_scripts(&mut loader, files, scripts);
            (trees.iter().map(rtap_grammar::print::print).collect(), diags)
        }
        Emit::Hir => {
            let (program, diags) = check(session, files, scripts);
            (program.map(|program| hir::text::print(&program)).unwrap_or_default(), diags)
        }
    }
}
