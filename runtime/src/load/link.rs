//! Puts a program together: its function, the functions it calls behind it, descriptors
//! of maps in place of their names.

use std::ops::Range;
use std::os::fd::RawFd;

use indexmap::IndexMap;

use super::error::LoadError;
use super::image_file::{ObjectFile, Target};
use crate::bpf::Insn;

/// Source register values that give a 64-bit immediate its meaning.
const PSEUDO_MAP_FD: u64 = 1;
const PSEUDO_MAP_VALUE: u64 = 2;
const PSEUDO_FUNC: u64 = 4;
/// Source register value of a call to a subprogram.
const PSEUDO_CALL: u64 = 1;
/// Most instructions of a program; the kernel's own limit.
const MAX_INSNS: usize = 1_000_000;

/// A program ready to be loaded.
#[derive(Debug, Default)]
pub struct Linked {
    /// Its instructions, those of the functions that it calls behind it.
    pub insns: Vec<Insn>,
    /// `struct bpf_func_info`s.
    pub func_info: Vec<u8>,
    /// `struct bpf_line_info`s.
    pub line_info: Vec<u8>,
    /// (instruction, file, line text, line and column), as in `line_info`.
    pub lines: Vec<[u32; 4]>,
}

impl ObjectFile {
    /// Links the program of a symbol. `descriptor` is that of a map.
    pub fn link(
        &self,
        symbol: &str,
        descriptor: &dyn Fn(&str) -> Option<RawFd>,
    ) -> Result<Linked, LoadError> {
        let entry = self
            .functions
            .iter()
            .position(|function| function.symbol == symbol)
            .ok_or_else(|| LoadError::damaged(format!("it has no program '{symbol}'")))?;
        let mut cx = Cx {
            object: self,
            descriptor,
            linked: Linked::default(),
            starts: IndexMap::new(),
        };
        cx.start_of(entry)?;
        // The list of functions grows while their references are resolved.
        let mut next = 0;
        while let Some((&function, &start)) = cx.starts.get_index(next) {
            cx.resolve(function, start)?;
            next += 1;
        }
        cx.linked.func_info.shrink_to_fit();
        Ok(cx.linked)
    }
}

/// Of records that are sorted by their instruction, those of a function.
fn within<'a, T>(all: &'a [T], range: &Range<usize>, insn: impl Fn(&T) -> usize) -> &'a [T] {
    let first = all.partition_point(|record| insn(record) < range.start);
    let end = all.partition_point(|record| insn(record) < range.end);
    &all[first..end]
}

struct Cx<'a> {
    object: &'a ObjectFile,
    descriptor: &'a dyn Fn(&str) -> Option<RawFd>,
    linked: Linked,
    /// Where each function of the program starts, in order.
    starts: IndexMap<usize, usize>,
}

impl Cx<'_> {
    /// Where a function starts; appends it when it is not there yet.
    fn start_of(&mut self, index: usize) -> Result<usize, LoadError> {
        if let Some(&start) = self.starts.get(&index) {
            return Ok(start);
        }
        let gone = || LoadError::damaged("a function is missing");
        let function = self.object.functions.get(index).ok_or_else(gone)?;
        let code = self.object.code.get(function.section).ok_or_else(gone)?;
        let range = function.first..function.first + function.count;
        let insns = code.insns.get(range.clone()).ok_or_else(gone)?;
        let start = self.linked.insns.len();
        if start + insns.len() > MAX_INSNS {
            return Err(LoadError::damaged(format!(
                "'{}' is too big",
                function.symbol
            )));
        }
        self.linked.insns.extend_from_slice(insns);
        let moved = |insn: usize| (insn - function.first + start) as u32;
        for info in within(
            &code.func_infos,
            &(function.first..function.first + 1),
            |info| info.insn,
        ) {
            let words = [moved(info.insn), info.type_id];
            self.linked
                .func_info
                .extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        for info in within(&code.line_infos, &range, |info| info.insn) {
            let words = [moved(info.insn), info.file, info.text, info.line_column];
            self.linked
                .line_info
                .extend(words.iter().flat_map(|word| word.to_le_bytes()));
            self.linked.lines.push(words);
        }
        self.starts.insert(index, start);
        Ok(start)
    }

    /// Fills in what a function that starts at `start` refers to.
    fn resolve(&mut self, index: usize, start: usize) -> Result<(), LoadError> {
        let object = self.object;
        let function = &object.functions[index];
        let range = function.first..function.first + function.count;
        let relocs = &object.code[function.section].relocs;
        for reloc in within(relocs, &range, |reloc| reloc.insn) {
            let at = reloc.insn - function.first + start;
            match reloc.target {
                Target::Map(map) => {
                    let name = object.maps.get(map).map(|decl| decl.name.as_str());
                    let fd = self.descriptor(name)?;
                    self.set_imm64(at, PSEUDO_MAP_FD, fd, 0)?;
                }
                Target::Data(data, offset) => {
                    let name = object.data.get(data).map(|data| data.name.as_str());
                    let fd = self.descriptor(name)?;
                    self.set_imm64(at, PSEUDO_MAP_VALUE, fd, offset)?;
                }
                Target::Call(callee) => {
                    let distance = self.start_of(callee)? as i64 - at as i64 - 1;
                    self.set(at, PSEUDO_CALL, distance as u32);
                }
                Target::Address(callee) => {
                    let distance = self.start_of(callee)? as i64 - at as i64 - 1;
                    self.set_imm64(at, PSEUDO_FUNC, distance as u32, 0)?;
                }
            }
        }
        Ok(())
    }

    fn descriptor(&self, name: Option<&str>) -> Result<u32, LoadError> {
        let map = name.and_then(|name| (self.descriptor)(name));
        let map = map.ok_or_else(|| LoadError::damaged("a map is missing"))?;
        Ok(map as u32)
    }

    /// Sets source register and immediate of an instruction.
    fn set(&mut self, at: usize, source: u64, imm: u32) {
        if let Some(insn) = self.linked.insns.get_mut(at) {
            *insn = *insn & 0xffff_0fff | source << 12 | u64::from(imm) << 32;
        }
    }

    /// Sets both halves of a 64-bit immediate load.
    fn set_imm64(&mut self, at: usize, source: u64, low: u32, high: u32) -> Result<(), LoadError> {
        self.set(at, source, low);
        let second = self.linked.insns.get_mut(at + 1);
        let second = second.ok_or_else(|| LoadError::damaged("half an instruction"))?;
        *second = u64::from(high) << 32;
        Ok(())
    }
}
