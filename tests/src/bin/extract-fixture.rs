//! Writes the files of `FixtureTarget::standard` from the running kernel: a cut-down BTF,
//! record formats, configuration options. What goes in: `fixture/roots.txt`.
//!
//! Run as root from the root of the sources:
//! `cargo run -p rtap-tests --bin extract-fixture`

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rtap_compiler::btf::{Btf, Kind, TypeId, extract};
use rtap_compiler::target::fixture::ROOTS;

fn main() -> Result<()> {
    let out = Path::new("compiler/src/target/fixture");
    let vmlinux = "/sys/kernel/btf/vmlinux";
    let btf = Btf::parse(fs::read(vmlinux).context(vmlinux)?)?;
    let config = Command::new("zcat")
        .arg("/proc/config.gz")
        .output()
        .context("zcat")?
        .stdout;
    let config = String::from_utf8_lossy(&config);
    let mut types = Vec::new();
    let mut formats = String::new();
    let mut options = String::new();
    for line in ROOTS.lines().filter(|line| !line.starts_with('#')) {
        let (what, name) = line.split_once(' ').context("a root is `KIND NAME`")?;
        match what {
            "format" => match read_format(name) {
                Ok(text) => formats.push_str(&text),
                Err(error) => eprintln!("left out: {line}: {error:#}"),
            },
            "option" => {
                let found = config.lines().find(|l| l.split('=').next() == Some(name));
                if let Some(found) = found {
                    options.push_str(found);
                    options.push('\n');
                }
            }
            _ => {
                let found = type_roots(&btf, what, name);
                if found.is_empty() {
                    eprintln!("left out: {line}: not in {vmlinux}");
                }
                types.extend(found);
            }
        }
    }
    fs::write(out.join("vmlinux.btf"), extract(&btf, &types)?)?;
    fs::write(out.join("formats.txt"), formats)?;
    fs::write(out.join("kconfig.txt"), options)?;
    Ok(())
}

fn type_roots(btf: &Btf, what: &str, name: &str) -> Vec<TypeId> {
    match what {
        "type" => btf.find_c_type(name).into_iter().collect(),
        "func" => btf.find(Kind::Func, name).into_iter().collect(),
        "tracepoint" => [
            btf.find(Kind::Typedef, &format!("btf_trace_{name}")),
            btf.find(Kind::Func, &format!("__traceiter_{name}")),
        ]
        .into_iter()
        .flatten()
        .collect(),
        "var" => btf.find(Kind::Var, name).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn read_format(name: &str) -> Result<String> {
    let (system, event) = name.split_once(':').context("a format is SYSTEM:NAME")?;
    let path = format!("/sys/kernel/tracing/events/{system}/{event}/format");
    let text = fs::read_to_string(&path).context(path)?;
    Ok(format!("system: {system}\n{text}"))
}
