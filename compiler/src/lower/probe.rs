//! Handlers: which point fired, conditions, prologue, body, epilogue.
//!
//! A probe's points share its body. What differs between them are its variants (prologues
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
use crate::lir::builder::{Builder, Variable};
use crate::lir::*;

/// Lowers a probe to a handler and its function.
pub(super) fn lower(
    program: &Program,
    files: &Files,
    needs: &Needs,
    tables: &mut Tables,
    number: usize,
    probe: &Probe,
) {
    let points_before: usize = tables
        .module
        .handlers
        .values()
        .map(|h| h.points.len())
        .sum();
    let name = format!("probe_{number}");
    let builder = Builder::new(name, Vec::new(), None, probe.span, tables.empty);
    let mut l = Lower {
        program,
        files,
        needs,
        tables,
        builder,
        spec: Spec {
            exec: Some(probe.exec),
            context: Some(probe.context),
            syscall: probe.syscall,
        },
        locals: SecondaryMap::new(),
        scopes: Vec::new(),
        leave: Leave::Handler,
        point: Point::Unused,
        selected: None,
        constants: FxHashMap::default(),
        constant_texts: FxHashMap::default(),
    };
    l.declare(&probe.locals);
    l.probe(probe, points_before as i64);
    let function = l.builder.finish();
    let func = tables.module.functions.push(function);
    tables.module.handlers.push(Handler {
        name: probe.name.clone(),
        func,
        exec: probe.exec,
        context: probe.context,
        early: probe.early,
        points: probe.points.clone(),
    });
}

impl Lower<'_> {
    fn probe(&mut self, probe: &Probe, first_point: i64) {
        let asks = self.needs.probe_point(probe);
        self.point = match probe.points.len() {
            _ if !asks => Point::Unused,
            0 | 1 => Point::Known(first_point),
            _ if probe.selector.is_some() => Point::Variable(self.builder.variable(Ty::I64)),
            _ => Point::Env(first_point),
        };
        // Each variant has a block where its part begins; which one it was is remembered in a
        // variable for the way out, if there is anything to do then.
        let entries: Vec<Block> = probe
            .variants
            .iter()
            .map(|_| self.builder.new_block())
            .collect();
        let has_epilogues = probe.variants.iter().any(|v| !v.epilogue.is_empty());
        let which = has_epilogues.then(|| self.builder.variable(Ty::I64));
        self.choose_variant(probe, &entries, first_point);
        let body = self.builder.new_block();
        for (i, (variant, entry)) in probe.variants.iter().zip(&entries).enumerate() {
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
    fn choose_variant(&mut self, probe: &Probe, entries: &[Block], first_point: i64) {
        let span = probe.span;
        // Points that no variant names belong to the first one.
        let mut variant_of = vec![0; probe.points.len()];
        for (i, variant) in probe.variants.iter().enumerate() {
            for point in &variant.points {
                if let Some(of) = variant_of.get_mut(*point as usize) {
                    *of = i;
                }
            }
        }
        if let Some(selector) = &probe.selector {
            match self.value(selector) {
                Ok(value) => {
                    self.selected = Some(value);
                    self.select_point(probe, value, &variant_of, entries, first_point);
                }
                Err(fault) => self.give_up(fault),
            }
            return;
        }
        match entries {
            [] => self.return_nothing(span),
            [only] => self.builder.jump(*only, span),
            [..] => {
                let point = self.builder.value(Op::Env(Env::Point), Ty::I64, span);
                let cases = variant_of.iter().enumerate().skip(1);
                let cases = cases.map(|(i, variant)| (i as i64, entries[*variant]));
                let default = entries[variant_of.first().copied().unwrap_or(0)];
                self.switch(point, cases.collect(), default, span);
            }
        }
    }

    /// Finds the point by the selector's value; there may be none.
    fn select_point(
        &mut self,
        probe: &Probe,
        value: Value,
        variant_of: &[usize],
        entries: &[Block],
        first_point: i64,
    ) {
        let span = probe.span;
        let nothing = self.builder.new_block();
        let mut cases = IndexMap::new();
        let mut marks = Vec::new();
        for (i, point) in probe.points.iter().enumerate() {
            let Some(number) = point.selector else {
                continue;
            };
            let entry = entries[variant_of[i]];
            let target = match self.point {
                Point::Variable(variable) if !cases.contains_key(&number) => {
                    let mark = self.builder.new_block();
                    marks.push((mark, variable, first_point + i as i64, entry));
                    mark
                }
                _ => entry,
            };
            cases.entry(number).or_insert(target);
        }
        self.switch(value, cases.into_iter().collect(), nothing, span);
        for (mark, variable, number, entry) in marks {
            self.builder.seal(mark);
            self.builder.switch_to(mark);
            let number = self.const_int(number, span);
            self.builder.write(variable, number);
            self.builder.jump(entry, span);
        }
        self.builder.seal(nothing);
        self.builder.switch_to(nothing);
        self.return_nothing(span);
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
