//! Packages of any Debian suite, without touching the machine's own apt.
//!
//! The archive's address is not known here: it is read, when needed, from the sources that this
//! machine uses itself, and only the suite is changed. Lists and downloads live in a
//! directory of ours, nothing is installed; packages are unpacked with `dpkg-deb`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// One package source of this machine, reduced to what a derived one needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    signed_by: Option<String>,
}

/// A Debian suite, seen through a private apt configuration.
#[derive(Debug)]
pub struct Suite {
    name: String,
    dir: PathBuf,
}

impl Suite {
    /// Reads the package lists of the suite `name` (`bookworm`, `sid`, …). `dir` keeps the
    /// lists and the downloads.
    pub fn open(name: &str, dir: &Path) -> Result<Self> {
        let suite = Self {
            name: name.to_owned(),
            dir: dir.join(name),
        };
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(suite.dir.join(sub))?;
        }
        let text = derived_sources(&own_sources(), name)
            .context("this machine's apt sources name no Debian archive")?;
        fs::write(suite.dir.join("derived.sources"), text)?;
        // One of the sources may be gone (a security archive of an old suite); what is
        // needed is asked for by name afterwards, so that a failure here does not matter yet.
        let update = suite
            .apt("apt-get", &["update"])
            .output()
            .context("no apt-get on this machine")?;
        if !update.status.success()
            && suite.versions("base-files").is_empty()
            && suite.names("linux-").is_empty()
        {
            bail!("apt-get update for {name}: {}", last_error(&update.stderr));
        }
        Ok(suite)
    }

    /// The suite's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of all packages that begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.lines("apt-cache", &["pkgnames", prefix])
    }

    /// The versions of a package, newest first.
    pub fn versions(&self, package: &str) -> Vec<String> {
        let shown = self.lines("apt-cache", &["show", package]);
        let mut versions: Vec<String> = shown
            .iter()
            .filter_map(|line| line.strip_prefix("Version: "))
            .map(str::to_owned)
            .collect();
        versions.sort_by_cached_key(|version| std::cmp::Reverse(version_key(version)));
        versions
    }

    /// Downloads the newest version of packages and unpacks them into `into`.
    pub fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        self.with_files(packages, |deb| {
            let mut command = Command::new("dpkg-deb");
            command.arg("-x").arg(deb).arg(into);
            run(command)
        })
    }

    /// Downloads the newest version of a package and unpacks of it only the files that are like one of
    /// `patterns` (`./usr/lib/*`), each of which there must be.
    pub fn unpack_some(
        &self,
        package: &str,
        patterns: &[impl AsRef<OsStr>],
        into: &Path,
    ) -> Result<()> {
        self.with_files(&[package], |deb| {
            let mut command = Command::new("bash");
            let script = r#"dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --wildcards "${@:2}""#;
            command
                .args(["-c", script])
                .arg(deb)
                .arg(into)
                .args(patterns);
            run(command)
        })
    }

    /// Downloads the newest version of packages for as long as `take` is run for each.
    fn with_files(&self, packages: &[&str], take: impl Fn(&Path) -> Result<()>) -> Result<()> {
        let mut wanted = Vec::new();
        for package in packages {
            let version = self.versions(package).into_iter().next();
            let version =
                version.with_context(|| format!("{} has no package {package}", self.name))?;
            wanted.push(format!("{package}={version}"));
        }
        let downloads = self.dir.join(format!("debs.{}", std::process::id()));
        let _ = fs::remove_dir_all(&downloads);
        fs::create_dir_all(&downloads)?;
        let mut args = vec!["download"];
        args.extend(wanted.iter().map(String::as_str));
        let output = self
            .apt("apt-get", &args)
            .current_dir(&downloads)
            .output()?;
        ensure!(
            output.status.success(),
            "download of {}: {}",
            packages.join(" "),
            last_error(&output.stderr)
        );
        for entry in fs::read_dir(&downloads)? {
            let deb = entry?.path();
            take(&deb).with_context(|| format!("cannot unpack {}", deb.display()))?;
        }
        fs::remove_dir_all(&downloads)?;
        Ok(())
    }

    /// The packages that `package` needs in an empty system, itself among them.
    pub fn closure(&self, package: &str) -> Result<Vec<String>> {
        let args = ["install", "--no-install-recommends", "--simulate", package];
        let output = self.apt("apt-get", &args).output()?;
        ensure!(
            output.status.success(),
            "dependencies of {package}: {}",
            last_error(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
            .map(str::to_owned)
            .collect())
    }

    fn lines(&self, program: &str, args: &[&str]) -> Vec<String> {
        let Ok(output) = self.apt(program, args).output() else {
            return Vec::new();
        };
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn apt(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let option = |key: &str, path: &str| format!("{key}={}", self.dir.join(path).display());
        for setting in [
            option("Dir::Etc::sourcelist", "derived.sources"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            option("Dir::State::lists", "lists"),
            option("Dir::Cache", "cache"),
            "Dir::State::status=/dev/null".to_owned(),
            "Acquire::Check-Valid-Until=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=2".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(setting);
        }
        command
            .args(args)
            .env("LC_ALL", "C")
            .stdin(std::process::Stdio::null());
        command
    }
}

/// Installs packages of the machine's own suite. Needs root.
pub fn install(packages: &[&str]) -> Result<()> {
    eprintln!("installing {} with apt-get", packages.join(" "));
    let run = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(std::process::Stdio::null());
        command.output().context("no apt-get on this machine")
    };
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    // Without package lists, or with old ones, the first attempt fails.
    if !run(&args)?.status.success() {
        run(&["update"])?;
        let output = run(&args)?;
        ensure!(
            output.status.success(),
            "apt-get install {}: {}",
            packages.join(" "),
            last_error(&output.stderr)
        );
    }
    Ok(())
}

/// A package of Debian's `sid` unpacked in the cache, with all that it needs if `whole`:
/// downloaded once, not installed.
pub fn newest(package: &str, whole: bool) -> Result<PathBuf> {
    let cache = crate::paths::cache();
    let dir = cache.join(package);
    if !dir.is_dir() {
        eprintln!("fetching {package} from Debian sid");
        let tmp = cache.join(format!("tmp/{package}.{}", std::process::id()));
        fs::create_dir_all(&tmp)?;
        let suite = Suite::open("sid", &cache.join("apt"))?;
        let packages = if whole {
            suite.closure(package)?
        } else {
            vec![package.to_owned()]
        };
        suite.unpack(
            &packages.iter().map(String::as_str).collect::<Vec<_>>(),
            &tmp,
        )?;
        // Another process may have been quicker; its copy is as good.
        if fs::rename(&tmp, &dir).is_err() {
            fs::remove_dir_all(&tmp)?;
        }
    }
    Ok(dir)
}

/// `/usr/share/systemtap` of Debian's newest `systemtap-doc`: example scripts. Only for reading:
/// nothing of it may enter the repository.
pub fn systemtap_doc() -> Result<PathBuf> {
    Ok(newest("systemtap-doc", false)?.join("usr/share/systemtap"))
}

/// A version as its numbers, for comparing: `5.10.262-1` is newer than `5.10.223-1`.
pub(crate) fn version_key(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap_or(u64::MAX))
        .collect()
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", last_error(&output.stderr));
    Ok(())
}

