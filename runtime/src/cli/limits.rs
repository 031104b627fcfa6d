//! `-D NAME=VALUE`: SystemTap's limits. One table.

use rtap_compiler::lir::{Limits, STACK_FRAMES};

/// A limit that rtap honours.
struct Row {
    name: &'static str,
    least: u32,
    most: u32,
    field: fn(&mut Limits) -> &mut u32,
}

/// The largest MAXACTION: as often as the kernel lets a loop go round.
const MOST_ACTIONS: u32 = 1 << 23;

const ROWS: &[Row] = &[
    Row {
        name: "MAXACTION",
        least: 1,
        most: MOST_ACTIONS,
        field: |l| &mut l.max_action,
    },
    Row {
        name: "MAXACTION_INTERRUPTIBLE",
        least: 1,
        most: u32::MAX,
        field: |l| &mut l.max_action_interruptible,
    },
    Row {
        name: "MAXBACKTRACE",
        least: 1,
        most: u32::MAX,
        field: |l| &mut l.max_backtrace,
    },
    Row {
        name: "MAXERRORS",
        least: 0,
        most: u32::MAX,
        field: |l| &mut l.max_errors,
    },
    Row {
        name: "MAXMAPENTRIES",
        least: 1,
        most: 1 << 26,
        field: |l| &mut l.max_map_entries,
    },
    Row {
        name: "MAXNESTING",
        least: 1,
        most: Limits::MOST_NESTING,
        field: |l| &mut l.max_nesting,
    },
    Row {
        name: "MAXSKIPPED",
        least: 0,
        most: u32::MAX,
        field: |l| &mut l.max_skipped,
    },
    Row {
        name: "MAXSTRINGLEN",
        least: *Limits::STRING_LENGTHS.start(),
        most: *Limits::STRING_LENGTHS.end(),
        field: |l| &mut l.max_string_len,
    },
];

/// Limits of SystemTap's kernel module that mean nothing here: accepted without a word.
const MEANINGLESS: &[&str] = &[
    "DEBUG_MEM",
    "INTERRUPTIBLE",
    "KRETACTIVE",
    "MAPHASHBIAS",
    "MAXTRYLOCK",
    "MAXUPROBES",
    "MINSTACKSPACE",
    "STP_ALIBI",
    "STP_EXECTRACE",
    "STP_MAXMEMORY",
    "STP_NO_OVERLOAD",
    "STP_OVERLOAD_INTERVAL",
    "STP_OVERLOAD_THRESHOLD",
    "STP_PROCFS_BUFSIZE",
    "TRYLOCKDELAY",
];

/// Applies the `-D` options. Gives the limits and a warning for each name that is unknown;
/// a value that is no number, or out of range, is an error.
pub fn parse(defines: &[String]) -> Result<(Limits, Vec<String>), String> {
    let mut limits = Limits::default();
    let mut warnings = Vec::new();
    for define in defines {
        let (name, value) = define.split_once('=').unwrap_or((define, "1"));
        if name.is_empty() {
            return Err(format!("-D {define}: NAME=VALUE is needed"));
        }
        let Some(row) = ROWS.iter().find(|row| row.name == name) else {
            if !MEANINGLESS.contains(&name) {
                warnings.push(format!("-D {name}: rtap has no such limit; ignored"));
            } else if number(value).is_none() {
                return Err(format!("-D {define}: a number is needed"));
            }
            continue;
        };
        let number = number(value).filter(|n| (row.least..=row.most).contains(n));
        let Some(number) = number else {
            return Err(format!(
                "-D {name}={value}: a number from {} to {} is needed",
                row.least, row.most
            ));
        };
        *(row.field)(&mut limits) = number;
        if row.name == "MAXBACKTRACE" && number > STACK_FRAMES {
            warnings.push(format!(
                "-D {define}: rtap keeps at most {STACK_FRAMES} addresses of a call stack"
            ));
        }
    }
    Ok((limits, warnings))
}

/// `--suppress-time-limits`: handlers run as long as they can be let.
pub fn lift_time_limits(limits: &mut Limits) {
    limits.max_action = MOST_ACTIONS;
    limits.max_action_interruptible = u32::MAX;
}

/// A number as C writes it: decimal, or hexadecimal behind `0x`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_taken_and_checked() {
        let (limits, warnings) =
            parse(&["MAXACTION=7".into(), "STP_NO_OVERLOAD".into()]).expect("fine");
        assert_eq!(limits.max_action, 7);
        assert!(warnings.is_empty());
        assert!(parse(&["MAXACTION=0".into()]).is_err());
        assert!(parse(&["MAXSTRINGLEN=big".into()]).is_err());
        assert!(parse(&["MAXTRYLOCK=big".into()]).is_err());
        assert!(parse(&["MAXTRYLOCK=0x10".into(), "STP_ALIBI".into()]).is_ok());
        assert_eq!(parse(&["NONSENSE=1".into()]).expect("a warning").1.len(), 1);
    }
}
