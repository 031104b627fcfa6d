//! The functions of the tapset library that give the same whenever they are called with the same, found by what their
//! bodies use, so that a new one is tried without being named here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use rtap_compiler::builtins;
use rtap_compiler::hir;
use rtap_compiler::lir::Place;
use rtap_compiler::resolve::{Loader, TapsetLibrary};
use rtap_compiler::session::Session;
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_grammar::ast::{
    AtOp, Expr, ExprKind, Function, FunctionBody, Item, TypeName, TypeRef, Visitor, walk_expr,
};
use rtap_grammar::source::Files;

use super::world::Ty;

/// A function that scripts can call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Callable {
    pub name: String,
    pub params: Vec<Ty>,
    /// Nothing for those without a value.
    pub ret: Option<Ty>,
    /// Whether kernel handlers may not be able to look into the string that it gives.
    pub late: bool,
}

/// Builtins whose result depends on more than the arguments: on the task, the time, the probed place, memory, symbols,
/// the machine; or that do more than give one. `*` is any end.
const UNSTEADY: &[&str] = &[
    "__arg",
    "__boot_ns",
    "__cgroup_id",
    "__comm",
    "__cpu",
    "__current_task",
    "__descendant",
    "__env_var",
    "__fp",
    "__frame",
    "__has_regs",
    "__ip",
    "__jiffies",
    "__kernel_*",
    "__ktime_ns",
    "__modname",
    "__module_name",
    "__next_process",
    "__own_*",
    "__perf_count",
    "__pid2execname",
    "__pid_tgid",
    "__print_stack_of",
    "__printk",
    "__process_inode",
    "__random",
    "__real_ns",
    "__ret",
    "__sp",
    "__stack_*",
    "__symbol_address",
    "__symdata",
    "__symname",
    "__target",
    "__tz_*",
    "__uframe",
    "__uid_gid",
    "__umodname",
    "__user_*",
    "__usymdata",
    "__usymname",
    "__ustack_text",
    "exit",
    "register",
    "system",
    "u_register",
];

/// Functions of the library that give what a probe of it has found out about the machine or the run.
const FOUND_OUT: &[&str] = &[
    "tz_gmtoff",
    "module_name",
    "remote_id",
    "remote_uri",
    "stp_pid",
    "tid",
    "ns_tid",
];

/// Calls in tapsets that are none of functions, or that make no difference to what comes out: each thread has its tokens.
const STEADY: &[&str] = &[
    "sprintf",
    "sprint",
    "sprintd",
    "sprintln",
    "sprintdln",
    "printf",
    "print",
    "println",
    "printd",
    "printdln",
    "tid",
];

/// All that can be called.
pub(super) fn functions() -> &'static [Callable] {
    static FUNCTIONS: OnceLock<Vec<Callable>> = OnceLock::new();
    FUNCTIONS.get_or_init(find)
}

/// A function's name and number of parameters.
type Name = (String, usize);

/// What the functions of one name use.
#[derive(Default)]
struct Uses {
    calls: BTreeSet<Name>,
    /// Whether something is used that is not the same everywhere.
    place: bool,
    /// Functions that only tapsets call are not tried by themselves.
    private: bool,
}

impl Visitor for Uses {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Call { name, args } => {
                self.calls.insert((name.name.to_string(), args.len()));
            }
            ExprKind::ContextVar(_) | ExprKind::Embedded(_) => self.place = true,
            ExprKind::At { op, .. } => self.place |= !matches!(op, AtOp::Count | AtOp::Sum),
            _ => {}
        }
        walk_expr(self, expr);
    }
}

