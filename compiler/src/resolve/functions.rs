//! Functions: overloads by number of parameters and priority, resolved when first called.

use std::rc::Rc;

use rtap_grammar::ast;
use rtap_grammar::diag::codes;
use rtap_grammar::source::Span;

use super::Cx;
use super::prune::Held;
use super::scope::Scope;
use crate::hir::{Body, FuncId, Function, Ty};

/// Where a HIR function comes from.
pub(crate) struct FunctionSource {
    /// Its overloads, in the order in which they are tried.
    overloads: Vec<Rc<ast::Function>>,
    /// Whether the first of them is a tapset's.
    pub(crate) library: bool,
}

impl Cx<'_> {
    /// The function of a name with `args` parameters as seen from the current file; pulled in
    /// and queued at its first use.
    pub(crate) fn find_function(&mut self, name: &ast::Ident, args: usize) -> Option<FuncId> {
        let mut overloads = self.overloads(&name.name, args);
        let falls_through = overloads.iter().all(falls_through);
        if falls_through && self.pull_functions(&name.name) {
            overloads = self.overloads(&name.name, args);
        }
        let first = Rc::clone(overloads.first()?);
        if let Some(id) = self.function_ids.get(&Rc::as_ptr(&first)) {
            return Some(*id);
        }
        // What stands after an overload that never says `next` is never reached.
        if let Some(last) = overloads.iter().position(|f| !falls_through_one(f)) {
            overloads.truncate(last + 1);
        }
        let declared = |ty: Option<ast::TypeRef>| ty.map_or(Ty::Unknown, |ty| type_of(ty.name));
        let params = (0..args).map(|i| {
            overloads
                .iter()
                .map(|f| declared(f.params[i].ty))
                .find(|ty| *ty != Ty::Unknown)
                .unwrap_or(Ty::Unknown)
        });
        let ret = overloads
            .iter()
            .map(|f| declared(f.ret))
            .find(|ty| *ty != Ty::Unknown);
        let function = Function {
            name: name.as_str().to_owned(),
            span: first.name.span,
            params: params.collect(),
            param_caps: vec![(0, false); args],
            ret: ret.unwrap_or(Ty::Unknown),
            ret_cap: (0, false),
            overloads: Vec::new(),
        };
        let id = self.program.functions.push(function);
        for overload in &overloads {
            self.blame(overload.span, name.span);
        }
        let library = self.is_library(first.span.file);
        self.function_ids.insert(Rc::as_ptr(&first), id);
        self.functions.push(FunctionSource { overloads, library });
        self.queue.push_back(id);
        Some(id)
    }

    /// Has functions of the script that nobody calls resolved as well, for their mistakes'
    /// sake; whether there were any.
    pub(super) fn queue_uncalled(&mut self) -> bool {
        if std::mem::replace(&mut self.uncalled_queued, true) {
            return false;
        }
        for function in self
            .symbols
            .script_functions(|file| self.files.is_library(file))
        {
            self.scope.file = function.span.file;
            self.find_function(&function.name, function.params.len());
        }
        true
    }

    /// Overloads that the current file sees, in the order in which they are tried: the file's
    /// private ones alone if there are any; else the script's before the tapsets', each by
    /// priority.
    fn overloads(&self, name: &str, args: usize) -> Vec<Rc<ast::Function>> {
        let all = self
            .symbols
            .functions(name)
            .iter()
            .filter(|f| f.params.len() == args);
        let own: Vec<_> = all
            .clone()
            .filter(|f| f.private && f.span.file == self.scope.file)
            .cloned()
            .collect();
        let mut seen: Vec<_> = if own.is_empty() {
            all.filter(|f| !f.private).cloned().collect()
        } else {
            own
        };
        seen.sort_by_key(|f| {
            let library = self.is_library(f.span.file);
            match f.priority.as_ref().map(|p| &p.value) {
                Some(ast::LiteralValue::Number(n)) => *n,
                _ => i64::from(library),
            }
        });
        seen
    }

    /// Resolves a function's body.
    pub(super) fn function(&mut self, id: FuncId) {
        let overloads = self.functions[id].overloads.clone();
        let (bodies, diags) = self.capture(|cx| {
            overloads
                .iter()
                .map(|overload| cx.overload(id, overload))
                .collect::<Vec<_>>()
        });
        self.program.functions[id].overloads = bodies;
        if self.functions[id].library {
            self.held.push(Held::function(id, diags));
        } else {
            self.diags.extend(diags);
        }
    }

    fn overload(&mut self, id: FuncId, function: &ast::Function) -> Body {
        self.scope = Scope::new(function.span.file, Some(id));
        for (index, param) in function.params.iter().enumerate() {
            let ty = self.program.functions[id].params[index];
            if function.params[..index]
                .iter()
                .any(|other| other.name.name == param.name.name)
            {
                let name = param.name.as_str();
                self.fail(
                    codes::DEFINED_TWICE,
                    format!("two parameters are called '{name}'"),
                    param.name.span,
                    "again here",
                );
            }
            let local = self.scope.declare(&param.name.name, param.name.span, ty);
            self.scope.assigned(local);
        }
        let stmts = match &function.body {
            ast::FunctionBody::Block(block) => self.stmts(&block.stmts),
            ast::FunctionBody::Embedded(code) => {
                self.embedded(code.span);
                Vec::new()
            }
        };
        self.warn_never_assigned();
        let scope = std::mem::take(&mut self.scope);
        Body {
            locals: scope.locals,
            stmts,
        }
    }

    /// Reports embedded code.
    pub(crate) fn embedded(&mut self, span: Span) -> crate::hir::Expr {
        self.fail(
            codes::NOT_SUPPORTED,
            "embedded C code cannot be run",
            span,
            "rtap makes eBPF, it has no C compiler",
        )
    }
}

/// A written type.
fn type_of(name: ast::TypeName) -> Ty {
    match name {
        ast::TypeName::Long => Ty::Long,
        ast::TypeName::String => Ty::Str,
    }
}

fn falls_through(function: &Rc<ast::Function>) -> bool {
    falls_through_one(function)
}

/// Whether a function says `next` anywhere.
fn falls_through_one(function: &ast::Function) -> bool {
    match &function.body {
        ast::FunctionBody::Block(block) => block.stmts.iter().any(says_next),
        ast::FunctionBody::Embedded(_) => false,
    }
}

fn says_next(stmt: &ast::Stmt) -> bool {
    use ast::StmtKind;
    match &stmt.kind {
        StmtKind::Next => true,
        StmtKind::Block(block) => block.stmts.iter().any(says_next),
        StmtKind::If {
            then, otherwise, ..
        } => says_next(then) || otherwise.as_ref().is_some_and(|s| says_next(s)),
        StmtKind::While { body, .. } | StmtKind::For { body, .. } => says_next(body),
        StmtKind::Foreach(foreach) => says_next(&foreach.body),
        StmtKind::Try { body, handler, .. } => {
            body.stmts.iter().chain(&handler.stmts).any(says_next)
        }
        StmtKind::Null
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Return(_)
        | StmtKind::Delete(_)
        | StmtKind::Expr(_)
        | StmtKind::Error => false,
    }
}
