//! The tapset library: which file defines what, and reading files on demand.
//!
//! Directories given by `-I` come first, the embedded library after them. An index from
//! names to files (made when the crate is built for the embedded ones) means that a script
//! only pays for the files that it needs.

use rtap_grammar::ast;
use rtap_grammar::diag::Diagnostics;
use rtap_grammar::source::{FileId, Files};
use rtap_grammar::{
    MacroLibrary, PreprocessorFacts, SYSTEMTAP_VERSION, add_macros, emit_tokens, parse,
};

use rtap_tapsets::{EMBEDDED, Index};

use crate::session::Session;

/// A file of the user's tapset directories.
struct UserFile {
    name: String,
    text: String,
}

/// All tapset files.
pub struct TapsetLibrary {
    user: Vec<UserFile>,
    /// What the user's files define; numbers are into `user`.
    index: Index,
    embedded: bool,
}

impl TapsetLibrary {
    /// The embedded library alone.
    pub fn embedded() -> Self {
        TapsetLibrary {
            user: Vec::new(),
            index: Index::default(),
            embedded: true,
        }
    }

    /// No tapsets at all.
    pub fn none() -> Self {
        TapsetLibrary {
            user: Vec::new(),
            index: Index::default(),
            embedded: false,
        }
    }

    /// The user's files (name and text; macro files end in `.stpm`) before the embedded
    /// library.
    pub fn with_user_files(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut library = TapsetLibrary::embedded();
        for (name, text) in files {
            let number = library.user.len();
            library.index.add(number, &name, &text);
            library.user.push(UserFile { name, text });
        }
        library
    }

    /// Numbers of the files that define something: the user's if there are any, else the
    /// embedded ones.
    fn files(&self, own: Vec<usize>, embedded: impl Iterator<Item = usize>) -> Vec<usize> {
        if !own.is_empty() || !self.embedded {
            return own;
        }
        embedded.map(|file| self.user.len() + file).collect()
    }

    /// Files that define functions of a name.
    pub(crate) fn function(&self, name: &str) -> Vec<usize> {
        self.files(self.index.functions(name), EMBEDDED.function(name))
    }

    /// Files that declare a global.
    pub(crate) fn global(&self, name: &str) -> Vec<usize> {
        self.files(self.index.globals(name), EMBEDDED.global(name))
    }

    /// Files that define a macro.
    fn macro_files(&self, name: &str) -> Vec<usize> {
        self.files(self.index.macros(name), EMBEDDED.macro_files(name))
    }

    /// All aliases with the number of a file that defines them; a name may come several times.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&str, usize)> {
        let user = self.index.aliases();
        let first = self.user.len();
        let embedded = if self.embedded { EMBEDDED.aliases } else { &[] };
        user.chain(
            embedded
                .iter()
                .map(move |(name, file)| (*name, first + usize::from(*file))),
        )
    }

    /// Files that define an alias of this dotted name.
    pub(crate) fn alias(&self, name: &str) -> Vec<usize> {
        let user = self.index.aliases().filter(|(other, _)| *other == name);
        let user = user.map(|(_, file)| file);
        let embedded = self.embedded.then(|| EMBEDDED.alias(name));
        let embedded = embedded.into_iter().flatten();
        user.chain(embedded.map(|file| self.user.len() + file))
            .collect()
    }

    /// Names of all functions.
    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        let embedded = if self.embedded {
            EMBEDDED.functions
        } else {
            &[]
        };
        self.index
            .function_names()
            .chain(embedded.iter().map(|(name, _)| *name))
    }

    fn text(&self, number: usize) -> (&str, &str) {
        match self.user.get(number) {
            Some(file) => (&file.name, &file.text),
            None => EMBEDDED
                .files
                .get(number - self.user.len())
                .map_or(("?", ""), |file| (file.name, file.text)),
        }
    }

    fn len(&self) -> usize {
        self.user.len()
            + if self.embedded {
                EMBEDDED.files.len()
            } else {
                0
            }
    }
}

/// Parses files, with the macros that they use at hand.
pub struct Loader<'s> {
    session: &'s Session<'s>,
    macros: MacroLibrary,
    loaded: Vec<bool>,
}

impl<'s> Loader<'s> {
    /// For a session.
    pub fn new(session: &'s Session<'s>) -> Self {
        Loader {
            session,
            macros: MacroLibrary::new(),
            loaded: vec![false; session.library.len()],
        }
    }

    /// Parses a file that has been added to `files`.
    pub fn parse(&mut self, files: &mut Files, id: FileId) -> (ast::File, Diagnostics) {
        let mut diags = Diagnostics::new();
        let text = files.text_arc(id);
        self.load_macros(&text, files, &mut diags);
        let parsed = parse(
            files,
            id,
            &Facts {
                session: self.session,
            },
            &self.macros,
        );
        diags.extend(parsed.diagnostics);
        (parsed.file, diags)
    }

    /// The tokens of a file, as text, after the preprocessor.
    pub fn tokens(&mut self, files: &mut Files, id: FileId) -> (String, Diagnostics) {
        let mut diags = Diagnostics::new();
        let text = files.text_arc(id);
        self.load_macros(&text, files, &mut diags);
        let facts = Facts {
            session: self.session,
        };
        let (tokens, found) = emit_tokens(files, id, &facts, &self.macros);
        diags.extend(found);
        (tokens, diags)
    }

    /// Parses a file of the library.
    pub(crate) fn library_file(
        &mut self,
        number: usize,
        files: &mut Files,
    ) -> (ast::File, Diagnostics) {
        let (name, text) = self.session.library.text(number);
        let id = files.add(name, text, true);
        self.parse(files, id)
    }

    /// Reads the macro files that a text's `@words` ask for.
    fn load_macros(&mut self, text: &str, files: &mut Files, diags: &mut Diagnostics) {
        for at in memchr_iter(text) {
            let rest = &text[at + 1..];
            let len = rest
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                .count();
            if len == 0 {
                continue;
            }
            for number in self.session.library.macro_files(&rest[..len]) {
                if std::mem::replace(&mut self.loaded[number], true) {
                    continue;
                }
                let (name, text) = self.session.library.text(number);
                self.load_macros(text, files, diags);
                let id = files.add(name, text, true);
                let found = add_macros(
                    files,
                    id,
                    &Facts {
                        session: self.session,
                    },
                    &mut self.macros,
                );
                diags.extend(found);
            }
        }
    }
}

/// Offsets of `@`.
fn memchr_iter(text: &str) -> impl Iterator<Item = usize> {
    text.bytes()
        .enumerate()
        .filter(|(_, b)| *b == b'@')
        .map(|(at, _)| at)
}

/// What conditionals may ask, answered by the target.
pub struct Facts<'s> {
    /// The session.
    pub session: &'s Session<'s>,
}

impl PreprocessorFacts for Facts<'_> {
    fn kernel_v(&self) -> String {
        self.session.target.kernel().base().to_owned()
    }

    fn kernel_vr(&self) -> String {
        self.session.target.kernel().text.clone()
    }

    fn arch(&self) -> String {
        self.session.target.arch().name().to_owned()
    }

    fn config(&self, name: &str) -> Option<String> {
        let value = self.session.target.kconfig(name);
        value.is_on().unwrap_or(false).then(|| value.text())
    }

    fn systemtap_v(&self) -> String {
        let compatible = self.session.options.compatible.as_deref();
        compatible.unwrap_or(SYSTEMTAP_VERSION).to_owned()
    }

    fn guru(&self) -> bool {
        self.session.options.guru
    }

    fn args(&self) -> &[String] {
        &self.session.options.args
    }
}
