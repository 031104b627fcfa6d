//! Operations. One row each: operands, result, failure, where it can run.

use serde::{Deserialize, Serialize};

use super::{CoreId, FormatId, Func, Global, RegexId, SiteId, StrId, TableId, Ty, Value};

/// Two-operand integer arithmetic that cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BinOp {
    /// Wrapping sum.
    Add,
    /// Wrapping difference.
    Sub,
    /// Wrapping product.
    Mul,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Left shift, count modulo 64.
    Shl,
    /// Logical right shift, count modulo 64.
    Shr,
    /// Arithmetic right shift, count modulo 64.
    Sar,
}

/// Comparisons; the result is 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Signed less.
    Lt,
    /// Signed less or equal.
    Le,
    /// Signed greater.
    Gt,
    /// Signed greater or equal.
    Ge,
    /// Unsigned less (made by the compiler, not by scripts).
    Ult,
}

/// Numbers that the surroundings of a handler give, none of which can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Env {
    /// `tgid << 32 | tid` of the current task, as bpf_get_current_pid_tgid gives it.
    PidTgid,
    /// `gid << 32 | uid` of the current task.
    UidGid,
    /// Number of the CPU.
    Cpu,
    /// CLOCK_MONOTONIC, nanoseconds.
    KtimeNs,
    /// CLOCK_BOOTTIME, nanoseconds (kernel 5.8).
    BootNs,
    /// CLOCK_REALTIME, nanoseconds since the epoch: monotonic time plus the offset that the
    /// runtime keeps in the globals header.
    RealNs,
    /// Jiffies.
    Jiffies,
    /// Address of the current `task_struct`.
    CurrentTask,
    /// Cgroup id of the current task.
    CgroupId,
    /// 32 random bits.
    Random,
    /// Which of the handler's points fired (its index).
    Point,
    /// `target()`: PID given by `-x` or of `-c`'s child, else 0.
    TargetPid,
}

/// A register of the traced context, in the architecture's pt_regs order of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CtxReg {
    /// Argument register `n` (0-based) of the C calling convention.
    Arg(u8),
    /// Argument register `n` of the system-call convention.
    SyscallArg(u8),
    /// The return value's register.
    Ret,
    /// The register of the second word of a return value that has two.
    RetHigh,
    /// Instruction pointer.
    Ip,
    /// Stack pointer.
    Sp,
    /// Frame pointer.
    Fp,
    /// A register by its DWARF number.
    Dwarf(u8),
}

/// Addresses of a call stack that are kept, as SystemTap's MAXBACKTRACE.
pub const STACK_FRAMES: u32 = 20;

/// Which address space an address is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// The kernel's.
    Kernel,
    /// The current task's.
    User,
}

/// What is read of a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StatField {
    /// Number of values; 0 for an empty statistic.
    Count,
    /// Their sum; 0 for an empty statistic.
    Sum,
    /// The least; fails when empty.
    Min,
    /// The greatest; fails when empty.
    Max,
    /// Sum / count, truncated towards zero; fails when empty.
    Avg,
    /// The sample variance, truncated; fails when empty.
    Variance,
}

/// How a foreach goes through its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SortBy {
    /// Key number `n`.
    Key(u8),
    /// The element's value.
    Value,
    /// A field of the element's statistic.
    Stat(StatField),
}

/// The order of a foreach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sort {
    /// What decides.
    pub by: SortBy,
    /// Largest first.
    pub descending: bool,
}

/// Functions that exist in user space only, by name: `ctime`, `symname`, `system`. The
/// executors and renderers look them up in one table (`runtime/src/userfn`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserFn(pub String);

/// Texts of a probe point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PointText {
    /// `pp()`: the point in full.
    Full,
    /// `probefunc()`, or the system call's name.
    Function,
    /// `probemod()`.
    Module,
}

