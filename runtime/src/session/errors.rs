//! Texts of run-time errors. The wording is SystemTap's (observed), so that scripts which
//! look at a caught message keep working.

use rtap_compiler::lir::{ErrorKind, ErrorPart, Site};

/// The message that `catch (msg)` sees. `text` is the message buffer of `error("…")` and of
/// functions of user space.
pub fn message(kind: ErrorKind, arg: i64, text: &[u8]) -> Vec<u8> {
    // An empty statistic has no buckets to be out of range of.
    let kind = match kind {
        ErrorKind::HistRange if arg == i64::MIN => ErrorKind::EmptyStat,
        kind => kind,
    };
    let mut message = Vec::new();
    for part in kind.parts() {
        match part {
            ErrorPart::Text(part) => message.extend_from_slice(part.as_bytes()),
            ErrorPart::Hex => message.extend_from_slice(format!("{arg:016x}").as_bytes()),
            ErrorPart::Decimal => message.extend_from_slice(arg.to_string().as_bytes()),
            ErrorPart::Buffer => message.extend_from_slice(text),
        }
    }
    message
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
