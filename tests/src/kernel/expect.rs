//! Compares what came out with what was expected.
//!
//! Expected lines are taken literally, except for `{*}` (anything), `{5..9}` (a whole number in
//! that range) and `{name}`, where the workload reported a fact of that name.

use std::fmt::Write as _;

use regex::Regex;

use super::case::Expected;
use crate::job::{End, Outcome};

/// Expected lines.
#[derive(Debug)]
pub struct Lines {
    lines: Vec<String>,
    sorted: bool,
}

impl Lines {
    /// From a test's text. With `sorted`, their order does not matter.
    pub fn new(text: &str, sorted: bool) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
            sorted,
        }
    }

    fn fits(&self, output: &str, facts: &[(&str, &str)]) -> bool {
        let mut wanted: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        let mut lines: Vec<&str> = output.lines().collect();
        if self.sorted {
            wanted.sort_unstable();
            lines.sort_unstable();
        }
        wanted.len() == lines.len()
            && wanted
                .iter()
                .zip(&lines)
                .all(|(wanted, line)| line_fits(wanted, line, facts))
    }
}

/// What is wrong with an outcome, one sentence each, with the output at the end; empty if nothing is.
pub fn faults(expected: &Expected, outcome: &Outcome) -> String {
    let mut faults = String::new();
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    let facts: Vec<(&str, &str)> = outcome
        .facts
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    if expected.panic {
        let _ = writeln!(faults, "expected a panic, got {}", outcome.end);
    } else if outcome.end != End::Exited(expected.status) {
        let _ = writeln!(
            faults,
            "expected exit status {}, got {}",
            expected.status, outcome.end
        );
    }
    if let Some(end) = outcome
        .companion
        .as_ref()
        .filter(|end| **end != End::Exited(0))
    {
        let _ = writeln!(faults, "the workload: {end}");
    }
    if let Some(lines) = expected
        .lines
        .as_ref()
        .filter(|lines| !lines.fits(&stdout, &facts))
    {
        let _ = writeln!(
            faults,
            "expected the output:\n{}",
            indent(&lines.lines.join("\n"))
        );
    }
    for (stream, text, patterns) in [
        ("output", &stdout, &expected.stdout),
        ("stderr", &stderr, &expected.stderr),
    ] {
        for (pattern, wanted) in patterns {
            if pattern.is_match(text) != *wanted {
                let not = if *wanted {
                    "does not match"
                } else {
                    "must not match"
                };
                let _ = writeln!(
                    faults,
                    "the {stream} {not} {}",
                    pattern.as_str().trim_start_matches("(?m)")
                );
            }
        }
    }
    if let Some(complaint) = &outcome.kernel_complaint {
        let _ = writeln!(faults, "the kernel complained:\n{}", indent(complaint));
    }
    if !faults.is_empty() {
        for (name, text) in [
            ("output", &stdout),
            ("stderr", &stderr),
            ("facts", &outcome.facts.as_str().into()),
        ] {
            if !text.trim().is_empty() {
                let _ = writeln!(faults, "{name}:\n{}", indent(&shortened(text)));
            }
        }
    }
    faults
}

fn line_fits(wanted: &str, line: &str, facts: &[(&str, &str)]) -> bool {
    if !wanted.contains('{') {
        return wanted == line;
    }
    // The wanted line as a regular expression; ranges are captured and checked afterwards.
    let mut pattern = "^".to_owned();
    let mut ranges = Vec::new();
    let mut rest = wanted;
    while let Some((before, after)) = rest.split_once('{') {
        pattern += &regex::escape(before);
        let (inside, next) = after.split_once('}').unwrap_or(("", after));
        let range = inside
            .split_once("..")
            .and_then(|(a, b)| Some(a.parse::<i64>().ok()?..=b.parse::<i64>().ok()?));
        if inside == "*" {
            pattern += ".*?";
        } else if let Some(range) = range {
            ranges.push(range);
            pattern += r"(-?\d+)";
        } else if let Some((_, value)) = facts.iter().find(|(name, _)| *name == inside) {
            pattern += &regex::escape(value);
        } else {
            pattern += r"\{";
            rest = after;
            continue;
        }
        rest = next;
    }
    pattern += &regex::escape(rest);
    pattern.push('$');
    let captures = Regex::new(&pattern)
        .ok()
        .and_then(|pattern| pattern.captures(line));
    captures.is_some_and(|captures| {
        let numbers = captures
            .iter()
            .skip(1)
            .flatten()
            .map(|number| number.as_str().parse::<i64>());
        ranges
            .iter()
            .zip(numbers)
            .all(|(range, number)| number.is_ok_and(|number| range.contains(&number)))
    })
}

fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

/// The first and last lines of a long text.
fn shortened(text: &str) -> String {
    const KEPT: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    match (
        lines.get(..KEPT),
        lines
            .len()
            .checked_sub(KEPT)
            .and_then(|from| lines.get(from..)),
    ) {
        (Some(first), Some(last)) if lines.len() > 2 * KEPT => {
            let left_out = format!("[{} lines left out]", lines.len() - 2 * KEPT);
            [first, &[left_out.as_str()], last].concat().join("\n")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_literally_by_range_and_by_fact() {
        let facts = [("pid", "123")];
        let fits = |wanted: &str, line: &str| line_fits(wanted, line, &facts);
        assert!(fits("a.b", "a.b") && !fits("a.b", "axb"));
        assert!(fits("n={5..9} x", "n=7 x") && !fits("n={5..9} x", "n=10 x"));
        assert!(fits("{-3..3}{*}", "-2 whatever"));
        assert!(fits("pid {pid}.", "pid 123.") && !fits("pid {pid}", "pid 124"));
        assert!(fits("{ unknown }", "{ unknown }") && fits("a{", "a{"));
    }

    #[test]
    fn order_matters_unless_sorted() {
        assert!(!Lines::new("b\na", false).fits("a\nb\n", &[]));
        assert!(Lines::new("b\na", true).fits("a\nb\n", &[]));
        assert!(!Lines::new("a", false).fits("a\nb\n", &[]));
    }
}
