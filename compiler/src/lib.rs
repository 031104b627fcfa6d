//! Syntax tree to eBPF image. Pure: no files, no clock, no environment, no aya.
//!
//! The folders are the pipeline, in this order: `target`, `btf` and `dwarf` (what may be known of
//! the machine), `probes` (probe kinds), `resolve`, `infer` (tree to typed `hir`), `lower`,
//! `passes` (`lir`), `bpf` (code generation), `image` (what the runtime is handed).

pub mod access;
pub mod bpf;
pub mod btf;
pub mod builtins;
pub mod dwarf;
pub mod glob;
pub mod hir;
pub mod image;
pub mod infer;
pub mod lir;
pub mod lower;
pub mod passes;
pub mod pipeline;
pub mod probes;
pub mod resolve;
pub mod session;
pub mod target;
