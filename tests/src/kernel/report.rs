//! The results of a run: a table of tests and kernels, the failures, why tests were skipped, and
//! the closing line.

use std::fmt;

use indexmap::IndexMap;

/// How a test went on one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// With these faults.
    Failed(String),
    /// Not run, for this reason.
    Skipped(String),
}

impl Verdict {
    /// That of a test that ran: no faults, or these.
    pub fn of(faults: String) -> Self {
        if faults.is_empty() {
            Self::Passed
        } else {
            Self::Failed(faults)
        }
    }
}

/// All verdicts of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// By place (`host`, `6.1`) and then by test.
    columns: IndexMap<String, IndexMap<String, Verdict>>,
    /// What is to be said beside the verdicts, such as boots that failed.
    pub remarks: Vec<String>,
}

impl Report {
    /// Makes a column for a place, so that columns stand in a fixed order.
    pub fn column(&mut self, place: &str) {
        self.columns.entry(place.to_owned()).or_default();
    }

    /// Records a verdict.
    pub fn add(&mut self, place: &str, test: &str, verdict: Verdict) {
        self.columns
            .entry(place.to_owned())
            .or_default()
            .insert(test.to_owned(), verdict);
    }

    /// Passed, failed and skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for verdict in self.columns.values().flat_map(IndexMap::values) {
            match verdict {
                Verdict::Passed => counts.0 += 1,
                Verdict::Failed(_) => counts.1 += 1,
                Verdict::Skipped(_) => counts.2 += 1,
            }
        }
        counts
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tests: Vec<&str> = Vec::new();
        for test in self.columns.values().flat_map(IndexMap::keys) {
            if !tests.contains(&test.as_str()) {
                tests.push(test);
            }
        }
        tests.sort_unstable();
        let width = tests.iter().map(|test| test.len()).max().unwrap_or(0);
        write!(f, "{:width$}", "")?;
        for place in self.columns.keys() {
            write!(f, "  {place:>6}")?;
        }
        writeln!(f)?;
        for test in tests {
            write!(f, "{test:width$}")?;
            for column in self.columns.values() {
                let cell = match column.get(test) {
                    Some(Verdict::Passed) => "ok",
                    Some(Verdict::Failed(_)) => "FAILED",
                    Some(Verdict::Skipped(_)) => "skip",
                    None => "",
                };
                write!(f, "  {cell:>6}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// The reasons for skipping, each with its place and the tests that it hit.
    fn skips(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: IndexMap<(&str, &str), Vec<&str>> = IndexMap::new();
        for (place, column) in &self.columns {
            for (test, verdict) in column {
                if let Verdict::Skipped(reason) = verdict {
                    reasons.entry((place, reason)).or_default().push(test);
                }
            }
        }
        for ((place, reason), tests) in reasons {
            let all = self
                .columns
                .get(place)
                .is_some_and(|column| column.len() == tests.len() && tests.len() > 1);
            let named = if all {
                format!("all {} tests", tests.len())
            } else {
                tests.join(", ")
            };
            writeln!(f, "SKIPPED on {place}, {reason}: {named}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        writeln!(f)?;
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        for (place, column) in &self.columns {
            for (test, verdict) in column {
                if let Verdict::Failed(faults) = verdict {
                    writeln!(f, "\nFAILED {test} on {place}\n{}", faults.trim_end())?;
                }
            }
        }
        self.skips(f)?;
        let (passed, failed, skipped) = self.counts();
        writeln!(
            f,
            "\nkernel: {passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_gives_reasons() {
        let mut report = Report::default();
        report.add("host", "f/a", Verdict::Passed);
        report.add("host", "f/b", Verdict::Skipped("needs kprobes".into()));
        report.add(
            "6.1",
            "f/a",
            Verdict::Failed("expected exit status 0".into()),
        );
        let text = report.to_string();
        assert!(text.contains("SKIPPED on host, needs kprobes: f/b"));
        assert!(text.contains("FAILED f/a on 6.1\nexpected exit status 0"));
        assert!(text.ends_with("\nkernel: 1 passed, 1 failed, 1 skipped\n"));
    }
}
