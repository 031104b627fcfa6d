//! What we may do: capabilities, not user ids.

use std::fs;

use super::machine::uname;

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

impl Capability {
    /// What capabilities(7) calls it.
    pub fn name(self) -> &'static str {
        match self {
            Capability::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::SysResource => "CAP_SYS_RESOURCE",
            Capability::Syslog => "CAP_SYSLOG",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        }
    }
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
        self.missing(&[Capability::Bpf, Capability::Perfmon])
    }

    /// Which of these are missing. CAP_SYS_ADMIN does for those that were split off it.
    pub fn missing(self, needed: &[Capability]) -> Vec<&'static str> {
        let is_part = |needed| matches!(needed, Capability::Bpf | Capability::Perfmon);
        let missing = needed.iter().filter(|&&needed| {
            let by_admin = is_part(needed) && self.has(Capability::SysAdmin);
            !self.has(needed) && !by_admin
        });
        missing.map(|needed| needed.name()).collect()
    }
}

/// What opening any perf event takes. Debian's kernels, and those of others, know a level of
/// `kernel.perf_event_paranoid` that takes more than CAP_PERFMON.
pub fn needed_for_perf_events() -> &'static [Capability] {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if level.trim().parse::<i32>().is_ok_and(|level| level > 2) {
        &[Capability::SysAdmin]
    } else {
        &[Capability::Perfmon]
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

/// Whether the kernel charges maps and programs to the limit of locked memory (before Linux 5.11), and there is one.
pub fn is_locked_memory_limited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place to write to.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    let (release, _) = uname();
    limit.rlim_cur != libc::RLIM_INFINITY && release.minor() < (5, 11)
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
