//! String constants of the module, each once.

use bstr::{BStr, BString};
use rustc_hash::FxHashMap;

use crate::lir::{Module, StrId};

/// Finds constants by their text.
pub(super) struct Interner {
    by_text: FxHashMap<BString, StrId>,
}

impl Interner {
    /// Knows the constants that the module has.
    pub(super) fn new(module: &Module) -> Self {
        let texts = module.strings.iter();
        Interner {
            by_text: texts.map(|(id, text)| (text.clone(), id)).collect(),
        }
    }

    /// The constant with this text, added to the module if it is new.
    pub(super) fn get(&mut self, module: &mut Module, text: &[u8]) -> StrId {
        let text = BStr::new(text);
        if let Some(id) = self.by_text.get(text) {
            return *id;
        }
        let id = module.strings.push(text.to_owned());
        self.by_text.insert(text.to_owned(), id);
        id
    }
}
