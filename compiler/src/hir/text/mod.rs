//! The tree as stable text (`--emit=hir`): for people and golden files; nothing reads it back.
//!
//! Globals, functions and probes in their order. Types stand after a colon; a string's width
//! follows it in brackets, with `~` when it is late: `string[15]`, `string[23~]`.

mod format;
mod point;
mod summary;

use std::fmt::Write;

use super::{
    AssignOp, Body, Delete, Expr, ExprKind, Function, GlobalData, Literal, LocalData, Place,
    PointText, Print, PrintArg, PrintKind, Probe, Program, StatRef, Stmt, StmtKind, Ty, Variant,
};
use crate::builtins;
use crate::lir::{BinOp, CmpOp, Histogram, SortBy, Space, StatField};
use format::format_text;
use rustc_hash::FxHashMap;

pub use summary::summary;

/// Prints a program.
pub fn print(program: &Program) -> String {
    let mut p = Printer {
        program,
        out: String::new(),
        indent: 0,
        locals: Vec::new(),
    };
    for (id, global) in &program.globals {
        let line = format!("{id} = {}", declaration(global));
        p.line(&line);
    }
    for (id, core) in &program.core {
        let line = format!(
            "{id} = {:?} {} {} ({})",
            core.kind, core.type_name, core.access, core.value
        );
        p.line(&line);
    }
    for (id, function) in &program.functions {
        p.function(&id.to_string(), function);
    }
    for probe in &program.probes {
        p.probe(probe);
    }
    p.out
}

struct Printer<'p> {
    program: &'p Program,
    out: String,
    indent: usize,
    /// Names of the current body's locals.
    locals: Vec<String>,
}

/// A type with its width.
fn typed(ty: Ty, cap: (u32, bool)) -> String {
    let name = match ty {
        Ty::Unknown => "?",
        Ty::Long => "long",
        Ty::Str => "string",
        Ty::Stat => "stat",
        Ty::Void => "void",
        Ty::Error => "error",
    };
    match (ty, cap) {
        (Ty::Str, (width, late)) if width != 0 || late => {
            format!("{name}[{width}{}]", if late { "~" } else { "" })
        }
        _ => name.to_owned(),
    }
}

