//! What a compilation is given besides the script: target, tapsets, options.

use crate::bpf::Sizes;
use crate::lir::Limits;
use crate::resolve::TapsetLibrary;
use crate::target::Target;

/// Everything a compilation may know.
pub struct Session<'s> {
    /// The machine.
    pub target: &'s dyn Target,
    /// Tapsets.
    pub library: &'s TapsetLibrary,
    /// Options of the command line.
    pub options: Options,
}

impl<'s> Session<'s> {
    /// One without options.
    pub fn new(target: &'s dyn Target, library: &'s TapsetLibrary) -> Session<'s> {
        Session {
            target,
            library,
            options: Options::default(),
        }
    }
}

/// How to attach to functions of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KprobeStyle {
    /// fentry/fexit where the kernel and the function allow it, else kprobe.
    #[default]
    Auto,
    /// fentry/fexit only.
    Fentry,
    /// kprobe/kretprobe only.
    Kprobe,
}

/// Options of the command line that bear on compiling.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-g`
    pub guru: bool,
    /// `-G name=value`
    pub globals: Vec<(String, String)>,
    /// `-D NAME=value` of the limits.
    pub limits: Limits,
    /// Script arguments: `$1`, `@1`, …
    pub args: Vec<String>,
    /// `--kprobe-style=…`
    pub kprobe_style: KprobeStyle,
    /// The program of `-c CMD` or `-x PID`, for `process.function(…)` without a path.
    pub command: Option<String>,
    /// Whether there is a target process (`-c` or `-x`), to which (and to its children) `process.…`
    /// probes are confined then.
    pub has_target: bool,
    /// Run `begin` handlers in the kernel: how the two executors are compared.
    pub begin_in_kernel: bool,
    /// How long functions of kernel handlers may become.
    pub sizes: Sizes,
    /// The image is to run on other machines too: accesses to kernel types are relocated when it
    /// is loaded (CO-RE).
    pub portable: bool,
    /// `--compatible`: the version of SystemTap whose language is spoken, if not the newest.
    pub compatible: Option<String>,
    /// `-t`: the image measures the runs of its kernel handlers.
    pub is_measured: bool,
    /// `--skip-badvars`: context variables that do not exist are 0.
    pub skip_badvars: bool,
}
