//! The module: what functions refer to.

use bstr::BString;
use cranelift_entity::{EntityRef, PrimaryMap};
use serde::{Deserialize, Serialize};

use super::{
    CoreId, FormatId, Func, Function, Global, HandlerId, RegexId, SiteId, Space, StatField, StrId,
    TableId, Ty, UserFn,
};
use crate::image::{Attach, Point};

/// A whole program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// Script globals, in the order of their declaration.
    pub globals: PrimaryMap<Global, GlobalData>,
    /// String constants, each once.
    pub strings: PrimaryMap<StrId, BString>,
    /// Print formats.
    pub formats: PrimaryMap<FormatId, Format>,
    /// Places that raise errors.
    pub sites: PrimaryMap<SiteId, Site>,
    /// Relocatable kernel facts.
    pub core: PrimaryMap<CoreId, Core>,
    /// Regular expressions, as their source text.
    pub regexes: PrimaryMap<RegexId, BString>,
    /// Tables of strings that `Op::StrTable` looks up.
    pub tables: PrimaryMap<TableId, Vec<BString>>,
    /// Functions, handlers' bodies included. A callee stands before its callers unless
    /// they recurse.
    pub functions: PrimaryMap<Func, Function>,
    /// Handlers, in the order of the script.
    pub handlers: PrimaryMap<HandlerId, Handler>,
    /// `-D` limits.
    pub limits: Limits,
}

impl Module {
    /// The program-wide number of a handler's first point: handlers' points are numbered one
    /// after another. `Op::PointText` takes such numbers.
    pub fn first_point(&self, handler: HandlerId) -> i64 {
        let before = self.handlers.values().take(handler.index());
        before.map(|h| h.points.len() as i64).sum()
    }

    /// The point with a program-wide number.
    pub fn point(&self, number: i64) -> Option<&Point> {
        let number = usize::try_from(number).ok()?;
        let mut points = self.handlers.values().flat_map(|h| &h.points);
        points.nth(number)
    }
}

/// A script global.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalData {
    /// Name in the script.
    pub name: String,
    /// What it holds.
    pub kind: GlobalKind,
    /// Whether it is printed at exit: written somewhere and read nowhere.
    pub print_at_end: bool,
    /// Whether handlers of different programs, or of both executors, update it.
    pub shared: bool,
}

/// What a global holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GlobalKind {
    /// An integer or string, with its initial value.
    Scalar {
        /// Its type.
        ty: Ty,
        /// Its initial value.
        init: Init,
    },
    /// A scalar statistic.
    Stat(StatLayout),
    /// An associative array.
    Array {
        /// Types of the 1-9 keys.
        keys: Vec<Ty>,
        /// What each element holds.
        value: ElementKind,
        /// Most elements.
        max_entries: u32,
        /// Whether the oldest element makes room for a new one (`%`).
        wrap: bool,
    },
}

/// An array's elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ElementKind {
    /// Integers or strings.
    Plain(Ty),
    /// Statistics.
    Stat(StatLayout),
}

/// An initial value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// For `Ty::I64`.
    Int(i64),
    /// For strings.
    Str(BString),
}

/// What a statistic must keep: only what the script's operators read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatLayout {
    /// Whether the sum is kept (also for the average). The count always is.
    pub sum: bool,
    /// Whether the minimum is kept.
    pub min: bool,
    /// Whether the maximum is kept.
    pub max: bool,
    /// Whether the sum of squares is kept.
    pub variance: bool,
    /// Histograms, each distinct one once.
    pub histograms: Vec<Histogram>,
}

impl StatLayout {
    /// Makes sure `field` can be read.
    pub fn require(&mut self, field: StatField) {
        match field {
            StatField::Count => {}
            StatField::Sum => self.sum = true,
            StatField::Min => self.min = true,
            StatField::Max => self.max = true,
            StatField::Avg => self.sum = true,
            StatField::Variance => {
                self.sum = true;
                self.variance = true;
            }
        }
    }
}

/// A histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Histogram {
    /// `@hist_log`: 128 buckets, bucket 64 holds 0, 65 holds 1, 66 holds 2-3, and below 64
    /// the negative ones mirror this.
    Log,
    /// `@hist_linear`: one underflow bucket, one for each step, one overflow bucket.
    Linear {
        /// Lower end.
        low: i64,
        /// Upper end.
        high: i64,
        /// Width of a bucket, at least 1.
        width: i64,
    },
}

impl Histogram {
    /// Most buckets of a linear one, those outside of its ends apart.
    pub const MOST_LINEAR_BUCKETS: i64 = 128;