/// Text between quotes, with everything unprintable escaped.
fn quoted(text: &[u8]) -> String {
    format!("\"{}\"", text.escape_ascii())
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn enter<'l>(&mut self, locals: impl Iterator<Item = &'l LocalData>) {
        // Two locals of one name get numbers.
        self.locals.clear();
        let mut seen: FxHashMap<&str, usize> = FxHashMap::default();
        for local in locals {
            let again = seen.entry(&local.name).or_default();
            self.locals.push(match *again {
                0 => local.name.clone(),
                n => format!("{}#{n}", local.name),
            });
            *again += 1;
        }
    }

    fn declare<'l>(&mut self, locals: impl Iterator<Item = &'l LocalData>, skip: usize) {
        for (index, local) in locals.enumerate().skip(skip) {
            let line = format!(
                "local {}: {}",
                self.locals[index],
                typed(local.ty, local.cap)
            );
            self.line(&line);
        }
    }

    fn function(&mut self, id: &str, function: &Function) {
        for (number, body) in function.overloads.iter().enumerate() {
            self.enter(body.locals.values());
            let params = function
                .params
                .iter()
                .zip(&function.param_caps)
                .zip(&self.locals);
            let params: Vec<String> = params
                .map(|((ty, cap), name)| format!("{name}: {}", typed(*ty, *cap)))
                .collect();
            let again = if number == 0 { "" } else { " else" };
            let head = format!(
                "{id}{again} = function {}({}): {}",
                function.name,
                params.join(", "),
                typed(function.ret, function.ret_cap)
            );
            self.line(&head);
            self.body(body, function.params.len());
        }
    }

    fn body(&mut self, body: &Body, params: usize) {
        self.indent += 1;
        self.declare(body.locals.values(), params);
        self.stmts(&body.stmts);
        self.indent -= 1;
    }

    fn probe(&mut self, probe: &Probe) {
        self.enter(probe.locals.values());
        self.line(&format!("probe {}", probe.name));
        self.indent += 1;
        self.line(&format!(
            "exec {:?}, context {:?}",
            probe.exec, probe.context
        ));
        for (index, point) in probe.points.iter().enumerate() {
            let selector = point
                .selector
                .map(|n| format!(" when {n}"))
                .unwrap_or_default();
            let optional = if point.optional { " ?" } else { "" };
            self.line(&format!(
                "point {index} {}{selector}{optional}: {}",
                point.text,
                point::attach(&point.attach)
            ));
        }
        if let Some(selector) = &probe.selector {
            let line = format!("selector {}", self.expr(selector));
            self.line(&line);
        }
        self.declare(probe.locals.values(), 0);
        for variant in &probe.variants {
            self.variant(variant, probe.variants.len() == 1);
        }
        self.line("body");
        self.indent += 1;
        self.stmts(&probe.stmts);
        self.indent -= 2;
    }

    fn variant(&mut self, variant: &Variant, only: bool) {
        if only
            && variant.conditions.is_empty()
            && variant.prologue.is_empty()
            && variant.epilogue.is_empty()
        {
            return;
        }
        if only {
            self.line("variant");
        } else {
            let points: Vec<String> = variant.points.iter().map(u32::to_string).collect();
            self.line(&format!("variant of {}", points.join(" ")));
        }
        self.indent += 1;
        for condition in &variant.conditions {
            let line = format!("if {}", self.expr(condition));
            self.line(&line);
        }
        for (name, stmts) in [
            ("prologue", &variant.prologue),
            ("epilogue", &variant.epilogue),
        ] {
            if !stmts.is_empty() {
                self.line(name);
                self.indent += 1;
                self.stmts(stmts);
                self.indent -= 1;
            }
        }
        self.indent -= 1;
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn nested(&mut self, head: &str, stmts: &[Stmt]) {
        self.line(head);
        self.indent += 1;
        self.stmts(stmts);
        self.indent -= 1;
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => {
                let line = self.expr(e);
                self.line(&line);
            }
            StmtKind::Block(body) => self.nested("block", body),
            StmtKind::If(cond, yes, no) => {
                let head = format!("if {}", self.expr(cond));
                self.nested(&head, yes);
                if !no.is_empty() {
                    self.nested("else", no);
                }
            }
            StmtKind::Loop { cond, body, step } => {
                let cond = cond
                    .as_ref()
                    .map_or_else(|| "1".to_owned(), |e| self.expr(e));
                let step = step
                    .as_ref()
                    .map(|e| format!("; {}", self.expr(e)))
                    .unwrap_or_default();
                self.nested(&format!("while {cond}{step}"), body);
            }
            StmtKind::Foreach(f) => {
                let mut head = String::from("foreach ");
                if let Some(value) = f.value {
                    let _ = write!(head, "{} = ", self.local(value));
                }
                let keys: Vec<String> = f.keys.iter().map(|key| self.local(*key)).collect();
                let _ = write!(head, "[{}] in {}", keys.join(", "), self.name(f.array));
                if f.slice.iter().any(Option::is_some) {
                    let _ = write!(head, "[{}]", self.slice(&f.slice));
                }
                if let Some(sort) = f.sort {
                    let by = match sort.by {
                        SortBy::Key(n) => format!("key {}", n + 1),
                        SortBy::Value => "value".to_owned(),
                        SortBy::Stat(field) => stat_field(field),
                    };
                    let _ = write!(head, " by {by}{}", if sort.descending { "-" } else { "+" });
                }
                if let Some(limit) = &f.limit {
                    let _ = write!(head, " limit {}", self.expr(limit));
                }
                self.nested(&head, &f.body);
            }
            StmtKind::ForeachBucket {
                stat,
                histogram,
                var,
                value,
                limit,
                body,
            } => {
                let value = value
                    .map(|v| format!("{} = ", self.local(v)))
                    .unwrap_or_default();
                let limit = limit
                    .as_ref()
                    .map(|e| format!(" limit {}", self.expr(e)))
                    .unwrap_or_default();
                let head = format!(
                    "foreach {value}{} in @hist#{histogram}({}){limit}",
                    self.local(*var),
                    self.stat(stat)
                );
                self.nested(&head, body);
            }
            StmtKind::Break => self.line("break"),
            StmtKind::Continue => self.line("continue"),
            StmtKind::Next => self.line("next"),
            StmtKind::Return(None) => self.line("return"),
            StmtKind::Return(Some(e)) => {
                let line = format!("return {}", self.expr(e));
                self.line(&line);
            }
            StmtKind::Delete(what) => {
                let what = match what {
                    Delete::Global(global) => self.name(*global),
                    Delete::Local(local) => self.local(*local),
                    Delete::Element(global, keys) => {
                        format!("{}[{}]", self.name(*global), self.exprs(keys))
                    }
                    Delete::Slice(global, keys) if keys.is_empty() => {
                        format!("{}[*]", self.name(*global))
                    }
                    Delete::Slice(global, keys) => {
                        format!("{}[{}]", self.name(*global), self.slice(keys))
                    }
                };
                self.line(&format!("delete {what}"));
            }
            StmtKind::Try { body, var, catch } => {
                self.nested("try", body);
                let var = var
                    .map(|v| format!(" {}", self.local(v)))
                    .unwrap_or_default();
                self.nested(&format!("catch{var}"), catch);
            }
        }
    }

    fn local(&self, local: super::Local) -> String {
        self.locals
            .get(local.as_u32() as usize)
            .cloned()
            .unwrap_or_else(|| local.to_string())
    }

    fn name(&self, global: super::Global) -> String {
        self.program
            .globals
            .get(global)
            .map_or_else(|| global.to_string(), |g| g.name.clone())
    }

    fn exprs(&self, list: &[Expr]) -> String {
        list.iter()
            .map(|e| self.expr(e))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn slice(&self, list: &[Option<Expr>]) -> String {
        let part = |key: &Option<Expr>| {
            key.as_ref()
                .map_or_else(|| "*".to_owned(), |e| self.expr(e))
        };
        list.iter().map(part).collect::<Vec<_>>().join(", ")
    }

    fn stat(&self, stat: &StatRef) -> String {
        if stat.keys.is_empty() {
            self.name(stat.global)
        } else {
            format!("{}[{}]", self.name(stat.global), self.exprs(&stat.keys))
        }
    }

    fn place(&self, place: &Place) -> String {
        match place {
            Place::Local(local) => self.local(*local),
            Place::Global(global) => self.name(*global),
            Place::Element(global, keys) => format!("{}[{}]", self.name(*global), self.exprs(keys)),
            Place::Memory { addr, space, size } => {
                format!("{}{size}({})", memory(*space), self.expr(addr))
            }
            Place::Error => "<error>".to_owned(),
        }
    }

    fn expr(&self, expr: &Expr) -> String {
        let two =
            |op: &str, a: &Expr, b: &Expr| format!("({} {op} {})", self.expr(a), self.expr(b));
        match &expr.kind {
            ExprKind::Int(n) => n.to_string(),
            ExprKind::Str(s) => quoted(s),
            ExprKind::Core(core) => core.to_string(),
            ExprKind::Local(local) => self.local(*local),
            ExprKind::Global(global) => self.name(*global),
            ExprKind::Element(global, keys) => {
                format!("{}[{}]", self.name(*global), self.exprs(keys))
            }
            ExprKind::Assign { place, op, value } => {
                let op = match op {
                    None => "",
                    Some(AssignOp::Bin(op)) => bin(*op),
                    Some(AssignOp::Div) => "/",
                    Some(AssignOp::Rem) => "%",
                    Some(AssignOp::Concat) => ".",
                };
                format!("{} {op}= {}", self.place(place), self.expr(value))
            }
            ExprKind::IncDec {
                place,
                prefix,
                delta,
            } => {
                let op = if *delta > 0 { "++" } else { "--" };
                let place = self.place(place);
                if *prefix {
                    format!("{op}{place}")
                } else {
                    format!("{place}{op}")
                }
            }
            ExprKind::Push(stat, value) => format!("{} <<< {}", self.stat(stat), self.expr(value)),
            ExprKind::Neg(e) => format!("-{}", self.expr(e)),
            ExprKind::BitNot(e) => format!("~{}", self.expr(e)),
            ExprKind::Not(e) => format!("!{}", self.expr(e)),
            ExprKind::Bin(op, a, b) => two(bin(*op), a, b),
            ExprKind::Div(a, b) => two("/", a, b),
            ExprKind::Rem(a, b) => two("%", a, b),
            ExprKind::Cmp(op, a, b) => {
                let op = match op {
                    CmpOp::Eq => "==",
                    CmpOp::Ne => "!=",
                    CmpOp::Lt => "<",
                    CmpOp::Le => "<=",
                    CmpOp::Gt => ">",
                    CmpOp::Ge => ">=",
                    CmpOp::Ult => "<u",
                };
                two(op, a, b)
            }
            ExprKind::And(a, b) => two("&&", a, b),
            ExprKind::Or(a, b) => two("||", a, b),
            ExprKind::Ternary(c, a, b) => {
                format!("({} ? {} : {})", self.expr(c), self.expr(a), self.expr(b))
            }
            ExprKind::Concat(parts) => {
                let parts: Vec<String> = parts.iter().map(|e| self.expr(e)).collect();
                format!("({})", parts.join(" . "))
            }
            ExprKind::Match(e, pattern) => format!("({} =~ {})", self.expr(e), quoted(pattern)),
            ExprKind::In(global, keys) => {
                format!("([{}] in {})", self.slice(keys), self.name(*global))
            }
            ExprKind::Call(function, args) => {
                let name = self
                    .program
                    .functions
                    .get(*function)
                    .map_or("?", |f| f.name.as_str());
                format!("{name}({})", self.exprs(args))
            }
            ExprKind::Builtin(id, args) => {
                format!("{}!({})", builtins::get(*id).name, self.exprs(args))
            }
            ExprKind::Print(print) => self.print("print", print),
            ExprKind::Sprint(print) => {
                let late = if expr.cap.1 { "late " } else { "" };
                format!("{late}{}", self.print("sprint", print))
            }
            ExprKind::StatGet(stat, field) => {
                format!("{}({})", stat_field(*field), self.stat(stat))
            }
            ExprKind::HistBucket(stat, histogram, index) => {
                format!(
                    "@hist#{histogram}({})[{}]",
                    self.stat(stat),
                    self.expr(index)
                )
            }
            ExprKind::HistText(stat, histogram) => {
                format!("sprint(@hist#{histogram}({}))", self.stat(stat))
            }
            ExprKind::Read {
                addr,
                space,
                size,
                signed,
                bits,
            } => {
                let sign = if *signed { "s" } else { "u" };
                let read = format!("{}_{sign}{}({})", memory(*space), size * 8, self.expr(addr));
                match bits {
                    None => read,
                    Some((left, right)) => {
                        format!("({read} bits {} {})", self.expr(left), self.expr(right))
                    }
                }
            }
            ExprKind::ReadStr { addr, space } => {
                format!("{}_str({})", memory(*space), self.expr(addr))
            }
            ExprKind::Env(env) => format!("env.{env:?}"),
            ExprKind::CtxArg(n) => format!("ctx.arg{n}"),
            ExprKind::CtxRet => "ctx.ret".to_owned(),
            ExprKind::CtxReg(reg) => format!("ctx.reg.{reg:?}"),
            ExprKind::EntryArg(n) => format!("ctx.entry{n}"),
            ExprKind::PointText(text) => match text {
                PointText::Full => "point.text".to_owned(),
                PointText::Function => "point.function".to_owned(),
                PointText::Module => "point.module".to_owned(),
                PointText::Syscall => "point.syscall".to_owned(),
            },
            ExprKind::Error => "<error>".to_owned(),
        }
    }

    fn print(&self, verb: &str, print: &Print) -> String {
        let mut parts = Vec::new();
        let verb = match &print.kind {
            PrintKind::Plain { delimiter, newline } => {
                if !delimiter.is_empty() {
                    parts.push(quoted(delimiter));
                }
                format!(
                    "{verb}{}{}",
                    if delimiter.is_empty() { "" } else { "d" },
                    if *newline { "ln" } else { "" }
                )
            }
            PrintKind::Format(format) => {
                parts.push(format_text(&format.pieces));
                format!("{verb}f")
            }
        };
        for arg in &print.args {
            parts.push(match arg {
                PrintArg::Value(e) => self.expr(e),
                PrintArg::Hist(stat, h) => format!("{} of {}", histogram(*h), self.stat(stat)),
            });
        }
        let channel = match print.channel {
            crate::lir::Channel::Out => String::new(),
            other => format!("@{other:?}").to_lowercase(),
        };
        format!("{verb}{channel}({})", parts.join(", "))
    }
}

