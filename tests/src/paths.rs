//! Where things are: the workspace, the `rtap` binary, the cache of downloaded packages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// The workspace that the current directory is in, else the one that this crate was built in.
pub fn workspace() -> PathBuf {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built_in = built_in.parent().unwrap_or(built_in);
    let here = env::current_dir().unwrap_or_default();
    here.ancestors()
        .find(|dir| dir.join("tests/Cargo.toml").exists() && dir.join("Cargo.lock").exists())
        .unwrap_or(built_in)
        .to_path_buf()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The `rtap` binary: `$RTAP_BIN`, else the newer one of the release and the debug build, else the one beside the
/// running program.
pub fn rtap() -> Option<PathBuf> {
    if let Some(path) = env::var_os("RTAP_BIN") {
        return Some(PathBuf::from(path));
    }
    let built = ["release/rtap", "debug/rtap"]
        .iter()
        .map(|name| target().join(name))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path);
    // A VM has all programs in one place.
    built.or_else(|| {
        let beside = env::current_exe().ok()?.with_file_name("rtap");
        beside.is_file().then_some(beside)
    })
}

/// The binaries of this crate that tests run.
pub const HELPERS: [&str; 2] = ["workload", "kill-rtap"];

/// The folder of `lines.elf`, a program with debug information.
pub fn fixture() -> PathBuf {
    workspace().join("compiler/src/target/fixture")
}

/// A helper binary of this crate, such as `workload`: beside the running one, or in the target
/// directory.
pub fn helper(name: &str) -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| {
        exe.ancestors()
            .skip(1)
            .take(2)
            .map(|dir| dir.join(name))
            .find(|p| p.is_file())
    });
    beside.or_else(|| {
        ["release", "debug"]
            .iter()
            .map(|profile| target().join(profile).join(name))
            .find(|p| p.is_file())
    })
}

/// Where downloaded packages and kernels are kept: `$RTAP_VM_CACHE`, else `/var/cache/rtap-vm`
/// where that can be written to (a fresh clone then downloads nothing again), else `.vm` in
/// the workspace.
pub fn cache() -> PathBuf {
    if let Some(dir) = env::var_os("RTAP_VM_CACHE") {
        return PathBuf::from(dir);
    }
    let shared = PathBuf::from("/var/cache/rtap-vm");
    if fs::create_dir_all(shared.join("tmp")).is_ok() {
        shared
    } else {
        workspace().join(".vm")
    }
}

/// Builds `rtap`, optimised unless `debug`. `$RTAP_BIN` is taken as it is.
pub fn build_rtap(debug: bool) -> Result<PathBuf> {
    if let Some(path) = env::var_os("RTAP_BIN") {
        return Ok(PathBuf::from(path));
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "-p", "rtap", "--bin", "rtap"])
        .current_dir(workspace());
    if !debug {
        command.arg("--release");
    }
    ensure!(command.status()?.success(), "rtap does not build");
    Ok(target().join(if debug { "debug/rtap" } else { "release/rtap" }))
}
