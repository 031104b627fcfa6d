//! Histograms as texts: a handler adds the counts of all CPUs up, user space makes the text of them.

use super::late::LATE_HEAD_BYTES;
use super::prologue::record_head;
use super::text::Text;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{Cond, MapId, Size, Src};
use crate::image::{
    Field, HIST_HEAD_WORDS, RECORD_HEAD_BYTES, RecordKind, StatRecord, width_bytes,
};
use crate::lir::{FormatId, Global, Histogram, SiteId, Ty, Value};

/// Most buckets of a histogram that handlers can print.
const MAX_PRINTED_BUCKETS: usize = 512;

/// Operands of an operation on a histogram: the statistic and its keys, which of its histograms, and
/// where the error is from if there is nothing in it.
pub(super) type Operands<'a> = (Global, &'a [Value], u8, SiteId);

/// Where the counts of a histogram are.
struct Counted {
    map: MapId,
    record: StatRecord,
    key: Mem,
    /// The first bucket in the record.
    first: u32,
    histogram: Histogram,
    site: SiteId,
}

impl Counted {
    /// Bytes of the counts.
    fn bytes(&self) -> u32 {
        self.histogram.buckets() as u32 * 8
    }
}

impl Cx<'_> {
    /// Prints a histogram.
    pub(super) fn emit_hist(&mut self, of: Operands<'_>) -> Lowered<()> {
        let counted = self.counted(of)?;
        let kind = match counted.histogram {
            Histogram::Log => [0; HIST_HEAD_WORDS as usize],
            Histogram::Linear { low, high, width } => [1, low, high, width],
        };
        let counts = RECORD_HEAD_BYTES + HIST_HEAD_WORDS * 8;
        let bytes = counts + counted.bytes();
        let buffer = self.temp_variable(bytes);
        self.store_imm(buffer, record_head(RecordKind::Hist, 0));
        for (word, at) in kind.into_iter().zip((RECORD_HEAD_BYTES..).step_by(8)) {
            self.store_imm(buffer.at(at), word);
        }
        self.add_counts("printing a histogram", &counted, buffer.at(counts))?;
        let size = self.imm(i64::from(bytes));
        self.output(buffer, size, (bytes + 1).next_power_of_two());
        Ok(())
    }

    /// `str.hist`: the number of the record's layout, the counts.
    pub(super) fn text_hist(
        &mut self,
        format: FormatId,
        of: Operands<'_>,
        cap: u32,
        dest: Dest,
    ) -> Lowered<Val> {
        let counted = self.counted(of)?;
        let width = width_bytes(Ty::str(cap));
        let end = LATE_HEAD_BYTES + counted.bytes();
        if end > width {
            return Err(self.internal("histogram longer than its record"));
        }
        let fields = vec![Field::Int; counted.histogram.buckets()];
        let id = self.plan.record(format, fields);
        let text = self.fresh_text(cap, true, dest);
        self.store_imm(text.mem, i64::from(id));
        self.zero(text.mem.at(end), width - end);
        let counts = text.mem.at(LATE_HEAD_BYTES);
        self.add_counts("the text of a histogram", &counted, counts)?;
        Ok(Val::Text(Text::Mem(text)))
    }

    fn counted(&mut self, (global, keys, which, site): Operands<'_>) -> Lowered<Counted> {
        let (map, record, key) = self.stat_place(global, keys)?;
        let which = usize::from(which);
        let (Some(first), Some(histogram)) = (
            record.histograms.get(which).copied(),
            record.layout.histograms.get(which).copied(),
        ) else {
            return Err(self.internal("a histogram that is not kept"));
        };
        if histogram.buckets() > MAX_PRINTED_BUCKETS {
            return Err(self.too_large(
                "a histogram with this many buckets",
                "print it in an end or timer probe",
            ));
        }
        Ok(Counted {
            map,
            record,
            key,
            first,
            histogram,
            site,
        })
    }

    /// Adds the counts of all CPUs up; fails if there are none.
    fn add_counts(&mut self, what: &str, counted: &Counted, sums: Mem) -> Lowered<()> {
        let have = self.temp(8);
        self.zero(sums, counted.bytes());
        self.store_imm(have, 0);
        self.for_each_cpu(what, counted.map, counted.key, &mut |cx, at| {
            let more = cx.load(Size::D, at.at(counted.record.count));
            cx.plain_add(have, Src::Reg(more));
            for bucket in (0..counted.bytes()).step_by(8) {
                let more = cx.load(Size::D, at.at(counted.first + bucket));
                cx.plain_add(sums.at(bucket), Src::Reg(more));
            }
        })?;
        let have = self.load(Size::D, have);
        let fail = self.fail(counted.site, Val::Const(0));
        self.jump_if(Cond::Eq, have, Src::Imm(0), fail);
        Ok(())
    }
}
