//! Memory that is traced: integers and strings at an address. All fail on a bad address.

use super::{Builtin, Call};
use crate::hir::Ty::{Long, Str};
use crate::lir::{ErrorKind, Op, Space, Value};
use crate::lower::{Lower, Lowered};

/// A row that reads an integer of `size` bytes.
macro_rules! read {
    ($name:literal, $space:ident, $size:literal, $signed:literal, $doc:literal) => {
        Builtin {
            name: $name,
            params: &[Long],
            pure: false,
            lower: |l, c| read(l, c, Space::$space, $size, $signed),
            doc: $doc,
            ..Builtin::BASE
        }
    };
}

/// A row that reads a string.
macro_rules! string {
    ($name:literal, $params:expr, $space:ident, $doc:literal) => {
        Builtin {
            name: $name,
            params: $params,
            ret: Str,
            bound: Some(1),
            pure: false,
            lower: |l, c| string(l, c, Space::$space),
            doc: $doc,
            ..Builtin::BASE
        }
    };
}

pub(super) const ROWS: &[Builtin] = &[
    read!(
        "__kernel_u8",
        Kernel,
        1,
        false,
        "unsigned byte of kernel memory"
    ),
    read!(
        "__kernel_s8",
        Kernel,
        1,
        true,
        "signed byte of kernel memory"
    ),
    read!(
        "__kernel_u16",
        Kernel,
        2,
        false,
        "two unsigned bytes of kernel memory"
    ),
    read!(
        "__kernel_s16",
        Kernel,
        2,
        true,
        "two signed bytes of kernel memory"
    ),
    read!(
        "__kernel_u32",
        Kernel,
        4,
        false,
        "four unsigned bytes of kernel memory"
    ),
    read!(
        "__kernel_s32",
        Kernel,
        4,
        true,
        "four signed bytes of kernel memory"
    ),
    read!(
        "__kernel_64",
        Kernel,
        8,
        false,
        "eight bytes of kernel memory"
    ),
    read!(
        "__user_u8",
        User,
        1,
        false,
        "unsigned byte of the current process"
    ),
    read!(
        "__user_s8",
        User,
        1,
        true,
        "signed byte of the current process"
    ),
    read!(
        "__user_u16",
        User,
        2,
        false,
        "two unsigned bytes of the current process"
    ),
    read!(
        "__user_s16",
        User,
        2,
        true,
        "two signed bytes of the current process"
    ),
    read!(
        "__user_u32",
        User,
        4,
        false,
        "four unsigned bytes of the current process"
    ),
    read!(
        "__user_s32",
        User,
        4,
        true,
        "four signed bytes of the current process"
    ),
    read!(
        "__user_64",
        User,
        8,
        false,
        "eight bytes of the current process"
    ),
    string!(
        "__kernel_string",
        &[Long],
        Kernel,
        "the string at an address of the kernel"
    ),
    string!(
        "__kernel_string_n",
        &[Long, Long],
        Kernel,
        "the same, at most n bytes of it"
    ),
    string!(
        "__user_string",
        &[Long],
        User,
        "the string at an address of the current process"
    ),
    string!(
        "__user_string_n",
        &[Long, Long],
        User,
        "the same, at most n bytes of it"
    ),
];

fn read(
    l: &mut Lower<'_>,
    call: &Call<'_>,
    space: Space,
    size: u8,
    signed: bool,
) -> Lowered<Option<Value>> {
    let site = l.site(ErrorKind::ReadFault(space), call.span);
    let op = Op::MemRead {
        addr: call.args[0],
        space,
        size,
        signed,
        site,
    };
    Ok(Some(l.int(op, call.span)))
}

fn string(l: &mut Lower<'_>, call: &Call<'_>, space: Space) -> Lowered<Option<Value>> {
    let site = l.site(ErrorKind::StringFault(space), call.span);
    let addr = call.args[0];
    let mut cap = call.cap.0;
    let op = match call.args.get(1) {
        None => Op::MemReadStr { addr, space, site },
        Some(&len) => {
            if let Some(n) = l.as_const(len) {
                cap = u32::try_from(n.max(0)).map_or(cap, |n| n.min(cap));
            }
            Op::MemReadStrN {
                addr,
                len,
                space,
                site,
            }
        }
    };
    Ok(Some(l.text(op, cap, call.span)))
}
