//! Who runs, and where: the current task, the CPU, the target.

use super::{Builtin, Call};
use crate::hir::Ty::{Long, Str};
use crate::lir::{Context, Env, ErrorKind, Op, Place, Value};
use crate::lower::{Lower, Lowered};

fn env(l: &mut Lower<'_>, call: &Call<'_>, env: Env) -> Lowered<Option<Value>> {
    Ok(Some(l.int(Op::Env(env), call.span)))
}

fn perf_count(l: &mut Lower<'_>, call: &Call<'_>) -> Lowered<Option<Value>> {
    if matches!(l.context(), Some(Context::None) | None) {
        return l.fault(
            call.span,
            "rtap itself runs this handler: the count of a thread is read in probes that fire in the thread",
            "keep it in a global in such a probe, as `kernel.trace(\"sched_switch\")`",
        );
    }
    let site = l.site(ErrorKind::NoCount, call.span);
    Ok(Some(l.int(Op::PerfCount(call.args[0], site), call.span)))
}

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        name: "__perf_count",
        params: &[Long],
        place: Place::Kernel,
        pure: false,
        lower: perf_count,
        doc: "what a counter has counted on this CPU",
        ..Builtin::BASE
    },
    Builtin {
        name: "__pid_tgid",
        lower: |l, c| env(l, c, Env::PidTgid),
        doc: "process id << 32 | thread id of the current task",
        ..Builtin::BASE
    },
    Builtin {
        name: "__uid_gid",
        lower: |l, c| env(l, c, Env::UidGid),
        doc: "real gid << 32 | real uid of the current task",
        ..Builtin::BASE
    },
    Builtin {
        name: "__comm",
        ret: Str,
        cap: |_, _| 15,
        lower: |l, c| Ok(Some(l.text(Op::Comm, c.cap.0, c.span))),
        doc: "name of the current task, at most 15 bytes",
        ..Builtin::BASE
    },
    Builtin {
        name: "__cpu",
        lower: |l, c| env(l, c, Env::Cpu),
        doc: "number of the CPU",
        ..Builtin::BASE
    },
    Builtin {
        name: "__current_task",
        lower: |l, c| env(l, c, Env::CurrentTask),
        doc: "address of the current task's task_struct; of rtap itself in handlers that it runs",
        ..Builtin::BASE
    },
    Builtin {
        name: "__cgroup_id",
        lower: |l, c| env(l, c, Env::CgroupId),
        doc: "id of the current task's cgroup (v2)",
        ..Builtin::BASE
    },
    Builtin {
        name: "__random",
        lower: |l, c| env(l, c, Env::Random),
        doc: "32 random bits",
        ..Builtin::BASE
    },
    Builtin {
        name: "__target",
        lower: |l, c| env(l, c, Env::TargetPid),
        doc: "process id given by -x, or that of -c's command; 0 without either",
        ..Builtin::BASE
    },
    Builtin {
        name: "__sext",
        params: &[Long, Long],
        lower: |l, c| extend(l, c, true),
        doc: "the low n (a constant of 1-64) bits of the value, sign-extended",
        ..Builtin::BASE
    },
    Builtin {
        name: "__zext",
        params: &[Long, Long],
        lower: |l, c| extend(l, c, false),
        doc: "the low n (a constant of 1-64) bits of the value, zero-extended",
        ..Builtin::BASE
    },
];

fn extend(l: &mut Lower<'_>, call: &Call<'_>, signed: bool) -> Lowered<Option<Value>> {
    let value = call.args[0];
    match l.as_const(call.args[1]) {
        Some(64) => Ok(Some(value)),
        Some(bits @ 1..=63) => {
            let op = Op::Extend {
                value,
                bits: bits as u8,
                signed,
            };
            Ok(Some(l.int(op, call.span)))
        }
        _ => l.fault(
            call.span,
            "the number of bits must be a constant of 1 to 64",
            "write the number itself",
        ),
    }
}
