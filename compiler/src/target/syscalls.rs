//! System calls: numbers, names, arguments.
//!
//! The table of each architecture is built in, so that `syscall.*` works on kernels
//! without CONFIG_FTRACE_SYSCALLS and costs no file access. A target may override
//! arguments with those of a kernel's own format.

use indexmap::IndexMap;

use super::tracepoint::TracepointFormat;

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
    /// Its arguments.
    pub args: Vec<SyscallArg>,
    /// Whether kernels of today have it.
    pub implemented: bool,
}

impl Syscall {
    /// The name in the kernel: `newstat` for `stat`.
    pub fn kernel_name(&self) -> &str {
        self.kernel_name.as_deref().unwrap_or(&self.name)
    }
}

/// An argument of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallArg {
    /// Its name.
    pub name: String,
    /// Its type, as C spells it.
    pub c_type: String,
}

impl SyscallArg {
    /// Whether it is an address of user memory.
    pub fn is_pointer(&self) -> bool {
        self.c_type.ends_with('*')
    }

    /// Whether it points to characters: `const char *`, `char *`.
    pub fn is_string(&self) -> bool {
        matches!(self.c_type.as_str(), "const char *" | "char *")
    }

    /// Size in bytes and signedness of the C type, which the 64-bit register holds in
    /// its low part.
    pub fn integer(&self) -> (u32, bool) {
        match self.c_type.as_str() {
            "int" | "pid_t" | "key_t" | "clockid_t" | "const clockid_t" | "timer_t" | "mqd_t"
            | "key_serial_t" | "s32" | "__s32" | "rwf_t" => (4, true),
            "unsigned" | "unsigned int" | "uid_t" | "gid_t" | "old_uid_t" | "old_gid_t" | "u32"
            | "__u32" | "qid_t" => (4, false),
            "umode_t" | "short unsigned int" => (2, false),
            "long" | "loff_t" | "off_t" | "s64" => (8, true),
            c_type if c_type.starts_with("enum ") => (4, false),
            _ => (8, false),
        }
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
    /// Reads a table: lines `number name[=kernel_name][(type name, …)]`, `#` comments.
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

    /// Replaces the arguments of the system call that tracefs calls `sys_enter_NAME` by
    /// those of its format. A name without a known number is left out.
    pub fn override_args(&mut self, kernel_name: &str, format: &TracepointFormat) {
        let Some(number) = self.by_name(kernel_name).map(|s| s.number) else {
            return;
        };
        let Some(syscall) = self.by_number.get_mut(&number) else {
            return;
        };
        syscall.implemented = true;
        syscall.args = format
            .fields
            .iter()
            .filter(|field| field.name != "__syscall_nr" && !field.is_data_loc())
            .map(|field| SyscallArg {
                name: field.name.clone(),
                c_type: field.c_type.clone(),
            })
            .collect();
    }
}

fn parse_line(line: &str) -> Option<Syscall> {
    let (number, rest) = line.split_once(' ')?;
    let (names, args) = match rest.split_once('(') {
        Some((names, args)) => (names, Some(args.strip_suffix(')')?)),
        None => (rest, None),
    };
    let (name, kernel_name) = match names.split_once('=') {
        Some((name, kernel_name)) => (name, Some(kernel_name.to_owned())),
        None => (names, None),
    };
    let implemented = args.is_some();
    let args = args
        .unwrap_or_default()
        .split(", ")
        .filter(|arg| !arg.is_empty());
    let args = args.map(parse_arg).collect();
    Some(Syscall {
        number: number.parse().ok()?,
        name: name.to_owned(),
        kernel_name,
        args,
        implemented,
    })
}

/// `const char *buf` → type and name.
fn parse_arg(arg: &str) -> SyscallArg {
    let split = arg.rfind([' ', '*']).map_or(0, |at| at + 1);
    let (c_type, name) = arg.split_at(split);
    SyscallArg {
        name: name.to_owned(),
        c_type: c_type.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Arch;

    #[test]
    fn the_built_in_table_is_whole() {
        let table = Arch::X86_64.syscall_table();
        assert_eq!(table.iter().len(), 385);
        let write = table.by_name("write").unwrap();
        assert_eq!((write.number, write.args.len()), (1, 3));
        assert_eq!(write.args[1].c_type, "const char *");
        assert!(write.args[1].is_string() && write.args[1].is_pointer());
        assert_eq!(write.args[0].integer(), (4, false));
        let stat = table.by_name("stat").unwrap();
        assert_eq!(stat.kernel_name(), "newstat");
        assert_eq!(table.by_name("newstat"), Some(stat));
        assert!(table.by_name("getpid").unwrap().args.is_empty());
        assert!(!table.by_name("tuxcall").unwrap().implemented);
        for syscall in table.iter() {
            assert!(syscall.args.len() <= 6, "{}", syscall.name);
            assert!(
                syscall
                    .args
                    .iter()
                    .all(|a| !a.name.is_empty() && !a.c_type.is_empty())
            );
        }
    }

    #[test]
    fn formats_override_arguments() {
        let mut table = SyscallTable::parse("2 open(int a)\n");
        let format = TracepointFormat::parse(
            "name: sys_enter_open\nID: 7\nformat:\n\
             \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
             \tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\
             \tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;\n\
             \tfield:__data_loc char[] __filename_val;\toffset:24;\tsize:4;\tsigned:0;\n\n\
             print fmt: \"\"\n",
        )
        .unwrap();
        table.override_args("open", &format);
        let expected = SyscallArg {
            name: "filename".into(),
            c_type: "const char *".into(),
        };
        assert_eq!(table.by_number(2).unwrap().args, [expected]);
        table.override_args("nope", &format);
    }
}
