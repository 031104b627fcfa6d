//! What a test requires of the machine: `kernel>=6.1`, `kernel<6.6`, a feature such as `kprobes`
//! (see [`crate::vm::facts`]) or its absence, `!kprobes`; `host` for only this machine, `vm` for only
//! the VMs; `anyone` for tests that do not need root; `module:loop` for a module that is loaded before the test. Tests with
//! `debug_info` have a VM of their own, of one kernel; those with a module have another one, of each kernel, where
//! `/lib/modules` has all modules that they name, so that they can `rmmod` and `modprobe` them.

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::debian::version_key;
use crate::vm::Facts;
use crate::vm::facts::known_features;

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// The kernel is at least this.
    From(String),
    /// The kernel is older than this.
    Before(String),
    /// The kernel has this feature, or, with `false`, has not.
    Feature(String, bool),
    /// Only on this machine, or, with `false`, only in VMs.
    Host(bool),
    /// Root is not needed.
    Anyone,
    /// This module is loaded.
    Module(String),
}

impl FromStr for Requirement {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_version = |text: &str| !version_key(text).is_empty();
        if let Some(version) = text
            .strip_prefix("kernel>=")
            .filter(|version| is_version(version))
        {
            return Ok(Self::From(version.to_owned()));
        }
        if let Some(version) = text
            .strip_prefix("kernel<")
            .filter(|version| is_version(version))
        {
            return Ok(Self::Before(version.to_owned()));
        }
        match text {
            "host" => return Ok(Self::Host(true)),
            "vm" => return Ok(Self::Host(false)),
            "anyone" => return Ok(Self::Anyone),
            _ => {}
        }
        if let Some(module) = text.strip_prefix("module:") {
            return Ok(Self::Module(module.to_owned()));
        }
        let name = text.trim_start_matches('!');
        if !known_features().contains(&name) {
            bail!(
                "{text} is no requirement; the features are {}",
                known_features().join(", ")
            );
        }
        Ok(Self::Feature(name.to_owned(), name == text))
    }
}

/// Why a test with these requirements cannot run there; `None` if it can.
pub fn lacking(requires: &[Requirement], facts: &Facts, on_host: bool) -> Option<String> {
    if !requires.contains(&Requirement::Anyone) && !facts.features.contains("root") {
        return Some("needs root".to_owned());
    }
    let release = release_key(&facts.release);
    requires.iter().find_map(|requirement| match requirement {
        Requirement::From(version) if release < version_key(version) => {
            Some(format!("needs kernel {version} or newer"))
        }
        Requirement::Before(version) if release >= version_key(version) => {
            Some(format!("needs a kernel older than {version}"))
        }
        Requirement::Feature(name, wanted) if facts.features.contains(name) != *wanted => {
            Some(if *wanted {
                format!("needs {name}")
            } else {
                format!("needs a kernel without {name}")
            })
        }
        Requirement::Host(true) if !on_host => Some("is for this machine only".to_owned()),
        Requirement::Host(false) | Requirement::Module(_) if on_host => {
            Some("is for the VMs only".to_owned())
        }
        Requirement::From(_)
        | Requirement::Before(_)
        | Requirement::Feature(..)
        | Requirement::Host(_)
        | Requirement::Module(_)
        | Requirement::Anyone => None,
    })
}

/// The first numbers of `6.12.117+deb13-cloud-amd64`: those of the upstream version.
fn release_key(release: &str) -> Vec<u64> {
    let upstream = release.split(['-', '+']).next().unwrap_or_default();
    version_key(upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_checked() -> Result<()> {
        let facts = Facts {
            release: "6.12.117+deb13-cloud-amd64".into(),
            features: ["root", "btf"].map(String::from).into(),
            uptime_s: 0.0,
        };
        let check = |text: &str, on_host: bool| -> Result<Option<String>> {
            let requires: Result<Vec<Requirement>> =
                text.split_whitespace().map(str::parse).collect();
            Ok(lacking(&requires?, &facts, on_host))
        };
        assert_eq!(
            check("kernel>=6.12 kernel<7.0 btf vm !kprobes", false)?,
            None
        );
        assert_eq!(
            check("kernel>=6.13", false)?.as_deref(),
            Some("needs kernel 6.13 or newer")
        );
        assert_eq!(
            check("btf kprobes", true)?.as_deref(),
            Some("needs kprobes")
        );
        assert_eq!(check("vm", true)?.as_deref(), Some("is for the VMs only"));
        assert_eq!(check("module:loop", false)?, None);
        assert!(check("module:loop", true)?.is_some());
        assert!(check("nonsense", true).is_err());
        Ok(())
    }
}
