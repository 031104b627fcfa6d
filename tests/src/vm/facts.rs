//! What a kernel can do, for the tests that require something of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bstr::ByteSlice;
use serde::{Deserialize, Serialize};

/// A kernel and its features.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// The features it has, of those in the table below.
    pub features: BTreeSet<String>,
    /// Seconds since the start of the boot, as the guest counts them.
    pub uptime_s: f64,
}

/// Features that show by a function in the kernel.
const BY_SYMBOL: [(&str, &str); 9] = [
    ("fentry", "register_ftrace_direct"),
    ("fprobe", "register_fprobe"),
    ("kprobe_multi", "bpf_kprobe_multi_link_attach"),
    ("kprobes", "register_kprobe"),
    ("lsm_programs", "bpf_lsm_file_open"),
    ("rdonly_cast", "bpf_rdonly_cast"),
    ("ringbuf", "bpf_ringbuf_reserve"),
    ("uprobe_multi", "bpf_uprobe_multi_link_attach"),
    ("uprobes", "uprobe_mmap"),
];

/// Features that show by a file.
const BY_FILE: [(&str, &str); 4] = [
    ("btf", "/sys/kernel/btf/vmlinux"),
    ("syscall_tracepoints", "/sys/kernel/tracing/events/syscalls"),
    ("tracefs", "/sys/kernel/tracing/events"),
    ("perf", "/proc/sys/kernel/perf_event_paranoid"),
];

/// Debug information of the kernel, where Debian's packages have it.
pub const DEBUG_INFO: &str = "debug_info";

/// The names of all features that a test can require.
pub fn known_features() -> Vec<&'static str> {
    let mut names: Vec<&str> = BY_SYMBOL
        .iter()
        .chain(&BY_FILE)
        .map(|(name, _)| *name)
        .collect();
    names.extend([DEBUG_INFO, "lsm", "root"]);
    names.sort_unstable();
    names
}

/// Looks at the running kernel.
pub fn here() -> Facts {
    let mut features = BTreeSet::new();
    let symbols = symbols();
    features.extend(
        BY_SYMBOL
            .iter()
            .filter(|(_, symbol)| symbols.contains(*symbol))
            .map(|(name, _)| (*name).to_owned()),
    );
    features.extend(
        BY_FILE
            .iter()
            .filter(|(_, path)| Path::new(path).exists())
            .map(|(name, _)| (*name).to_owned()),
    );
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if modules.trim().split(',').any(|module| module == "bpf") {
        features.insert("lsm".to_owned());
    }
    // Compiled in, but closed: nothing can be attached by ftrace then.
    if fs::File::open("/sys/kernel/tracing/available_filter_functions").is_err() {
        for feature in ["fentry", "fprobe"] {
            features.remove(feature);
        }
    }
    // The attach function is there without fprobe too, but only refuses.
    if !features.contains("fprobe") {
        features.remove("kprobe_multi");
    }
    if rustix::process::geteuid().is_root() {
        features.insert("root".to_owned());
    }
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
    if Path::new(&format!("/usr/lib/debug/boot/vmlinux-{release}")).exists() {
        features.insert(DEBUG_INFO.to_owned());
    }
    Facts {
        release,
        features,
        uptime_s: read("/proc/uptime")
            .split(' ')
            .next()
            .and_then(|s| s.parse().ok())
            .unwrap_or(0.0),
    }
}

/// Those of the wanted symbols that the kernel has.
fn symbols() -> BTreeSet<&'static str> {
    // Two hundred thousand lines, on an emulated machine: read at once, and only last words
    // of a likely length looked up.
    let text = fs::read("/proc/kallsyms").unwrap_or_default();
    let longest = BY_SYMBOL
        .iter()
        .map(|(_, symbol)| symbol.len())
        .max()
        .unwrap_or(0);
    text.lines()
        .filter_map(|line| {
            line.rsplit_once_str(b" ")
                .map(|(_, name)| name)
                .filter(|name| name.len() <= longest)
        })
        .filter_map(|name| {
            BY_SYMBOL
                .iter()
                .find(|(_, symbol)| symbol.as_bytes() == name)
                .map(|(_, symbol)| *symbol)
        })
        .collect()
}