    /// Whether its ends and width are such as [`Histogram::buckets`] and the others here take.
    pub fn is_sound(self) -> bool {
        match self {
            Histogram::Log => true,
            Histogram::Linear { low, high, width } => {
                let range = high
                    .checked_sub(low)
                    .filter(|range| *range > 0 && width > 0);
                range.is_some_and(|range| range / width < Self::MOST_LINEAR_BUCKETS)
            }
        }
    }

    /// Number of buckets, the overflow buckets included.
    pub fn buckets(self) -> usize {
        match self {
            Histogram::Log => 128,
            Histogram::Linear { low, high, width } => {
                ((high as u64).wrapping_sub(low as u64) / width as u64) as usize + 3
            }
        }
    }

    /// The bucket that `value` counts in.
    pub fn bucket_of(self, value: i64) -> usize {
        match self {
            Histogram::Log => match value {
                0 => 64,
                v if v > 0 => 64 + (64 - v.leading_zeros() as usize),
                v => 64 - (64 - v.unsigned_abs().leading_zeros() as usize),
            },
            Histogram::Linear { low, high, width } => {
                if value < low {
                    return 0;
                }
                // The distance can exceed i64's range, so it is taken unsigned. The last
                // bucket is a whole one: 109 is in the bucket `100` of (0, 100, 10).
                let step = (value as u64).wrapping_sub(low as u64) / width as u64;
                let last = (high as u64).wrapping_sub(low as u64) / width as u64;
                if step > last {
                    last as usize + 2
                } else {
                    step as usize + 1
                }
            }
        }
    }
}

/// Where printed text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// Standard output, or `-o`'s file.
    Out,
    /// `warn()`: standard error with the `WARNING: ` prefix.
    Warn,
    /// `log()`: standard output, its own line.
    Log,
    /// `system()`: run by the runtime, in order.
    System,
    /// `printk()` (guru).
    Printk,
}

/// A print or `sprintf` format with its arguments' order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Format {
    /// Text and conversions.
    pub pieces: Vec<Piece>,
    /// Where the text goes (printing only).
    pub channel: Channel,
}

impl Format {
    /// Whether it is one string as it is.
    pub fn is_one_string(&self) -> bool {
        matches!(&self.pieces[..], [Piece::Conv(conv)] if *conv == Conv::plain(ConvKind::Str))
    }
}

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Piece {
    /// Text as it is.
    Text(BString),
    /// A conversion; takes one argument, and one more before it for each `*`.
    Conv(Conv),
    /// The string that a user-space function makes of the next `n` arguments.
    Call(UserFn, u8),
}

/// A printf conversion.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv {
    /// At most one flag.
    pub flag: Option<ConvFlag>,
    /// Least width.
    pub width: ConvSize,
    /// Precision.
    pub precision: ConvSize,
    /// What is printed.
    pub kind: ConvKind,
}

impl Conv {
    /// A conversion without flag, width and precision.
    pub const fn plain(kind: ConvKind) -> Self {
        Conv {
            flag: None,
            width: ConvSize::None,
            precision: ConvSize::None,
            kind,
        }
    }
}

/// A conversion's flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConvFlag {
    /// `0`
    Zero,
    /// `+`
    Plus,
    /// `-`
    Left,
    /// ` `
    Space,
    /// `#`
    Alternate,
}

/// A width or precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConvSize {
    /// Not given.
    None,
    /// Given.
    Fixed(u32),
    /// `*`: the next argument.
    Arg,
}

/// The most bytes of memory that a conversion shows.
pub const MAX_MEMORY_BYTES: u32 = 512;

/// What a conversion prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConvKind {
    /// `%d`, `%i`
    Decimal,
    /// `%u`
    Unsigned,
    /// `%o`
    Octal,
    /// `%x`
    HexLower,
    /// `%X`
    HexUpper,
    /// `%p`
    Pointer,
    /// `%c`
    Char,
    /// `%s`
    Str,
    /// `%b`: the number's bytes, width 1, 2, 4 or 8 of them.
    Binary,
    /// `%m`: bytes of memory; the argument is a string of their hexadecimal digits. In output only.
    Memory,
    /// `%M`: a number's bytes (width 1, 2, 4 or 8 of them) in hexadecimal, as they lie in memory.
    MemoryHex,
}

/// A place that raises errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Site {
    /// What goes wrong there.
    pub kind: ErrorKind,
    /// What the message names: `identifier 'x'`, `operator '/'`.
    pub near: String,
    /// `file:line:column`.
    pub position: String,
    /// The call that led there, or the probe of several in a handler; `None` in the body that the operation stands in. See
    /// [`super::chain`].
    pub caller: Option<SiteId>,
}

