//! Attaching on the machine at hand, with exact counts where only this test makes events.
//! What the kernel or our rights do not allow is skipped, loudly.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rtap_compiler::image::{KernelFunction, ProcessScope};
use rtap_compiler::target::Feature;

use super::*;
use crate::host::LiveTarget;
use crate::load::tests::loaded;

/// The probed function of this program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rtap_test_probed_function(x: u64) -> u64 {
    black_box(x).wrapping_mul(3)
}

/// Another one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rtap_test_other_function(x: u64) -> u64 {
    black_box(x).wrapping_mul(5)
}

/// Tests that probe the functions above must not run at the same time.
static PROBED: Mutex<()> = Mutex::new(());

fn point(attach: Attach) -> Point {
    Point {
        text: "test".into(),
        function: String::new(),
        module: String::new(),
        attach,
        selector: None,
        optional: false,
    }
}

fn options(target: &LiveTarget, multi: bool) -> AttachOptions<'_> {
    AttachOptions {
        rights: Rights::of_self(),
        target,
        same_kernel: false,
        multi,
        cookies: &[],
        sleepable: false,
        interrupted: || false,
    }
}

/// Runs of the sample's program so far: it adds 5 each time.
fn runs(loaded: &Loaded) -> u64 {
    loaded
        .globals
        .as_ref()
        .expect("the sample has globals")
        .load(8)
        / 5
}

fn user_points(target: &LiveTarget, is_return: bool) -> Vec<Point> {
    let path = std::env::current_exe()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let binary = target.binary(&path).unwrap();
    ["rtap_test_probed_function", "rtap_test_other_function"]
        .iter()
        .map(|name| {
            let [function] = binary.function(name) else {
                panic!("one {name}")
            };
            let (path, offset, scope) = (path.clone(), function.offset, ProcessScope::All);
            point(if is_return {
                Attach::Uretprobe {
                    path,
                    offset,
                    scope,
                    save_entry: false,
                }
            } else {
                Attach::Uprobe {
                    path,
                    offset,
                    ref_ctr_offset: 0,
                    scope,
                }
            })
        })
        .collect()
}

fn count_calls(multi: bool, is_return: bool) {
    let _guard = PROBED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    if multi && !target.has(Feature::UprobeMulti) {
        eprintln!("skipped: no uprobe.multi");
        return;
    }
    let points = user_points(&target, is_return);
    let points: Vec<&Point> = points.iter().collect();
    let installed = install(&loaded, "quiet_prog", &points, &options(&target, multi)).unwrap();
    assert!(installed.failed.is_empty(), "{:?}", installed.failed);
    assert_eq!(installed.links(), if multi { 1 } else { 2 });
    for x in 0..1000 {
        rtap_test_probed_function(x);
    }
    for x in 0..10 {
        rtap_test_other_function(x);
    }
    assert_eq!(runs(&loaded), 1010);
    drop(installed);
    rtap_test_probed_function(1);
    assert_eq!(runs(&loaded), 1010, "detached");
}

#[test]
fn uprobes_count_every_call() {
    count_calls(false, false);
}

#[test]
fn uretprobes_count_every_return() {
    count_calls(false, true);
}

#[test]
fn one_link_counts_every_call() {
    count_calls(true, false);
}

#[test]
fn one_link_counts_every_return() {
    count_calls(true, true);
}

#[test]
fn bad_places_are_explained() {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    let failure = |attach: Attach| {
        let point = point(attach);
        let result = install(&loaded, "quiet_prog", &[&point], &options(&target, true));
        match result {
            Ok(installed) => installed.failed.first().map(|(_, error)| error.to_string()),
            Err(error) => Some(error.to_string()),
        }
        .unwrap_or_default()
    };
    let uprobe = |path: &str, offset| Attach::Uprobe {
        path: path.into(),
        offset,
        ref_ctr_offset: 0,
        scope: ProcessScope::All,
    };
    assert_eq!(
        failure(uprobe("/no/such/file", 64)),
        "/no/such/file does not exist"
    );
    assert!(failure(uprobe("/etc/passwd", 1 << 40)).contains("no instruction"));
    assert_eq!(
        failure(Attach::RawTracepoint {
            name: "no_such_point".into()
        }),
        "this kernel has no tracepoint 'no_such_point'"
    );
    assert_eq!(
        failure(Attach::BtfTracepoint {
            name: "no_such_point".into(),
            module: None,
            btf_id: 0
        }),
        "this kernel has no tracepoint 'no_such_point'"
    );
    let function = KernelFunction {
        name: "no_such_function".into(),
        module: None,
        btf_id: 0,
        address: 0,
    };
    let expected = if target.has(Feature::Kprobe) {
        "this kernel has no function 'no_such_function' that can be traced"
    } else {
        "this kernel has no kprobes (CONFIG_KPROBE_EVENTS is not set)"
    };
    assert_eq!(
        failure(Attach::Kprobe {
            function: function.clone(),
            offset: 0
        }),
        expected
    );
    assert_eq!(
        failure(Attach::Fentry(function)),
        "this kernel has no function 'no_such_function' that can be traced"
    );
    assert_eq!(
        failure(Attach::PerfEvent {
            kind: 1,
            config: 9999,
            period: rtap_compiler::image::PerfPeriod::Count(1)
        }),
        "this machine does not count that event"
    );
}

