//! `resolve`: names, tapsets, aliases, probe points and `$`-variables; syntax trees in,
//! HIR out.
//!
//! * [`symbols`] knows what is defined where and pulls tapset files in when a name asks for
//!   one; the script's own definitions come first.
//! * [`points`] expands braces, wildcards and aliases down to points that a probe kind
//!   (`crate::probes`) resolves; [`probe`] groups these into HIR probes.
//! * [`expr`], [`stmt`], [`call`], [`mod@print`], [`stat`] turn bodies into HIR.
//! * [`prune`] drops what nothing needs: unread prologue variables, functions that are never
//!   called, globals that are never used.
//!
//! Invariants: everything pulled in from tapsets is resolved on demand, so a script pays for
//! what it uses only. Mistakes in code that is pruned are not reported.

mod addresses;
mod call;
mod constant;
mod counters;
mod entry;
mod expr;
mod functions;
mod globals;
mod library;
mod list;
mod live;
mod mentions;
mod points;
mod print;
mod probe;
mod prune;
mod registers;
mod scope;
mod stat;
mod stmt;
mod symbols;
mod syscalls;

pub use library::{Facts, Loader, TapsetLibrary};
pub use list::{Listed, aliases, functions, list};

use std::collections::VecDeque;

use rtap_grammar::ast;
use rtap_grammar::diag::{Code, Diagnostic, Diagnostics, codes};
use rtap_grammar::source::{FileId, Files, Span};
use rustc_hash::FxHashMap;

use crate::hir::{Expr, ExprKind, FuncId, Program, Ty};
use crate::session::Session;
pub(crate) use globals::parse_number;
use scope::Scope;
pub(crate) use stat::literal_number;
use symbols::Symbols;

/// Resolves scripts (and what they need of the tapsets) against the session's target.
pub fn resolve<'s>(
    session: &'s Session<'s>,
    loader: Loader<'s>,
    files: &'s mut Files,
    scripts: Vec<ast::File>,
) -> (Program, Diagnostics) {
    let mut cx = Cx::new(session, loader, files);
    for script in scripts {
        cx.register(script);
    }
    cx.override_globals();
    let mut next_probe = 0;
    loop {
        if let Some(probe) = cx.symbols.probes.get(next_probe).cloned() {
            next_probe += 1;
            cx.probe(&probe);
        } else if let Some(function) = cx.queue.pop_front() {
            cx.function(function);
        } else if !cx.queue_uncalled() {
            break;
        }
    }
    cx.check_probes();
    cx.check_counters();
    let Cx {
        mut program,
        held,
        mut diags,
        files,
        address_files,
        ..
    } = cx;
    prune::prune(
        &mut program,
        &|file| files.is_library(file),
        &address_files,
        held,
        &mut diags,
    );
    let mut all = Diagnostics::new();
    all.extend(diags);
    (program, all)
}

/// State of the resolution.
pub(crate) struct Cx<'s> {
    pub(crate) session: &'s Session<'s>,
    loader: Loader<'s>,
    pub(crate) files: &'s mut Files,
    pub(crate) program: Program,
    pub(crate) symbols: Symbols,
    /// Of the body being resolved.
    pub(crate) scope: Scope,
    /// Functions whose bodies are still to be resolved.
    queue: VecDeque<FuncId>,
    functions: cranelift_entity::PrimaryMap<FuncId, functions::FunctionSource>,
    /// The same by the first of their overloads, which `functions` keeps alive.
    function_ids: FxHashMap<*const ast::Function, FuncId>,
    /// Aliases that the points of the current probe have come through.
    expansions: usize,
    /// Whether functions that nobody calls have been queued.
    uncalled_queued: bool,
    /// Symbols whose addresses are needed, and the modules that they are in.
    addresses: indexmap::IndexSet<(String, String)>,
    /// Where the probes are that look them up.
    address_files: Vec<FileId>,
    /// Whether the probe being expanded reads registers.
    reads_registers: bool,
    /// Functions that read no registers, nor do those that they call.
    without_registers: rustc_hash::FxHashSet<ast::Name>,
    /// Performance counters by name, in the order of their numbers.
    counters: indexmap::IndexMap<String, counters::Counter>,
    /// Diagnostics of code that may yet be pruned.
    held: Vec<prune::Held>,
    diags: Vec<Diagnostic>,
}

