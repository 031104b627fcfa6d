//! What we may do: capabilities, not user ids.

use std::fs;

/// Capabilities that matter here, with the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// Reading any file.
    DacReadSearch = 2,
    /// Signals, other processes' memory.
    SysPtrace = 19,
    /// Mounting; everything before Linux 5.8.
    SysAdmin = 21,
    /// Raising limits.
    SysResource = 24,
    /// Addresses in kallsyms.
    Syslog = 34,
    /// Perf events, tracing programs.
    Perfmon = 38,
    /// Loading programs, creating maps.
    Bpf = 39,
}

/// The effective capabilities of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u64);

impl Rights {
    /// Reads `/proc/self/status`; everything when that is not readable, so that the
    /// kernel has the last word.
    pub fn of_self() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self(effective.unwrap_or(u64::MAX))
    }

    /// Whether a capability is there.
    pub fn has(self, capability: Capability) -> bool {
        self.0 >> capability as u32 & 1 != 0
    }

    /// What is missing for loading and attaching tracing programs: empty when nothing is.
    pub fn missing_for_tracing(self) -> Vec<&'static str> {
        if self.has(Capability::SysAdmin) {
            return Vec::new();
        }
        [
            (Capability::Bpf, "CAP_BPF"),
            (Capability::Perfmon, "CAP_PERFMON"),
        ]
        .into_iter()
        .filter(|&(capability, _)| !self.has(capability))
        .map(|(_, name)| name)
        .collect()
    }
}

/// Allows as much locked memory as can be had: kernels before 5.11 charge maps to it.
/// A refusal is not fatal.
pub fn raise_memlock_limit() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a valid structure.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } != 0 {
        let mut current = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `current` is a valid place to write to.
        unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut current) };
        current.rlim_cur = current.rlim_max;
        // SAFETY: `current` is a valid structure.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const current) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing() {
        assert_eq!(Rights(0).missing_for_tracing(), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(Rights(1 << 39).missing_for_tracing(), ["CAP_PERFMON"]);
        assert!(Rights(1 << 21).missing_for_tracing().is_empty());
        assert!(Rights(1 << 38 | 1 << 39).missing_for_tracing().is_empty());
    }
}
