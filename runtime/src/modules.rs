//! Modules with kprobes: the kernel lets such a module be unloaded, and takes its probes out without a word.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rtap_compiler::image::{Attach, Meta};

/// The modules of a session's kprobes, each with what its directory in sysfs was when they were attached.
pub struct ProbedModules(Vec<(String, u64)>);

impl ProbedModules {
    /// Those of an image, as they are now.
    pub fn of(meta: &Meta) -> Self {
        let handlers = meta.module.handlers.values();
        let points = handlers.flat_map(|handler| &handler.points);
        let names: BTreeSet<&String> = points
            .filter_map(|point| match &point.attach {
                Attach::Kprobe { function, .. } | Attach::Kretprobe { function, .. } => {
                    function.module.as_ref()
                }
                _ => None,
            })
            .collect();
        let loaded = names.into_iter();
        Self(
            loaded
                .filter_map(|name| Some((name.clone(), directory(name)?)))
                .collect(),
        )
    }

    /// A line about each that has been unloaded since.
    pub fn unloaded(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(name, was)| {
            let now = directory(name);
            if now == Some(*was) {
                return None;
            }
            let again = match now {
                Some(_) => ", and are not in it now that it is loaded again",
                None => "",
            };
            Some(format!(
                "module {name} was unloaded while it was probed: its probes went with it{again}"
            ))
        })
    }
}

/// The number of a loaded module's directory, which no other one has, itself loaded again included.
fn directory(module: &str) -> Option<u64> {
    let path = format!("/sys/module/{module}");
    Some(fs::metadata(path).ok()?.ino())
}
