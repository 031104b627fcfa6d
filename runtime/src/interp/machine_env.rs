//! Numbers of the machine and of rtap's own process, for user-side handlers.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::{fs, mem, process};

use rtap_compiler::lir::Env;
use rtap_compiler::target::{Kconfig, Target};

use crate::host::LiveTarget;
use crate::values::Text;

/// CONFIG_HZ where it cannot be found.
const USUAL_HZ: u64 = 250;

/// A number of the machine. The session's own (`Env::Point`, `Env::TargetPid`) are 0.
pub(super) fn number(env: Env) -> i64 {
    match env {
        Env::PidTgid => {
            let tgid = u64::from(process::id());
            // SAFETY: gettid has no conditions.
            let tid = unsafe { libc::gettid() } as u32;
            (tgid << 32 | u64::from(tid)) as i64
        }
        Env::UidGid => {
            // SAFETY: these have no conditions and cannot fail.
            let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
            (u64::from(gid) << 32 | u64::from(uid)) as i64
        }
        Env::Cpu => {
            // SAFETY: sched_getcpu has no conditions.
            i64::from(unsafe { libc::sched_getcpu() }).max(0)
        }
        Env::KtimeNs => clock_ns(libc::CLOCK_MONOTONIC),
        Env::BootNs => clock_ns(libc::CLOCK_BOOTTIME),
        Env::RealNs => clock_ns(libc::CLOCK_REALTIME),
        Env::Jiffies => jiffies(),
        Env::CgroupId => cgroup_id(),
        Env::Random => {
            let mut bytes = [0; 4];
            // SAFETY: the buffer is as long as said. On failure zeros remain.
            unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            i64::from(u32::from_le_bytes(bytes))
        }
        Env::CurrentTask | Env::Point | Env::TargetPid => 0,
    }
}

/// rtap's own name, as the kernel has it.
pub(super) fn comm() -> Text {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    Text::new(&name)
}

/// Reads rtap's own memory, all of it or nothing; the kernel checks the address.
pub(super) fn read_own_memory(address: u64, bytes: &mut [u8]) -> bool {
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address as usize as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: the local vector is `bytes`; bad remote addresses are an error, not a fault.
    let read = unsafe {
        libc::process_vm_readv(
            process::id() as i32,
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(read) == Ok(bytes.len())
}

/// A clock, nanoseconds.
pub(super) fn clock_ns(clock: libc::clockid_t) -> i64 {
    // SAFETY: all-zero is a valid timespec.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: a valid timespec to write to.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// What bpf_jiffies64 gives: ticks since boot, counted from five minutes before the low 32
/// bits wrap (INITIAL_JIFFIES in include/linux/jiffies.h).
fn jiffies() -> i64 {
    static HZ: OnceLock<u64> = OnceLock::new();
    let hz = *HZ.get_or_init(|| match LiveTarget::new().kconfig("CONFIG_HZ") {
        Kconfig::Number(hz) => u64::try_from(hz).unwrap_or(USUAL_HZ).max(1),
        _ => USUAL_HZ,
    });
    let start = u64::from((300 * hz as u32).wrapping_neg());
    let ticks = u128::from(clock_ns(libc::CLOCK_MONOTONIC) as u64) * u128::from(hz) / 1_000_000_000;
    start.wrapping_add(ticks as u64) as i64
}

/// The inode of the cgroup that rtap runs in (version 2); 0 if there is none.
fn cgroup_id() -> i64 {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return 0;
    };
    let id = fs::metadata(format!("/sys/fs/cgroup{path}")).map(|m| m.ino());
    id.unwrap_or(0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_numbers() {
        assert_eq!(number(Env::PidTgid) >> 32, i64::from(process::id()));
        assert!(number(Env::RealNs) > 1_600_000_000_000_000_000);
        assert!(number(Env::KtimeNs) <= number(Env::BootNs));
        assert_ne!(comm().len(), 0);
    }

    #[test]
    fn own_memory() {
        let text = *b"some bytes";
        let mut copy = [0; 10];
        assert!(read_own_memory(text.as_ptr() as u64, &mut copy));
        assert_eq!(copy, text);
        assert!(!read_own_memory(8, &mut copy));
        assert!(!read_own_memory(u64::MAX, &mut copy));
    }
}
