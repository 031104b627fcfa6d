//! The form of a kernel test, and what is run for it.
//!
//! ```text
//! # A comment.
//! NAME     writes_are_counted
//! PROG     global n
//!          probe syscall.write { if (fd == 77) n++ }
//!          probe end { println(n) }
//! WORKLOAD workload write 1000 8
//! EXPECT   1000
//! ```
//!
//! A line that begins with a blank continues the one before. NAME begins a test. The other keys:
//!
//! | key | |
//! |---|---|
//! | `PROG`, `FILE`, `RUN` | a script; the path of one in the repository; or a shell command, in place of `rtap run` |
//! | `POINTS` | patterns: a probe for each point that matches, which prints all its variables. The size of each is measured |
//! | `BUILT` | a script that this machine's `rtap build` compiles; its image is run |
//! | `ARGS` | more options of `rtap run`, quoted as for the shell; `{pid}` is that of the `TARGET` |
//! | `WORKLOAD` | runs as `-c` |
//! | `BESIDE` | starts when `READY` shows in the output; when it ends, rtap is interrupted |
//! | `TARGET` | starts before rtap, held back until `READY` shows; when it ends, rtap is interrupted |
//! | `READY` | a text in rtap's output (default `ready`) |
//! | `EXPECT`, `SORTED` | all lines of the output, in order or after sorting both; for `{…}` see [`super::expect`] |
//! | `MATCH`, `NOT` | regular expressions that must, must not, match somewhere in the output; may be repeated |
//! | `STDERR`, `STDERR_NOT` | the same for standard error |
//! | `STATUS` | the exit status (default 0), or `panic`: the kernel panics |
//! | `REQUIRES` | see [`super::require`] |
//! | `TIMEOUT` | seconds (default 20) |
//! | `ENV` | `NAME=value` |

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;

use super::expect::Lines;
use super::require::Requirement;
use super::sizes::MEASURED;
use crate::job::{Companion, Job};

/// One test.
#[derive(Debug)]
pub struct Case {
    /// `file/name`.
    pub name: String,
    /// What is run.
    pub program: Program,
    args: String,
    workload: Option<String>,
    companion: Option<Companion>,
    env: Vec<(String, String)>,
    timeout_s: u64,
    /// What must come out.
    pub expected: Expected,
    /// What it needs of the machine.
    pub requires: Vec<Requirement>,
}

/// What a test runs.
#[derive(Debug)]
pub enum Program {
    /// A script's text.
    Script(String),
    /// A script that is compiled on this machine, and where its image is then, relative to the
    /// target directory here, to `/` in VMs.
    Built(String, String),
    /// A script's path, relative to the workspace.
    File(String),
    /// Patterns of probe points.
    Points(String),
    /// A shell command.
    Shell(String),
}

/// Writes the script of a [`Program::Points`] from what `rtap list` says: for each point a probe that prints its variables.
/// Points to which a number belongs are only forms. `pp()` keeps handlers of equal points apart.
const PROBES: &str = r#"
    !/\(number\)/ {
        printf "probe %s ? { println(pp()", $1
        for (i = 2; i <= NF; i++)
            if ($i ~ /^[a-z_][a-z0-9_]*:(long|string)$/ && !seen[$1, $i]++)
                printf ", %s", substr($i, 1, index($i, ":") - 1)
        print ") }"
    }"#;

/// What a test must bring.
#[derive(Debug, Default)]
pub struct Expected {
    /// The exit status.
    pub status: i32,
    /// The kernel panics instead: for testing the harness.
    pub panic: bool,
    /// All lines of standard output.
    pub lines: Option<Lines>,
    /// Patterns, each with whether it must match (or must not), on standard output.
    pub stdout: Vec<(Regex, bool)>,
    /// The same on standard error.
    pub stderr: Vec<(Regex, bool)>,
}

