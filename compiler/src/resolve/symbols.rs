//! What is defined where: globals, functions, aliases of the script and of the tapset files
//! pulled in so far.

use std::rc::Rc;

use rtap_grammar::ast::{self, Name};
use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::{FileId, Span};
use rustc_hash::FxHashMap;

use super::Cx;
use crate::hir::Global;

/// A global's declaration.
pub(crate) struct GlobalSym {
    /// The declaration.
    pub(crate) var: ast::GlobalVar,
    /// Known only in its own file.
    pub(crate) private: bool,
    /// Whether a tapset declares it.
    pub(crate) library: bool,
    /// Set at its first use.
    pub(crate) id: Option<Global>,
    /// Number of keys, 0 for scalars; known from its first use.
    pub(crate) keys: Option<(usize, Span)>,
    /// `-G name=value`.
    pub(crate) given: Option<String>,
}

/// An alias with where it comes from.
pub(crate) struct AliasSym {
    /// Its name's parts.
    pub(crate) name: Vec<Name>,
    /// Its definition.
    pub(crate) alias: Rc<ast::Alias>,
    /// Whether a tapset defines it.
    pub(crate) library: bool,
}

/// All definitions.
#[derive(Default)]
pub(crate) struct Symbols {
    pub(crate) globals: Vec<GlobalSym>,
    global_names: FxHashMap<Name, Vec<usize>>,
    functions: FxHashMap<Name, Vec<Rc<ast::Function>>>,
    pub(crate) aliases: Vec<Rc<AliasSym>>,
    /// Their places, by dotted name.
    alias_names: FxHashMap<String, Vec<usize>>,
    /// Probes to be resolved, tapsets' own ones among them.
    pub(crate) probes: Vec<Rc<ast::Probe>>,
    /// Which files of the library have been read.
    loaded: Vec<bool>,
}

impl Symbols {
    /// Names of the script's own globals.
    pub(crate) fn script_globals(&self) -> impl Iterator<Item = &str> {
        self.globals
            .iter()
            .filter(|g| !g.library)
            .map(|g| g.var.name.as_str())
    }

    /// All functions of a name that have been read so far, in order.
    pub(crate) fn functions(&self, name: &str) -> &[Rc<ast::Function>] {
        self.functions
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Functions that no tapset defines, in the order of their places.
    pub(crate) fn script_functions(
        &self,
        is_library: impl Fn(FileId) -> bool,
    ) -> Vec<Rc<ast::Function>> {
        let all = self.functions.values().flatten();
        let mut own: Vec<_> = all.filter(|f| !is_library(f.span.file)).cloned().collect();
        own.sort_by_key(|f| f.span);
        own
    }

    /// The aliases of a dotted name that have been read so far, in order.
    pub(crate) fn aliases_named(&self, name: &str) -> impl Iterator<Item = &Rc<AliasSym>> {
        let places = self.alias_names.get(name).into_iter().flatten();
        places.map(|place| &self.aliases[*place])
    }

    /// Names of the functions read so far.
    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(|name| &**name)
    }
}

impl Cx<'_> {
    /// Takes a file's definitions in.
    pub(crate) fn register(&mut self, file: ast::File) {
        let library = self.is_library(file.id);
        for item in file.items {
            match item {
                ast::Item::Probe(probe) => self.symbols.probes.push(Rc::new(probe)),
                ast::Item::Alias(alias) => self.register_alias(alias, library),
                ast::Item::Function(function) => {
                    let name = Name::clone(&function.name.name);
                    self.symbols
                        .functions
                        .entry(name)
                        .or_default()
                        .push(Rc::new(function));
                }
                ast::Item::Global(decl) => {
                    for var in decl.vars {
                        self.register_global(var, decl.private, library);
                    }
                }
                ast::Item::Embedded(code) => {
                    self.fail(
                        codes::NOT_SUPPORTED,
                        "embedded C code cannot be run",
                        code.span,
                        "rtap makes eBPF, it has no C compiler",
                    );
                }
                ast::Item::Error(_) => {}
            }
        }
    }

    fn register_alias(&mut self, alias: ast::Alias, library: bool) {
        let alias = Rc::new(alias);
        for name in &alias.names {
            let parts: Vec<Name> = name
                .parts
                .iter()
                .map(|part| Name::clone(&part.name))
                .collect();
            let place = self.symbols.aliases.len();
            let places = self.symbols.alias_names.entry(parts.join("."));
            places.or_default().push(place);
            self.symbols.aliases.push(Rc::new(AliasSym {
                name: parts,
                alias: Rc::clone(&alias),
                library,
            }));
        }
    }

    fn register_global(&mut self, var: ast::GlobalVar, private: bool, library: bool) {
        let name = Name::clone(&var.name.name);
        let same = self
            .symbols
            .global_names
            .get(&name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let clash = same
            .iter()
            .map(|index| &self.symbols.globals[*index])
            .find(|other| {
                other.var.name.span.file == var.name.span.file
                    || !private && !other.private && other.library == library
            });
        if let Some(other) = clash {
            let diag = Diagnostic::error(
                codes::DEFINED_TWICE,
                format!("global '{name}' is declared twice"),
            )
            .label(var.name.span, "declared again here")
            .secondary(other.var.name.span, "first declared here")
            .help("declare it once, or give one of them another name");
            self.report(diag);
            return;
        }
        let index = self.symbols.globals.len();
        self.symbols
            .global_names
            .entry(name)
            .or_default()
            .push(index);
        self.symbols.globals.push(GlobalSym {
            var,
            private,
            library,
            id: None,
            keys: None,
            given: None,
        });
    }

    /// The global that a name means in `file`: its own private one, then (not in tapsets) the
    /// script's, then a tapset's.
    pub(crate) fn find_global(&mut self, name: &str, file: FileId) -> Option<usize> {
        let see_script = !self.is_library(file);
        let mut found = self.known_global(name, file, see_script);
        if found.is_none() && self.pull_globals(name) {
            found = self.known_global(name, file, see_script);
        }
        found
    }

    fn known_global(&self, name: &str, file: FileId, see_script: bool) -> Option<usize> {
        let candidates = self.symbols.global_names.get(name)?;
        let get = |index: &usize| &self.symbols.globals[*index];
        let own = candidates
            .iter()
            .find(|i| get(i).var.name.span.file == file);
        let script = || {
            candidates
                .iter()
                .find(|i| see_script && !get(i).private && !get(i).library)
        };
        let library = || {
            candidates
                .iter()
                .find(|i| !get(i).private && get(i).library)
        };
        own.or_else(script).or_else(library).copied()
    }

    /// Reads the tapset files that declare a global; whether there were any.
    fn pull_globals(&mut self, name: &str) -> bool {
        let library = self.session.library;
        self.pull(library.global(name))
    }

    /// Reads the tapset files that define functions of a name; whether there were any.
    pub(crate) fn pull_functions(&mut self, name: &str) -> bool {
        let library = self.session.library;
        self.pull(library.function(name))
    }

    /// Reads library files not read yet; whether there were any.
    pub(crate) fn pull(&mut self, numbers: impl IntoIterator<Item = usize>) -> bool {
        let mut any = false;
        for number in numbers {
            if self.symbols.loaded.len() <= number {
                self.symbols.loaded.resize(number + 1, false);
            }
            if std::mem::replace(&mut self.symbols.loaded[number], true) {
                continue;
            }
            any = true;
            let (file, diags) = self.loader.library_file(number, self.files);
            self.diags.extend(diags);
            self.register(file);
        }
        any
    }
}
