//! The kernel's configuration: `/proc/config.gz`, else the file in `/boot`.

use std::io::Read;

use flate2::read::GzDecoder;
use rtap_compiler::target::kconfig::KconfigTable;

/// Largest configuration that is believed (real ones have 300 KiB).
const MAX_BYTES: u64 = 16 << 20;

/// Reads the configuration of the running kernel, `None` when it is nowhere.
pub(super) fn read(release: &str) -> Option<KconfigTable> {
    let text = read_proc().or_else(|| {
        [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
        ]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
    })?;
    Some(KconfigTable::parse(&text))
}

fn read_proc() -> Option<String> {
    let file = std::fs::File::open("/proc/config.gz").ok()?;
    let mut text = String::new();
    GzDecoder::new(file)
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}
