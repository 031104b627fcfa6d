//! Attachments as text. Ids that differ from kernel to kernel are left out.

use crate::image::{Attach, DataAccess, DataPlace, KernelFunction, PerfPeriod, ProcessScope};

/// An attachment on one line.
pub(super) fn attach(attach: &Attach) -> String {
    let function = |f: &KernelFunction| {
        let at = match f.address {
            0 => String::new(),
            address => format!("@{address:#x}"),
        };
        match &f.module {
            None => format!("{}{at}", f.name),
            Some(module) => format!("{module}:{}{at}", f.name),
        }
    };
    let scope = |scope: &ProcessScope| match scope {
        ProcessScope::All => String::new(),
        ProcessScope::Pid(pid) => format!(" of {pid}"),
        ProcessScope::Target => " of the target".to_owned(),
    };
    let saving = |save: bool| if save { " saving" } else { "" };
    match attach {
        Attach::Begin { priority } => format!("begin {priority}"),
        Attach::End { priority } => format!("end {priority}"),
        Attach::Error { priority } => format!("error {priority}"),
        Attach::Never => "never".to_owned(),
        Attach::Timer {
            period_ns,
            randomize_ns: 0,
        } => format!("timer {period_ns}ns"),
        Attach::Timer {
            period_ns,
            randomize_ns,
        } => format!("timer {period_ns}ns +-{randomize_ns}ns"),
        Attach::Profile { hz: 0 } => "profile by tick".to_owned(),
        Attach::Profile { hz } => format!("profile {hz}Hz"),
        Attach::RawTracepoint { name } => format!("raw_tp {name}"),
        Attach::BtfTracepoint { name, .. } => format!("tp_btf {name}"),
        Attach::RawSyscall { is_return } => format!("perf {}", Attach::raw_syscall(*is_return)),
        Attach::Fentry(f) => format!("fentry {}", function(f)),
        Attach::Fexit(f) => format!("fexit {}", function(f)),
        Attach::Kprobe {
            function: f,
            offset,
        } => format!("kprobe {}+{offset:#x}", function(f)),
        Attach::Kretprobe {
            function: f,
            maxactive,
            save_entry,
        } => {
            format!(
                "kretprobe {} maxactive {maxactive}{}",
                function(f),
                saving(*save_entry)
            )
        }
        Attach::Uprobe {
            path,
            offset,
            ref_ctr_offset,
            scope: s,
        } => {
            let semaphore = match ref_ctr_offset {
                0 => String::new(),
                at => format!(" semaphore {at:#x}"),
            };
            format!("uprobe {path}+{offset:#x}{semaphore}{}", scope(s))
        }
        Attach::Uretprobe {
            path,
            offset,
            scope: s,
            save_entry,
        } => {
            format!(
                "uretprobe {path}+{offset:#x}{}{}",
                saving(*save_entry),
                scope(s)
            )
        }
        Attach::PerfEvent {
            kind,
            config,
            period,
        } => {
            let period = match period {
                PerfPeriod::Count(n) => format!("every {n}"),
                PerfPeriod::Hz(n) => format!("{n}Hz"),
            };
            format!("perf {kind}:{config} {period}")
        }
        Attach::PerfCounter {
            name,
            number,
            kind,
            config,
        } => format!("counter {number} {name:?} {kind}:{config}"),
        Attach::Breakpoint {
            place,
            access,
            length_bytes,
        } => {
            let place = match place {
                DataPlace::Address(address) => format!("{address:#x}"),
                DataPlace::Symbol(name) => name.clone(),
            };
            let access = match access {
                DataAccess::Write => "write",
                DataAccess::ReadWrite => "rw",
            };
            format!("breakpoint {access} {place} {length_bytes} bytes")
        }
    }
}
