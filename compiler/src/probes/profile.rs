//! `timer.profile`, `timer.profile.freq.hz(n)`, `perf.type(t).config(c)` with `.sample(n)`, `.hz(n)` or
//! `.counter("name")`, and `.process("path")`: perf events on every CPU.
//!
//! A process is chosen by a condition before the handler: it moves from CPU to CPU, and others
//! like it may begin later.

use std::fmt::Write as _;
use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::process::subject as process_subject;
use super::{Candidate, ContextVars, Kind, Request, function};
use crate::image::{Attach, PerfPeriod};
use crate::lir::{Context, Exec};
use crate::target::Feature;

pub(super) const KIND: Kind = Kind {
    name: "profile",
    forms: &[
        "timer.profile",
        "timer.profile.tick",
        "timer.profile.freq.hz(number)",
        "timer.profile.freq(number)",
        "perf.type(number).config(number)",
        "perf.type(number).config(number).sample(number)",
        "perf.type(number).config(number).hz(number)",
        "perf.type(number).config(number).process",
        "perf.type(number).config(number).process(string)",
        "perf.type(number).config(number).process.sample(number)",
        "perf.type(number).config(number).process(string).sample(number)",
        "perf.type(number).config(number).sample(number).process",
        "perf.type(number).config(number).sample(number).process(string)",
        "perf.type(number).config(number).process.hz(number)",
        "perf.type(number).config(number).process(string).hz(number)",
        "perf.type(number).config(number).hz(number).process",
        "perf.type(number).config(number).hz(number).process(string)",
        "perf.type(number).config(number).counter(string)",
        "perf.type(number).config(number).process.counter(string)",
        "perf.type(number).config(number).process(string).counter(string)",
    ],
    doc: "samples on every CPU, by time or by a counter; of one program with process",
    resolve,
};

/// Events between samples if nothing is said, as SystemTap has it.
const DEFAULT_SAMPLE: u64 = 1_000_000;
/// Most samples a second that make sense.
const MAX_HZ: i64 = 100_000;

fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    if !request.session.target.has(Feature::PerfEvent) {
        return Err(Box::new(
            Diagnostic::error(codes::POINT_UNAVAILABLE, "this kernel cannot sample")
                .label(request.span, "this probe point")
                .note(function::feature_missing(request, Feature::PerfEvent)),
        ));
    }
    let hz = request.number("hz").or_else(|| request.number("freq"));
    if hz.is_some_and(|hz| !(1..=MAX_HZ).contains(&hz)) {
        return Err(Box::new(
            Diagnostic::error(codes::BAD_POINT, "the frequency is out of range").label(
                request.span,
                format!("1 to {MAX_HZ} samples a second are possible"),
            ),
        ));
    }
    let subject = if request.has("process") {
        Some(process_subject::find(request)?)
    } else {
        None
    };
    let condition = subject.as_ref().and_then(|s| s.condition(false));
    if subject.is_some() && condition.is_none() {
        return Err(Box::new(
            Diagnostic::error(codes::BAD_POINT, "which process is not said")
                .label(request.span, "no program named here")
                .help("name it, .process(\"path\"), or run a command with -c"),
        ));
    }
    let (mut text, attach) = if request.has("perf") {
        perf(request, hz)?
    } else {
        let text = hz.map_or("timer.profile".to_owned(), |hz| {
            format!("timer.profile.freq.hz({hz})")
        });
        (
            text,
            Attach::Profile {
                hz: hz.unwrap_or(0) as u64,
            },
        )
    };
    if let Some(subject) = &subject {
        let _ = write!(text, ".{}", subject.text);
    }
    if let Attach::PerfCounter { name, .. } = &attach {
        _ = write!(text, ".counter(\"{name}\")");
        return Ok(vec![Candidate {
            condition,
            ..Candidate::user_side(text, attach)
        }]);
    }
    Ok(vec![Candidate {
        text,
        function: String::new(),
        module: String::new(),
        attach,
        selector: None,
        exec: Exec::Kernel,
        context: Context::PerfEvent,
        vars: Rc::new(SampleVars),
        share: None,
        entry: None,
        condition,
    }])
}

fn perf(request: &Request<'_>, hz: Option<i64>) -> Result<(String, Attach), Box<Diagnostic>> {
    let (kind, config) = (
        request.number("type").unwrap_or(0),
        request.number("config").unwrap_or(0),
    );
    let sample = request.number("sample");
    let out_of_range = |what: &str| {
        Box::new(
            Diagnostic::error(codes::BAD_POINT, format!("the {what} is out of range"))
                .label(request.span, "in this probe point"),
        )
    };
    let kind = u32::try_from(kind).map_err(|_| out_of_range("type"))?;
    let config = config as u64;
    let mut text = format!("perf.type({kind}).config({config})");
    if let Some(name) = request.text("counter") {
        let name = name.to_owned();
        return Ok((
            text,
            Attach::PerfCounter {
                name,
                number: 0,
                kind,
                config,
            },
        ));
    }
    let period = match (hz, sample) {
        (Some(hz), _) => PerfPeriod::Hz(hz as u64),
        (None, None) => PerfPeriod::Count(DEFAULT_SAMPLE),
        (None, Some(n)) if n > 0 => PerfPeriod::Count(n as u64),
        (None, Some(_)) => return Err(out_of_range("number of events")),
    };
    match period {
        PerfPeriod::Count(n) if sample.is_some() => _ = write!(text, ".sample({n})"),
        PerfPeriod::Count(_) => {}
        PerfPeriod::Hz(n) => _ = write!(text, ".hz({n})"),
    }
    Ok((
        text,
        Attach::PerfEvent {
            kind,
            config,
            period,
        },
    ))
}

/// Perf events have no variables, but registers.
pub(super) struct SampleVars;

impl ContextVars for SampleVars {
    fn has_registers(&self) -> bool {
        true
    }
}
