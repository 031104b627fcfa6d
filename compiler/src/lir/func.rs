//! Functions, blocks, values, terminators.

use cranelift_entity::PrimaryMap;
use rtap_grammar::source::Span;
use serde::{Deserialize, Serialize};

use super::{Block, Op, SiteId, Value};

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ty {
    /// Signed 64-bit integer.
    I64,
    /// Byte string; see the module's documentation.
    Str {
        /// The most bytes it can hold, without any terminator.
        cap: u32,
        /// Whether it holds a record to be rendered in user space instead of characters.
        late: bool,
    },
}

/// The most bytes that a string's type may have.
pub const MOST_STRING_BYTES: u32 = (1 << 16) - 1;

impl Ty {
    /// A string of characters of at most `cap` bytes.
    pub fn str(cap: u32) -> Self {
        Ty::Str { cap, late: false }
    }

    /// Whether this is a string, late or not.
    pub fn is_str(self) -> bool {
        matches!(self, Ty::Str { .. })
    }
}

/// How a value is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueDef {
    /// Parameter number `.1` of block `.0`.
    Param(Block, u32),
    /// The result of instruction number `.1` of block `.0`.
    Inst(Block, u32),
}

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueData {
    /// Its type.
    pub ty: Ty,
}

/// An instruction: an operation, its result if any, and where in the script it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inst {
    /// What is done.
    pub op: Op,
    /// The value it defines; present exactly if the operation has a result.
    pub result: Option<Value>,
    /// The script text it stems from.
    #[serde(with = "span_serde")]
    pub span: Span,
}

/// A jump target with the arguments for its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCall {
    /// Where to go.
    pub block: Block,
    /// One value for each parameter (after those that `Try` and `IterNext` supply).
    pub args: Vec<Value>,
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Terminator {
    /// Go to a block.
    Jump(BlockCall),
    /// Go to `.1` if `.0` is not zero, else to `.2`.
    Branch(Value, BlockCall, BlockCall),
    /// Go to the case that equals the value, else to the default. Cases are distinct.
    Switch {
        /// What is compared.
        value: Value,
        /// Constant and target.
        cases: Vec<(i64, BlockCall)>,
        /// Where to go otherwise.
        default: BlockCall,
    },
    /// Leave the function with its result (present exactly if the function has one).
    Return(Option<Value>),
    /// Leave the function with an error: site number and integer argument (both `i64`).
    Raise {
        /// Site number, a value because a caught error's site is only known at run time.
        site: Value,
        /// The error's argument (an address, an index; 0 where there is none).
        arg: Value,
    },
    /// Do an operation that can fail, with the error handled in this function.
    Try {
        /// The operation.
        op: Op,
        /// Its result's type, if it has one: the type of `ok`'s first parameter.
        result: Option<Ty>,
        /// Next block; the result is its first parameter.
        ok: BlockCall,
        /// On error; site and argument are its first two parameters.
        catch: BlockCall,
    },
    /// Take the next element of an iteration begun by `Op::IterBegin`.
    IterNext {
        /// The iteration's handle.
        iter: Value,
        /// The loop's body. Its first parameters are the keys and then, if
        /// `with_value`, the element's value (not for statistics).
        body: BlockCall,
        /// Whether the element's value is passed.
        with_value: bool,
        /// Where to go when there is none left.
        done: BlockCall,
    },
    /// Never reached; only for blocks under construction and dead ones.
    Unreachable,
}

impl Terminator {
    /// Calls `f` on every value used: operands, then arguments of jumps.
    pub fn for_each_operand(&self, mut f: impl FnMut(Value)) {
        match self {
            Terminator::Branch(value, ..) | Terminator::Switch { value, .. } => f(*value),
            Terminator::Return(value) => value.iter().for_each(|v| f(*v)),
            Terminator::Raise { site, arg } => {
                f(*site);
                f(*arg);
            }
            Terminator::Try { op, .. } => op.for_each_operand(&mut f),
            Terminator::IterNext { iter, .. } => f(*iter),
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
        self.for_each_jump(|to| to.args.iter().for_each(|v| f(*v)));
    }

    /// Calls `f` on every value used, to change it.
    pub fn for_each_operand_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Terminator::Branch(value, ..) | Terminator::Switch { value, .. } => f(value),
            Terminator::Return(value) => value.iter_mut().for_each(&mut f),
            Terminator::Raise { site, arg } => {
                f(site);
                f(arg);
            }
            Terminator::Try { op, .. } => op.for_each_operand_mut(&mut f),
            Terminator::IterNext { iter, .. } => f(iter),
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
        self.for_each_jump_mut(|to| to.args.iter_mut().for_each(&mut f));
    }

    /// Calls `f` on every jump.
    pub fn for_each_jump<'a>(&'a self, mut f: impl FnMut(&'a BlockCall)) {
        match self {
            Terminator::Jump(to) => f(to),
            Terminator::Branch(_, yes, no) => {
                f(yes);
                f(no);
            }
            Terminator::Switch { cases, default, .. } => {
                for (_, to) in cases {
                    f(to);
                }
                f(default);
            }
            Terminator::Try { ok, catch, .. } => {
                f(ok);
                f(catch);
            }
            Terminator::IterNext { body, done, .. } => {
                f(body);
                f(done);
            }
            Terminator::Return(_) | Terminator::Raise { .. } | Terminator::Unreachable => {}
        }
    }

