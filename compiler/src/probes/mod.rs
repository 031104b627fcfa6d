//! Probe kinds: one file each, named like `image::Attach` and `runtime/src/attach`, with a
//! row in [`KINDS`].
//!
//! In: the components of a probe point after braces and aliases are gone. Out:
//! [`Candidate`]s, one for each place that it means, or a diagnostic that says why there is
//! none. What a kind knows of the machine comes from `Target`.

mod begin;
mod breakpoint;
mod context;
pub(crate) mod debug_info;
mod function;
mod instruction;
mod locals;
mod pattern;
mod process;
mod profile;
mod source;
mod statement;
pub(crate) mod syscall;
mod timer;
mod tracepoint;

pub use context::VarInfo;
pub(crate) use context::{ContextVars, Typed};
pub use function::addresses_of;
pub(crate) use function::quoted;
pub use pattern::{Arg, Component, module_name};

use std::cell::RefCell;
use std::rc::Rc;

use rtap_grammar::diag::Diagnostic;
use rtap_grammar::source::Span;

use crate::glob::{glob, is_pattern};
use crate::image::Attach;
use crate::lir::{Context, Exec};
use crate::session::Session;

/// A row of the table.
pub(crate) struct Kind {
    /// Name of its file.
    pub name: &'static str,
    /// The forms that it knows: `timer.s(number).randomize(number)`. Arguments are `string`
    /// or `number`.
    pub forms: &'static [&'static str],
    /// One sentence, for `rtap list`.
    pub doc: &'static str,
    /// Resolves a point of one of these forms.
    pub resolve: fn(&Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>>,
}

/// All probe kinds.
pub(crate) static KINDS: &[Kind] = &[
    begin::KIND,
    timer::KIND,
    profile::KIND,
    breakpoint::KIND,
    tracepoint::KIND,
    function::KIND,
    statement::KIND,
    process::KIND,
];

/// A probe point to be resolved.
pub(crate) struct Request<'r> {
    /// Target and options.
    pub session: &'r Session<'r>,
    /// Its components.
    pub components: &'r [Component],
    /// Its place.
    pub span: Span,
    /// Whether the handler reads registers: a kprobe is better than a trampoline then.
    pub registers: bool,
    /// Whether the point may be missing.
    pub optional: bool,
    /// What there is to say although the point is resolved.
    pub warnings: &'r RefCell<Vec<Diagnostic>>,
}

impl Request<'_> {
    /// Notes a warning.
    pub fn warn(&self, warning: Diagnostic) {
        self.warnings.borrow_mut().push(warning);
    }

    /// The number given to the component called `name`.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.components
            .iter()
            .find(|c| &*c.name == name)
            .and_then(|c| match &c.arg {
                Some(Arg::Number(n)) => Some(*n),
                _ => None,
            })
    }

    /// The text given to the component called `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.components
            .iter()
            .find(|c| &*c.name == name)
            .and_then(|c| match &c.arg {
                Some(Arg::Text(text)) => Some(text.as_str()),
                _ => None,
            })
    }

    /// Whether there is a component called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.components.iter().any(|c| &*c.name == name)
    }
}

/// A place that a probe point means.
#[derive(Clone)]
pub(crate) struct Candidate {
    /// The point in full, for `pp()` and messages.
    pub text: String,
    /// `probefunc()`
    pub function: String,
    /// `probemod()`
    pub module: String,
    /// The mechanism.
    pub attach: Attach,
    /// See `image::Point::selector`.
    pub selector: Option<i64>,
    /// Who runs the handler.
    pub exec: Exec,
    /// What its context is.
    pub context: Context,
    /// What `$x` means there.
    pub vars: Rc<dyn ContextVars>,
    /// Points with the same key can be one program; `None` has a program of its own.
    pub share: Option<String>,
    /// For return probes: makes the entry's point.
    pub entry: Option<Rc<dyn Fn() -> Candidate>>,
    /// When the handler is to run, as an expression of the script's language; `None` for always.
    pub condition: Option<String>,
}

impl Candidate {
    /// A point that rtap itself runs.
    pub fn user_side(text: String, attach: Attach) -> Self {
        Candidate {
            text,
            function: String::new(),
            module: String::new(),
            attach,
            selector: None,
            exec: Exec::User,
            context: Context::None,
            vars: Rc::new(context::NoVars),
            share: None,
            entry: None,
            condition: None,
        }
    }

    /// A function's entry as it was asked for: as one that is exported, or just so.
    fn named_for(mut self, request: &Request<'_>) -> Self {
        if request.has("exported")
            && let Some(start) = self.text.strip_suffix(".call")
        {
            self.text = format!("{start}.exported");
        }
        self
    }
}

/// The kind that components match: exactly, or the kinds that take these names with
/// other arguments.
pub(crate) enum Match {
    /// This one.
    Exact(&'static Kind),
    /// None; these forms have the same names.
    Arguments(Vec<&'static str>),
    /// None at all.
    Unknown,
}

/// Finds the kind that knows a point.
pub(crate) fn find(components: &[Component]) -> Match {
    let mut near = Vec::new();
    for kind in KINDS {
        for form in kind.forms {
            match pattern::matches(form, components) {
                pattern::Fit::Yes => return Match::Exact(kind),
                pattern::Fit::OtherArguments => near.push(*form),
                pattern::Fit::No => {}
            }
        }
    }
    if near.is_empty() {
        Match::Unknown
    } else {
        Match::Arguments(near)
    }
}

/// The forms that begin as components do, as far as any does, and how many components that is.
pub(crate) fn nearest(components: &[Component]) -> (usize, Vec<&'static str>) {
    let public = forms().filter(|form| !form.starts_with('_'));
    let counted: Vec<(usize, &str)> = public
        .map(|form| (pattern::alike(form, components), form))
        .collect();
    let most = counted.iter().map(|(alike, _)| *alike).max().unwrap_or(0);
    let nearest = counted.iter().filter(|(alike, _)| *alike == most);
    (most, nearest.map(|(_, form)| *form).collect())
}

/// The points that components with wildcards name. Forms whose names begin with `_` are the tapsets' own.
pub(crate) fn named_by(components: &[Component]) -> Vec<(&'static Kind, Vec<Component>)> {
    if !components.iter().any(Component::is_wild) {
        return Vec::new();
    }
    let forms = KINDS
        .iter()
        .flat_map(|kind| kind.forms.iter().map(move |form| (kind, form)));
    forms
        .filter(|(_, form)| !form.starts_with('_'))
        .filter_map(|(kind, form)| Some((kind, pattern::named(form, components)?)))
        .collect()
}

/// All kinds: name, forms, and a sentence about each.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static [&'static str], &'static str)> {
    KINDS.iter().map(|kind| (kind.name, kind.forms, kind.doc))
}

/// All forms of all kinds.
pub fn forms() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.forms.iter().copied())
}
