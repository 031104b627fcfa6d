//! Which programs there are, and for which points each is.

use indexmap::IndexMap;

use crate::bpf::analysis;
use crate::bpf::share::Shares;
use crate::image::{Attach, Program};
use crate::lir::{Context, Exec, HandlerId, Module};
use crate::target::{Feature, Features};

/// One program for each kernel handler; a handler on points whose type is fixed at load
/// (trampolines, BTF tracepoints) gets one for each different attachment. So does one that asks
/// which point fired, unless attachments have cookies to tell it. Handlers that are too much for one program are divided.
pub(super) fn programs(module: &Module, features: Features, shares: &Shares) -> Vec<Program> {
    let mut programs = Vec::new();
    for (id, handler) in &module.handlers {
        if handler.exec != Exec::Kernel {
            continue;
        }
        let mut groups: IndexMap<&Attach, Vec<u32>> = IndexMap::new();
        let reads_point = analysis::reads_point(module, handler.func);
        let has_cookies = handler.context == Context::Regs && features.has(Feature::AttachCookie);
        let per_attachment = matches!(
            handler.context,
            Context::BtfTracepoint | Context::Fentry | Context::Fexit { .. }
        ) || reads_point && !has_cookies;
        for (index, point) in handler.points.iter().enumerate() {
            groups.entry(&point.attach).or_default().push(index as u32);
        }
        let groups: Vec<Vec<u32>> = if !shares[id].is_empty() {
            shares[id].clone()
        } else if per_attachment {
            groups.into_values().collect()
        } else {
            // One program for each mechanism: what is loaded for one cannot be attached by another, or has other registers.
            let mut all: [Vec<u32>; 3] = Default::default();
            for (attach, points) in groups {
                let mechanism = match attach {
                    attach if attach.is_uprobe() => 2,
                    attach => usize::from(attach.is_kretprobe()),
                };
                all[mechanism].extend(points);
            }
            all.into_iter()
                .filter(|points| !points.is_empty())
                .collect()
        };
        let saves =
            analysis::reads_entry_args(module, handler.func) && handler.context == Context::Regs;
        for (n, points) in groups.into_iter().enumerate() {
            // Attached first: else a call under way would be missed.
            if saves {
                let mut entry = program(id, n, points.clone(), programs.len() as u32);
                entry.symbol += "_entry";
                entry.entry_half = true;
                programs.push(entry);
            }
            let by_cookie = reads_point && !per_attachment && points.len() > 1;
            let mut attached = points.iter().map(|&point| &handler.points[point as usize]);
            // Programs that may sleep have no map of counters, and queues in newer kernels only.
            let sleepable = features.has(Feature::SleepableUprobe)
                && attached.all(|point| point.attach.is_uprobe())
                && analysis::reads_user_memory(module, handler.func)
                && !analysis::reads_counters(module, handler.func)
                && (features.has(Feature::SleepableQueue)
                    || !analysis::makes_wrapping_elements(module, handler.func));
            programs.push(Program {
                by_cookie,
                sleepable,
                ..program(id, n, points, programs.len() as u32)
            });
        }
    }
    programs
}

fn program(handler: HandlerId, n: usize, points: Vec<u32>, counters: u32) -> Program {
    let symbol = if n == 0 {
        format!("{handler}")
    } else {
        format!("{handler}_{n}")
    };
    Program {
        symbol,
        handler,
        points,
        counters,
        entry_half: false,
        by_cookie: false,
        times: None,
        sleepable: false,
    }
}
