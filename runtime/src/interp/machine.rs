//! The interpreter's loop: blocks, calls, errors, iterations.
//!
//! LIR is run as it is. Each function's values live in one stretch of a common stack; calls
//! are frames in a vector, so that a script's recursion never touches the native stack.

use cranelift_entity::{EntityRef, PrimaryMap};
use rtap_compiler::lir::{
    Block, BlockCall, Chains, ErrorKind, Func, Function, HandlerId, Op, Site, SiteId, Terminator,
    Ty, Value as Reg,
};

use super::context::Context;
use super::eval::{arithmetic, compare};
use super::program::Program;
use super::regex::{Groups, RegexCache};
use super::store::{Snapshot, Store};
use super::text_keys::{Merged, TextKeys};
use crate::values::{Text, Value};

/// Rounds of loops, and calls, between two questions whether to go on.
const ASK_EVERY: u32 = 1 << 12;

/// Why a handler did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A run-time error left it.
    Error {
        /// Where it was raised, one of [`Machine::sites`].
        site: SiteId,
        /// Its integer argument.
        arg: i64,
        /// The message buffer.
        text: Text,
    },
    /// [`Context::interrupted`] said so.
    Interrupted,
}

/// Why an operation has no result.
pub(super) enum Raised {
    Error { site: i64, arg: i64 },
    Interrupted,
}

/// An operation's error.
pub(super) fn raised(site: SiteId, arg: i64) -> Raised {
    Raised::Error {
        site: i64::from(site.as_u32()),
        arg,
    }
}

/// An activation of a function.
struct Frame {
    func: Func,
    block: Block,
    /// The instruction being run; their number for the terminator.
    at: usize,
    /// Where its values begin.
    base: usize,
    /// How many iterations were open before it.
    iterations: usize,
    /// If it recurses: calls of its group that are under way.
    nested: u32,
}

/// An open foreach.
pub(super) struct Iteration<S> {
    pub snapshot: S,
    pub order: Vec<u32>,
    pub next: usize,
    pub keys: usize,
}

/// Runs handlers of a program on a store.
pub struct Machine<'p, S: Store> {
    pub(super) program: &'p Program<'p>,
    /// The globals, and what functions of user space remember.
    pub store: TextKeys<'p, S>,
    /// MAXACTION_INTERRUPTIBLE: the most rounds that the loops of one run make together, those of `foreach` apart.
    pub loop_limit: u32,
    /// Rounds of the run so far.
    rounds: u32,
    pub(super) values: Vec<Value>,
    frames: Vec<Frame>,
    pub(super) iterations: Vec<Option<Iteration<Merged<S::Snapshot>>>>,
    pub(super) caches: Vec<Option<RegexCache>>,
    pub(super) groups: Groups,
    /// The message buffer of the run.
    pub(super) message: Text,
    /// Number of the run's point within its handler, and program-wide.
    pub(super) point: i64,
    /// Operands on their way somewhere.
    pub(super) operands: Vec<Value>,
    ticks: u32,
    /// The sites with those of errors that passed calls, as soon as there are such.
    chains: Option<Chains>,
}

impl<'p, S: Store> Machine<'p, S> {
    /// A machine for a program.
    pub fn new(program: &'p Program<'p>, store: S) -> Self {
        Machine {
            program,
            store: TextKeys::new(program, store),
            loop_limit: program.module.limits.user_rounds(),
            rounds: 0,
            values: Vec::new(),
            frames: Vec::new(),
            iterations: Vec::new(),
            caches: program.regexes.iter().map(|_| None).collect(),
            groups: Groups::default(),
            message: Text::default(),
            point: 0,
            operands: Vec::new(),
            ticks: 0,
            chains: None,
        }
    }

    /// Runs a handler for point number `point` of it.
    pub fn run(
        &mut self,
        handler: HandlerId,
        point: u32,
        cx: &mut impl Context,
    ) -> Result<(), Stop> {
        let Some(handler) = self.program.module.handlers.get(handler) else {
            return Ok(());
        };
        self.point = i64::from(point);
        self.call(handler.func, &[], cx).map(|_| ())
    }

    /// Calls a function and returns its result.
    pub fn call(
        &mut self,
        func: Func,
        args: &[Value],
        cx: &mut impl Context,
    ) -> Result<Option<Value>, Stop> {
        self.values.clear();
        self.frames.clear();
        self.iterations.clear();
        self.store.begin_run();
        self.rounds = 0;
        self.message = Text::default();
        self.groups = Groups::default();
        self.operands.clear();
        self.operands.extend_from_slice(args);
        self.enter(func);
        let result = self.go_on(cx);
        self.iterations.clear();
        match result {
            Ok(value) => Ok(value),
            Err(Raised::Interrupted) => Err(Stop::Interrupted),
            Err(Raised::Error { site, arg }) => Err(Stop::Error {
                site: SiteId::from_u32(u32::try_from(site).unwrap_or(u32::MAX)),
                arg,
                text: self.message.clone(),
            }),
        }
    }

