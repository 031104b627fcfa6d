//! The function that a group becomes: its states, and how calls and returns go from one to another by the hub.

use std::collections::BTreeMap;

use rtap_grammar::source::Span;

use crate::lir::{
    Block, BlockCall, BlockData, Func, Function, Inst, NestOp, NestSlot, Op, SiteId, Terminator,
    Ty, Value,
};

/// Slot of the state to go on with when a call returns.
pub const STATE: u32 = 0;
/// Slot of a call's result, or of the site of its error.
pub const RESULT: u32 = 1;
/// Slot of the error's argument.
pub const ERROR_ARG: u32 = 2;
/// Slots from here on pass arguments to functions and loops.
pub const FIRST_ARG: u32 = 3;
/// The state behind the group's last return.
pub const DONE: i64 = 1;

/// A call of the group, in a block that ends with it.
pub struct Call {
    pub block: Block,
    pub callee: Func,
    pub args: Vec<Value>,
    pub result: Option<Ty>,
    pub ok: BlockCall,
    pub catch: Option<BlockCall>,
    pub span: Span,
}

/// A function under construction.
pub struct Linked {
    /// Its code, whose hub does not lead anywhere yet.
    pub code: Function,
    /// The hub.
    pub hub: Block,
    /// What the hub leads to, by number.
    pub states: BTreeMap<i64, Block>,
    /// Where control comes by from some blocks: from loops to their next rounds, from calls to what is behind them.
    pub ways: Vec<(Block, Block)>,
    /// The number of its sets of slots.
    pub nest: u8,
}

/// A jump with arguments.
pub fn jump_to(block: Block, args: Vec<Value>) -> BlockCall {
    BlockCall { block, args }
}

impl Linked {
    /// A function with the signature of `like`, an empty first block and a hub.
    pub fn new(like: &Function, nest: u8) -> Linked {
        let mut linked = Linked {
            code: Function {
                name: like.name.clone(),
                params: like.params.clone(),
                ret: like.ret,
                blocks: cranelift_entity::PrimaryMap::new(),
                values: cranelift_entity::PrimaryMap::new(),
                span: like.span,
            },
            hub: Block::from_u32(1),
            states: BTreeMap::new(),
            ways: Vec::new(),
            nest,
        };
        linked.block(&like.params, like.span);
        linked.block(&[Ty::I64], like.span);
        linked
    }

    pub fn block(&mut self, params: &[Ty], span: Span) -> Block {
        let params = params.iter().map(|ty| self.code.new_value(*ty)).collect();
        self.code.blocks.push(BlockData {
            params,
            insts: Vec::new(),
            term: Terminator::Unreachable,
            term_span: span,
            loop_head: None,
        })
    }

    pub fn effect(&mut self, block: Block, op: Op) {
        let span = self.code.blocks[block].term_span;
        let result = None;
        self.code.blocks[block]
            .insts
            .push(Inst { op, result, span });
    }

    pub fn value(&mut self, block: Block, op: Op, ty: Ty) -> Value {
        let span = self.code.blocks[block].term_span;
        let value = self.code.new_value(ty);
        let result = Some(value);
        self.code.blocks[block]
            .insts
            .push(Inst { op, result, span });
        value
    }

    pub fn get(&mut self, block: Block, slot: NestSlot, ty: Ty) -> Value {
        self.value(block, Op::Nest(self.nest, NestOp::Get(slot)), ty)
    }

    pub fn set(&mut self, block: Block, slot: NestSlot, value: Value) {
        self.effect(block, Op::Nest(self.nest, NestOp::Set(slot, value)));
    }

    /// Ends a block by going to the state whose number a value is.
    pub fn go(&mut self, block: Block, state: Value) {
        self.code.blocks[block].term = Terminator::Jump(jump_to(self.hub, vec![state]));
    }

    pub fn go_to(&mut self, block: Block, state: i64) {
        let state = self.value(block, Op::Const(state), Ty::I64);
        self.go(block, state);
    }

    /// Notes that what follows a block is a state, or the one for its errors.
    pub fn goes_on(&mut self, block: Block, state: i64) {
        for state in [state, -state] {
            let state = self.states.get(&state);
            self.ways.extend(state.map(|state| (block, *state)));
        }
    }

    fn next_number(&self) -> i64 {
        let last = self.states.keys().next_back().copied();
        last.map_or(DONE + 1, |last| last.max(DONE) + 1)
    }

    /// A state that goes on in `block` with what was passed.
    pub fn state(&mut self, params: &[Ty], block: Block) -> (i64, Block) {
        let number = self.next_number();
        let state = self.block(&[], self.code.blocks[block].term_span);
        let args = params.iter().enumerate();
        let args = args
            .map(|(n, ty)| self.get(state, NestSlot::Own(FIRST_ARG + n as u32), *ty))
            .collect();
        self.code.blocks[state].term = Terminator::Jump(jump_to(block, args));
        self.states.insert(number, state);
        (number, state)
    }

