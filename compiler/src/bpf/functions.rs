//! The functions of a program, from when they are apart to when they are finished.

use rtap_grammar::source::Span;

use super::error::BpfError;
use super::insn::{Insn, Wide};
use super::object::{Arguments, FunctionCode};
use super::outline::MAX_PACKED;
use super::outline::{Outlined, OutlinedApart};
use super::regalloc::Allocator;
use super::vcode::{TReg, VCode};
use super::{MAX_CALLS, PROGRAM_SLOTS, STACK_STEP_BYTES, encode};

/// A function of a program before registers are allocated.
pub struct Part {
    /// Its code.
    pub code: VCode,
    /// The parts that call it, by their numbers; none for the entry.
    pub callers: Vec<usize>,
    /// What it is called with.
    pub arguments: Arguments,
}

impl Part {
    /// One that is called with the frame's index.
    pub fn new(code: VCode, caller: Option<usize>) -> Part {
        Part {
            code,
            callers: caller.into_iter().collect(),
            arguments: Arguments::Index,
        }
    }

    /// All its instructions.
    fn insns_mut(&mut self) -> impl Iterator<Item = &mut Insn<TReg>> {
        let insts = self.code.blocks.iter_mut().flat_map(|b| &mut b.insts);
        insts.flat_map(|inst| &mut inst.code)
    }
}

/// Puts the functions apart, which are known by numbers of their own until now, behind the other parts.
pub fn add_apart(outlined: Outlined) -> Vec<Part> {
    let mut parts = outlined.parts;
    let mut begins = vec![0; outlined.apart.len()];
    // Callers stand before what they call.
    let (inner, outer): (Vec<_>, Vec<_>) =
        (outlined.apart.into_iter().enumerate()).partition(|(_, one)| one.is_inner);
    for (number, one) in outer.into_iter().chain(inner) {
        let OutlinedApart {
            parts: mut own,
            is_callback,
            ..
        } = one;
        let first = parts.len();
        begins[number] = first as u32;
        for part in &mut own {
            part.callers.iter_mut().for_each(|caller| *caller += first);
            for insn in part.insns_mut() {
                if let Insn::CallFn(called) = insn {
                    *called += first as u32;
                }
            }
        }
        if is_callback && let Some(callback) = own.first_mut() {
            callback.arguments = Arguments::Element;
        }
        parts.extend(own);
    }
    let mut calls = Vec::new();
    for (number, part) in parts.iter_mut().enumerate() {
        for insn in part.insns_mut() {
            let Some(called) = insn.called_apart() else {
                continue;
            };
            let called = begins[called as usize];
            match insn {
                Insn::LoadWide { value, .. } => *value = Wide::Function(called),
                _ => *insn = Insn::CallFn(called),
            }
            calls.push((number, called as usize));
        }
    }
    for (caller, called) in calls {
        parts[called].callers.push(caller);
    }
    parts
}

/// Why a program's functions could not be finished.
#[derive(Debug)]
pub enum Unfinished {
    /// A mistake of ours.
    Internal(String),
    /// A function that has no context wants it.
    NoContext,
    /// This is.
    TooLarge(&'static str),
    /// More functions than there can be.
    TooManyLoops,
    /// More calls under way than there can be.
    TooDeep,
}

impl Unfinished {
    /// What the user is told.
    pub fn at(self, span: Span) -> Vec<BpfError> {
        vec![match self {
            Unfinished::Internal(what) => BpfError::Internal { span, what },
            Unfinished::NoContext => BpfError::Internal {
                span,
                what: "the context is used outside of the program's own function".to_owned(),
            },
            Unfinished::TooLarge(what) => BpfError::TooLarge {
                span,
                what: what.to_owned(),
                remedy: "split the handler, or lower MAXSTRINGLEN with -D".to_owned(),
            },
            Unfinished::TooManyLoops => BpfError::TooLarge {
                span,
                what: "the number of loops and of operations on whole arrays".to_owned(),
                remedy: format!(
                    "a program can have about {MAX_PACKED}: split the handler into several probes of its point"
                ),
            },
            Unfinished::TooDeep => BpfError::TooLarge {
                span,
                what: "the nest of loops".to_owned(),
                remedy: "put fewer loops inside each other".to_owned(),
            },
        }]
    }
}

/// Allocates and encodes the functions of a program. Callers stand before what they call. Gives
/// the most stack that is in use at a time, too. `span` is where all of it comes from.
pub fn finish(
    parts: Vec<Part>,
    allocator: &mut Allocator,
    symbol: &str,
    span: Span,
) -> Result<(Vec<FunctionCode>, u32), Unfinished> {
    let mut functions = Vec::with_capacity(parts.len());
    // The functions under way when each runs, and the stack that they take.
    let mut chains: Vec<(usize, u32)> = Vec::with_capacity(parts.len());
    let mut slots = 0;
    for (number, part) in parts.into_iter().enumerate() {
        let Part {
            mut code,
            callers,
            arguments,
        } = part;
        code.split_critical_edges();
        code.order_blocks();
        let done = allocator.finish(&mut code);
        let mut done = done.map_err(|error| Unfinished::Internal(error.to_string()))?;
        // The kernel wants a line where each function begins, if there are any.
        if done.lines.first().is_none_or(|(insn, _)| *insn != 0) {
            let first = done.lines.first().map_or(span, |(_, span)| *span);
            done.lines.insert(0, (0, first));
        }
        let above = callers.iter().filter_map(|caller| chains.get(*caller));
        let (calls, above) = above.fold((0, 0), |most, above| {
            (most.0.max(above.0), most.1.max(above.1))
        });
        let own = done.stack_bytes.max(1).next_multiple_of(STACK_STEP_BYTES);
        chains.push((calls + 1, above + own));
        if calls + 1 > MAX_CALLS {
            return Err(Unfinished::TooDeep);
        }
        slots += done.insns.len();
        if slots > PROGRAM_SLOTS {
            return Err(Unfinished::TooLarge("the handler's code"));
        }
        let code = encode::encode(&done.insns)
            .map_err(|encode::TooFar| Unfinished::TooLarge("the handler's code"))?;
        functions.push(FunctionCode {
            symbol: match number {
                0 => symbol.to_owned(),
                number => format!("{symbol}_f{number}"),
            },
            arguments,
            insns: done.insns,
            code,
            lines: done.lines,
            cores: done.cores,
        });
    }
    let deepest = chains.into_iter().map(|(_, bytes)| bytes).max();
    Ok((functions, deepest.unwrap_or(0)))
}
