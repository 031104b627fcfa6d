//! `rtap check`, `rtap build`, and the passes of `-p`.

use std::fs;
use std::io::Write;
use std::path::Path;

use rtap_compiler::pipeline::Emit;

use super::Status;
use super::args::{self, ScriptArgs};
use super::compile::Job;
use super::create::create;

/// `rtap check`
pub fn check(args: &ScriptArgs) -> Status {
    let mut job = match Job::new(args, None, false) {
        Ok(job) => job,
        Err(status) => return status,
    };
    emit(&mut job, args).unwrap_or_else(|| job.check())
}

/// Prints the stage that is asked for, if one is.
pub fn emit(job: &mut Job, args: &ScriptArgs) -> Option<Status> {
    if args.emit.is_none() && args.pass == Some(1) {
        return Some(job.dump_trees());
    }
    stage(args).map(|stage| job.emit(stage))
}

/// Whether compiling is all that is asked for.
pub fn stops_early(args: &ScriptArgs) -> bool {
    stage(args).is_some() || args.pass.is_some_and(|pass| pass < 5)
}

/// The stage to be printed: `--emit`, or what SystemTap's pass of that number prints.
fn stage(args: &ScriptArgs) -> Option<Emit> {
    if let Some(stage) = args.emit {
        return Some(match stage {
            args::Emit::Tokens => Emit::Tokens,
            args::Emit::Ast => Emit::Ast,
            args::Emit::Hir => Emit::Hir,
            args::Emit::Lir => Emit::Lir,
            args::Emit::Bpf => Emit::Bpf,
        });
    }
    match args.pass {
        Some(1) => Some(Emit::Ast),
        Some(2) => Some(Emit::Summary),
        Some(3) => Some(Emit::Code),
        _ => None,
    }
}

/// `rtap build`
pub fn build(args: &ScriptArgs) -> Status {
    let mut job = match Job::new(args, None, false) {
        Ok(job) => job,
        Err(status) => return status,
    };
    emit(&mut job, args).unwrap_or_else(|| write_image(&mut job, args))
}

/// Compiles and writes the image; its name is printed, as SystemTap's pass 4 does.
pub fn write_image(job: &mut Job, args: &ScriptArgs) -> Status {
    let output = match job.compile_portably() {
        Ok(output) => output,
        Err(status) => return status,
    };
    let path = args.output.clone().unwrap_or_else(|| {
        let (file, _) = args.file_and_arguments();
        let stem = file
            .map(Path::new)
            .and_then(Path::file_stem)
            .unwrap_or("rtap".as_ref());
        Path::new(stem).with_extension("o")
    });
    let name = path.display().to_string();
    let written = create(&path).and_then(|mut file| {
        file.write_all(&output.elf).inspect_err(|_| {
            // Half an image is of no use. What is behind a link (/dev/stdout) is not ours to remove.
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                let _ = fs::remove_file(&path);
            }
        })
    });
    match written {
        Ok(()) => Status::print(&format!("{name}\n")),
        Err(error) => Status::not_written(&name, &error),
    }
}
