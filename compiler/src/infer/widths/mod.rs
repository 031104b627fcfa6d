//! `infer_widths`: the most bytes each string can have, and which strings are late.
//!
//! Widths are joined over all producers of a place (variable, key, element, parameter,
//! result) until nothing grows any more; what grows for too long, as in `s = s . "x"`, gets
//! the greatest width. `late` decides which places and expressions carry their raw form.
//! For a late one the width is that of its record less one, so that
//! `image::width_bytes` is the record's size.

mod caps;
mod copies;
mod initial;
mod keys;
mod late;
mod versions;
mod wrap;

use cranelift_entity::PrimaryMap;
use rtap_grammar::diag::Diagnostics;
use rtap_grammar::source::Span;

use crate::hir::{FuncId, Function, Global, Local, LocalData, Program};
use crate::image::Point;
use crate::target::Target;
use copies::Copies;
use late::LateSet;
use rustc_hash::FxHashSet;

/// Walks after which what still grows gets the greatest width.
const WALKS: usize = 12;

/// Late records larger than this are not worth it. Bytes.
const MAX_LATE_BYTES: u32 = 2048;

/// Elements of a map for one of the script, where user space merges them.
const FORMS: u32 = 16;

/// Infers all string widths of `program`, whose types are known, for a kernel. Finds keys that it will cut.
pub fn infer_widths(program: &mut Program, target: &dyn Target, found: &mut Diagnostics) {
    let max = program.limits.max_string_len.saturating_sub(1).max(1);
    let mut too_large = Vec::new();
    let mut copies = Copies::default();
    let mut divided = FxHashSet::default();
    loop {
        let mut late = decide(program, &too_large, &mut copies);
        if divide(program, late.not_late(), &mut divided) {
            too_large.clear();
            continue;
        }
        program.characters = late.take_needs();
        let mut cx = Cx::new(program, max, late);
        cx.run(program);
        let mut more = cx.too_large();
        if more.is_empty() {
            more = keys::too_large(program, &mut cx, target);
        }
        if more.is_empty() {
            if initial::assign_late(program, &cx.late) {
                continue;
            }
            cx.finish(program);
            keys::narrow(program, target, found);
            return;
        }
        let raw: Vec<Slot> = more
            .iter()
            .copied()
            .filter(|slot| cx.late.is_raw(*slot))
            .collect();
        if divide(program, raw, &mut divided) {
            too_large.clear();
            continue;
        }
        // What has an initial text can be characters at once, and then others may be late.
        let initial: Vec<Slot> = more
            .iter()
            .copied()
            .filter(|slot| initial::has_text(program, *slot))
            .collect();
        too_large.extend(if initial.is_empty() { more } else { initial });
    }
}

/// Makes several variables of each of these that was not divided yet. Whether there are more now.
fn divide(
    program: &mut Program,
    slots: Vec<Slot>,
    divided: &mut FxHashSet<(Span, String)>,
) -> bool {
    let mut more = false;
    for slot in slots {
        if let Slot::Local(body, local) = slot
            && let Some(data) = local_data(program, body, local)
            && divided.insert((data.span, data.name.clone()))
        {
            more |= versions::divide(program, body, local);
        }
    }
    more
}

fn local_data(program: &Program, body: u32, local: Local) -> Option<&LocalData> {
    let (overloads, first_probe) = number_bodies(program);
    let number = body as usize;
    match overloads.get(number) {
        Some((function, index)) => program.functions[*function].overloads[*index]
            .locals
            .get(local),
        None => program.probes.get(number - first_probe)?.locals.get(local),
    }
}

/// Decides which places are late, copying functions whose calls want different things of them.
fn decide(program: &mut Program, too_large: &[Slot], copies: &mut Copies) -> LateSet {
    loop {
        let late = late::decide(program, too_large);
        if !copies.split(program, late.torn()) {
            return if copies.merge(program, &late) {
                late::decide(program, too_large)
            } else {
                late
            };
        }
    }
}

/// A place that holds strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Slot {
    /// Local of a body, by the body's number.
    Local(u32, Local),
    Value(Global),
    Key(Global, usize),
    Param(FuncId, usize),
    Ret(FuncId),
}

/// Widths of a global's keys and value, and how many buckets its histograms have.
struct GlobalCaps {
    keys: Vec<u32>,
    value: u32,
    buckets: Vec<u32>,
}

/// Widths of a function's parameters and result.
struct FunctionCaps {
    params: Vec<u32>,
    ret: u32,
}

/// State of the inference.
struct Cx {
    max: u32,
    globals: PrimaryMap<Global, GlobalCaps>,
    functions: PrimaryMap<FuncId, FunctionCaps>,
    /// For each body, for each local.
    locals: Vec<Vec<u32>>,
    late: LateSet,
    /// The body that is walked.
    body: u32,
    function: Option<FuncId>,
    /// Longest texts of the probes' points: full, function, module.
    point_texts: (u32, u32, u32),
    changed: bool,
    /// Widths no longer grow step by step but jump to the greatest.
    widen: bool,
}

fn longest_texts<'p>(points: impl Iterator<Item = &'p Point>, max: u32) -> (u32, u32, u32) {
    let longer = |known: u32, text: &str| known.max(text.len() as u32).min(max);
    points.fold((0, 0, 0), |(full, function, module), point| {
        (
            longer(full, &point.text),
            longer(function, &point.function),
            longer(module, &point.module),
        )
    })
}

