//! Small facts: release, architecture, processors, the kernel's build-id.

use std::fs;

use rtap_compiler::target::{Arch, CpuCount, KernelRelease};

/// (release, machine) of `uname(2)`.
pub(super) fn uname() -> (KernelRelease, String) {
    // SAFETY: `utsname` is plain bytes, for which all zeroes are valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a valid place for the call to write to.
    unsafe { libc::uname(&raw mut name) };
    let text = |field: &[libc::c_char]| -> String {
        field
            .iter()
            .take_while(|&&c| c != 0)
            .map(|&c| char::from(c as u8))
            .collect()
    };
    (
        KernelRelease::parse(&text(&name.release)),
        text(&name.machine),
    )
}

/// The architecture of a `uname` machine name, that of this program when it is not known.
pub(super) fn arch(machine: &str) -> Arch {
    Arch::from_machine(machine).unwrap_or(Arch::X86_64)
}

/// The processors, from sysfs.
pub(super) fn cpus() -> CpuCount {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).ok()?;
        Some(cpu_list(&text))
    };
    let online = read("online").unwrap_or_default();
    let possible = read("possible").unwrap_or_default();
    let online = online.len().max(1) as u32;
    // Per-CPU maps have a value for each possible CPU, numbered without gaps by the kernel.
    CpuCount {
        online,
        possible: (possible.len() as u32).max(online),
    }
}

/// The numbers of the online processors.
pub fn online_cpus() -> Vec<u32> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let cpus = cpu_list(&text);
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// `0-3,5` → 0, 1, 2, 3, 5. Bad parts are left out.
fn cpu_list(text: &str) -> Vec<u32> {
    /// More than any kernel supports.
    const MAX_CPUS: u32 = 1 << 16;
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            (last < MAX_CPUS).then_some(first..=last)
        })
        .flatten()
        .collect()
}

/// A hash of the kernel's build-id, 0 when it has none.
pub(super) fn kernel_id() -> u64 {
    const GNU_BUILD_ID: u32 = 3;
    let notes = fs::read("/sys/kernel/notes").unwrap_or_default();
    let mut rest = notes.as_slice();
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    while let (Some(name), Some(desc), Some(kind)) = (word(rest, 0), word(rest, 4), word(rest, 8)) {
        let name_end = 12 + name as usize;
        let desc_start = name_end.next_multiple_of(4);
        let desc_end = desc_start + desc as usize;
        if kind == GNU_BUILD_ID && rest.get(12..name_end) == Some(b"GNU\0") {
            let id = rest.get(desc_start..desc_end).unwrap_or_default();
            return id.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        }
        rest = rest.get(desc_end.next_multiple_of(4)..).unwrap_or_default();
    }
    0
}

/// Names of the loaded modules, sorted.
pub(super) fn modules(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_cpu_lists() {
        assert_eq!(cpu_list("0-3,5\n"), [0, 1, 2, 3, 5]);
        assert_eq!(cpu_list("0\n"), [0]);
        assert_eq!(cpu_list(""), [0u32; 0]);
        assert_eq!(cpu_list("x,3-,7,0-4294967295"), [7]);
    }

    #[test]
    fn knows_this_machine() {
        let (release, machine) = uname();
        assert!(release.version.0 >= 5);
        assert_eq!(arch(&machine).name(), machine);
        assert!(cpus().possible >= cpus().online);
        assert_eq!(online_cpus().len() as u32, cpus().online);
    }
}
