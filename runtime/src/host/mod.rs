//! The running machine as a [`Target`]. Nothing is read or tried before it is asked for,
//! and each thing at most once: a script without kernel variables never touches BTF.

mod binaries;
mod features;
mod file;
mod functions;
mod kconfig;
mod kernel_objects;
mod machine;
mod own_stack;
mod rights;
mod tracefs;

#[cfg(test)]
mod tests;

pub use binaries::{debug_info_of, resolve as resolve_program};
pub use file::{open_inode, reason};
pub use kernel_objects::of_running as kernel_object;
pub use machine::online_cpus;
pub use own_stack::OwnStack;
pub use rights::{
    Capability, Rights, is_locked_memory_limited, needed_for_perf_events, raise_memlock_limit,
};

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rtap_compiler::btf::Btf;
use rtap_compiler::dwarf::DebugInfo;
use rtap_compiler::target::kconfig::KconfigTable;
use rtap_compiler::target::{
    Arch, Binary, BinaryError, CpuCount, Feature, Features, Fetch, Kconfig, KernelObject,
    KernelRelease, KernelSymbols, OLDEST_RELEASE, SyscallTable, Target, TraceableFunction,
    TracepointFormat, Unavailable,
};

use features::FeatureProbes;
use file::{KernelFile, exists, read_text, unavailable};
use functions::Said;
use tracefs::Tracefs;

/// Where the kernel shows its BTF and that of its modules.
const BTF_DIRECTORY: &str = "/sys/kernel/btf";

/// A fact that is found out at its first use.
type Fact<T> = OnceLock<Result<T, Unavailable>>;

/// Facts by name, each found out at its first use.
type Facts<K, V> = Mutex<HashMap<K, V>>;

/// The running machine.
#[derive(Debug)]
pub struct LiveTarget {
    kernel: KernelRelease,
    arch: Arch,
    kernel_id: OnceLock<u64>,
    kconfig: OnceLock<Option<KconfigTable>>,
    cpus: OnceLock<CpuCount>,
    features: FeatureProbes,
    /// Features are those that this release already had.
    as_of: Option<(u32, u32)>,
    btf: Fact<Btf>,
    module_btfs: Facts<String, Result<Btf, Unavailable>>,
    modules: Fact<Arc<Vec<String>>>,
    tracefs: Fact<Tracefs>,
    tracepoints: Fact<Arc<Vec<(String, String)>>>,
    formats: Facts<(String, String), Result<Arc<TracepointFormat>, Unavailable>>,
    syscalls: OnceLock<Arc<SyscallTable>>,
    symbols: Fact<Arc<KernelSymbols>>,
    traceable: Fact<Arc<Vec<TraceableFunction>>>,
    traceable_addresses: Fact<Arc<Vec<u64>>>,
    functions: Facts<(Option<String>, String), bool>,
    trampolines: Facts<(Option<String>, String), Option<Said>>,
    shared_names: Facts<(Option<String>, String), bool>,
    binaries: Facts<String, Result<Arc<Binary>, BinaryError>>,
    debug_infos: Facts<String, Result<Arc<DebugInfo>, Unavailable>>,
    kernel_objects: Facts<(Option<String>, Fetch), Result<Arc<KernelObject>, Unavailable>>,
}

impl Default for LiveTarget {
    fn default() -> Self {
        Self::new()
    }
}

impl LiveTarget {
    /// The machine; only its name is asked for.
    pub fn new() -> Self {
        let (kernel, machine) = machine::uname();
        Self {
            kernel,
            arch: machine::arch(&machine),
            kernel_id: OnceLock::new(),
            kconfig: OnceLock::new(),
            cpus: OnceLock::new(),
            features: FeatureProbes::default(),
            as_of: None,
            btf: OnceLock::new(),
            module_btfs: Mutex::default(),
            modules: OnceLock::new(),
            tracefs: OnceLock::new(),
            tracepoints: OnceLock::new(),
            formats: Mutex::default(),
            syscalls: OnceLock::new(),
            symbols: OnceLock::new(),
            traceable: OnceLock::new(),
            traceable_addresses: OnceLock::new(),
            functions: Mutex::default(),
            trampolines: Mutex::default(),
            shared_names: Mutex::default(),
            binaries: Mutex::default(),
            debug_infos: Mutex::default(),
            kernel_objects: Mutex::default(),
        }
    }