fn memory(space: Space) -> &'static str {
    match space {
        Space::Kernel => "kernel",
        Space::User => "user",
    }
}

fn bin(op: BinOp) -> &'static str {
    match op {
        BinOp::Add => "+",
        BinOp::Sub => "-",
        BinOp::Mul => "*",
        BinOp::And => "&",
        BinOp::Or => "|",
        BinOp::Xor => "^",
        BinOp::Shl => "<<",
        BinOp::Shr => ">>>",
        BinOp::Sar => ">>",
    }
}

pub(crate) fn stat_field(field: StatField) -> String {
    match field {
        StatField::Count => "@count".to_owned(),
        StatField::Sum => "@sum".to_owned(),
        StatField::Min => "@min".to_owned(),
        StatField::Max => "@max".to_owned(),
        StatField::Avg => "@avg".to_owned(),
        StatField::Variance => "@variance".to_owned(),
    }
}

fn histogram(h: Histogram) -> String {
    match h {
        Histogram::Log => "@hist_log".to_owned(),
        Histogram::Linear { low, high, width } => format!("@hist_linear<{low},{high},{width}>"),
    }
}

/// A global's declaration.
fn declaration(global: &GlobalData) -> String {
    let mut text = format!("global {}", global.name);
    if !global.keys.is_empty() {
        let keys = global.keys.iter().zip(&global.key_caps);
        let keys: Vec<String> = keys.map(|(ty, cap)| typed(*ty, *cap)).collect();
        let wrap = if global.wrap { "%" } else { "" };
        let _ = write!(text, "[{}]{wrap}({})", keys.join(", "), global.max_entries);
    }
    let _ = write!(text, ": {}", typed(global.value, global.value_cap));
    if global.value == Ty::Stat {
        let stat = &global.stat;
        let mut kept = vec!["count".to_owned()];
        kept.extend(stat.sum.then(|| "sum".to_owned()));
        kept.extend(stat.min.then(|| "min".to_owned()));
        kept.extend(stat.max.then(|| "max".to_owned()));
        kept.extend(stat.variance.then(|| "variance".to_owned()));
        kept.extend(stat.histograms.iter().map(|h| histogram(*h)));
        let _ = write!(text, "({})", kept.join(", "));
    }
    match &global.init {
        Some(Literal::Int(n)) => {
            let _ = write!(text, " = {n}");
        }
        Some(Literal::Str(s)) => {
            let _ = write!(text, " = {}", quoted(s));
        }
        None => {}
    }
    for (on, word) in [
        (global.read, "read"),
        (global.written, "written"),
        (global.library, "library"),
    ] {
        if on {
            let _ = write!(text, " {word}");
        }
    }
    text
}
