//! Names of numbers: errors, system calls, addresses of the Internet.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use rtap_compiler::builtins::errno;
use rtap_compiler::builtins::names::{flags, items};
use rtap_compiler::target::{Arch, SyscallTable};

use super::{Kind::*, UserFnRow, text};
use crate::values::quote;

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "str_quote",
        params: &[Str, Str],
        result: Str,
        call: |_, args| {
            let most = args[1].text().to_string().parse();
            let most = most.map_err(|_| "str_quote: no length".to_owned())?;
            let mut out = Vec::new();
            quote(&mut out, args[0].bytes(), most);
            text(out)
        },
        doc: "a string in double quotes, with what is not printable escaped, in so many bytes (function::string_quoted)",
    },
    UserFnRow {
        name: "flags",
        params: &[Int, Str],
        result: Str,
        call: |_, args| text(flags(args[0].int(), items(&args[1].text().to_string()))),
        doc: "names of the bits set in a number, out of a list (compiler/src/builtins/names.rs)",
    },
    UserFnRow {
        name: "enum",
        params: &[Int, Str],
        result: Str,
        call: |_, args| text(one_of(args[0].int(), &args[1].text().to_string())),
        doc: "name of a number, out of a list",
    },
    UserFnRow {
        name: "errno_str",
        params: &[Int],
        result: Str,
        call: |_, args| text(errno::name(args[0].int())),
        doc: "name of an error number: ENOENT for 2, E#3333 for one without a name, \"\" for 0 (function::errno_str)",
    },
    UserFnRow {
        name: "syscall_name",
        params: &[Int],
        result: Str,
        call: |_, args| {
            static TABLE: OnceLock<SyscallTable> = OnceLock::new();
            let table = TABLE.get_or_init(|| Arch::X86_64.syscall_table());
            let number = u32::try_from(args[0].int()).ok();
            match number.and_then(|number| table.by_number(number)) {
                Some(call) => text(&call.name),
                None => text(""),
            }
        },
        doc: "name of a system call's number, \"\" if there is none",
    },
    UserFnRow {
        name: "ip_ntop",
        params: &[Int],
        result: Str,
        call: |_, args| {
            // Network byte order: the first byte in memory is the first shown.
            let bytes = (args[0].int() as u32).to_le_bytes();
            text(Ipv4Addr::from(bytes).to_string())
        },
        doc: "dotted form of an IPv4 address in network byte order",
    },
    UserFnRow {
        name: "ip6_ntop",
        params: &[Int, Int],
        result: Str,
        call: |_, args| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&args[0].int().to_le_bytes());
            bytes[8..].copy_from_slice(&args[1].int().to_le_bytes());
            text(Ipv6Addr::from(bytes).to_string())
        },
        doc: "form of an IPv6 address out of its first and second eight bytes in memory order",
    },
];

/// The name of `v`; see `rtap_compiler::builtins::names`.
fn one_of(v: i64, list: &str) -> String {
    let mut other = None;
    for item in items(list) {
        match item.value {
            Some((value, _)) if value == v => return item.name.to_owned(),
            Some(_) => {}
            None => other = Some(item.name),
        }
    }
    match other {
        Some(name) => name.to_owned(),
        None if (-4095..4096).contains(&v) => v.to_string(),
        None => format!("{v:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Host, find};
    use crate::values::Value;

    fn call(name: &str, args: &[i64]) -> String {
        let args: Vec<Value> = args.iter().map(|n| Value::Int(*n)).collect();
        let row = find(name).unwrap();
        row.call(&mut Host::default(), &args)
            .unwrap()
            .text()
            .to_string()
    }

    #[test]
    fn flags_and_enumerations() {
        assert_eq!(super::one_of(1, "A=0 B=1"), "B");
        assert_eq!(super::one_of(-7, "A=0"), "-7");
        assert_eq!(super::one_of(4096, "A=0"), "0x1000");
        assert_eq!(super::one_of(9, "A=0 UNDEF=*"), "UNDEF");
    }

    #[test]
    fn errors() {
        assert_eq!(call("errno_str", &[2]), "ENOENT");
        assert_eq!(call("errno_str", &[133]), "EHWPOISON");
        assert_eq!(call("errno_str", &[134]), "E#134");
        assert_eq!(call("errno_str", &[41]), "E#41");
        assert_eq!(i32::from(libc::ENOTRECOVERABLE == 131), 1);
        assert_eq!(
            call("errno_str", &[i64::from(libc::ENOTRECOVERABLE)]),
            "ENOTRECOVERABLE"
        );
        assert_eq!(
            call("errno_str", &[i64::from(libc::ECONNREFUSED)]),
            "ECONNREFUSED"
        );
    }

    #[test]
    fn system_calls() {
        assert_eq!(call("syscall_name", &[0]), "read");
        assert_eq!(call("syscall_name", &[257]), "openat");
        assert_eq!(call("syscall_name", &[-1]), "");
    }

    #[test]
    fn addresses() {
        assert_eq!(call("ip_ntop", &[0x0100_007f]), "127.0.0.1");
        assert_eq!(call("ip6_ntop", &[0, 1 << 56]), "::1");
    }
}
