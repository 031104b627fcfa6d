//! What leaves the handler other than by printing: messages, commands, the end.

use super::{Builtin, Call};
use crate::hir::Ty::{Str, Void};
use crate::lir::{Channel, Conv, ConvKind, ErrorKind, Format, Op, Piece, Value};
use crate::lower::{Lower, Lowered};

/// A row that sends its argument to a channel.
macro_rules! channel {
    ($name:literal, $channel:ident, $doc:literal) => {
        Builtin {
            name: $name,
            params: &[Str],
            ret: Void,
            late_args: true,
            pure: false,
            lower: |l, c| send(l, c, Channel::$channel),
            doc: $doc,
            ..Builtin::BASE
        }
    };
}

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        name: "exit",
        ret: Void,
        pure: false,
        lower: |l, c| {
            l.effect(Op::RequestExit, c.span);
            Ok(None)
        },
        doc: "ends the session; the handler itself goes on to its end",
        ..Builtin::BASE
    },
    Builtin {
        name: "error",
        params: &[Str],
        ret: Void,
        pure: false,
        lower: error,
        doc: "raises a run-time error with this message",
        ..Builtin::BASE
    },
    channel!("warn", Warn, "prints a warning to standard error"),
    channel!("log", Log, "prints a line"),
    channel!("__printk", Printk, "writes to the kernel's log (guru mode)"),
    channel!(
        "system",
        System,
        "runs a shell command, when the session gets to it"
    ),
];

fn send(l: &mut Lower<'_>, call: &Call<'_>, channel: Channel) -> Lowered<Option<Value>> {
    let format = l.format(Format {
        pieces: vec![Piece::Conv(Conv::plain(ConvKind::Str))],
        channel,
    });
    l.effect(Op::Emit(format, call.args.to_vec()), call.span);
    Ok(None)
}

fn error(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    let site = l.site(ErrorKind::Script, call.span);
    l.effect(Op::ErrSet(call.args[0]), call.span);
    l.raise_site(site, call.span);
    Ok(None)
}