    /// Calls `f` on every jump, to change it.
    pub fn for_each_jump_mut(&mut self, mut f: impl FnMut(&mut BlockCall)) {
        match self {
            Terminator::Jump(to) => f(to),
            Terminator::Branch(_, yes, no) => {
                f(yes);
                f(no);
            }
            Terminator::Switch { cases, default, .. } => {
                for (_, to) in cases {
                    f(to);
                }
                f(default);
            }
            Terminator::Try { ok, catch, .. } => {
                f(ok);
                f(catch);
            }
            Terminator::IterNext { body, done, .. } => {
                f(body);
                f(done);
            }
            Terminator::Return(_) | Terminator::Raise { .. } | Terminator::Unreachable => {}
        }
    }
}

/// A basic block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockData {
    /// Parameters.
    pub params: Vec<Value>,
    /// Instructions, in order.
    pub insts: Vec<Inst>,
    /// Its end.
    pub term: Terminator,
    /// Where the terminator comes from.
    #[serde(with = "span_serde")]
    pub term_span: Span,
    /// Set on the target of every back edge: the site of the error raised when the loop
    /// exceeds MAXACTION.
    pub loop_head: Option<SiteId>,
}

/// A function or a handler's body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Name in messages and in the program's BTF.
    pub name: String,
    /// Types of the parameters.
    pub params: Vec<Ty>,
    /// Type of the result, if it has one.
    pub ret: Option<Ty>,
    /// Blocks; the first is the entry.
    pub blocks: PrimaryMap<Block, BlockData>,
    /// Types of the values.
    pub values: PrimaryMap<Value, ValueData>,
    /// Where it is defined.
    #[serde(with = "span_serde")]
    pub span: Span,
}

impl Function {
    /// The entry block.
    pub fn entry(&self) -> Block {
        Block::from_u32(0)
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Ty {
        self.values[value].ty
    }

    /// A new value of type `ty`, to be defined by the caller.
    pub fn new_value(&mut self, ty: Ty) -> Value {
        self.values.push(ValueData { ty })
    }

    /// Copies another's body behind this one; gives the block that is its entry here.
    pub fn append(&mut self, body: &Function) -> Block {
        let (blocks, values) = (self.blocks.len() as u32, self.values.len() as u32);
        let moved = |value: &mut Value| *value = Value::from_u32(value.as_u32() + values);
        for data in body.values.values() {
            self.values.push(*data);
        }
        for data in body.blocks.values() {
            let mut data = data.clone();
            data.params.iter_mut().for_each(moved);
            for inst in &mut data.insts {
                inst.op.for_each_operand_mut(moved);
                inst.result.iter_mut().for_each(moved);
            }
            data.term.for_each_operand_mut(moved);
            data.term
                .for_each_jump_mut(|to| to.block = Block::from_u32(to.block.as_u32() + blocks));
            self.blocks.push(data);
        }
        Block::from_u32(blocks + body.entry().as_u32())
    }

    /// Cuts a block before instruction `at`, which is taken out: what follows it, in a block of its own whose
    /// parameter is its result, and the instruction. The first half is left without an end.
    pub fn take_out(&mut self, block: Block, at: usize) -> (Block, Inst) {
        let data = &mut self.blocks[block];
        let mut tail = data.insts.split_off(at);
        let inst = tail.remove(0);
        let rest = BlockData {
            params: inst.result.into_iter().collect(),
            insts: tail,
            term: std::mem::replace(&mut data.term, Terminator::Unreachable),
            term_span: std::mem::replace(&mut data.term_span, inst.span),
            loop_head: None,
        };
        (self.blocks.push(rest), inst)
    }

    /// Calls `f` on every jump out of `block`, with the number of leading parameters of
    /// the target that the terminator itself supplies.
    pub fn for_each_successor(&self, block: Block, mut f: impl FnMut(&BlockCall, usize)) {
        match &self.blocks[block].term {
            Terminator::Jump(to) => f(to, 0),
            Terminator::Branch(_, yes, no) => {
                f(yes, 0);
                f(no, 0);
            }
            Terminator::Switch { cases, default, .. } => {
                for (_, to) in cases {
                    f(to, 0);
                }
                f(default, 0);
            }
            Terminator::Try {
                result, ok, catch, ..
            } => {
                f(ok, usize::from(result.is_some()));
                f(catch, 2);
            }
            Terminator::IterNext { body, done, .. } => {
                let params = self.blocks[body.block].params.len();
                f(body, params.saturating_sub(body.args.len()));
                f(done, 0);
            }
            Terminator::Return(_) | Terminator::Raise { .. } | Terminator::Unreachable => {}
        }
    }
}

/// Spans are stored as three numbers.
pub(super) mod span_serde {
    use rtap_grammar::source::{FileId, Span};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(span: &Span, s: S) -> Result<S::Ok, S::Error> {
        (span.file.0, span.start, span.end).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
        let (file, start, end) = <(u32, u32, u32)>::deserialize(d)?;
        Ok(Span {
            file: FileId(file),
            start,
            end,
        })
    }
}
