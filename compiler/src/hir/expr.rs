//! Expressions.

use bstr::BString;
use rtap_grammar::source::Span;

use super::{CoreId, FuncId, Global, Local, Ty};
use crate::builtins::BuiltinId;
use crate::lir::{BinOp, CmpOp, CtxReg, Env, Format, Histogram, Space, StatField};

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its type.
    pub ty: Ty,
    /// For strings: the most bytes it can have, and whether it is late.
    pub cap: (u32, bool),
    /// Where it stands in the source.
    pub span: Span,
}

impl Expr {
    /// An expression whose width is not known yet.
    pub fn new(kind: ExprKind, ty: Ty, span: Span) -> Self {
        Expr {
            kind,
            ty,
            cap: (0, false),
            span,
        }
    }
}

/// The other one of two compared expressions of which one is `""`.
pub fn compared_with_empty<'e>(a: &'e Expr, b: &'e Expr) -> Option<&'e Expr> {
    let is_empty = |e: &Expr| matches!(&e.kind, ExprKind::Str(text) if text.is_empty());
    if is_empty(b) {
        Some(a)
    } else {
        is_empty(a).then_some(b)
    }
}

/// Kinds of expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A number.
    Int(i64),
    /// A string.
    Str(BString),
    /// A relocatable kernel fact, as a number.
    Core(CoreId),
    /// A local variable.
    Local(Local),
    /// A scalar global.
    Global(Global),
    /// An element of an array.
    Element(Global, Vec<Expr>),
    /// `place op= value`; the value is the new value of the place.
    Assign {
        /// What is assigned.
        place: Place,
        /// `None` for plain `=`.
        op: Option<AssignOp>,
        /// The right side.
        value: Box<Expr>,
    },
    /// `++` and `--`.
    IncDec {
        /// What is changed.
        place: Place,
        /// Whether the new value results.
        prefix: bool,
        /// 1 or -1.
        delta: i64,
    },
    /// `stat <<< value`
    Push(StatRef, Box<Expr>),
    /// `-e`
    Neg(Box<Expr>),
    /// `~e`
    BitNot(Box<Expr>),
    /// `!e`
    Not(Box<Expr>),
    /// Arithmetic that cannot fail.
    Bin(BinOp, Box<Expr>, Box<Expr>),
    /// `a / b`
    Div(Box<Expr>, Box<Expr>),
    /// `a % b`
    Rem(Box<Expr>, Box<Expr>),
    /// Comparison, of numbers or of strings.
    Cmp(CmpOp, Box<Expr>, Box<Expr>),
    /// `a && b`
    And(Box<Expr>, Box<Expr>),
    /// `a || b`
    Or(Box<Expr>, Box<Expr>),
    /// `c ? a : b`
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `a . b . c`
    Concat(Vec<Expr>),
    /// `e =~ "re"` (`!~` is its `Not`).
    Match(Box<Expr>, BString),
    /// `[k, *] in array`; `None` is `*`.
    In(Global, Vec<Option<Expr>>),
    /// A call of a function of the program.
    Call(FuncId, Vec<Expr>),
    /// A call of a builtin.
    Builtin(BuiltinId, Vec<Expr>),
    /// The print family; no value.
    Print(Print),
    /// `sprint`, `sprintln`, `sprintf`, `sprintd`, `sprintdln`: a string.
    Sprint(Print),
    /// `@count(s)` and so on.
    StatGet(StatRef, StatField),
    /// `@hist_log(s)[i]`: histogram number `.1` of the global, bucket `.2`.
    HistBucket(StatRef, u8, Box<Expr>),
    /// `sprint(@hist_log(s))`: histogram number `.1` of the global as it is printed, a string.
    HistText(StatRef, u8),
    /// Read an integer of traced memory.
    Read {
        /// Address.
        addr: Box<Expr>,
        /// Address space.
        space: Space,
        /// Bytes: 1, 2, 4, 8.
        size: u8,
        /// Sign- or zero-extend.
        signed: bool,
        /// For a bit field: the shifts that isolate it in the sign- or zero-extended u64
        /// (left, then right), numbers or relocatable facts.
        bits: Option<(Box<Expr>, Box<Expr>)>,
    },
    /// Read a string of traced memory.
    ReadStr {
        /// Address.
        addr: Box<Expr>,
        /// Address space.
        space: Space,
    },
    /// A number from the surroundings.
    Env(Env),
    /// Argument `n` of a raw tracepoint or trampoline.
    CtxArg(u8),
    /// What the function returned (trampoline).
    CtxRet,
    /// A register.
    CtxReg(CtxReg),
    /// An entry argument saved for a return probe, as in [`crate::lir::Op::EntryArg`].
    EntryArg(u8),
    /// A text that belongs to the point that fired.
    PointText(PointText),
    /// A diagnostic has been given.
    Error,
}

/// Texts of a probe point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointText {
    /// `pp()`
    Full,
    /// `probefunc()`, `$$name` of functions.
    Function,
    /// `probemod()`
    Module,
    /// The name of the system call, which is the points' `function`. Late, it is a record of
    /// the probe's selector alone (`Piece::Call(UserFn("syscall_name"), 1)`), so that it costs
    /// nothing and is the same in all probes; else a switch over the points' texts.
    Syscall,
}

/// A statistic: a scalar global (no keys), or an array's element.
#[derive(Clone, Debug)]
pub struct StatRef {
    /// The global.
    pub global: Global,
    /// Keys, if it is an array.
    pub keys: Vec<Expr>,
}

/// Something that can be assigned.
#[derive(Clone, Debug)]
pub enum Place {
    /// A local.
    Local(Local),
    /// A scalar global.
    Global(Global),
    /// An array's element.
    Element(Global, Vec<Expr>),
    /// Traced memory (guru mode).
    Memory {
        /// Address.
        addr: Box<Expr>,
        /// Address space.
        space: Space,
        /// Bytes: 1, 2, 4, 8.
        size: u8,
    },
    /// A diagnostic has been given.
    Error,
}

/// The operation of a compound assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignOp {
    /// `+= -= *= &= |= ^= <<= >>=`
    Bin(BinOp),
    /// `/=`
    Div,
    /// `%=`
    Rem,
    /// `.=`
    Concat,
}

/// A member of the print family with its arguments.
#[derive(Clone, Debug)]
pub struct Print {
    /// Which.
    pub kind: PrintKind,
    /// Arguments, in order.
    pub args: Vec<PrintArg>,
    /// Where printed text goes.
    pub channel: crate::lir::Channel,
}

/// Kinds of printing.
#[derive(Clone, Debug)]
pub enum PrintKind {
    /// `print`, `println` (`newline`), `printd`, `printdln`: arguments one after another
    /// with a delimiter between them.
    Plain {
        /// Between arguments.
        delimiter: BString,
        /// Whether a newline ends it.
        newline: bool,
    },
    /// `printf`: conversions already checked against the arguments' number; `infer_types`
    /// checks the types.
    Format(Format),
}

/// An argument of the print family.
#[derive(Clone, Debug)]
pub enum PrintArg {
    /// A value.
    Value(Expr),
    /// `@hist_log(s)` or `@hist_linear(…)`, in `print` only.
    Hist(StatRef, Histogram),
}
