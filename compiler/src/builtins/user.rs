//! Functions of user space (`runtime/src/userfn` has them under the names here, without the
//! `__`). Where only printed or stored, a kernel handler carries the arguments and user
//! space makes the string later; the characters themselves exist in user-side handlers, and for
//! a few in kernel handlers too (`in_kernel`).

use bstr::BString;

use super::{Builtin, Call, Late, errno};
use crate::hir::Ty::{Long, Str};
use crate::image::width_bytes;
use crate::lir::{
    BinOp, Channel, CmpOp, Conv, ConvKind, ErrorKind, Exec, Format, Op, Piece, Place, Ty, UserFn,
    Value,
};
use crate::lower::{Lower, Lowered};

/// A function of numbers that makes a string.
const fn text(name: &'static str, key: bool, doc: &'static str) -> Builtin {
    Builtin {
        name,
        params: &[Long],
        ret: Str,
        place: Place::Both,
        late: Some(Late {
            bytes: |args, _| args.iter().map(|cap| argument_bytes(*cap)).sum(),
            key,
        }),
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

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        cap: |_, _| 24,
        ..text(
            "__ctime",
            true,
            "UTC date and time of seconds since the epoch: `Wed Jun 30 21:49:08 1993`",
        )
    },
    Builtin {
        cap: |_, _| 40,
        ..text(
            "__tz_ctime",
            true,
            "the same in the local time zone, with its name",
        )
    },
    Builtin {
        cap: |_, _| 15,
        params: &[],
        ..text("__tz_name", true, "name of the local time zone")
    },
    number("__tz_gmtoff", "seconds west of UTC, as localtime says now"),
    number("__own_uid", "user id that rtap runs under"),
    Builtin {
        cap: |_, _| 63,
        params: &[],
        late: None,
        place: Place::User,
        ..text("__module_name", false, "name of this run of the script")
    },
    Builtin {
        cap: |_, max| max.min(127),
        ..text(
            "__symname",
            false,
            "name of the kernel function that holds an address",
        )
    },
    Builtin {
        cap: |_, max| max.min(191),
        ..text(
            "__symdata",
            false,
            "`name+0xoffset/0xsize [module]` of a kernel address",
        )
    },
    Builtin {
        cap: |_, max| max.min(63),
        ..text(
            "__modname",
            false,
            "kernel module that holds an address, `kernel`, or `<unknown>`",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__usymname",
            false,
            "(address, process id): name of the function in that process",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__usymdata",
            false,
            "(address, process id): `name+0xoffset/0xsize [file]`",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, max| max.min(255),
        ..text(
            "__umodname",
            false,
            "(address, process id): file that is mapped there",
        )
    },
    Builtin {
        cap: |_, _| 31,
        ..text("__errno_str", true, "name of an errno (positive): `ENOENT`")
    },
    Builtin {
        cap: |_, _| 31,
        ..text("__syscall_name", true, "name of a system call's number")
    },
    Builtin {
        cap: |_, _| 15,
        ..text(
            "__ip_ntop",
            true,
            "dotted form of an IPv4 address in network byte order",
        )
    },
    Builtin {
        params: &[Long, Long],
        cap: |_, _| 45,
        ..text(
            "__ip6_ntop",
            true,
            "(first, second eight bytes in memory order): form of an IPv6 address",
        )
    },
    Builtin {
        cap: |_, _| 15,
        ..text(
            "__pid2execname",
            false,
            "name of the process with that id; \"\" if there is none",
        )
    },
    Builtin {
        params: &[Str],
        late: None,
        place: Place::User,
        pure: false,
        ..text("__env_var", false, "a variable of rtap's own environment")
    },
];

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
        if let Some(characters) = in_kernel(l, name, call) {
            return characters.map(Some);
        }
        return l.fault(
            call.span,
            format!(
                "`{name}` is made in user space: a kernel probe can print its result, not compare it or take it apart"
            ),
        );
    }
    let ty = match call.builtin.ret {
        Str => Ty::str(call.cap.0),
        _ => Ty::I64,
    };
    let site = l.site(ErrorKind::UserFn, call.span);
    Ok(l.emit(Op::User(function, args, site), Some(ty), call.span))
}

