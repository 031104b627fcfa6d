//! Functions that exist in user space only, in one table: a row and a small function each,
//! in one file per family. The interpreter calls them, and printed records and late strings
//! are made of them.
//!
//! To add one: a row in its family's `ROWS` here, and a builtin of the same name with `__` before
//! it in `compiler/src/builtins/user.rs` (docs/adding-a-builtin.md).

mod histograms;
mod kallsyms;
mod lines;
mod maps;
mod names;
mod points;
mod process;
mod stacks;
mod symbols;
mod time;

use std::fmt;

use rtap_compiler::lir::{Module, Piece, Ty, UserFn};

use crate::host::online_cpus;
use crate::values::{Text, Value};

/// What a function does with its arguments. The error is a message for the script's user.
pub type UserFnCall = fn(&mut Host, &[Value]) -> Result<Value, String>;

/// A row of the table.
pub struct UserFnRow {
    /// Name, as in [`rtap_compiler::lir::UserFn`].
    pub name: &'static str,
    /// For each parameter, whether it is a string.
    pub params: &'static [Kind],
    /// Whether the result is a string.
    pub result: Kind,
    /// The function.
    call: UserFnCall,
    /// One sentence.
    pub doc: &'static str,
}

/// A type, widths aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Int,
    /// Numbers, as many as come; the first parameter only.
    Ints,
    /// A string.
    Str,
    /// Lines of text, which no string's length cuts.
    Lines,
}

impl Kind {
    /// Whether a value of type `ty` is of this kind.
    pub fn admits(self, ty: Ty) -> bool {
        matches!(self, Kind::Str | Kind::Lines) == ty.is_str()
    }
}

impl fmt::Debug for UserFnRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl UserFnRow {
    /// Calls it. A wrong number or kind of arguments is an error, no panic.
    pub fn call(&self, host: &mut Host, args: &[Value]) -> Result<Value, String> {
        if !self.takes(args) {
            return Err(format!("{}: wrong arguments", self.name));
        }
        (self.call)(host, args)
    }

    fn takes(&self, args: &[Value]) -> bool {
        let is_str = |arg: &Value| matches!(arg, Value::Str(_));
        let (many, params) = match self.params {
            [Kind::Ints, params @ ..] => (args.len().saturating_sub(params.len()), params),
            params => (0, params),
        };
        let (numbers, args) = args.split_at(many);
        !numbers.iter().any(is_str)
            && args.len() == params.len()
            && (args.iter().zip(params)).all(|(arg, kind)| (*kind == Kind::Str) == is_str(arg))
    }
}

/// What functions remember between calls: symbol tables, maps of processes, names.
#[derive(Debug, Default)]
pub struct Host {
    /// `module_name()`: what `-m` gave, else `rtap_PID`.
    pub module_name: Option<String>,
    /// Text, function and module of each probe point, by program-wide number.
    pub points: Vec<[String; 3]>,
    /// What is to be told the user.
    pub warning: Option<&'static str>,
    /// What `descendant` found when it last looked.
    descendants: Vec<i64>,
    kernel: Option<kallsyms::Kallsyms>,
    /// Whether the user knows that the kernel hides the addresses of its symbols.
    told_of_hiding: bool,
    lines: lines::Lines,
    stacks: stacks::Stacks,
    users: maps::Processes,
    time: time::ZoneCache,
}

impl Host {
    /// Gets ready for the functions that a program calls, before anything is traced.
    pub fn prepare(&mut self, module: &Module) {
        const OF_PROCESSES: [&str; 8] = [
            "ustack",
            "stack_of",
            "usymname",
            "usymdata",
            "source_file",
            "source_line",
            "source_file_line",
            "umodname",
        ];
        let pieces = module.formats.values().flat_map(|format| &format.pieces);
        let mut called = pieces.filter_map(|piece| match piece {
            Piece::Call(UserFn(name), _) => Some(name.as_str()),
            _ => None,
        });
        if called.any(|name| OF_PROCESSES.contains(&name)) {
            self.users.listen(&online_cpus());
        }
    }
}

/// The families' tables.
const FAMILIES: &[&[UserFnRow]] = &[
    histograms::ROWS,
    lines::ROWS,
    names::ROWS,
    points::ROWS,
    process::ROWS,
    stacks::ROWS,
    symbols::ROWS,
    time::ROWS,
];

/// The function of a name.
pub fn find(name: &str) -> Option<&'static UserFnRow> {
    all().find(|row| row.name == name)
}

/// All functions.
pub fn all() -> impl Iterator<Item = &'static UserFnRow> {
    FAMILIES.iter().copied().flatten()
}

/// A string result.
fn text(bytes: impl AsRef<[u8]>) -> Result<Value, String> {
    Ok(Value::Str(Text::new(bytes.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let mut names: Vec<_> = all().map(|row| row.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| find(name).is_some()));
        assert!(find("no_such_function").is_none());
    }

    #[test]
    fn wrong_arguments_are_an_error() {
        for row in all() {
            let mut host = Host::default();
            let wrong = vec![Value::from("x"); row.params.len() + 1];
            assert!(row.call(&mut host, &wrong).is_err(), "{}", row.name);
        }
    }

    #[test]
    fn no_argument_panics() {
        let numbers = [0, 1, -1, i64::MIN, i64::MAX, 1 << 40];
        for row in all() {
            let mut host = Host::default();
            for n in numbers {
                let args: Vec<Value> = row
                    .params
                    .iter()
                    .map(|kind| match kind {
                        Kind::Int | Kind::Ints => Value::Int(n),
                        Kind::Str | Kind::Lines => Value::from("nothing of the kind"),
                    })
                    .collect();
                if let Ok(value) = row.call(&mut host, &args) {
                    assert_eq!(row.result != Kind::Int, matches!(value, Value::Str(_)));
                }
            }
        }
    }
}
