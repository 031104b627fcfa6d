//! The image's `.BTF.ext`: which type each program has, and which line of the script each
//! instruction comes from, so that the verifier's log and `bpftool prog dump xlated linum` show the
//! user's source.

use indexmap::IndexMap;
use rtap_grammar::source::Span;
use rustc_hash::FxBuildHasher;

use super::Placed;
use super::btf::Written;
use crate::bpf::Object;
use crate::btf::TypeId;
use crate::lir::{CoreKind, Module};

/// Bytes of the header.
const HEADER_BYTES: u32 = 32;
/// Bytes of a `bpf_func_info`.
const FUNC_INFO_BYTES: u32 = 8;
/// Bytes of a `bpf_line_info`.
const LINE_INFO_BYTES: u32 = 16;
/// Bytes of a `bpf_core_relo`.
const CORE_RELO_BYTES: u32 = 16;
/// Columns have 10 bits.
const MAX_COLUMN: u32 = 1023;

/// Records by ELF section (its name among the BTF's strings): how many, and their words.
type Infos = IndexMap<u32, (u32, Vec<u32>), FxBuildHasher>;

/// Writes the section; names and source lines are added to the BTF's strings.
pub fn write(
    btf: &mut Written,
    object: &Object,
    placed: &[Placed],
    module: &Module,
    files: &[(String, String)],
) -> Vec<u8> {
    let mut funcs = Infos::default();
    let mut lines = Infos::default();
    let mut cores = Infos::default();
    let sources = Sources::new(files);
    for (n, ((_, function), place)) in object.functions().zip(placed).enumerate() {
        let section = btf.builder.string(&place.section);
        add(&mut funcs, section, &[place.offset, btf.functions[n].0]);
        // The kernel wants a line for the first instruction of every function.
        let mut known: Vec<(usize, Span)> = function.lines.clone();
        if known.first().is_some_and(|(insn, _)| *insn != 0) {
            known[0].0 = 0;
        }
        // Marks of instructions that came to nothing fall on the next one's: the last counts,
        // since the kernel takes one line for each instruction.
        let mut marks: Vec<(u32, Line<'_>)> = Vec::with_capacity(known.len());
        for (insn, span) in known {
            let Some(line) = sources.locate(span) else {
                continue;
            };
            let slot = function.code.slots.get(insn).copied().unwrap_or(0);
            if marks.last().is_some_and(|(last, _)| *last == slot) {
                marks.pop();
            }
            marks.push((slot, line));
        }
        for (slot, line) in marks {
            let name = btf.builder.string(line.file);
            let text = btf.builder.string(line.text);
            let position = line.number << 10 | line.column;
            let record = [place.offset + slot * 8, name, text, position];
            add(&mut lines, section, &record);
        }
    }
    for ((_, function), place) in object.functions().zip(placed) {
        let section = btf.builder.string(&place.section);
        for (insn, core) in &function.cores {
            let fact = &module.core[*core];
            let Some(ty) = btf.kernel.get(&TypeId(fact.type_id)).copied() else {
                continue;
            };
            let slot = function.code.slots.get(*insn).copied().unwrap_or(0);
            let access = btf.builder.string(&fact.access);
            let record = [place.offset + slot * 8, ty.0, access, number(fact.kind)];
            add(&mut cores, section, &record);
        }
    }
    let cores = table(&cores, CORE_RELO_BYTES);
    let funcs = table(&funcs, FUNC_INFO_BYTES);
    let lines = table(&lines, LINE_INFO_BYTES);
    let mut bytes = Vec::new();
    bytes.extend(0xeb9f_u16.to_le_bytes());
    bytes.extend([1, 0]);
    for word in [
        HEADER_BYTES,
        0,
        funcs.len() as u32,
        funcs.len() as u32,
        lines.len() as u32,
        (funcs.len() + lines.len()) as u32,
        cores.len() as u32,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(funcs);
    bytes.extend(lines);
    bytes.extend(cores);
    bytes
}

/// `enum bpf_core_relo_kind`
fn number(kind: CoreKind) -> u32 {
    match kind {
        CoreKind::FieldByteOffset => 0,
        CoreKind::FieldByteSize => 1,
        CoreKind::FieldExists => 2,
        CoreKind::FieldLshift => 4,
        CoreKind::FieldRshift => 5,
        CoreKind::TypeSize => 9,
        CoreKind::EnumValue => 11,
    }
}

fn add(all: &mut Infos, section: u32, record: &[u32]) {
    let (count, words) = all.entry(section).or_default();
    *count += 1;
    words.extend(record);
}

fn table(all: &Infos, record_bytes: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if all.is_empty() {
        return bytes;
    }
    bytes.extend(record_bytes.to_le_bytes());
    for (section, (count, words)) in all {
        for word in [section, count].into_iter().chain(words) {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes
}

struct Line<'a> {
    file: &'a str,
    text: &'a str,
    /// From 1.
    number: u32,
    /// From 1.
    column: u32,
}

/// The source files with where their lines begin.
struct Sources<'a> {
    files: &'a [(String, String)],
    starts: Vec<Vec<usize>>,
}

impl<'a> Sources<'a> {
    fn new(files: &'a [(String, String)]) -> Self {
        let starts = files.iter().map(|(_, text)| {
            let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect()
        });
        Sources {
            files,
            starts: starts.collect(),
        }
    }

    fn locate(&self, span: Span) -> Option<Line<'a>> {
        let file = span.file.0 as usize;
        let (name, text) = self.files.get(file)?;
        let starts = self.starts.get(file)?;
        let at = span.start as usize;
        let number = starts.partition_point(|start| *start <= at);
        let start = *starts.get(number.checked_sub(1)?)?;
        let end = starts.get(number).copied().unwrap_or(text.len());
        Some(Line {
            file: name,
            text: text.get(start..end)?.trim(),
            number: number as u32,
            column: (at - start + 1).min(MAX_COLUMN as usize) as u32,
        })
    }
}
