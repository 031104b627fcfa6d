//! Processor architectures: the only place that knows them apart.

use serde::{Deserialize, Serialize};

mod x86_64;

use super::syscalls::SyscallTable;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// AMD64, Intel 64.
    X86_64,
}

impl Arch {
    /// The name that `uname -m` and SystemTap's `arch` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
        }
    }

    /// The architecture that `uname -m` calls `machine`.
    pub fn from_machine(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" => Some(Self::X86_64),
            _ => None,
        }
    }

    /// The ELF machine number of its binaries.
    pub fn elf_machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
        }
    }

    /// Offsets in `struct pt_regs` of a function's integer arguments, in order.
    pub fn argument_offsets(self) -> &'static [u32] {
        match self {
            Self::X86_64 => &x86_64::ARGUMENTS,
        }
    }

    /// Offsets in `struct pt_regs` of a system call's arguments, in order.
    pub fn syscall_argument_offsets(self) -> &'static [u32] {
        match self {
            Self::X86_64 => &x86_64::SYSCALL_ARGUMENTS,
        }
    }

    /// Offset in `struct pt_regs` of a function's result.
    pub fn result_offset(self) -> u32 {
        match self {
            Self::X86_64 => x86_64::RESULT,
        }
    }

    /// Offset in `struct pt_regs` of the instruction pointer.
    pub fn ip_offset(self) -> u32 {
        match self {
            Self::X86_64 => x86_64::IP,
        }
    }

    /// Offset in `struct pt_regs` of the stack pointer.
    pub fn sp_offset(self) -> u32 {
        match self {
            Self::X86_64 => x86_64::SP,
        }
    }

    /// Offset in `struct pt_regs` of the register of a name, as `register("rax")` and
    /// SDT arguments spell it, with the register's width in bytes.
    pub fn register(self, name: &str) -> Option<Register> {
        match self {
            Self::X86_64 => x86_64::register(name),
        }
    }

    /// Size of `struct pt_regs`.
    pub fn pt_regs_bytes(self) -> u32 {
        match self {
            Self::X86_64 => x86_64::PT_REGS_BYTES,
        }
    }

    /// The address of `_text`, where the kernel's code begins, in vmlinux's symbol table, for a
    /// CONFIG_PHYSICAL_START if it is known.
    pub fn linked_text(self, physical_start: Option<u64>) -> u64 {
        match self {
            Self::X86_64 => x86_64::KERNEL_MAP + physical_start.unwrap_or(x86_64::PHYSICAL_START),
        }
    }

    /// What the kernel puts before the name of a system call's function (`__x64_sys_read`).
    pub fn syscall_prefix(self) -> &'static str {
        match self {
            Self::X86_64 => "__x64_sys_",
        }
    }

    /// The built-in table of system calls.
    pub fn syscall_table(self) -> SyscallTable {
        match self {
            Self::X86_64 => SyscallTable::parse(x86_64::SYSCALLS),
        }
    }
}

/// A register as part of `struct pt_regs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Offset in bytes in `struct pt_regs`.
    pub offset: u32,
    /// Bytes: 8 for `rax`, 4 for `eax`, 2 for `ax`, 1 for `al`.
    pub size: u32,
}
