//! What is decided before any code: programs, maps, where globals live. Records and
//! constants are added while code is generated.

mod map;
mod place;
mod programs;

pub use map::{MapDef, MapSort, Shape};

use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;

use crate::bpf::analysis::taking_turns;
use crate::bpf::insn::MapId;
use crate::bpf::share::Shares;
use crate::image::{
    ArrayLayout, Attach, COUNTERS_MAP, EVENTS_MAP, FRAMES_MAP, Field, GLOBALS_MAP, GlobalLayout,
    Layout, MOST_COUNTERS, MOST_POINTS_APART, Program, ProgramCounter, RODATA_MAP, RecordLayout,
    SNAPSHOTS_MAP, Slot, StatRecord, TIMES_MAP, TurnLayout, header, times,
};
use crate::lir::{FormatId, Function, Global, HandlerId, Module};
use crate::target::Features;

/// Frames of scratch memory for each CPU: as deep as handlers can interrupt each other.
pub const FRAME_LEVELS: u32 = 4;

/// Size of the ring buffer, bytes: a power of two; the loader may change it.
const EVENTS_BYTES: u32 = 4 << 20;

/// Calls under way whose arguments can be kept, for each return handler.
const ENTRIES: u32 = 4096;

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
        let programs = programs::programs(module, features, shares);
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
                let args = crate::bpf::select::entry_args(body).len() as u32;
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
            if !crate::bpf::analysis::is_measured(module, handler.func) {
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
    pub fn reserve_rodata_slack(&mut self, mem: crate::bpf::frame::Mem, bytes: u32) {
        if matches!(mem, crate::bpf::frame::Mem::Rodata(_)) {
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
