//! The text of call stacks: return addresses with their symbols, kernel's and user's.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

use rtap_compiler::lir::STACK_FRAMES;

use super::symbols::{kernel, kernel_symbol};
use super::{Host, Kind, Kind::*, UserFnRow, text};
use crate::host::reason;
use crate::values::Value;

/// Style, number of frames, process id, then the addresses.
const PARAMS: [Kind; 3 + STACK_FRAMES as usize] = [Int; 3 + STACK_FRAMES as usize];

/// How many frames at the top of a kernel stack can be those of tracing, and a function that returns.
const MOST_OWN_FRAMES: usize = 7;

/// Where in a function its call of a trampoline ends at most: it is behind `endbr64`.
const CALL_BYTES: u64 = 16;

/// How a stack is written; the numbers that `tapsets/stacks.rtp` gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `0xffffffff81000000 0xffffffff81000010`
    Addresses,
    /// A line for each: `vfs_read+0x10/0x300 [kernel]`.
    Symbols,
    /// A line for each, with the address: ` 0xffffffff81000010 : vfs_read+0x10/0x300 [kernel]`.
    Full,
    /// A line for each: `vfs_read+0x10`.
    Brief,
    /// `vfs_read 0xffffffff81000010`, of the caller alone.
    Caller,
    /// As `Full`, with the line of source: ` 0x401136 : main+0x10/0x300 at main.c:12 [/usr/bin/sample]`.
    Lines,
}

impl Style {
    fn of(number: i64) -> Style {
        match number {
            0 => Style::Addresses,
            1 => Style::Symbols,
            2 => Style::Full,
            3 => Style::Brief,
            5 => Style::Lines,
            _ => Style::Caller,
        }
    }
}

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "stack",
        params: &PARAMS,
        result: Lines,
        call: stack,
        doc: "(style, frames or -1, 0, addresses): a call stack of the kernel",
    },
    UserFnRow {
        name: "ustack",
        params: &PARAMS,
        result: Lines,
        call: stack,
        doc: "(style, frames or -1, process id, addresses): a call stack of a process",
    },
    UserFnRow {
        name: "stack_of",
        params: &[Int, Int, Str],
        result: Str,
        call: |host, args| {
            let words = String::from_utf8_lossy(args[2].bytes()).into_owned();
            let frames: Vec<u64> = words
                .split_ascii_whitespace()
                .filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
                .collect();
            let process = whose(host, args[1].int(), &words);
            text(written(host, Style::of(args[0].int()), process, &frames))
        },
        doc: "(style, process id or 0 for the kernel, addresses in text): the same",
    },
    UserFnRow {
        name: "task_stack",
        params: &[Int],
        result: Str,
        call: task_stack,
        doc: "(thread id): addresses of the kernel's call stack of a thread, by /proc",
    },
];

fn stack(host: &mut Host, args: &[Value]) -> Result<Value, String> {
    let (style, count, process) = (Style::of(args[0].int()), args[1].int(), args[2].int());
    let frames = args[3..].iter().map(|frame| frame.int() as u64);
    let mut frames: Vec<u64> = frames.take_while(|frame| *frame != 0).collect();
    if process == 0 {
        drop_tracing(host, &mut frames);
    } else {
        frames.truncate(real_frames(host, process, &frames));
    }
    let real = frames.as_slice();
    let shown = match (style, usize::try_from(count)) {
        (Style::Caller, _) => real.get(1..2).unwrap_or_default(),
        // The innermost is not counted.
        (_, Ok(count)) => &real[..real.len().min(count + 1)],
        (_, Err(_)) => real,
    };
    let written = written(host, style, process, shown);
    if style == Style::Addresses && process != 0 {
        host.stacks.remember(&written, process);
    }
    text(written)
}

/// Lines `[<0>] do_nanosleep+0x6f/0xf0`; symbols, as the kernel hides addresses there.
fn task_stack(host: &mut Host, args: &[Value]) -> Result<Value, String> {
    let path = format!("/proc/{}/stack", args[0].int());
    let listed = fs::read_to_string(&path);
    let listed = listed.map_err(|error| format!("{path} cannot be read: {}", reason(&error)))?;
    let mut frames = Vec::new();
    for line in listed.lines().take(STACK_FRAMES as usize) {
        let place = line.split_once("] ").map_or(line, |(_, place)| place);
        let unknown = || format!("where the kernel has {place} is not known");
        frames.push(kernel(host).place(place).ok_or_else(unknown)?);
    }
    text(written(host, Style::Addresses, 0, &frames))
}

/// Of which processes the stacks are that scripts have as addresses: what takes these apart later
/// (`probe end`) runs in rtap, where `pid()` does not tell.
#[derive(Debug, Default)]
pub(super) struct Stacks(HashMap<String, i64>);

impl Stacks {
    /// So many are remembered; then it begins anew.
    const MOST: usize = 16_384;

    fn remember(&mut self, addresses: &str, process: i64) {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(addresses.to_owned(), process);
    }
}

/// The process whose stack this is: the one that the script names, unless it means rtap itself.
fn whose(host: &Host, process: i64, addresses: &str) -> i64 {
    if process == i64::from(std::process::id()) {
        *host.stacks.0.get(addresses).unwrap_or(&process)
    } else {
        process
    }
}