/// What can go wrong while a script runs. `arg` below is the error's integer argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// `division by 0`
    DivisionByZero,
    /// `Array overflow, check size limit (n)`, or `check MAXMAPENTRIES (n)`
    ArrayOverflow {
        /// How many elements there is room for.
        max_entries: u32,
        /// Whether the array was declared with this size; else it is MAXMAPENTRIES.
        declared: bool,
    },
    /// `empty aggregate`
    EmptyStat,
    /// `histogram index out of range`; arg is the index. `i64::MIN`: the statistic is empty.
    HistRange,
    /// `kernel` or `user read fault at 0x…`; arg is the address.
    ReadFault(Space),
    /// `kernel` or `user string copy fault at 0x…`; arg is the address.
    StringFault(Space),
    /// `MAXACTION exceeded`
    MaxAction,
    /// `MAXNESTING exceeded`
    MaxNesting,
    /// The text given to `error()`.
    Script,
    /// `return probe without its entry`
    NoEntry,
    /// `Array too big to iterate`
    IterationTooBig,
    /// A user-space function's own message, in the message buffer.
    UserFn,
    /// No overload of the function took the call.
    NoOverload,
    /// `matched()` with a number that is no sub-expression; arg is the number.
    MatchRange,
    /// A performance counter that does not count on this CPU; arg is the kernel's error.
    NoCount,
    /// A call, which fails with the callee's error; it is named by chains only.
    Call,
    /// The same of a function that recurses: the calls by which it comes to call itself are in no chain.
    RecursiveCall,
    /// A probe that shares its handler with others; it ends chains.
    Probe,
}

/// A part of an error's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorPart {
    /// Text as it is.
    Text(String),
    /// The argument as 16 hexadecimal digits.
    Hex,
    /// The argument in decimal.
    Decimal,
    /// The handler run's message buffer.
    Buffer,
}

impl ErrorKind {
    /// The message that `catch (msg)` sees and reports show. The wording is SystemTap's
    /// (observed), so that scripts which look at a caught message keep working.
    pub fn parts(self) -> Vec<ErrorPart> {
        let text = |text: &str| ErrorPart::Text(text.to_owned());
        match self {
            ErrorKind::DivisionByZero => vec![text("division by 0")],
            ErrorKind::ArrayOverflow {
                max_entries,
                declared,
            } => {
                let limit = if declared {
                    "size limit"
                } else {
                    "MAXMAPENTRIES"
                };
                let message = format!("Array overflow, check {limit} ({max_entries})");
                vec![ErrorPart::Text(message)]
            }
            ErrorKind::EmptyStat => vec![text("empty aggregate")],
            ErrorKind::HistRange => vec![text("histogram index out of range")],
            ErrorKind::ReadFault(space) => fault(space, "read"),
            ErrorKind::StringFault(space) => fault(space, "string copy"),
            ErrorKind::MaxAction => vec![text("MAXACTION exceeded")],
            ErrorKind::MaxNesting => vec![text("MAXNESTING exceeded")],
            ErrorKind::Script | ErrorKind::UserFn => vec![ErrorPart::Buffer],
            ErrorKind::NoEntry => vec![text("return probe without its entry")],
            ErrorKind::IterationTooBig => {
                vec![text("array too big to iterate over in a kernel handler")]
            }
            ErrorKind::NoOverload => vec![text("all functions exhausted")],
            ErrorKind::Call | ErrorKind::RecursiveCall | ErrorKind::Probe => Vec::new(),
            ErrorKind::MatchRange => vec![
                text("Attempted to get nonexistent subexpression "),
                ErrorPart::Decimal,
            ],
            ErrorKind::NoCount => {
                vec![text(
                    "the performance counter does not count on this processor",
                )]
            }
        }
    }
}

/// The message of a read at a bad address.
fn fault(space: Space, what: &str) -> Vec<ErrorPart> {
    let space = match space {
        Space::Kernel => "kernel",
        Space::User => "user",
    };
    vec![
        ErrorPart::Text(format!("{space} {what} fault at 0x")),
        ErrorPart::Hex,
        ErrorPart::Text(" [man error::fault]".to_owned()),
    ]
}

/// A kernel fact that the loader relocates (CO-RE).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Core {
    /// Which fact.
    pub kind: CoreKind,
    /// Name of the root type (`task_struct`), for messages.
    pub type_name: String,
    /// Type id in the BTF the script was compiled against.
    pub type_id: u32,
    /// Module whose BTF that is; `None` for vmlinux.
    pub module: Option<String>,
    /// CO-RE access string (`0:1:3`).
    pub access: String,
    /// The value on the kernel it was compiled against.
    pub value: i64,
}

