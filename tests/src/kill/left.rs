//! What can stay behind of a process that was killed: programs, maps and links in the kernel, mounts, processes, files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};

use super::lines;

/// A kind of object of the kernel, and its number. Numbers ascend, and are not given again soon.
type Object = (&'static str, u32);

/// All objects there are. Others make some at any time, and some go while they are listed.
fn objects() -> BTreeSet<Object> {
    let programs = loaded_programs().flatten();
    let programs = programs.map(|program| ("prog", program.id()));
    let maps = loaded_maps().flatten().map(|map| ("map", map.id()));
    let links = loaded_links().flatten().map(|link| ("link", link.id()));
    programs.chain(maps).chain(links).collect()
}

/// What there was before the run.
pub(super) struct Before {
    objects: BTreeSet<Object>,
    mounts: Vec<String>,
}

/// What came while it lasted.
pub(super) struct After {
    objects: BTreeSet<Object>,
    mounts: Vec<String>,
}

impl Before {
    /// Everything now.
    pub(super) fn now() -> Result<Before> {
        Ok(Before {
            objects: objects(),
            mounts: lines("/proc/self/mounts"),
        })
    }

    /// What has come since.
    pub(super) fn until_now(self) -> Result<After> {
        let now = objects();
        Ok(After {
            objects: now.difference(&self.objects).copied().collect(),
            mounts: self.mounts,
        })
    }
}

impl After {
    /// What is left of it after at most some time. `mark`: a variable in the environment of all processes of the run;
    /// `scratch`: where its files would be.
    pub(super) fn left(
        &self,
        mark: &str,
        scratch: &Path,
        patience: Duration,
    ) -> Result<Vec<String>> {
        let begin = Instant::now();
        loop {
            let mut left = processes(mark);
            let there = objects();
            let mut own: BTreeSet<Object> = self.objects.intersection(&there).copied().collect();
            let is_over = begin.elapsed() > patience;
            if is_over {
                // Those of other tracers, which are still running.
                let held = held();
                own.retain(|object| !held.contains(object));
            }
            left.extend(own.iter().map(|(kind, id)| format!("{kind} {id}")));
            let mounts = lines("/proc/self/mounts").into_iter();
            left.extend(mounts.filter(|mount| !self.mounts.contains(mount)));
            for file in fs::read_dir(scratch)? {
                left.push(file?.path().display().to_string());
            }
            if left.is_empty() || is_over {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Processes with a variable in their environment, and what they are doing.
fn processes(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
        {
            let status = lines(process.path().join("status"));
            let state = status.into_iter().take(3).collect::<Vec<_>>().join(" ");
            found.push(format!("process {} {state}", process.file_name().display()));
        }
    }
    found
}

/// The objects that some process has open.
fn held() -> BTreeSet<Object> {
    let mut held = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let open = fs::read_dir(process.path().join("fdinfo"));
        for line in open
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(|fd| lines(fd.path()))
        {
            let Some((name, id)) = line.split_once(':') else {
                continue;
            };
            let kind = ["prog", "map", "link"]
                .into_iter()
                .find(|kind| name.strip_suffix("_id") == Some(kind));
            if let (Some(kind), Ok(id)) = (kind, id.trim().parse()) {
                held.insert((kind, id));
            }
        }
    }
    held
}
