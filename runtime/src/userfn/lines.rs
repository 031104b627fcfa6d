//! Addresses of processes and the kernel to lines of source, by debug information: of the files that processes map, of
//! vmlinux and modules. It is read when the first line of a file is asked for.

use std::collections::HashMap;

use rtap_compiler::dwarf::{DebugInfo, SourceLine, UnitIndex};
use rtap_compiler::target::KernelObject;

use super::symbols::kernel_symbol;
use super::{Host, Kind, Kind::*, UserFnRow, text};
use crate::host::{debug_info_of, kernel_object};
use crate::values::Value;

/// Debug information of so many files is kept; one more and all of it is forgotten.
const KEPT: usize = 32;
/// The same of lines of a file.
const KNOWN: usize = 1 << 16;

/// Address, process id.
const PARAMS: &[Kind] = &[Int, Int];

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "source_file",
        params: PARAMS,
        result: Str,
        call: |host, args| shown(host, args, |line| line.file),
        doc: "(address, pid or 0 for the kernel): source file of the code there, else the address in hex",
    },
    UserFnRow {
        name: "source_line",
        params: PARAMS,
        result: Str,
        call: |host, args| shown(host, args, |line| line.line.to_string()),
        doc: "(address, pid or 0 for the kernel): its line, else the address in hex",
    },
    UserFnRow {
        name: "source_file_line",
        params: PARAMS,
        result: Str,
        call: |host, args| shown(host, args, |line| line.to_string()),
        doc: "(address, pid or 0 for the kernel): file:line, else the address in hex",
    },
];

fn shown(
    host: &mut Host,
    args: &[Value],
    part: impl FnOnce(SourceLine) -> String,
) -> Result<Value, String> {
    let address = args[0].int() as u64;
    match host.line(args[1].int(), address) {
        Some(line) => text(part(line)),
        None => text(format!("{address:#x}")),
    }
}

impl Host {
    /// The line of the code at an address of a process (0: the kernel), if debug information tells it.
    pub(super) fn line(&mut self, process: i64, address: u64) -> Option<SourceLine> {
        let (key, at) = if process == 0 {
            let found = kernel_symbol(self, address)?;
            let module = (found.module != "kernel").then(|| found.module.to_owned());
            let place = Place::Symbol(found.name.to_owned(), found.offset);
            (Key::Kernel(module), place)
        } else {
            let found = self.users.find(process, address)?;
            let paths = [found.file.to_owned(), found.path];
            (Key::Process(paths), Place::Address(found.address?))
        };
        self.lines.find(key, at)
    }
}

/// What has debug information.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The kernel, or a module.
    Kernel(Option<String>),
    /// A file by its path through the process that maps it, and by its own: the process may have ended.
    Process([String; 2]),
}

/// A place in its code.
enum Place {
    Address(u64),
    /// So many bytes behind a symbol.
    Symbol(String, u64),
}

/// Debug information that has been read; nothing where there is none.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<Key, Option<Source>>);

#[derive(Debug)]
struct Source {
    info: Info,
    units: UnitIndex,
    /// Lines that were found.
    known: HashMap<u64, Option<SourceLine>>,
}

#[derive(Debug)]
enum Info {
    Program(DebugInfo),
    Kernel(KernelObject),
}

impl Lines {
    fn find(&mut self, key: Key, place: Place) -> Option<SourceLine> {
        if self.0.len() >= KEPT && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let source = self.0.entry(key);
        let source = source.or_insert_with_key(|key| Source::of(Info::read(key)?));
        source.as_mut()?.line(place)
    }
}

impl Info {
    fn read(key: &Key) -> Option<Self> {
        match key {
            Key::Kernel(module) => kernel_object(module.as_deref()).map(Self::Kernel),
            Key::Process(paths) => paths
                .iter()
                .find_map(|path| debug_info_of(path))
                .map(Self::Program),
        }
    }

    fn debug_info(&self) -> &DebugInfo {
        match self {
            Self::Program(info) => info,
            Self::Kernel(object) => &object.info,
        }
    }

    /// The address that it has for a place. Of functions of one name it is not known which is meant.
    fn address(&self, place: Place) -> Option<u64> {
        match (self, place) {
            (_, Place::Address(address)) => Some(address),
            (Self::Kernel(object), Place::Symbol(name, offset)) => {
                let mut named = object.named(&name);
                let only = named.next().filter(|_| named.next().is_none())?;
                only.start.checked_add(offset)
            }
            (Self::Program(_), Place::Symbol(..)) => None,
        }
    }
}

impl Source {
    fn of(info: Info) -> Option<Self> {
        let units = info.debug_info().units().ok()?;
        let known = HashMap::new();
        Some(Self { info, units, known })
    }

    fn line(&mut self, place: Place) -> Option<SourceLine> {
        let address = self.info.address(place)?;
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        let found = self.known.entry(address).or_insert_with(|| {
            let line = self.info.debug_info().line_at(&self.units, address);
            line.ok().flatten()
        });
        found.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_this_program() {
        let here = a_line_of_this_program as fn() as usize;
        let mut host = Host::default();
        let args = [here as i64, i64::from(std::process::id())].map(Value::Int);
        let [file, line, both] = [0, 1, 2].map(|row| {
            let text = ROWS[row].call(&mut host, &args).expect("a text");
            String::from_utf8(text.bytes().to_vec()).expect("characters")
        });
        assert!(file.ends_with("userfn/lines.rs"), "{file}");
        assert_eq!(both, format!("{file}:{line}"));
        let number: u32 = line.parse().expect("a number");
        assert!((100..line!()).contains(&number), "{number}");
    }

    #[test]
    fn what_is_not_known_is_the_address() {
        let mut host = Host::default();
        let args = [1, i64::from(std::process::id())].map(Value::Int);
        for row in ROWS {
            let text = row.call(&mut host, &args).expect("a text");
            assert_eq!(text.bytes(), b"0x1");
        }
    }
}
