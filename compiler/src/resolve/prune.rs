//! Drops what nothing needs: assignments of tapsets to variables that are never read,
//! functions that no probe reaches, globals that are never mentioned. Reports what was held
//! back for code that stayed.

use cranelift_entity::{PrimaryMap, SecondaryMap};
use rtap_grammar::diag::Diagnostic;
use rtap_grammar::source::{FileId, Span};

use crate::builtins;
use crate::hir::visit::{
    Visit, VisitMut, walk_expr, walk_expr_mut, walk_probe, walk_probe_mut, walk_stmt, walk_stmt_mut,
};
use crate::hir::{
    Delete, Expr, ExprKind, FuncId, Function, Global, Local, Place, Probe, Program, StatRef, Stmt,
    StmtKind,
};

/// Diagnostics of code that may be dropped.
pub(crate) struct Held {
    place: HeldIn,
    diags: Vec<Diagnostic>,
}

enum HeldIn {
    /// A function of a tapset.
    Function(FuncId),
    /// A statement, by its place, in a prologue: numbers of the probe and the variant.
    Prologue(usize, usize, Span),
}

impl Held {
    /// For a function.
    pub(super) fn function(id: FuncId, diags: Vec<Diagnostic>) -> Self {
        Held {
            place: HeldIn::Function(id),
            diags,
        }
    }

    /// A probe has been put in before number `at`.
    pub(super) fn moved(&mut self, at: usize) {
        if let HeldIn::Prologue(probe, ..) = &mut self.place
            && *probe >= at
        {
            *probe += 1;
        }
    }

    /// For a statement of a prologue.
    pub(super) fn prologue(
        probe: usize,
        variant: usize,
        stmt: Span,
        diags: Vec<Diagnostic>,
    ) -> Self {
        Held {
            place: HeldIn::Prologue(probe, variant, stmt),
            diags,
        }
    }
}

/// Prunes `program`. The probes of `setters` set globals that others read, and do nothing else.
pub(super) fn prune(
    program: &mut Program,
    is_library: &dyn Fn(FileId) -> bool,
    setters: &[FileId],
    held: Vec<Held>,
    diags: &mut Vec<Diagnostic>,
) {
    let effects = effects(&program.functions);
    for probe in &mut program.probes {
        loop {
            let mut reads = Reads::default();
            walk_probe(&mut reads, probe);
            let mut dead = Dead {
                reads: &reads.counts,
                effects: &effects,
                is_library,
                any: false,
            };
            for variant in &mut probe.variants {
                dead.list(&mut variant.prologue);
                dead.list(&mut variant.epilogue);
            }
            if !dead.any {
                break;
            }
        }
    }
    let mut reach = Reach {
        functions: SecondaryMap::new(),
        globals: SecondaryMap::new(),
        queue: Vec::new(),
    };
    let is_setter = |probe: &Probe| setters.contains(&probe.span.file);
    for probe in program.probes.iter().filter(|probe| !is_setter(probe)) {
        walk_probe(&mut reach, probe);
    }
    while let Some(id) = reach.queue.pop() {
        for body in &program.functions[id].overloads {
            reach.stmts(&body.stmts);
        }
    }
    for probe in program.probes.iter_mut().filter(|probe| is_setter(probe)) {
        probe.stmts.retain(|stmt| match &stmt.kind {
            StmtKind::Expr(Expr {
                kind:
                    ExprKind::Assign {
                        place: Place::Global(global),
                        ..
                    },
                ..
            }) => reach.globals[*global],
            _ => true,
        });
    }
    for Held {
        place,
        diags: found,
    } in held
    {
        let stayed = match place {
            HeldIn::Function(id) => reach.functions[id],
            HeldIn::Prologue(probe, variant, span) => {
                let variant = program
                    .probes
                    .get(probe)
                    .and_then(|p| p.variants.get(variant));
                variant.is_some_and(|v| v.prologue.iter().any(|stmt| span.to(stmt.span) == span))
            }
        };
        if stayed {
            diags.extend(found);
        }
    }
    program
        .probes
        .retain(|probe| !(is_setter(probe) && probe.stmts.is_empty()));
    compact(program, &reach);
}

