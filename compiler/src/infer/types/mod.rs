//! `infer_types`: finds the type of every expression, variable, parameter and result.
//!
//! SystemTap's rule: a thing has the type that any of its uses asks for. The tree is walked
//! again and again, each use passing what it knows to what it uses and back, until a walk
//! learns nothing new; one more walk then reports what does not agree. What is still
//! unknown has no use that tells its type: an error if it is read, `long` if not.

mod apart;
mod expr;
mod finish;
mod stmt;

use cranelift_entity::PrimaryMap;
use rtap_grammar::diag::{Diagnostic, Diagnostics, codes};
use rtap_grammar::source::Span;

use crate::hir::{
    Body, Expr, FuncId, Global, Local, LocalData, Probe, Program, Stmt, StmtKind, Ty,
};

/// More walks than any chain of uses in a sensible script needs; a walk that learns nothing
/// ends the search long before.
const MAX_WALKS: usize = 1000;

/// Infers all types of `program`.
pub fn infer_types(program: &mut Program, diags: &mut Diagnostics) {
    apart::separate(program);
    let mut cx = Cx::new(program, diags);
    let mut probes = std::mem::take(&mut program.probes);
    let mut functions = std::mem::take(&mut program.functions);
    for walk in 0.. {
        cx.changed = false;
        // What a call tells goes from callers to callees, what a result tells the other way: long chains of
        // either take few walks.
        let backwards = walk % 2 == 1 && !cx.report;
        cx.walk(&mut probes, &mut functions, backwards);
        if cx.report {
            break;
        }
        if walk == MAX_WALKS || !cx.changed && cx.text_by_default {
            cx.report = true;
        } else if !cx.changed {
            cx.text_by_default = true;
        }
    }
    let Cx {
        globals,
        functions: facts,
        diags,
        ..
    } = cx;
    program.probes = probes;
    program.functions = functions;
    finish::finish(program, &globals, &facts, diags);
}

/// What is known of a place's type, and the use that told it.
#[derive(Clone, Copy)]
struct Fact {
    ty: Ty,
    span: Span,
}

impl Fact {
    fn new(ty: Ty, span: Span) -> Self {
        Fact { ty, span }
    }
}

/// Facts about a global.
struct GlobalFacts {
    keys: Vec<Fact>,
    value: Fact,
}

/// Facts about a function.
struct FunctionFacts {
    params: Vec<Fact>,
    ret: Fact,
}

/// A place whose type is inferred.
#[derive(Clone, Copy)]
enum Slot {
    Local(Local),
    Value(Global),
    Key(Global, usize),
    Param(FuncId, usize),
    Ret(FuncId),
}

/// State of the inference.
struct Cx<'d> {
    globals: PrimaryMap<Global, GlobalFacts>,
    names: PrimaryMap<Global, String>,
    functions: PrimaryMap<FuncId, FunctionFacts>,
    function_names: PrimaryMap<FuncId, String>,
    /// Of the body that is being walked.
    locals: Vec<Fact>,
    local_names: Vec<String>,
    /// The function that is being walked.
    function: Option<FuncId>,
    /// The place that the next expression's value goes to.
    wanted_by: Option<Slot>,
    /// The operand that the next expression must agree with.
    beside: Option<Span>,
    changed: bool,
    /// What is text or address becomes text where nothing asks for a number.
    text_by_default: bool,
    /// The last walk: report what does not agree.
    report: bool,
    diags: &'d mut Diagnostics,
}