    /// The states behind a call, which find its result in a slot: the number of both, the block of the first, and that of
    /// the one for an error that is caught.
    pub fn resume(
        &mut self,
        call: &Call,
        slot: fn(u32) -> NestSlot,
    ) -> (i64, Block, Option<Block>) {
        let number = self.next_number();
        let state = self.block(&[], call.span);
        let resumed = state;
        let result = call.result.map(|ty| self.get(state, slot(RESULT), ty));
        let args = result
            .into_iter()
            .chain(call.ok.args.iter().copied())
            .collect();
        self.code.blocks[state].term = Terminator::Jump(jump_to(call.ok.block, args));
        self.states.insert(number, state);
        let caught = call.catch.as_ref().map(|catch| {
            let state = self.block(&[], call.span);
            let mut args = vec![
                self.get(state, slot(RESULT), Ty::I64),
                self.get(state, slot(ERROR_ARG), Ty::I64),
            ];
            args.extend(&catch.args);
            self.code.blocks[state].term = Terminator::Jump(jump_to(catch.block, args));
            self.states.insert(-number, state);
            state
        });
        (number, resumed, caught)
    }

    /// Cuts a block behind its first call of a function that is linked.
    pub fn split_call(&mut self, block: Block, is_linked: impl Fn(Func) -> bool) -> Option<Call> {
        let is_call = |op: &Op| matches!(op, Op::Call(func, ..) if is_linked(*func));
        let data = &mut self.code.blocks[block];
        if let Some(at) = data.insts.iter().position(|inst| is_call(&inst.op)) {
            let (rest, Inst { op, result, span }) = self.code.take_out(block, at);
            let Op::Call(callee, args, _) = op else {
                return None;
            };
            return Some(Call {
                block,
                callee,
                args,
                result: result.map(|value| self.code.ty(value)),
                ok: jump_to(rest, Vec::new()),
                catch: None,
                span,
            });
        }
        if !matches!(&data.term, Terminator::Try { op, .. } if is_call(op)) {
            return None;
        }
        let Terminator::Try {
            op: Op::Call(callee, args, _),
            result,
            ok,
            catch,
        } = std::mem::replace(&mut data.term, Terminator::Unreachable)
        else {
            return None;
        };
        Some(Call {
            block,
            callee,
            args,
            result,
            ok,
            catch: Some(catch),
            span: data.term_span,
        })
    }

    /// Puts the code of a call behind its block. It goes on in state `back`.
    pub fn call(&mut self, call: &Call, deep: SiteId, begin: i64, back: i64) {
        let push = Op::Nest(self.nest, NestOp::Push(deep));
        self.code.blocks[call.block].term_span = call.span;
        let mut block = call.block;
        self.pass(block, &call.args, back);
        if let Some(catch) = call.catch.clone() {
            block = self.block(&[], call.span);
            self.code.blocks[call.block].term = Terminator::Try {
                op: push,
                result: None,
                ok: jump_to(block, Vec::new()),
                catch,
            };
        } else {
            self.effect(block, push);
        }
        self.goes_on(block, back);
        self.go_to(block, begin);
    }

    /// Stores what the function that is called next finds.
    fn pass(&mut self, block: Block, args: &[Value], back: i64) {
        for (n, arg) in args.iter().enumerate() {
            self.set(block, NestSlot::Next(FIRST_ARG + n as u32), *arg);
        }
        let back = self.value(block, Op::Const(back), Ty::I64);
        self.set(block, NestSlot::Next(STATE), back);
    }

    /// Makes every return of the bodies one by the hub.
    pub fn returns(&mut self) {
        for number in 0..self.code.blocks.len() {
            let block = Block::from_u32(number as u32);
            let Terminator::Return(value) = self.code.blocks[block].term else {
                continue;
            };
            let state = self.get(block, NestSlot::Own(STATE), Ty::I64);
            if let Some(value) = value {
                self.set(block, NestSlot::Own(RESULT), value);
            }
            self.effect(block, Op::Nest(self.nest, NestOp::Pop));
            self.go(block, state);
        }
    }

    /// The first block: the first call.
    pub fn begin(&mut self, deep: SiteId, begin: i64) {
        let block = self.code.entry();
        self.effect(block, Op::Nest(self.nest, NestOp::Begin));
        let args = self.code.blocks[block].params.clone();
        self.pass(block, &args, DONE);
        self.effect(block, Op::Nest(self.nest, NestOp::Push(deep)));
        self.go_to(block, begin);
    }

    /// The last states: the first call's result, or its error.
    pub fn end(&mut self, raise: Option<Block>) {
        let span = self.code.span;
        let done = self.block(&[], span);
        let result = self
            .code
            .ret
            .map(|ty| self.get(done, NestSlot::Next(RESULT), ty));
        self.code.blocks[done].term = Terminator::Return(result);
        self.states.insert(DONE, done);
        let Some(raise) = raise else {
            return;
        };
        let failed = self.block(&[], span);
        let site = self.get(failed, NestSlot::Next(RESULT), Ty::I64);
        let arg = self.get(failed, NestSlot::Next(ERROR_ARG), Ty::I64);
        self.code.blocks[failed].term = Terminator::Raise { site, arg };
        self.states.insert(-DONE, failed);
        self.hand_down(raise, STATE, &[NestOp::Pop]);
    }

    /// Makes the hub lead to its states, to the last of them by any other number. Control comes by so often at most between
    /// two rounds of loops that are counted.
    pub fn finish_hub(&mut self, last: i64, passes: u32) {
        let hub = self.hub;
        self.effect(hub, Op::Nest(self.nest, NestOp::Hub(passes)));
        let Some(&value) = self.code.blocks[hub].params.first() else {
            return;
        };
        let Some(last) = self.states.remove(&last) else {
            return;
        };
        let states = self.states.iter();
        self.code.blocks[hub].term = Terminator::Switch {
            value,
            cases: states
                .map(|(number, block)| (*number, jump_to(*block, Vec::new())))
                .collect(),
            default: jump_to(last, Vec::new()),
        };
    }
}