/// CO-RE relocation kinds (numbers of enum bpf_core_relo_kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CoreKind {
    /// Byte offset of a field.
    FieldByteOffset,
    /// Size of a field in bytes.
    FieldByteSize,
    /// Whether the field exists.
    FieldExists,
    /// Left shift for a bit field in a u64.
    FieldLshift,
    /// Right shift for a bit field in a u64.
    FieldRshift,
    /// Size of a type.
    TypeSize,
    /// An enumerator's value.
    EnumValue,
}

/// Which executor runs a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exec {
    /// eBPF.
    Kernel,
    /// The interpreter.
    User,
}

/// What the context of a kernel handler is; decides which `ctx.*` operations it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Context {
    /// No context at all: user-side handlers.
    None,
    /// Raw tracepoint: an array of u64 arguments.
    RawTracepoint,
    /// The same with BTF types known to the verifier.
    BtfTracepoint,
    /// A system call's tracepoint as perf events have it: a header, the call's number, then
    /// six arguments or the result. `ctx.arg` 0 and 1 are those of the raw tracepoint.
    RawSyscall {
        /// Whether it is the return.
        is_return: bool,
    },
    /// Function entry by trampoline: an array of u64 arguments.
    Fentry,
    /// Function return by trampoline: arguments, then the return value.
    Fexit {
        /// Number of arguments before the return value.
        args: u8,
    },
    /// struct pt_regs: kprobe, kretprobe, uprobe, uretprobe.
    Regs,
    /// struct bpf_perf_event_data.
    PerfEvent,
}

/// A handler: a body and the points that run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handler {
    /// The probe as written, for messages (`probe kernel.trace("sched_switch")`).
    pub name: String,
    /// Its body: no parameters, no result.
    pub func: Func,
    /// Who runs it.
    pub exec: Exec,
    /// What its context is.
    pub context: Context,
    /// Whether a kernel handler runs before the session does, while `begin` handlers run.
    pub early: bool,
    /// What it is attached to. `Env::Point` is the index into this list.
    pub points: Vec<Point>,
}

impl Handler {
    /// Whether its context is on the kernel stack of the task that came to the point: the
    /// arguments or registers that the kernel saved there. (On another stack if it was an interrupt, which
    /// is no doing of the task.) Perf events have buffers of their own. The context of a uprobe is on the stack, too,
    /// but these cost so much that nothing is gained by knowing it.
    pub fn has_context_on_stack(&self) -> bool {
        match self.context {
            Context::RawTracepoint
            | Context::BtfTracepoint
            | Context::Fentry
            | Context::Fexit { .. } => true,
            Context::Regs => self.points.iter().all(|point| {
                matches!(
                    point.attach,
                    Attach::Kprobe { .. } | Attach::Kretprobe { .. }
                )
            }),
            Context::None | Context::RawSyscall { .. } | Context::PerfEvent => false,
        }
    }
}

/// Limits that `-D` sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// MAXSTRINGLEN: bytes of a string, its NUL included.
    pub max_string_len: u32,
    /// MAXACTION: rounds of the loops in one run of a kernel handler.
    pub max_action: u32,
    /// MAXACTION_INTERRUPTIBLE: rounds of the loops in one run of a user-side handler; 0: ten times MAXACTION.
    pub max_action_interruptible: u32,
    /// MAXBACKTRACE: addresses of a call stack that are kept, at most [`super::STACK_FRAMES`].
    pub max_backtrace: u32,
    /// MAXMAPENTRIES.
    pub max_map_entries: u32,
    /// MAXERRORS.
    pub max_errors: u32,
    /// MAXSKIPPED.
    pub max_skipped: u32,
    /// MAXNESTING.
    pub max_nesting: u32,
}

impl Limits {
    /// The largest MAXNESTING.
    pub const MOST_NESTING: u32 = 1000;
    /// What MAXSTRINGLEN may be.
    pub const STRING_LENGTHS: std::ops::RangeInclusive<u32> = 8..=16384;

    /// The rounds that `while` and `for` loops of one run of a user-side handler may make. `foreach` ends by itself.
    pub fn user_rounds(&self) -> u32 {
        match self.max_action_interruptible {
            0 => self.max_action.saturating_mul(10),
            most => most,
        }
    }

    /// Calls of a function that recurses, and of those that it recurses with, that can be under way at a time: a
    /// function that calls itself gets 13 deep with the default MAXNESTING of 10, as observed in SystemTap.
    pub fn nested_calls(&self) -> u32 {
        self.max_nesting.saturating_add(3)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_string_len: 512,
            max_action: 1000,
            max_action_interruptible: 0,
            max_backtrace: super::STACK_FRAMES,
            max_map_entries: 2048,
            max_errors: 0,
            max_skipped: 100,
            max_nesting: 10,
        }
    }
}
