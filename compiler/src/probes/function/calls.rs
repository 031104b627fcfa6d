//! `.callee("g")`, `.callees`, `.callees(n)`: what a function of the kernel calls, when that function calls it, by debug
//! information.
//!
//! What is called has a kprobe at its entry, or a kretprobe, and a condition: that what called it is in the function's code.
//! What has been inlined is probed where its code begins. Calls by pointers are not known, nor which function a jump at the
//! end of another (a tail call) comes from.

use std::ops::Range;
use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};

use super::super::locals::DebugVars;
use super::super::source::{self, Wanted};
use super::super::{Candidate, Request, debug_info, glob, instruction, is_pattern};
use super::namesakes::Namesakes;
use super::{How, address, candidate, find, of_source};
use crate::dwarf::{self, Call, CallKind, Instances};
use crate::target::{Fetch, KernelObject};

/// The symbol that addresses of the kernel are counted from.
const KERNEL_START: &str = "_text";
/// Where the kernel tells a return probe what its function returns to.
const TELLS_RETURN: (u32, u32) = (5, 16);
/// More points are not made of one.
const MAX_POINTS: usize = 4096;

/// What one point means.
struct Search<'s> {
    request: &'s Request<'s>,
    object: &'s KernelObject,
    names: Namesakes<'s>,
    pattern: &'s str,
    is_return: bool,
    /// Whether what is inlined is meant.
    with_inlined: bool,
    out: Vec<Candidate>,
    /// All that is called, for messages.
    called: Vec<String>,
    /// What is called by jumps.
    jumped: Vec<String>,
}

/// Code of a function that called, as distances from something of which the address is known.
#[derive(Clone)]
struct Frame {
    base: String,
    ranges: Vec<Range<i64>>,
}

/// Points in what functions call.
pub(super) fn callees(
    request: &Request<'_>,
    module: Option<&str>,
    place: &source::Place<'_>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    instruction::need_kprobes(request)?;
    let is_return = request.has("return");
    let kernel = request.session.target.kernel();
    if is_return && kernel.minor() < TELLS_RETURN {
        let title = "which function was returned to is not known";
        return Err(Box::new(
            Diagnostic::error(codes::POINT_UNAVAILABLE, title)
                .label(request.span, "this probe point")
                .note(format!("it needs Linux 5.16, this is {kernel}")),
        ));
    }
    let object = request.session.target.kernel_object(module, Fetch::Yes);
    let object = object.map_err(|why| {
        let help = "probe the function that is called; in the handler caller() tells who called it";
        let title = "which functions a function calls is not known";
        Box::new(debug_info::needed(title, &why, help, request.span))
    })?;
    let wanted = Wanted::Functions(Instances::Called);
    let callers = of_source::located(request, &object, module, place, wanted)?;
    let btf = find::btf(request, module).ok();
    let mut search = Search {
        request,
        object: &object,
        names: Namesakes {
            request,
            btf: btf.as_ref(),
            module,
        },
        pattern: request.text("callee").unwrap_or("*"),
        is_return,
        with_inlined: !is_return && !request.has("call"),
        out: Vec::new(),
        called: Vec::new(),
        jumped: Vec::new(),
    };
    let depth = request.number("callees").unwrap_or(1);
    for (caller, _) in &callers {
        search.below(caller, &[], depth)?;
    }
    if search.out.is_empty() {
        return Err(Box::new(search.nothing(place.function)));
    }
    Ok(search.out)
}

