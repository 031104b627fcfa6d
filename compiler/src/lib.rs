//! Syntax tree to eBPF image. Pure: no files, no clock, no environment, no aya.
//!
//! The folders are the pipeline: `hir` (typed tree), `lir` (typed low-level IR), `bpf`
//! (code generation), `image` (what the runtime is handed).

pub mod image;
pub mod lir;
