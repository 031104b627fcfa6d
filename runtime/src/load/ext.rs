//! `.BTF.ext`: function records, line records and CO-RE relocations of the code sections.

use std::collections::HashMap;

use rtap_compiler::btf::Btf;

use super::error::LoadError;
use super::image_file::CodeSection;

/// A function's type.
#[derive(Clone, Copy, Debug)]
pub(super) struct FuncInfo {
    pub insn: usize,
    pub type_id: u32,
}

/// The source line of the instructions from here on.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineInfo {
    pub insn: usize,
    pub file: u32,
    pub text: u32,
    /// `line << 10 | column`
    pub line_column: u32,
}

/// A field access to adapt.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoreReloc {
    pub insn: usize,
    pub type_id: u32,
    pub access: u32,
    pub kind: u32,
}

const HEADER_BYTES: usize = 24;
const HEADER_WITH_CORE_BYTES: usize = 32;

/// Reads the records of all sections into `code`, whose names are `names`.
pub(super) fn read(
    blob: &[u8],
    btf: &Btf,
    names: &[String],
    code: &mut [CodeSection],
) -> Result<(), LoadError> {
    let cut = || LoadError::damaged("'.BTF.ext' is cut short");
    let names = &names.iter().map(String::as_str).zip(0..).collect();
    let header_bytes = word(blob, 4).ok_or_else(cut)? as usize;
    if header_bytes < HEADER_BYTES || word(blob, 0).map(|w| w & 0xffff) != Some(0xeb9f) {
        return Err(LoadError::damaged("'.BTF.ext' has a bad header"));
    }
    let table = |at: usize| -> Result<&[u8], LoadError> {
        let start = header_bytes.checked_add(word(blob, at).ok_or_else(cut)? as usize);
        let start = start.ok_or_else(cut)?;
        let end = start.checked_add(word(blob, at + 4).ok_or_else(cut)? as usize);
        blob.get(start..end.ok_or_else(cut)?).ok_or_else(cut)
    };
    records(table(8)?, 2, btf, names, code, &mut |code,
                                                  [
        insn,
        type_id,
        ..,
    ]| {
        code.func_infos.push(FuncInfo {
            insn: insn as usize / 8,
            type_id,
        });
    })?;
    records(table(16)?, 4, btf, names, code, &mut |code,
                                                   [
        insn,
        file,
        text,
        line_column,
    ]| {
        let insn = insn as usize / 8;
        code.line_infos.push(LineInfo {
            insn,
            file,
            text,
            line_column,
        });
    })?;
    if header_bytes >= HEADER_WITH_CORE_BYTES {
        records(table(24)?, 4, btf, names, code, &mut |code,
                                                       [
            insn,
            type_id,
            access,
            kind,
        ]| {
            code.core_relocs.push(CoreReloc {
                insn: insn as usize / 8,
                type_id,
                access,
                kind,
            });
        })?;
    }
    for code in code {
        code.func_infos.sort_by_key(|info| info.insn);
        code.line_infos.sort_by_key(|info| info.insn);
    }
    Ok(())
}

/// Reads one table: the size of a record, then for each section its name, the number
/// of records and the records.
fn records(
    table: &[u8],
    words: usize,
    btf: &Btf,
    names: &HashMap<&str, usize>,
    code: &mut [CodeSection],
    add: &mut dyn FnMut(&mut CodeSection, [u32; 4]),
) -> Result<(), LoadError> {
    if table.is_empty() {
        return Ok(());
    }
    let cut = || LoadError::damaged("'.BTF.ext' is cut short");
    let record_bytes = word(table, 0).ok_or_else(cut)? as usize;
    if record_bytes < words * 4 {
        return Err(LoadError::damaged(
            "'.BTF.ext' has records that are too small",
        ));
    }
    let mut at = 4;
    while at < table.len() {
        let name = btf.string(word(table, at).ok_or_else(cut)?);
        let count = word(table, at + 4).ok_or_else(cut)? as usize;
        at += 8;
        let section = names.get(name);
        for _ in 0..count {
            let mut record = [0; 4];
            for (n, slot) in record.iter_mut().enumerate().take(words) {
                *slot = word(table, at + n * 4).ok_or_else(cut)?;
            }
            if let Some(code) = section.and_then(|&index| code.get_mut(index)) {
                add(code, record);
            }
            at += record_bytes;
        }
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}
