//! Calls: the print family, functions of script and tapsets, builtins.

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::{Cx, error};
use crate::builtins;
use crate::hir::{Expr, ExprKind, PointText, Ty};
use crate::lir::ere;

impl Cx<'_> {
    /// `name(args)`.
    pub(crate) fn call(&mut self, name: &ast::Ident, args: &[ast::Expr], span: Span) -> Expr {
        // The script's own function of that name comes before everything.
        if let Some(function) = self.find_function(name, args.len()) {
            let args = args.iter().map(|arg| self.expr(arg)).collect();
            let ty = self.program.functions[function].ret;
            return Expr::new(ExprKind::Call(function, args), ty, span);
        }
        if let Some(print) = self.print_call(name, args, span) {
            return print;
        }
        if let Some(text) = point_text(name.as_str())
            && args.is_empty()
            && self.privileged(span)
        {
            return Expr::new(ExprKind::PointText(text), Ty::Str, span);
        }
        if let Some(call) = self.builtin(name, args, span) {
            return call;
        }
        self.unknown_function(name, args, span)
    }

    fn builtin(&mut self, name: &ast::Ident, args: &[ast::Expr], span: Span) -> Option<Expr> {
        if name.as_str().starts_with("__") && !self.privileged(name.span) {
            return None;
        }
        let id = builtins::find(name.as_str())?;
        let row = builtins::get(id);
        let most = row.params.len();
        let least = most - row.optional;
        if args.len() < least || args.len() > most {
            return None;
        }
        let args = args.iter().map(|arg| self.expr(arg)).collect();
        Some(Expr::new(ExprKind::Builtin(id, args), row.ret, span))
    }

    fn unknown_function(&mut self, name: &ast::Ident, args: &[ast::Expr], span: Span) -> Expr {
        // Mistakes in the arguments are worth a word all the same.
        for arg in args {
            self.expr(arg);
        }
        let text = name.as_str();
        if text.starts_with("__") && builtins::find(text).is_some() && !self.privileged(name.span) {
            return self.fail(
                codes::PRIVILEGED,
                format!("'{text}' is for tapsets"),
                name.span,
                "scripts use the functions that tapsets make of it",
            );
        }
        if let Some(diag) = self.other_parameters(text, args.len(), span) {
            self.report(diag);
            return error(span);
        }
        let library = self.session.library;
        let known = self
            .symbols
            .function_names()
            .chain(library.function_names())
            .chain(builtins::all().map(|(_, row)| row.name))
            .chain([
                "print", "println", "printf", "printd", "printdln", "sprint", "sprintf",
            ]);
        let near = did_you_mean(text, known.filter(|other| !other.starts_with('_')));
        let diag = Diagnostic::error(
            codes::UNKNOWN_FUNCTION,
            format!("there is no function '{text}'"),
        )
        .label(name.span, "neither in the script nor in the tapsets");
        // All that have the name are private to other files.
        let diag = match self.symbols.functions(text).first() {
            Some(private) => diag
                .secondary(private.name.span, "this one is private to its file")
                .help("leave 'private' out there"),
            None if near.is_none() => diag.help("'rtap list \"function *\"' shows those there are"),
            None => diag.help_if(near),
        };
        self.report(diag);
        error(span)
    }

    /// What to say of a call of `name` where there are functions of that name, but with other
    /// numbers of parameters.
    fn other_parameters(&self, name: &str, given: usize, call: Span) -> Option<Diagnostic> {
        let functions = self.symbols.functions(name);
        let known = functions
            .iter()
            .filter(|f| !f.private || f.span.file == self.scope.file);
        let mut counts: Vec<usize> = known.clone().map(|f| f.params.len()).collect();
        if let Some(id) = builtins::find(name) {
            let row = builtins::get(id);
            counts.extend(row.params.len() - row.optional..=row.params.len());
        }
        counts.sort_unstable();
        counts.dedup();
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        let plural = match counts.as_slice() {
            [] => return None,
            [one] if one == "1" => "",
            _ => "s",
        };
        let title = format!(
            "'{name}' takes {} argument{plural}, not {given}",
            counts.join(" or ")
        );
        let mut diag = Diagnostic::error(codes::WRONG_ARITY, title).label(call, "in this call");
        for function in known {
            let params: Vec<&str> = function.params.iter().map(|p| p.name.as_str()).collect();
            let shape = format!("it is {name}({})", params.join(", "));
            diag = if self.is_library(function.name.span.file) {
                diag.note(shape)
            } else {
                diag.secondary(function.name.span, shape)
            };
        }
        Some(diag)
    }

    /// Checks the regular expression of `=~`.
    pub(crate) fn check_regex(&mut self, pattern: &ast::StrLit) {
        if let Err(problem) = ere::translate(&pattern.value) {
            let place = (pattern.span, "in this regular expression");
            self.fail_with(codes::BAD_REGEX, problem.message, place, problem.help);
        }
    }
}

/// Texts of the probe point, which tapset functions ask for as if by builtins.
fn point_text(name: &str) -> Option<PointText> {
    Some(match name {
        "__pp" => PointText::Full,
        "__probefunc" => PointText::Function,
        "__probemod" => PointText::Module,
        "__syscall_name" => PointText::Syscall,
        _ => return None,
    })
}