impl<'d> Cx<'d> {
    fn new(program: &Program, diags: &'d mut Diagnostics) -> Self {
        let mut cx = Cx {
            globals: PrimaryMap::new(),
            names: PrimaryMap::new(),
            functions: PrimaryMap::new(),
            function_names: PrimaryMap::new(),
            locals: Vec::new(),
            local_names: Vec::new(),
            function: None,
            wanted_by: None,
            beside: None,
            changed: false,
            text_by_default: false,
            report: false,
            diags,
        };
        for global in program.globals.values() {
            cx.names.push(global.name.clone());
            cx.globals.push(GlobalFacts {
                keys: global
                    .keys
                    .iter()
                    .map(|ty| Fact::new(*ty, global.span))
                    .collect(),
                value: Fact::new(global.value, global.span),
            });
        }
        for function in program.functions.values() {
            let returns = function
                .overloads
                .iter()
                .any(|body| returns_value(&body.stmts));
            let ret = match function.ret {
                Ty::Unknown if !returns => Ty::Void,
                declared => declared,
            };
            cx.function_names.push(function.name.clone());
            cx.functions.push(FunctionFacts {
                params: function
                    .params
                    .iter()
                    .map(|ty| Fact::new(*ty, function.span))
                    .collect(),
                ret: Fact::new(ret, function.span),
            });
        }
        cx
    }

    /// One walk over everything.
    fn walk(
        &mut self,
        probes: &mut [Probe],
        functions: &mut PrimaryMap<FuncId, crate::hir::Function>,
        backwards: bool,
    ) {
        let mut ids: Vec<FuncId> = functions.keys().collect();
        if backwards {
            ids.reverse();
        }
        for id in ids {
            self.function = Some(id);
            for body in &mut functions[id].overloads {
                self.body(body, id);
            }
        }
        self.function = None;
        for probe in probes {
            self.enter(&probe.locals);
            if let Some(selector) = &mut probe.selector {
                self.expr(selector, Ty::Long);
            }
            for variant in &mut probe.variants {
                for condition in &mut variant.conditions {
                    self.expr(condition, Ty::Long);
                }
                self.stmts(&mut variant.prologue);
            }
            self.stmts(&mut probe.stmts);
            for variant in &mut probe.variants {
                self.stmts(&mut variant.epilogue);
            }
            self.leave(&mut probe.locals);
        }
    }

    /// One overload of a function.
    fn body(&mut self, body: &mut Body, id: FuncId) {
        self.enter(&body.locals);
        self.join_params(id);
        self.stmts(&mut body.stmts);
        self.join_params(id);
        self.leave(&mut body.locals);
    }

    /// Parameters and the locals that hold them have the same types.
    fn join_params(&mut self, id: FuncId) {
        for index in 0..self.functions[id].params.len().min(self.locals.len()) {
            let (param, local) = (
                Slot::Param(id, index),
                Slot::Local(Local::from_u32(index as u32)),
            );
            let fact = self.fact(param);
            self.need(local, fact.ty, fact.span);
            let fact = self.fact(local);
            self.need(param, fact.ty, fact.span);
        }
    }

    fn enter(&mut self, locals: &PrimaryMap<Local, LocalData>) {
        self.locals = locals
            .values()
            .map(|local| Fact::new(local.ty, local.span))
            .collect();
        self.local_names = locals.values().map(|local| local.name.clone()).collect();
    }

    fn leave(&mut self, locals: &mut PrimaryMap<Local, LocalData>) {
        for (local, fact) in locals.values_mut().zip(&self.locals) {
            if local.ty != fact.ty {
                local.ty = fact.ty;
                local.span = fact.span;
            }
        }
    }

    fn fact(&self, slot: Slot) -> Fact {
        match slot {
            Slot::Local(local) => self.locals[local.as_u32() as usize],
            Slot::Value(global) => self.globals[global].value,
            Slot::Key(global, index) => self.globals[global].keys[index],
            Slot::Param(function, index) => self.functions[function].params[index],
            Slot::Ret(function) => self.functions[function].ret,
        }
    }

    /// Says that a place is used as `ty` at `span`; results in the place's type.
    fn need(&mut self, slot: Slot, ty: Ty, span: Span) -> Ty {
        let fact = match slot {
            Slot::Local(local) => &mut self.locals[local.as_u32() as usize],
            Slot::Value(global) => &mut self.globals[global].value,
            Slot::Key(global, index) => &mut self.globals[global].keys[index],
            Slot::Param(function, index) => &mut self.functions[function].params[index],
            Slot::Ret(function) => &mut self.functions[function].ret,
        };
        if fact.ty == Ty::Unknown && matches!(ty, Ty::Long | Ty::Str | Ty::Stat | Ty::Error) {
            *fact = Fact::new(ty, span);
            self.changed = true;
        }
        fact.ty
    }