fn last_error(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with("E:"))
        .or_else(|| text.lines().last());
    line.unwrap_or("it failed without a message").to_owned()
}

fn own_sources() -> Vec<Source> {
    let listed = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    files.push(PathBuf::from("/etc/apt/sources.list"));
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => sources.extend(parse_deb822(&text)),
            Some("list") => sources.extend(text.lines().filter_map(parse_one_line)),
            _ => {}
        }
    }
    sources
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::trim_end);
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .split("\n\n")
        .filter_map(|stanza| {
            let field = |name: &str| {
                stanza
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                    .map(str::trim)
            };
            Some(Source {
                uri: field("URIs")?.split_whitespace().next()?.to_owned(),
                suites: field("Suites")?
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
                signed_by: field("Signed-By")
                    .filter(|path| path.starts_with('/'))
                    .map(str::to_owned),
            })
        })
        .collect()
}

fn parse_one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
        signed_by: options
            .split_whitespace()
            .find_map(|o| o.strip_prefix("signed-by="))
            .map(str::to_owned),
    })
}

/// The machine's sources with another suite: the main archive and, beside it, the security
/// archive, which `sid` does not have.
fn derived_sources(own: &[Source], suite: &str) -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("stable");
    let of = |name: String| own.iter().find(|source| source.suites.contains(&name));
    let main = of(codename.to_owned())?;
    let stanza = |source: &Source, suite: String| {
        let keys = source
            .signed_by
            .as_ref()
            .map(|path| format!("Signed-By: {path}\n"))
            .unwrap_or_default();
        format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{keys}\n",
            source.uri
        )
    };
    let mut text = stanza(main, suite.to_owned());
    if suite != "sid"
        && let Some(security) = of(format!("{codename}-security"))
    {
        text += &stanza(security, format!("{suite}-security"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read() {
        let stanzas = "# a comment\nTypes: deb\nURIs: mirror:/debian\nSuites: a a-updates\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: mirror:/sec\nSuites: a-security\n";
        let sources = parse_deb822(stanzas);
        assert_eq!(sources.len(), 2);
        assert_eq!(
            sources.first().and_then(|s| s.signed_by.clone()),
            Some("/k.gpg".to_owned())
        );
        let line = parse_one_line("deb [arch=amd64 signed-by=/k.gpg] mirror:/debian a main");
        assert_eq!(
            line,
            Some(Source {
                uri: "mirror:/debian".into(),
                suites: vec!["a".into()],
                signed_by: Some("/k.gpg".into())
            })
        );
        assert_eq!(parse_one_line("# deb x y z"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version_key("5.10.262-1") > version_key("5.10.99-1"));
    }
}
