//! Building functions in SSA form on the fly: variables are written and read, and reading one
//! where several definitions meet makes a block parameter.
//!
//! The method is Braun et al., *Simple and Efficient Construction of Static Single Assignment
//! Form* (2013), with a work list instead of recursion, so that long scripts need no deep
//! stack. A block is *sealed* when all jumps to it are there; until then parameters
//! made in it wait for their arguments. Parameters that turn out to be superfluous are left to
//! the `copy_propagation` pass.
//!
//! Invariants: a terminated block gets no more instructions; a sealed block no more jumps; a
//! variable that is read before it was written is 0 or "".

use std::collections::VecDeque;

use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap, entity_impl};
use rtap_grammar::source::Span;
use rustc_hash::FxHashMap;

use super::{
    Block, BlockCall, BlockData, FormatId, Function, Inst, Op, SiteId, StrId, Terminator, Ty,
    Value, ValueData,
};

/// A mutable variable of the function under construction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variable(u32);
entity_impl!(Variable, "var");

/// A jump to a block: the block it leaves, and its number among that block's jumps.
type Edge = (Block, usize);

/// What is known of a block under construction.
#[derive(Clone, Default)]
struct BlockState {
    preds: Vec<Edge>,
    sealed: bool,
    terminated: bool,
    /// Parameters that wait for the block to be sealed.
    incomplete: Vec<(Variable, Value)>,
}

/// The constants that undefined strings start with.
#[derive(Clone, Copy, Debug)]
pub struct Empty {
    /// The empty string.
    pub text: StrId,
    /// A format without pieces, for empty late strings.
    pub format: FormatId,
}

/// A function under construction.
pub struct Builder {
    func: Function,
    current: Block,
    blocks: SecondaryMap<Block, BlockState>,
    variables: PrimaryMap<Variable, Ty>,
    defs: FxHashMap<(Variable, Block), Value>,
    /// What variables hold before they are written; put in front of the entry block.
    initial: Vec<Inst>,
    initial_of: FxHashMap<Variable, Value>,
    empty: Empty,
}

impl Builder {
    /// Begins a function. The current block is its entry, with the parameters.
    pub fn new(name: String, params: Vec<Ty>, ret: Option<Ty>, span: Span, empty: Empty) -> Self {
        let mut builder = Builder {
            func: Function {
                name,
                params: params.clone(),
                ret,
                blocks: PrimaryMap::new(),
                values: PrimaryMap::new(),
                span,
            },
            current: Block::from_u32(0),
            blocks: SecondaryMap::new(),
            variables: PrimaryMap::new(),
            defs: FxHashMap::default(),
            initial: Vec::new(),
            initial_of: FxHashMap::default(),
            empty,
        };
        let entry = builder.new_block();
        for ty in params {
            builder.block_param(entry, ty);
        }
        builder.seal(entry);
        builder
    }

    /// The parameters of the function.
    pub fn params(&self) -> &[Value] {
        &self.func.blocks[self.func.entry()].params
    }

    /// The parameters of a block, those that it was made with first.
    pub fn block_params(&self, block: Block) -> &[Value] {
        &self.func.blocks[block].params
    }

    /// A new, empty block that is not yet sealed.
    pub fn new_block(&mut self) -> Block {
        self.func.blocks.push(BlockData {
            params: Vec::new(),
            insts: Vec::new(),
            term: Terminator::Unreachable,
            term_span: Span::NONE,
            loop_head: None,
        })
    }

    /// Adds a parameter to a block. Parameters that a terminator supplies come before any
    /// that variables need, so a block gets them before it is jumped to.
    pub fn block_param(&mut self, block: Block, ty: Ty) -> Value {
        let value = self.func.values.push(ValueData { ty });
        self.func.blocks[block].params.push(value);
        value
    }

    /// Marks a block as the head of a loop.
    pub fn loop_head(&mut self, block: Block, site: SiteId) {
        self.func.blocks[block].loop_head = Some(site);
    }

    /// Goes on in `block`.
    pub fn switch_to(&mut self, block: Block) {
        debug_assert!(!self.blocks[block].terminated, "{block} is complete");
        self.current = block;
    }

