//! What kernel programs have measured of their runs (`-t`): reading the map in which they note it.

use rtap_compiler::image::{MOST_POINTS_APART, Program, TIMES_MAP, times};

use crate::bpf::Map;
use crate::load::Loaded;
use crate::session::timing::{Measured, Runs};

/// The map.
pub struct Times {
    map: Map,
}

impl Times {
    /// Takes the map out of an image that has one.
    pub fn take(loaded: &mut Loaded) -> Option<Times> {
        let map = loaded.maps.shift_remove(TIMES_MAP)?;
        (map.cpu_stride() >= times::SIZE as usize).then_some(Times { map })
    }

    /// What a program has measured, of a handler with so many points: of each of its own, or of all together.
    pub fn of_program(&self, program: &Program, handler_points: usize) -> Vec<Measured> {
        let Some(first) = program.times else {
            return Vec::new();
        };
        if program.entry_half || handler_points > MOST_POINTS_APART {
            return vec![self.element(first)];
        }
        let points = program.points.iter();
        points
            .map(|point| self.element(first.saturating_add(*point)))
            .collect()
    }

    /// An element, all processors together; nothing if there is none.
    fn element(&self, index: u32) -> Measured {
        let mut values = Vec::new();
        if !matches!(self.map.lookup(&index.to_le_bytes(), &mut values), Ok(true)) {
            return Measured::default();
        }
        let cpus = values.chunks_exact(self.map.cpu_stride());
        cpus.map(of_cpu).fold(Measured::default(), |mut sum, one| {
            sum.runs += one.runs;
            sum.skipped += one.skipped;
            sum
        })
    }
}

/// A processor's part of an element.
fn of_cpu(value: &[u8]) -> Measured {
    let word = |at: u32| {
        let bytes = value.get(at as usize..at as usize + 8);
        bytes.map_or(0, |bytes| {
            u64::from_le_bytes(bytes.try_into().unwrap_or_default())
        })
    };
    let hits = word(times::HITS);
    let shortest = !word(times::SHORTEST_NS_FLIPPED);
    Measured {
        runs: Runs {
            hits,
            total_ns: word(times::TOTAL_NS),
            range_ns: (hits > 0).then_some((shortest, word(times::LONGEST_NS))),
        },
        skipped: word(times::SKIPPED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_saw_no_run_has_no_shortest_one() {
        assert_eq!(of_cpu(&[0; 40]), Measured::default());
    }

    #[test]
    fn words_are_where_programs_put_them() {
        let words = [3, 600, 300, !100, 7];
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word: &u64| word.to_le_bytes())
            .collect();
        let measured = of_cpu(&bytes);
        assert_eq!(measured.runs.hits, 3);
        assert_eq!(measured.runs.total_ns, 600);
        assert_eq!(measured.runs.range_ns, Some((100, 300)));
        assert_eq!(measured.skipped, 7);
    }
}
