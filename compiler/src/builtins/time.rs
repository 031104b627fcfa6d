//! Clocks.

use super::Builtin;
use crate::lir::{Env, Op};

/// A clock's row; a clock moves on, but a reading nobody looks at can be left out.
const fn clock(name: &'static str, doc: &'static str) -> Builtin {
    Builtin {
        name,
        doc,
        ..Builtin::BASE
    }
}

pub(super) const ROWS: &[Builtin] = &[
    Builtin {
        lower: |l, c| Ok(Some(l.int(Op::Env(Env::KtimeNs), c.span))),
        ..clock("__ktime_ns", "CLOCK_MONOTONIC, nanoseconds")
    },
    Builtin {
        lower: |l, c| Ok(Some(l.int(Op::Env(Env::BootNs), c.span))),
        ..clock("__boot_ns", "CLOCK_BOOTTIME, nanoseconds (kernel 5.8)")
    },
    Builtin {
        lower: |l, c| Ok(Some(l.int(Op::Env(Env::RealNs), c.span))),
        ..clock("__real_ns", "CLOCK_REALTIME, nanoseconds since the epoch")
    },
    Builtin {
        lower: |l, c| Ok(Some(l.int(Op::Env(Env::Jiffies), c.span))),
        ..clock("__jiffies", "the kernel's tick counter")
    },
];
