//! Addresses of processes to lines of source, by the debug information of the files that they map. It is read when the first
//! line of a file is asked for. That of the kernel is not read yet.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use addr2line::Context;
use addr2line::gimli::{EndianArcSlice, LittleEndian};
use rtap_compiler::dwarf::DebugInfo;

use super::maps::Found;
use super::{Host, Kind, Kind::*, UserFnRow, text};
use crate::host::debug_info_of;
use crate::values::Value;

/// Debug information of so many files is kept; one more and all of it is forgotten.
const KEPT: usize = 32;

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
        call: |host, args| shown(host, args, |line| line.number.to_string()),
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
    part: impl FnOnce(Line) -> String,
) -> Result<Value, String> {
    let address = args[0].int() as u64;
    match host.line(args[1].int(), address) {
        Some(line) => text(part(line)),
        None => text(format!("{address:#x}")),
    }
}

/// A line of source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    file: String,
    number: u32,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.number)
    }
}

impl Host {
    /// The line of the code at an address of a process (0: the kernel), if debug information tells it.
    pub(super) fn line(&mut self, process: i64, address: u64) -> Option<Line> {
        if process == 0 {
            return None;
        }
        let found = self.users.find(process, address)?;
        self.lines.find(&found, found.address?)
    }
}

/// Who comes from where in each file; nothing in one without debug information.
#[derive(Default)]
pub(super) struct Lines(HashMap<String, Option<Context<EndianArcSlice<LittleEndian>>>>);

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Lines {
    fn find(&mut self, found: &Found<'_>, address: u64) -> Option<Line> {
        if self.0.len() >= KEPT && !self.0.contains_key(found.file) {
            self.0.clear();
        }
        let context = self.0.entry(found.file.to_owned());
        let context = context.or_insert_with(|| {
            // The process may have ended meanwhile.
            let info = debug_info_of(found.file).or_else(|| debug_info_of(&found.path));
            context_of(&info?)
        });
        let location = context.as_ref()?.find_location(address).ok()??;
        Some(Line {
            file: location.file?.to_owned(),
            number: location.line?,
        })
    }
}

fn context_of(info: &DebugInfo) -> Option<Context<EndianArcSlice<LittleEndian>>> {
    let dwarf = info.sections(|bytes| EndianArcSlice::new(Arc::from(bytes), LittleEndian));
    Context::from_dwarf(dwarf).ok()
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
