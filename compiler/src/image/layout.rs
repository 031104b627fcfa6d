//! Bytes in maps and ring-buffer records. All numbers are little-endian u64/i64 and
//! 8-byte aligned unless said otherwise; a string slot is `width` bytes (a multiple of 8,
//! greater than the string's cap), NUL-terminated and **zero-padded** to its width.

use cranelift_entity::SecondaryMap;
use serde::{Deserialize, Serialize};

use crate::lir::{FormatId, Global, Histogram, StatLayout, Ty};

/// Name of the data section (a memory-mappable one-element array map) with header and
/// scalars; the section holds their initial values.
pub const GLOBALS_MAP: &str = ".data.rtap_globals";
/// Name of the read-only data section with string constants and tables.
pub const RODATA_MAP: &str = ".rodata.rtap_rodata";
/// Name of the ring buffer.
pub const EVENTS_MAP: &str = "rtap_events";
/// Name of the array map with scratch frames; absent if no handler needs any. The image
/// says how many frames one CPU has: the loader multiplies `max_entries` by the number of
/// possible CPUs.
pub const FRAMES_MAP: &str = "rtap_frames";

/// Name of the array map with snapshots of arrays that handlers iterate over; one for each frame, made like
/// them.
pub const SNAPSHOTS_MAP: &str = "rtap_snapshots";

/// Name of the map of the performance counters that `@perf` reads; absent if nothing does. The image says how many
/// one CPU has, [`MOST_COUNTERS`], and counter `n` of CPU `c` is number `c * MOST_COUNTERS + n`.
pub const COUNTERS_MAP: &str = "rtap_perf";

/// Name of the per-CPU array with what is measured of kernel handlers' runs ([`times`]); absent if nothing is.
pub const TIMES_MAP: &str = "rtap_times";

/// Handlers of up to so many points are measured point by point, others as a whole.
pub const MOST_POINTS_APART: usize = 1000;

/// What is measured of the runs of a point: words of an element of [`TIMES_MAP`].
pub mod times {
    /// How many there were.
    pub const HITS: u32 = 0;
    /// Time in all, nanoseconds.
    pub const TOTAL_NS: u32 = 8;
    /// That of the longest, nanoseconds.
    pub const LONGEST_NS: u32 = 16;
    /// That of the shortest, nanoseconds, all bits flipped: zeroed memory has seen none.
    pub const SHORTEST_NS_FLIPPED: u32 = 24;
    /// Runs skipped for want of a scratch frame, in programs that are told which point fired.
    pub const SKIPPED: u32 = 32;
    /// Bytes of an element.
    pub const SIZE: u32 = 40;
}

/// Most counters of a script.
pub const MOST_COUNTERS: u32 = 32;

/// Largest key of a hash map before Linux 5.11, bytes.
pub const SMALL_KEY_BYTES: u32 = 512;

/// Offsets in the globals map's header. What every handler reads first shares a cache line.
pub mod header {
    /// [`super::SessionState`] of the session.
    pub const STATE: u32 = 0;
    /// PID of rtap itself, whose own activity handlers ignore; 0 when it is asked for.
    pub const SELF_TGID: u32 = 8;
    /// Where rtap's kernel stack begins: a handler with its context on that stack was set off by rtap.
    pub const SELF_STACK: u32 = 16;
    /// Handlers with a context in so many bytes from [`SELF_STACK`] on do nothing: [`SELF_STACK_BYTES`]
    /// while the session runs, else all that there are. One comparison asks both questions.
    pub const IGNORED_BYTES: u32 = 24;
    /// Bytes of rtap's kernel stack; 0 when its events are asked for.
    pub const SELF_STACK_BYTES: u32 = 32;
    /// `target()`.
    pub const TARGET_PID: u32 = 40;
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC, nanoseconds.
    pub const REALTIME_OFFSET_NS: u32 = 48;
    /// Run-time errors so far, of both executors.
    pub const ERRORS: u32 = 56;
    /// MAXERRORS: one more error than this ends the session.
    pub const MAX_ERRORS: u32 = 64;
    /// Handlers in the kernel at this moment is not kept: detaching waits for them.
    /// Size of the fixed part; the programs' counters follow, [`super::ProgramCounter::COUNT`]
    /// words each, then the scalars.
    pub const SIZE: u32 = 72;
}

