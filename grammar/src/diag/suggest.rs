//! "Did you mean …": the nearest of a set of known names.
//!
//! Distance is optimal string alignment (insert, delete, replace, swap of neighbours), bounded, so that a
//! name is compared with thousands of candidates in microseconds each and a long garbage name costs
//! nothing.

/// Names longer than this get no suggestion. Bytes.
const MAX_NAME_BYTES: usize = 128;

/// How many edits a name may be off: one for each three characters, at least one, at most four.
fn budget(name: &str) -> usize {
    (name.len() / 3).clamp(1, 4)
}

/// The candidate nearest to `name`, if one is near enough. Of equally near ones the first. A candidate
/// that differs only in case always counts as near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name {
            continue;
        }
        let limit = best.map_or(budget(name), |(d, _)| d.saturating_sub(1));
        let distance = if candidate.eq_ignore_ascii_case(name) {
            Some(0)
        } else {
            distance(name, candidate, limit)
        };
        if let Some(d) = distance.filter(|&d| best.is_none_or(|(b, _)| d < b)) {
            best = Some((d, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The help line for it: `did you mean 'x'?`.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(name, candidates).map(|c| format!("did you mean '{c}'?"))
}

/// The distance of `a` and `b` if it is at most `limit`. Works on bytes.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &cb) in b.iter().enumerate() {
            let mut d = (previous[j] + usize::from(ca != cb))
                .min(previous[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && a[i - 1] == cb {
                d = d.min(before[j - 1] + 1);
            }
            row.push(d);
        }
        if row.iter().min().is_none_or(|&least| least > limit) {
            return None;
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().filter(|&d| d <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_name() {
        let names = ["execname", "exit", "pid", "ppid", "println", "printf"];
        assert_eq!(nearest("excename", names), Some("execname"));
        assert_eq!(nearest("prinln", names), Some("println"));
        assert_eq!(nearest("PID", names), Some("pid"));
        assert_eq!(nearest("gettimeofday", names), None);
        assert_eq!(
            nearest("pid", ["pid"]),
            None,
            "the name itself is no suggestion"
        );
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), names), None);
        assert_eq!(
            did_you_mean("exti", names).as_deref(),
            Some("did you mean 'exit'?")
        );
    }
}
