//! From a probe's expanded points to HIR probes: points that can share a program become one
//! probe, with a variant for each different prologue, epilogue or condition.

use std::fmt::Write as _;
use std::rc::Rc;

use indexmap::IndexMap;
use rtap_grammar::ast::{self, Visitor as _};
use rtap_grammar::source::Span;

use super::Cx;
use super::live::live_names;
use super::mentions::Mentions;
use super::points::{Expanded, Layer};
use super::prune::Held;
use super::scope::Scope;
use crate::hir::visit::{Visit, walk_expr};
use crate::hir::{Expr, ExprKind, Probe, Stmt, Variant};
use crate::image::{Attach, Point};
use crate::probes::Candidate;

/// What the code behind the prologues wants of them.
struct Body<'m> {
    mentions: &'m Mentions,
    /// How many points the probe has.
    points: usize,
}

impl Cx<'_> {
    /// Resolves a probe of the script or of a tapset.
    pub(super) fn probe(&mut self, probe: &Rc<ast::Probe>) {
        let mut body = Mentions::default();
        body.block(&probe.body);
        self.reads_registers = self.needs_registers(&body);
        let mut expanded = self.expand(&probe.points);
        for point in &mut expanded {
            self.declare_counter(&mut point.candidate, probe.span);
        }
        // What the body assigns before it reads it is its own.
        body.names = live_names(&probe.body);
        let several = expanded.len() > 1;
        let mut groups: IndexMap<String, Vec<Expanded>> = IndexMap::new();
        for (index, point) in expanded.into_iter().enumerate() {
            let key = match &point.candidate.share {
                None => format!("#{index}"),
                Some(share) if body.context || point.mentions_context() => {
                    format!("{share}/{}", point.candidate.vars.identity())
                }
                Some(share) => share.clone(),
            };
            groups.entry(key).or_default().push(point);
        }
        if groups.is_empty() {
            // The points failed; the body may have mistakes of its own, but without a context
            // nothing can be said of its `$x`.
            if !body.context {
                self.scope = Scope::new(probe.span.file, None);
                let (_, diags) = self.capture(|cx| cx.stmts(&probe.body.stmts));
                if self.diags.is_empty() {
                    self.diags.extend(diags);
                }
            }
            return;
        }
        let mut reported = false;
        for (_, points) in groups {
            // A mistake in the body would show once for each group.
            let ((), diags) = self.capture(|cx| cx.group(probe, points, &body, several));
            let errors = diags
                .iter()
                .any(|d| d.severity == rtap_grammar::diag::Severity::Error);
            if !reported || !errors {
                self.diags.extend(
                    diags
                        .into_iter()
                        .filter(|d| !reported || d.span().is_none()),
                );
            }
            reported |= errors;
        }
    }

    /// One HIR probe for points that share a program; the probe may have others besides (`several`).
    fn group(&mut self, probe: &ast::Probe, points: Vec<Expanded>, body: &Mentions, several: bool) {
        let Some(first) = points.first().map(|point| point.candidate.clone()) else {
            return;
        };
        self.scope = Scope::new(probe.span.file, None);
        self.scope.writes.clone_from(&body.writes);
        let number = self.program.probes.len();
        let body = &Body {
            mentions: body,
            points: points.len(),
        };
        // Points of the same variant, by what it consists of.
        let mut variants: IndexMap<String, (Variant, usize)> = IndexMap::new();
        for (index, point) in points.iter().enumerate() {
            let key = self.variant_key(point, body);
            if let Some((variant, _)) = variants.get_mut(&key) {
                variant.points.push(index as u32);
                continue;
            }
            self.scope.vars = Some(Rc::clone(&point.candidate.vars));
            let mut variant = Variant {
                points: vec![index as u32],
                ..Variant::default()
            };
            if let Some(text) = &point.candidate.condition {
                variant
                    .conditions
                    .extend(self.point_condition(text, probe.span));
            }
            for condition in &point.conditions {
                self.scope.file = condition.span.file;
                let condition = self.expr(condition);
                variant.conditions.push(condition);
            }
            for layer in point.layers.iter().rev() {
                self.prologue(
                    layer,
                    point,
                    body,
                    (number, variants.len()),
                    &mut variant.prologue,
                );
            }
            variants.insert(key, (variant, index));
        }
        self.scope.vars = Some(Rc::clone(&first.vars));
        self.scope.point = several.then(|| first.text.clone());
        self.scope.file = probe.span.file;
        let selector = first.vars.selector(self, probe.span);
        let stmts = self.stmts(&probe.body.stmts);
        for (variant, index) in variants.values_mut() {
            let point = &points[*index];
            self.scope.vars = Some(Rc::clone(&point.candidate.vars));
            for layer in &point.layers {
                if let Layer::Alias(alias) = layer
                    && let Some(block) = &alias.epilogue
                {
                    self.scope.file = alias.span.file;
                    let more = self.stmts(&block.stmts);
                    variant.epilogue.extend(more);
                }
            }
        }
        self.scope.file = probe.span.file;
        self.warn_never_assigned();
        let name = self.probe_name(probe);
        let scope = std::mem::take(&mut self.scope);
        let candidates: Vec<Candidate> =
            points.iter().map(|point| point.candidate.clone()).collect();
        let variants: Vec<Variant> = variants.into_values().map(|(variant, _)| variant).collect();
        let save = uses_entry(&variants, &stmts);
        let points = points.into_iter().map(|point| Point {
            text: point.candidate.text,
            function: point.candidate.function,
            module: point.candidate.module,
            attach: save_entry(point.candidate.attach, save),
            selector: point.candidate.selector,
            optional: point.optional,
        });
        self.program.probes.push(Probe {
            name,
            span: probe.points.first().map_or(probe.span, |point| point.span),
            exec: first.exec,
            context: first.context,
            syscall: first.vars.is_syscall(),
            early: self.is_library(probe.span.file),
            points: points.collect(),
            selector,
            locals: scope.locals,
            variants,
            stmts,
        });
        self.add_entry(number, &candidates, &scope.snapshots, probe.span.file);
    }

    /// What a point's variant consists of: equal texts mean equal code.
    fn variant_key(&self, point: &Expanded, body: &Body<'_>) -> String {
        let mut key = String::new();
        let mut context = false;
        for layer in &point.layers {
            match layer {
                Layer::Alias(alias) => _ = write!(key, "{:p};", Rc::as_ptr(alias)),
                Layer::Syscall(call) => {
                    key.push_str(&call.prologue(&self.wanted(point, body.mentions), body.points));
                    key.push(';');
                }
            }
        }
        if let Some(condition) = &point.candidate.condition {
            key.push_str(condition);
            key.push(';');
        }
        for condition in &point.conditions {
            _ = write!(key, "{:?};", condition.span);
            context = true;
        }
        if context || point.mentions_context() {
            key.push_str(&point.candidate.vars.identity());
        }
        key
    }

    /// The condition that a probe kind puts on a point.
    fn point_condition(&mut self, text: &str, user: Span) -> Option<Expr> {
        let text = format!("probe never if ({text}) {{}}\n");
        let id = self.files.add("the probe point's condition", text, true);
        let (file, diags) = self.loader.parse(self.files, id);
        self.diags.extend(diags);
        let condition = file.items.into_iter().find_map(|item| match item {
            ast::Item::Probe(probe) => probe.points.into_iter().next()?.condition,
            _ => None,
        })?;
        self.blame(condition.span, user);
        self.scope.file = id;
        Some(self.expr(&condition))
    }

    fn prologue(
        &mut self,
        layer: &Layer,
        point: &Expanded,
        body: &Body<'_>,
        place: (usize, usize),
        out: &mut Vec<Stmt>,
    ) {
        match layer {
            Layer::Alias(alias) => {
                let Some(block) = &alias.prologue else { return };
                self.scope.file = alias.span.file;
                self.held_stmts(&block.stmts, place, out);
            }
            Layer::Syscall(call) => {
                self.scope.offered.extend(call.provided());
                let text = call.prologue(&self.wanted(point, body.mentions), body.points);
                let Some(block) = self.syscall_prologue(&text, call) else {
                    return;
                };
                self.scope.file = block.span.file;
                self.held_stmts(&block.stmts, place, out);
            }
        }
    }

    /// Statements of a prologue. Those of tapsets may have mistakes as long as nobody needs
    /// them.
    fn held_stmts(&mut self, stmts: &[ast::Stmt], place: (usize, usize), out: &mut Vec<Stmt>) {
        for stmt in stmts {
            let (resolved, diags) = self.capture(|cx| cx.stmts(std::slice::from_ref(stmt)));
            if self.is_library(stmt.span.file) {
                if !diags.is_empty() {
                    self.held
                        .push(Held::prologue(place.0, place.1, stmt.span, diags));
                }
            } else {
                self.diags.extend(diags);
            }
            out.extend(resolved);
        }
    }

    /// Names that code after a system call's prologue mentions, the script's globals left out.
    fn wanted(&self, point: &Expanded, body: &Mentions) -> Mentions {
        let mut wanted = Mentions {
            names: body.names.clone(),
            ..Mentions::default()
        };
        for layer in &point.layers {
            if let Layer::Alias(alias) = layer {
                alias
                    .prologue
                    .iter()
                    .chain(&alias.epilogue)
                    .for_each(|block| wanted.block(block));
            }
        }
        for global in self.symbols.script_globals() {
            wanted.names.remove(global);
        }
        wanted
    }

    /// The probe as it is written, on one line.
    fn probe_name(&self, probe: &ast::Probe) -> String {
        let text = |span: Span| {
            let words: Vec<&str> = self.files.slice(span).split_whitespace().collect();
            words.join(" ")
        };
        probe
            .points
            .iter()
            .map(|point| text(point.span))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Expanded {
    /// Whether aliases or conditions on the way mention the context.
    fn mentions_context(&self) -> bool {
        let mut mentions = Mentions::default();
        for layer in &self.layers {
            if let Layer::Alias(alias) = layer {
                alias
                    .prologue
                    .iter()
                    .chain(&alias.epilogue)
                    .for_each(|block| mentions.block(block));
            }
        }
        self.conditions
            .iter()
            .for_each(|condition| mentions.expr(condition));
        mentions.context
    }
}

/// Whether code reads arguments that have to be saved at the function's entry.
fn uses_entry(variants: &[Variant], stmts: &[Stmt]) -> bool {
    struct Uses(bool);
    impl Visit for Uses {
        fn expr(&mut self, expr: &Expr) {
            self.0 |= matches!(expr.kind, ExprKind::EntryArg(_));
            walk_expr(self, expr);
        }
    }
    let mut uses = Uses(false);
    uses.stmts(stmts);
    for variant in variants {
        for condition in &variant.conditions {
            uses.expr(condition);
        }
        uses.stmts(&variant.prologue);
        uses.stmts(&variant.epilogue);
    }
    uses.0
}

/// Has a return probe's arguments saved at the entry.
fn save_entry(mut attach: Attach, save: bool) -> Attach {
    if let Attach::Kretprobe { save_entry, .. } | Attach::Uretprobe { save_entry, .. } = &mut attach
    {
        *save_entry = save;
    }
    attach
}
