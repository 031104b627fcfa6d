//! Writes the inferred types into the tree, and deals with what stayed unknown.

use cranelift_entity::PrimaryMap;
use rtap_grammar::diag::{Diagnostic, Diagnostics, codes};
use rtap_grammar::source::Span;

use super::{FunctionFacts, GlobalFacts};
use crate::hir::visit::{VisitMut, walk_expr_mut, walk_stmt_mut};
use crate::hir::{
    Expr, ExprKind, Foreach, FuncId, Global, GlobalData, Literal, Local, LocalData, Place, Program,
    StatRef, Stmt, StmtKind, Ty,
};
use crate::lir::{SortBy, StatField};
use crate::resolve::parse_number;
use crate::target::suggest;

/// Completes `program`.
pub(super) fn finish(
    program: &mut Program,
    globals: &PrimaryMap<Global, GlobalFacts>,
    functions: &PrimaryMap<FuncId, FunctionFacts>,
    diags: &mut Diagnostics,
) {
    for (id, global) in &mut program.globals {
        let facts = &globals[id];
        let settle = |ty: Ty| if ty == Ty::Unknown { Ty::Long } else { ty };
        // An array whose keys or values nobody mentions holds nothing: any type will do.
        global.keys = facts.keys.iter().map(|fact| settle(fact.ty)).collect();
        global.key_caps = vec![(0, false); global.keys.len()];
        if let Some(text) = global.given.take() {
            set_value(global, facts.value.ty, &text, diags);
        }
        global.value = settle(facts.value.ty);
        if global.value == Ty::Stat && global.written && !global.read {
            for field in [
                StatField::Count,
                StatField::Sum,
                StatField::Min,
                StatField::Max,
            ] {
                global.stat.require(field);
            }
        }
    }
    let stats = program
        .globals
        .values()
        .map(|global| global.value == Ty::Stat)
        .collect();
    let keys = program
        .globals
        .values()
        .map(|global| global.keys.clone())
        .collect();
    let mut unknown = Unknown {
        diags,
        stats,
        keys,
        seen: Vec::new(),
    };
    for (id, function) in &mut program.functions {
        let facts = &functions[id];
        // A parameter that is never used, a result that nobody could make: any type will do.
        let settle = |ty: Ty| if ty == Ty::Unknown { Ty::Long } else { ty };
        function.params = facts.params.iter().map(|fact| settle(fact.ty)).collect();
        function.param_caps = vec![(0, false); function.params.len()];
        function.ret = settle(facts.ret.ty);
        for body in &mut function.overloads {
            unknown.seen = vec![false; body.locals.len()];
            for (local, ty) in body.locals.values_mut().zip(&function.params) {
                local.ty = *ty;
            }
            body.stmts.iter_mut().for_each(|stmt| unknown.stmt(stmt));
            unknown.locals(&mut body.locals);
        }
    }
    for probe in &mut program.probes {
        unknown.seen = vec![false; probe.locals.len()];
        for variant in &mut probe.variants {
            variant.conditions.iter_mut().for_each(|e| unknown.expr(e));
            variant
                .prologue
                .iter_mut()
                .for_each(|stmt| unknown.stmt(stmt));
            variant
                .epilogue
                .iter_mut()
                .for_each(|stmt| unknown.stmt(stmt));
        }
        probe.stmts.iter_mut().for_each(|stmt| unknown.stmt(stmt));
        unknown.locals(&mut probe.locals);
    }
}

/// Carries out `-G name=text`.
fn set_value(global: &mut GlobalData, ty: Ty, text: &str, diags: &mut Diagnostics) {
    let number = parse_number(text).map(Literal::Int);
    let string = Some(Literal::Str(text.into()));
    let (value, is, help) = match ty {
        _ if !global.keys.is_empty() => (None, "an array", "fill it in a 'probe begin'"),
        Ty::Stat => (None, "a statistic", "fill it in a 'probe begin'"),
        Ty::Str => (string, "a string", ""),
        Ty::Unknown => (number.or(string), "", ""),
        _ => (
            number,
            "a number",
            "decimal, 0x and hexadecimal, 0 and octal digits are numbers",
        ),
    };
    if value.is_some() {
        global.init = value;
        return;
    }
    let name = &global.name;
    diags.push(
        Diagnostic::error(
            codes::TYPE_CONFLICT,
            format!("-G {name}={text}: '{name}' is {is}"),
        )
        .label(global.span, "declared here")
        .help(help),
    );
}