/// A slot of functions that recurse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NestSlot {
    /// One of the innermost level.
    Own(u32),
    /// One of the level that a call begins next, or that a return ended last: arguments and results.
    Next(u32),
}

impl NestSlot {
    /// Its number among the slots of its level.
    pub fn number(self) -> u32 {
        match self {
            NestSlot::Own(number) | NestSlot::Next(number) => number,
        }
    }
}

/// What becomes of the slots in which functions that recurse keep values across their calls: a set for
/// each level of calls. Only the back end makes these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NestOp {
    /// Level 0 is the innermost one.
    Begin,
    /// The next level becomes the innermost; fails if there are no more.
    Push(SiteId),
    /// The level before becomes the innermost again.
    Pop,
    /// The value in a slot.
    Get(NestSlot),
    /// Store in a slot.
    Set(NestSlot, Value),
    /// Stands in the block through which calls and returns go: the head of a loop of which no round is counted. It goes
    /// round so often at most between two rounds that are.
    Hub(u32),
}

/// Where an operation can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In either executor.
    Both,
    /// In kernel handlers only (it needs a traced context).
    Kernel,
    /// In user space only.
    User,
}

/// An operation. Operands come first, then immediates. `site` is where its error is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    // ---- integers -------------------------------------------------------------
    /// `iconst n`.
    Const(i64),
    /// The number of an error site, for `raise`.
    Site(SiteId),
    /// A relocatable kernel fact as a number (field offset, size, enumerator).
    Core(CoreId),
    /// Arithmetic.
    Bin(BinOp, Value, Value),
    /// Comparison of integers: 0 or 1.
    Cmp(CmpOp, Value, Value),
    /// Keep the low `bits` (1-63) of the value and extend them.
    Extend {
        /// Operand.
        value: Value,
        /// How many low bits are kept.
        bits: u8,
        /// Sign- or zero-extend.
        signed: bool,
    },
    /// C's `/`; fails on a zero divisor.
    Div(Value, Value, SiteId),
    /// C's `%`; fails on a zero divisor.
    Rem(Value, Value, SiteId),

    // ---- strings ----------------------------------------------------------------
    /// A constant.
    StrConst(StrId),
    /// All operands one after another.
    StrConcat(Vec<Value>),
    /// The operand, cut to the result's `cap` or just given a wider type.
    StrCut(Value),
    /// -1, 0 or 1, by unsigned bytes.
    StrCmp(Value, Value),
    /// 1 if equal.
    StrEq(Value, Value),
    /// 0 if the string is empty, else some other number: all that can be asked of a late string.
    StrSome(Value),
    /// Length in bytes.
    StrLen(Value),
    /// Byte `.1` of the string, 0-255; 0 outside of it.
    StrByte(Value, Value),
    /// `substr(s, start, length)`: "" if start or length is out of range.
    StrSub(Value, Value, Value),
    /// Offset of the first occurrence of `.1` in `.0`, or -1.
    StrFind(Value, Value),
    /// A one-byte string (empty for 0) of the low eight bits.
    StrFromByte(Value),
    /// C's strtol(s, base) with 64 bits, saturating; base 0, or 2 to 36, else 0 results.
    StrToInt(Value, Value),
    /// `sprintf`.
    StrFormat(FormatId, Vec<Value>),
    /// `sprintf` left to user space: makes a late string. One of nothing, or of one plain string
    /// as it is ([`super::Format::is_one_string`]) that is empty, is empty for `StrSome`.
    StrLate(FormatId, Vec<Value>),
    /// The call stack, left to user space: a late string of the format with these numbers and then the
    /// [`STACK_FRAMES`] innermost return addresses, 0 where there are fewer.
    StrStack(FormatId, Vec<Value>, Space),
    /// What the kernel itself calls one of its addresses: `name [module]`, without the latter for its own
    /// image, with `+offset/size` behind the name if `offset` says so; the address in hexadecimal where there is no symbol.
    StrSymbol {
        /// The address.
        addr: Value,
        /// Whether offset and size are told.
        offset: bool,
    },
    /// 1 if the regular expression matches anywhere; remembers the sub-matches.
    StrMatch(RegexId, Value),
    /// Text of sub-match `.0` of the last successful `StrMatch` in this handler run.
    Matched(Value, SiteId),
    /// Number of sub-expressions of the last successful `StrMatch`.
    MatchedGroups,
    /// The string with non-printable bytes, quotes and backslashes escaped as C would
    /// (octal), in double quotes, with `...` after the closing quote when it was cut.
    StrQuote(Value),

    // ---- surroundings ---------------------------------------------------------------
    /// A number from the surroundings.
    Env(Env),
    /// `comm` of the current task; the result has cap 15.
    Comm,
    /// Argument `n` of a raw tracepoint or of a function by fentry/fexit, as a 64-bit slot.
    CtxArg(u8),
    /// What the traced function returned, by fexit.
    CtxRet,
    /// A register by pt_regs (kprobe, uprobe, perf event).
    CtxReg(CtxReg),
    /// An integer out of the program's context structure.
    CtxLoad {
        /// Offset in bytes.
        offset: u32,
        /// Size in bytes: 1, 2, 4, 8.
        size: u8,
        /// Sign- or zero-extend.
        signed: bool,
    },
    /// The return address that many frames up the call stack (0: where the probe is); 0 where there is none,
    /// or [`STACK_FRAMES`] and more.
    CtxFrame(Value, Space),
    /// Entry-time argument `n` saved for a return probe by its entry program (`Point::entry`): that of register `n`, and
    /// behind the last register the words on the stack. Fails when the entry was missed.
    EntryArg(u8, SiteId),

    // ---- traced memory -----------------------------------------------------------------
    /// What counter number `.0` of [`crate::image::Attach::PerfCounter`] has counted on this CPU; fails
    /// where it does not count. A global that is read before it is read anew behind it.
    PerfCount(Value, SiteId),
    /// Read an integer; fails on a bad address, which is the error's argument.
    MemRead {
        /// Address.
        addr: Value,
        /// Address space.
        space: Space,
        /// Size in bytes: 1, 2, 4, 8.
        size: u8,
        /// Sign- or zero-extend.
        signed: bool,
        /// Error site.
        site: SiteId,
    },
    /// Read a NUL-terminated string, at most the result's `cap` bytes; fails on a bad address.
    MemReadStr {
        /// Address.
        addr: Value,
        /// Address space.
        space: Space,
        /// Error site.
        site: SiteId,
    },
    /// Read up to `len` bytes, stop at a NUL, at most the result's `cap`.
    MemReadStrN {
        /// Address.
        addr: Value,
        /// Most bytes to take.
        len: Value,
        /// Address space.
        space: Space,
        /// Error site.
        site: SiteId,
    },
    /// Read `len` bytes (none if negative), at most half the result's `cap`; gives them in hexadecimal.
    MemReadHex {
        /// Address.
        addr: Value,
        /// Bytes.
        len: Value,
        /// Address space.
        space: Space,
        /// Error site.
        site: SiteId,
    },

    // ---- globals ----------------------------------------------------------------------------
    /// The value of a scalar.
    GlobalGet(Global),
    /// Assign a scalar.
    GlobalSet(Global, Value),
    /// Add to an integer scalar, atomically.
    GlobalAdd(Global, Value),
    /// Add to an integer scalar, atomically; the result is the value before.
    GlobalFetchAdd(Global, Value),
    /// An element, 0 or "" if there is none.
    ArrayGet(Global, Vec<Value>),
    /// 1 if there is such an element (arrays of statistics too).
    ArrayHas(Global, Vec<Value>),
    /// Assign an element; fails when the array is full.
    ArraySet(Global, Vec<Value>, Value, SiteId),
    /// Add to an integer element (absent counts as 0), atomically; fails when full.
    ArrayAdd(Global, Vec<Value>, Value, SiteId),
    /// The same; the result is the value before.
    ArrayFetchAdd(Global, Vec<Value>, Value, SiteId),
    /// Remove an element, if there.
    ArrayDel(Global, Vec<Value>),
    /// Remove the elements whose keys equal the given ones; `None` matches all. Also
    /// empties a whole array, and resets a scalar or scalar statistic (no keys).
    Clear(Global, Vec<Option<Value>>),
    /// 1 if there is an element with these keys; `None` matches all.
    ArrayHasSlice(Global, Vec<Option<Value>>),
    /// `s <<< v`, with keys for an array of statistics; fails when the array is full.
    StatPush(Global, Vec<Value>, Value, SiteId),
    /// A number out of a statistic, merged over the CPUs; see [`StatField`].
    StatGet(Global, Vec<Value>, StatField, SiteId),
    /// Count in histogram bucket number `.2` (the global's one histogram, or the `.3`rd);
    /// fails out of range or when the statistic is empty.
    StatBucket(Global, Vec<Value>, Value, u8, SiteId),
    /// Begin a foreach: result is a handle for `IterNext`. Slices: `None` matches all.
    IterBegin {
        /// The array.
        array: Global,
        /// One per key.
        slice: Vec<Option<Value>>,
        /// Order; unordered if absent.
        sort: Option<Sort>,
        /// Most elements taken.
        limit: Option<Value>,
        /// In functions that recurse, whose level has an iteration of its own: the number of their slots
        /// ([`NestOp`]). Only the back end says so.
        nest: Option<u8>,
        /// Error site (no memory for the snapshot, nested too deep).
        site: SiteId,
    },
    /// Give an iteration up (on every way out of its loop).
    IterEnd(Value),

    // ---- effects ----------------------------------------------------------------------------------
    /// Print.
    Emit(FormatId, Vec<Value>),
    /// The text that `EmitHist` prints: characters, cut at the result's width, in user space only; or a
    /// late string of the format, whose numbers are the counts of the buckets.
    StrHist(FormatId, Global, Vec<Value>, u8, SiteId),
    /// Print a statistic's histogram number `.2` as SystemTap lays it out; fails when empty.
    EmitHist(Global, Vec<Value>, u8, SiteId),
    /// The run is of this point of the handler (its number there), and is measured from here on. Once, before all that the
    /// script says.
    Hit(Value),
    /// `exit()`.
    RequestExit,
    /// Put a string into the handler run's error message buffer.
    ErrSet(Value),
    /// The message of the error (site, argument).
    ErrText(Value, Value),
    /// Call a function of the module; can fail if the callee can. The site is the call's own.
    Call(Func, Vec<Value>, SiteId),
    /// Slots of functions that recurse: which sets of them, by number, and what becomes of them.
    Nest(u8, NestOp),
    /// String number `.1` of a table; "" where it has none.
    StrTable(TableId, Value),
    /// Names of the bits set in `.1`, out of a table of items (see [`crate::builtins::names`]).
    StrFlags(TableId, Value),
    /// A text of the point with program-wide number `.1` (see [`super::Module::point`]). The passes
    /// leave none: a constant or a table takes its place.
    PointText(PointText, Value),
    /// Call a function of user space. The result's type is the value's; no value, no result.
    User(UserFn, Vec<Value>, SiteId),
}

/// What an operation results in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// No result.
    None,
    /// An integer.
    I64,
    /// A string whose cap the instruction's value declares.
    Str,
    /// What the global, function or user function it names declares.
    Declared,
}

impl ResultKind {
    /// Whether a value of type `ty` (or none) fits.
    pub fn admits(self, ty: Option<Ty>) -> bool {
        match self {
            ResultKind::None => ty.is_none(),
            ResultKind::I64 => ty == Some(Ty::I64),
            ResultKind::Str => ty.is_some_and(Ty::is_str),
            ResultKind::Declared => true,
        }
    }
}
