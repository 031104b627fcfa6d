//! The module under construction: constants, formats, sites and expressions, each once.

use std::collections::HashMap;

use bstr::{BStr, BString};

use crate::lir::builder::Empty;
use crate::lir::{Channel, Format, FormatId, Module, RegexId, Site, SiteId, StrId};

/// Tables that functions refer to.
pub(super) struct Tables {
    pub(super) module: Module,
    strings: HashMap<BString, StrId>,
    formats: HashMap<Format, FormatId>,
    sites: HashMap<Site, SiteId>,
    regexes: HashMap<BString, RegexId>,
    /// What undefined variables start with.
    pub(super) empty: Empty,
}

impl Tables {
    /// Tables with nothing but the empty string and format.
    pub(super) fn new() -> Self {
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
            module,
            strings: HashMap::from([(BString::default(), empty.text)]),
            formats: HashMap::from([(empty_format, empty.format)]),
            sites: HashMap::new(),
            regexes: HashMap::new(),
            empty,
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
        let add = || formats.push(format.clone());
        *self.formats.entry(format.clone()).or_insert_with(add)
    }

    /// The error site.
    pub(super) fn site(&mut self, site: Site) -> SiteId {
        let sites = &mut self.module.sites;
        let add = || sites.push(site.clone());
        *self.sites.entry(site.clone()).or_insert_with(add)
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