/// The characters in a kernel handler, for those functions whose results are few or simple.
fn in_kernel(l: &mut Lower<'_>, name: &str, call: &Call<'_>) -> Option<Lowered<Value>> {
    let (n, span) = (*call.args.first()?, call.span);
    let cap = call.cap.0;
    Some(match name {
        "errno_str" => errno_str(l, n, call),
        "syscall_name" => {
            let mut texts = Vec::new();
            for call in l.arch().syscall_table().iter() {
                let at = call.number as usize;
                // A few numbers far away belong to other ABIs.
                if at < 1024 {
                    texts.resize(texts.len().max(at + 1), BString::default());
                    texts[at] = BString::from(call.name.as_str());
                }
            }
            Ok(l.look_up(texts, n, cap, span))
        }
        "ip_ntop" => {
            let mut bytes = Vec::new();
            for shift in [0, 8, 16, 24] {
                let shift = l.const_int(shift, span);
                let value = l.int(Op::Bin(BinOp::Shr, n, shift), span);
                let byte = Op::Extend {
                    value,
                    bits: 8,
                    signed: false,
                };
                bytes.push(l.int(byte, span));
            }
            Ok(formatted(l, &[b"", b".", b".", b"."], bytes, call))
        }
        _ => return None,
    })
}

/// The name of an error number: out of one table for the public ones and those that the kernel
/// keeps to itself, or the number.
fn errno_str(l: &mut Lower<'_>, n: Value, call: &Call<'_>) -> Lowered<Value> {
    let (ty, span) = (Ty::str(call.cap.0), call.span);
    let names = errno::ERRNO.iter().chain(&errno::INTERNAL);
    let texts: Vec<BString> = names.map(|name| BString::from(*name)).collect();
    let public = errno::ERRNO.len() as i64;
    // Where the kernel's own begin, after the number is brought down to the end of the public ones.
    let shift = l.const_int(public - errno::FIRST_INTERNAL, span);
    let end = l.const_int(public, span);
    let is_public = l.compare(CmpOp::Ult, n, end, span);
    let at = l.select(is_public, &[0], Ty::I64, span, |l, i| {
        if i != 0 {
            return Ok(n);
        }
        let at = l.int(Op::Bin(BinOp::Add, n, shift), span);
        // Numbers in between would come out as public ones again.
        let is_internal = l.compare(CmpOp::Ge, at, end, span);
        l.select(is_internal, &[0], Ty::I64, span, |l, i| {
            Ok(if i == 0 { l.const_int(-1, span) } else { at })
        })
    })?;
    let name = l.look_up(texts, at, call.cap.0, span);
    let first = l.const_int(0, span);
    let first = l.int(Op::StrByte(name, first), span);
    // No name: "" for 0, else the number.
    l.select(first, &[0], ty, span, |l, i| {
        if i != 0 {
            return Ok(name);
        }
        l.select(n, &[0], ty, span, |l, i| {
            Ok(if i == 0 {
                name
            } else {
                formatted(l, &[b"E#"], vec![n], call)
            })
        })
    })
}

/// Numbers, each with a text before it.
fn formatted(l: &mut Lower<'_>, texts: &[&[u8]], numbers: Vec<Value>, call: &Call<'_>) -> Value {
    let mut pieces = Vec::new();
    for text in texts {
        if !text.is_empty() {
            pieces.push(Piece::Text(BString::from(*text)));
        }
        pieces.push(Piece::Conv(Conv::plain(ConvKind::Decimal)));
    }
    let format = l.format(Format {
        pieces,
        channel: Channel::Out,
    });
    l.text(Op::StrFormat(format, numbers), call.cap.0, call.span)
}
