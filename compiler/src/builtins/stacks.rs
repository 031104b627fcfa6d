//! Call stacks. A kernel handler takes the return addresses; user space makes the text of them, with
//! symbols (`stack` and `ustack` in `runtime/src/userfn/stacks.rs`).

use super::{Builtin, Call, Late, user};
use crate::hir::Ty::{Long, Str, Void};
use crate::lir::{
    Channel, Context, Exec, Format, Op, Piece, Place, STACK_FRAMES, Space, Ty, UserFn, Value,
};
use crate::lower::{Lower, Lowered};

/// Numbers before the addresses: style, how many frames, process id (0 for the kernel's stack).
const NUMBERS: u32 = 3;

/// Styles that are printed at once (`Style` in `runtime/src/userfn/stacks.rs`).
const PRINTED: i64 = 2;
const BRIEF: i64 = 3;
const LINES: i64 = 5;

const STACK: Builtin = Builtin {
    params: &[Long, Long],
    ret: Str,
    place: Place::Kernel,
    late: Some(Late {
        bytes: |_, _| (NUMBERS + STACK_FRAMES) * 8,
        key: false,
        empty: true,
    }),
    ..Builtin::BASE
};

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        name: "__stack_text",
        lower: |l, c| {
            let kernel = l.const_int(0, c.span);
            stack(l, c, Space::Kernel, kernel)
        },
        doc: "(style, frames): the kernel's call stack as text; only to be printed, stored or a key",
        ..STACK
    },
    Builtin {
        name: "__frame",
        params: &[Long],
        registers: true,
        place: Place::Kernel,
        lower: |l, c| frame(l, c, Space::Kernel),
        doc: "(frames up): an address of the kernel's call stack, 0 if there is none; where registers can be read",
        ..Builtin::BASE
    },
    Builtin {
        name: "__uframe",
        params: &[Long],
        place: Place::Kernel,
        lower: |l, c| frame(l, c, Space::User),
        doc: "(frames up): an address of the process's call stack, 0 if there is none",
        ..Builtin::BASE
    },
    Builtin {
        params: &[Long, Long, Str],
        late_args: true,
        ..user::text(
            "__stack_of",
            user::ARGS,
            "(style, process id or 0 for the kernel, addresses in text): their symbols",
        )
    },
    Builtin {
        name: "__print_stack_of",
        params: &[Long, Long, Str],
        ret: Void,
        late_args: true,
        pure: false,
        lower: print_stack_of,
        doc: "likewise, printed: as long as it comes out",
        ..Builtin::BASE
    },
    Builtin {
        name: "__ustack_text",
        params: &[Long, Long, Long],
        lower: |l, c| stack(l, c, Space::User, c.args[2]),
        doc: "(style, frames, process id): the current process's call stack as text; likewise",
        ..STACK
    },
];

fn stack(l: &mut Lower<'_>, call: &Call<'_>, of: Space, process: Value) -> Lowered<Option<Value>> {
    let (cap, late) = call.cap;
    if l.exec() == Some(Exec::User) {
        return Ok(Some(no_stack(l, call, of)));
    }
    if !late {
        return l.no_characters(call.span, "the text of a call stack");
    }
    let function = match of {
        Space::Kernel => "stack",
        Space::User => "ustack",
    };
    let format = l.format(Format {
        pieces: vec![Piece::Call(
            UserFn(function.to_owned()),
            (NUMBERS + STACK_FRAMES) as u8,
        )],
        channel: Channel::Out,
    });
    let args = vec![call.args[0], call.args[1], process];
    let ty = Ty::Str { cap, late };
    Ok(l.emit(Op::StrStack(format, args, of), Some(ty), call.span))
}

fn frame(l: &mut Lower<'_>, call: &Call<'_>, of: Space) -> Lowered<Option<Value>> {
    if l.exec() == Some(Exec::User) {
        return Ok(Some(l.const_int(0, call.span)));
    }
    match l.context() {
        Some(Context::Regs | Context::PerfEvent) => {}
        Some(_) | None if of == Space::User => {}
        Some(Context::Fentry | Context::Fexit { .. }) => {
            return l.fault(
                call.span,
                "frames of the kernel's stack cannot be counted at a trampoline (fentry, fexit), which has no registers",
                "take the stack whole, by backtrace() or callers(n), or probe by kprobe: --kprobe-style kprobe",
            );
        }
        Some(_) | None => {
            return l.fault(
                call.span,
                "frames of the kernel's stack cannot be counted from a tracepoint",
                "take the stack whole, by backtrace() or callers(n), or probe a function",
            );
        }
    }
    Ok(Some(l.int(Op::CtxFrame(call.args[0], of), call.span)))
}

fn print_stack_of(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let format = l.format(Format {
        pieces: vec![Piece::Call(UserFn("stack_of".to_owned()), 3)],
        channel: Channel::Out,
    });
    l.effect(Op::Emit(format, call.args.to_vec()), call.span);
    Ok(None)
}

/// In handlers that rtap itself runs nobody's stack can be meant: no addresses, and those who print it are told.
fn no_stack(l: &mut Lower<'_>, call: &Call<'_>, of: Space) -> Value {
    let text: &[u8] = match of {
        _ if !matches!(l.as_const(call.args[0]), Some(PRINTED | BRIEF | LINES)) => b"",
        Space::Kernel => b"<no kernel backtrace: rtap itself runs this probe>\n",
        Space::User => b"<no user backtrace: rtap itself runs this probe>\n",
    };
    l.const_text(text, call.cap.0, call.span)
}
