//! Lowering of hand-made trees: what each construct becomes, and that all of it verifies.

mod control;
mod globals;
mod probes;
mod strings;

use bstr::BString;
use cranelift_entity::PrimaryMap;
use rtap_grammar::source::{Files, Span};

use super::{Fault, lower};
use crate::hir::*;
use crate::image::{Attach, Point};
use crate::lir::{self, BinOp, Context, Exec, Module, StatLayout, text, verify::verify};
use crate::target::arch::Arch;

/// A program under construction: one user-side probe, unless a test adds more.
struct Script {
    program: Program,
    /// Whether kernel handlers are measured.
    is_measured: bool,
}

impl Script {
    fn new() -> Self {
        Script {
            program: Program::default(),
            is_measured: false,
        }
    }

    /// A global scalar or array.
    fn global(&mut self, name: &str, keys: &[Ty], value: Ty) -> Global {
        self.program.globals.push(GlobalData {
            name: name.to_owned(),
            span: Span::NONE,
            keys: keys.to_vec(),
            key_caps: keys.iter().map(|_| (15, false)).collect(),
            value,
            value_cap: (15, false),
            max_entries: 8,
            forms: 1,
            wrap: false,
            init: None,
            given: None,
            read: true,
            written: true,
            library: false,
            stat: StatLayout::default(),
        })
    }

    /// A function with one overload.
    fn function(&mut self, name: &str, params: &[Ty], ret: Ty, stmts: Vec<Stmt>) -> FuncId {
        let body = body(params, stmts);
        self.program.functions.push(Function {
            name: name.to_owned(),
            span: Span::NONE,
            params: params.to_vec(),
            param_caps: params.iter().map(|_| (15, false)).collect(),
            ret,
            ret_cap: (15, false),
            overloads: vec![body],
        })
    }

    /// A user-side probe with these locals.
    fn probe(&mut self, locals: &[Ty], stmts: Vec<Stmt>) -> &mut Probe {
        let variant = Variant {
            points: vec![0],
            ..Variant::default()
        };
        self.program.probes.push(Probe {
            name: "probe begin".to_owned(),
            span: Span::NONE,
            exec: Exec::User,
            context: Context::None,
            syscall: false,
            early: false,
            points: vec![point("begin", None)],
            selector: None,
            locals: declare(locals),
            variants: vec![variant],
            stmts,
        });
        self.program.probes.last_mut().unwrap()
    }

    /// Lowers it; it must verify.
    #[track_caller]
    fn lower(&self) -> Module {
        let (module, faults) = lower(&self.program, &Files::new(), Arch::X86_64, self.is_measured);
        assert_eq!(faults, []);
        if let Err(errors) = verify(&module) {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!("{}\n{}", errors.join("\n"), text::print(&module));
        }
        module
    }

    fn faults(&self) -> Vec<Fault> {
        lower(&self.program, &Files::new(), Arch::X86_64, self.is_measured).1
    }
}

/// The text of the function called `name`, without its braces and margin.
fn function_text(module: &Module, name: &str) -> String {
    let function = module.functions.values().find(|f| f.name == name).unwrap();
    let text = text::print_function(function);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines[1..lines.len() - 1].join("\n")
}

/// Compares a function's text, line by line, with what is wanted (margins do not matter).
#[track_caller]
fn expect(module: &Module, name: &str, wanted: &str) {
    let wanted: Vec<&str> = wanted.trim().lines().map(str::trim).collect();
    let found = function_text(module, name);
    assert_eq!(found, wanted.join("\n"), "\nfound:\n{found}\n");
}

fn point(text: &str, selector: Option<i64>) -> Point {
    Point {
        text: text.to_owned(),
        function: String::new(),
        module: String::new(),
        attach: Attach::Begin { priority: 0 },
        selector,
        optional: false,
    }
}

fn declare(types: &[Ty]) -> PrimaryMap<Local, LocalData> {
    let mut locals = PrimaryMap::new();
    for (i, ty) in types.iter().enumerate() {
        locals.push(LocalData {
            name: format!("x{i}"),
            span: Span::NONE,
            ty: *ty,
            cap: (15, false),
        });
    }
    locals
}

fn body(locals: &[Ty], stmts: Vec<Stmt>) -> Body {
    Body {
        locals: declare(locals),
        stmts,
    }
}

fn expr(kind: ExprKind, ty: Ty) -> Expr {
    Expr {
        cap: (15, false),
        ..Expr::new(kind, ty, Span::NONE)
    }
}

fn long(kind: ExprKind) -> Expr {
    expr(kind, Ty::Long)
}

fn int(n: i64) -> Expr {
    long(ExprKind::Int(n))
}

fn string(text: &str) -> Expr {
    let cap = (text.len() as u32, false);
    Expr {
        cap,
        ..expr(ExprKind::Str(BString::from(text)), Ty::Str)
    }
}

fn local(n: u32) -> Expr {
    long(ExprKind::Local(Local::from_u32(n)))
}

fn string_local(n: u32) -> Expr {
    expr(ExprKind::Local(Local::from_u32(n)), Ty::Str)
}

fn bin(op: BinOp, a: Expr, b: Expr) -> Expr {
    long(ExprKind::Bin(op, Box::new(a), Box::new(b)))
}

fn less(a: Expr, b: Expr) -> Expr {
    long(ExprKind::Cmp(lir::CmpOp::Lt, Box::new(a), Box::new(b)))
}

fn assign(place: Place, value: Expr) -> Expr {
    let ty = value.ty;
    let value = Box::new(value);
    expr(
        ExprKind::Assign {
            place,
            op: None,
            value,
        },
        ty,
    )
}

fn assign_op(place: Place, op: AssignOp, value: Expr) -> Expr {
    let ty = value.ty;
    let value = Box::new(value);
    let op = Some(op);
    expr(ExprKind::Assign { place, op, value }, ty)
}

fn increment(place: Place, prefix: bool) -> Expr {
    long(ExprKind::IncDec {
        place,
        prefix,
        delta: 1,
    })
}

fn to_local(n: u32) -> Place {
    Place::Local(Local::from_u32(n))
}

fn stmt(kind: StmtKind) -> Stmt {
    Stmt {
        kind,
        span: Span::NONE,
    }
}

fn run(expr: Expr) -> Stmt {
    stmt(StmtKind::Expr(expr))
}

/// `x<n> = value`
fn set(n: u32, value: Expr) -> Stmt {
    run(assign(to_local(n), value))
}

/// `println(values…)`
fn println(values: Vec<Expr>) -> Stmt {
    run(expr(ExprKind::Print(plain(values, true)), Ty::Void))
}

fn plain(values: Vec<Expr>, newline: bool) -> Print {
    Print {
        kind: PrintKind::Plain {
            delimiter: BString::from(""),
            newline,
        },
        args: values.into_iter().map(PrintArg::Value).collect(),
        channel: lir::Channel::Out,
    }
}

fn call(function: FuncId, args: Vec<Expr>, ty: Ty) -> Expr {
    expr(ExprKind::Call(function, args), ty)
}

fn builtin(name: &str, args: Vec<Expr>) -> Expr {
    let id = crate::builtins::find(name).unwrap();
    let ret = crate::builtins::get(id).ret;
    expr(ExprKind::Builtin(id, args), ret)
}
