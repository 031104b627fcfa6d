//! Command-line options (clap). One struct of options is shared by all subcommands that
//! compile a script, and by the `stap` form.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::foreign::Foreign;

/// SystemTap scripts on eBPF: no compiler, no kernel module, no debuginfo where BTF is enough.
#[derive(Debug, Parser)]
#[command(
    name = "rtap",
    version,
    arg_required_else_help = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compile a script, load it, attach it, print its output and what is left at its end.
    Run(RunArgs),
    /// Check a script: parse it, resolve its names, infer its types. Needs no root.
    Check(ScriptArgs),
    /// Compile a script into an ELF image that `rtap run` accepts, here or elsewhere.
    Build(ScriptArgs),
    /// List the probe points that match a pattern, with their variables and types.
    List(ListArgs),
    /// Take SystemTap's own command line (as a link named `stap` does).
    #[command(disable_help_flag = true)]
    Stap {
        /// Options and script, as `stap` takes them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
}

/// What can be printed of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// Tokens after the preprocessor.
    Tokens,
    /// The syntax tree, as source text.
    Ast,
    /// The typed tree.
    Hir,
    /// The low-level IR.
    Lir,
    /// eBPF instructions.
    Bpf,
}

/// How functions of the kernel are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KprobeStyle {
    /// fentry/fexit where the kernel has them, else kprobe/kretprobe.
    #[default]
    Auto,
    /// fentry/fexit (trampolines, typed arguments).
    Fentry,
    /// kprobe/kretprobe.
    Kprobe,
}

/// Where the script comes from and how it is compiled.
#[derive(Clone, Debug, Default, Args)]
pub struct ScriptArgs {
    /// The script's text.
    #[arg(short = 'e', value_name = "SCRIPT")]
    pub script: Option<String>,
    /// The script's file (`-` for standard input), then its arguments ($1, @1, …).
    #[arg(value_name = "FILE | ARGUMENT", allow_negative_numbers = true)]
    pub words: Vec<String>,
    /// Another script to run beside the first.
    #[arg(short = 'E', value_name = "SCRIPT")]
    pub extra: Vec<String>,
    /// Look for tapsets in DIR before the built-in library.
    #[arg(short = 'I', value_name = "DIR")]
    pub tapset_dirs: Vec<PathBuf>,
    /// Set a limit, such as MAXSTRINGLEN=1024.
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    pub defines: Vec<String>,
    /// Set a global variable's initial value.
    #[arg(short = 'G', value_name = "NAME=VALUE")]
    pub globals: Vec<String>,
    /// Guru mode: allow the script to change what it probes.
    #[arg(short = 'g')]
    pub guru: bool,
    /// Let handlers loop as long as they can: no MAXACTION (guru mode).
    #[arg(long)]
    pub suppress_time_limits: bool,
    /// Say more: timings, kernel messages. Twice for the whole verifier log.
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No warnings.
    #[arg(short = 'w')]
    pub no_warnings: bool,
    /// Warnings are errors.
    #[arg(short = 'W')]
    pub warnings_are_errors: bool,
    /// Print a stage of the compilation and stop.
    #[arg(long, value_name = "STAGE")]
    pub emit: Option<Emit>,
    /// Stop after SystemTap's pass 1 (parse), 2 (semantics), 3 (code), 4 (image) or 5 (run).
    #[arg(short = 'p', value_name = "PASS", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub pass: Option<u8>,
    /// Write output (`run`) or the image (`build`) to FILE.
    #[arg(short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How to probe functions of the kernel.
    #[arg(long, value_enum, default_value_t, value_name = "STYLE")]
    pub kprobe_style: KprobeStyle,
    /// Colour in diagnostics.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Speak the language of an older SystemTap (2.5, 3.0, …).
    #[arg(long, value_name = "VERSION")]
    pub compatible: Option<String>,
    /// Print how often each probe ran, how long it took, and what it skipped and missed, at the end (`run`); make an image that
    /// can tell (`build`).
    #[arg(short = 't')]
    pub timing: bool,
    /// Context variables that do not exist are 0, without an error.
    #[arg(long)]
    pub skip_badvars: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the script is run.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// The script.
    #[command(flatten)]
    pub script: ScriptArgs,
    /// Start CMD once everything is attached; its PID is target(), its end ends the script.
    #[arg(short = 'c', value_name = "CMD", conflicts_with = "target_pid")]
    pub command: Option<String>,
    /// Set target() to PID. The script goes on when that process ends.
    #[arg(short = 'x', value_name = "PID")]
    pub target_pid: Option<u32>,
    /// End after this many seconds.
    #[arg(short = 'T', value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// Trace rtap's own activity too.
    #[arg(long)]
    pub trace_self: bool,
    /// Size of the output buffer in the kernel, MiB (rounded up to a power of two).
    #[arg(short = 's', value_name = "MIB")]
    pub buffer_mib: Option<u32>,
    /// Do not fail when a probe's handler fails: count, and go on.
    #[arg(long)]
    pub suppress_handler_errors: bool,
    /// Run `begin` handlers in the kernel, to compare the two executors. Implies `--trace-self`.
    #[arg(long, hide = true)]
    pub begin_in_kernel: bool,
    /// Divide kernel handlers into parts of about so many instructions, to try how that is done.
    #[arg(long, hide = true, value_name = "INSTRUCTIONS")]
    pub part_insns: Option<usize>,
    /// Make several programs of a handler of many system calls where one would cost more, and handlers that cost more flat, to
    /// try how that is done.
    #[arg(long, hide = true, value_name = "COST")]
    pub program_cost: Option<u64>,
    /// Do not show the globals that the script writes and never reads.
    #[arg(long)]
    pub no_global_var_display: bool,
    /// What else SystemTap takes.
    #[command(flatten)]
    pub foreign: Foreign,
}

