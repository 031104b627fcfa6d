//! A machine made of committed files, for hermetic tests.
//!
//! [`FixtureTarget::standard`] is a cut-down Linux 6.18 on x86-64 with everything switched
//! on. The files under `fixture/` are extracted from a running kernel by
//! `cargo run -p rtap-tests --bin extract-fixture`, what goes in is listed in
//! `fixture/roots.txt`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kconfig::KconfigTable;
use super::sdt::Mark;
use super::*;
use crate::btf::Btf;
use crate::dwarf::{DebugInfo, SharedFile};
use crate::glob::glob;

/// List of what the extraction tool puts into the fixture's files.
pub const ROOTS: &str = include_str!("fixture/roots.txt");

/// A program of C files with debug information; `fixture/lines` has its source.
pub const LINES: &[u8] = include_bytes!("fixture/lines.elf");

/// The fixture's kernel as it was linked, and a module of its; `fixture/kernel` has their source.
pub const VMLINUX: &[u8] = include_bytes!("fixture/vmlinux.elf");
#[cfg(test)]
pub(crate) const MODULE: &[u8] = include_bytes!("fixture/module.ko");

const VMLINUX_PATH: &str = "/usr/lib/debug/boot/vmlinux";
const LINES_PATH: &str = "/usr/bin/lines";
static VMLINUX_BTF: &[u8] = include_bytes!("fixture/vmlinux.btf");
const FORMATS: &str = include_str!("fixture/formats.txt");
const KCONFIG: &str = include_str!("fixture/kconfig.txt");

/// A machine in memory.
#[derive(Clone, Debug)]
pub struct FixtureTarget {
    arch: Arch,
    kernel: KernelRelease,
    kconfig: KconfigTable,
    cpus: CpuCount,
    features: Features,
    btf: Option<Btf>,
    module_btfs: BTreeMap<String, Btf>,
    /// A function that is not traced by trampoline.
    without_trampoline: Option<String>,
    formats: BTreeMap<(String, String), Arc<TracepointFormat>>,
    symbols: Arc<KernelSymbols>,
    binaries: BTreeMap<String, Arc<Binary>>,
    /// Whether the kernel's debug information is installed.
    has_vmlinux: bool,
}

impl FixtureTarget {
    /// A machine of which nothing is known: no BTF, no tracepoints, no features.
    pub fn bare() -> Self {
        Self {
            arch: Arch::X86_64,
            kernel: KernelRelease::parse("6.18.0"),
            kconfig: KconfigTable::default(),
            cpus: CpuCount {
                online: 4,
                possible: 8,
            },
            features: Features::default(),
            btf: None,
            formats: BTreeMap::new(),
            symbols: Arc::new(KernelSymbols::default()),
            module_btfs: BTreeMap::new(),
            without_trampoline: None,
            binaries: BTreeMap::new(),
            has_vmlinux: false,
        }
    }

