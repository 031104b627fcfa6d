//! What `-v` says of SystemTap's passes: what each made, the memory in use, the time it took.

use std::time::Instant;

use rtap_compiler::pipeline::Milestone;

use super::Status;

/// Measures passes, one after the other. Says nothing unless it is verbose.
pub struct Passes {
    verbose: bool,
    /// When the pass began.
    began: Usage,
}

/// Time used so far.
struct Usage {
    wall: Instant,
    user_us: i64,
    system_us: i64,
}

impl Passes {
    /// The first pass begins.
    pub fn new(verbose: bool) -> Passes {
        Passes {
            verbose,
            began: Usage::now(),
        }
    }

    /// A stage of the compiler is done.
    pub fn reached(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::Parsed { library } => self.done(
                1,
                &format!("parsed user script and {library} library scripts"),
                true,
            ),
            Milestone::Analyzed {
                probes,
                functions,
                globals,
            } => self.done(
                2,
                &format!(
                    "analyzed script: {probes} probes, {functions} functions, 0 embeds, {globals} globals"
                ),
                true,
            ),
            Milestone::Translated => self.done(3, "translated to LIR", true),
            Milestone::Compiled => self.done(4, "compiled to eBPF", true),
        }
    }

    /// Pass 5 begins.
    pub fn starting(&mut self) {
        if self.verbose {
            Status::say("Pass 5: starting run.");
        }
        self.began = Usage::now();
    }

    /// Pass 5 is done.
    pub fn completed(&mut self) {
        self.done(5, "run completed", false);
    }

    fn done(&mut self, pass: u8, what: &str, with_memory: bool) {
        if !self.verbose {
            return;
        }
        let now = Usage::now();
        let memory = if with_memory { memory() } else { String::new() };
        Status::say(&format!(
            "Pass {pass}: {what}{memory} in {}usr/{}sys/{}real ms.",
            (now.user_us - self.began.user_us) / 1000,
            (now.system_us - self.began.system_us) / 1000,
            (now.wall - self.began.wall).as_millis()
        ));
        self.began = now;
    }
}

impl Usage {
    fn now() -> Usage {
        // SAFETY: a zeroed rusage is valid, and there is room for one.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
            usage
        };
        let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
        Usage {
            wall: Instant::now(),
            user_us: us(usage.ru_utime),
            system_us: us(usage.ru_stime),
        }
    }
}

/// ` using 1virt/2res/3shr/4data kb,` of proc_pid_statm(5); empty without /proc.
fn memory() -> String {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else {
        return String::new();
    };
    // SAFETY: asks for a number.
    let page_kb = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } / 1024;
    let pages: Vec<i64> = text.split_whitespace().flat_map(str::parse).collect();
    match pages.as_slice() {
        [size, resident, shared, _, _, data, ..] => format!(
            " using {}virt/{}res/{}shr/{}data kb,",
            size * page_kb,
            resident * page_kb,
            shared * page_kb,
            data * page_kb
        ),
        _ => String::new(),
    }
}