impl Case {
    /// All tests of a folder, by file name and then in their order.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "test")
        });
        files.sort();
        let mut cases: Vec<Self> = Vec::new();
        for file in files {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            for case in parse(&stem, &fs::read_to_string(&file)?)
                .with_context(|| file.display().to_string())?
            {
                ensure!(
                    cases.iter().all(|other| other.name != case.name),
                    "two tests are named {}",
                    case.name
                );
                cases.push(case);
            }
        }
        Ok(cases)
    }

    /// Whether the size of its programs is compared with [`super::sizes`].
    pub fn is_measured(&self) -> bool {
        let file = self.name.split('/').next().unwrap_or_default();
        match self.program {
            Program::Points(_) => true,
            Program::Script(_) | Program::File(_) => MEASURED.contains(&file),
            Program::Built(..) | Program::Shell(_) => false,
        }
    }

    /// The modules that are to be loaded.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.requires.iter().filter_map(|required| match required {
            Requirement::Module(name) => Some(name.as_str()),
            Requirement::From(_)
            | Requirement::Before(_)
            | Requirement::Feature(..)
            | Requirement::Host(_)
            | Requirement::Anyone => None,
        })
    }

    /// The job that runs this test; its time-out is multiplied by `slowness`.
    pub fn job(&self, slowness: u64) -> Job {
        // The shell splits the arguments; scripts and commands come as parameters, unquoted.
        let mut run = format!("exec rtap run {}", self.args);
        if self.is_measured() {
            run += " -v";
        }
        let (script, parameter) = match &self.program {
            Program::Script(text) => (format!("{run} -e \"$0\""), text.clone()),
            Program::File(path) | Program::Built(_, path) => {
                (format!("{run} \"$0\""), path.clone())
            }
            Program::Points(patterns) => {
                let list = format!("for point in {patterns}; do rtap list \"$point\"; done");
                (
                    format!("{list} | awk '{PROBES}' | {run} -v - -c true"),
                    "sh".to_owned(),
                )
            }
            Program::Shell(command) => (command.clone(), "sh".to_owned()),
        };
        let loading = self.modules().map(|name| format!("modprobe {name} && "));
        let script = loading.collect::<String>() + &script;
        let mut argv = vec!["sh".to_owned(), "-c".to_owned(), script, parameter];
        if let (Some(workload), Some(script)) = (&self.workload, argv.get_mut(2)) {
            *script += " -c \"$1\"";
            argv.push(workload.clone());
        }
        Job {
            argv,
            env: self.env.clone(),
            timeout_ms: self.timeout_s * 1000 * slowness,
            companion: self.companion.clone(),
            ..Job::default()
        }
    }
}

/// The tests of one file.
fn parse(file: &str, text: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut name = String::new();
    let mut entries: Vec<(String, String)> = Vec::new();
    for (key, value) in split(text)? {
        if key == "NAME" {
            if !name.is_empty() {
                cases.push(case(file, &name, &entries)?);
            }
            entries.clear();
            name = value;
        } else {
            ensure!(!name.is_empty(), "{key} comes before the first NAME");
            entries.push((key, value));
        }
    }
    ensure!(!name.is_empty(), "the file has no test");
    cases.push(case(file, &name, &entries)?);
    Ok(cases)
}

