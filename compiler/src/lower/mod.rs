//! HIR to LIR.
//!
//! [`lower`] takes a checked program and makes a module: globals, functions, handlers. What the
//! tree says implicitly becomes explicit here: control flow (short-circuits, loops,
//! `try`), the order of evaluation, error sites, the ends of iterations, the widths that
//! strings are stored with. Nothing is optimised, `passes` does that.
//!
//! Files: `tables` (constants, formats, sites, each once), `needs` (what functions need of
//! those who call them), `globals`, `function` and `probe` (bodies), `together`
//! (which probes become one handler), `stmt`, `foreach`, `expr`,
//! `assign`, `print` (what bodies are made of), `emit` (appending operations), `near` (what
//! messages name).
//!
//! A function is lowered once for each [`Spec`] that it is needed in; most are needed in one.
//! Order of evaluation: keys, then right side, then the old value of what is assigned.

mod assign;
mod emit;
mod expr;
mod foreach;
mod function;
mod globals;
mod near;
mod needs;
mod print;
mod print_memory;
mod probe;
mod stmt;
mod tables;
#[cfg(test)]
mod tests;
mod together;

use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use rtap_grammar::source::{Files, Span};

use crate::hir::{self, Local, Program};
use crate::lir::builder::{Builder, Variable};
use crate::lir::cfg::{call_groups, for_each_call, for_each_callee};
use crate::lir::{
    Block, Context, ErrorKind, Exec, Func, Module, Op, Site, SiteId, StrId, Terminator, Ty, Value,
};
use crate::target::arch::Arch;
use needs::Needs;
use rustc_hash::FxHashMap;
use tables::Tables;

/// Lowers a program. The module is sound only if there are no faults.
pub fn lower(
    program: &Program,
    files: &Files,
    arch: Arch,
    is_measured: bool,
) -> (Module, Vec<Fault>) {
    let mut tables = Tables::new(arch, is_measured);
    tables.module.core = program.core.clone();
    tables.module.limits = program.limits.clone();
    globals::lower(program, &mut tables);
    let needs = Needs::new(program);
    for group in together::groups(program) {
        probe::lower(program, files, &needs, &mut tables, &group);
    }
    while let Some((id, spec, func)) = tables.queue.pop() {
        function::lower(program, files, &needs, &mut tables, (id, spec, func));
    }
    let (mut module, faults) = tables.finish();
    order_functions(&mut module);
    add_recursion_sites(&mut module, files);
    globals::mark_shared(&mut module);
    (module, faults)
}

/// The state of lowering one body.
pub struct Lower<'a> {
    program: &'a Program,
    files: &'a Files,
    needs: &'a Needs,
    tables: &'a mut Tables,
    builder: Builder,
    spec: Spec,
    /// The variables of the body's locals.
    locals: SecondaryMap<Local, Option<Variable>>,
    /// What surrounds the current statement, innermost last.
    scopes: Vec<Scope>,
    /// What `next` and `return` do.
    leave: Leave,
    /// The point that fired.
    point: Point,
    /// The selector's value, in a handler that has one.
    selected: Option<Value>,
    /// The end of errors' chains: the probe, in a handler of several.
    caller: Option<SiteId>,
    /// Numbers of constant values, for builtins that want constants.
    constants: FxHashMap<Value, i64>,
    /// The same for strings.
    constant_texts: FxHashMap<Value, StrId>,
}

/// What a copy of a function is made for. `None` where the function does not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Spec {
    exec: Option<Exec>,
    context: Option<Context>,
    /// Whether arguments by number are those of a system call.
    syscall: bool,
}

/// Something that has to be dealt with when control leaves it.
#[derive(Clone, Copy)]
enum Scope {
    /// A loop: where `break` and `continue` go.
    Loop { on_break: Block, on_continue: Block },
    /// A `try`: where errors go.
    Try { catch: Block },
    /// An open iteration. Errors that are caught outside of it go by way of `landing`,
    /// which ends it.
    Iter {
        handle: Value,
        landing: Option<Block>,
    },
}

/// How a body is left.
#[derive(Clone, Copy)]
enum Leave {
    /// A handler: `next` ends it.
    Handler,
    /// One overload of a function: `next` goes to the following one, if any.
    Function {
        ret: Option<Ty>,
        next: Option<Block>,
    },
}

/// How the program-wide number of the point that fired is had.
#[derive(Clone, Copy)]
enum Point {
    /// Nothing in this body asks for it.
    Unused,
    /// There is only this one.
    Known(i64),
    /// The executor says which of the handler's points; they are numbered from here.
    Env(i64),
    /// It was passed, or found by the selector.
    Variable(Variable),
}

/// Why something cannot be lowered; becomes a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What to do instead; `None`: it is a string whose characters only user space can make.
    pub help: Option<&'static str>,
}

/// Result of lowering a part.
pub type Lowered<T> = Result<T, Fault>;

/// The LIR type of values of an HIR type with this width and lateness. Statistics and
/// missing values have none; those that a diagnostic is about count as numbers.
fn lir_ty(ty: hir::Ty, (cap, late): (u32, bool)) -> Option<Ty> {
    match ty {
        hir::Ty::Str => Some(Ty::Str { cap, late }),
        hir::Ty::Long | hir::Ty::Unknown | hir::Ty::Error => Some(Ty::I64),
        hir::Ty::Stat | hir::Ty::Void => None,
    }
}

/// Gives each function that can be called again before it returned sites for the errors that it
/// nests too deep and is called too often, which executors find by its name; and says of the calls of it
/// that they are such.
fn add_recursion_sites(module: &mut Module, files: &Files) {
    let mut recurses = EntitySet::new();
    for group in call_groups(module) {
        for id in &group {
            let function = &module.functions[*id];
            let mut recursive = group.len() > 1;
            for_each_callee(function, |callee| recursive |= callee == *id);
            if recursive {
                recurses.insert(*id);
                for kind in [ErrorKind::MaxNesting, ErrorKind::MaxAction] {
                    module.sites.push(Site {
                        kind,
                        near: format!("identifier '{}'", function.name),
                        position: files.describe(function.span),
                        caller: None,
                    });
                }
            }
        }
    }
    for function in module.functions.values() {
        for_each_call(function, |callee, site| {
            if recurses.contains(callee) {
                module.sites[site].kind = ErrorKind::RecursiveCall;
            }
        });
    }
}

/// Puts callees before their callers.
fn order_functions(module: &mut Module) {
    let order = call_groups(module).concat();
    let mut number = SecondaryMap::with_default(Func::from_u32(0));
    for (i, func) in order.iter().enumerate() {
        number[*func] = Func::from_u32(i as u32);
    }
    let mut functions: SecondaryMap<Func, Option<_>> = SecondaryMap::new();
    for (id, func) in std::mem::take(&mut module.functions) {
        functions[id] = Some(func);
    }
    module.functions = PrimaryMap::with_capacity(order.len());
    for func in &order {
        module.functions.extend(functions[*func].take());
    }
    let renumber = |op: &mut Op| {
        if let Op::Call(callee, ..) = op {
            *callee = number[*callee];
        }
    };
    for func in module.functions.values_mut() {
        for block in func.blocks.values_mut() {
            block
                .insts
                .iter_mut()
                .for_each(|inst| renumber(&mut inst.op));
            if let Terminator::Try { op, .. } = &mut block.term {
                renumber(op);
            }
        }
    }
    for handler in module.handlers.values_mut() {
        handler.func = number[handler.func];
    }
}