/// What is listed.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// A probe point with wildcards, such as `kernel.trace("sched:*")` or `syscall.*`; a word to look
    /// for in all names, such as `open`; `function str*` for functions. All kinds of probe points if there
    /// is none.
    pub pattern: Option<String>,
    /// Functions of the tapsets instead, with their types.
    #[arg(short = 'f', long)]
    pub functions: bool,
    /// Names only, without variables.
    #[arg(short = 'l', long)]
    pub names_only: bool,
    /// Look for tapsets in DIR before the built-in library.
    #[arg(short = 'I', value_name = "DIR")]
    pub tapset_dirs: Vec<PathBuf>,
}

/// SystemTap scripts on eBPF, with SystemTap's command line: the options of `rtap run`, and listing.
///
/// Options of SystemTap that mean nothing here are taken and ignored, with a note.
#[derive(Debug, Parser)]
#[command(
    name = "stap",
    args_override_self = true,
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Stap {
    /// Script and run options.
    #[command(flatten)]
    pub run: RunArgs,
    /// List matching probe points.
    #[arg(short = 'l', value_name = "PATTERN")]
    pub list: Option<String>,
    /// List matching probe points with their variables.
    #[arg(short = 'L', value_name = "PATTERN")]
    pub list_variables: Option<String>,
    /// List the kinds of probe points.
    #[arg(long)]
    pub dump_probe_types: bool,
    /// List the aliases of the tapsets.
    #[arg(long)]
    pub dump_probe_aliases: bool,
    /// List the functions.
    #[arg(long)]
    pub dump_functions: bool,
}