    /// The block that instructions are added to.
    pub fn current(&self) -> Block {
        self.current
    }

    /// Whether the current block is complete; what follows is not reachable.
    pub fn is_terminated(&self) -> bool {
        self.blocks[self.current].terminated
    }

    /// Whether anything jumps to the block (so far).
    pub fn has_preds(&self, block: Block) -> bool {
        !self.blocks[block].preds.is_empty()
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Ty {
        self.func.ty(value)
    }

    /// Appends an operation without a result.
    pub fn effect(&mut self, op: Op, span: Span) {
        self.push(op, None, span);
    }

    /// Appends an operation with a result.
    pub fn value(&mut self, op: Op, ty: Ty, span: Span) -> Value {
        let value = self.func.values.push(ValueData { ty });
        self.push(op, Some(value), span);
        value
    }

    fn push(&mut self, op: Op, result: Option<Value>, span: Span) {
        if self.is_terminated() {
            self.start_dead_block();
        }
        let insts = &mut self.func.blocks[self.current].insts;
        insts.push(Inst { op, result, span });
    }

    /// After a terminator in the middle of an expression (`error()`), what is left of the
    /// expression goes to a block that nothing reaches.
    fn start_dead_block(&mut self) {
        let dead = self.new_block();
        self.seal(dead);
        self.current = dead;
    }

    /// Ends the current block. Blocks that it jumps to must not be sealed.
    pub fn terminate(&mut self, term: Terminator, span: Span) {
        if self.is_terminated() {
            self.start_dead_block();
        }
        let from = self.current;
        let mut n = 0;
        let mut targets = Vec::new();
        term.for_each_jump(|to| {
            targets.push((to.block, (from, n)));
            n += 1;
        });
        for (block, edge) in targets {
            debug_assert!(!self.blocks[block].sealed, "{block} is sealed");
            self.blocks[block].preds.push(edge);
        }
        let data = &mut self.func.blocks[from];
        data.term = term;
        data.term_span = span;
        self.blocks[from].terminated = true;
    }

    /// Ends the current block with a jump.
    pub fn jump(&mut self, to: Block, span: Span) {
        self.terminate(Terminator::Jump(call(to)), span);
    }

    /// Ends the current block with a jump that passes arguments for the target's own parameters.
    pub fn jump_with(&mut self, block: Block, args: Vec<Value>, span: Span) {
        self.terminate(Terminator::Jump(BlockCall { block, args }), span);
    }

    /// Ends the current block with a branch.
    pub fn branch(&mut self, cond: Value, yes: Block, no: Block, span: Span) {
        self.terminate(Terminator::Branch(cond, call(yes), call(no)), span);
    }

    /// Does an operation that can fail and goes on after it in a new block; on error
    /// control goes to `catch`.
    pub fn try_op(&mut self, op: Op, ty: Option<Ty>, catch: Block, span: Span) -> Option<Value> {
        let ok = self.new_block();
        let value = ty.map(|ty| self.block_param(ok, ty));
        let term = Terminator::Try {
            op,
            result: ty,
            ok: call(ok),
            catch: call(catch),
        };
        self.terminate(term, span);
        self.seal(ok);
        self.switch_to(ok);
        value
    }

    /// A new variable.
    pub fn variable(&mut self, ty: Ty) -> Variable {
        self.variables.push(ty)
    }

    /// The type of a variable.
    pub fn variable_ty(&self, variable: Variable) -> Ty {
        self.variables[variable]
    }

    /// Assigns a variable; the value must have its type.
    pub fn write(&mut self, variable: Variable, value: Value) {
        debug_assert_eq!(self.variables[variable], self.ty(value));
        self.defs.insert((variable, self.current), value);
    }

    /// The value of a variable here.
    pub fn read(&mut self, variable: Variable) -> Value {
        let mut pending = VecDeque::new();
        let value = self.look_up(variable, self.current, &mut pending);
        self.complete(pending);
        value
    }

    /// All jumps to the block are there.
    pub fn seal(&mut self, block: Block) {
        let state = &mut self.blocks[block];
        state.sealed = true;
        let incomplete = std::mem::take(&mut state.incomplete);
        let pending = incomplete.into_iter().map(|(var, _)| (block, var));
        self.complete(pending.collect());
    }

    /// The value of a variable at the end of a block. Parameters made on the way are put on
    /// the list; their arguments are still missing.
    fn look_up(
        &mut self,
        variable: Variable,
        block: Block,
        pending: &mut VecDeque<(Block, Variable)>,
    ) -> Value {
        let mut path = Vec::new();
        let mut at = block;
        let value = loop {
            if let Some(value) = self.defs.get(&(variable, at)) {
                break *value;
            }
            path.push(at);
            let state = &self.blocks[at];
            match (state.sealed, state.preds.as_slice()) {
                (true, []) => break self.initial_value(variable),
                (true, [(pred, _)]) => at = *pred,
                (sealed, _) => {
                    let value = self.block_param(at, self.variables[variable]);
                    if sealed {
                        pending.push_back((at, variable));
                    } else {
                        self.blocks[at].incomplete.push((variable, value));
                    }
                    break value;
                }
            }
        };
        for block in path {
            self.defs.insert((variable, block), value);
        }
        value
    }

    /// Passes arguments for new parameters, in the order in which they were made.
    fn complete(&mut self, mut pending: VecDeque<(Block, Variable)>) {
        while let Some((block, variable)) = pending.pop_front() {
            for i in 0..self.blocks[block].preds.len() {
                let (pred, jump) = self.blocks[block].preds[i];
                let value = self.look_up(variable, pred, &mut pending);
                let mut n = 0;
                self.func.blocks[pred].term.for_each_jump_mut(|to| {
                    if n == jump {
                        to.args.push(value);
                    }
                    n += 1;
                });
            }
        }
    }

    /// What a variable holds that was never written: 0 or "".
    fn initial_value(&mut self, variable: Variable) -> Value {
        if let Some(value) = self.initial_of.get(&variable) {
            return *value;
        }
        let ty = self.variables[variable];
        let op = match ty {
            Ty::I64 => Op::Const(0),
            Ty::Str { late: false, .. } => Op::StrConst(self.empty.text),
            Ty::Str { late: true, .. } => Op::StrLate(self.empty.format, Vec::new()),
        };
        let result = self.func.values.push(ValueData { ty });
        self.initial.push(Inst {
            op,
            result: Some(result),
            span: self.func.span,
        });
        self.initial_of.insert(variable, result);
        result
    }

    /// The finished function; blocks that nothing reaches are left out.
    pub fn finish(mut self) -> Function {
        // Where a fault cut lowering short, blocks are still open.
        for block in self.func.blocks.keys() {
            if !self.blocks[block].sealed {
                self.seal(block);
            }
        }
        let entry = self.func.entry();
        self.initial.append(&mut self.func.blocks[entry].insts);
        self.func.blocks[entry].insts = self.initial;
        remove_unreachable(&mut self.func);
        self.func
    }
}

/// A jump without arguments.
fn call(block: Block) -> BlockCall {
    BlockCall {
        block,
        args: Vec::new(),
    }
}

/// Drops the blocks that the entry does not reach and numbers the others anew, in order.
pub fn remove_unreachable(func: &mut Function) {
    let mut reached = EntitySet::with_capacity(func.blocks.len());
    let mut count = 1;
    reached.insert(func.entry());
    let mut work = vec![func.entry()];
    while let Some(block) = work.pop() {
        func.blocks[block].term.for_each_jump(|to| {
            if reached.insert(to.block) {
                count += 1;
                work.push(to.block);
            }
        });
    }
    if count == func.blocks.len() {
        return;
    }
    let mut number = SecondaryMap::with_default(func.entry());
    let mut kept = PrimaryMap::with_capacity(count);
    for (block, data) in std::mem::take(&mut func.blocks) {
        if reached.contains(block) {
            number[block] = kept.push(data);
        }
    }
    for data in kept.values_mut() {
        data.term
            .for_each_jump_mut(|to| to.block = number[to.block]);
    }
    func.blocks = kept;
}