/// Which functions do more than compute a value.
fn effects(functions: &PrimaryMap<FuncId, Function>) -> SecondaryMap<FuncId, bool> {
    let mut effects = SecondaryMap::new();
    loop {
        let mut changed = false;
        // What is called was found after its callers, mostly: so one round does for long chains.
        for (id, function) in functions.iter().rev() {
            if effects[id] {
                continue;
            }
            let mut scan = Effects {
                functions: &effects,
                found: false,
            };
            for body in &function.overloads {
                scan.stmts(&body.stmts);
            }
            if scan.found {
                effects[id] = true;
                changed = true;
            }
        }
        if !changed {
            return effects;
        }
    }
}

/// Looks for effects beyond locals.
struct Effects<'f> {
    functions: &'f SecondaryMap<FuncId, bool>,
    found: bool,
}

impl Visit for Effects<'_> {
    fn expr(&mut self, expr: &Expr) {
        self.found |= match &expr.kind {
            ExprKind::Assign { place, .. } | ExprKind::IncDec { place, .. } => {
                !matches!(place, Place::Local(_))
            }
            ExprKind::Push(..) | ExprKind::Print(_) => true,
            ExprKind::Call(id, _) => self.functions[*id],
            ExprKind::Builtin(id, _) => !builtins::get(*id).pure,
            // Remembers sub-matches.
            ExprKind::Match(..) => true,
            _ => false,
        };
        walk_expr(self, expr);
    }

    fn stmt(&mut self, stmt: &Stmt) {
        self.found |= match &stmt.kind {
            StmtKind::Delete(what) => !matches!(what, Delete::Local(_)),
            _ => false,
        };
        walk_stmt(self, stmt);
    }
}

/// Counts how often each local is read.
#[derive(Default)]
struct Reads {
    counts: SecondaryMap<Local, u32>,
}

impl Visit for Reads {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Local(local) => self.counts[*local] += 1,
            // `x = …` is no reading, but its value may be used: then it is one.
            ExprKind::Assign {
                place: Place::Local(local),
                ..
            }
            | ExprKind::IncDec {
                place: Place::Local(local),
                ..
            } => self.counts[*local] += 1,
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn stmt(&mut self, stmt: &Stmt) {
        // The value of an assignment that is a statement is not used.
        if let StmtKind::Expr(Expr {
            kind:
                ExprKind::Assign {
                    place: Place::Local(_),
                    value,
                    ..
                },
            ..
        }) = &stmt.kind
        {
            self.expr(value);
            return;
        }
        walk_stmt(self, stmt);
    }
}

/// Removes dead statements of tapsets.
struct Dead<'d> {
    reads: &'d SecondaryMap<Local, u32>,
    effects: &'d SecondaryMap<FuncId, bool>,
    is_library: &'d dyn Fn(FileId) -> bool,
    any: bool,
}

impl Dead<'_> {
    fn list(&mut self, stmts: &mut Vec<Stmt>) {
        for stmt in stmts.iter_mut() {
            match &mut stmt.kind {
                StmtKind::Block(body) => self.list(body),
                StmtKind::If(_, yes, no) => {
                    self.list(yes);
                    self.list(no);
                }
                _ => {}
            }
        }
        let before = stmts.len();
        stmts.retain(|stmt| !((self.is_library)(stmt.span.file) && self.is_dead(stmt)));
        self.any |= stmts.len() != before;
    }

    fn is_dead(&self, stmt: &Stmt) -> bool {
        match &stmt.kind {
            StmtKind::Expr(expr) => match &expr.kind {
                ExprKind::Assign {
                    place: Place::Local(local),
                    value,
                    ..
                } => self.reads[*local] == 0 && self.is_pure(value),
                _ => self.is_pure(expr),
            },
            StmtKind::Block(body) => body.is_empty(),
            StmtKind::If(cond, yes, no) => yes.is_empty() && no.is_empty() && self.is_pure(cond),
            _ => false,
        }
    }

    fn is_pure(&self, expr: &Expr) -> bool {
        struct Assigns(bool);
        impl Visit for Assigns {
            fn expr(&mut self, expr: &Expr) {
                self.0 |= matches!(expr.kind, ExprKind::Assign { .. } | ExprKind::IncDec { .. });
                walk_expr(self, expr);
            }
        }
        let mut assigns = Assigns(false);
        assigns.expr(expr);
        let mut scan = Effects {
            functions: self.effects,
            found: false,
        };
        scan.expr(expr);
        !scan.found && !assigns.0
    }
}

