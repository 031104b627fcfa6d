//! Options of SystemTap's command line that have no meaning here. Scripts and habits carry
//! them, so they are taken: most with one note, those that cannot be ignored with an error.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Nothing.
    None,
    /// A value: `-m NAME`, `--vp=ABCDE`.
    One,
    /// Perhaps a value: `--privilege`, `--privilege=stapusr`.
    Perhaps,
}

/// Why an option cannot be ignored, or that it can.
type Refusal = Option<&'static str>;

/// All of them. Names of one letter are short options.
const ROWS: &[(&str, Value, Refusal)] = &[
    ("B", Value::One, None),
    ("F", Value::None, None),
    ("M", Value::None, None),
    ("P", Value::None, None),
    ("R", Value::One, None),
    ("S", Value::One, None),
    ("a", Value::One, None),
    ("all-modules", Value::None, None),
    ("b", Value::None, None),
    ("bpf", Value::None, None),
    ("check-version", Value::None, None),
    ("clean-cache", Value::None, None),
    ("d", Value::One, None),
    ("disable-cache", Value::None, None),
    ("download-debuginfo", Value::Perhaps, None),
    ("dyninst", Value::None, None),
    (
        "example",
        Value::None,
        Some("give the script's path instead"),
    ),
    (
        "i",
        Value::None,
        Some("write the script into a file, or give it with -e"),
    ),
    (
        "interactive",
        Value::None,
        Some("write the script into a file, or give it with -e"),
    ),
    ("k", Value::None, None),
    ("ldd", Value::None, None),
    ("m", Value::One, None),
    ("modinfo", Value::One, None),
    (
        "monitor",
        Value::Perhaps,
        Some("print a table from a timer probe instead"),
    ),
    ("poison-cache", Value::None, None),
    ("privilege", Value::Perhaps, None),
    ("prologue-searching", Value::Perhaps, None),
    ("q", Value::None, None),
    ("r", Value::One, None),
    (
        "remote",
        Value::One,
        Some("run it there: ssh HOST rtap run SCRIPT"),
    ),
    ("remote-prefix", Value::None, None),
    ("runtime", Value::One, None),
    ("save-uprobes", Value::None, None),
    ("semantic-keep-going", Value::None, None),
    ("sign-module", Value::Perhaps, None),
    ("sysenv", Value::One, None),
    (
        "sysroot",
        Value::One,
        Some("name programs by their full paths instead"),
    ),
    ("target-namespaces", Value::One, None),
    ("tmpdir", Value::One, None),
    ("u", Value::None, None),
    ("unprivileged", Value::None, None),
    ("use-server", Value::Perhaps, None),
    ("use-server-on-error", Value::Perhaps, None),
    ("vp", Value::One, None),
];

/// The options of [`ROWS`] that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign(Vec<&'static str>);

impl Foreign {
    /// These and others.
    pub fn and(mut self, others: Foreign) -> Foreign {
        for name in others.0 {
            if !self.0.contains(&name) {
                self.0.push(name);
            }
        }
        self
    }

    /// The note about what is ignored, if anything is.
    pub fn note(&self) -> Option<String> {
        let names: Vec<String> = self.0.iter().map(|name| dashed(name)).collect();
        let verb = if names.len() == 1 { "means" } else { "mean" };
        (!names.is_empty()).then(|| format!("{} {verb} nothing to rtap; ignored", names.join(", ")))
    }

    /// The first option that cannot be ignored, with what to do instead.
    pub fn refused(&self) -> Option<(String, &'static str)> {
        let of = |given: &&str| ROWS.iter().find(|(name, ..)| name == given);
        self.0
            .iter()
            .filter_map(of)
            .find_map(|(name, _, refusal)| Some((dashed(name), (*refusal)?)))
    }
}

/// As it is written on a command line.
fn dashed(name: &str) -> String {
    if name.len() == 1 {
        format!("-{name}")
    } else {
        format!("--{name}")
    }
}

impl clap::Args for Foreign {
    fn augment_args(command: Command) -> Command {
        let arg = |(name, value, _): &(&'static str, Value, Refusal)| {
            let mut arg = Arg::new(*name).hide(true);
            arg = match name.chars().next() {
                Some(letter) if name.len() == 1 => arg.short(letter),
                _ => arg.long(*name),
            };
            match value {
                Value::None => arg.action(ArgAction::Count),
                Value::One => arg.action(ArgAction::Append).allow_hyphen_values(true),
                Value::Perhaps => arg
                    .action(ArgAction::Append)
                    .num_args(0..=1)
                    .require_equals(true),
            }
        };
        command.args(ROWS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Foreign {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given =
            |name: &&'static str| matches.value_source(name) == Some(ValueSource::CommandLine);
        Ok(Foreign(
            ROWS.iter().map(|(name, ..)| *name).filter(given).collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Foreign::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::Stap;
    use super::*;
    use clap::Parser;

    fn of(words: &[&str]) -> Foreign {
        let words = std::iter::once(&"stap").chain(words);
        Stap::try_parse_from(words)
            .expect("these are options")
            .run
            .foreign
    }

    #[test]
    fn what_is_ignored_is_named_once() {
        assert_eq!(of(&["-e", "probe begin {}"]).note(), None);
        let given = of(&[
            "-gk",
            "-m",
            "name",
            "--bpf",
            "--vp",
            "00100",
            "--privilege",
            "--prologue-searching=auto",
            "x.stp",
        ]);
        assert_eq!(
            given.note().as_deref(),
            Some(
                "--bpf, -k, -m, --privilege, --prologue-searching, --vp mean nothing to rtap; ignored"
            )
        );
        assert_eq!(given.refused(), None);
    }

    #[test]
    fn what_would_trace_another_machine_is_refused() {
        let given = of(&["--remote", "root@host", "x.stp"]);
        assert_eq!(
            given.refused().map(|(name, _)| name).as_deref(),
            Some("--remote")
        );
    }
}