/// Words that declare variables in other languages; here they are names like any other.
const FOREIGN: &[&str] = &[
    "auto", "bool", "char", "const", "int", "let", "local", "my", "short", "unsigned", "var",
];

/// Finds expressions of unknown type.
struct Unknown<'d> {
    diags: &'d mut Diagnostics,
    /// Which globals are statistics.
    stats: Vec<bool>,
    /// Types of the globals' keys.
    keys: Vec<Vec<Ty>>,
    /// Locals of this body that have been complained about.
    seen: Vec<bool>,
}

impl Unknown<'_> {
    fn locals(&mut self, locals: &mut PrimaryMap<crate::hir::Local, LocalData>) {
        // Variables of an alias that the script does not use have no type either, but can be meant.
        let known: Vec<String> = locals
            .iter()
            .filter(|(id, local)| local.ty != Ty::Unknown || !self.seen[id.as_u32() as usize])
            .map(|(_, local)| local.name.clone())
            .collect();
        for (id, local) in locals.iter_mut() {
            if local.ty != Ty::Unknown {
                continue;
            }
            local.ty = Ty::Long;
            if self.seen[id.as_u32() as usize] {
                let title = format!("cannot tell the type of '{}'", local.name);
                let near = suggest(&local.name, known.iter().map(String::as_str), 1);
                let help = match near.first() {
                    _ if FOREIGN.contains(&local.name.as_str()) => {
                        "variables are not declared: the first assignment makes one".to_owned()
                    }
                    Some(near) => format!("did you mean '{near}'?"),
                    None => "assign it a value before it is read".to_owned(),
                };
                self.diags.push(
                    Diagnostic::error(codes::TYPE_UNRESOLVED, title)
                        .label(
                            local.span,
                            "nothing says whether this is a number or a string",
                        )
                        .help(help),
                );
            }
        }
    }
}

impl VisitMut for Unknown<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk_expr_mut(self, expr);
        if expr.ty != Ty::Unknown {
            return;
        }
        expr.ty = Ty::Long;
        match &expr.kind {
            ExprKind::Local(local) => self.seen[local.as_u32() as usize] = true,
            ExprKind::Global(global) | ExprKind::Element(global, _) => {
                // Settled as a number above.
                debug_assert!(!self.stats[global.as_u32() as usize]);
            }
            _ => {}
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        walk_stmt_mut(self, stmt);
        // "By value" of statistics is by count.
        if let StmtKind::Foreach(foreach) = &mut stmt.kind
            && self.stats[foreach.array.as_u32() as usize]
        {
            if let Some(sort) = &mut foreach.sort
                && sort.by == SortBy::Value
            {
                sort.by = SortBy::Stat(StatField::Count);
            }
            if let Some(value) = foreach.value.take() {
                let types = &self.keys[foreach.array.as_u32() as usize];
                let stmt = take_count(foreach, types, value, stmt.span);
                foreach.body.insert(0, stmt);
            }
        }
    }
}

/// `value = @count(array[keys])`: what the value variable means for statistics.
fn take_count(foreach: &Foreach, types: &[Ty], value: Local, span: Span) -> Stmt {
    let keys = foreach.keys.iter().zip(types);
    let keys = keys.map(|(key, ty)| Expr::new(ExprKind::Local(*key), *ty, span));
    let stat = StatRef {
        global: foreach.array,
        keys: keys.collect(),
    };
    let count = Expr::new(ExprKind::StatGet(stat, StatField::Count), Ty::Long, span);
    let (place, op) = (Place::Local(value), None);
    let assign = ExprKind::Assign {
        place,
        op,
        value: Box::new(count),
    };
    Stmt {
        kind: StmtKind::Expr(Expr::new(assign, Ty::Long, span)),
        span,
    }
}