    /// Reports that an expression is not of the type that its use asks for. `slot`: the place
    /// it reads; `by`: the place it is for.
    fn mismatch(&mut self, expr: &Expr, slot: Option<Slot>, by: Option<Slot>, want: Ty, found: Ty) {
        let beside = self.beside.take();
        let (title, label) = match (slot, by) {
            (Some(slot), _) => (
                format!(
                    "{} is both {} and {}",
                    self.describe(slot),
                    noun(found),
                    noun(want)
                ),
                format!("used as {} here", noun(want)),
            ),
            (None, Some(by)) => (
                format!(
                    "{} for {}, which is {}",
                    noun(found),
                    self.describe(by),
                    noun(want)
                ),
                format!("this is {}", noun(found)),
            ),
            (None, None) => (
                format!("{} where {} is needed", noun(found), noun(want)),
                format!("this is {}", noun(found)),
            ),
        };
        let mut diag = Diagnostic::error(codes::TYPE_CONFLICT, title).label(expr.span, label);
        let origin = slot.map(|slot| (slot, found)).or(by.map(|by| (by, want)));
        if let Some((place, ty)) = origin {
            let fact = self.fact(place);
            if fact.span != expr.span {
                diag = diag.secondary(fact.span, format!("{} because of this", noun(ty)));
            }
        }
        if let Some(other) = beside {
            diag = diag.secondary(other, format!("this is {}", noun(want)));
        }
        self.diags
            .push(diag.help_if(remedy(want, found).map(str::to_owned)));
    }

    /// A place in words.
    fn describe(&self, slot: Slot) -> String {
        match slot {
            Slot::Local(local) => {
                let name = &self.local_names[local.as_u32() as usize];
                format!("variable '{name}'")
            }
            Slot::Value(global) if self.globals[global].keys.is_empty() => {
                format!("global '{}'", self.names[global])
            }
            Slot::Value(global) => format!("the value of array '{}'", self.names[global]),
            Slot::Key(global, index) => {
                format!("key {} of array '{}'", index + 1, self.names[global])
            }
            Slot::Param(function, index) => {
                format!(
                    "parameter {} of '{}'",
                    index + 1,
                    self.function_names[function]
                )
            }
            Slot::Ret(function) => format!("the result of '{}'", self.function_names[function]),
        }
    }
}

/// A type in words.
fn noun(ty: Ty) -> &'static str {
    match ty {
        Ty::Long => "a number",
        Ty::Str => "a string",
        Ty::Stat => "a statistic",
        Ty::Void => "nothing",
        Ty::Unknown | Ty::Error => "of unknown type",
    }
}

/// What can be done about a mismatch.
fn remedy(want: Ty, found: Ty) -> Option<&'static str> {
    match (want, found) {
        (Ty::Str, Ty::Long) => Some("sprint(…) makes a string of a number"),
        (Ty::Long, Ty::Str) => Some("strtol(…, 10) makes a number of a string"),
        (Ty::Long | Ty::Str, Ty::Stat) => {
            Some("read a statistic with @count, @sum, @min, @max, @avg or @variance")
        }
        (Ty::Stat, _) => Some("statistics are only ever changed by '<<<' and 'delete'"),
        _ => None,
    }
}

/// Whether there is a `return e` among the statements.
fn returns_value(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|stmt| match &stmt.kind {
        StmtKind::Return(value) => value.is_some(),
        StmtKind::Block(body)
        | StmtKind::Loop { body, .. }
        | StmtKind::ForeachBucket { body, .. } => returns_value(body),
        StmtKind::If(_, yes, no) => returns_value(yes) || returns_value(no),
        StmtKind::Foreach(foreach) => returns_value(&foreach.body),
        StmtKind::Try { body, catch, .. } => returns_value(body) || returns_value(catch),
        StmtKind::Expr(_)
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Delete(_) => false,
    })
}
