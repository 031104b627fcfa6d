//! vmlinux and kernel modules as files with debug information have them: symbols, which parts are code, and DWARF.
//!
//! In: the bytes of the file. Out: [`KernelObject`]. Addresses are the file's own: the running kernel may be somewhere
//! else ([`KernelObject::loaded_at`]), and each section of a module is.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use object::elf::NT_GNU_BUILD_ID;
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, ReadRef, SymbolKind};
use rustc_hash::FxHashMap;

use super::KernelSymbols;
use crate::dwarf::{
    Code, DebugInfo, DwarfError, Layout, SharedFile, Symbol, contents, is_code, is_loaded,
    is_relocatable,
};

/// What identifies a build. As text: hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildId(pub Vec<u8>);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl BuildId {
    /// That of an ELF file, `None` if it has none.
    pub fn of_file<'d>(file: impl ReadRef<'d>) -> Option<Self> {
        let file = ElfFile64::<Endianness, _>::parse(file).ok()?;
        Some(Self(file.build_id().ok()??.to_vec()))
    }

    /// That among the notes of a running kernel or module, as sysfs shows them.
    pub fn among_notes(notes: &[u8]) -> Option<Self> {
        let word = |bytes: &[u8], at: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
        };
        let mut rest = notes;
        loop {
            let (name, desc, kind) = (word(rest, 0)?, word(rest, 4)?, word(rest, 8)?);
            let name_end = 12 + name as usize;
            let desc_start = name_end.next_multiple_of(4);
            let desc_end = desc_start + desc as usize;
            if kind == NT_GNU_BUILD_ID.0 && rest.get(12..name_end)? == b"GNU\0" {
                return Some(Self(rest.get(desc_start..desc_end)?.to_vec()));
            }
            rest = rest.get(desc_end.next_multiple_of(4)..)?;
        }
    }
}

/// Whether debug information may be fetched from servers, if the user has named any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// Whoever asks for it asks for that.
    Yes,
    /// What is on the machine has to do.
    No,
}

/// The kernel or a module, with debug information.
pub struct KernelObject {
    /// Where the file is.
    pub path: String,
    /// Its debug information.
    pub info: DebugInfo,
    /// By address; of several at one address first the one that is a function and can be seen from elsewhere.
    functions: Vec<Symbol>,
    /// Indexes of `functions` by name.
    by_name: OnceLock<Vec<u32>>,
    /// Sections with code that stays: what only starting the kernel needs is gone.
    code: Vec<Range<u64>>,
    /// The section of variables of which each processor has its own.
    per_cpu: Range<u64>,
    file: SharedFile,
}

impl fmt::Debug for KernelObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path, self.info)
    }
}

impl KernelObject {
    /// Reads the tables of the file.
    pub fn parse(path: &str, bytes: &SharedFile) -> Result<Self, DwarfError> {
        let info = DebugInfo::of_file(bytes)?;
        let file = ElfFile64::<Endianness, _>::parse(contents(bytes))?;
        let layout = Layout::of(&file);
        let mut code = Vec::new();
        for section in file.sections().filter(is_code) {
            let name = section.name()?;
            if !name.starts_with(".init") && !name.starts_with(".exit") {
                let start = layout.address(section.index());
                code.push(start..start.saturating_add(section.size()));
            }
        }
        let per_cpu = file.section_by_name(".data..percpu");
        let per_cpu = per_cpu.map_or(0..0, |section| {
            let start = layout.address(section.index());
            start..start.saturating_add(section.size())
        });
        let is_relocatable = is_relocatable(&file);
        let mut functions = Vec::new();
        for symbol in file.symbols() {
            let is_function = symbol.kind() == SymbolKind::Text;
            // Those of assembly may have no kind.
            if !(is_function || symbol.kind() == SymbolKind::Unknown) || symbol.is_undefined() {
                continue;
            }
            let start = layout.symbol(is_relocatable, &symbol);
            let name = symbol.name().unwrap_or_default();
            if name.is_empty() || !code.iter().any(|section| section.contains(&start)) {
                continue;
            }
            let found = Symbol {
                name: name.to_owned(),
                start,
                size: symbol.size(),
            };
            functions.push((Reverse(is_function), Reverse(symbol.is_global()), found));
        }
        functions.sort_by(|(a_kind, a_reach, a), (b_kind, b_reach, b)| {
            (a.start, a_kind, a_reach, &a.name).cmp(&(b.start, b_kind, b_reach, &b.name))
        });
        Ok(Self {
            path: path.to_owned(),
            info,
            functions: functions.into_iter().map(|(.., symbol)| symbol).collect(),
            by_name: OnceLock::new(),
            code,
            per_cpu,
            file: SharedFile::clone(bytes),
        })
    }

