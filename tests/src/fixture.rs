//! The fixture's kernel as a golden case wants it: directives `kernel: 5.10.0` and `without: Feature…`.

use rtap_compiler::target::Feature;
use rtap_compiler::target::fixture::FixtureTarget;

use crate::golden::Case;

/// The kernel that a case is for.
pub fn target(case: &Case) -> FixtureTarget {
    let mut target = FixtureTarget::standard();
    if let Some(release) = case.directive("kernel") {
        target = target.with_release(&release);
    }
    let without = case.directive("without").unwrap_or_default();
    for feature in Feature::ALL {
        if without
            .split_whitespace()
            .any(|name| name == format!("{feature:?}"))
        {
            target = target.without(*feature);
        }
    }
    target
}
