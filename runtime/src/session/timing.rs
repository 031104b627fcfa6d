//! `-t`: how often each probe ran and how long it took. Handlers of user space are measured
//! here; of kernel programs the kernel tells hits and the time in all (bpf_stats), not
//! the shortest and the longest run.

use std::fmt::Write as _;
use std::time::Duration;

/// Runs of one probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The probe as it is shown.
    pub name: String,
    /// How often it ran.
    pub hits: u64,
    /// Time in all, nanoseconds; `None` if the kernel does not measure it.
    pub total_ns: Option<u64>,
    /// The shortest and the longest run, nanoseconds, if they are known.
    pub range_ns: Option<(u64, u64)>,
    /// Events that came and for which it could not run, if that is known.
    pub missed: Option<u64>,
}

impl Runs {
    /// Of a probe that has not run yet.
    pub fn of(name: &str) -> Runs {
        Runs {
            name: name.to_owned(),
            missed: Some(0),
            ..Runs::default()
        }
    }

    /// Adds a run.
    pub fn add(&mut self, took: Duration) {
        let ns = took.as_nanos() as u64;
        self.hits += 1;
        self.total_ns = Some(self.total_ns.unwrap_or(0) + ns);
        let (min, max) = self.range_ns.unwrap_or((ns, ns));
        self.range_ns = Some((min.min(ns), max.max(ns)));
    }
}

/// The table, under SystemTap's heading.
pub fn table(all: &[Runs]) -> String {
    let mut text = String::from("----- probe hit report:\n");
    let _ = writeln!(
        text,
        "{:>10} {:>12} {:>10} {:>10} {:>10} {:>8}  PROBE",
        "HITS", "TOTAL us", "MIN ns", "AVG ns", "MAX ns", "MISSED"
    );
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for runs in all {
        let average = runs.total_ns.and_then(|total| total.checked_div(runs.hits));
        let _ = writeln!(
            text,
            "{:>10} {:>12} {:>10} {:>10} {:>10} {:>8}  {}",
            runs.hits,
            shown(runs.total_ns.map(|ns| ns / 1000)),
            shown(runs.range_ns.map(|(min, _)| min)),
            shown(average),
            shown(runs.range_ns.map(|(_, max)| max)),
            shown(runs.missed),
            runs.name
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let mut user = Runs::of("timer.s(1)");
        user.add(Duration::from_nanos(3000));
        user.add(Duration::from_nanos(1000));
        let kernel = Runs {
            hits: 4,
            total_ns: Some(8_000),
            missed: Some(1),
            ..Runs::of("syscall.*")
        };
        let text = table(&[user, kernel, Runs::of("end")]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec!["2", "4", "1000", "2000", "3000", "0", "timer.s(1)"],
                vec!["4", "8", "-", "2000", "-", "1", "syscall.*"],
                vec!["0", "-", "-", "-", "-", "0", "end"],
            ]
        );
    }
}
