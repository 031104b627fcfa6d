//! What the target kernel can do, as far as code generation is concerned.

/// Features of the target kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Atomic operations that give the old value (5.12).
    pub atomic_fetch: bool,
    /// `bpf_map_lookup_percpu_elem` (5.19).
    pub percpu_lookup: bool,
    /// The kernel never runs a raw tracepoint or trampoline program inside itself on one CPU
    /// (6.2 and later).
    pub recursion_guard: bool,
    /// `bpf_get_attach_cookie` for kprobes, uprobes and perf events (5.15).
    pub attach_cookie: bool,
    /// Size of the ring buffer, bytes: a power of two of at least a page.
    pub events_bytes: u32,
}

impl Default for Features {
    /// Kernel 5.10.
    fn default() -> Self {
        Features {
            atomic_fetch: false,
            percpu_lookup: false,
            recursion_guard: false,
            attach_cookie: false,
            events_bytes: 4 << 20,
        }
    }
}
