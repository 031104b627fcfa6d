//! `-t`: how often each probe ran, how long it took, and what it skipped and missed.
//!
//! Handlers of user space are measured by the session, kernel handlers by themselves (`compiler/src/bpf/select/times.rs`). Of
//! images that were built without `-t` the kernel tells hits and the time in all (bpf_stats), program by program.

use std::fmt::Write as _;
use std::ops::AddAssign;
use std::time::Duration;

/// What is known of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// How often there was one.
    pub hits: u64,
    /// Time in all, nanoseconds.
    pub total_ns: u64,
    /// The shortest and the longest, nanoseconds, if they are known.
    pub range_ns: Option<(u64, u64)>,
}

impl Runs {
    /// Adds a run.
    pub fn add(&mut self, took: Duration) {
        let ns = took.as_nanos() as u64;
        *self += Runs {
            hits: 1,
            total_ns: ns,
            range_ns: Some((ns, ns)),
        };
    }
}

impl AddAssign for Runs {
    fn add_assign(&mut self, other: Runs) {
        self.hits += other.hits;
        self.total_ns += other.total_ns;
        self.range_ns = match (self.range_ns, other.range_ns) {
            (Some((min, max)), Some((less, more))) => Some((min.min(less), max.max(more))),
            (one, None) | (None, one) => one,
        };
    }
}

/// What a kernel program has measured of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its runs.
    pub runs: Runs,
    /// Runs that were skipped, of programs that are told which point fired.
    pub skipped: u64,
}

/// What is known of a kernel program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramRuns {
    /// What it measured: of each of its points, or of all together. Nothing if the image does not measure.
    pub points: Vec<Measured>,
    /// What the kernel measured, if it was asked to.
    pub whole: Option<Runs>,
    /// Events of which the kernel did not tell it, if that is known.
    pub missed: Option<u64>,
}

/// A line of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The probe as it is shown.
    pub name: String,
    /// Its runs.
    pub runs: Runs,
    /// Events for which its handler could not run as there was no memory for it, if that is known.
    pub skipped: Option<u64>,
    /// Events of which the kernel did not tell it, if that is known.
    pub missed: Option<u64>,
}

impl Line {
    /// Of a probe that nothing keeps from running.
    pub fn of(name: &str, runs: Runs) -> Line {
        Line {
            name: name.to_owned(),
            runs,
            skipped: Some(0),
            missed: Some(0),
        }
    }
}

/// The table, under SystemTap's heading.
pub fn table(lines: &[Line]) -> String {
    let mut text = String::from("----- probe hit report:\n");
    let _ = writeln!(
        text,
        "{:>10} {:>12} {:>10} {:>10} {:>10} {:>8} {:>8}  PROBE",
        "HITS", "TOTAL us", "MIN ns", "AVG ns", "MAX ns", "SKIPPED", "MISSED"
    );
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for line in lines {
        let Runs {
            hits,
            total_ns,
            range_ns,
        } = line.runs;
        let _ = writeln!(
            text,
            "{hits:>10} {:>12} {:>10} {:>10} {:>10} {:>8} {:>8}  {}",
            shown((hits > 0).then_some(total_ns / 1000)),
            shown(range_ns.map(|(min, _)| min)),
            shown(total_ns.checked_div(hits)),
            shown(range_ns.map(|(_, max)| max)),
            shown(line.skipped),
            shown(line.missed),
            line.name
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let mut user = Runs::default();
        user.add(Duration::from_nanos(3000));
        user.add(Duration::from_nanos(1000));
        let kernel = Line {
            name: "syscall.*".to_owned(),
            runs: Runs {
                hits: 4,
                total_ns: 8_000,
                range_ns: None,
            },
            skipped: Some(2),
            missed: None,
        };
        let none = Runs::default();
        let text = table(&[Line::of("timer.s(1)", user), kernel, Line::of("end", none)]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec!["2", "4", "1000", "2000", "3000", "0", "0", "timer.s(1)"],
                vec!["4", "8", "-", "2000", "-", "2", "-", "syscall.*"],
                vec!["0", "-", "-", "-", "-", "0", "0", "end"],
            ]
        );
    }
}
