//! Instruction selection: one LIR function to machine code over virtual registers.
//!
//! Selection runs twice. The first run records which buffers (strings, keys, records) are asked
//! for and for how long each must live; `frame` then places them on the stack or in the
//! scratch frame; the second run makes the same requests in the same order and is given
//! these places. Nothing else may depend on where a buffer is.

mod apart;
mod array;
mod blocks;
mod build;
mod call;
mod control;
mod direct;
mod each;
mod emit;
mod entry;
mod env;
mod error_text;
mod flags;
mod flow;
mod format;
mod format_number;
mod format_sized;
mod global;
mod heap;
mod histogram;
mod int;
mod iterate;
mod late;
mod matched;
mod mem;
mod nest;
mod ops;
mod order;
mod prologue;
mod quote;
mod refused;
mod regex;
mod saved_regs;
mod search;
mod snapshot;
mod stack;
mod stat;
mod strtol;
mod symbol;
mod template;
mod text;
mod text_ops;
mod times;
mod turns;
mod value;
mod variance;
mod wrap;

pub use entry::entry_args;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;
use regalloc2::VReg;
use rtap_grammar::source::Span;

use self::apart::SharedTexts;
use self::matched::LastMatch;
use self::nest::Nest;
use self::refused::Lowered;
use self::saved_regs::SavedRegs;
use self::snapshot::Iteration;
use self::value::{Dest, Val};
use super::DirectReads;
use super::analysis::{Positions, Uses};
use super::error::BpfError;
use super::frame::{Buffers, Mem};
use super::insn::Size;
use super::plan::Plan;
use super::vcode::{BlockId, VCode};
use crate::lir::{Block, BlockCall, Context, Function, HandlerId, Module, Space, Value};
use crate::target::Features;

/// What program is being made.
#[derive(Clone, Copy, Debug)]
pub struct ProgramCx {
    /// The handler.
    pub handler: HandlerId,
    /// Number of the program.
    pub program: u32,
    /// Its context.
    pub context: Context,
    /// Whether that is on the stack of the task ([`crate::lir::Handler::has_context_on_stack`]).
    pub context_on_stack: bool,
    /// The first point it is for.
    pub point: u32,
    /// Whether it is for several, told apart by the attachments' cookies.
    pub by_cookie: bool,
    /// If its runs are measured: its first element of the map of times.
    pub times: Option<u32>,
    /// Whether it may sleep.
    pub sleepable: bool,
    /// Whether it runs before the session does.
    pub early: bool,
    /// Whether another run of the same program can begin on the same CPU before this one ends.
    pub reentrant: bool,
    /// Whether it is for uprobes.
    pub uprobe: bool,
    /// Whether it can begin while another program holds the lock of a map ([`crate::image::Attach::is_in_locks`]).
    pub in_locks: bool,
    /// Whether a program of the session can.
    pub some_in_locks: bool,
    /// Whether it runs where functions of the kernel return to.
    pub kretprobe: bool,
    /// How kernel memory is read without a helper.
    pub direct_reads: Option<DirectReads>,
}

/// Which program of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The one that runs its body.
    Body,
    /// The one that saves entry-time arguments for it.
    Entry,
}

/// Selection of one function.
struct Cx<'a> {
    module: &'a Module,
    features: Features,
    portable: bool,
    divided: bool,
    stacks_first: bool,
    plan: &'a mut Plan,
    program: ProgramCx,
    func: &'a Function,
    uses: &'a Uses,
    buffers: &'a mut Buffers,
    code: VCode,
    /// The block that instructions are added to.
    cur: BlockId,
    span: Option<Span>,
    /// Position of the LIR instruction being lowered.
    pos: u32,
    vals: SecondaryMap<Value, Option<Val>>,
    blocks: SecondaryMap<Block, Option<BlockId>>,
    preds: SecondaryMap<Block, u32>,
    /// The program's context pointer.
    ctx: Option<VReg>,
    /// The scratch frame, if the program has one.
    frame: Option<VReg>,
    /// `pid_tgid` of the current task, if the prologue asked for it.
    pid_tgid: Option<VReg>,
    /// Its upper half.
    tgid: Option<VReg>,
    /// A register that holds the globals' address, good until the next call.
    globals: Option<VReg>,
    /// Where a failing operation goes, if not out of the function.
    catch: Option<BlockCall>,
    /// Error exit of the function: site and argument are in the record.
    error_exit: Option<BlockId>,
    /// That record, unless it is the message buffer.
    error_record: Option<Mem>,
    /// Normal exit of the function.
    exit: Option<BlockId>,
    /// The handler's message buffer, for `error()`.
    message: Option<Mem>,
    /// What the last match of a regular expression left, if the function asks for it.
    last_match: Option<LastMatch>,
    /// Counts rounds of loops, if there are any.
    rounds: Option<Mem>,
    /// Slots of functions that recurse.
    nests: BTreeMap<u8, Nest>,
    /// The end of the prologue.
    begin: BlockId,
    /// What was read out of the context there: size, offset, register.
    context_words: Vec<(Size, i32, VReg)>,
    /// The same of the registers that a system call's tracepoint points to: offset, register.
    saved_words: Vec<(u16, VReg)>,
    /// Call stacks that were taken there.
    stacks: Vec<(Space, Mem)>,
    /// Addresses of these.
    saved_regs: SavedRegs,
    /// What is iterated over.
    iterations: Vec<Iteration>,
    /// If the run is measured: when it began, and the element of the map of times.
    run: Option<Mem>,
    /// Entry-time arguments, taken out of their map.
    entry: Option<Mem>,
    /// Which point fired, where the program is for several.
    point: Option<VReg>,
    /// Operations that several places share.
    quoting: SharedTexts,
    /// Constant strings.
    literals: Vec<Vec<u8>>,
    errors: Vec<BpfError>,
}