/// Attaches to something that happens with every system call, and detaches.
fn sees_system_calls(attach: Attach) {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    let point = point(attach);
    let installed = install(&loaded, "quiet_prog", &[&point], &options(&target, true));
    let installed = match installed {
        Ok(installed) => installed,
        Err(AttachError::Missing { feature }) => {
            eprintln!("skipped: this kernel has no {feature}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    if let Some((_, AttachError::Missing { feature })) = installed.failed.first() {
        eprintln!("skipped: this kernel has no {feature}");
        return;
    }
    assert!(installed.failed.is_empty(), "{:?}", installed.failed);
    for _ in 0..100 {
        let _ = black_box(std::fs::read("/proc/self/stat"));
    }
    assert!(runs(&loaded) >= 100, "{} runs", runs(&loaded));
    let start = Instant::now();
    drop(installed);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "detaching took {:?}",
        start.elapsed()
    );
    std::thread::sleep(Duration::from_millis(20));
    let after = runs(&loaded);
    let _ = black_box(std::fs::read("/proc/self/stat"));
    assert_eq!(runs(&loaded), after, "detached");
}

fn vfs_read() -> KernelFunction {
    KernelFunction {
        name: "vfs_read".into(),
        module: None,
        btf_id: 0,
        address: 0,
    }
}

#[test]
fn raw_tracepoints_fire() {
    sees_system_calls(Attach::RawTracepoint {
        name: "sys_enter".into(),
    });
}

#[test]
fn btf_tracepoints_fire() {
    sees_system_calls(Attach::BtfTracepoint {
        name: "sys_enter".into(),
        module: None,
        btf_id: 0,
    });
}

#[test]
fn fentry_fires() {
    sees_system_calls(Attach::Fentry(vfs_read()));
}

#[test]
fn fexit_fires() {
    sees_system_calls(Attach::Fexit(vfs_read()));
}

#[test]
fn kprobes_fire() {
    sees_system_calls(Attach::Kprobe {
        function: vfs_read(),
        offset: 0,
    });
}

#[test]
fn kretprobes_fire() {
    sees_system_calls(Attach::Kretprobe {
        function: vfs_read(),
        maxactive: 0,
        save_entry: false,
    });
}

#[test]
fn many_kprobes_fire() {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    let write = KernelFunction {
        name: "vfs_write".into(),
        ..vfs_read()
    };
    let points: Vec<Point> = [vfs_read(), write]
        .into_iter()
        .map(|function| {
            point(Attach::Kprobe {
                function,
                offset: 0,
            })
        })
        .collect();
    let points: Vec<&Point> = points.iter().collect();
    let installed = match install(&loaded, "quiet_prog", &points, &options(&target, true)) {
        Err(AttachError::Missing { feature }) => {
            eprintln!("skipped: this kernel has no {feature}");
            return;
        }
        result => result.unwrap(),
    };
    assert!(installed.failed.is_empty(), "{:?}", installed.failed);
    assert_eq!(
        installed.links(),
        if target.has(Feature::KprobeMulti) {
            1
        } else {
            2
        }
    );
    let _ = std::fs::read("/proc/self/stat");
    assert!(runs(&loaded) > 0);
}

#[test]
fn the_profile_clock_ticks() {
    let target = LiveTarget::new();
    let Some(loaded) = loaded(&target) else {
        return;
    };
    let point = point(Attach::Profile { hz: 1000 });
    let installed = install(&loaded, "quiet_prog", &[&point], &options(&target, true)).unwrap();
    assert!(installed.failed.is_empty(), "{:?}", installed.failed);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        black_box(rtap_compiler::target::suggest("abcdef", ["abcdeg"], 1));
    }
    assert!(runs(&loaded) > 10, "{} ticks", runs(&loaded));
}