/// The keys and values of a file. Continuation lines keep what they have beyond the
/// indentation of the value on the key's line, or else of the first of them.
fn split(text: &str) -> Result<Vec<(String, String)>> {
    let mut entries: Vec<(String, String, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.starts_with('#')
            || (line.is_empty() && entries.last().is_none_or(|(key, ..)| key != "PROG"))
        {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if line.is_empty() || indent > 0 {
            let Some((_, value, column)) = entries.last_mut() else {
                bail!("line {}: nothing to continue", number + 1)
            };
            if value.is_empty() && *column == 0 {
                *column = indent;
            } else {
                value.push('\n');
            }
            value.push_str(line.get(indent.min(*column)..).unwrap_or_default());
            continue;
        }
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim_start();
        let column = if value.is_empty() {
            0
        } else {
            line.len() - value.len()
        };
        entries.push((key.to_owned(), value.to_owned(), column));
    }
    Ok(entries
        .into_iter()
        .map(|(key, value, _)| (key, value.trim_end().to_owned()))
        .collect())
}

fn case(file: &str, name: &str, entries: &[(String, String)]) -> Result<Case> {
    let context = || format!("test {name}");
    let find = |key: &str| {
        entries
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    };
    let mut expected = Expected::default();
    let mut env = Vec::new();
    for (key, value) in entries {
        let pattern = || Regex::new(&format!("(?m){value}")).with_context(context);
        match key.as_str() {
            "MATCH" => expected.stdout.push((pattern()?, true)),
            "NOT" => expected.stdout.push((pattern()?, false)),
            "STDERR" => expected.stderr.push((pattern()?, true)),
            "STDERR_NOT" => expected.stderr.push((pattern()?, false)),
            "STATUS" if value == "panic" => expected.panic = true,
            "STATUS" => expected.status = value.parse().with_context(context)?,
            "EXPECT" => expected.lines = Some(Lines::new(value, false)),
            "SORTED" => expected.lines = Some(Lines::new(value, true)),
            "ENV" => {
                let (name, value) = value.split_once('=').with_context(context)?;
                env.push((name.to_owned(), value.to_owned()));
            }
            "PROG" | "BUILT" | "FILE" | "POINTS" | "RUN" | "ARGS" | "WORKLOAD" | "BESIDE"
            | "TARGET" | "READY" | "REQUIRES" | "TIMEOUT" => {}
            unknown => bail!("test {name}: there is no key {unknown}"),
        }
    }
    let wanted = ["PROG", "BUILT", "FILE", "POINTS", "RUN"];
    let mut given = wanted
        .iter()
        .filter_map(|key| Some((*key, find(key)?.to_owned())));
    let program = match (given.next(), given.next()) {
        (Some(("PROG", text)), None) => Program::Script(text),
        (Some(("BUILT", text)), None) => Program::Built(text, format!("built/{file}-{name}.o")),
        (Some(("FILE", path)), None) => Program::File(path),
        (Some(("POINTS", patterns)), None) => Program::Points(patterns),
        (Some((_, command)), None) => Program::Shell(command),
        _ => bail!("test {name} needs one of PROG, BUILT, FILE, POINTS and RUN"),
    };
    let companion = |first: bool, command: &str| Companion {
        argv: vec!["sh".to_owned(), "-c".to_owned(), format!("exec {command}")],
        ready: find("READY").unwrap_or("ready").to_owned(),
        first,
        interrupt: true,
    };
    let companion = match (find("BESIDE"), find("TARGET")) {
        (None, None) => None,
        (Some(command), None) => Some(companion(false, command)),
        (None, Some(command)) => Some(companion(true, command)),
        (Some(_), Some(_)) => bail!("test {name} has BESIDE and TARGET"),
    };
    let requires = find("REQUIRES")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::parse);
    Ok(Case {
        name: format!("{file}/{name}"),
        program,
        args: find("ARGS").unwrap_or_default().to_owned(),
        workload: find("WORKLOAD").map(str::to_owned),
        companion,
        env,
        timeout_s: find("TIMEOUT")
            .map_or(Ok(20), str::parse)
            .with_context(context)?,
        expected,
        requires: requires.collect::<Result<_>>().with_context(context)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_continuations_are_read() -> Result<()> {
        let text = "# c\nNAME a\nPROG probe begin {\n       println(1)\n\n     }\nEXPECT 1\n\nNAME b\nPROG\n  x\n    y\nARGS -T 1\nREQUIRES module:m\n";
        let cases = parse("f", text)?;
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["f/a", "f/b"]);
        let scripts: Vec<String> = cases
            .iter()
            .map(|case| format!("{:?}", case.program))
            .collect();
        assert_eq!(scripts[0], r#"Script("probe begin {\n  println(1)\n\n}")"#);
        assert_eq!(scripts[1], r#"Script("x\n  y")"#);
        let script = "modprobe m && exec rtap run -T 1 -e \"$0\"";
        assert_eq!(cases[1].job(2).argv[2], script);
        Ok(())
    }

    #[test]
    fn every_example_has_a_test() -> Result<()> {
        let root = crate::paths::workspace();
        let tests = fs::read_to_string(root.join("tests/kernel/examples.test"))?;
        for example in fs::read_dir(root.join("examples"))?.flatten() {
            let path = format!("examples/{}", example.file_name().to_string_lossy());
            assert!(
                tests.contains(&path),
                "tests/kernel/examples.test does not run {path}"
            );
        }
        assert!(!Case::all(&root.join("tests/kernel"))?.is_empty());
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        let message =
            |text: &str| parse("f", text).map_or_else(|e| format!("{e:#}"), |_| String::new());
        assert!(message("NAME a\nPROG x\nEXPCT 1").contains("no key EXPCT"));
        assert!(message("NAME a\nEXPECT 1").contains("needs one of PROG"));
        assert!(message("PROG x").contains("before the first NAME"));
        assert!(message("NAME a\nPROG x\nREQUIRES kprobs").contains("kprobs"));
    }
}
