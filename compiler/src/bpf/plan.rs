//! What is decided before any code: programs, maps, where globals live. Records and
//! constants are added while code is generated.

use cranelift_entity::SecondaryMap;
use indexmap::IndexMap;
use rustc_hash::FxHashMap;

use super::analysis::taking_turns;
use super::insn::MapId;
use super::share::Shares;
use crate::image::{
    ArrayLayout, Attach, COUNTERS_MAP, DeletedLayout, EVENTS_MAP, FRAMES_MAP, Field, GLOBALS_MAP,
    GlobalLayout, Layout, MOST_COUNTERS, MOST_POINTS_APART, Program, ProgramCounter, RODATA_MAP,
    RecordLayout, SNAPSHOTS_MAP, Slot, StatRecord, TIMES_MAP, TurnLayout, ValueLayout, WrapLayout,
    header, times, width_bytes,
};
use crate::lir::{
    Context, ElementKind, Exec, FormatId, Function, Global, GlobalKind, HandlerId, Init, Module, Ty,
};
use crate::target::{Feature, Features};

/// Frames of scratch memory for each CPU: as deep as handlers can interrupt each other.
pub const FRAME_LEVELS: u32 = 4;

/// Size of the ring buffer, bytes: a power of two; the loader may change it.
const EVENTS_BYTES: u32 = 4 << 20;

/// Calls under way whose arguments can be kept, for each return handler.
const ENTRIES: u32 = 4096;

/// Kinds of maps that images use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapSort {
    /// A data section: a one-element array, memory-mappable.
    Data,
    /// The same, read-only for programs and frozen.
    Rodata,
    /// BPF_MAP_TYPE_HASH
    Hash,
    /// BPF_MAP_TYPE_ARRAY
    Array,
    /// BPF_MAP_TYPE_PERCPU_HASH
    PerCpuHash,
    /// BPF_MAP_TYPE_PERCPU_ARRAY
    PerCpuArray,
    /// BPF_MAP_TYPE_LRU_HASH
    LruHash,
    /// BPF_MAP_TYPE_QUEUE
    Queue,
    /// BPF_MAP_TYPE_RINGBUF
    RingBuf,
    /// BPF_MAP_TYPE_PERF_EVENT_ARRAY
    PerfEventArray,
}

impl MapSort {
    /// `enum bpf_map_type`.
    pub fn number(self) -> u32 {
        match self {
            MapSort::Hash => 1,
            MapSort::Data | MapSort::Rodata | MapSort::Array => 2,
            MapSort::PerfEventArray => 4,
            MapSort::PerCpuHash => 5,
            MapSort::PerCpuArray => 6,
            MapSort::LruHash => 9,
            MapSort::Queue => 22,
            MapSort::RingBuf => 27,
        }
    }
}

/// The type of a key, a value or a data section, for its BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing.
    None,
    /// A u32.
    U32,
    /// An i64.
    I64,
    /// Characters.
    Str(u32),
    /// A structure.
    Struct(Vec<(String, u32, Shape)>, u32),
    /// Numbers, one after another.
    Words(u32),
}

impl Shape {
    /// The shape of a value in its slot.
    pub fn of(ty: Ty) -> Shape {
        match ty {
            Ty::I64 => Shape::I64,
            Ty::Str { .. } => Shape::Str(width_bytes(ty)),
        }
    }

    /// Bytes.
    pub fn bytes(&self) -> u32 {
        match self {
            Shape::None => 0,
            Shape::U32 => 4,
            Shape::I64 => 8,
            Shape::Str(bytes) | Shape::Struct(_, bytes) => *bytes,
            Shape::Words(words) => words * 8,
        }
    }
}

/// A map.
#[derive(Clone, Debug)]
pub struct MapDef {
    /// Its name.
    pub name: String,
    /// What it is.
    pub sort: MapSort,
    /// Its key.
    pub key: Shape,
    /// Its value.
    pub value: Shape,
    /// Most entries; bytes for a ring buffer.
    pub max_entries: u32,
}

