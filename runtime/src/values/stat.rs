//! Statistics: what `<<<` collects, merged over CPUs.

use rtap_compiler::image::StatRecord;
use rtap_compiler::lir::{StatField, StatLayout};

use super::BadRecord;

/// A statistic. All fields are kept whatever the layout says, histograms only those of the
/// layout; what a record does not hold stays as in an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Number of values.
    pub count: i64,
    /// Sum of the values, wrapping.
    pub sum: i64,
    /// Least value; `i64::MAX` when empty.
    pub min: i64,
    /// Greatest value; `i64::MIN` when empty.
    pub max: i64,
    /// Sum of the values' squares, wrapping at 128 bits.
    pub squares: u128,
    /// Counts of each histogram's buckets, in the layout's order.
    pub histograms: Vec<Vec<i64>>,
}

impl Stat {
    /// An empty statistic with the layout's histograms.
    pub fn new(layout: &StatLayout) -> Stat {
        Stat {
            count: 0,
            sum: 0,
            min: i64::MAX,
            max: i64::MIN,
            squares: 0,
            histograms: layout
                .histograms
                .iter()
                .map(|h| vec![0; h.buckets()])
                .collect(),
        }
    }

    /// Adds a value (`<<<`).
    pub fn push(&mut self, layout: &StatLayout, value: i64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let magnitude = u128::from(value.unsigned_abs());
        self.squares = self.squares.wrapping_add(magnitude * magnitude);
        for (kind, counts) in layout.histograms.iter().zip(&mut self.histograms) {
            if let Some(count) = counts.get_mut(kind.bucket_of(value)) {
                *count += 1;
            }
        }
    }

    /// Adds one CPU's record. An empty one changes nothing.
    pub fn merge(&mut self, record: &StatRecord, bytes: &[u8]) -> Result<(), BadRecord> {
        let count = word(bytes, record.count)?;
        if count == 0 {
            return Ok(());
        }
        self.count = self.count.wrapping_add(count as i64);
        if let Some(at) = record.sum {
            self.sum = self.sum.wrapping_add(word(bytes, at)? as i64);
        }
        if let Some(at) = record.min {
            self.min = self.min.min((!word(bytes, at)? ^ 1 << 63) as i64);
        }
        if let Some(at) = record.max {
            self.max = self.max.max((word(bytes, at)? ^ 1 << 63) as i64);
        }
        if let Some(at) = record.squares {
            let low = u128::from(word(bytes, at)?);
            let high = u128::from(word(bytes, at + 8)?);
            self.squares = self.squares.wrapping_add(high << 64 | low);
        }
        for (counts, at) in self.histograms.iter_mut().zip(&record.histograms) {
            for (bucket, count) in counts.iter_mut().enumerate() {
                let here = word(bytes, at + bucket as u32 * 8)?;
                *count = count.wrapping_add(here as i64);
            }
        }
        Ok(())
    }

    /// What both hold.
    #[must_use]
    pub fn joined(mut self, other: Stat) -> Stat {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.squares = self.squares.wrapping_add(other.squares);
        for (counts, more) in self.histograms.iter_mut().zip(other.histograms) {
            for (count, n) in counts.iter_mut().zip(more) {
                *count = count.wrapping_add(n);
            }
        }
        self
    }

