//! The fixture's kernel as a golden case wants it: directives `kernel: 5.10.0`, `addresses: hidden`, and `without:` features or
//! `vmlinux`, the kernel's debug information.

use rtap_compiler::target::Feature;
use rtap_compiler::target::fixture::FixtureTarget;

use crate::golden::Case;

/// What is left of some symbols where their addresses are not told.
const HIDDEN_SYMBOLS: &str = "0000000000000000 T vfs_read\n0000000000000000 t tcp_recvmsg\n\
    0000000000000000 t tcp_recvmsg\n0000000000000000 T tcp_sendmsg\n";

/// The kernel that a case is for.
pub fn target(case: &Case) -> FixtureTarget {
    let mut target = FixtureTarget::standard();
    if let Some(release) = case.directive("kernel") {
        target = target.with_release(&release);
    }
    if case.directive("addresses").as_deref() == Some("hidden") {
        target = target.with_symbols(HIDDEN_SYMBOLS);
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