/// Where a global is, for the code generator.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the globals map at this offset.
    Scalar(Slot),
    /// In a map of its own, at its only element.
    Stat(MapId, StatRecord, Option<TurnLayout>),
    /// In a hash map.
    Array(MapId, ArrayLayout),
}

/// The plan.
#[derive(Debug)]
pub struct Plan {
    /// All maps.
    pub maps: Vec<MapDef>,
    /// Where globals are.
    pub places: SecondaryMap<Global, Option<Place>>,
    /// Programs of the image; the number of a program is its index.
    pub programs: Vec<Program>,
    /// Size of the globals map's value.
    pub globals_bytes: u32,
    /// Initial contents of the globals map.
    pub globals_data: Vec<u8>,
    /// Named fields of the globals map, for its BTF.
    pub globals_fields: Vec<(String, u32, Shape)>,
    /// Read-only data.
    pub rodata: Vec<u8>,
    rodata_at: FxHashMap<Vec<u8>, u32>,
    /// Bytes wanted behind the constants.
    pub rodata_slack: u32,
    records: Vec<RecordLayout>,
    /// Maps of saved entry-time arguments.
    entry_maps: Vec<(HandlerId, MapId)>,
    /// Bytes of one scratch frame, 0 if no handler needs any.
    pub frame_bytes: u32,
    /// CPUs that programs go through at most, if any does.
    pub max_cpus: Option<u32>,
    /// Whether some program can begin while another one holds the lock of a map.
    pub some_in_locks: bool,
    /// What is measured of runs, if anything is.
    pub times: Option<MapId>,
}

impl Plan {
    /// The globals map.
    pub const GLOBALS: MapId = MapId(0);
    /// The read-only data.
    pub const RODATA: MapId = MapId(1);
    /// The ring buffer.
    pub const EVENTS: MapId = MapId(2);
    /// The scratch frames.
    pub const FRAMES: MapId = MapId(3);
    /// The snapshots of arrays that are iterated over, one for each frame.
    pub const SNAPSHOTS: MapId = MapId(4);
    /// The performance counters.
    pub const COUNTERS: MapId = MapId(5);

    /// Plans a module.
    pub fn new(module: &Module, features: Features, shares: &Shares) -> Plan {
        let programs = programs(module, features, shares);
        let in_locks = |program: &Program| super::attached_to(module, program, Attach::is_in_locks);
        let some_in_locks = programs.iter().any(in_locks);
        let map = |name: &str, sort, key, value, max_entries| MapDef {
            name: name.to_owned(),
            sort,
            key,
            value,
            max_entries,
        };
        let mut plan = Plan {
            maps: vec![
                map(GLOBALS_MAP, MapSort::Data, Shape::U32, Shape::None, 1),
                map(RODATA_MAP, MapSort::Rodata, Shape::U32, Shape::None, 1),
                map(
                    EVENTS_MAP,
                    MapSort::RingBuf,
                    Shape::None,
                    Shape::None,
                    EVENTS_BYTES,
                ),
                map(
                    FRAMES_MAP,
                    MapSort::Array,
                    Shape::U32,
                    Shape::Words(1),
                    FRAME_LEVELS,
                ),
                map(
                    SNAPSHOTS_MAP,
                    MapSort::Array,
                    Shape::U32,
                    Shape::Words(1),
                    FRAME_LEVELS,
                ),
                map(
                    COUNTERS_MAP,
                    MapSort::PerfEventArray,
                    Shape::U32,
                    Shape::U32,
                    MOST_COUNTERS,
                ),
            ],
            places: SecondaryMap::new(),
            globals_bytes: header::SIZE + programs.len() as u32 * ProgramCounter::COUNT * 8,
            programs,
            globals_data: Vec::new(),
            globals_fields: Vec::new(),
            rodata: Vec::new(),
            rodata_at: FxHashMap::default(),
            rodata_slack: 0,
            records: Vec::new(),
            entry_maps: Vec::new(),
            frame_bytes: 0,
            max_cpus: None,
            some_in_locks,
            times: None,
        };
        plan.header(module);
        let turns = taking_turns(module);
        for global in module.globals.keys() {
            plan.place(module, global, turns.contains(&global));
        }
        plan.globals_data.resize(plan.globals_bytes as usize, 0);
        plan.measure(module);
        // Offset 0 of the constants is an empty string and eight zero bytes.
        plan.rodata = vec![0; 8];
        plan
    }

