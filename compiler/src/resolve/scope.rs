//! The names of one body: a probe's (prologues, body and epilogues share one scope) or a
//! function's.

use std::rc::Rc;

use cranelift_entity::PrimaryMap;
use rtap_grammar::ast::{Ident, Name};
use rtap_grammar::source::{FileId, Span};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Cx;
use super::entry::Snapshot;
use crate::access::CType;
use crate::hir::{FuncId, Local, LocalData, Ty};
use crate::probes::ContextVars;

/// Names and surroundings of a body.
pub(crate) struct Scope {
    /// All locals so far.
    pub(crate) locals: PrimaryMap<Local, LocalData>,
    names: FxHashMap<Name, Local>,
    uses: Vec<Uses>,
    /// The file whose code is being resolved.
    pub(crate) file: FileId,
    /// The function, unless it is a probe's body.
    pub(crate) function: Option<FuncId>,
    /// How many loops are open.
    pub(crate) loops: u32,
    /// What the probe's own handler changes: `@probewrite`. Nothing in functions.
    pub(crate) writes: FxHashSet<Name>,
    /// What `$x` means here.
    pub(crate) vars: Option<Rc<dyn ContextVars>>,
    /// The point that is being resolved, of a probe that has several.
    pub(crate) point: Option<String>,
    /// Values that a return probe takes from its entry.
    pub(crate) snapshots: Vec<Snapshot>,
    /// Names of variables that an alias would set if they were mentioned.
    pub(crate) offered: Vec<String>,
    /// C types of locals that were given a value of such a type.
    c_types: FxHashMap<Local, CType>,
}

/// How a local is used.
#[derive(Clone, Copy, Default)]
struct Uses {
    read: Option<Span>,
    assigned: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Scope {
            locals: PrimaryMap::new(),
            names: FxHashMap::default(),
            uses: Vec::new(),
            file: FileId::NONE,
            function: None,
            loops: 0,
            writes: FxHashSet::default(),
            vars: None,
            point: None,
            snapshots: Vec::new(),
            offered: Vec::new(),
            c_types: FxHashMap::default(),
        }
    }
}

/// What a plain name means.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    /// A local.
    Local(Local),
    /// A global, by its number in [`super::symbols::Symbols`].
    Global(usize),
}

impl Scope {
    /// The point that is being resolved, in words.
    pub(crate) fn point_text(&self) -> &str {
        self.point.as_deref().unwrap_or("the probe point")
    }

    /// The scope of a function or probe in `file`.
    pub(crate) fn new(file: FileId, function: Option<FuncId>) -> Self {
        Scope {
            file,
            function,
            ..Scope::default()
        }
    }

    /// Declares a local under its name; an earlier one of that name is out of reach then.
    pub(crate) fn declare(&mut self, name: &Name, span: Span, ty: Ty) -> Local {
        let local = self.hidden(name, span, ty);
        self.names.insert(Name::clone(name), local);
        local
    }

    /// Makes a local that no name reaches.
    pub(crate) fn hidden(&mut self, name: &str, span: Span, ty: Ty) -> Local {
        self.uses.push(Uses::default());
        self.locals.push(LocalData {
            name: name.to_owned(),
            span,
            ty,
            cap: (0, false),
        })
    }

    /// A local by its name.
    pub(crate) fn local(&self, name: &str) -> Option<Local> {
        self.names.get(name).copied()
    }

    /// The C type of a local's value, if it has one.
    pub(crate) fn c_type(&self, local: Local) -> Option<CType> {
        self.c_types.get(&local).cloned()
    }

    /// Notes the C type of a value that a local is given; values of several types have none.
    pub(crate) fn set_c_type(&mut self, local: Local, ty: CType) {
        match self.c_types.get(&local) {
            Some(known) if *known != ty => {
                self.c_types.insert(local, CType::Long);
            }
            _ => {
                self.c_types.insert(local, ty);
            }
        }
    }

    /// Notes that a local is read.
    pub(crate) fn read(&mut self, local: Local, span: Span) {
        self.uses[local.as_u32() as usize].read.get_or_insert(span);
    }

    /// Notes that a local is assigned.
    pub(crate) fn assigned(&mut self, local: Local) {
        self.uses[local.as_u32() as usize].assigned = true;
    }

    /// Locals that are read and never assigned: name and first reading.
    pub(crate) fn never_assigned(&self) -> Vec<(String, Span)> {
        let found = self
            .locals
            .values()
            .zip(&self.uses)
            .filter(|(_, uses)| !uses.assigned);
        found
            .filter_map(|(local, uses)| Some((local.name.clone(), uses.read?)))
            .collect()
    }
}

impl Cx<'_> {
    /// What a name means: a local, else a global, else a new local.
    pub(crate) fn lookup(&mut self, ident: &Ident) -> Named {
        if let Some(local) = self.visible_local(&ident.name) {
            return Named::Local(local);
        }
        match self.find_global(&ident.name, self.scope.file) {
            Some(global) => Named::Global(global),
            None => Named::Local(self.scope.declare(&ident.name, ident.span, Ty::Unknown)),
        }
    }

    /// The local that a name means. The script's globals hide the variables that a tapset's
    /// alias brings into a probe.
    pub(crate) fn visible_local(&self, name: &str) -> Option<Local> {
        let local = self.scope.local(name)?;
        let in_script = self.scope.function.is_none() && !self.is_library(self.scope.file);
        let hidden = in_script
            && self.is_library(self.scope.locals[local].span.file)
            && self.symbols.script_globals().any(|global| global == name);
        (!hidden).then_some(local)
    }

    /// Warns of locals that are read and never assigned.
    pub(crate) fn warn_never_assigned(&mut self) {
        use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
        for (name, span) in self.scope.never_assigned() {
            if self.is_library(span.file) {
                continue;
            }
            let assigned = self.scope.locals.values().map(|local| local.name.as_str());
            let offered = self.scope.offered.iter().map(String::as_str);
            let globals = self.symbols.script_globals();
            let known = assigned.chain(offered).chain(globals);
            let near = did_you_mean(&name, known.filter(|other| *other != name));
            self.report(
                Diagnostic::warning(
                    codes::NEVER_ASSIGNED,
                    format!("'{name}' is read but never assigned"),
                )
                .label(span, "always 0 or \"\" here")
                .help_if(near),
            );
        }
    }
}