/// What is to be lowered.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The module.
    pub module: &'a Module,
    /// The target kernel's features.
    pub features: Features,
    /// The program.
    pub program: ProgramCx,
    /// Which of the handler's programs it is.
    pub half: Half,
    /// The handler's body.
    pub func: &'a Function,
    /// Positions in the body.
    pub positions: &'a Positions,
    /// Uses of its values.
    pub uses: &'a Uses,
    /// Whether kernel facts are relocated when it is loaded.
    pub portable: bool,
    /// Whether parts of it become functions of their own, which have no context.
    pub divided: bool,
    /// Whether one of these takes a call stack: then it is taken before.
    pub stacks_first: bool,
}

/// Lowers a program.
pub fn program(
    task: &Task<'_>,
    plan: &mut Plan,
    buffers: &mut Buffers,
) -> Result<VCode, Vec<BpfError>> {
    let Task {
        module,
        features,
        program,
        half,
        func,
        positions,
        uses,
        portable,
        divided,
        stacks_first,
    } = *task;
    buffers.restart();
    let mut cx = Cx {
        module,
        features,
        portable,
        divided,
        stacks_first,
        plan,
        program,
        func,
        uses,
        buffers,
        code: VCode::default(),
        cur: BlockId(0),
        span: None,
        pos: 0,
        vals: SecondaryMap::new(),
        blocks: SecondaryMap::new(),
        preds: uses.preds.clone(),
        ctx: None,
        frame: None,
        pid_tgid: None,
        tgid: None,
        globals: None,
        catch: None,
        error_exit: None,
        error_record: None,
        exit: None,
        message: None,
        last_match: None,
        rounds: None,
        nests: BTreeMap::new(),
        begin: BlockId(0),
        context_words: Vec::new(),
        saved_words: Vec::new(),
        stacks: Vec::new(),
        saved_regs: saved_regs::find(&module.handlers[program.handler], func, uses),
        iterations: Vec::new(),
        run: None,
        entry: None,
        point: None,
        quoting: SharedTexts::new(),
        literals: Vec::new(),
        errors: Vec::new(),
    };
    cx.cur = cx.code.block(false);
    cx.declare_message();
    cx.declare_blocks(&positions.order);
    cx.prologue(half);
    if half == Half::Entry {
        return cx.entry_half();
    }
    cx.load_entry();
    cx.load_point();
    cx.begin = cx.cur;
    let entry = cx.lir_block(func.entry());
    cx.jump(entry, Vec::new());
    for &block in &positions.order {
        cx.block(block, positions);
    }
    cx.exits();
    if cx.errors.is_empty() {
        cx.code.stack_bytes = cx.buffers.stack_bytes();
        Ok(cx.code)
    } else {
        Err(cx.errors)
    }
}

impl Cx<'_> {
    /// Everything of an entry half behind the prologue.
    fn entry_half(mut self) -> Result<VCode, Vec<BpfError>> {
        let args = entry::entry_args(self.func);
        match self.plan.entry_map(self.program.handler) {
            Some(map) if self.save_entry(map, &args).is_ok() => {}
            _ => {
                let exit = self.exit_block();
                self.jump(exit, Vec::new());
            }
        }
        self.exits();
        self.code.stack_bytes = self.buffers.stack_bytes();
        if self.errors.is_empty() {
            Ok(self.code)
        } else {
            Err(self.errors)
        }
    }
}
