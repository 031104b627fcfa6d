//! Maps of an image: their kinds, and the types of what is in them.

use crate::image::{StatRecord, width_bytes};
use crate::lir::Ty;

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

/// The type of a statistic's record, with the names of the script's operators.
pub(super) fn stat_shape(record: &StatRecord) -> Shape {
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