    /// A machine of Linux 6.18 with every feature of that release, BTF of common structs, functions
    /// and tracepoints, some formats, a few symbols, `/usr/bin/sample`, `/lib/libsample.so`, and `/usr/bin/lines`, which
    /// has debug information.
    pub fn standard() -> Self {
        let mut formats = BTreeMap::new();
        for block in FORMATS.split("system: ").skip(1) {
            let (system, text) = block.split_once('\n').unwrap_or_default();
            if let Some(format) = TracepointFormat::parse(text) {
                formats.insert((system.to_owned(), format.name.clone()), Arc::new(format));
            }
        }
        let symbols = "ffffffff81000000 T _text\nffffffff81001000 T vfs_read\n\
                       ffffffff81002000 T vfs_write\nffffffff81003000 t local_helper\n\
                       ffffffff81004000 t local_helper\n\
                       ffffffff81028000 t tcp_recvmsg\nffffffff81029000 t tcp_recvmsg\n\
                       ffffffff81009000 t leaf\nffffffff8100a000 t middle\nffffffff8100b000 T branches\nffffffff8100c000 T last\n\
                       ffffffff81005000 t do_sys_openat2.isra.0\nffffffff81006000 t kernel_clone.part.0\n\
                       ffffffff82000000 D panic_timeout\nffffffff8100d040 B top\nffffffff8100d060 B table\nffffffff8100d020 B checked\n\
                       0000000000021440 A runqueues\n\
                       ffffffff82000100 D __per_cpu_offset\nffffffff82000200 d twice\nffffffff82000300 d twice\n\
                       ffffffff82100000 r __ksymtab_panic_timeout\n\
                       ffffffff8210000c r __ksymtab_vfs_read\n\
                       ffffffff82100018 r __ksymtab_vfs_write\n\
                       ffffffffc0001000 t sample_open\t[sample]\n";
        let program = Binary::synthetic(
            "/usr/bin/sample",
            &[
                ("main", 0x1000, 0x80),
                ("work", 0x1100, 0x40),
                ("helper", 0x1200, 0x20),
                ("twice", 0x1300, 0x10),
                ("twice", 0x1400, 0x10),
            ],
        )
        .with_plt(&[("malloc", 0x800), ("write", 0x810)])
        .with_marks(sample_marks());
        let library = Binary::synthetic(
            "/lib/libsample.so",
            &[
                ("sample_alloc", 0x2000, 0x40),
                ("sample_free", 0x2100, 0x40),
            ],
        );
        Self {
            kconfig: KconfigTable::parse(KCONFIG),
            features: Features::of_release(Self::bare().kernel.minor()),
            btf: Btf::parse(VMLINUX_BTF).ok(),
            formats,
            symbols: Arc::new(KernelSymbols::parse(symbols.to_owned())),
            has_vmlinux: true,
            ..Self::bare()
        }
        .with_binary(Binary::synthetic("/proc/17/exe", &[("main", 0x1000, 0x80)]))
        .with_binary(program)
        .with_binary(library)
        .with_binary(Binary::parse(LINES_PATH, LINES, Arch::X86_64).unwrap_or_default())
    }

    /// With another release, and the features that an unpatched kernel of it has.
    #[must_use]
    pub fn with_release(mut self, release: &str) -> Self {
        self.kernel = KernelRelease::parse(release);
        self.features = Features::of_release(self.kernel.minor());
        self
    }

    /// With other features.
    #[must_use]
    pub fn with_features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// Without a feature.
    #[must_use]
    pub fn without(mut self, feature: Feature) -> Self {
        self.features = self.features.without(feature);
        self
    }

    /// With another BTF, or none.
    #[must_use]
    pub fn with_btf(mut self, btf: Option<Btf>) -> Self {
        self.btf = btf;
        self
    }

    /// Without trampolines for a function.
    #[must_use]
    pub fn without_trampoline(mut self, function: &str) -> Self {
        self.without_trampoline = Some(function.to_owned());
        self
    }

    /// With a module, which these types describe.
    #[must_use]
    pub fn with_module(mut self, name: &str, types: Btf) -> Self {
        self.module_btfs.insert(name.to_owned(), types);
        self
    }

    /// With a program or library more.
    #[must_use]
    pub fn with_binary(mut self, binary: Binary) -> Self {
        self.binaries.insert(binary.path.clone(), Arc::new(binary));
        self
    }

    /// With these symbols, lines as in `/proc/kallsyms`.
    #[must_use]
    pub fn with_symbols(mut self, text: &str) -> Self {
        self.symbols = Arc::new(KernelSymbols::parse(text.to_owned()));
        self
    }

    /// Without debug information of the kernel.
    #[must_use]
    pub fn without_vmlinux(mut self) -> Self {
        self.has_vmlinux = false;
        self
    }

    /// With the configuration of this text (`CONFIG_X=y` lines).
    #[must_use]
    pub fn with_kconfig(mut self, text: &str) -> Self {
        self.kconfig = KconfigTable::parse(text);
        self
    }
}

