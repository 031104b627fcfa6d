//! `perf.….counter("name")` and `@perf("name")`.
//!
//! The kernel counts what happens on a CPU, whoever runs there. What a thread has had of it is worked out by
//! `tapsets/perf_counters.rtp` from what a counter shows each time that the CPU changes threads.
//! The probes that tell the tapset so are made here, for counters that are read only.

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, Severity, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::{Cx, error, int};
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::{Attach, MOST_COUNTERS};
use crate::probes::Candidate;

/// `PERF_TYPE_SOFTWARE` and `PERF_COUNT_SW_CONTEXT_SWITCHES`.
const CONTEXT_SWITCHES: (u32, u64) = (1, 3);

/// What is known of a counter.
#[derive(Default)]
pub(super) struct Counter {
    /// Where it is read first.
    read: Option<Span>,
    /// Its declaration.
    declared: Option<Declaration>,
    /// Whether its probes are made.
    kept: bool,
}

struct Declaration {
    at: Span,
    event: (u32, u64),
    /// Whose threads it counts for, as a condition; `None` for all.
    condition: Option<String>,
}

impl Cx<'_> {
    /// `@perf("name")`.
    pub(super) fn perf_count(&mut self, args: &[ast::Expr], span: Span) -> Expr {
        let Some(ast::ExprKind::String(name)) = args.first().map(|arg| &arg.kind) else {
            return error(span);
        };
        let number = self.counter(&name.to_string());
        self.counters[number].read.get_or_insert(span);
        self.keep_account(number);
        let function = ast::Ident {
            name: "_perf_read".into(),
            span,
        };
        match self.find_function(&function, 1) {
            Some(read) => Expr::new(
                ExprKind::Call(read, vec![int(number as i64, span)]),
                Ty::Long,
                span,
            ),
            None => self.fail(
                codes::NOT_SUPPORTED,
                "@perf needs rtap's own tapsets",
                span,
                "in this operator",
            ),
        }
    }

    /// Takes note of a point that declares a counter.
    pub(super) fn declare_counter(&mut self, candidate: &mut Candidate, at: Span) {
        let Attach::PerfCounter {
            name,
            number,
            kind,
            config,
        } = &mut candidate.attach
        else {
            return;
        };
        let index = self.counter(name);
        *number = index as u32;
        let declaration = Declaration {
            at,
            event: (*kind, *config),
            // The handler itself never runs.
            condition: candidate.condition.take(),
        };
        if let Some(first) = &self.counters[index].declared {
            let diag = Diagnostic::error(
                codes::DEFINED_TWICE,
                format!("two counters are called '{name}'"),
            )
            .label(at, "again here")
            .secondary(first.at, "first here");
            self.report(diag);
            return;
        }
        if *number == MOST_COUNTERS {
            let title = format!("a script has at most {MOST_COUNTERS} counters");
            self.fail(codes::BAD_POINT, title, at, "one too many");
        }
        self.counters[index].declared = Some(declaration);
        self.keep_account(index);
    }

    /// Reports counters that are read and that no probe declares, unless a probe that may do so has a
    /// mistake.
    pub(super) fn check_counters(&mut self) {
        if self.diags.iter().any(|d| d.severity == Severity::Error) {
            return;
        }
        let declared = |counter: &&Counter| counter.declared.is_some();
        let known: Vec<&str> = self
            .counters
            .iter()
            .filter(|(_, counter)| declared(counter))
            .map(|(name, _)| name.as_str())
            .collect();
        let mut unknown = Vec::new();
        for (name, counter) in &self.counters {
            let (None, Some(read)) = (&counter.declared, counter.read) else {
                continue;
            };
            unknown.push(
                Diagnostic::error(
                    codes::UNKNOWN_COUNTER,
                    format!("there is no performance counter '{name}'"),
                )
                .label(read, "no probe declares it")
                .help_if(did_you_mean(name, known.iter().copied()))
                .help(format!(
                    "declare it: probe perf.sw.page_faults.process(\"PATH\").counter(\"{name}\") {{ }}"
                )),
            );
        }
        self.diags.extend(unknown);
    }

    /// The number of a counter.
    fn counter(&mut self, name: &str) -> usize {
        let entry = self.counters.entry(name.to_owned());
        let number = entry.index();
        entry.or_default();
        number
    }

    /// Makes the probes that keep account of a counter which is declared and read.
    fn keep_account(&mut self, number: usize) {
        let counter = &mut self.counters[number];
        let (Some(declared), Some(_), false) = (&counter.declared, counter.read, counter.kept)
        else {
            return;
        };
        let condition = declared.condition.as_deref();
        let whose = condition.unwrap_or("1");
        // The switch is counted for who leaves, but after the tracepoint.
        let pending = i64::from(declared.event == CONTEXT_SWITCHES);
        let mut text = format!(
            "probe kernel.trace(\"sched_switch\") {{ _perf_leave({number}, {whose}, {pending}) }}\n\
             probe kernel.trace(\"sched_process_free\") !, kernel.trace(\"sched_process_exit\") {{ _perf_forget({number}, $p) }}\n"
        );
        if let Some(condition) = condition {
            text += &format!(
                "probe kernel.trace(\"sched_process_exec\") {{ if ({condition}) _perf_begin({number}) }}\n"
            );
        }
        let at = declared.at;
        counter.kept = true;
        let id = self.files.add("the counter's account", text, true);
        let (file, diags) = self.loader.parse(self.files, id);
        self.diags.extend(diags);
        self.blame(Span::new(id, 0, u32::MAX), at);
        self.register(file);
    }
}
