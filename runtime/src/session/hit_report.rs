//! The table of `-t`, probe by probe in the order of the script: what was measured here and in the kernel, put together.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use rtap_compiler::image::{Meta, Program, ProgramCounter};
use rtap_compiler::lir::{Exec, Handler, HandlerId};

use super::Session;
use super::timing::{Line, Measured, ProgramRuns, Runs, table};

impl Session<'_> {
    /// Prints the table.
    pub(super) fn report_timing(&mut self, in_kernel: &HashMap<usize, ProgramRuns>) {
        let Some(measured) = self.measured.take() else {
            return;
        };
        let mut lines = Vec::new();
        for probe in probes(self.meta) {
            let first = probe.first().map(|(_, handler)| *handler);
            if first.is_some_and(|handler| handler.exec == Exec::User) {
                for (id, handler) in probe {
                    for (index, point) in handler.points.iter().enumerate() {
                        let runs = measured.get(&(id, index as u32)).copied();
                        lines.push(Line::of(&point.text, runs.unwrap_or_default()));
                    }
                }
            } else {
                self.kernel_probe(&probe, in_kernel, &mut lines);
            }
        }
        self.sink.message(table(&lines).trim_end());
    }

    /// The lines of a probe in the kernel: one of all its points; where there are several, those that were hit, the most hit first; and
    /// that of the programs which save arguments at functions' entries.
    fn kernel_probe(
        &self,
        handlers: &[(HandlerId, &Handler)],
        in_kernel: &HashMap<usize, ProgramRuns>,
        lines: &mut Vec<Line>,
    ) {
        let own: HashMap<HandlerId, &Handler> = handlers.iter().copied().collect();
        let programs = self.meta.programs.iter().enumerate();
        let parts = programs.filter_map(|(number, program)| {
            Some(Part {
                program,
                handler: own.get(&program.handler)?,
                known: in_kernel.get(&number).cloned().unwrap_or_default(),
                skipped: self.counter(ProgramCounter::Skipped, program.counters),
            })
        });
        let (entries, bodies): (Vec<Part<'_>>, Vec<Part<'_>>) =
            parts.partition(|part| part.program.entry_half);
        let mut points = handlers.iter().flat_map(|(_, handler)| &handler.points);
        let count = points.clone().count();
        let name = match (points.next(), handlers.first()) {
            (Some(only), _) if count == 1 => only.text.clone(),
            (_, Some((_, handler))) => format!("{} ({count} points)", handler.name),
            _ => return,
        };
        lines.push(together(&name, &bodies));
        if count > 1 {
            let points = bodies.iter().flat_map(Part::points);
            let mut hit: Vec<Line> = points.filter(|line| line.runs.hits > 0).collect();
            hit.sort_by_key(|line| Reverse(line.runs.hits));
            lines.extend(hit);
        }
        if !entries.is_empty() {
            lines.push(together(&format!("{name}, at the entry"), &entries));
        }
    }
}

/// The handlers of each probe of the script: one whose points are not alike has several.
fn probes(meta: &Meta) -> Vec<Vec<(HandlerId, &Handler)>> {
    let mut probes: Vec<Vec<(HandlerId, &Handler)>> = Vec::new();
    // What the last of them is called, and its points.
    let mut name = "";
    let mut points: HashSet<&str> = HashSet::new();
    for (id, handler) in &meta.module.handlers {
        let own = || handler.points.iter().map(|point| &*point.text);
        let is_same = name == handler.name && !own().any(|text| points.contains(text));
        match probes.last_mut().filter(|_| is_same) {
            Some(probe) => probe.push((id, handler)),
            None => {
                probes.push(vec![(id, handler)]);
                points.clear();
                name = &handler.name;
            }
        }
        points.extend(own());
    }
    probes
}

/// A program of a handler.
struct Part<'a> {
    program: &'a Program,
    handler: &'a Handler,
    known: ProgramRuns,
    skipped: u64,
}

impl Part<'_> {
    /// All its runs.
    fn runs(&self) -> Runs {
        if let Some(whole) = self.known.whole {
            return whole;
        }
        let mut sum = Runs::default();
        for point in &self.known.points {
            sum += point.runs;
        }
        sum
    }

    /// A line for each of its points, if they were measured apart.
    fn points(&self) -> Vec<Line> {
        let Part {
            program,
            handler,
            known,
            ..
        } = self;
        let [only] = &program.points[..] else {
            if known.points.len() != program.points.len() {
                return Vec::new();
            }
            let points = program.points.iter().zip(&known.points);
            return points
                .map(|(point, Measured { runs, skipped })| Line {
                    name: name(handler, *point),
                    runs: *runs,
                    skipped: program.by_cookie.then_some(*skipped),
                    missed: None,
                })
                .collect();
        };
        vec![Line {
            name: name(handler, *only),
            runs: self.runs(),
            skipped: Some(self.skipped),
            missed: known.missed,
        }]
    }
}

/// What a point is called under its probe.
fn name(handler: &Handler, point: u32) -> String {
    let point = handler.points.get(point as usize);
    format!("  {}", point.map_or("?", |point| &point.text))
}

/// The line of several programs.
fn together(name: &str, parts: &[Part<'_>]) -> Line {
    let mut line = Line::of(name, Runs::default());
    for part in parts {
        line.runs += part.runs();
        line.skipped = line.skipped.map(|sum| sum + part.skipped);
        let missed = line.missed.zip(part.known.missed);
        line.missed = missed.map(|(sum, more)| sum + more);
    }
    line
}
