//! Small facts: release, architecture, processors, the kernel's build-id.

use std::fs;

use rtap_compiler::target::{Arch, BuildId, CpuCount, KernelRelease};

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

/// What identifies the build of the running kernel or of a loaded module, `None` if it has nothing that does.
pub(super) fn build_id(module: Option<&str>) -> Option<BuildId> {
    let path = match module {
        None => "/sys/kernel/notes".to_owned(),
        Some(module) => format!("/sys/module/{module}/notes/.note.gnu.build-id"),
    };
    BuildId::among_notes(&fs::read(path).ok()?)
}

/// A hash of the kernel's build-id, 0 when it has none.
pub(super) fn kernel_id() -> u64 {
    let id = build_id(None).map(|BuildId(bytes)| bytes);
    id.map_or(0, |bytes| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    })
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
