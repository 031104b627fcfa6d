//! Texts of run-time errors. The wording is SystemTap's (observed), so that scripts which
//! look at a caught message keep working.

use rtap_compiler::lir::{ErrorKind, Site, Space};

/// The message that `catch (msg)` sees. `text` is the message buffer of `error("…")` and of
/// functions of user space.
pub fn message(kind: ErrorKind, arg: i64, text: &[u8]) -> Vec<u8> {
    match kind {
        ErrorKind::DivisionByZero => b"division by 0".to_vec(),
        ErrorKind::ArrayOverflow { max_entries } => {
            format!("Array overflow, check size limit ({max_entries})").into_bytes()
        }
        ErrorKind::EmptyStat => b"empty aggregate".to_vec(),
        // An empty statistic has no buckets to be out of range of.
        ErrorKind::HistRange if arg == i64::MIN => b"empty aggregate".to_vec(),
        ErrorKind::HistRange => b"histogram index out of range".to_vec(),
        ErrorKind::ReadFault(space) => {
            let space = match space {
                Space::Kernel => "kernel",
                Space::User => "user",
            };
            format!("{space} read fault at 0x{arg:016x} [man error::fault]").into_bytes()
        }
        ErrorKind::MaxAction => b"MAXACTION exceeded".to_vec(),
        ErrorKind::MaxNesting => b"MAXNESTING exceeded".to_vec(),
        ErrorKind::Script | ErrorKind::UserFn => text.to_vec(),
        ErrorKind::NoEntry => b"return probe without its entry".to_vec(),
        ErrorKind::IterationTooBig => b"array too big to iterate over in a kernel handler".to_vec(),
        ErrorKind::NoOverload => b"all functions exhausted".to_vec(),
        ErrorKind::MatchRange => {
            format!("Attempted to get nonexistent subexpression {arg}").into_bytes()
        }
    }
}

/// The line that reports an error nobody caught: `ERROR: division by 0 near operator '/' at
/// file:1:2`. What a script itself says with `error("…")` is shown alone.
pub fn report(site: Option<&Site>, arg: i64, text: &[u8]) -> String {
    let Some(site) = site else {
        return "ERROR: unknown error: the event's record is corrupt".into();
    };
    let message = message(site.kind, arg, text);
    let message = String::from_utf8_lossy(&message);
    // As with warn(), a newline at the end is not doubled.
    let message = message.strip_suffix('\n').unwrap_or(&message);
    match site.kind {
        ErrorKind::Script => format!("ERROR: {message}"),
        _ => format!("ERROR: {message} near {} at {}", site.near, site.position),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_name_the_place() {
        let site = Site {
            kind: ErrorKind::DivisionByZero,
            near: "operator '/'".into(),
            position: "a.stp:1:2".into(),
        };
        assert_eq!(
            report(Some(&site), 0, b""),
            "ERROR: division by 0 near operator '/' at a.stp:1:2"
        );
        let site = Site {
            kind: ErrorKind::Script,
            ..site
        };
        assert_eq!(report(Some(&site), 0, b"boom"), "ERROR: boom");
    }
}