impl<'s> Cx<'s> {
    fn new(session: &'s Session<'s>, loader: Loader<'s>, files: &'s mut Files) -> Self {
        Cx {
            session,
            loader,
            files,
            program: Program {
                limits: session.options.limits.clone(),
                ..Program::default()
            },
            symbols: Symbols::default(),
            scope: Scope::default(),
            queue: VecDeque::new(),
            functions: cranelift_entity::PrimaryMap::new(),
            function_ids: FxHashMap::default(),
            expansions: 0,
            uncalled_queued: false,
            addresses: indexmap::IndexSet::new(),
            address_files: Vec::new(),
            reads_registers: false,
            without_registers: rustc_hash::FxHashSet::default(),
            counters: indexmap::IndexMap::new(),
            held: Vec::new(),
            diags: Vec::new(),
        }
    }
}

impl Cx<'_> {
    /// A script without probes, or with none whose points exist, would do nothing for ever.
    fn check_probes(&mut self) {
        if !self.program.probes.is_empty() || !self.diags.is_empty() {
            return;
        }
        let diag = match self.symbols.probes.first() {
            None => Diagnostic::error(codes::NO_PROBES, "the script has no probe")
                .help("write one, such as: probe begin { println(\"hello\") }"),
            Some(probe) => {
                let place = probe.points.first().map_or(probe.span, |point| point.span);
                Diagnostic::error(codes::NO_PROBES, "none of the script's probe points exists")
                    .label(place, "not here, and neither are the others, if any")
                    .help("without '?' and '!' you are told why")
            }
        };
        self.diags.push(diag);
    }

    /// Reports.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diags.push(diagnostic);
    }

    /// Reports with one label and results in the expression that stands for a mistake.
    pub(crate) fn fail(
        &mut self,
        code: Code,
        title: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Expr {
        self.report(Diagnostic::error(code, title).label(span, label));
        error(span)
    }

    /// The same with what to do.
    pub(crate) fn fail_with(
        &mut self,
        code: Code,
        title: impl Into<String>,
        (span, label): (Span, &str),
        help: impl Into<String>,
    ) -> Expr {
        let diag = Diagnostic::error(code, title).label(span, label);
        self.report(diag.help(help));
        error(span)
    }

    /// Runs `f` and takes the diagnostics it gave.
    pub(crate) fn capture<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> (T, Vec<Diagnostic>) {
        let before = std::mem::take(&mut self.diags);
        let result = f(self);
        (result, std::mem::replace(&mut self.diags, before))
    }

    /// Whether a file is a tapset.
    pub(crate) fn is_library(&self, file: FileId) -> bool {
        self.files.is_library(file)
    }

    /// Whether what stands at `span` may do what only tapsets and guru mode may.
    pub(crate) fn privileged(&self, span: Span) -> bool {
        self.session.options.guru || self.is_library(span.file)
    }

    /// Remembers that code in a tapset is there because of a place in the script.
    pub(crate) fn blame(&mut self, code: Span, user: Span) {
        if self.is_library(code.file) && !user.is_none() {
            let user = self.program.blame_of(user).unwrap_or(user);
            self.program.blame.push((code, user));
        }
    }
}

/// The expression that stands for a mistake.
pub(crate) fn error(span: Span) -> Expr {
    Expr::new(ExprKind::Error, Ty::Error, span)
}

/// A number.
pub(crate) fn int(value: i64, span: Span) -> Expr {
    Expr::new(ExprKind::Int(value), Ty::Long, span)
}

/// A literal's text as far as it counts: a string ends at its first 0, as in C.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}
