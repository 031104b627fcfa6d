//! Inference over HIR: first types, then string widths and which strings are late.
//!
//! In: what `resolve` made, with `Ty::Unknown` where nothing was written. Out: the same
//! tree with every type and width filled in.

mod types;
mod widths;

pub use types::infer_types;
pub use widths::infer_widths;