impl Target for FixtureTarget {
    fn arch(&self) -> Arch {
        self.arch
    }

    fn kernel(&self) -> &KernelRelease {
        &self.kernel
    }

    fn kernel_id(&self) -> u64 {
        1
    }

    fn kconfig(&self, name: &str) -> Kconfig {
        self.kconfig.get(name)
    }

    fn cpus(&self) -> CpuCount {
        self.cpus
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.has(feature)
    }

    fn btf(&self) -> Result<Btf, Unavailable> {
        let path = || "/sys/kernel/btf/vmlinux".to_owned();
        self.btf
            .clone()
            .ok_or_else(|| Unavailable::NoBtf { path: path() })
    }

    fn module_btf(&self, module: &str) -> Result<Btf, Unavailable> {
        let found = self.module_btfs.get(module).cloned();
        found.ok_or_else(|| Unavailable::NoModule {
            name: module.to_owned(),
        })
    }

    fn modules(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        Ok(Arc::new(self.module_btfs.keys().cloned().collect()))
    }

    fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        Ok(Arc::new(self.formats.keys().cloned().collect()))
    }

    fn tracepoint_format(
        &self,
        system: &str,
        name: &str,
    ) -> Result<Arc<TracepointFormat>, Unavailable> {
        let key = (system.to_owned(), name.to_owned());
        self.formats
            .get(&key)
            .cloned()
            .ok_or(Unavailable::NoTracepoint {
                system: key.0,
                name: key.1,
            })
    }

    fn syscalls(&self) -> Arc<SyscallTable> {
        Arc::new(self.arch.syscall_table())
    }

    fn symbols(&self) -> Result<Arc<KernelSymbols>, Unavailable> {
        Ok(self.symbols.clone())
    }

    // The symbols are only some: a function is missing if a copy of it is there instead.
    fn has_function(&self, _: Option<&str>, name: &str) -> bool {
        let is_copy = |symbol: KernelSymbol<'_>| {
            let rest = symbol.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        !self.symbols.iter().any(is_copy)
    }

    fn takes_trampoline(&self, _: Option<&str>, name: &str) -> bool {
        self.without_trampoline.as_deref() != Some(name)
    }

    fn is_shared(&self, _: Option<&str>, name: &str) -> bool {
        self.symbols.by_name(name).nth(1).is_some()
    }

    fn traceable_functions(&self) -> Result<Arc<Vec<TraceableFunction>>, Unavailable> {
        let btf = self.btf()?;
        // BTF of a real kernel does not have these.
        let of_vmlinux = ["branches", "last", "leaf", "middle"];
        let mut described: Vec<&str> = btf.own_functions().chain(of_vmlinux).collect();
        described.sort_unstable();
        described.dedup();
        described.retain(|name| self.has_function(None, name));
        let all = described.into_iter().flat_map(|name| {
            let function = TraceableFunction {
                name: name.to_owned(),
                module: None,
            };
            let count = self.symbols.by_name(name).count().max(1);
            std::iter::repeat_n(function, count)
        });
        Ok(Arc::new(all.collect()))
    }

    fn traceable_addresses(&self) -> Result<Arc<Vec<u64>>, Unavailable> {
        Err(Unavailable::NotProvided {
            what: "a list of traceable functions",
            option: None,
        })
    }

    fn programs_like(&self, pattern: &str) -> Vec<String> {
        let mut found: Vec<String> = self.binaries.keys().cloned().collect();
        found.retain(|path| glob(pattern, path));
        found.sort();
        found
    }

    fn debug_info(&self, binary: &Binary) -> Result<Arc<DebugInfo>, Unavailable> {
        let path = || binary.path.clone();
        if path() != LINES_PATH {
            return Err(Unavailable::NoDebugInfo { path: path() });
        }
        let read = DebugInfo::parse(LINES).map(Arc::new);
        read.map_err(|error| Unavailable::BadDebugInfo {
            path: path(),
            error,
        })
    }

    fn kernel_object(
        &self,
        module: Option<&str>,
        _: Fetch,
    ) -> Result<Arc<KernelObject>, Unavailable> {
        if module.is_some() || !self.has_vmlinux {
            return Err(Unavailable::NoKernelDebugInfo {
                of: module.map_or_else(
                    || format!("the running kernel, {}", self.kernel),
                    |module| format!("module {module}"),
                ),
                package: Some(format!("linux-image-{}-dbg", self.kernel)),
            });
        }
        let file: SharedFile = Arc::new(VMLINUX);
        let read = KernelObject::parse(VMLINUX_PATH, &file).map(Arc::new);
        read.map_err(|error| Unavailable::BadDebugInfo {
            path: VMLINUX_PATH.to_owned(),
            error,
        })
    }

    fn binary(&self, path: &str) -> Result<Arc<Binary>, BinaryError> {
        let found = if path.contains('/') {
            self.binaries.get(path)
        } else {
            self.binaries.get(&format!("/usr/bin/{path}"))
        };
        found.cloned().ok_or_else(|| {
            if path.contains('/') {
                BinaryError::NotFound {
                    path: path.to_owned(),
                }
            } else {
                BinaryError::NotInPath {
                    name: path.to_owned(),
                }
            }
        })
    }
}

