//! The code of one program.

use super::analysis::{Positions, Uses};
use super::error::BpfError;
use super::frame::{Buffers, FRAME_HEAD_BYTES};
use super::functions::{Part, Unfinished, add_apart, finish};
use super::object::FunctionCode;
use super::plan::Plan;
use super::regalloc::Allocator;
use super::select::{self, Half, ProgramCx, Task};
use super::vcode::VCode;
use super::{STACK_BYTES, STACK_STEP_BYTES, Settings, cost, outline};
use crate::lir::{Function, Module};
use crate::target::Features;

/// Stack that buffers may take at most; the rest is for spilled registers.
const STACK_BUDGET_BYTES: u32 = 400;

/// What no verifier takes: it examines about four times as many instructions, and a million at most. A body that costs more and
/// can be made flat is not looked at any further.
const HOPELESS: u64 = 240_000;

/// The code of a program.
pub struct Generated {
    /// Its functions.
    pub functions: Vec<FunctionCode>,
    /// Bytes of the scratch frame.
    pub frame_bytes: u32,
    /// About what it costs the verifier, as [`cost`] counts.
    cost: u64,
    /// Whether it is that of the flat body.
    pub is_flat: bool,
}

/// What the code of a program is made with.
pub struct Generating<'a> {
    /// The module.
    pub module: &'a Module,
    /// The target kernel's features.
    pub features: Features,
    /// How code is made.
    pub settings: Settings<'a>,
    /// Which of the handler's programs it is.
    pub half: Half,
    /// What it depends on.
    pub cx: ProgramCx,
    /// Allocates its registers.
    pub allocator: &'a mut Allocator,
}

impl Generating<'_> {
    /// The code for a body, or for the flat one where that costs too much and the flat one, if there can be one, less.
    pub fn program_or_flat(
        &mut self,
        plan: &mut Plan,
        body: &Function,
        flat: Option<impl FnOnce() -> Option<Function>>,
    ) -> Result<Generated, Vec<BpfError>> {
        let limit = self.settings.sizes.cost;
        let Some(flat) = flat else {
            return self.program(plan, body, u64::MAX);
        };
        let code = self.program(plan, body, HOPELESS.max(limit));
        if matches!(&code, Ok(code) if code.cost <= limit) {
            return code;
        }
        let flat = flat().and_then(|flat| self.program(plan, &flat, u64::MAX).ok());
        match (code, flat) {
            (Ok(code), Some(flat)) if code.cost <= flat.cost => Ok(code),
            (_, Some(flat)) => Ok(Generated {
                is_flat: true,
                ..flat
            }),
            (Err(found), None) if found.is_empty() => self.program(plan, body, u64::MAX),
            (code, None) => code,
        }
    }

    /// The code for a body; no code and no errors if it is seen soon that it costs more than `most`.
    fn program(
        &mut self,
        plan: &mut Plan,
        body: &Function,
        most: u64,
    ) -> Result<Generated, Vec<BpfError>> {
        let Generating {
            module,
            features,
            settings,
            half,
            cx,
            ..
        } = *self;
        let positions = Positions::new(body);
        let uses = Uses::new(body, &positions);
        let mut budget = STACK_BUDGET_BYTES;
        let mut stacks_first = false;
        loop {
            let mut buffers = Buffers::default();
            let mut run = |buffers: &mut Buffers, divided| {
                let task = Task {
                    module,
                    features,
                    program: cx,
                    half,
                    func: body,
                    positions: &positions,
                    uses: &uses,
                    portable: settings.types.is_some(),
                    divided,
                    stacks_first,
                };
                select::program(&task, plan, buffers)
            };
            let draft = run(&mut buffers, false)?;
            let mut cost = cost::cost(&draft);
            if cost > most {
                return Err(Vec::new());
            }
            let divided = outline::is_needed(&draft, settings.sizes) || !draft.apart.is_empty();
            if divided {
                buffers.use_frame_only();
            }
            buffers.place(budget);
            if cx.some_in_locks {
                // Its frame shows that the program runs.
                buffers.extend_frame(FRAME_HEAD_BYTES);
            }
            let code = run(&mut buffers, divided)?;
            let internal = |what: String| {
                vec![BpfError::Internal {
                    span: body.span,
                    what,
                }]
            };
            if buffers.mismatch() {
                return Err(internal("buffers differ between runs".to_owned()));
            }
            let parts = if divided {
                let outlined = outline::outline(code, buffers.frame_end(), settings.sizes);
                if matches!(outlined, Err(Unfinished::NoContext)) && !stacks_first {
                    stacks_first = true;
                    continue;
                }
                let outlined = outlined.map_err(|error| error.at(body.span))?;
                buffers.extend_frame(outlined.frame_bytes);
                cost += cost::of_rounds(outlined.rounds);
                add_apart(outlined)
            } else {
                vec![Part::new(code, None)]
            };
            let parts =
                outline::pack(parts).ok_or_else(|| Unfinished::TooManyLoops.at(body.span))?;
            let symbol = &plan.programs[cx.program as usize].symbol;
            let (functions, stack_bytes) = finish(parts, self.allocator, symbol, body.span)
                .map_err(|error| error.at(body.span))?;
            if stack_bytes > STACK_BYTES && budget != 0 && !divided {
                budget = budget.saturating_sub(stack_bytes - STACK_BYTES + STACK_STEP_BYTES);
                continue;
            }
            if stack_bytes > STACK_BYTES {
                return Err(Unfinished::TooLarge("what the handler must remember").at(body.span));
            }
            return Ok(Generated {
                functions,
                frame_bytes: buffers.frame_bytes(),
                cost,
                is_flat: false,
            });
        }
    }
}

/// The code of a program before it is divided and its buffers have places.
pub fn draft(
    module: &Module,
    features: Features,
    plan: &mut Plan,
    program: ProgramCx,
    func: &Function,
    (half, settings): (Half, Settings<'_>),
) -> Result<VCode, Vec<BpfError>> {
    let positions = Positions::new(func);
    let task = Task {
        module,
        features,
        program,
        half,
        func,
        positions: &positions,
        uses: &Uses::new(func, &positions),
        portable: settings.types.is_some(),
        divided: false,
        stacks_first: false,
    };
    select::program(&task, plan, &mut Buffers::default())
}