    /// Adds all of it, which is not empty, to a record in memory.
    pub fn add_to_record(&self, record: &StatRecord, bytes: &mut [u8]) -> Result<(), BadRecord> {
        let mut update = |at: u32, f: &dyn Fn(u64) -> u64| -> Result<(), BadRecord> {
            let new = f(word(bytes, at)?);
            bytes[at as usize..at as usize + 8].copy_from_slice(&new.to_le_bytes());
            Ok(())
        };
        update(record.count, &|n| n.wrapping_add(self.count as u64))?;
        if let Some(at) = record.sum {
            update(at, &|n| n.wrapping_add(self.sum as u64))?;
        }
        if let Some(at) = record.min {
            update(at, &|n| n.max(!(self.min as u64 ^ 1 << 63)))?;
        }
        if let Some(at) = record.max {
            update(at, &|n| n.max(self.max as u64 ^ 1 << 63))?;
        }
        if let Some(at) = record.squares {
            let before = u128::from(word(bytes, at + 8)?) << 64 | u128::from(word(bytes, at)?);
            let sum = before.wrapping_add(self.squares);
            bytes[at as usize..at as usize + 16].copy_from_slice(&sum.to_le_bytes());
        }
        for (counts, first) in self.histograms.iter().zip(&record.histograms) {
            for (bucket, count) in counts.iter().enumerate() {
                let at = first + bucket as u32 * 8;
                let new = word(bytes, at)?.wrapping_add(*count as u64);
                bytes[at as usize..at as usize + 8].copy_from_slice(&new.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Adds a value to one CPU's record in memory.
    pub fn push_record(record: &StatRecord, bytes: &mut [u8], value: i64) -> Result<(), BadRecord> {
        let mut update = |at: u32, f: &dyn Fn(u64) -> u64| -> Result<(), BadRecord> {
            let new = f(word(bytes, at)?);
            bytes[at as usize..at as usize + 8].copy_from_slice(&new.to_le_bytes());
            Ok(())
        };
        let biased = value as u64 ^ 1 << 63;
        update(record.count, &|n| n.wrapping_add(1))?;
        if let Some(at) = record.sum {
            update(at, &|n| n.wrapping_add(value as u64))?;
        }
        if let Some(at) = record.min {
            update(at, &|n| n.max(!biased))?;
        }
        if let Some(at) = record.max {
            update(at, &|n| n.max(biased))?;
        }
        if let Some(at) = record.squares {
            let magnitude = u128::from(value.unsigned_abs());
            let square = magnitude * magnitude;
            let low = word(bytes, at)?;
            let (sum, carry) = low.overflowing_add(square as u64);
            let high = word(bytes, at + 8)?
                .wrapping_add((square >> 64) as u64)
                .wrapping_add(u64::from(carry));
            let at = at as usize;
            bytes
                .get_mut(at..at + 16)
                .ok_or(BadRecord::Corrupt("a statistic is shorter than its layout"))?
                .copy_from_slice(&(u128::from(high) << 64 | u128::from(sum)).to_le_bytes());
        }
        for (kind, first) in record.layout.histograms.iter().zip(&record.histograms) {
            let at = *first as usize + kind.bucket_of(value) * 8;
            let new = word(bytes, at as u32)?.wrapping_add(1);
            bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
        }
        Ok(())
    }

    /// A number out of it; `None` where an empty one has none.
    pub fn get(&self, field: StatField) -> Option<i64> {
        match field {
            StatField::Count => Some(self.count),
            StatField::Sum => Some(self.sum),
            _ if self.count == 0 => None,
            StatField::Min => Some(self.min),
            StatField::Max => Some(self.max),
            StatField::Avg => Some(self.sum.wrapping_div(self.count)),
            StatField::Variance => Some(self.variance()),
        }
    }

    /// The sample variance, (n·Σx² - (Σx)²) / (n·(n-1)), truncated, exactly as
    /// `compiler/src/bpf/select/variance.rs` computes it: 0 where it comes out below that, and the greatest
    /// number above that. (SystemTap's own is an approximation; its bit shift has nothing to add here.)
    fn variance(&self) -> i64 {
        if self.count < 2 {
            return 0;
        }
        const LOW: u128 = u64::MAX as u128;
        let n = self.count as u128;
        // Three words of 64 bits, the highest first: n·Σx².
        let low = n * (self.squares & LOW);
        let high = n * (self.squares >> 64) + (low >> 64);
        let (high, low) = (high, low & LOW);
        // What is below 64 bits borrows from above.
        let sum = u128::from(self.sum.unsigned_abs());
        let square = sum * sum;
        let (low, borrow) = (low as u64).overflowing_sub(square as u64);
        let taken = (square >> 64) + u128::from(borrow);
        let Some(high) = high.checked_sub(taken) else {
            return 0;
        };
        let mut words = [(high >> 64) as u64, high as u64, low];
        for divisor in [n, n - 1] {
            let mut rest = 0;
            for word in &mut words {
                let part = rest << 64 | u128::from(*word);
                *word = (part / divisor) as u64;
                rest = part % divisor;
            }
        }
        match words {
            [0, 0, low] => i64::try_from(low).unwrap_or(i64::MAX),
            _ => i64::MAX,
        }
    }
}

/// The word at an offset.
fn word(bytes: &[u8], at: u32) -> Result<u64, BadRecord> {
    bytes
        .get(at as usize..)
        .and_then(|rest| rest.first_chunk::<8>())
        .map(|word| u64::from_le_bytes(*word))
        .ok_or(BadRecord::Corrupt("a statistic is shorter than its layout"))
}

#[cfg(test)]
mod tests {
    use rtap_compiler::lir::Histogram;

    use super::*;

    fn layout() -> StatLayout {
        StatLayout {
            sum: true,
            min: true,
            max: true,
            variance: true,
            histograms: vec![
                Histogram::Log,
                Histogram::Linear {
                    low: -10,
                    high: 10,
                    width: 5,
                },
            ],
        }
    }

    #[test]
    fn records_merge_to_what_one_statistic_would_hold() {
        let record = StatRecord::new(layout());
        let mut cpus = vec![vec![0; record.bytes as usize]; 3];
        let mut whole = Stat::new(&record.layout);
        let values = [
            5,
            -7,
            0,
            i64::MIN,
            i64::MAX,
            1000,
            -1,
            10,
            11,
            14,
            15,
            -10,
            -11,
        ];
        for (i, value) in values.into_iter().enumerate() {
            Stat::push_record(&record, &mut cpus[i % 2], value).unwrap();
            whole.push(&record.layout, value);
        }
        let mut merged = Stat::new(&record.layout);
        for cpu in &cpus {
            merged.merge(&record, cpu).unwrap();
        }
        assert_eq!(merged, whole);
        assert_eq!(merged.get(StatField::Min), Some(i64::MIN));
        assert_eq!(merged.get(StatField::Max), Some(i64::MAX));
    }

    #[test]
    fn numbers() {
        let layout = layout();
        let mut stat = Stat::new(&layout);
        assert_eq!(stat.get(StatField::Count), Some(0));
        assert_eq!(stat.get(StatField::Sum), Some(0));
        for field in [
            StatField::Min,
            StatField::Max,
            StatField::Avg,
            StatField::Variance,
        ] {
            assert_eq!(stat.get(field), None);
        }
        for value in 0..100 {
            stat.push(&layout, value);
        }
        assert_eq!(stat.get(StatField::Variance), Some(841));
        assert_eq!(stat.get(StatField::Avg), Some(49));
        let mut one = Stat::new(&layout);
        one.push(&layout, -3);
        assert_eq!(one.get(StatField::Variance), Some(0));
        assert_eq!(one.get(StatField::Avg), Some(-3));
    }

    #[test]
    fn variance_of_huge_numbers_saturates() {
        let layout = layout();
        let mut stat = Stat::new(&layout);
        stat.push(&layout, i64::MIN);
        stat.push(&layout, i64::MAX);
        assert_eq!(stat.get(StatField::Variance), Some(i64::MAX));
    }

    #[test]
    fn a_short_record_is_an_error() {
        let record = StatRecord::new(layout());
        let mut bytes = vec![0; record.bytes as usize];
        Stat::push_record(&record, &mut bytes, 1).unwrap();
        for end in (0..bytes.len()).step_by(8) {
            assert!(
                Stat::new(&record.layout)
                    .merge(&record, &bytes[..end])
                    .is_err()
            );
        }
    }
}
