//! Runs the tests on this machine and in one VM per kernel, two VMs at a time; those that require debug information
//! or modules in VMs of their own.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, ensure};

use super::case::{Case, Program};
use super::expect::faults;
use super::machine::Machine;
use super::report::{Report, Verdict};
use super::require::{Requirement, lacking};
use super::sizes::Sizes;
use crate::job;
use crate::paths;
use crate::vm::{Facts, Image, debug_info, facts, kernels, modules};

/// VMs at the same time: each is busy with emulation.
const VMS: usize = 2;

/// Runs `cases` at `places`: `host`, or versions of the matrix, with this `rtap`.
pub fn run(cases: &[Case], places: &[String], rtap: &Path) -> Result<Report> {
    let mut report = Report::default();
    for place in places {
        report.column(place);
    }
    let report = Mutex::new(report);
    let record = Recorder(&report);
    let sizes = Sizes::read(paths::workspace().join("tests/kernel/sizes.txt"))?;
    build_images(cases, rtap)?;
    if places.iter().any(|place| place == "host") {
        // Alone, so that nothing disturbs its timing.
        on_host(cases, rtap, record);
    }
    let queue: Mutex<VecDeque<&String>> =
        Mutex::new(places.iter().filter(|place| *place != "host").collect());
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    if places.iter().any(|place| place != "host") {
        let initramfs = image(cases, rtap)?.finish();
        thread::scope(|scope| {
            for _ in 0..VMS {
                scope.spawn(|| {
                    while let Some(version) = next() {
                        on_kernel(version, &initramfs, cases, &sizes, record);
                    }
                });
            }
        });
    }
    sizes.finish()?;
    Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Where verdicts go while several places are at work.
#[derive(Clone, Copy)]
pub(super) struct Recorder<'a>(&'a Mutex<Report>);

impl Recorder<'_> {
    fn add(self, place: &str, case: &Case, verdict: Verdict) {
        match &verdict {
            Verdict::Passed | Verdict::Skipped(_) => {}
            Verdict::Failed(_) => eprintln!("{} on {place}: FAILED", case.name),
        }
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(place, &case.name, verdict);
    }

    pub(super) fn remark(self, remark: String) {
        eprintln!("{remark}");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remarks
            .push(remark);
    }
}

/// Has `rtap build` make the images that tests run.
fn build_images(cases: &[Case], rtap: &Path) -> Result<()> {
    for case in cases {
        if let Program::Built(script, image) = &case.program {
            let image = paths::target().join(image);
            if let Some(folder) = image.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut build = Command::new(rtap);
            build.args(["build", "-e", script, "-o"]).arg(&image);
            let output = build.output()?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "{} does not build:\n{stderr}",
                case.name
            );
        }
    }
    Ok(())
}

/// The base image and the scripts of the repository that tests name.
fn image(cases: &[Case], rtap: &Path) -> Result<Image> {
    let mut image = Image::base(Some(rtap))?;
    image.add(&paths::workspace().join("examples"), "/examples")?;
    for case in cases {
        match &case.program {
            Program::File(path) => {
                image.add(&paths::workspace().join(path), &format!("/{path}"))?;
            }
            Program::Built(_, built) => {
                image.add(&paths::target().join(built), &format!("/{built}"))?;
            }
            Program::Script(_) | Program::Points(_) | Program::Shell(_) => {}
        }
    }
    Ok(image)
}

fn on_host(cases: &[Case], rtap: &Path, record: Recorder<'_>) {
    let facts = facts::here();
    let helpers = paths::HELPERS.iter().filter_map(|name| paths::helper(name));
    let programs = std::iter::once(rtap.to_path_buf()).chain(helpers);
    let folders = programs.filter_map(|path| path.parent().map(Path::to_path_buf));
    let folders = folders.chain([paths::fixture()]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap_or(path);
    for case in cases {
        let verdict = if let Some(reason) = lacking(&case.requires, &facts, true) {
            Verdict::Skipped(reason)
        } else {
            let mut job = case.job(1);
            let directory = match case.program {
                Program::Built(..) => paths::target(),
                Program::File(_) | Program::Script(_) | Program::Points(_) | Program::Shell(_) => {
                    paths::workspace()
                }
            };
            job.directory = directory.to_string_lossy().into_owned();
            job.env
                .push(("PATH".to_owned(), path.to_string_lossy().into_owned()));
            Verdict::of(faults(&case.expected, &job::run(&job, &mut |_, _| {})))
        };
        record.add("host", case, verdict);
    }
}

fn on_kernel(version: &str, initramfs: &[u8], cases: &[Case], sizes: &Sizes, record: Recorder<'_>) {
    let kernel = match kernels::get(version, false) {
        Ok(kernel) => kernel,
        Err(error) => {
            record.remark(format!("KERNEL {version} SKIPPED: {error:#}"));
            for case in cases {
                record.add(version, case, Verdict::Skipped(format!("{error:#}")));
            }
            return;
        }
    };
    let in_vm = |cases: &[&Case], initramfs: &[u8]| {
        let mut machine = Machine::new(version, kernel.clone(), initramfs, record);
        for case in cases {
            // Not worth a boot if the version alone rules the test out.
            let result = match ruled_out(case, version) {
                Some(reason) => Verdict::Skipped(reason),
                None => machine.verdict(case, sizes),
            };
            record.add(version, case, result);
        }
    };
    let in_own_vm = |cases: &[&Case], what: &str, archive: Result<Vec<u8>>| match archive {
        Ok(archive) => in_vm(cases, &[initramfs, &archive].concat()),
        Err(error) => {
            record.remark(format!("KERNEL {version} with {what} SKIPPED: {error:#}"));
            for case in cases {
                record.add(version, case, Verdict::Skipped(format!("{error:#}")));
            }
        }
    };
    let (debugged, others): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| needs_debug_info(case));
    let (with_modules, others): (Vec<&Case>, Vec<&Case>) = others
        .into_iter()
        .partition(|case| case.modules().next().is_some());
    in_vm(&others, initramfs);
    if !with_modules.is_empty() {
        let names: Vec<&str> = with_modules
            .iter()
            .flat_map(|case| case.modules())
            .collect();
        in_own_vm(&with_modules, "modules", modules::archive(&kernel, &names));
    }
    if debugged.is_empty() || version != debug_info::VERSION {
        return in_vm(&debugged, initramfs);
    }
    // Those of modules have these, too.
    let names: Vec<&str> = debugged.iter().flat_map(|case| case.modules()).collect();
    let both = debug_info::archive(&kernel, &names)
        .and_then(|debug| Ok([debug, modules::archive(&kernel, &names)?].concat()));
    in_own_vm(&debugged, "debug information", both);
}

fn needs_debug_info(case: &Case) -> bool {
    let feature = Requirement::Feature(facts::DEBUG_INFO.to_owned(), true);
    case.requires.contains(&feature)
}

fn ruled_out(case: &Case, version: &str) -> Option<String> {
    if needs_debug_info(case) && version != debug_info::VERSION {
        let only = debug_info::VERSION;
        return Some(format!("debug information is fetched for {only} only"));
    }
    let known = Facts {
        release: version.to_owned(),
        features: ["root".to_owned()].into(),
        uptime_s: 0.0,
    };
    let decidable: Vec<Requirement> = case
        .requires
        .iter()
        .filter(|requirement| !matches!(requirement, Requirement::Feature(..)))
        .cloned()
        .collect();
    lacking(&decidable, &known, false)
}