impl Search<'_> {
    /// Points in what a function calls that itself is called from others.
    fn below(
        &mut self,
        caller: &dwarf::Place,
        above: &[Frame],
        depth: i64,
    ) -> Result<(), Box<Diagnostic>> {
        let calls = self.object.info.calls_of(caller.address);
        let Ok(Some(calls)) = calls else {
            return Ok(());
        };
        let Some(frame) = self.frame(caller.address, &calls.ranges) else {
            return Ok(());
        };
        let frames = [&[frame], above].concat();
        let mut levels: Vec<i64> = Vec::with_capacity(calls.all.len());
        for call in &calls.all {
            let level = call.within.map_or(0, |at| levels[at]) + 1;
            levels.push(level);
            if level > depth {
                continue;
            }
            let by = call.within.map_or(caller, |at| &calls.all[at].callee);
            if level == 1 {
                self.called.push(call.callee.function.clone());
            }
            match call.how {
                CallKind::Jump => self.jumped.push(call.callee.function.clone()),
                CallKind::Inlined => self.inlined(by, call, above)?,
                CallKind::Call => {
                    for callee in self.entries(call) {
                        self.called_at(by, &callee, &frames)?;
                        // What compilers call of their own accord has no source.
                        if level < depth && !callee.file.is_empty() {
                            self.below(&callee, &frames, depth - level)?;
                        }
                    }
                }
            }
            if self.out.len() > MAX_POINTS {
                let title = format!("the functions called are more than {MAX_POINTS}");
                return Err(Box::new(
                    Diagnostic::error(codes::POINT_UNAVAILABLE, title)
                        .label(self.request.span, "this probe point")
                        .help("name them, or go less deep"),
                ));
            }
        }
        Ok(())
    }

    /// Where the function of a call begins; those of other units by their symbols.
    fn entries(&self, call: &Call) -> Vec<dwarf::Place> {
        let at = |address: u64| dwarf::Place {
            address,
            ..call.callee.clone()
        };
        match call.callee.address {
            0 => {
                let named = self.object.named(&call.callee.function);
                named.map(|symbol| at(symbol.start)).collect()
            }
            address => vec![at(address)],
        }
    }

    fn called_at(
        &mut self,
        by: &dwarf::Place,
        callee: &dwarf::Place,
        frames: &[Frame],
    ) -> Result<(), Box<Diagnostic>> {
        if !glob(self.pattern, &callee.function) {
            return Ok(());
        }
        let names = self.names;
        let place = address::of_object(self.request, self.object, names.module, callee)?;
        let Some(place) = place.filter(|place| place.offset == 0) else {
            return Ok(());
        };
        if is_pattern(self.pattern) && !self.is_traceable(&place.name) {
            return Ok(());
        }
        let mut found = match place.address {
            0 => names.only(&place.name),
            _ => names.one(&place),
        };
        let is_copy = place.name != callee.function;
        found.copy_of = is_copy.then(|| callee.function.clone());
        let (how, end) = if self.is_return {
            (How::Kretprobe, ".return")
        } else {
            (How::Kprobe, "")
        };
        let point = candidate(0, found, (names.module, false), how);
        let text = format!("{}{end}", self.shown(by, callee));
        let condition = match frames {
            [frame, ..] if self.is_return => Some(frame.has("_returned_into(")),
            frames => called_within(frames),
        };
        self.add(Candidate {
            text,
            condition,
            // Links to several functions do not tell what these return to.
            share: point.share.filter(|_| !self.is_return),
            ..point
        });
        Ok(())
    }

    fn inlined(
        &mut self,
        by: &dwarf::Place,
        call: &Call,
        above: &[Frame],
    ) -> Result<(), Box<Diagnostic>> {
        let callee = &call.callee;
        // Where compilers have inlined a part of a function, it is inlined into itself.
        if by == callee || !self.with_inlined || !glob(self.pattern, &callee.function) {
            return Ok(());
        }
        let module = self.names.module;
        let object = self
            .request
            .session
            .target
            .kernel_object(module, Fetch::Yes);
        let place = address::of_object(self.request, self.object, module, callee)?;
        let (Ok(object), Some(place)) = (object, place) else {
            return Ok(());
        };
        let vars = DebugVars::of_source(&place, callee, &object);
        let text = self.shown(by, callee);
        let point = instruction::candidate(place, text, callee.function.clone(), Rc::new(vars));
        self.add(Candidate {
            condition: called_within(above),
            ..point
        });
        Ok(())
    }

    /// Adds a point, once.
    fn add(&mut self, point: Candidate) {
        let is_same = |other: &Candidate| {
            (&other.text, &other.attach, &other.condition)
                == (&point.text, &point.attach, &point.condition)
        };
        if !self.out.iter().any(is_same) {
            self.out.push(point);
        }
    }

    fn shown(&self, by: &dwarf::Place, callee: &dwarf::Place) -> String {
        let module = self.names.module;
        let of = module.map_or("kernel".to_owned(), |m| format!("module(\"{m}\")"));
        format!(
            "{of}.function({}).callee(\"{}\")",
            by.shown(),
            callee.function
        )
    }

    /// Whether the kernel lets a function be traced, if it tells.
    fn is_traceable(&self, name: &str) -> bool {
        let Ok(all) = self.request.session.target.traceable_functions() else {
            return true;
        };
        let module = self.names.module;
        let mut of_module = all.iter().filter(|f| f.module.as_deref() == module);
        of_module.any(|f| f.name == name)
    }

    /// The code of a function that begins at an address of the file.
    fn frame(&self, address: u64, ranges: &[Range<u64>]) -> Option<Frame> {
        // Sections of modules are loaded anywhere.
        let (base, start) = match self.names.module {
            None => {
                let start = self.object.named(KERNEL_START).next()?.start;
                (format!("&@var(\"{KERNEL_START}\")"), start)
            }
            Some(module) => {
                let symbol = self.object.symbol(address)?;
                (
                    format!("&@var(\"{}\", \"{module}\")", symbol.name),
                    symbol.start,
                )
            }
        };
        let away = |at: u64| at.wrapping_sub(start).cast_signed();
        Some(Frame {
            base,
            ranges: ranges.iter().map(|r| away(r.start)..away(r.end)).collect(),
        })
    }

    fn nothing(&self, caller: &str) -> Diagnostic {
        let pattern = self.pattern;
        let refuse = |title: String, label: &str| {
            Diagnostic::error(codes::NO_KERNEL_FUNCTION, title).label(self.request.span, label)
        };
        if self.jumped.iter().any(|name| glob(pattern, name)) {
            return refuse(
                format!("'{caller}' calls '{pattern}' by a jump"),
                "a tail call: what is called returns to what called the caller",
            )
            .help("probe the function that is called; stack(1) is where it returns to");
        }
        if self.called.iter().any(|name| glob(pattern, name)) {
            let help = "what is inlined has neither .call nor .return; what is called from elsewhere may not be traceable";
            return refuse(
                format!("'{pattern}' that '{caller}' calls cannot be probed so"),
                "this probe point",
            )
            .help(help);
        }
        let near = did_you_mean(pattern, self.called.iter().map(String::as_str));
        let title = match pattern {
            "*" => format!("'{caller}' calls no functions"),
            _ => format!("'{caller}' calls no function '{pattern}'"),
        };
        refuse(title, "calls by pointers are not known").help_if(near)
    }
}

/// The condition that the innermost of these called what is probed, the next one that, and so on.
fn called_within(frames: &[Frame]) -> Option<String> {
    let all = frames.iter().zip(1..);
    let all: Vec<String> = all
        .map(|(frame, calls)| frame.has(&format!("_called_within({calls}, ")))
        .collect();
    (!all.is_empty()).then(|| all.join(" && "))
}

impl Frame {
    /// A condition that an address is in it; `call` is the start of what asks.
    fn has(&self, call: &str) -> String {
        let one =
            |range: &Range<i64>| format!("{call}{}, {}, {})", self.base, range.start, range.end);
        let all: Vec<String> = self.ranges.iter().map(one).collect();
        format!("({})", all.join(" || "))
    }
}
