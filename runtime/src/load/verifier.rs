//! A refusal by the verifier in terms of the script: one sentence, at a line.

use std::fmt;

use super::image_file::ObjectFile;
use super::link::Linked;
use crate::bpf::prog::LoadFailure;
use crate::host::reason;

/// A place in the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 when not known.
    pub column: u32,
    /// The text of the line.
    pub text: String,
}

/// Why a program was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The verifier's last sentence, or the system's word when it said nothing.
    pub message: String,
    /// The instruction it was about, from the program's start.
    pub insn: Option<usize>,
    /// The script's line for that instruction.
    pub place: Option<SourceLine>,
    /// The system's error number.
    pub errno: Option<i32>,
    /// The log in full, for `-v`.
    pub log: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, " (at {}:{}:{})", place.file, place.line, place.column),
            None => Ok(()),
        }
    }
}

/// Finds sentence and place in a failure's log.
pub(super) fn explain(failure: &LoadFailure, linked: &Linked, object: &ObjectFile) -> Verdict {
    let insn = last_insn(&failure.log);
    let message = last_sentence(&failure.log).unwrap_or_else(|| reason(&failure.error));
    let place = insn.and_then(|insn| {
        let after = linked
            .lines
            .partition_point(|line| line[0] as usize <= insn);
        let &[_, file, text, line_column] = linked.lines.get(after.checked_sub(1)?)?;
        let btf = object.btf.as_ref()?;
        Some(SourceLine {
            file: btf.string(file).to_owned(),
            line: line_column >> 10,
            column: line_column & 0x3ff,
            text: btf.string(text).to_owned(),
        })
    });
    Verdict {
        message,
        insn,
        place,
        errno: failure.error.raw_os_error(),
        log: failure.log.clone(),
    }
}

/// The last line that is neither an instruction, a state, a source line nor statistics.
fn last_sentence(log: &str) -> Option<String> {
    const STATISTICS: [&str; 4] = [
        "processed ",
        "verification time",
        "stack depth",
        "mark_precise",
    ];
    // It says this behind the instruction at which it gives up, on the same line.
    const TOO_LARGE: &str = "BPF program is too large";
    log.lines()
        .rev()
        .map(|line| line.find(TOO_LARGE).map_or(line, |at| &line[at..]).trim())
        .find(|line| {
            !line.is_empty()
                && !STATISTICS.iter().any(|start| line.starts_with(start))
                && !line.starts_with(';')
                && insn_number(line).is_none()
        })
        .map(str::to_owned)
}

/// The last instruction that the verifier looked at.
fn last_insn(log: &str) -> Option<usize> {
    log.lines().rev().find_map(|line| insn_number(line.trim()))
}

/// `12: (79) r1 = *(u64 *)(r6 +0)`, `from 3 to 12: R0=…` or `12: R1=ctx()`.
fn insn_number(line: &str) -> Option<usize> {
    let line = match line.strip_prefix("from ") {
        Some(rest) => rest.split_once(" to ")?.1,
        None => line,
    };
    let (number, rest) = line.split_once(':')?;
    let is_insn = rest.starts_with(" (") || rest.starts_with(" R") || rest.starts_with(" safe");
    is_insn.then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_sentence_and_instruction() {
        let log = "func#0 @0\n0: R1=ctx() R10=fp0\n; x = 1 @ a.stp:3\n0: (79) r1 = *(u64 *)(r1 +0)\n\
                   1: (71) r0 = *(u8 *)(r1 +0)\nR1 invalid mem access 'scalar'\n\
                   processed 2 insns (limit 1000000) max_states_per_insn 0\n";
        assert_eq!(
            last_sentence(log).as_deref(),
            Some("R1 invalid mem access 'scalar'")
        );
        assert_eq!(last_insn(log), Some(1));
        assert_eq!(insn_number("from 3 to 12: R0=1"), Some(12));
        assert_eq!(insn_number("from 3 to 4: safe"), Some(4));
        assert_eq!(
            last_insn("BPF program is too large. Processed 1000001 insn"),
            None
        );
        assert_eq!(last_sentence(""), None);
        let log = "Validating part() func#53...\n6930: (b7) r1 = 0\n\
                   6931: (25) if r1 > 0x30 goto pc+115 BPF program is too large. Processed 1000001 insn\n\
                   processed 1000001 insns (limit 1000000)\n";
        assert_eq!(
            last_sentence(log).as_deref(),
            Some("BPF program is too large. Processed 1000001 insn")
        );
        assert_eq!(last_insn(log), Some(6931));
    }
}