    /// Whether each processor has its own of what is at an address.
    pub fn is_per_cpu(&self, address: u64) -> bool {
        self.per_cpu.contains(&address)
    }

    /// The symbol that an address is in: the last one before it, of several there the first.
    pub fn symbol(&self, address: u64) -> Option<&Symbol> {
        let section = self.section(address)?;
        let after = self.functions.partition_point(|f| f.start <= address);
        let last = self.functions.get(after.checked_sub(1)?)?;
        let first = self.functions.partition_point(|f| f.start < last.start);
        let found = self.functions.get(first)?;
        section.contains(&found.start).then_some(found)
    }

    /// The same; of several there the one of a name, if it is among them.
    pub fn symbol_called<'s>(&'s self, name: &'s str, address: u64) -> Option<&'s Symbol> {
        let first = self.symbol(address)?;
        let mut named = self.named(name);
        named
            .find(|symbol| symbol.start == first.start)
            .or(Some(first))
    }

    /// The functions of a name.
    pub fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Symbol> {
        let order = self.by_name.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.functions.len() as u32).collect();
            order.sort_by_key(|&at| &self.functions[at as usize].name);
            order
        });
        let of = |at: &u32| &self.functions[*at as usize];
        let start = order.partition_point(|at| *of(at).name < *name);
        let from_there = order[start..].iter().map(of);
        from_there.take_while(move |symbol| symbol.name == name)
    }

    /// Where the variables of a name are.
    pub fn variables(&self, name: &str) -> Result<Vec<u64>, DwarfError> {
        let file = ElfFile64::<Endianness, _>::parse(contents(&self.file))?;
        let layout = Layout::of(&file);
        let is_relocatable = is_relocatable(&file);
        let is_one = |symbol: &ElfSymbol64<'_, '_, Endianness>| {
            let is_data = matches!(symbol.kind(), SymbolKind::Data | SymbolKind::Unknown);
            is_data && !symbol.is_undefined() && symbol.name_bytes() == Ok(name.as_bytes())
        };
        let found = file.symbols().filter(is_one);
        Ok(found
            .map(|symbol| layout.symbol(is_relocatable, &symbol))
            .collect())
    }

    /// Where the running kernel has what is at an address of the file: moved as far as another function of the same section.
    pub fn loaded_at(
        &self,
        address: u64,
        running: &KernelSymbols,
        module: Option<&str>,
    ) -> Option<u64> {
        let section = self.section(address)?;
        let start = self.functions.partition_point(|f| f.start < section.start);
        let others = self.functions[start..].iter();
        let moved = others
            .take_while(|other| section.contains(&other.start))
            .filter(|other| self.named(&other.name).count() == 1)
            .find_map(|other| {
                let mut same = running.by_name(&other.name).filter(|s| s.module == module);
                let found = same.next().filter(|found| found.address != 0)?;
                let is_only = same.next().is_none();
                is_only.then(|| found.address.wrapping_sub(other.start))
            })?;
        Some(address.wrapping_add(moved))
    }

    /// A symbol of the section that an address is in, of a name that a running module has once, and where the file has it.
    pub fn beside(
        &self,
        address: u64,
        running: &KernelSymbols,
        module: &str,
    ) -> Option<(String, u64)> {
        let file = ElfFile64::<Endianness, _>::parse(contents(&self.file)).ok()?;
        let layout = Layout::of(&file);
        let section = file.sections().filter(is_loaded).find(|section| {
            let start = layout.address(section.index());
            (start..start.saturating_add(section.size())).contains(&address)
        })?;
        let mut counts: FxHashMap<&[u8], u32> = FxHashMap::default();
        for symbol in file.symbols() {
            *counts.entry(symbol.name_bytes().ok()?).or_default() += 1;
        }
        file.symbols().find_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty())?;
            let is_there = symbol.section_index() == Some(section.index());
            let same = running.by_name(name).filter(|s| s.module == Some(module));
            let is_only = counts.get(name.as_bytes()) == Some(&1) && same.count() == 1;
            let start = layout.symbol(is_relocatable(&file), &symbol);
            (is_there && is_only).then(|| (name.to_owned(), start))
        })
    }

    fn section(&self, address: u64) -> Option<&Range<u64>> {
        self.code.iter().find(|section| section.contains(&address))
    }
}

