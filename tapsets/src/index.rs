//! What files read at run time define.

use std::collections::BTreeMap;

use crate::scan::{Kind, scan};

/// From names to numbers of files.
#[derive(Clone, Debug, Default)]
pub struct Index {
    functions: BTreeMap<String, Vec<usize>>,
    globals: BTreeMap<String, Vec<usize>>,
    macros: BTreeMap<String, Vec<usize>>,
    aliases: Vec<(String, usize)>,
}

impl Index {
    /// Adds what a file defines. Only macro files (`.stpm`) give macros to other files.
    pub fn add(&mut self, number: usize, name: &str, text: &str) {
        let macros_only = std::path::Path::new(name)
            .extension()
            .is_some_and(|e| e == "stpm");
        scan(text, |kind, defined| {
            let list = match kind {
                Kind::Macro if macros_only => &mut self.macros,
                _ if macros_only => return,
                Kind::Function => &mut self.functions,
                Kind::Global => &mut self.globals,
                Kind::Alias => {
                    self.aliases.push((defined.to_owned(), number));
                    return;
                }
                Kind::Macro => return,
            };
            let files = list.entry(defined.to_owned()).or_default();
            if files.last() != Some(&number) {
                files.push(number);
            }
        });
    }

    /// Files that define functions of a name.
    pub fn functions(&self, name: &str) -> Vec<usize> {
        self.functions.get(name).cloned().unwrap_or_default()
    }

    /// Files that declare a global.
    pub fn globals(&self, name: &str) -> Vec<usize> {
        self.globals.get(name).cloned().unwrap_or_default()
    }

    /// Files that define a macro.
    pub fn macros(&self, name: &str) -> Vec<usize> {
        self.macros.get(name).cloned().unwrap_or_default()
    }

    /// All aliases.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, usize)> {
        self.aliases
            .iter()
            .map(|(name, file)| (name.as_str(), *file))
    }

    /// Names of all functions.
    pub fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }
}
