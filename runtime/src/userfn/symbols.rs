//! Addresses to names.

use super::kallsyms::{Found, HIDDEN, Kallsyms};
use super::{Host, Kind::*, UserFnRow, text};
use crate::values::Value;

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "symbol_address",
        params: &[Str, Str],
        result: Int,
        call: |host, args| {
            let address = kernel(host).address(args[0].bytes(), args[1].bytes());
            address.map(|address| Value::Int(address as i64))
        },
        doc: "(name, module or \"\"): address of that symbol of the kernel",
    },
    UserFnRow {
        name: "symname",
        params: &[Int],
        result: Str,
        call: |host, args| {
            let address = args[0].int() as u64;
            match kernel_symbol(host, address) {
                Some(found) => text(found.name),
                None => text(format!("{address:#x}")),
            }
        },
        doc: "kernel symbol that holds the address, else the address in hex (function::symname)",
    },
    UserFnRow {
        name: "symdata",
        params: &[Int],
        result: Str,
        call: |host, args| {
            let address = args[0].int() as u64;
            match kernel_symbol(host, address) {
                Some(found) => text(format!(
                    "{}+{:#x}/{:#x} [{}]",
                    found.name, found.offset, found.size, found.module
                )),
                None => text(format!("{address:#x}")),
            }
        },
        doc: "symbol+offset/size [module] of a kernel address, else the address in hex (function::symdata)",
    },
    UserFnRow {
        name: "modname",
        params: &[Int],
        result: Str,
        call: |host, args| match kernel_symbol(host, args[0].int() as u64) {
            Some(found) => text(found.module),
            None => text("<unknown>"),
        },
        doc: "kernel module that holds the address, or `kernel`, or `<unknown>` (function::modname)",
    },
    UserFnRow {
        name: "usymname",
        params: &[Int, Int],
        result: Str,
        call: |host, args| {
            let address = args[0].int() as u64;
            let found = host.users.find(args[1].int(), address);
            match found.and_then(|f| f.function) {
                Some((name, ..)) => text(name),
                None => text(format!("{address:#x}")),
            }
        },
        doc: "(address, pid): function of that process that holds the address, else the address in hex",
    },
    UserFnRow {
        name: "usymdata",
        params: &[Int, Int],
        result: Str,
        call: |host, args| {
            let address = args[0].int() as u64;
            let Some(found) = host.users.find(args[1].int(), address) else {
                return text(format!("{address:#x}"));
            };
            match found.function {
                Some((name, offset, size)) => {
                    text(format!("{name}+{offset:#x}/{size:#x} [{}]", found.path))
                }
                None => text(format!(
                    "{address:#x} [{}+{:#x}/{:#x}]",
                    found.path, found.offset, found.size
                )),
            }
        },
        doc: "(address, pid): function+offset/size [file] of a user address, else it in hex with the file",
    },
    UserFnRow {
        name: "umodname",
        params: &[Int, Int],
        result: Str,
        call: |host, args| {
            let address = args[0].int() as u64;
            match host.users.find(args[1].int(), address) {
                Some(found) => text(found.path.rsplit('/').next().unwrap_or_default()),
                None => Err(format!("no file is mapped at {address:#x}")),
            }
        },
        doc: "(address, pid): short name of the file that is mapped there (function::umodname)",
    },
];

/// The kernel's symbols, read on first use.
pub(super) fn kernel(host: &mut Host) -> &Kallsyms {
    host.kernel.get_or_insert_with(Kallsyms::read)
}

/// The symbol of the kernel that is to be shown for an address. Where there is none because the kernel hides them, the user
/// is told, once.
pub(super) fn kernel_symbol(host: &mut Host, address: u64) -> Option<Found<'_>> {
    if !host.told_of_hiding && kernel(host).are_hidden() {
        host.told_of_hiding = true;
        host.warning = Some(HIDDEN);
    }
    kernel(host).find(address)
}