/// What probes reach.
struct Reach {
    functions: SecondaryMap<FuncId, bool>,
    globals: SecondaryMap<Global, bool>,
    queue: Vec<FuncId>,
}

impl Visit for Reach {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Call(id, _) if !std::mem::replace(&mut self.functions[*id], true) => {
                self.queue.push(*id);
            }
            ExprKind::Global(global) | ExprKind::Element(global, _) | ExprKind::In(global, _) => {
                self.globals[*global] = true;
            }
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Foreach(foreach) => self.globals[foreach.array] = true,
            StmtKind::Delete(
                Delete::Global(global) | Delete::Element(global, _) | Delete::Slice(global, _),
            ) => {
                self.globals[*global] = true;
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn place(&mut self, place: &Place) {
        match place {
            Place::Global(global) => self.globals[*global] = true,
            Place::Element(global, keys) => {
                self.globals[*global] = true;
                for key in keys {
                    self.expr(key);
                }
            }
            Place::Memory { addr, .. } => self.expr(addr),
            Place::Local(_) | Place::Error => {}
        }
    }

    fn stat(&mut self, stat: &StatRef) {
        self.globals[stat.global] = true;
        stat.keys.iter().for_each(|key| self.expr(key));
    }
}

/// Leaves out what is not reached and numbers the rest anew.
fn compact(program: &mut Program, reach: &Reach) {
    let mut remap = Renumber {
        globals: SecondaryMap::new(),
        functions: SecondaryMap::new(),
        arrays: SecondaryMap::new(),
    };
    let mut globals = PrimaryMap::new();
    for (id, data) in std::mem::take(&mut program.globals) {
        if reach.globals[id] {
            remap.arrays[id] = !data.keys.is_empty();
            remap.globals[id] = Some(globals.push(data));
        }
    }
    program.globals = globals;
    let mut functions = PrimaryMap::new();
    for (id, data) in std::mem::take(&mut program.functions) {
        if reach.functions[id] {
            remap.functions[id] = Some(functions.push(data));
        }
    }
    program.functions = functions;
    for function in program.functions.values_mut() {
        for body in &mut function.overloads {
            remap.stmts(&mut body.stmts);
        }
    }
    for probe in &mut program.probes {
        walk_probe_mut(&mut remap, probe);
    }
}

/// Old numbers to new ones. Everything it meets has been reached.
struct Renumber {
    globals: SecondaryMap<Global, Option<Global>>,
    functions: SecondaryMap<FuncId, Option<FuncId>>,
    /// Which globals are arrays, by their old numbers.
    arrays: SecondaryMap<Global, bool>,
}

impl Renumber {
    fn global(&self, id: &mut Global) {
        *id = self.globals[*id].unwrap_or(*id);
    }
}

impl VisitMut for Renumber {
    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Call(id, _) => *id = self.functions[*id].unwrap_or(*id),
            ExprKind::Global(global) | ExprKind::Element(global, _) | ExprKind::In(global, _) => {
                self.global(global);
            }
            _ => {}
        }
        walk_expr_mut(self, expr);
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        match &mut stmt.kind {
            StmtKind::Foreach(foreach) => self.global(&mut foreach.array),
            StmtKind::Delete(what) => match what {
                // Only now is it known whether this is a whole array.
                Delete::Global(global) => {
                    let is_array = self.arrays[*global];
                    self.global(global);
                    if is_array {
                        *what = Delete::Slice(*global, Vec::new());
                    }
                }
                Delete::Element(global, _) | Delete::Slice(global, _) => self.global(global),
                Delete::Local(_) => {}
            },
            _ => {}
        }
        walk_stmt_mut(self, stmt);
    }

    fn place(&mut self, place: &mut Place) {
        match place {
            Place::Global(global) => self.global(global),
            Place::Element(global, keys) => {
                self.global(global);
                for key in keys {
                    self.expr(key);
                }
            }
            Place::Memory { addr, .. } => self.expr(addr),
            Place::Local(_) | Place::Error => {}
        }
    }

    fn stat(&mut self, stat: &mut StatRef) {
        self.global(&mut stat.global);
        stat.keys.iter_mut().for_each(|key| self.expr(key));
    }
}
