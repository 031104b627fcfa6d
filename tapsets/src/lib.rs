//! The standard tapset library, written in the script language, embedded, with an index from
//! names to files; and the table of system calls.
//!
//! `build.rs` collects `*.rtp`, `*.stpm` and `syscalls.table` of this folder. Nothing is
//! parsed here: the compiler parses the files that a script needs.

pub mod scan;

mod index;
mod syscalls;

pub use index::Index;
pub use syscalls::SYSCALLS;

/// A file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// What messages call it: `tapset/context.rtp`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The embedded files and what they define. All lists are sorted by name; a name that several
/// files define comes several times.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// The files; the numbers in the other lists are places in this one.
    pub files: &'static [File],
    /// Functions.
    pub functions: &'static [(&'static str, u16)],
    /// Globals.
    pub globals: &'static [(&'static str, u16)],
    /// Aliases, by their dotted names.
    pub aliases: &'static [(&'static str, u16)],
    /// Macros.
    pub macros: &'static [(&'static str, u16)],
}

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

impl Embedded {
    /// Files that define functions of a name.
    pub fn function(&self, name: &str) -> impl Iterator<Item = usize> {
        find(self.functions, name)
    }

    /// Files that declare a global.
    pub fn global(&self, name: &str) -> impl Iterator<Item = usize> {
        find(self.globals, name)
    }

    /// Files that define an alias of this dotted name.
    pub fn alias(&self, name: &str) -> impl Iterator<Item = usize> {
        find(self.aliases, name)
    }

    /// Files that define a macro.
    pub fn macro_files(&self, name: &str) -> impl Iterator<Item = usize> {
        find(self.macros, name)
    }
}

/// All files that a sorted list has for a name.
fn find(list: &'static [(&'static str, u16)], name: &str) -> impl Iterator<Item = usize> {
    let start = list.partition_point(|(other, _)| *other < name);
    let count = list[start..]
        .iter()
        .take_while(|(other, _)| *other == name)
        .count();
    list[start..start + count]
        .iter()
        .map(|(_, file)| usize::from(*file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_sorted_and_complete() {
        for list in [
            EMBEDDED.functions,
            EMBEDDED.globals,
            EMBEDDED.aliases,
            EMBEDDED.macros,
        ] {
            assert!(list.is_sorted());
            assert!(
                list.iter()
                    .all(|(_, file)| usize::from(*file) < EMBEDDED.files.len())
            );
        }
        assert_eq!(EMBEDDED.function("no_such_function").count(), 0);
        assert!(!SYSCALLS.is_empty());
    }
}