/// Takes off the frames of tracing itself at the top of a kernel stack. Before them can be the function that returns here
/// (`bpf/select/stack`): it stays if it is not in the stack.
fn drop_tracing(host: &mut Host, frames: &mut Vec<u64>) {
    const OWN: [&str; 5] = [
        "bpf_prog_",
        "bpf_trace_run",
        "__bpf_trace_",
        "bpf_trampoline_",
        "__traceiter_",
    ];
    let symbols = kernel(host);
    let is_own = |address: u64| {
        let found = symbols.find(address);
        found.is_some_and(|found| OWN.iter().any(|own| found.name.starts_with(own)))
    };
    // Before them is the program itself, which may have no name.
    let top = &frames[..frames.len().min(MOST_OWN_FRAMES)];
    let last = top.iter().rposition(|frame| is_own(*frame));
    let Some(last) = last else { return };
    let first = frames[0];
    let returns = symbols.find(first).is_some_and(|found| found.offset == 0) && !is_own(first);
    frames.drain(..=last);
    // The call of a trampoline is at the beginning of the function.
    let in_it = |next: &u64| next.wrapping_sub(first) < CALL_BYTES;
    if returns && !frames.first().is_some_and(in_it) {
        frames.insert(0, first);
    }
}

/// How many frames of a process's stack there are, before what a program without frame pointers
/// makes look like more: addresses where nothing is mapped.
fn real_frames(host: &mut Host, process: i64, frames: &[u64]) -> usize {
    let mapped = |frame: &&u64| host.users.find(process, **frame).is_some();
    match frames.iter().take_while(mapped).count() {
        // Nothing is known of the process.
        0 => frames.len(),
        count => count,
    }
}

fn written(host: &mut Host, style: Style, process: i64, frames: &[u64]) -> String {
    let mut out = String::new();
    for (n, &address) in frames.iter().enumerate() {
        // Who called something is at the instruction behind the call.
        let code = address - u64::from(n > 0 && address > 0);
        let line = (style == Style::Lines).then(|| host.line(process, code));
        let line = line.flatten().map(|line| line.to_string());
        let symbol = if style == Style::Addresses {
            String::new()
        } else if process == 0 {
            in_kernel(host, address, line.as_deref(), style)
        } else {
            in_process(host, process, address, line.as_deref(), style)
        };
        // Writing to a string does not fail.
        let _ = match style {
            Style::Addresses if n == 0 => write!(out, "{address:#x}"),
            Style::Addresses => write!(out, " {address:#x}"),
            Style::Symbols | Style::Brief => writeln!(out, "{symbol}"),
            Style::Full | Style::Lines => writeln!(out, " {address:#x} : {symbol}"),
            Style::Caller => write!(out, "{symbol} {address:#x}"),
        };
    }
    out
}

fn in_kernel(host: &mut Host, address: u64, line: Option<&str>, style: Style) -> String {
    match kernel_symbol(host, address) {
        Some(found) => symbol(
            style,
            (found.name, found.offset, found.size),
            line,
            found.module,
        ),
        None => format!("{address:#x}"),
    }
}

fn in_process(
    host: &mut Host,
    process: i64,
    address: u64,
    line: Option<&str>,
    style: Style,
) -> String {
    let Some(found) = host.users.find(process, address) else {
        return format!("{address:#x}");
    };
    match found.function {
        Some(function) => symbol(style, function, line, &found.path),
        None if matches!(style, Style::Full | Style::Symbols | Style::Lines) => format!(
            "{address:#x} [{}+{:#x}/{:#x}]",
            found.path, found.offset, found.size
        ),
        None => format!("{address:#x}"),
    }
}

fn symbol(
    style: Style,
    (name, offset, size): (&str, u64, u64),
    line: Option<&str>,
    module: &str,
) -> String {
    match (style, line) {
        (Style::Brief, _) => format!("{name}+{offset:#x}"),
        (Style::Caller, _) => name.to_owned(),
        (_, Some(line)) => format!("{name}+{offset:#x}/{size:#x} at {line} [{module}]"),
        (_, None) => format!("{name}+{offset:#x}/{size:#x} [{module}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() {}

    fn shown(style: i64, count: i64, frames: &[u64]) -> String {
        let mut args = vec![
            Value::Int(style),
            Value::Int(count),
            Value::Int(i64::from(std::process::id())),
        ];
        args.extend(frames.iter().map(|frame| Value::Int(*frame as i64)));
        args.resize(PARAMS.len(), Value::Int(0));
        let result = ROWS[1].call(&mut Host::default(), &args).unwrap();
        String::from_utf8(result.bytes().to_vec()).unwrap()
    }

    #[test]
    fn styles() {
        let address = here as fn() as usize as u64;
        assert_eq!(shown(0, -1, &[1, 2, 3]), "0x1 0x2 0x3");
        assert_eq!(shown(0, 1, &[1, 2, 3]), "0x1 0x2");
        assert_eq!(shown(1, -1, &[1]), "0x1\n");
        assert!(shown(2, -1, &[address]).starts_with(&format!(" {address:#x} : ")));
        assert!(shown(2, -1, &[address]).contains("+0x0/"));
        assert!(shown(3, -1, &[address]).ends_with("+0x0\n"));
        assert!(shown(4, -1, &[address, address]).ends_with(&format!(" {address:#x}")));
        assert_eq!(shown(0, -1, &[address, 1]), format!("{address:#x}"));
        assert_eq!(shown(4, -1, &[1]), "");
        assert_eq!(shown(0, -1, &[]), "");
    }

    #[test]
    fn stacks_keep_their_process() {
        let mut host = Host::default();
        let own = i64::from(std::process::id());
        assert_eq!(whose(&host, own, "0x1 0x2"), own);
        host.stacks.remember("0x1 0x2", 1);
        assert_eq!(whose(&host, own, "0x1 0x2"), 1);
        assert_eq!(whose(&host, 7, "0x1 0x2"), 7);
    }
}
