//! What becomes of a probe's points when they are attached to, and what the user is told of those left out.

use std::fmt::Write as _;

use crate::attach::AttachError;

/// Points left out that are named, unless all are asked for.
const MAX_NAMED: usize = 3;

/// What has become of a probe's points.
#[derive(Default)]
pub(super) struct Fate {
    /// All of them.
    pub points: usize,
    /// Whether it must have one.
    pub must_be: bool,
    pub attached: usize,
    pub failed: Vec<Failed>,
}

/// A point that could not be attached to.
pub(super) struct Failed {
    pub point: String,
    pub error: AttachError,
    /// Whether the user is told.
    pub is_told: bool,
}

impl Fate {
    /// What was left out, if the user is to be told: the first points by their names, or all.
    pub fn warning(&self, name: &str, name_all: bool) -> Option<String> {
        let told = self.failed.iter().filter(|failed| failed.is_told);
        let told: Vec<String> = told
            .map(|Failed { point, error, .. }| format!("{point}: {error}"))
            .collect();
        let count = match &told[..] {
            [] => return None,
            [only] => return Some(format!("{only}; left out")),
            many => many.len(),
        };
        let named = if name_all {
            count
        } else {
            count.min(MAX_NAMED)
        };
        let mut text = format!("{name}: {count} of {} points left out", self.points);
        for reason in told.iter().take(named) {
            let _ = write!(text, "\n  {reason}");
        }
        if count > named {
            let _ = write!(text, "\n  and {} more", count - named);
        }
        Some(text)
    }

    /// Nothing could be attached to: why.
    pub fn none(&self, name: &str, first: &Failed) -> String {
        let count = self.failed.len();
        if self.failed.iter().all(|failed| failed.error.is_forbidden()) {
            return format!(
                "{name}: the kernel does not allow any of its {count} points to be probed"
            );
        }
        let Failed { point, error, .. } = first;
        format!("{name}: none of its {count} points can be probed; {point}: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(names: &[&str], attached: usize) -> Fate {
        let failed = |name: &&str| Failed {
            point: format!("kernel.function(\"{name}\")"),
            error: AttachError::Forbidden((*name).to_owned()),
            is_told: true,
        };
        Fate {
            points: names.len() + attached,
            must_be: true,
            attached,
            failed: names.iter().map(failed).collect(),
        }
    }

    #[test]
    fn the_first_of_many_are_named() {
        let warning = |names: &[&str], all| fate(names, 10).warning("PATTERN", all);
        assert_eq!(warning(&[], false), None);
        let one = "kernel.function(\"a\"): the kernel does not allow probes in 'a'; left out";
        assert_eq!(warning(&["a"], false).as_deref(), Some(one));
        let many = warning(&["a", "b", "c", "d", "e"], false).expect("a warning");
        let lines: Vec<&str> = many.lines().collect();
        assert_eq!(lines[0], "PATTERN: 5 of 15 points left out");
        assert_eq!(
            lines[3],
            "  kernel.function(\"c\"): the kernel does not allow probes in 'c'"
        );
        assert_eq!(lines[4..], ["  and 2 more"]);
        let all = warning(&["a", "b", "c", "d", "e"], true).expect("a warning");
        assert_eq!(all.lines().count(), 6);
    }

    #[test]
    fn what_is_wrong_with_all_is_said_of_the_pattern() {
        let mut fate = fate(&["a", "b"], 0);
        assert_eq!(
            fate.none("PATTERN", &fate.failed[0]),
            "PATTERN: the kernel does not allow any of its 2 points to be probed"
        );
        fate.failed[0].error = AttachError::NoFunction("a".to_owned());
        assert_eq!(
            fate.none("PATTERN", &fate.failed[0]),
            "PATTERN: none of its 2 points can be probed; kernel.function(\"a\"): this kernel has no function 'a' \
             that can be traced"
        );
    }
}
