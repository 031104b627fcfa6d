//! Functions of user space (`runtime/src/userfn` has them under the names here, without the
//! `__`). Where only printed or stored, a kernel handler carries the arguments and user
//! space makes the string later; the characters themselves exist in user-side handlers, and for
//! a few in kernel handlers too (`characters`).

use super::{Builtin, Call, Late, characters};
use crate::hir::Ty::{Long, Str};
use crate::image::width_bytes;
use crate::lir::{Channel, ErrorKind, Exec, Format, Op, Piece, Place, Ty, UserFn, Value};
use crate::lower::{Lower, Lowered};

/// A record of a function's arguments. Different ones can have the same text.
pub(super) const ARGS: Late = Late {
    bytes: |args, _| args.iter().map(|cap| argument_bytes(*cap)).sum(),
    key: false,
    empty: false,
};
/// The same where different arguments have different texts.
const EXACT: Late = Late { key: true, ..ARGS };

/// A function of numbers that makes a string.
pub(super) const fn text(name: &'static str, late: Late, doc: &'static str) -> Builtin {
    Builtin {
        name,
        params: &[Long],
        ret: Str,
        place: Place::Both,
        late: Some(late),
        lower: user,
        doc,
        ..Builtin::BASE
    }
}

/// A function that makes a number, in user-side handlers.
const fn number(name: &'static str, doc: &'static str) -> Builtin {
    Builtin {
        name,
        place: Place::User,
        lower: user,
        doc,
        ..Builtin::BASE
    }
}

