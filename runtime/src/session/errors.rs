//! Texts of run-time errors. The wording of messages is SystemTap's (observed), so that scripts which
//! look at a caught message keep working; so is the first line of a report.

use std::fmt::Write as _;

use cranelift_entity::PrimaryMap;
use rtap_compiler::lir::chain::callers;
use rtap_compiler::lir::{ErrorKind, ErrorPart, HandlerId, Module, Site, SiteId};

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

/// What reports an error nobody caught: a line as SystemTap's, then where control came from.
///
/// ```text
/// ERROR: division by 0 near operator '/' at file:1:2
///     in inner(), called at file:5:9
///     in outer(), which calls itself, called at file:9:3
///     in probe begin
/// ```
///
/// What a script itself says with `error("…")` is shown alone in the first line; the call of `error()` is in the second.
pub fn report<'a>(
    sites: &'a PrimaryMap<SiteId, Site>,
    site: i64,
    arg: i64,
    text: &[u8],
    mut probe: &'a str,
) -> String {
    let id = u32::try_from(site).ok().map(SiteId::from_u32);
    let Some((id, site)) = id.and_then(|id| Some((id, sites.get(id)?))) else {
        return "ERROR: unknown error: the event's record is corrupt".into();
    };
    let message = message(site.kind, arg, text);
    let message = String::from_utf8_lossy(&message);
    // As with warn(), a newline at the end is not doubled.
    let message = message.strip_suffix('\n').unwrap_or(&message);
    let mut report = format!("ERROR: {message}");
    let mut calls = String::new();
    let mut call = |name: &str, again: &str, position: &str| {
        let _ = write!(calls, "\n    in {name}(){again}, called at {position}");
    };
    if site.kind == ErrorKind::Script {
        call("error", "", &site.position);
    } else {
        let _ = write!(report, " near {} at {}", site.near, site.position);
    }
    for site in callers(sites, id) {
        if site.kind == ErrorKind::Probe {
            probe = &site.near;
            break;
        }
        let again = match site.kind {
            ErrorKind::RecursiveCall => ", which calls itself",
            _ => "",
        };
        call(&site.near, again, &site.position);
    }
    let _ = write!(report, "{calls}\n    in probe {probe}");
    report
}

/// What a report says of a handler: its point if it has one or if it is known, else the points as
/// written.
pub fn probe(module: &Module, handler: HandlerId, point: Option<u32>) -> &str {
    let Some(handler) = module.handlers.get(handler) else {
        return "?";
    };
    match (&handler.points[..], point) {
        ([only], _) => &only.text,
        (points, Some(point)) if (point as usize) < points.len() => &points[point as usize].text,
        _ => handler.name.strip_prefix("probe ").unwrap_or(&handler.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(all: &[(ErrorKind, &str, &str, Option<u32>)]) -> PrimaryMap<SiteId, Site> {
        all.iter()
            .map(|(kind, near, position, caller)| Site {
                kind: *kind,
                near: (*near).into(),
                position: (*position).into(),
                caller: caller.map(SiteId::from_u32),
            })
            .collect()
    }

    #[test]
    fn reports_name_the_place_and_the_calls() {
        let sites = sites(&[
            (ErrorKind::Call, "outer", "a.stp:9:1", None),
            (ErrorKind::RecursiveCall, "middle", "a.stp:7:1", Some(0)),
            (ErrorKind::Call, "inner", "a.stp:5:1", Some(1)),
            (
                ErrorKind::DivisionByZero,
                "operator '/'",
                "a.stp:1:2",
                Some(2),
            ),
            (ErrorKind::Script, "identifier 'error'", "a.stp:1:5", None),
        ]);
        assert_eq!(
            report(&sites, 3, 0, b"", "begin"),
            "ERROR: division by 0 near operator '/' at a.stp:1:2\n    \
             in inner(), called at a.stp:5:1\n    \
             in middle(), which calls itself, called at a.stp:7:1\n    \
             in outer(), called at a.stp:9:1\n    \
             in probe begin"
        );
        assert_eq!(
            report(&sites, 4, 0, b"boom\n", "end"),
            "ERROR: boom\n    in error(), called at a.stp:1:5\n    in probe end"
        );
    }
}