    /// Adds the maps in which entry halves leave arguments; `bodies` are those of the programs.
    pub fn remember_entries(&mut self, bodies: &[Function]) {
        for (program, body) in self.programs.clone().iter().zip(bodies) {
            if program.entry_half {
                let args = super::select::entry_args(body).len() as u32;
                let map = self.map(
                    &format!("rtap_entry_{}", program.handler.as_u32()),
                    MapSort::LruHash,
                    Shape::Words(2),
                    Shape::Words(args.max(1)),
                    ENTRIES,
                );
                self.entry_maps.push((program.handler, map));
            }
        }
    }

    /// Gives the programs of handlers that are measured their elements of the map of times.
    fn measure(&mut self, module: &Module) {
        let mut elements = 0;
        let mut of_handler: FxHashMap<HandlerId, u32> = FxHashMap::default();
        for program in &mut self.programs {
            let handler = &module.handlers[program.handler];
            if !super::analysis::is_measured(module, handler.func) {
                continue;
            }
            let mut new = |count: usize| {
                let first = elements;
                elements += count as u32;
                first
            };
            program.times = Some(if program.entry_half {
                new(1)
            } else {
                let points = handler.points.len();
                let count = if points > MOST_POINTS_APART {
                    1
                } else {
                    points
                };
                *of_handler
                    .entry(program.handler)
                    .or_insert_with(|| new(count))
            });
        }
        if elements > 0 {
            let words = [
                ("hits", times::HITS),
                ("total_ns", times::TOTAL_NS),
                ("longest_ns", times::LONGEST_NS),
                ("shortest_ns_flipped", times::SHORTEST_NS_FLIPPED),
                ("skipped", times::SKIPPED),
            ];
            let fields = words.map(|(name, at)| (name.to_owned(), at, Shape::I64));
            let value = Shape::Struct(fields.to_vec(), times::SIZE);
            self.times =
                Some(self.map(TIMES_MAP, MapSort::PerCpuArray, Shape::U32, value, elements));
        }
    }

