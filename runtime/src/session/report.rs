//! What is told after the end: how the command ended, what was lost, skipped or missed, and
//! the table of `-t`.

use rtap_compiler::image::{ProgramCounter, header};
use rtap_compiler::lir::Exec;

use super::queue::Queue;
use super::{Control, Ended, Session, timing};

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

    /// The table of `-t`: user-side probes in order of the script, then kernel programs.
    pub(super) fn report_timing(&mut self, in_kernel: Vec<timing::Runs>) {
        let Some(measured) = self.measured.take() else {
            return;
        };
        let mut all = Vec::new();
        for (id, handler) in &self.meta.module.handlers {
            if handler.exec != Exec::User {
                continue;
            }
            for (index, point) in handler.points.iter().enumerate() {
                let runs = measured.get(&(id, index as u32)).cloned();
                all.push(runs.unwrap_or_else(|| timing::Runs::of(&point.text)));
            }
        }
        all.extend(in_kernel);
        self.sink.message(timing::table(&all).trim_end());
    }

    /// A counter of all programs together.
    pub(super) fn counted(&self, counter: ProgramCounter) -> u64 {
        let programs = self.meta.programs.iter();
        programs
            .map(|program| self.counter(counter, program.counters))
            .sum()
    }

    fn counter(&self, counter: ProgramCounter, program: u32) -> u64 {
        match self.control {
            Control::Mapped(mapping) => mapping.load(counter.offset(program)),
            Control::Local(_) => 0,
        }
    }
}
