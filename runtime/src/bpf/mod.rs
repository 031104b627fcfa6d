//! The kernel's `bpf()` and `perf_event_open()`: maps, programs, links, BTF, events.
//!
//! Why not through aya: its loader reads the whole of the kernel's BTF (15-30 ms and
//! 20 MiB here) where our own index answers in one, its maps want key and value types at
//! compile time where a script's are known at run time, and it lacks links for many
//! probes at once. It can load our images all the same (`tests/tests/aya.rs`).
//!
//! Every object here owns its file descriptor: dropped is closed, closed is gone.

pub mod grace;
pub mod kernel_memory;
pub mod link;
pub mod map;
mod map_log;
pub mod mapping;
pub mod perf;
pub mod prog;
pub mod ring;
mod sys;

pub use grace::Grace;
pub use link::Link;
pub use map::{Entries, Map, MapSpec, MapType};
pub use map_log::{MapEvent, MapLog};
pub use mapping::Mapping;
pub use prog::{AttachType, Btf, Insn, ProgInfo, ProgSpec, ProgType, Program, enable_stats};
pub use ring::RingReader;