    fn header(&mut self, module: &Module) {
        for (name, offset) in [
            ("state", header::STATE),
            ("self_tgid", header::SELF_TGID),
            ("self_stack", header::SELF_STACK),
            ("ignored_bytes", header::IGNORED_BYTES),
            ("self_stack_bytes", header::SELF_STACK_BYTES),
            ("target_pid", header::TARGET_PID),
            ("realtime_offset_ns", header::REALTIME_OFFSET_NS),
            ("errors", header::ERRORS),
            ("max_errors", header::MAX_ERRORS),
        ] {
            self.globals_fields
                .push((name.to_owned(), offset, Shape::I64));
        }
        let words = self.programs.len() as u32 * ProgramCounter::COUNT;
        if words != 0 {
            self.globals_fields
                .push(("counters".to_owned(), header::SIZE, Shape::Words(words)));
        }
        self.globals_data.resize(self.globals_bytes as usize, 0);
        for (offset, value) in [
            (header::MAX_ERRORS, u64::from(module.limits.max_errors)),
            // The session does not run yet.
            (header::IGNORED_BYTES, u64::MAX),
        ] {
            let at = offset as usize;
            self.globals_data[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    }

    fn place(&mut self, module: &Module, global: Global, takes_turns: bool) {
        let data = &module.globals[global];
        let place = match &data.kind {
            GlobalKind::Scalar { ty, init } => {
                let slot = Slot {
                    offset: self.globals_bytes,
                    ty: *ty,
                };
                self.globals_bytes += slot.width();
                self.globals_data.resize(self.globals_bytes as usize, 0);
                let bytes = match init {
                    Init::Int(value) => value.to_le_bytes().to_vec(),
                    Init::Str(text) => {
                        let most = slot.width() as usize - 1;
                        text[..text.len().min(most)].to_vec()
                    }
                };
                let at = slot.offset as usize;
                self.globals_data[at..at + bytes.len()].copy_from_slice(&bytes);
                self.globals_fields
                    .push((data.name.clone(), slot.offset, Shape::of(*ty)));
                Place::Scalar(slot)
            }
            GlobalKind::Stat(layout) => {
                let record = StatRecord::new(layout.clone());
                let map = self.map(
                    &data.name,
                    MapSort::PerCpuArray,
                    Shape::U32,
                    stat_shape(&record),
                    1,
                );
                let turns = takes_turns.then(|| self.turns(map));
                Place::Stat(map, record, turns)
            }
            GlobalKind::Array {
                keys,
                value,
                max_entries,
                wrap,
            } => {
                let mut key_bytes = 0;
                let keys: Vec<Slot> = keys
                    .iter()
                    .map(|&ty| {
                        let slot = Slot {
                            offset: key_bytes,
                            ty,
                        };
                        key_bytes += slot.width();
                        slot
                    })
                    .collect();
                let (sort, value, shape) = match value {
                    ElementKind::Plain(ty) => {
                        let slot = Slot { offset: 0, ty: *ty };
                        let value = ValueLayout::Plain(slot);
                        (MapSort::Hash, value, Shape::of(*ty))
                    }
                    ElementKind::Stat(layout) => {
                        let record = StatRecord::new(layout.clone());
                        let shape = stat_shape(&record);
                        let value = ValueLayout::Stat(record);
                        (MapSort::PerCpuHash, value, shape)
                    }
                };
                let key = match keys.as_slice() {
                    [slot] => Shape::of(slot.ty),
                    slots => Shape::Struct(
                        slots
                            .iter()
                            .enumerate()
                            .map(|(n, slot)| (format!("key{n}"), slot.offset, Shape::of(slot.ty)))
                            .collect(),
                        key_bytes,
                    ),
                };
                let wrap = wrap.then(|| {
                    let deleted = super::analysis::deletes_elements(module, global);
                    self.wrap(&data.name, &key, *max_entries, deleted)
                });
                let map = self.map(&data.name, sort, key, shape, *max_entries);
                let turns = (wrap.is_none() && takes_turns).then(|| self.turns(map));
                Place::Array(
                    map,
                    ArrayLayout {
                        map: self.maps[map.0 as usize].name.clone(),
                        max_entries: *max_entries,
                        keys,
                        key_bytes,
                        value,
                        wrap,
                        turns,
                    },
                )
            }
        };
        self.places[global] = Some(place);
    }

    /// Makes the map that another takes turns with.
    fn turns(&mut self, map: MapId) -> TurnLayout {
        let first = self.maps[map.0 as usize].clone();
        let name = format!("{}_turn", first.name);
        let other = self.map(&name, first.sort, first.key, first.value, first.max_entries);
        TurnLayout {
            other: self.maps[other.0 as usize].name.clone(),
            turn: self.word(name),
        }
    }

    /// A word of the globals map.
    fn word(&mut self, name: String) -> u32 {
        let at = self.globals_bytes;
        self.globals_bytes += 8;
        self.globals_data.resize(self.globals_bytes as usize, 0);
        self.globals_fields.push((name, at, Shape::I64));
        at
    }

    /// Makes the maps by which an array knows its oldest element.
    fn wrap(&mut self, name: &str, key: &Shape, size: u32, deleted: bool) -> WrapLayout {
        let of = |what: &str| format!("{name}_{what}");
        if !deleted {
            let queue = self.map(&of("order"), MapSort::Queue, Shape::None, key.clone(), size);
            return WrapLayout {
                queue: self.maps[queue.0 as usize].name.clone(),
                deleted: None,
            };
        }
        let room = DeletedLayout::room(size);
        let time = key.bytes();
        let fields = vec![
            ("key".to_owned(), 0, key.clone()),
            ("time".to_owned(), time, Shape::I64),
        ];
        let entry = Shape::Struct(fields, time + 8);
        let [queue, other] = ["order", "older"]
            .map(|what| self.map(&of(what), MapSort::Queue, Shape::None, entry.clone(), room));
        let born = self.map(&of("born"), MapSort::Hash, key.clone(), Shape::I64, room);
        let turn = self.word(of("turn"));
        let [queue, other, born] =
            [queue, other, born].map(|map| self.maps[map.0 as usize].name.clone());
        WrapLayout {
            queue,
            deleted: Some(DeletedLayout { other, born, turn }),
        }
    }

    /// The map of a name that a layout has.
    pub fn map_named(&self, name: &str) -> MapId {
        let at = self.maps.iter().position(|map| map.name == name);
        MapId(at.expect("layouts name maps of the plan") as u32)
    }

    fn map(
        &mut self,
        name: &str,
        sort: MapSort,
        key: Shape,
        value: Shape,
        max_entries: u32,
    ) -> MapId {
        let mut unique: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        while self.maps.iter().any(|map| map.name == unique) {
            unique.push('_');
        }
        self.maps.push(MapDef {
            name: unique,
            sort,
            key,
            value,
            max_entries: max_entries.max(1),
        });
        MapId(self.maps.len() as u32 - 1)
    }

    /// The map of a handler's saved entry-time arguments.
    pub fn entry_map(&self, handler: HandlerId) -> Option<MapId> {
        let found = self.entry_maps.iter().find(|(of, _)| *of == handler);
        found.map(|(_, map)| *map)
    }

    /// The number of the record layout with these fields.
    pub fn record(&mut self, format: FormatId, fields: Vec<Field>) -> u32 {
        let layout = RecordLayout { format, fields };
        let known = self.records.iter().position(|record| *record == layout);
        let index = known.unwrap_or_else(|| {
            self.records.push(layout);
            self.records.len() - 1
        });
        index as u32 + 1
    }

    /// Asks for so many bytes of each snapshot.
    pub fn reserve_snapshot(&mut self, bytes: u32) {
        let value = &mut self.maps[Plan::SNAPSHOTS.0 as usize].value;
        *value = Shape::Words(bytes.div_ceil(8).max(value.bytes() / 8));
    }

    /// Where `bytes` stand among the constants, 8-byte aligned.
    pub fn constant(&mut self, bytes: &[u8]) -> u32 {
        if let Some(&at) = self.rodata_at.get(bytes) {
            return at;
        }
        let at = self.rodata.len() as u32;
        self.rodata.extend(bytes);
        let end = self.rodata.len().next_multiple_of(8);
        self.rodata.resize(end, 0);
        self.rodata_at.insert(bytes.to_vec(), at);
        at
    }

    /// Asks for so many bytes behind the constants if `mem` is one: see
    /// `Buffers::reserve_slack`.
    pub fn reserve_rodata_slack(&mut self, mem: super::frame::Mem, bytes: u32) {
        if matches!(mem, super::frame::Mem::Rodata(_)) {
            self.rodata_slack = self.rodata_slack.max(bytes);
        }
    }

    /// The layouts for the runtime.
    pub fn layout(&self) -> Layout {
        let mut globals = SecondaryMap::new();
        for (global, place) in self.places.iter() {
            globals[global] = place.as_ref().map(|place| match place {
                Place::Scalar(slot) => GlobalLayout::Scalar(*slot),
                Place::Stat(map, record, turns) => GlobalLayout::Stat {
                    map: self.maps[map.0 as usize].name.clone(),
                    record: record.clone(),
                    turns: turns.clone(),
                },
                Place::Array(_, layout) => GlobalLayout::Array(layout.clone()),
            });
        }
        // Number 0 is never used; any layout may stand there.
        let unused = RecordLayout {
            format: FormatId::from_u32(0),
            fields: Vec::new(),
        };
        Layout {
            globals_bytes: self.globals_bytes,
            globals,
            records: std::iter::once(unused)
                .chain(self.records.iter().cloned())
                .collect(),
        }
    }
}

/// The type of a statistic's record, with the names of the script's operators.
fn stat_shape(record: &StatRecord) -> Shape {
    let mut fields = vec![("count".to_owned(), record.count, Shape::I64)];
    for (name, at) in [
        ("sum", record.sum),
        ("min", record.min),
        ("max", record.max),
    ] {
        if let Some(at) = at {
            fields.push((name.to_owned(), at, Shape::I64));
        }
    }
    if let Some(at) = record.squares {
        fields.push(("squares".to_owned(), at, Shape::Words(2)));
    }
    for (n, (at, histogram)) in record
        .histograms
        .iter()
        .zip(&record.layout.histograms)
        .enumerate()
    {
        let buckets = histogram.buckets() as u32;
        fields.push((format!("hist{n}"), *at, Shape::Words(buckets)));
    }
    Shape::Struct(fields, record.bytes)
}

/// One program for each kernel handler; a handler on points whose type is fixed at load
/// (trampolines, BTF tracepoints) gets one for each different attachment. So does one that asks
/// which point fired, unless attachments have cookies to tell it. Handlers that are too much for one program are divided.
fn programs(module: &Module, features: Features, shares: &Shares) -> Vec<Program> {
    let mut programs = Vec::new();
    for (id, handler) in &module.handlers {
        if handler.exec != Exec::Kernel {
            continue;
        }
        let mut groups: IndexMap<&Attach, Vec<u32>> = IndexMap::new();
        let reads_point = super::analysis::reads_point(module, handler.func);
        let has_cookies = handler.context == Context::Regs && features.has(Feature::AttachCookie);
        let per_attachment = matches!(
            handler.context,
            Context::BtfTracepoint | Context::Fentry | Context::Fexit { .. }
        ) || reads_point && !has_cookies;
        for (index, point) in handler.points.iter().enumerate() {
            groups.entry(&point.attach).or_default().push(index as u32);
        }
        let groups: Vec<Vec<u32>> = if !shares[id].is_empty() {
            shares[id].clone()
        } else if per_attachment {
            groups.into_values().collect()
        } else {
            // One program for each mechanism: what is loaded for one cannot be attached by another.
            let (user, kernel): (Vec<_>, Vec<_>) = groups
                .into_iter()
                .partition(|(attach, _)| attach.is_uprobe());
            [kernel, user]
                .map(|all| all.into_iter().flat_map(|(_, points)| points).collect())
                .into_iter()
                .filter(|points: &Vec<u32>| !points.is_empty())
                .collect()
        };
        let saves = super::analysis::reads_entry_args(module, handler.func)
            && handler.context == Context::Regs;
        for (n, points) in groups.into_iter().enumerate() {
            // Attached first: else a call under way would be missed.
            if saves {
                let mut entry = program(id, n, points.clone(), programs.len() as u32);
                entry.symbol += "_entry";
                entry.entry_half = true;
                programs.push(entry);
            }
            let by_cookie = reads_point && !per_attachment && points.len() > 1;
            let mut attached = points.iter().map(|&point| &handler.points[point as usize]);
            // Programs that may sleep have no map of counters, and queues in newer kernels only.
            let sleepable = features.has(Feature::SleepableUprobe)
                && attached.all(|point| point.attach.is_uprobe())
                && super::analysis::reads_user_memory(module, handler.func)
                && !super::analysis::reads_counters(module, handler.func)
                && (features.has(Feature::SleepableQueue)
                    || !super::analysis::makes_wrapping_elements(module, handler.func));
            programs.push(Program {
                by_cookie,
                sleepable,
                ..program(id, n, points, programs.len() as u32)
            });
        }
    }
    programs
}

fn program(handler: HandlerId, n: usize, points: Vec<u32>, counters: u32) -> Program {
    let symbol = if n == 0 {
        format!("{handler}")
    } else {
        format!("{handler}_{n}")
    };
    Program {
        symbol,
        handler,
        points,
        counters,
        entry_half: false,
        by_cookie: false,
        times: None,
        sleepable: false,
    }
}