fn find() -> Vec<Callable> {
    let target = FixtureTarget::standard();
    let library = TapsetLibrary::embedded();
    let session = Session::new(&target, &library);
    let mut loader = Loader::new(&session);
    let mut files = Files::new();
    let mut callables: Vec<Callable> = builtins::all()
        .filter_map(|(_, row)| builtin(row))
        .collect();
    let mut uses: BTreeMap<Name, Uses> = BTreeMap::new();
    for file in rtap_tapsets::EMBEDDED
        .files
        .iter()
        .filter(|file| file.name.ends_with(".rtp"))
    {
        let id = files.add(file.name, file.text, true);
        for item in loader.parse(&mut files, id).0.items {
            let Item::Function(function) = item else {
                continue;
            };
            let used = uses
                .entry((function.name.name.to_string(), function.params.len()))
                .or_default();
            used.private |= function.private;
            match &function.body {
                FunctionBody::Block(block) => used.block(block),
                FunctionBody::Embedded(_) => used.place = true,
            }
            callables.extend(callable(&function));
        }
    }
    let late = |name: &str| builtins::find(name).is_some_and(|id| builtins::get(id).late.is_some());
    let by_name = |f: &Callable| (f.name.clone(), f.params.len());
    callables.retain(|f| {
        let public = !f.name.starts_with('_') && !FOUND_OUT.contains(&f.name.as_str());
        public && !reaches(by_name(f), &uses, &unsteady)
    });
    for function in &mut callables {
        function.late = reaches(by_name(function), &uses, &|name, _| late(name));
    }
    callables
}

/// Whether what is called is the same everywhere; what is not known is not.
fn unsteady(name: &str, uses: Option<&Uses>) -> bool {
    match uses {
        Some(uses) => uses.place || uses.private,
        None => UNSTEADY.iter().any(|other| match other.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *other,
        }),
    }
}

/// Whether a function, or one that it calls, is such a one.
fn reaches(
    function: Name,
    all: &BTreeMap<Name, Uses>,
    is: &dyn Fn(&str, Option<&Uses>) -> bool,
) -> bool {
    let mut seen = BTreeSet::new();
    let mut left = vec![&function];
    while let Some(called) = left.pop() {
        if STEADY.contains(&called.0.as_str()) || !seen.insert(called) {
            continue;
        }
        let uses = all.get(called);
        if is(&called.0, uses) {
            return true;
        }
        left.extend(uses.iter().flat_map(|uses| &uses.calls));
    }
    false
}

/// A builtin, if it runs everywhere.
fn builtin(row: &builtins::Builtin) -> Option<Callable> {
    let ty = |ty: &hir::Ty| match ty {
        hir::Ty::Long => Some(Ty::Long),
        hir::Ty::Str => Some(Ty::Text),
        _ => None,
    };
    (row.place == Place::Both && !row.by_context).then_some(())?;
    Some(Callable {
        name: row.name.to_owned(),
        params: row.params.iter().map(ty).collect::<Option<_>>()?,
        ret: ty(&row.ret),
        late: false,
    })
}

/// A function whose parameters have types.
fn callable(function: &Function) -> Option<Callable> {
    let ty = |ty: TypeRef| match ty.name {
        TypeName::Long => Ty::Long,
        TypeName::String => Ty::Text,
    };
    let params: Option<Vec<Ty>> = function
        .params
        .iter()
        .map(|param| param.ty.map(ty))
        .collect();
    Some(Callable {
        name: function.name.name.to_string(),
        params: params?,
        ret: function.ret.map(ty),
        late: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_arguments_alone_are_found() {
        let names: Vec<&str> = functions().iter().map(|f| f.name.as_str()).collect();
        for steady in [
            "strlen",
            "str_replace",
            "tokenize",
            "htonl",
            "ctime",
            "ip_ntop",
            "errno_str",
            "bytes_to_string",
            "indent_depth",
        ] {
            assert!(names.contains(&steady), "{steady}");
        }
        for other in [
            "pid",
            "tid",
            "gettimeofday_ns",
            "symname",
            "kernel_int",
            "system",
            "exit",
            "execname",
            "indent",
            "randint",
        ] {
            assert!(!names.contains(&other), "{other}");
        }
        assert!(
            functions()
                .iter()
                .any(|f| f.name == "ctime" && f.params.len() == 1 && f.late)
        );
    }
}