/// Numbers of bodies: functions' overloads in order, then probes.
pub(super) fn number_bodies(program: &Program) -> (Vec<(FuncId, usize)>, usize) {
    let overloads: Vec<(FuncId, usize)> = program
        .functions
        .iter()
        .flat_map(|(id, function)| (0..function.overloads.len()).map(move |index| (id, index)))
        .collect();
    let first_probe = overloads.len();
    (overloads, first_probe)
}

impl Cx {
    fn new(program: &Program, max: u32, late: LateSet) -> Self {
        let init = |text: &Option<crate::hir::Literal>| match text {
            Some(crate::hir::Literal::Str(s)) => (s.len() as u32).min(max),
            _ => 0,
        };
        let globals = program.globals.values().map(|global| GlobalCaps {
            keys: vec![0; global.keys.len()],
            value: init(&global.init),
            buckets: global
                .stat
                .histograms
                .iter()
                .map(|histogram| histogram.buckets() as u32)
                .collect(),
        });
        let functions = program.functions.values().map(|function| FunctionCaps {
            params: vec![0; function.params.len()],
            ret: 0,
        });
        let bodies = program.functions.values().flat_map(|f| &f.overloads);
        let mut locals: Vec<Vec<u32>> = bodies.map(|body| vec![0; body.locals.len()]).collect();
        locals.extend(
            program
                .probes
                .iter()
                .map(|probe| vec![0; probe.locals.len()]),
        );
        Cx {
            max,
            globals: globals.collect(),
            functions: functions.collect(),
            locals,
            late,
            body: 0,
            function: None,
            point_texts: longest_texts(program.probes.iter().flat_map(|probe| &probe.points), max),
            changed: false,
            widen: false,
        }
    }

    /// Walks until nothing grows.
    fn run(&mut self, program: &mut Program) {
        for walk in 0.. {
            self.changed = false;
            self.widen = walk >= WALKS;
            self.walk(program);
            if !self.changed {
                break;
            }
        }
    }

    fn walk(&mut self, program: &mut Program) {
        let mut functions = std::mem::take(&mut program.functions);
        let mut number = 0;
        for (id, function) in &mut functions {
            let Function {
                overloads, params, ..
            } = function;
            for body in overloads {
                self.body = number;
                self.function = Some(id);
                for index in 0..params.len() {
                    let cap = self.cap(Slot::Param(id, index));
                    self.raise(Slot::Local(number, Local::from_u32(index as u32)), cap);
                }
                self.stmts(&mut body.stmts);
                // A parameter that is assigned has to hold that, too.
                number += 1;
            }
        }
        program.functions = functions;
        self.function = None;
        for probe in &mut program.probes {
            self.body = number;
            for variant in &mut probe.variants {
                for condition in &mut variant.conditions {
                    self.expr(condition);
                }
                self.stmts(&mut variant.prologue);
            }
            self.stmts(&mut probe.stmts);
            for variant in &mut probe.variants {
                self.stmts(&mut variant.epilogue);
            }
            number += 1;
        }
    }

    fn slot(&mut self, slot: Slot) -> &mut u32 {
        match slot {
            Slot::Local(body, local) => &mut self.locals[body as usize][local.as_u32() as usize],
            Slot::Value(global) => &mut self.globals[global].value,
            Slot::Key(global, index) => &mut self.globals[global].keys[index],
            Slot::Param(function, index) => &mut self.functions[function].params[index],
            Slot::Ret(function) => &mut self.functions[function].ret,
        }
    }

    fn cap(&mut self, slot: Slot) -> u32 {
        *self.slot(slot)
    }

    /// A place gets a string of at most `cap` bytes.
    fn raise(&mut self, slot: Slot, cap: u32) {
        let (widen, max, late) = (self.widen, self.max, self.late.place(slot));
        let most = if late { MAX_LATE_BYTES } else { max };
        let cap = cap.min(most);
        let place = self.slot(slot);
        if cap > *place {
            *place = if widen { most } else { cap };
            self.changed = true;
        }
    }

    /// Late places whose records became too large.
    fn too_large(&mut self) -> Vec<Slot> {
        let late: Vec<Slot> = self.late.places().collect();
        late.into_iter()
            .filter(|slot| self.cap(*slot) >= MAX_LATE_BYTES)
            .collect()
    }

    /// Writes the widths into the tree and wraps what goes to late places.
    fn finish(mut self, program: &mut Program) {
        for (id, global) in &mut program.globals {
            for index in 0..global.keys.len() {
                global.key_caps[index] = self.result(Slot::Key(id, index));
            }
            global.value_cap = self.result(Slot::Value(id));
            global.forms = if self.late.merged(id) { FORMS } else { 1 };
        }
        let mut number = 0;
        for (id, function) in &mut program.functions {
            for index in 0..function.params.len() {
                function.param_caps[index] = self.result(Slot::Param(id, index));
            }
            function.ret_cap = self.result(Slot::Ret(id));
            for body in &mut function.overloads {
                for (local, data) in &mut body.locals {
                    data.cap = self.result(Slot::Local(number, local));
                }
                number += 1;
            }
        }
        for probe in &mut program.probes {
            for (local, data) in &mut probe.locals {
                data.cap = self.result(Slot::Local(number, local));
            }
            number += 1;
        }
        wrap::wrap(program);
    }

    fn result(&mut self, slot: Slot) -> (u32, bool) {
        (self.cap(slot), self.late.place(slot))
    }
}
