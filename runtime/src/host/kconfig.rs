//! The kernel's configuration: `/proc/config.gz`, else the file in `/boot`.

use std::io::Read;

use flate2::read::GzDecoder;
use rtap_compiler::target::Kconfig;
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

/// `CONFIG_HZ` without a configuration: the coarse clock's resolution is one tick.
pub(super) fn tick_hz() -> Kconfig {
    let mut tick = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `tick` is a timespec that the call may write to.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
    if result == 0 && tick.tv_sec == 0 && tick.tv_nsec > 0 {
        Kconfig::Number(1_000_000_000 / tick.tv_nsec)
    } else {
        Kconfig::Unknown
    }
}
