//! Handlers: which point fired, conditions, prologue, body, epilogue.
//!
//! A probe's points share its body. Probes of different system calls share a handler, which goes to the body of one. What differs between them are its variants (prologues
//! and epilogues of aliases, conditions). With several variants, the handler switches to the
//! variant's part before the body and once more after it.

use cranelift_entity::SecondaryMap;
use indexmap::IndexMap;
use rtap_grammar::source::{Files, Span};
use rustc_hash::FxHashMap;

use super::needs::Needs;
use super::tables::Tables;
use super::{Fault, Leave, Lower, Point, Spec};
use crate::hir::{Probe, Program, Variant};
use crate::image::MOST_POINTS_APART;
use crate::lir::builder::{Builder, Variable};
use crate::lir::*;

/// Probes of a handler that its name names.
const MOST_NAMES: usize = 3;

/// Lowers probes that become one handler: one probe, or several of which only one can run (`together`).
pub(super) fn lower(
    program: &Program,
    files: &Files,
    needs: &Needs,
    tables: &mut Tables,
    group: &[usize],
) {
    let probes: Vec<&Probe> = group.iter().map(|at| &program.probes[*at]).collect();
    let (Some(&number), Some(&first)) = (group.first(), probes.first()) else {
        return;
    };
    let handlers = tables.module.handlers.values();
    let points_before: usize = handlers.map(|handler| handler.points.len()).sum();
    let name = format!("probe_{number}");
    let builder = Builder::new(name, Vec::new(), None, first.span, tables.empty);
    let mut l = Lower {
        program,
        files,
        needs,
        tables,
        builder,
        spec: Spec {
            exec: Some(first.exec),
            context: Some(first.context),
            syscall: first.syscall,
        },
        locals: SecondaryMap::new(),
        scopes: Vec::new(),
        leave: Leave::Handler,
        point: Point::Unused,
        selected: None,
        caller: None,
        constants: FxHashMap::default(),
        constant_texts: FxHashMap::default(),
    };
    l.probes(&probes, points_before as i64);
    let function = l.builder.finish();
    let func = tables.module.functions.push(function);
    let points = probes.iter().flat_map(|probe| &probe.points);
    tables.module.handlers.push(Handler {
        name: name_of(&probes),
        func,
        exec: first.exec,
        context: first.context,
        early: first.early,
        points: points.cloned().collect(),
    });
}

/// What a handler is called that is of these probes.
fn name_of(probes: &[&Probe]) -> String {
    let shown = probes.iter().take(MOST_NAMES);
    let mut names: Vec<&str> = shown.map(|probe| probe.name.as_str()).collect();
    if probes.len() > MOST_NAMES {
        names.push("…");
    }
    names.join(", ")
}

/// One of a handler's probes.
struct Part<'a> {
    probe: &'a Probe,
    /// The program-wide number of its first point.
    first_point: i64,
    /// Its number in the handler.
    first_in_handler: i64,
    /// How its point is known.
    point: Point,
    /// Where its variants begin.
    entries: Vec<Block>,
    /// The entry of each point.
    entry_of: Vec<Block>,
}

