//! System calls: numbers and names. Their arguments are described in the tapset library
//! (`tapsets/syscalls.table`).
//!
//! The table of each architecture is built in, so that `syscall.*` works on kernels
//! without CONFIG_FTRACE_SYSCALLS and costs no file access.

use indexmap::IndexMap;

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its number.
    pub number: u32,
    /// Its name for user space, as in `__NR_stat`.
    pub name: String,
    /// Its name in the kernel where that differs: `newstat`, as in `sys_newstat` and
    /// in tracefs `sys_enter_newstat`.
    pub kernel_name: Option<String>,
    /// Whether kernels of today have it.
    pub implemented: bool,
}

impl Syscall {
    /// The name in the kernel: `newstat` for `stat`.
    pub fn kernel_name(&self) -> &str {
        self.kernel_name.as_deref().unwrap_or(&self.name)
    }
}

/// All system calls of an architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyscallTable {
    by_number: IndexMap<u32, Syscall>,
    /// Both names of each.
    numbers: IndexMap<String, u32>,
}

impl SyscallTable {
    /// Reads a table: lines `number name[=kernel_name][ -]`, `#` comments.
    pub(super) fn parse(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(syscall) = parse_line(line) {
                table.insert(syscall);
            }
        }
        table
    }

    fn insert(&mut self, syscall: Syscall) {
        self.numbers.insert(syscall.name.clone(), syscall.number);
        if let Some(kernel_name) = &syscall.kernel_name {
            // `newstat` is unambiguous; `umount` of umount2 is, too.
            self.numbers
                .entry(kernel_name.clone())
                .or_insert(syscall.number);
        }
        self.by_number.insert(syscall.number, syscall);
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Syscall> {
        self.by_number.values()
    }

    /// A system call by its number.
    pub fn by_number(&self, number: u32) -> Option<&Syscall> {
        self.by_number.get(&number)
    }

    /// A system call by its name in user space or in the kernel.
    pub fn by_name(&self, name: &str) -> Option<&Syscall> {
        self.by_number(*self.numbers.get(name)?)
    }
}

fn parse_line(line: &str) -> Option<Syscall> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let names = words.next()?;
    let (name, kernel_name) = match names.split_once('=') {
        Some((name, kernel_name)) => (name, Some(kernel_name.to_owned())),
        None => (names, None),
    };
    Some(Syscall {
        number,
        name: name.to_owned(),
        kernel_name,
        implemented: words.next() != Some("-"),
    })
}

#[cfg(test)]
mod tests {
    use crate::target::Arch;

    #[test]
    fn the_built_in_table_is_whole() {
        let table = Arch::X86_64.syscall_table();
        assert_eq!(table.iter().len(), 385);
        assert_eq!(table.by_name("write").unwrap().number, 1);
        let stat = table.by_name("stat").unwrap();
        assert_eq!(stat.kernel_name(), "newstat");
        assert_eq!(table.by_name("newstat"), Some(stat));
        assert!(stat.implemented);
        assert!(!table.by_name("tuxcall").unwrap().implemented);
    }
}
