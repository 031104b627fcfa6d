//! `timer.s(n)` and the like, with `.randomize(n)`: run by rtap itself, in user space.
//!
//! A jiffy is 1/CONFIG_HZ seconds, 1/250 where the kernel does not tell.

use std::fmt::Write as _;

use rtap_grammar::diag::{Diagnostic, codes};

use super::{Candidate, Kind, Request};
use crate::image::Attach;
use crate::target::{Kconfig, Target};

pub(super) const KIND: Kind = Kind {
    name: "timer",
    forms: &[
        "timer.s(number)",
        "timer.sec(number)",
        "timer.ms(number)",
        "timer.msec(number)",
        "timer.us(number)",
        "timer.usec(number)",
        "timer.ns(number)",
        "timer.nsec(number)",
        "timer.jiffies(number)",
        "timer.hz(number)",
        "timer.s(number).randomize(number)",
        "timer.sec(number).randomize(number)",
        "timer.ms(number).randomize(number)",
        "timer.msec(number).randomize(number)",
        "timer.us(number).randomize(number)",
        "timer.usec(number).randomize(number)",
        "timer.ns(number).randomize(number)",
        "timer.nsec(number).randomize(number)",
        "timer.jiffies(number).randomize(number)",
    ],
    doc: "again and again, after a time; randomize adds or takes up to that much",
    resolve,
};

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Timer ticks per second of the kernel.
pub(super) fn ticks_per_second(target: &dyn Target) -> u64 {
    match target.kconfig("CONFIG_HZ") {
        Kconfig::Number(n) if n > 0 => n as u64,
        _ => 250,
    }
}

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let [_, unit, ..] = request.components else {
        return Ok(Vec::new());
    };
    let name = &*unit.name;
    let number = request.number(name).unwrap_or(0);
    let random = request.number("randomize");
    let out_of_range = |what: &str| {
        Box::new(
            Diagnostic::error(
                codes::BAD_POINT,
                format!("{what} of timer.{name} is out of range"),
            )
            .label(request.span, "at least 1, at most about 292 years")
            .help(format!("for example timer.{name}(1)")),
        )
    };
    let (Some(count), Some(randomize)) =
        (positive(number), u64::try_from(random.unwrap_or(0)).ok())
    else {
        return Err(out_of_range("the number"));
    };
    let unit_ns = match name {
        "s" | "sec" => Some(SECOND_NS),
        "ms" | "msec" => Some(1_000_000),
        "us" | "usec" => Some(1000),
        "ns" | "nsec" => Some(1),
        "jiffies" => Some(SECOND_NS / ticks_per_second(request.session.target)),
        _ => None,
    };
    let in_range = |n: u64, unit: u64| n.checked_mul(unit).filter(|ns| i64::try_from(*ns).is_ok());
    let (period_ns, randomize_ns) = match unit_ns {
        Some(unit) => (in_range(count, unit), in_range(randomize, unit)),
        // hz
        None => (Some(SECOND_NS / count).filter(|ns| *ns > 0), Some(0)),
    };
    let period_ns = period_ns.ok_or_else(|| out_of_range("the number"))?;
    let randomize_ns = randomize_ns.ok_or_else(|| out_of_range("randomize"))?;
    let mut text = format!("timer.{name}({number})");
    if let Some(random) = random {
        let _ = write!(text, ".randomize({random})");
    }
    let attach = Attach::Timer {
        period_ns,
        randomize_ns,
    };
    Ok(vec![Candidate::user_side(text, attach)])
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|n| *n > 0)
}