    /// The machine as a kernel of this release would be.
    #[must_use]
    pub fn as_of(release: (u32, u32)) -> Self {
        Self {
            as_of: Some(release),
            ..Self::new()
        }
    }

    /// The directory of tracefs, mounted if need be.
    pub fn tracefs(&self) -> Result<&str, Unavailable> {
        let found = self.tracefs.get_or_init(tracefs::locate);
        found
            .as_ref()
            .map(|found| found.root.as_str())
            .map_err(Clone::clone)
    }

    /// What the kernel says of a program on a function, if it may be asked.
    fn trampoline(&self, module: Option<&str>, name: &str) -> Option<Said> {
        let key = (module.map(str::to_owned), name.to_owned());
        remember(&self.trampolines, &key, || {
            let may_try = self.features.may_try();
            may_try.then(|| functions::trampoline(self, module, name))?
        })
    }
}

/// The fact of that name, found out by `find` if it is not known yet.
fn remember<K: Hash + Eq + Clone, V: Clone>(
    facts: &Facts<K, V>,
    key: &K,
    find: impl FnOnce() -> V,
) -> V {
    if let Some(known) = facts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(key)
    {
        return known.clone();
    }
    // Not while locked: finding out may ask for other facts.
    let found = find();
    facts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key.clone(), found.clone());
    found
}

fn read_btf(path: &str, base: Option<Btf>) -> Result<Btf, Unavailable> {
    let file = KernelFile::open_unchanging(path).map_err(|error| unavailable(path, &error))?;
    let parsed = match base {
        None => Btf::parse(file),
        Some(base) => Btf::parse_split(file, base),
    };
    parsed.map_err(|error| Unavailable::BadBtf {
        path: path.to_owned(),
        error,
    })
}

impl Target for LiveTarget {
    fn arch(&self) -> Arch {
        self.arch
    }

    fn kernel(&self) -> &KernelRelease {
        &self.kernel
    }

    fn kernel_id(&self) -> u64 {
        *self.kernel_id.get_or_init(machine::kernel_id)
    }

    fn kconfig(&self, name: &str) -> Kconfig {
        let table = self
            .kconfig
            .get_or_init(|| kconfig::read(&self.kernel.text));
        match table {
            Some(table) => table.get(name),
            None if name == "CONFIG_HZ" => kconfig::tick_hz(),
            None => Kconfig::Unknown,
        }
    }

    fn cpus(&self) -> CpuCount {
        *self.cpus.get_or_init(machine::cpus)
    }

    fn has(&self, feature: Feature) -> bool {
        let too_new = |release| feature.info().since > release;
        !self.as_of.is_some_and(too_new) && self.features.has(feature, self)
    }

    fn relied_on(&self) -> Features {
        self.features
            .had()
            .minus(Features::of_release(OLDEST_RELEASE))
    }

    fn btf(&self) -> Result<Btf, Unavailable> {
        let read = || {
            let path = format!("{BTF_DIRECTORY}/vmlinux");
            if exists(&path) {
                read_btf(&path, None)
            } else {
                Err(Unavailable::NoBtf { path })
            }
        };
        self.btf.get_or_init(read).clone()
    }

    fn module_btf(&self, module: &str) -> Result<Btf, Unavailable> {
        remember(&self.module_btfs, &module.to_owned(), || {
            if !self.modules()?.iter().any(|name| name == module) {
                return Err(Unavailable::NoModule {
                    name: module.to_owned(),
                });
            }
            let path = format!("{BTF_DIRECTORY}/{module}");
            if !exists(&path) {
                return Err(Unavailable::NoBtf { path });
            }
            read_btf(&path, Some(self.btf()?))
        })
    }

