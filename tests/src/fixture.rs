//! The fixture's kernel as a golden case wants it: directives `kernel: 5.10.0`, and `without:` features or
//! `vmlinux`, the kernel's debug information.

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
    let lacks = |what: &str| without.split_whitespace().any(|name| name == what);
    if lacks("vmlinux") {
        target = target.without_vmlinux();
    }
    for feature in Feature::ALL {
        if lacks(&format!("{feature:?}")) {
            target = target.without(*feature);
        }
    }
    target
}