    /// Opens a frame; the arguments are in `operands`.
    fn enter(&mut self, func: Func) {
        let base = self.values.len();
        if let Some(function) = self.program.module.functions.get(func) {
            self.values
                .resize(base + function.values.len(), Value::Int(0));
            let entry = function.entry();
            self.frames.push(Frame {
                func,
                block: entry,
                at: 0,
                base,
                iterations: self.iterations.len(),
                nested: 0,
            });
            self.assign(function, entry, base);
        }
    }

    /// Moves `operands` into a block's parameters.
    fn assign(&mut self, function: &Function, block: Block, base: usize) {
        let params = &function.blocks[block].params;
        for (param, value) in params.iter().zip(self.operands.drain(..)) {
            self.values[base + param.index()] = value;
        }
    }

    /// Closes the innermost frame.
    fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.values.truncate(frame.base);
            self.iterations.truncate(frame.iterations);
        }
    }

    /// Runs until the outermost frame is left.
    fn go_on(&mut self, cx: &mut impl Context) -> Result<Option<Value>, Raised> {
        let module = self.program.module;
        loop {
            let Some(frame) = self.frames.last() else {
                return Ok(None);
            };
            let (base, block, mut at) = (frame.base, frame.block, frame.at);
            let function = &module.functions[frame.func];
            let data = &function.blocks[block];
            let mut failed = None;
            while let Some(inst) = data.insts.get(at) {
                if let Op::Call(callee, args, site) = &inst.op {
                    self.suspend(at);
                    if let Err(error) = self.begin_call((*callee, *site), args, base, cx) {
                        failed = Some(error);
                    }
                    break;
                }
                // The commonest operations, without the detour.
                let quick = match &inst.op {
                    Op::Const(n) => Some(*n),
                    Op::Bin(op, a, b) => {
                        Some(arithmetic(*op, self.int(base, *a), self.int(base, *b)))
                    }
                    Op::Cmp(op, a, b) => Some(i64::from(compare(
                        *op,
                        self.int(base, *a),
                        self.int(base, *b),
                    ))),
                    _ => None,
                };
                if let (Some(n), Some(result)) = (quick, inst.result) {
                    self.values[base + result.index()] = Value::Int(n);
                    at += 1;
                    continue;
                }
                let ty = inst.result.map(|result| function.ty(result));
                match self.eval(function, &inst.op, ty, base, cx) {
                    Ok(value) => {
                        if let Some(result) = inst.result {
                            self.values[base + result.index()] = value;
                        }
                    }
                    Err(error) => {
                        self.suspend(at);
                        failed = Some(error);
                        break;
                    }
                }
                at += 1;
            }
            if let Some(error) = failed {
                self.unwind(error)?;
                continue;
            }
            if at < data.insts.len() {
                continue; // into the called function
            }
            self.suspend(at);
            match &data.term {
                Terminator::Return(result) => {
                    let value = result.map(|result| self.values[base + result.index()].clone());
                    self.leave();
                    if self.frames.is_empty() {
                        return Ok(value);
                    }
                    self.resume(value, cx)?;
                }
                term => {
                    if let Err(error) = self.terminate(function, term, base, cx) {
                        self.unwind(error)?;
                    }
                }
            }
        }
    }

    /// Notes where the innermost frame is.
    fn suspend(&mut self, at: usize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.at = at;
        }
    }

    /// Any terminator but a return.
    fn terminate(
        &mut self,
        function: &Function,
        term: &Terminator,
        base: usize,
        cx: &mut impl Context,
    ) -> Result<(), Raised> {
        match term {
            Terminator::Jump(to) => self.jump(function, to, base, cx),
            Terminator::Branch(cond, yes, no) => {
                let to = if self.int(base, *cond) == 0 { no } else { yes };
                self.jump(function, to, base, cx)
            }
            Terminator::Switch {
                value,
                cases,
                default,
            } => {
                let value = self.int(base, *value);
                let case = cases.iter().find(|(n, _)| *n == value);
                self.jump(function, case.map_or(default, |(_, to)| to), base, cx)
            }
            Terminator::Raise { site, arg } => {
                let (site, arg) = (self.int(base, *site), self.int(base, *arg));
                let site = self.leave_with(site);
                Err(Raised::Error { site, arg })
            }
            Terminator::Try {
                op: Op::Call(callee, args, site),
                ..
            } => self.begin_call((*callee, *site), args, base, cx),
            Terminator::Try { op, result, ok, .. } => {
                let value = self.eval(function, op, *result, base, cx)?;
                if result.is_some() {
                    self.operands.push(value);
                }
                self.jump(function, ok, base, cx)
            }
            Terminator::IterNext {
                iter,
                body,
                with_value,
                done,
            } => {
                let handle = self.int(base, *iter);
                let open = usize::try_from(handle).ok();
                let iteration = open.and_then(|n| self.iterations.get_mut(n)?.as_mut());
                let Some(iteration) = iteration else {
                    return self.jump(function, done, base, cx);
                };
                let Some(element) = iteration.order.get(iteration.next) else {
                    return self.jump(function, done, base, cx);
                };
                iteration.next += 1;
                let element = *element as usize;
                for part in 0..iteration.keys {
                    self.operands.push(iteration.snapshot.key(element, part));
                }
                if *with_value {
                    self.operands.push(iteration.snapshot.value(element));
                }
                self.jump(function, body, base, cx)
            }
            Terminator::Return(_) | Terminator::Unreachable => {
                self.leave();
                Ok(())
            }
        }
    }

    /// Goes to a block; what the terminator supplies is in `operands`, in front.
    fn jump(
        &mut self,
        function: &Function,
        to: &BlockCall,
        base: usize,
        cx: &mut impl Context,
    ) -> Result<(), Raised> {
        let target = &function.blocks[to.block];
        if let ([arg], [param], true) = (&to.args[..], &target.params[..], self.operands.is_empty())
        {
            let value = self.values[base + arg.index()].clone();
            self.values[base + param.index()] = value;
        } else if !(to.args.is_empty() && self.operands.is_empty()) {
            for arg in &to.args {
                let value = self.values[base + arg.index()].clone();
                self.operands.push(value);
            }
            self.assign(function, to.block, base);
        }
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        frame.block = to.block;
        frame.at = 0;
        if let Some(site) = target.loop_head {
            if !matches!(target.term, Terminator::IterNext { .. }) {
                self.rounds = self.rounds.saturating_add(1);
            }
            if self.rounds > self.loop_limit {
                // No `Try` of this function catches it.
                let site = self.leave_with(i64::from(site.as_u32()));
                return Err(Raised::Error { site, arg: 0 });
            }
            self.tick(cx)?;
        }
        Ok(())
    }

    /// Asks now and then whether to go on.
    fn tick(&mut self, cx: &mut impl Context) -> Result<(), Raised> {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(ASK_EVERY) && cx.interrupted() {
            return Err(Raised::Interrupted);
        }
        Ok(())
    }

    /// Begins a call out of the innermost frame.
    fn begin_call(
        &mut self,
        (callee, call): (Func, SiteId),
        args: &[Reg],
        base: usize,
        cx: &mut impl Context,
    ) -> Result<(), Raised> {
        let nested = self.nested_calls(callee);
        if nested > self.program.module.limits.nested_calls() {
            let site = i64::from(self.program.nesting_site(callee).as_u32());
            let site = self.chained(site, callee, call);
            return Err(Raised::Error { site, arg: 0 });
        }
        self.tick(cx)?;
        self.operands.clear();
        for arg in args {
            let value = self.values[base + arg.index()].clone();
            self.operands.push(value);
        }
        self.enter(callee);
        if let Some(frame) = self.frames.last_mut() {
            frame.nested = nested;
        }
        Ok(())
    }

    /// How many calls of its group are under way when the innermost frame calls a function that recurses; 0
    /// for any other.
    fn nested_calls(&self, callee: Func) -> u32 {
        let Some(group) = self.program.groups[callee] else {
            return 0;
        };
        match self.frames.last() {
            Some(frame) if self.program.groups[frame.func] == Some(group) => frame.nested + 1,
            _ => 1,
        }
    }

    /// Gives a callee's result to the frame that waits for it.
    fn resume(&mut self, value: Option<Value>, cx: &mut impl Context) -> Result<(), Raised> {
        let module = self.program.module;
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        let (base, block, at) = (frame.base, frame.block, frame.at);
        frame.at = at + 1;
        let function = &module.functions[frame.func];
        let data = &function.blocks[block];
        if let Some(inst) = data.insts.get(at) {
            if let Some(result) = inst.result {
                let ty = function.ty(result);
                self.values[base + result.index()] = fit(value, ty);
            }
            return Ok(());
        }
        if let Terminator::Try { result, ok, .. } = &data.term {
            if let Some(ty) = result {
                self.operands.push(fit(value, *ty));
            }
            if let Err(error) = self.jump(function, ok, base, cx) {
                return self.unwind(error);
            }
        }
        Ok(())
    }

    /// Takes an error to the innermost `Try` that is waiting, or out of the handler.
    fn unwind(&mut self, error: Raised) -> Result<(), Raised> {
        let Raised::Error { mut site, arg } = error else {
            return Err(error);
        };
        let module = self.program.module;
        self.operands.clear();
        while let Some(frame) = self.frames.last_mut() {
            let function = &module.functions[frame.func];
            let data = &function.blocks[frame.block];
            if frame.at >= data.insts.len()
                && let Terminator::Try { catch, .. } = &data.term
            {
                let base = frame.base;
                frame.block = catch.block;
                frame.at = 0;
                self.operands.push(Value::Int(site));
                self.operands.push(Value::Int(arg));
                for arg in &catch.args {
                    let value = self.values[base + arg.index()].clone();
                    self.operands.push(value);
                }
                self.assign(function, catch.block, base);
                return Ok(());
            }
            site = self.leave_with(site);
        }
        Err(Raised::Error { site, arg })
    }

    /// Closes the innermost frame because of an error; gives its site as the caller sees it.
    fn leave_with(&mut self, site: i64) -> i64 {
        self.leave();
        let Some(frame) = self.frames.last() else {
            return site;
        };
        let data = &self.program.module.functions[frame.func].blocks[frame.block];
        let op = match (data.insts.get(frame.at), &data.term) {
            (Some(inst), _) => &inst.op,
            (None, Terminator::Try { op, .. }) => op,
            (None, _) => return site,
        };
        match op {
            Op::Call(callee, _, call) => self.chained(site, *callee, *call),
            _ => site,
        }
    }

    /// The number of a site with the innermost frame's call of `callee` in its chain; without it if that is one of a
    /// function that recurses, by itself: kernel handlers do not know these either.
    fn chained(&mut self, site: i64, callee: Func, call: SiteId) -> i64 {
        let groups = &self.program.groups;
        let caller = self.frames.last().map(|frame| frame.func);
        if groups[callee].is_some() && caller.is_some_and(|f| groups[f] == groups[callee]) {
            return site;
        }
        let Ok(number) = u32::try_from(site) else {
            return site;
        };
        let sites = &self.program.module.sites;
        let chains = self
            .chains
            .get_or_insert_with(|| Chains::new(sites.clone()));
        let longer = chains.called(SiteId::from_u32(number), call);
        i64::from(longer.as_u32())
    }

    /// The module's error sites, and those with the calls that errors of this machine passed.
    pub fn sites(&self) -> &PrimaryMap<SiteId, Site> {
        match &self.chains {
            Some(chains) => chains.sites(),
            None => &self.program.module.sites,
        }
    }

    /// The number in a register.
    pub(super) fn int(&self, base: usize, reg: Reg) -> i64 {
        self.values[base + reg.index()].int()
    }

    /// The string in a register.
    pub(super) fn text(&self, base: usize, reg: Reg) -> &Text {
        const EMPTY: &Text = &Text::EMPTY;
        match &self.values[base + reg.index()] {
            Value::Str(text) => text,
            Value::Int(_) => EMPTY,
        }
    }

    /// The message of an error.
    pub(super) fn error_text(&self, site: i64, arg: i64) -> Vec<u8> {
        let site = u32::try_from(site).ok().map(SiteId::from_u32);
        match site.and_then(|site| self.sites().get(site)) {
            Some(site) => crate::session::errors::message(site.kind, arg, &self.message),
            None => Vec::new(),
        }
    }
}

/// A callee's result as its caller declares it.
fn fit(value: Option<Value>, ty: Ty) -> Value {
    match (value, ty) {
        (Some(Value::Str(text)), Ty::Str { cap, late: false }) => Value::Str(text.into_cut(cap)),
        (Some(value), _) => value,
        (None, ty) => Value::zero(ty),
    }
}

impl Program<'_> {
    /// The site that a call of `callee` raises when it nests too deep: the module's site of that
    /// kind that names the function, else its first of that kind.
    fn nesting_site(&self, callee: Func) -> SiteId {
        let name = self
            .module
            .functions
            .get(callee)
            .map_or("", |f| f.name.as_str());
        let mut first = None;
        for (id, site) in &self.module.sites {
            if site.kind == ErrorKind::MaxNesting {
                if site.near == format!("identifier '{name}'") {
                    return id;
                }
                first.get_or_insert(id);
            }
        }
        first.unwrap_or(SiteId::from_u32(u32::MAX - 1))
    }
}
