//! What user space adds to statistics, and reading those of all CPUs.

use std::collections::{HashMap, HashSet};

use rtap_compiler::image::StatRecord;
use rtap_compiler::lir::{Exec, Global, Module, Op};

use crate::interp::kernel_ops::for_each_op_of;
use crate::values::Stat;

/// What user space added to statistics: a record for each key.
#[derive(Default)]
pub(super) struct Extra {
    /// Whether statistics are written to the map instead.
    pub(super) direct: bool,
    pub(super) records: HashMap<Vec<u8>, Vec<u8>>,
}

/// Merges the records in `value`, one for each `stride` bytes.
pub(super) fn merge(record: &StatRecord, value: &[u8], stride: usize) -> Stat {
    let mut stat = Stat::new(&record.layout);
    for cpu in value.chunks_exact(stride.max(1)) {
        // A map's elements are as long as its layout says.
        let _ = stat.merge(record, cpu);
    }
    stat
}

/// Adds to the record of the current CPU, or the only one, in `value`.
pub(super) fn push_here(record: &StatRecord, value: &mut [u8], stride: usize, n: i64) {
    let cpus = value.len() / stride.max(1);
    // SAFETY: sched_getcpu has no conditions.
    let cpu = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0);
    let start = if cpu < cpus { cpu * stride } else { 0 };
    if let Some(bytes) = value.get_mut(start..) {
        // A map's elements are as long as its layout says.
        let _ = Stat::push_record(record, bytes, n);
    }
}

impl Extra {
    pub(super) fn push(&mut self, key: &[u8], record: &StatRecord, n: i64) {
        let bytes = match self.records.get_mut(key) {
            Some(bytes) => bytes,
            None => self
                .records
                .entry(key.to_vec())
                .or_insert_with(|| vec![0; record.bytes as usize]),
        };
        // The record is as long as its layout says.
        let _ = Stat::push_record(record, bytes, n);
    }
}

/// The globals whose statistics kernel handlers read.
pub(super) fn statistics_read_in_kernel(module: &Module) -> HashSet<Global> {
    let mut read = HashSet::new();
    for_each_op_of(Exec::Kernel, module, |op| match op {
        Op::StatGet(global, ..)
        | Op::StatBucket(global, ..)
        | Op::StrHist(_, global, ..)
        | Op::EmitHist(global, ..)
        | Op::ArrayHas(global, ..)
        | Op::ArrayHasSlice(global, ..)
        | Op::IterBegin { array: global, .. } => {
            read.insert(*global);
        }
        _ => {}
    });
    read
}