impl Lower<'_> {
    fn probes(&mut self, probes: &[&Probe], first_point: i64) {
        let is_alone = probes.len() == 1;
        let mut parts = Vec::with_capacity(probes.len());
        let mut in_handler = 0;
        for probe in probes {
            parts.push(self.part(probe, first_point + in_handler, in_handler));
            in_handler += probe.points.len() as i64;
        }
        self.choose_part(&parts);
        for part in &parts {
            if !is_alone {
                let near = match &part.probe.points[..] {
                    [only] => &only.text,
                    _ => &part.probe.name,
                };
                self.caller = Some(self.tables.site(Site {
                    kind: ErrorKind::Probe,
                    near: near.clone(),
                    position: self.files.describe(part.probe.span),
                    caller: None,
                }));
            }
            self.declare(&part.probe.locals);
            self.point = part.point;
            self.probe(part);
        }
    }

    fn part<'a>(&mut self, probe: &'a Probe, first_point: i64, first_in_handler: i64) -> Part<'a> {
        let point = match probe.points.len() {
            _ if !self.needs.probe_point(probe) => Point::Unused,
            0 | 1 => Point::Known(first_point),
            _ if probe.selector.is_some() => Point::Variable(self.builder.variable(Ty::I64)),
            _ => Point::Env(first_point),
        };
        // Each variant has a block where its part begins.
        let variants = probe.variants.iter();
        let entries: Vec<Block> = variants.map(|_| self.builder.new_block()).collect();
        // Points that no variant names belong to the first one.
        let mut entry_of = vec![entries[0]; probe.points.len()];
        for (variant, entry) in probe.variants.iter().zip(&entries) {
            for point in &variant.points {
                if let Some(of) = entry_of.get_mut(*point as usize) {
                    *of = *entry;
                }
            }
        }
        Part {
            probe,
            first_point,
            first_in_handler,
            point,
            entries,
            entry_of,
        }
    }

    fn probe(&mut self, part: &Part<'_>) {
        let Part { probe, entries, .. } = part;
        // Which variant it was is remembered for the way out, if there is anything to do then.
        let has_epilogues = probe.variants.iter().any(|v| !v.epilogue.is_empty());
        let which = has_epilogues.then(|| self.builder.variable(Ty::I64));
        let body = self.builder.new_block();
        for (i, (variant, entry)) in probe.variants.iter().zip(entries).enumerate() {
            self.builder.seal(*entry);
            self.builder.switch_to(*entry);
            self.before_body(variant, i, which, probe.span);
            if !self.builder.is_terminated() {
                self.builder.jump(body, probe.span);
            }
        }
        self.builder.seal(body);
        self.builder.switch_to(body);
        self.stmts(&probe.stmts);
        if let (Some(which), false) = (which, self.builder.is_terminated()) {
            self.after_body(probe, which);
        }
        if !self.builder.is_terminated() {
            self.return_nothing(probe.span);
        }
    }

    /// Goes to the entry of the variant that the point which fired belongs to.
    fn choose_part(&mut self, parts: &[Part<'_>]) {
        let [first, ..] = parts else { return };
        let span = first.probe.span;
        if let Some(selector) = &first.probe.selector {
            match self.value(selector) {
                Ok(value) => {
                    self.selected = Some(value);
                    self.select_point(parts, value, span);
                }
                Err(fault) => self.give_up(fault),
            }
            return;
        }
        if self.measures(first.probe) {
            let point = match first.probe.points.len() {
                0 | 1 => self.const_int(0, span),
                many if many > MOST_POINTS_APART => self.const_int(0, span),
                _ => self.int(Op::Env(Env::Point), span),
            };
            self.effect(Op::Hit(point), span);
        }
        if let [only] = first.entries[..] {
            self.builder.jump(only, span);
            return;
        }
        let point = self.builder.value(Op::Env(Env::Point), Ty::I64, span);
        let default = first.entry_of.first().unwrap_or(&first.entries[0]);
        let cases = first.entry_of.iter().enumerate().skip(1);
        let cases = cases.map(|(i, entry)| (i as i64, *entry));
        self.switch(point, cases.collect(), *default, span);
    }

    /// Finds the point by the selector's value; there may be none.
    fn select_point(&mut self, parts: &[Part<'_>], value: Value, span: Span) {
        let nothing = self.builder.new_block();
        let mut cases = IndexMap::new();
        let mut marks = Vec::new();
        for part in parts {
            let is_measured = self.measures(part.probe);
            for (i, (point, entry)) in part.probe.points.iter().zip(&part.entry_of).enumerate() {
                let Some(number) = point.selector else {
                    continue;
                };
                let variable = match part.point {
                    Point::Variable(variable) => Some(variable),
                    _ => None,
                };
                let target = if (is_measured || variable.is_some()) && !cases.contains_key(&number)
                {
                    let mark = self.builder.new_block();
                    marks.push((mark, variable, part, i as i64, *entry));
                    mark
                } else {
                    *entry
                };
                cases.entry(number).or_insert(target);
            }
        }
        let points: usize = parts.iter().map(|part| part.probe.points.len()).sum();
        self.switch(value, cases.into_iter().collect(), nothing, span);
        for (mark, variable, part, i, entry) in marks {
            self.builder.seal(mark);
            self.builder.switch_to(mark);
            if self.measures(part.probe) {
                let is_apart = points <= MOST_POINTS_APART;
                let point = self.const_int(
                    if is_apart {
                        part.first_in_handler + i
                    } else {
                        0
                    },
                    span,
                );
                self.effect(Op::Hit(point), span);
            }
            if let Some(variable) = variable {
                let number = self.const_int(part.first_point + i, span);
                self.builder.write(variable, number);
            }
            self.builder.jump(entry, span);
        }
        self.builder.seal(nothing);
        self.builder.switch_to(nothing);
        self.return_nothing(span);
    }

    /// Whether a probe's runs are measured.
    fn measures(&self, probe: &Probe) -> bool {
        self.tables.is_measured && probe.exec == Exec::Kernel
    }

    /// Notes a fault; what follows is not reached.
    fn give_up(&mut self, fault: Fault) {
        self.builder.terminate(Terminator::Unreachable, fault.span);
        self.tables.faults.push(fault);
    }

    fn switch(&mut self, value: Value, cases: Vec<(i64, Block)>, default: Block, span: Span) {
        let to = |block| BlockCall {
            block,
            args: Vec::new(),
        };
        let term = Terminator::Switch {
            value,
            cases: cases.into_iter().map(|(n, b)| (n, to(b))).collect(),
            default: to(default),
        };
        self.builder.terminate(term, span);
    }

    /// Conditions and prologue.
    fn before_body(&mut self, variant: &Variant, i: usize, which: Option<Variable>, span: Span) {
        for condition in &variant.conditions {
            let (yes, no) = (self.builder.new_block(), self.builder.new_block());
            if let Err(fault) = self.condition(condition, yes, no) {
                self.give_up(fault);
            }
            self.builder.seal(no);
            self.builder.switch_to(no);
            self.return_nothing(condition.span);
            self.builder.seal(yes);
            self.builder.switch_to(yes);
        }
        if let Some(which) = which {
            let number = self.const_int(i as i64, span);
            self.builder.write(which, number);
        }
        self.stmts(&variant.prologue);
    }

    /// Epilogues.
    fn after_body(&mut self, probe: &Probe, which: Variable) {
        let span = probe.span;
        let end = self.builder.new_block();
        let mut cases = Vec::new();
        let mut parts = Vec::new();
        for (i, variant) in probe.variants.iter().enumerate() {
            if !variant.epilogue.is_empty() {
                let block = self.builder.new_block();
                cases.push((i as i64, block));
                parts.push((block, variant));
            }
        }
        let which = self.builder.read(which);
        self.switch(which, cases, end, span);
        for (block, variant) in parts {
            self.builder.seal(block);
            self.builder.switch_to(block);
            self.stmts(&variant.epilogue);
            if !self.builder.is_terminated() {
                self.builder.jump(end, span);
            }
        }
        self.builder.seal(end);
        self.builder.switch_to(end);
    }

    /// The program-wide number of the point that fired.
    pub(super) fn point_number(&mut self, span: Span) -> Value {
        match self.point {
            Point::Unused => self.const_int(0, span),
            Point::Known(number) => self.const_int(number, span),
            Point::Variable(variable) => self.builder.read(variable),
            Point::Env(first) => {
                let index = self.int(Op::Env(Env::Point), span);
                if first == 0 {
                    return index;
                }
                let first = self.const_int(first, span);
                self.int(Op::Bin(BinOp::Add, index, first), span)
            }
        }
    }
}