impl Code for KernelObject {
    fn is_code(&self, address: u64) -> bool {
        self.section(address).is_some()
    }

    fn symbol_at(&self, address: u64) -> Option<Symbol> {
        self.symbol(address).cloned()
    }

    fn starts_of(&self, name: &str) -> Vec<u64> {
        self.named(name).map(|symbol| symbol.start).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dwarf::{Call, CallKind, Instances, Lines, Query};
    use crate::target::fixture::{MODULE, VMLINUX};

    fn object(bytes: &'static [u8]) -> KernelObject {
        let file: SharedFile = Arc::new(bytes);
        KernelObject::parse("object", &file).unwrap()
    }

    fn shown(object: &KernelObject, places: &[crate::dwarf::Place]) -> Vec<String> {
        let one = |place: &crate::dwarf::Place| {
            let symbol = object.symbol(place.address).unwrap();
            let offset = place.address - symbol.start;
            format!("{} at {}+{offset:#x}", place.shown(), symbol.name)
        };
        places.iter().map(one).collect()
    }

    fn inlined(object: &KernelObject, function: &str) -> Vec<String> {
        let query = Query {
            function,
            file: "*",
            lines: &Lines::First,
        };
        let found = object.info.functions(&query, Instances::Inlined, object);
        shown(object, &found.unwrap().places)
    }

    #[test]
    fn symbols_of_the_kernel() {
        let kernel = object(VMLINUX);
        assert_eq!(kernel.named("local_helper").count(), 2);
        assert_eq!(
            kernel.symbol(0xffff_ffff_8100_2004).unwrap().name,
            "vfs_write"
        );
        assert!(kernel.symbol(0x1000).is_none());
        let called = |name| {
            let found = kernel.symbol_called(name, 0xffff_ffff_8100_1004);
            found.unwrap().name.as_str()
        };
        assert_eq!(called("_text"), "_text");
        assert_eq!(called("vfs_write"), "vfs_read");
        // What only starting the kernel needs is gone.
        assert_eq!(kernel.named("start").count(), 0);
        let running = "ffffffff91001000 T vfs_read\nffffffff91003000 t local_helper\n\
                       ffffffff91004000 t local_helper\n";
        let running = KernelSymbols::parse(running.to_owned());
        let second = kernel.named("local_helper").nth(1).unwrap();
        let found = kernel.loaded_at(second.start, &running, None);
        assert_eq!(found, Some(0xffff_ffff_9100_4000));
        let hidden = KernelSymbols::parse("0000000000000000 T vfs_read\n".to_owned());
        assert_eq!(kernel.loaded_at(second.start, &hidden, None), None);
    }

    #[test]
    fn where_functions_have_been_inlined() {
        assert_eq!(
            inlined(&object(VMLINUX), "verify_area"),
            [
                "\"verify_area@/build/linux/fs/internal.h:5\" at vfs_read+0x0",
                "\"verify_area@/build/linux/fs/internal.h:5\" at vfs_write+0xb",
                "\"verify_area@/build/linux/fs/internal.h:5\" at vfs_open+0xa",
                "\"verify_area@/build/linux/fs/internal.h:5\" at branches+0x0",
            ]
        );
        assert_eq!(inlined(&object(VMLINUX), "verify"), [""; 0]);
    }

    #[test]
    fn names_that_debug_information_does_not_have() {
        let lacks = |name| object(VMLINUX).info.lacks(name);
        assert!(lacks("verify"));
        assert!(lacks("verify_aera"));
        assert!(!lacks("verify_area"));
        // Short ones are written anywhere.
        assert!(!lacks("abc"));
    }

    #[test]
    fn calls_and_labels() {
        let kernel = object(VMLINUX);
        let start = kernel.named("branches").next().unwrap().start;
        let calls = kernel.info.calls_of(start).unwrap().unwrap();
        let shown = |call: &Call| (call.callee.function.clone(), call.how);
        let of = |name: &str, how| (name.to_owned(), how);
        assert_eq!(
            calls.all.iter().map(shown).collect::<Vec<_>>(),
            [
                of("verify_area", CallKind::Inlined),
                of("middle", CallKind::Call),
                of("leaf", CallKind::Call)
            ]
        );
        let last = kernel.named("last").next().unwrap().start;
        let calls = kernel.info.calls_of(last).unwrap().unwrap();
        assert_eq!(shown(&calls.all[0]), of("leaf", CallKind::Jump));
        assert_eq!(kernel.info.calls_of(start + 1), Ok(None));
        let query = Query {
            function: "branches",
            file: "*",
            lines: &Lines::First,
        };
        let labels = kernel.info.labels(&query, "o*", &kernel).unwrap();
        assert_eq!(labels.names, ["again", "out"]);
        let found: Vec<u64> = labels.found.iter().map(|l| l.place.line).collect();
        assert_eq!(found, [28]);
    }

    /// Each of its own address and file; what the linker makes is as the source declares it.
    #[test]
    fn variables_by_name() {
        let kernel = object(VMLINUX);
        let found = kernel.variables("twice").unwrap();
        let files = found.iter().map(|address| {
            let global = kernel.info.global_at("twice", *address).unwrap();
            global.unwrap().files[1].clone()
        });
        let files: Vec<String> = files.collect();
        assert_eq!(files, ["fs/globals.c", "fs/calls.c"]);
        // `calls.0` is static in a function, and what is at no address is only declared.
        let found = kernel.variables("calls.0").unwrap();
        let global = kernel.info.global_at("calls.0", found[0]).unwrap();
        assert!(global.unwrap().is_of("locals.c"));
        let declared = kernel.info.global_at("checked", 0).unwrap().unwrap();
        assert!(declared.is_of("fs/internal.h"));
        assert_eq!(kernel.info.global_at("nothing", 0), Ok(None));
        let module = object(MODULE);
        let found = module.variables("state").unwrap();
        assert_eq!(found.len(), 1);
        assert!(module.info.global_at("state", found[0]).unwrap().is_some());
        // Told by the running module's symbols, not the kernel's.
        let running = "1000 d state\n2000 t sample_open\t[sample]\n3000 b state\t[sample]\n";
        let running = KernelSymbols::parse(running.to_owned());
        let beside = module.beside(found[0] + 2, &running, "sample");
        assert_eq!(beside, Some(("state".to_owned(), found[0])));
        assert_eq!(module.beside(found[0], &running, "other"), None);
    }

    /// Sections of modules have no addresses, their debug sections no values yet.
    #[test]
    fn modules_are_relocated() {
        assert_eq!(
            inlined(&object(MODULE), "count"),
            [
                "\"count@/build/linux/module.c:5\" at sample_open+0x0",
                "\"count@/build/linux/module.c:5\" at sample_fail+0x0",
            ]
        );
    }

    #[test]
    fn build_ids() {
        let id = BuildId::of_file(VMLINUX).unwrap();
        assert_eq!(id.0.len(), 20);
        let mut notes = Vec::from([4, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
        notes.extend(b"GNU\0\x07\0\0\0");
        notes.extend([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0]);
        notes.extend(b"GNU\0");
        notes.extend(&id.0);
        assert_eq!(BuildId::among_notes(&notes), Some(id));
        assert_eq!(BuildId::among_notes(&notes[..50]), None);
        assert_eq!(BuildId::among_notes(&[]), None);
    }
}
