//! The module under construction: constants, formats, sites and expressions, each once.

use bstr::{BStr, BString};
use rustc_hash::FxHashMap;

use super::{Fault, Spec};
use crate::hir::FuncId;
use crate::lir::builder::Empty;
use crate::lir::{
    Channel, ElementKind, Format, FormatId, Func, Global, GlobalKind, Module, RegexId, Site,
    SiteId, StrId, TableId, Ty,
};
use crate::target::arch::Arch;

/// Tables that functions refer to.
pub(super) struct Tables {
    /// The processor that registers are of.
    pub(super) arch: Arch,
    /// Whether the runs of kernel handlers are measured.
    pub(super) is_measured: bool,
    pub(super) module: Module,
    strings: FxHashMap<BString, StrId>,
    formats: FxHashMap<Format, FormatId>,
    sites: FxHashMap<Site, SiteId>,
    regexes: FxHashMap<BString, RegexId>,
    string_tables: FxHashMap<Vec<BString>, TableId>,
    /// What undefined variables start with.
    pub(super) empty: Empty,
    /// The functions asked for so far.
    pub(super) functions: FxHashMap<(FuncId, Spec), Func>,
    /// Those of them whose bodies are still to be lowered.
    pub(super) queue: Vec<(FuncId, Spec, Func)>,
    /// What could not be lowered.
    pub(super) faults: Vec<Fault>,
}

impl Tables {
    /// Tables with nothing but the empty string and format.
    pub(super) fn new(arch: Arch, is_measured: bool) -> Self {
        let mut module = Module::default();
        let empty_format = Format {
            pieces: Vec::new(),
            channel: Channel::Out,
        };
        let empty = Empty {
            text: module.strings.push(BString::default()),
            format: module.formats.push(empty_format.clone()),
        };
        Tables {
            arch,
            is_measured,
            module,
            strings: FxHashMap::from_iter([(BString::default(), empty.text)]),
            formats: FxHashMap::from_iter([(empty_format, empty.format)]),
            sites: FxHashMap::default(),
            regexes: FxHashMap::default(),
            string_tables: FxHashMap::default(),
            empty,
            functions: FxHashMap::default(),
            queue: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The module, and what could not be lowered, each fault once.
    pub(super) fn finish(self) -> (Module, Vec<Fault>) {
        let mut faults = self.faults;
        faults.sort_by_key(|fault| fault.span);
        faults.dedup();
        (self.module, faults)
    }

    /// The types of an array's keys; none for a scalar.
    pub(super) fn key_types(&self, array: Global) -> Vec<Ty> {
        match &self.module.globals[array].kind {
            GlobalKind::Array { keys, .. } => keys.clone(),
            GlobalKind::Scalar { .. } | GlobalKind::Stat(_) => Vec::new(),
        }
    }

    /// The type of a scalar or of an array's elements; statistics have none and count as
    /// numbers.
    pub(super) fn value_type(&self, global: Global) -> Ty {
        match &self.module.globals[global].kind {
            GlobalKind::Scalar { ty, .. } => *ty,
            GlobalKind::Array {
                value: ElementKind::Plain(ty),
                ..
            } => *ty,
            GlobalKind::Stat(_) | GlobalKind::Array { .. } => Ty::I64,
        }
    }

    /// The constant with this text.
    pub(super) fn string(&mut self, text: &BStr) -> StrId {
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = self.module.strings.push(text.to_owned());
        self.strings.insert(text.to_owned(), id);
        id
    }

    /// The format.
    pub(super) fn format(&mut self, format: Format) -> FormatId {
        let formats = &mut self.module.formats;
        let add = |format: &Format| formats.push(format.clone());
        *self.formats.entry(format).or_insert_with_key(add)
    }

    /// The error site.
    pub(super) fn site(&mut self, site: Site) -> SiteId {
        let sites = &mut self.module.sites;
        let add = |site: &Site| sites.push(site.clone());
        *self.sites.entry(site).or_insert_with_key(add)
    }

    /// The table with these texts.
    pub(super) fn table(&mut self, texts: Vec<BString>) -> TableId {
        let tables = &mut self.module.tables;
        let add = |texts: &Vec<BString>| tables.push(texts.clone());
        *self.string_tables.entry(texts).or_insert_with_key(add)
    }

    /// The regular expression.
    pub(super) fn regex(&mut self, text: &BStr) -> RegexId {
        if let Some(id) = self.regexes.get(text) {
            return *id;
        }
        let id = self.module.regexes.push(text.to_owned());
        self.regexes.insert(text.to_owned(), id);
        id
    }
}
