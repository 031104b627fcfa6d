//! What is told after the end: how the command ended, what was lost, skipped or missed.

use rtap_compiler::image::{ProgramCounter, header};

use super::queue::Queue;
use super::{Control, Ended, Session};

/// Why records do not come, and what to do.
const BUFFER_FULL: &str = "the output buffer was full; enlarge it with -s MIB";

impl Session<'_> {
    /// How `-c`'s command ended, as SystemTap says it; its failure is ours.
    pub(super) fn report_target(&mut self) -> u8 {
        let Some(target) = self.target.as_mut() else {
            return 0;
        };
        match target.ended() {
            Some(Ended::Exited(0)) | None => {
                target.dismiss();
                0
            }
            Some(Ended::Exited(status)) => {
                self.sink
                    .warn(&format!("Child process exited with status {status}"));
                1
            }
            Some(Ended::Signalled(signal)) => {
                self.sink
                    .warn(&format!("Child process exited with signal {signal}"));
                1
            }
        }
    }

    /// What was lost, skipped or missed.
    pub(super) fn report_shortfalls(&mut self, shortfalls: &[String], queue: &Queue) {
        let errors = self.control.load(header::ERRORS);
        let skipped = self.counted(ProgramCounter::Skipped);
        if errors + skipped > 0 {
            self.sink.warn(&format!(
                "Number of errors: {errors}, skipped probes: {skipped}"
            ));
        }
        let told = self.user_errors + queue.errors;
        if errors > told && !self.options.suppress_errors {
            self.sink.warn(&format!(
                "{} errors could not be shown: {BUFFER_FULL}",
                errors - told
            ));
        }
        for program in &self.meta.programs {
            let lost = self.counter(ProgramCounter::Lost, program.counters);
            let missed = self.counter(ProgramCounter::Missed, program.counters);
            let name = self
                .meta
                .module
                .handlers
                .get(program.handler)
                .map_or("?", |h| h.name.as_str());
            if lost > 0 {
                self.sink.warn(&format!(
                    "{lost} printed events lost by {name}: {BUFFER_FULL}"
                ));
            }
            if missed > 0 {
                self.sink
                    .warn(&format!("{missed} returns without their entry in {name}"));
            }
        }
        for line in shortfalls {
            self.sink.warn(line);
        }
        if queue.corrupt > 0 {
            self.sink.warn(&format!(
                "{} corrupt records were left out; this is an error of rtap",
                queue.corrupt
            ));
        }
    }

    /// A counter of all programs together.
    pub(super) fn counted(&self, counter: ProgramCounter) -> u64 {
        let programs = self.meta.programs.iter();
        programs
            .map(|program| self.counter(counter, program.counters))
            .sum()
    }

    pub(super) fn counter(&self, counter: ProgramCounter, program: u32) -> u64 {
        match self.control {
            Control::Mapped(mapping) => mapping.load(counter.offset(program)),
            Control::Local(_) => 0,
        }
    }
}
