//! Instruction selection: one LIR function to machine code over virtual registers.
//!
//! Selection runs twice. The first run records which buffers (strings, keys, records) are asked
//! for and for how long each must live; `frame` then places them on the stack or in the
//! scratch frame; the second run makes the same requests in the same order and is given
//! these places. Nothing else may depend on where a buffer is.

mod apart;
mod array;
mod build;
mod control;
mod each;
mod emit;
mod entry;
mod env;
mod flags;
mod format;
mod format_sized;
mod global;
mod histogram;
mod int;
mod iterate;
mod matched;
mod mem;
mod nest;
mod order;
mod prologue;
mod quote;
mod regex;
mod saved_regs;
mod search;
mod stack;
mod stat;
mod strtol;
mod symbol;
mod text;
mod text_ops;
mod turns;
mod variance;
mod wrap;

pub use entry::entry_args;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;
use regalloc2::VReg;
use rtap_grammar::source::Span;

use self::apart::SharedTexts;
use self::iterate::Iteration;
use self::matched::LastMatch;
use self::nest::Nest;
use self::saved_regs::SavedRegs;
use self::text::Text;
use super::analysis::{Positions, Uses};
use super::error::BpfError;
use super::frame::{Access, Buffers, Mem};
use super::insn::{Cond, Size, Src};
use super::plan::Plan;
use super::vcode::{BlockId, VCode};
use crate::lir::{
    Block, BlockCall, Context, CoreId, Function, HandlerId, Inst, Module, Op, SiteId, Terminator,
    Ty, Value,
};
use crate::target::Features;

/// What a LIR value is in machine code.
#[derive(Clone, Copy, Debug)]
enum Val {
    /// A known integer.
    Const(i64),
    /// An integer in a register.
    Reg(VReg),
    /// A kernel fact that the loader relocates.
    Core(CoreId),
    /// The outcome of a comparison that only branches use.
    Flag(Cond, VReg, Src<VReg>),
    /// A string.
    Text(Text),
}

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
    /// Addresses of these.
    saved_regs: SavedRegs,
    /// What is iterated over.
    iterations: Vec<Iteration>,
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

/// What becomes of an operation's result.
#[derive(Clone, Copy, Debug)]
struct Dest {
    /// The result, if there is one, and its type.
    value: Option<Value>,
    ty: Option<Ty>,
    /// First and last position at which it lives.
    range: (u32, u32),
    /// Whether a string should be zero-padded to its width: it is used as a key.
    padded: bool,
    /// Whether a string is read at variable offsets.
    variable: bool,
}

impl Dest {
    /// Most bytes of a string result.
    fn cap(self) -> u32 {
        match self.ty {
            Some(Ty::Str { cap, .. }) => cap,
            Some(Ty::I64) | None => 0,
        }
    }

    fn access(self) -> Access {
        if self.variable {
            Access::Variable
        } else {
            Access::Fixed
        }
    }
}

/// Why an operation was not lowered: recorded in `Cx::errors`.
struct Refused;

