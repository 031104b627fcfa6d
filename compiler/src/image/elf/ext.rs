//! The image's `.BTF.ext`: which type each program has, and which line of the script each
//! instruction comes from, so that the verifier's log and `bpftool prog dump xlated linum` show the
//! user's source.

use rtap_grammar::source::Span;

use super::Placed;
use super::btf::Written;
use crate::bpf::ProgramCode;
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

/// Numbers of one ELF section.
struct Infos {
    section: u32,
    words: Vec<u32>,
    count: u32,
}

/// Writes the section; names and source lines are added to the BTF's strings.
pub fn write(
    btf: &mut Written,
    programs: &[ProgramCode],
    placed: &[Placed],
    module: &Module,
    files: &[(String, String)],
) -> Vec<u8> {
    let mut funcs: Vec<Infos> = Vec::new();
    let mut lines: Vec<Infos> = Vec::new();
    let mut cores: Vec<Infos> = Vec::new();
    for (n, (program, place)) in programs.iter().zip(placed).enumerate() {
        let section = btf.builder.string(&place.section);
        let func = infos(&mut funcs, section);
        func.words.extend([place.offset, btf.functions[n].0]);
        func.count += 1;
        // The kernel wants a line for the first instruction of every function.
        let mut known: Vec<(usize, Span)> = program.lines.clone();
        if known.first().is_some_and(|(insn, _)| *insn != 0) {
            known[0].0 = 0;
        }
        // Marks of instructions that came to nothing fall on the next one's: the last counts,
        // since the kernel takes one line for each instruction.
        let mut marks: Vec<(u32, Line<'_>)> = Vec::with_capacity(known.len());
        for (insn, span) in known {
            let Some(line) = locate(span, files) else {
                continue;
            };
            let slot = program.code.slots.get(insn).copied().unwrap_or(0);
            if marks.last().is_some_and(|(last, _)| *last == slot) {
                marks.pop();
            }
            marks.push((slot, line));
        }
        for (slot, line) in marks {
            let name = btf.builder.string(line.file);
            let text = btf.builder.string(line.text);
            let info = infos(&mut lines, section);
            info.words.extend([
                place.offset + slot * 8,
                name,
                text,
                line.number << 10 | line.column,
            ]);
            info.count += 1;
        }
    }
    for (program, place) in programs.iter().zip(placed) {
        let section = btf.builder.string(&place.section);
        for (insn, core) in &program.cores {
            let fact = &module.core[*core];
            let Some(ty) = btf.kernel.get(&TypeId(fact.type_id)).copied() else {
                continue;
            };
            let slot = program.code.slots.get(*insn).copied().unwrap_or(0);
            let access = btf.builder.string(&fact.access);
            let info = infos(&mut cores, section);
            info.words
                .extend([place.offset + slot * 8, ty.0, access, number(fact.kind)]);
            info.count += 1;
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

fn infos(all: &mut Vec<Infos>, section: u32) -> &mut Infos {
    let known = all.iter().position(|infos| infos.section == section);
    let index = known.unwrap_or_else(|| {
        all.push(Infos {
            section,
            words: Vec::new(),
            count: 0,
        });
        all.len() - 1
    });
    &mut all[index]
}

fn table(all: &[Infos], record_bytes: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if all.is_empty() {
        return bytes;
    }
    bytes.extend(record_bytes.to_le_bytes());
    for infos in all {
        bytes.extend(infos.section.to_le_bytes());
        bytes.extend(infos.count.to_le_bytes());
        for word in &infos.words {
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

fn locate(span: Span, files: &[(String, String)]) -> Option<Line<'_>> {
    let (file, text) = files.get(span.file.0 as usize)?;
    let before = text.get(..span.start as usize)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    Some(Line {
        file,
        text: text[start..end].trim(),
        number: before.bytes().filter(|&b| b == b'\n').count() as u32 + 1,
        column: (span.start - start as u32 + 1).min(MAX_COLUMN),
    })
}