/// What the session is doing; the value at [`header::STATE`]. Kernel handlers run only
/// in `Running`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum SessionState {
    /// `begin` probes are running.
    Starting = 0,
    /// Probes are live.
    Running = 1,
    /// `exit()` was called.
    Stopping = 2,
    /// Too many errors.
    Error = 3,
}

/// Counters of one program, words in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProgramCounter {
    /// Records that found the ring buffer full.
    Lost = 0,
    /// Runs skipped for want of a scratch frame, updates skipped because the kernel refused them.
    Skipped = 1,
    /// Return probes without their entry.
    Missed = 2,
}

impl ProgramCounter {
    /// Words per program.
    pub const COUNT: u32 = 3;

    /// Offset in the globals map.
    pub fn offset(self, program: u32) -> u32 {
        header::SIZE + (program * Self::COUNT + self as u32) * 8
    }
}

/// All layouts of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Size of the globals map's value, bytes.
    pub globals_bytes: u32,
    /// Where each script global lives.
    pub globals: SecondaryMap<Global, Option<GlobalLayout>>,
    /// Layouts of printed records and late strings; a record's `id` is the index. Number 0
    /// is never used, so that zeroed memory is an empty late string.
    pub records: Vec<RecordLayout>,
}

/// Where a global lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GlobalLayout {
    /// In the globals map.
    Scalar(Slot),
    /// A scalar statistic: a one-element per-CPU array map.
    Stat {
        /// The map's name.
        map: String,
        /// The record.
        record: StatRecord,
        /// The map that it takes turns with.
        turns: Option<TurnLayout>,
    },
    /// An array: a hash map.
    Array(ArrayLayout),
}

/// A place for one integer or string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Bytes from the start of the structure it is in.
    pub offset: u32,
    /// Its type.
    pub ty: Ty,
}

impl Slot {
    /// Bytes that it takes.
    pub fn width(self) -> u32 {
        width_bytes(self.ty)
    }
}

/// Bytes that a value of type `ty` takes in a slot.
pub fn width_bytes(ty: Ty) -> u32 {
    match ty {
        Ty::I64 => 8,
        Ty::Str { cap, .. } => (cap + 1).next_multiple_of(8),
    }
}

/// An array's map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrayLayout {
    /// The map's name.
    pub map: String,
    /// Most entries.
    pub max_entries: u32,
    /// Key parts, packed without gaps.
    pub keys: Vec<Slot>,
    /// Bytes of the key.
    pub key_bytes: u32,
    /// The value.
    pub value: ValueLayout,
    /// How it forgets its oldest element when it is full, if it does.
    pub wrap: Option<WrapLayout>,
    /// The map that it takes turns with.
    pub turns: Option<TurnLayout>,
}

/// How what user-side handlers reset or delete is taken from kernel handlers that only add to it. Two maps of one shape take turns:
/// kernel handlers add to the one that a word names. Who wants to take all that there is changes that
/// word and waits until no handler is left that has read it before; then the other map is nobody
/// else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLayout {
    /// The other map's name.
    pub other: String,
    /// The word of the globals map that says whose turn it is: 0, or 1 for the other one.
    pub turn: u32,
}

/// How elements of an array are known by age. Each that is made gets an entry at the end of a queue (a BPF queue map,
/// which is safe to use from all CPUs at once): its key. An element that finds the array full
/// takes entries off the front and deletes their elements until there is room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrapLayout {
    /// The queue's map.
    pub queue: String,
    /// What it takes where scripts delete elements.
    pub deleted: Option<DeletedLayout>,
}

/// Elements that scripts delete leave entries behind, possibly in front of the entry of an element made later under the same
/// key. So entries have the time of making behind the key, and a map keeps the time of the latest element of each
/// key: an entry with another time is stale, as is one without an element. (No time at all says nothing.)
///
/// There are two queues, all entries of the older one being older than those of the younger one. Whoever makes an element first
/// moves [`DeletedLayout::MOVED`] entries from the front of the younger queue to the end of the older, or drops them if they are stale;
/// when the younger is empty, the two change places. So stale entries are never many more than
/// elements, however long the elements among them live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedLayout {
    /// The other queue's map.
    pub other: String,
    /// The map of times: a u64 for each key.
    pub born: String,
    /// The word of the globals map that says which queue is the younger one: 0 for [`WrapLayout::queue`].
    pub turn: u32,
}