type Lowered<T> = Result<T, Refused>;

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
    } = *task;
    buffers.restart();
    let mut cx = Cx {
        module,
        features,
        portable,
        divided,
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
        saved_regs: saved_regs::find(&module.handlers[program.handler], func, uses),
        iterations: Vec::new(),
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

    /// Makes the machine blocks. A block with one predecessor takes its parameters'
    /// values over as they are; the others get registers and buffers for theirs.
    fn declare_blocks(&mut self, order: &[Block]) {
        for &block in order {
            let id = self.code.block(false);
            self.code.blocks[id.0 as usize].boundary = true;
            self.blocks[block] = Some(id);
            if self.preds[block] == 1 {
                continue;
            }
            for &param in &self.func.blocks[block].params {
                let val = match self.func.ty(param) {
                    Ty::I64 => {
                        let reg = self.code.vreg();
                        self.code.blocks[id.0 as usize].params.push(reg);
                        Val::Reg(reg)
                    }
                    ty @ Ty::Str { .. } => Val::Text(self.param_text(param, ty)),
                };
                self.vals[param] = Some(val);
            }
        }
    }

    fn lir_block(&self, block: Block) -> BlockId {
        self.blocks[block].unwrap_or(BlockId(0))
    }

    fn block(&mut self, block: Block, positions: &Positions) {
        let data = &self.func.blocks[block];
        self.cur = self.lir_block(block);
        // Nothing comes between the prologue and the entry block if nobody jumps back to it and no
        // function begins there.
        if block != self.func.entry() || self.preds[block] != 1 || self.divided {
            self.globals = None;
        }
        if let Some(site) = data.loop_head {
            self.pos = positions.start[block];
            self.span = Some(data.insts.first().map_or(data.term_span, |inst| inst.span));
            self.count_round(site);
        }
        for (index, inst) in data.insts.iter().enumerate() {
            self.pos = positions.start[block] + 1 + index as u32;
            self.inst(inst);
        }
        self.pos = positions.end[block];
        self.span = Some(data.term_span);
        if self.terminator(block, &data.term).is_err() && self.unterminated() {
            // The program is not used; only its shape must be complete.
            let zero = self.imm(0);
            self.finish_block(super::vcode::Term::Exit(zero));
        }
    }

    fn inst(&mut self, inst: &Inst) {
        self.span = Some(inst.span);
        let ty = inst.result.map(|value| self.func.ty(value));
        // What nobody reads is not computed; `Flag` values are computed by their branches.
        if let Some(result) = inst.result
            && self.uses.count[result] == 0
            && inst.op.is_removable()
        {
            return;
        }
        if inst
            .result
            .is_some_and(|value| self.saved_regs[value].is_some())
        {
            return;
        }
        let dest = self.dest(inst.result, ty);
        let flag = inst
            .result
            .is_some_and(|value| self.uses.count[value] == self.uses.branch[value]);
        let val = match (&inst.op, flag) {
            (Op::Cmp(op, a, b), true) => Ok(Some(self.compare_flag(*op, *a, *b))),
            (op, _) => self.op(op, dest),
        };
        if let (Ok(Some(val)), Some(result)) = (&val, inst.result) {
            self.vals[result] = Some(*val);
        } else if let Some(result) = inst.result {
            self.vals[result] = Some(match self.func.ty(result) {
                Ty::I64 => Val::Const(0),
                Ty::Str { .. } => Val::Text(Text::EMPTY),
            });
        }
    }

    /// What becomes of `value`, defined here.
    fn dest(&self, value: Option<Value>, ty: Option<Ty>) -> Dest {
        let Some(value) = value else {
            return Dest {
                value: None,
                ty,
                range: (self.pos, self.pos),
                padded: false,
                variable: false,
            };
        };
        let (first, last) = self.uses.range[value];
        Dest {
            value: Some(value),
            ty,
            range: (first.min(self.pos), last.max(self.pos)),
            padded: self.uses.padded[value],
            variable: self.uses.variable[value],
        }
    }

    /// Lowers an operation.
    fn op(&mut self, op: &Op, dest: Dest) -> Lowered<Option<Val>> {
        let some = |val: Val| Ok(Some(val));
        match op {
            Op::Const(value) => some(Val::Const(*value)),
            Op::Site(site) => some(Cx::site(*site)),
            Op::Core(core) => self.kernel_fact(*core).map(Some),
            Op::Bin(op, a, b) => some(self.bin(*op, *a, *b)),
            Op::Cmp(op, a, b) => some(self.compare(*op, *a, *b)),
            Op::Extend {
                value,
                bits,
                signed,
            } => some(self.extend(*value, *bits, *signed)),
            Op::Div(a, b, site) => some(self.divide(*a, *b, *site, false)),
            Op::Rem(a, b, site) => some(self.divide(*a, *b, *site, true)),

            Op::StrConst(text) => {
                let module = self.module;
                some(Val::Text(self.literal(&module.strings[*text])))
            }
            Op::StrTable(table, number) => some(self.str_table(*table, *number, dest)),
            Op::StrFlags(table, number) => some(self.str_flags(*table, *number, dest)),
            Op::PointText(what, number) => some(self.point_text(*what, *number)),
            Op::StrConcat(..)
            | Op::StrCut(_)
            | Op::StrCmp(..)
            | Op::StrEq(..)
            | Op::StrLen(_)
            | Op::StrSome(_)
            | Op::StrByte(..)
            | Op::StrSub(..)
            | Op::StrFind(..)
            | Op::StrFromByte(_)
            | Op::StrToInt(..)
            | Op::StrFormat(..)
            | Op::StrLate(..)
            | Op::StrStack(..)
            | Op::StrHist(..)
            | Op::StrSymbol { .. }
            | Op::StrMatch(..)
            | Op::Matched(..)
            | Op::MatchedGroups
            | Op::StrQuote(_)
            | Op::Comm => self.text_op(op, dest),

            Op::Env(env) => some(self.env(*env)),
            Op::CtxArg(_) | Op::CtxRet | Op::CtxReg(_) | Op::CtxLoad { .. } | Op::EntryArg(..) => {
                self.context(op).map(Some)
            }

            Op::PerfCount(number, site) => some(self.perf_count(*number, *site)),
            Op::MemRead {
                addr,
                space,
                size,
                signed,
                site,
            } => some(self.read_int(*addr, *space, *size, *signed, *site)),
            Op::MemReadStr { addr, space, site } => {
                self.read_str(*addr, None, *space, *site, dest).map(Some)
            }
            Op::MemReadStrN {
                addr,
                len,
                space,
                site,
            } => self
                .read_str(*addr, Some(*len), *space, *site, dest)
                .map(Some),
            Op::MemReadHex {
                addr,
                len,
                space,
                site,
            } => self.read_hex(*addr, *len, *space, *site, dest).map(Some),

            Op::GlobalGet(global) => self.global_get(*global, dest).map(Some),
            Op::GlobalSet(global, value) => self.global_set(*global, *value).map(|()| None),
            Op::GlobalAdd(global, value) => self.global_add(*global, *value).map(|()| None),
            Op::GlobalFetchAdd(global, value) => self.global_fetch_add(*global, *value).map(Some),
            Op::ArrayGet(array, keys) => self.array_get(*array, keys, dest).map(Some),
            Op::ArrayHas(array, keys) => self.array_has(*array, keys).map(Some),
            Op::ArraySet(array, keys, value, site) => {
                self.array_set(*array, keys, *value, *site).map(|()| None)
            }
            Op::ArrayAdd(array, keys, value, site) => self
                .array_add(*array, keys, *value, *site, false)
                .map(|_| None),
            Op::ArrayFetchAdd(array, keys, value, site) => {
                self.array_add(*array, keys, *value, *site, true)
            }
            Op::ArrayDel(array, keys) => self.array_del(*array, keys).map(|()| None),
            Op::Clear(global, slice) => self.clear(*global, slice).map(|()| None),
            Op::ArrayHasSlice(array, slice) => {
                let (map, layout) = self.array_place(*array)?;
                self.has_slice(map, &layout, slice).map(Some)
            }
            Op::StatPush(global, keys, value, site) => {
                self.stat_push(*global, keys, *value, *site).map(|()| None)
            }
            Op::StatGet(global, keys, field, site) => {
                self.stat_get(*global, keys, *field, *site).map(Some)
            }
            Op::StatBucket(global, keys, bucket, which, site) => self
                .stat_bucket(*global, keys, *bucket, *which, *site)
                .map(Some),
            Op::IterBegin {
                array,
                slice,
                sort,
                limit,
                site,
                ..
            } => self
                .iter_begin(*array, slice, *sort, *limit, *site, dest)
                .map(Some),
            Op::IterEnd(_) => Ok(None),

            Op::Emit(format, args) => self.emit(*format, args).map(|()| None),
            Op::EmitHist(global, keys, which, site) => self
                .emit_hist((*global, keys, *which, *site))
                .map(|()| None),
            Op::RequestExit => {
                self.request_exit();
                Ok(None)
            }
            Op::ErrSet(text) => self.set_message(*text).map(|()| None),
            Op::ErrText(site, arg) => {
                let cap = dest.cap();
                some(self.error_text(*site, *arg, cap, dest))
            }
            Op::Nest(nest, op) => self.nest(*nest, *op, dest),
            Op::Call(..) => Err(self.too_large(
                "all that the handler calls, copied into it,",
                "split the handler, or call less of it in an end or timer probe",
            )),
            Op::User(user, ..) => {
                Err(self.unsupported(&format!("{}()", user.0), "call it in an end or timer probe"))
            }
        }
    }

    /// A kernel fact: a number, or in an image for other kernels too, one that is relocated.
    fn kernel_fact(&mut self, core: CoreId) -> Lowered<Val> {
        let fact = &self.module.core[core];
        if !self.portable {
            return Ok(Val::Const(fact.value));
        }
        if let Some(module) = &fact.module {
            return Err(self.unsupported(
                &format!("a type of module {module} in an image for other machines"),
                "run the script where it is needed instead of building it",
            ));
        }
        Ok(Val::Core(core))
    }

    fn unsupported(&mut self, what: &str, remedy: &str) -> Refused {
        self.errors.push(BpfError::Unsupported {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
        Refused
    }

    fn needs_kernel(&mut self, what: &str, since: &'static str, remedy: &str) -> Refused {
        self.errors.push(BpfError::NeedsKernel {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
            since,
            remedy: remedy.to_owned(),
        });
        Refused
    }

    fn too_large(&mut self, what: &str, remedy: &str) -> Refused {
        self.errors.push(BpfError::TooLarge {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
        Refused
    }

    /// A bug, unless it comes of what was refused before.
    fn internal(&mut self, what: &str) -> Refused {
        if !self.errors.is_empty() {
            return Refused;
        }
        self.errors.push(BpfError::Internal {
            span: self.span.unwrap_or(Span::NONE),
            what: what.to_owned(),
        });
        Refused
    }

    /// An integer value.
    fn int(&mut self, value: Value) -> Val {
        self.vals[value].unwrap_or(Val::Const(0))
    }

    /// A string value.
    fn text(&mut self, value: Value) -> Text {
        match self.vals[value] {
            Some(Val::Text(text)) => text,
            _ => Text::EMPTY,
        }
    }

    /// An integer in a register.
    fn reg(&mut self, value: Value) -> VReg {
        let val = self.int(value);
        self.val_reg(val)
    }

    fn val_reg(&mut self, val: Val) -> VReg {
        match val {
            Val::Const(value) => self.imm(value),
            Val::Reg(reg) => reg,
            Val::Core(core) => self.core(core),
            Val::Flag(cond, left, right) => self.flag_value(cond, true, left, right),
            Val::Text(_) => self.imm(0),
        }
    }

    /// A site's number as an operand of the error exit.
    fn site(site: SiteId) -> Val {
        Val::Const(i64::from(site.as_u32()))
    }

    fn terminator(&mut self, block: Block, term: &Terminator) -> Lowered<()> {
        match term {
            Terminator::Jump(to) => {
                self.edge(to, &[])?;
            }
            Terminator::Branch(cond, yes, no) => self.branch(*cond, yes, no)?,
            Terminator::Switch {
                value,
                cases,
                default,
            } => self.switch(*value, cases, default)?,
            Terminator::Return(value) => self.ret(*value)?,
            Terminator::Raise { site, arg } => self.raise(*site, *arg)?,
            Terminator::Try {
                op,
                result,
                ok,
                catch,
            } => self.try_op(op, *result, ok, catch)?,
            Terminator::IterNext {
                iter,
                body,
                with_value,
                done,
            } => self.iter_next(*iter, body, *with_value, done)?,
            Terminator::Unreachable => {
                let zero = self.imm(0);
                self.finish_block(super::vcode::Term::Exit(zero));
            }
        }
        let _ = block;
        Ok(())
    }
}
