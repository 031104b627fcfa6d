//! The LIR interpreter: the executor of user-side handlers.
//!
//! A [`Program`] is a module made ready, a [`Machine`] runs its handlers on a [`Store`]
//! of globals, inside a [`Context`]. Handlers of the kernel run too, given a context that
//! supplies what they ask for: tests compare both executors that way.
//!
//! Errors, values and their widths are as `rtap_compiler::lir` specifies them. Loops but `foreach`
//! are limited by [`Machine::loop_limit`].

mod bpf_store;
mod context;
mod display;
mod eval;
mod kernel_ops;
mod machine;
mod machine_env;
mod mem;
mod program;
mod regex;
mod sort;
mod store;
mod strings;
mod text_keys;
mod user_side;

#[cfg(test)]
mod tests;

pub use bpf_store::{BpfSnapshot, BpfStore, NoMap};
pub use context::Context;
pub use machine::{Machine, Stop};
pub use mem::MemStore;
pub use program::{Program, ProgramError};
pub use store::{Snapshot, Store, StoreError};
pub use text_keys::TextKeys;
pub use user_side::UserSide;

use rtap_compiler::lir::{ElementKind, GlobalKind, StatLayout};

/// What a global's statistics keep, if it holds such.
pub(crate) fn stat_layout(kind: &GlobalKind) -> Option<&StatLayout> {
    match kind {
        GlobalKind::Stat(layout)
        | GlobalKind::Array {
            value: ElementKind::Stat(layout),
            ..
        } => Some(layout),
        GlobalKind::Scalar { .. } | GlobalKind::Array { .. } => None,
    }
}