impl DeletedLayout {
    /// Entries that are moved for each element made. With three, a round through a queue ends with no more
    /// than twice the array's size in the other one.
    pub const MOVED: u32 = 3;

    /// Entries that each queue has room for, and keys that the map of times has. Some more than the rounds leave: handlers on other
    /// CPUs may have begun one.
    pub fn room(size: u32) -> u32 {
        size.saturating_mul(2).saturating_add(64)
    }
}

impl ArrayLayout {
    /// Bytes of a queue's entry.
    pub fn entry_bytes(&self) -> u32 {
        match &self.wrap {
            Some(WrapLayout {
                deleted: Some(_), ..
            }) => self.key_bytes + 8,
            _ => self.key_bytes,
        }
    }
}

/// An element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ValueLayout {
    /// One integer or string at offset 0.
    Plain(Slot),
    /// A statistic; per CPU.
    Stat(StatRecord),
}

impl ValueLayout {
    /// Bytes of the map's value.
    pub fn bytes(&self) -> u32 {
        match self {
            ValueLayout::Plain(slot) => slot.width(),
            ValueLayout::Stat(record) => record.bytes,
        }
    }
}

/// A statistic in memory: words at these offsets (bytes). Zeroed memory is an empty
/// statistic: minimum and maximum are kept as unsigned numbers that only grow,
/// `max = value ^ 1<<63` and `min = !(value ^ 1<<63)`, and mean nothing while the count is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatRecord {
    /// What it keeps.
    pub layout: StatLayout,
    /// The count.
    pub count: u32,
    /// The sum.
    pub sum: Option<u32>,
    /// The minimum.
    pub min: Option<u32>,
    /// The maximum.
    pub max: Option<u32>,
    /// Sum of squares, low word then high word (an unsigned 128-bit number).
    pub squares: Option<u32>,
    /// First bucket of each histogram.
    pub histograms: Vec<u32>,
    /// Size, bytes.
    pub bytes: u32,
}

impl StatRecord {
    /// Lays out what `layout` needs.
    pub fn new(layout: StatLayout) -> Self {
        let mut bytes = 0;
        let mut take = |words: usize| {
            let at = bytes;
            bytes += words as u32 * 8;
            at
        };
        let count = take(1);
        let sum = layout.sum.then(|| take(1));
        let min = layout.min.then(|| take(1));
        let max = layout.max.then(|| take(1));
        let squares = layout.variance.then(|| take(2));
        let histograms = layout
            .histograms
            .iter()
            .map(|h: &Histogram| take(h.buckets()))
            .collect();
        StatRecord {
            layout,
            count,
            sum,
            min,
            max,
            squares,
            histograms,
            bytes,
        }
    }
}

/// What a record in the ring buffer begins with: a u32 kind, a u32 id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RecordKind {
    /// Printed output; id is the [`RecordLayout`]'s index.
    Print = 0,
    /// A run-time error; id is the program's number. Two i64 follow, site (in its upper half the point that
    /// fired, if the program asks for that) and argument, then a variable string: the message buffer.
    Error = 1,
    /// `exit()` was called: wakes the reader up. No more follows.
    Exit = 2,
    /// A histogram (`print(@hist_log(x))`); id is not used. Its kind follows as
    /// [`HIST_HEAD_WORDS`] i64, then the counts of its buckets as i64.
    Hist = 3,
}

/// Words that tell a histogram's kind in a record: 1 for a linear one, its low and high end and width;
/// else all zero.
pub const HIST_HEAD_WORDS: u32 = 4;

/// Bytes of a record's head: u32 kind, u32 id.
pub const RECORD_HEAD_BYTES: u32 = 8;

/// The body of a printed record (after its head), or of a late string (after a u32 id and
/// four bytes of padding).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordLayout {
    /// How it is printed.
    pub format: FormatId,
    /// Its arguments, one after another.
    pub fields: Vec<Field>,
}

/// An argument in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Field {
    /// An i64.
    Int,
    /// A string slot of this many bytes; its text ends at the first NUL. A late one holds
    /// the nested record.
    Fixed {
        /// Bytes, a multiple of 8.
        width: u32,
        /// Whether it holds a nested record.
        late: bool,
    },
    /// A u64 length, then that many bytes, then padding to a multiple of 8.
    Variable {
        /// Whether it holds a nested record.
        late: bool,
    },
}
