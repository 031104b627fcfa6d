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
        let mut counts: Vec<usize> = self
            .symbols
            .functions(text)
            .iter()
            .map(|f| f.params.len())
            .collect();
        if let Some(id) = builtins::find(text) {
            let row = builtins::get(id);
            counts.extend(row.params.len() - row.optional..=row.params.len());
        }
        counts.sort_unstable();
        counts.dedup();
        if !counts.is_empty() {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            let plural = if counts == ["1"] { "" } else { "s" };
            let title = format!(
                "'{text}' takes {} argument{plural}, not {}",
                counts.join(" or "),
                args.len()
            );
            return self.fail(codes::WRONG_ARITY, title, span, "in this call");
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
        .label(name.span, "neither in the script nor in the tapsets")
        .help_if(near);
        self.report(diag);
        error(span)
    }

    /// Checks the regular expression of `=~`.
    pub(crate) fn check_regex(&mut self, pattern: &ast::StrLit) {
        if let Err(problem) = ere::translate(&pattern.value) {
            self.fail(
                codes::BAD_REGEX,
                problem.message,
                pattern.span,
                "in this regular expression",
            );
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