    fn modules(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        let read = || {
            // A kernel without modules has no such file.
            if !exists("/proc/modules") {
                return Ok(Arc::default());
            }
            Ok(Arc::new(machine::modules(&read_text("/proc/modules")?)))
        };
        self.modules.get_or_init(read).clone()
    }

    fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        let read = || Ok(Arc::new(tracefs::tracepoints(self.tracefs()?)?));
        self.tracepoints.get_or_init(read).clone()
    }

    fn tracepoint_format(
        &self,
        system: &str,
        name: &str,
    ) -> Result<Arc<TracepointFormat>, Unavailable> {
        let key = (system.to_owned(), name.to_owned());
        remember(&self.formats, &key, || {
            tracefs::format(self.tracefs()?, system, name)
        })
    }

    fn syscalls(&self) -> Arc<SyscallTable> {
        self.syscalls
            .get_or_init(|| Arc::new(self.arch.syscall_table()))
            .clone()
    }

    fn symbols(&self) -> Result<Arc<KernelSymbols>, Unavailable> {
        let read = || Ok(Arc::new(KernelSymbols::parse(read_text("/proc/kallsyms")?)));
        self.symbols.get_or_init(read).clone()
    }

    fn has_function(&self, module: Option<&str>, name: &str) -> bool {
        let key = (module.map(str::to_owned), name.to_owned());
        remember(&self.functions, &key, || {
            match self.trampoline(module, name) {
                Some(Said::Yes) => true,
                Some(Said::Missing) => false,
                Some(Said::No) | None => {
                    let symbols = self.symbols();
                    symbols.map_or(true, |all| all.by_name(name).any(|s| s.module == module))
                }
            }
        })
    }

    fn takes_trampoline(&self, module: Option<&str>, name: &str) -> bool {
        self.trampoline(module, name) != Some(Said::No)
    }

    fn is_shared(&self, module: Option<&str>, name: &str) -> bool {
        let key = (module.map(str::to_owned), name.to_owned());
        remember(&self.shared_names, &key, || {
            // Of a module's functions kernels before 6.7 do not tell.
            let quick = module.is_none() && self.has(Feature::Kprobe) && self.features.may_try();
            let told = quick.then(|| functions::is_shared(name)).flatten();
            told.unwrap_or_else(|| {
                let symbols = self.symbols();
                symbols.is_ok_and(|all| all.by_name(name).nth(1).is_some())
            })
        })
    }

    fn traceable_functions(&self) -> Result<Arc<Vec<TraceableFunction>>, Unavailable> {
        let read = || Ok(Arc::new(tracefs::traceable_functions(self.tracefs()?)?));
        self.traceable.get_or_init(read).clone()
    }

    fn traceable_addresses(&self) -> Result<Arc<Vec<u64>>, Unavailable> {
        let read = || Ok(Arc::new(tracefs::traceable_addresses(self.tracefs()?)?));
        self.traceable_addresses.get_or_init(read).clone()
    }

    fn programs_like(&self, pattern: &str) -> Vec<String> {
        binaries::like(pattern)
    }

    fn binary(&self, path: &str) -> Result<Arc<Binary>, BinaryError> {
        remember(&self.binaries, &path.to_owned(), || {
            binaries::read(path, self.arch).map(Arc::new)
        })
    }

    fn kernel_object(
        &self,
        module: Option<&str>,
        fetch: Fetch,
    ) -> Result<Arc<KernelObject>, Unavailable> {
        let key = (module.map(str::to_owned), fetch);
        remember(&self.kernel_objects, &key, || {
            let is_loaded = |name: &str| Ok(self.modules()?.iter().any(|known| known == name));
            if let Some(name) = module
                && !is_loaded(name)?
            {
                return Err(Unavailable::NoModule {
                    name: name.to_owned(),
                });
            }
            kernel_objects::read(&self.kernel, module, fetch).map(Arc::new)
        })
    }

    fn debug_info(&self, binary: &Binary) -> Result<Arc<DebugInfo>, Unavailable> {
        remember(&self.debug_infos, &binary.path, || {
            binaries::debug_info(binary, self.arch).map(Arc::new)
        })
    }
}
