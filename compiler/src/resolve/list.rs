//! `rtap list`: the points that a pattern means, with their variables and types.

use std::collections::BTreeSet;

use rtap_grammar::ast;
use rtap_grammar::diag::Diagnostics;
use rtap_grammar::source::Files;

use super::points::{Expanded, Layer};
use super::{Cx, Loader};
use crate::hir::Ty;
use crate::infer::infer_types;
use crate::session::Session;

/// A probe point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As a script would name it.
    pub point: String,
    /// Its variables with their types: `$file` and `struct file *`, `name` and `string`.
    pub variables: Vec<(String, String)>,
}

/// All points of the scripts' probes, sorted by name, each once.
pub fn list<'s>(
    session: &'s Session<'s>,
    loader: Loader<'s>,
    files: &'s mut Files,
    scripts: Vec<ast::File>,
    with_variables: bool,
) -> (Vec<Listed>, Diagnostics) {
    let mut cx = Cx::new(session, loader, files);
    for script in scripts {
        cx.register(script);
    }
    let mut listed: Vec<Listed> = Vec::new();
    for probe in cx.symbols.probes.clone() {
        for point in cx.expand(&probe.points) {
            let variables = if with_variables {
                cx.variables(&point)
            } else {
                Vec::new()
            };
            listed.push(Listed {
                point: point.name(),
                variables,
            });
        }
    }
    listed.sort_by(|a, b| a.point.cmp(&b.point));
    listed.dedup_by(|a, b| a.point == b.point);
    let mut diags = Diagnostics::new();
    diags.extend(std::mem::take(&mut cx.diags));
    (listed, diags)
}

impl Expanded {
    /// What a script calls it: the alias if it goes through one.
    fn name(&self) -> String {
        self.written
            .clone()
            .unwrap_or_else(|| self.candidate.text.clone())
    }
}

impl Cx<'_> {
    fn variables(&mut self, point: &Expanded) -> Vec<(String, String)> {
        let vars = &point.candidate.vars;
        let mut all: Vec<(String, String)> = Vec::new();
        let mut names = BTreeSet::new();
        for layer in &point.layers {
            match layer {
                Layer::Alias(alias) => {
                    alias
                        .prologue
                        .iter()
                        .for_each(|block| assigned(&block.stmts, &mut names));
                }
                Layer::Syscall(call) => {
                    let typed = call.variables();
                    all.extend(typed.into_iter().map(|(name, ty)| (name, ty.to_owned())));
                }
            }
        }
        if !names.is_empty() {
            all.extend(self.alias_variables(&point.name(), &names));
        }
        if let Some(result) = vars.result(self) {
            all.push(("$return".to_owned(), result));
        }
        all.extend(
            vars.list(self)
                .into_iter()
                .map(|var| (format!("${}", var.name), var.c_type)),
        );
        all
    }

    /// Types of the variables that aliases define, as inference finds them in a probe that
    /// reads them all.
    fn alias_variables(&mut self, point: &str, names: &BTreeSet<String>) -> Vec<(String, String)> {
        let body: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = format!("probe {point} {{ {} }}", body.join("; "));
        let mut files = Files::new();
        let id = files.add("<list>", text, false);
        let mut loader = Loader::new(self.session);
        let (tree, _) = loader.parse(&mut files, id);
        let (mut program, diags) = super::resolve(self.session, loader, &mut files, vec![tree]);
        if !diags.has_errors() {
            infer_types(&mut program, &mut Diagnostics::new());
        }
        let locals = program
            .probes
            .iter()
            .flat_map(|probe| probe.locals.values());
        let mut typed: Vec<(String, String)> = Vec::new();
        for local in locals.filter(|local| names.contains(&local.name)) {
            if typed.iter().any(|(name, _)| *name == local.name) {
                continue;
            }
            let ty = if local.ty == Ty::Str {
                "string"
            } else {
                "long"
            };
            typed.push((local.name.clone(), ty.to_owned()));
        }
        typed
    }
}

/// Names of the variables that statements assign.
fn assigned(stmts: &[ast::Stmt], names: &mut BTreeSet<String>) {
    for stmt in stmts {
        match &stmt.kind {
            ast::StmtKind::Expr(expr) => {
                if let ast::ExprKind::Assign { target, .. } = &expr.kind
                    && let ast::ExprKind::Name(name) = &target.kind
                    && !name.as_str().starts_with('_')
                {
                    names.insert(name.as_str().to_owned());
                }
            }
            ast::StmtKind::Block(block) => assigned(&block.stmts, names),
            ast::StmtKind::If {
                then, otherwise, ..
            } => {
                assigned(std::slice::from_ref(then), names);
                if let Some(otherwise) = otherwise {
                    assigned(std::slice::from_ref(otherwise), names);
                }
            }
            _ => {}
        }
    }
}