/// Marks of the sample program.
fn sample_marks() -> Vec<Mark> {
    let mark = |name: &str, address, semaphore_offset, arguments: &str| Mark {
        provider: "sample".into(),
        name: name.into(),
        address,
        offset: address,
        semaphore_offset,
        arguments: arguments.into(),
    };
    vec![
        mark("start", 0x1010, 0, ""),
        mark(
            "request",
            0x1110,
            0x4000,
            "8@%rdi -4@%eax 1@-8(%rbp,%rcx,2) -2@$-7 8f@%xmm0",
        ),
        mark(
            "request",
            0x1150,
            0x4000,
            "8@%rsi -4@%eax 1@%ah -2@$-7 8f@%xmm0",
        ),
        mark("by__symbol", 0x1120, 0, "4@work+4(%rip) 8@$work"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{Step, resolve_path};

    #[test]
    fn the_standard_fixture_is_whole() {
        let target = FixtureTarget::standard();
        let btf = target.btf().unwrap();
        for line in ROOTS.lines().filter(|line| !line.starts_with('#')) {
            let (what, name) = line.split_once(' ').unwrap();
            let found = match what {
                "type" => btf.find_c_type(name).is_some(),
                "func" => btf.function(name).unwrap().is_some(),
                "tracepoint" => btf.tracepoint(name).unwrap().is_some(),
                "var" => btf.find_var(name).is_some(),
                "format" => {
                    let (system, name) = name.split_once(':').unwrap();
                    target.tracepoint_format(system, name).is_ok()
                }
                "option" => target.kconfig(name) != Kconfig::Absent,
                _ => false,
            };
            assert!(found || MAY_LACK.contains(&name), "{line}");
        }
        assert!(target.features() == Features::of_release(target.kernel.minor()));
        assert!(
            !target
                .clone()
                .with_release("5.10.0-1-amd64")
                .has(Feature::BpfLoop)
        );
        assert_eq!(target.binary("sample").unwrap().function("twice").len(), 2);
        assert!(target.binary("/usr/bin/nope").is_err());
    }

    /// Not in every kernel's configuration.
    const MAY_LACK: [&str; 1] = ["current_task"];

    #[test]
    fn resolves_the_path_to_a_file_name() {
        let btf = FixtureTarget::standard().btf().unwrap();
        let file = btf.find_c_type("struct file").unwrap();
        let path = ["f_path", "dentry", "d_name", "name"].map(Step::Field);
        let hops = resolve_path(&btf, file, &path).unwrap();
        assert_eq!(hops.len(), 2);
        assert_eq!(btf.c_name(hops[1].place.ty), "const unsigned char *");
    }
}