/// A number about rtap's own process, for what runs in its context: user-side handlers. 0 in the kernel.
const fn own(name: &'static str, doc: &'static str) -> Builtin {
    Builtin {
        name,
        place: Place::User,
        lower: |l, c| match l.exec() {
            Some(Exec::Kernel) => Ok(Some(l.const_int(0, c.span))),
            _ => user(l, c),
        },
        doc,
        ..Builtin::BASE
    }
}

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        cap: |_, _| 24,
        ..text(
            "__ctime",
            EXACT,
            "UTC date and time of seconds since the epoch: `Wed Jun 30 21:49:08 1993`",
        )
    },
    Builtin {
        cap: |_, _| 40,
        ..text(
            "__tz_ctime",
            EXACT,
            "the same in the local time zone, with its name",
        )
    },
    Builtin {
        cap: |_, _| 15,
        params: &[],
        ..text("__tz_name", EXACT, "name of the local time zone")
    },
    number("__tz_gmtoff", "seconds west of UTC, as localtime says now"),
    Builtin {
        params: &[Long],
        ..number(
            "__next_process",
            "the process with the next higher id; 0 if there is none",
        )
    },
    Builtin {
        params: &[Long],
        ..number(
            "__process_inode",
            "number of the inode of the program that a process runs; 0 if there is none",
        )
    },
    Builtin {
        params: &[Long],
        late: None,
        place: Place::User,
        pure: false,
        cap: |_, max| max,
        lower: task_stack,
        ..text(
            "__task_stack",
            ARGS,
            "addresses of the kernel's call stack of a thread, in user-side handlers; an error in the kernel",
        )
    },
    number("__own_uid", "user id that rtap runs under"),
    own(
        "__own_ppid",
        "process id of rtap's parent; 0 in kernel handlers",
    ),
    own("__own_pgrp", "rtap's process group; 0 in kernel handlers"),
    own("__own_sid", "rtap's session; 0 in kernel handlers"),
    Builtin {
        cap: |_, _| 63,
        params: &[],
        late: None,
        place: Place::User,
        ..text("__module_name", ARGS, "name of this run of the script")
    },
    Builtin {
        cap: |_, max| max.min(127),
        ..text(
            "__symname",
            ARGS,
            "name of the kernel function that holds an address",
        )
    },
    Builtin {
        cap: |_, max| max.min(191),
        ..text(
            "__symdata",
            ARGS,
            "`name+0xoffset/0xsize [module]` of a kernel address",
        )
    },
    Builtin {
        cap: |_, max| max.min(63),
        ..text(
            "__modname",
            ARGS,
            "kernel module that holds an address, `kernel`, or `<unknown>`",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__usymname",
            ARGS,
            "(address, process id): name of the function in that process",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__usymdata",
            ARGS,
            "(address, process id): `name+0xoffset/0xsize [file]`",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__source_file",
            ARGS,
            "(address, process id or 0 for the kernel): source file of the code there",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, _| 20,
        ..text(
            "__source_line",
            ARGS,
            "(address, process id or 0 for the kernel): its line",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__source_file_line",
            ARGS,
            "(address, process id or 0 for the kernel): `file:line`",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__umodname",
            ARGS,
            "(address, process id): file that is mapped there",
        )
    },
    Builtin {
        cap: |_, _| 31,
        ..text(
            "__errno_str",
            Late {
                empty: true,
                ..EXACT
            },
            "name of an errno (positive): `ENOENT`",
        )
    },
    Builtin {
        cap: |_, _| 31,
        ..text(
            "__syscall_name",
            Late {
                empty: true,
                ..EXACT
            },
            "name of a system call's number",
        )
    },
    Builtin {
        cap: |_, _| 15,
        ..text(
            "__ip_ntop",
            EXACT,
            "dotted form of an IPv4 address in network byte order",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, _| 45,
        ..text(
            "__ip6_ntop",
            EXACT,
            "(first, second eight bytes in memory order): form of an IPv6 address",
        )
    },
    Builtin {
        cap: |_, _| 15,
        ..text(
            "__pid2execname",
            Late {
                empty: true,
                ..ARGS
            },
            "name of the process with that id; \"\" if there is none",
        )
    },
    Builtin {
        params: &[Long, Long],
        pure: false,
        ..number(
            "__descendant",
            "id of descendant number n of a process, 0 if there are fewer; number 0 looks anew",
        )
    },
    Builtin {
        params: &[Str, Str],
        pure: false,
        ..number(
            "__symbol_address",
            "address of the kernel's symbol of that name, in that module or, for \"\", in vmlinux",
        )
    },
    Builtin {
        params: &[Str],
        late: None,
        place: Place::User,
        pure: false,
        ..text("__env_var", ARGS, "a variable of rtap's own environment")
    },
];

/// In the kernel only the current task's stack can be had.
fn task_stack(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    const MESSAGE: &[u8] = b"the stack of another task: bpf_get_task_stack() takes no address of a task, read it in a timer or end probe";
    if l.exec() == Some(Exec::User) {
        return user(l, call);
    }
    let site = l.site(ErrorKind::Script, call.span);
    let message = l.const_text(MESSAGE, MESSAGE.len() as u32, call.span);
    l.effect(Op::ErrSet(message), call.span);
    l.raise_site(site, call.span);
    Ok(Some(l.const_text(b"", call.cap.0, call.span)))
}

/// Bytes of an argument in a late record; `cap` is 0 for numbers.
fn argument_bytes(cap: u32) -> u32 {
    match cap {
        0 => 8,
        cap => width_bytes(Ty::str(cap)),
    }
}

fn user(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let name = call.builtin.name.trim_start_matches('_');
    let function = UserFn(name.to_owned());
    let args = call.args.to_vec();
    if call.cap.1 {
        let format = l.format(Format {
            pieces: vec![Piece::Call(function, args.len() as u8)],
            channel: Channel::Out,
        });
        let ty = Ty::Str {
            cap: call.cap.0,
            late: true,
        };
        return Ok(l.emit(Op::StrLate(format, args), Some(ty), call.span));
    }
    if l.exec() == Some(Exec::Kernel) {
        if let Some(characters) = characters::in_kernel(l, name, call) {
            return characters.map(Some);
        }
        return l.no_characters(call.span, &format!("the text of `{name}`"));
    }
    let ty = match call.builtin.ret {
        Str => Ty::str(call.cap.0),
        _ => Ty::I64,
    };
    let args = args
        .into_iter()
        .map(|arg| l.rendered(arg, call.span))
        .collect::<Lowered<Vec<Value>>>()?;
    let site = l.site(ErrorKind::UserFn, call.span);
    Ok(l.emit(Op::User(function, args, site), Some(ty), call.span))
}
