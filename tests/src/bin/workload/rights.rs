//! Becoming somebody who may do only some things.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Capabilities by name, with the kernel's numbers.
const CAPABILITIES: [(&str, u32); 8] = [
    ("bpf", 39),
    ("dac_read_search", 2),
    ("perfmon", 38),
    ("sys_admin", 21),
    ("sys_ptrace", 19),
    ("sys_resource", 24),
    ("syslog", 34),
    ("none", 64),
];

/// Runs a shell with a command that may not call bpf(2), as a container's seccomp filter has it. Returns only
/// if that fails.
pub fn without_bpf(command: &str) -> Result<(), String> {
    /// An instruction of classic BPF: code, jumps, operand.
    const fn insn(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        let code = code as u16;
        libc::sock_filter { code, jt, jf, k }
    }
    let load_number = insn(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let is_bpf = insn(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        0,
        1,
        libc::SYS_bpf as u32,
    );
    let answer = |answer| insn(libc::BPF_RET | libc::BPF_K, 0, 0, answer);
    let refuse = answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    let mut filter = [load_number, is_bpf, refuse, answer(libc::SECCOMP_RET_ALLOW)];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is valid and has as many instructions as it says.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if result != 0 {
        return Err(format!("without-bpf: {}", io::Error::last_os_error()));
    }
    Err(Command::new("/bin/sh")
        .args(["-c", command])
        .exec()
        .to_string())
}

const NOBODY: libc::id_t = 65534;
/// `_LINUX_CAPABILITY_VERSION_3`
const VERSION_3: u32 = 0x2008_0522;

/// The numbers of capabilities, `bpf,perfmon`.
fn numbers(names: &str) -> Result<Vec<u32>, String> {
    let number = |name: &str| {
        let found = CAPABILITIES.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, number)| *number)
            .ok_or(format!("no capability {name}"))
    };
    let numbers: Result<Vec<u32>, String> = names.split(',').map(number).collect();
    Ok(numbers?.into_iter().filter(|number| *number < 64).collect())
}

/// Becomes `nobody` with some capabilities, which programs that are started keep, and then a shell with a command. Returns only
/// if that fails.
pub fn as_nobody(names: &str, command: &str) -> Result<(), String> {
    let numbers = numbers(names)?;
    let mask = numbers
        .iter()
        .fold(0_u64, |mask, number| mask | 1 << number);
    become_nobody(&numbers, mask).map_err(|error| format!("as-nobody: {error}"))?;
    Err(Command::new("/bin/sh")
        .args(["-c", command])
        .exec()
        .to_string())
}

fn become_nobody(numbers: &[u32], mask: u64) -> io::Result<()> {
    // SAFETY: numbers, and addresses of arrays of the lengths that the kernel expects: a header of two words
    // and, of version 3, twice the effective, permitted and inheritable halves.
    let results = unsafe {
        let header = [VERSION_3, 0];
        let (low, high) = (mask as u32, (mask >> 32) as u32);
        let sets = [low, low, low, high, high, high];
        [
            libc::prctl(libc::PR_SET_KEEPCAPS, 1),
            libc::setgroups(0, std::ptr::null()),
            libc::setresgid(NOBODY, NOBODY, NOBODY),
            libc::setresuid(NOBODY, NOBODY, NOBODY),
            libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) as i32,
        ]
    };
    let raised = numbers.iter().map(|number| {
        // SAFETY: no addresses are passed.
        unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                *number as libc::c_ulong,
                0,
                0,
            )
        }
    });
    if results.into_iter().chain(raised).all(|result| result == 0) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