impl RunArgs {
    /// These options with others before them, as if the command line had begun with `options`. Where
    /// the kernel has started `stap` for the script's first line, they are there already.
    pub fn with_options(self, options: &[String]) -> Result<RunArgs, String> {
        let words = std::iter::once("stap").chain(options.iter().map(String::as_str));
        let first = Stap::try_parse_from(words.chain(["-"]))
            .map_err(|error| error.to_string())?
            .run;
        Ok(RunArgs {
            script: self.script.after(first.script),
            command: self.command.or(first.command),
            target_pid: self.target_pid.or(first.target_pid),
            timeout: self.timeout.or(first.timeout),
            trace_self: self.trace_self || first.trace_self,
            buffer_mib: self.buffer_mib.or(first.buffer_mib),
            suppress_handler_errors: self.suppress_handler_errors || first.suppress_handler_errors,
            begin_in_kernel: self.begin_in_kernel || first.begin_in_kernel,
            part_insns: self.part_insns.or(first.part_insns),
            program_cost: self.program_cost.or(first.program_cost),
            no_global_var_display: self.no_global_var_display || first.no_global_var_display,
            foreign: self.foreign.and(first.foreign),
        })
    }
}

impl ScriptArgs {
    /// These options after others.
    fn after(self, first: ScriptArgs) -> ScriptArgs {
        fn joined<T: PartialEq>(mut a: Vec<T>, b: Vec<T>) -> Vec<T> {
            if !b.starts_with(&a) {
                a.extend(b);
                return a;
            }
            b
        }
        ScriptArgs {
            extra: joined(first.extra, self.extra),
            tapset_dirs: joined(first.tapset_dirs, self.tapset_dirs),
            defines: joined(first.defines, self.defines),
            globals: joined(first.globals, self.globals),
            guru: self.guru || first.guru,
            suppress_time_limits: self.suppress_time_limits || first.suppress_time_limits,
            verbose: self.verbose.max(first.verbose),
            no_warnings: self.no_warnings || first.no_warnings,
            warnings_are_errors: self.warnings_are_errors || first.warnings_are_errors,
            emit: self.emit.or(first.emit),
            pass: self.pass.or(first.pass),
            output: self.output.or(first.output),
            compatible: self.compatible.or(first.compatible),
            timing: self.timing || first.timing,
            skip_badvars: self.skip_badvars || first.skip_badvars,
            kprobe_style: if self.kprobe_style == KprobeStyle::Auto {
                first.kprobe_style
            } else {
                self.kprobe_style
            },
            color: if self.color == Color::Auto {
                first.color
            } else {
                self.color
            },
            script: self.script,
            words: self.words,
        }
    }

    /// Splits the positional words into the script's file and its arguments.
    pub fn file_and_arguments(&self) -> (Option<&str>, &[String]) {
        match (&self.script, self.words.split_first()) {
            (None, Some((file, arguments))) => (Some(file), arguments),
            _ => (None, &self.words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
        Stap::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_file() {
        let cli = Cli::parse_from(["rtap", "run", "a.rtp", "-T", "5", "x", "-3"]);
        let Command::Run(run) = cli.command else {
            panic!("run expected")
        };
        assert_eq!(run.timeout, Some(5.0));
        let (file, arguments) = run.script.file_and_arguments();
        assert_eq!(file, Some("a.rtp"));
        assert_eq!(arguments, ["x", "-3"]);
    }

    #[test]
    fn stap_takes_glued_options() {
        let stap = Stap::parse_from(["stap", "-vp4", "-DMAXACTION=5", "-e", "probe begin {}"]);
        assert_eq!(stap.run.script.pass, Some(4));
        assert_eq!(stap.run.script.defines, ["MAXACTION=5"]);
        assert_eq!(stap.run.script.verbose, 1);
    }

    #[test]
    fn the_last_of_an_option_counts() {
        let stap = Stap::parse_from([
            "stap",
            "-p4",
            "-gp2",
            "-DA=1",
            "-DB=2",
            "-e",
            "probe begin {}",
        ]);
        assert_eq!(stap.run.script.pass, Some(2));
        assert_eq!(stap.run.script.defines, ["A=1", "B=2"]);
        let cli = Cli::parse_from(["rtap", "run", "-T5", "-T", "6", "a.rtp"]);
        assert!(matches!(cli.command, Command::Run(run) if run.timeout == Some(6.0)));
    }
}
