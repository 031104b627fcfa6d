//! `rtap list`: the points that a pattern means, with their variables and types; what the
//! library has to offer.

use std::collections::BTreeSet;

use rtap_grammar::ast;
use rtap_grammar::diag::Diagnostics;
use rtap_grammar::source::Files;

use super::points::{Expanded, Layer, names_match};
use super::{Cx, Loader};
use crate::builtins;
use crate::glob::glob;
use crate::hir::Ty;
use crate::infer::infer_types;
use crate::probes::{self, Component};
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
        let forms: Vec<&str> = probe.points.iter().flat_map(forms).collect();
        let (mut points, diags) = cx.capture(|cx| cx.expand(&probe.points));
        let labels: Vec<ast::ProbePoint> = probe.points.iter().filter_map(all_labels).collect();
        if !points.is_empty() && !labels.is_empty() {
            // There need not be any.
            points.extend(cx.capture(|cx| cx.expand(&labels)).0);
        }
        // A pattern that means kinds of points need not mean points too.
        if forms.is_empty() || !points.is_empty() {
            cx.diags.extend(diags);
        }
        listed.extend(forms.into_iter().map(|form| Listed {
            point: form.to_owned(),
            variables: Vec::new(),
        }));
        for point in points {
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

/// The forms of probe points that a pattern without arguments means: `timer.*`.
fn forms(point: &ast::ProbePoint) -> Vec<&'static str> {
    let plain = |component: &ast::Component| match component {
        ast::Component::Name { name, arg: None } => Some(Component {
            name: ast::Name::clone(&name.name),
            arg: None,
            span: component.span(),
        }),
        _ => None,
    };
    let components: Option<Vec<Component>> = point.components.iter().map(plain).collect();
    let Some(components) = components.filter(|all| all.iter().any(|c| c.name.contains('*'))) else {
        return Vec::new();
    };
    let means = |form: &&str| {
        let bare = form.replace("(string)", "").replace("(number)", "");
        names_match(&components, &bare.split('.').collect::<Vec<_>>())
    };
    probes::forms()
        .filter(|form| !form.starts_with('_'))
        .filter(means)
        .collect()
}

/// The labels of what a point means, if it ends in a wildcard that means them: they are a form with an argument, which
/// a wildcard does not give.
fn all_labels(point: &ast::ProbePoint) -> Option<ast::ProbePoint> {
    let (last, before) = point.components.split_last()?;
    let ast::Component::Name { name, arg: None } = last else {
        return None;
    };
    if before.is_empty() || !name.name.contains('*') || !glob(&name.name, "label") {
        return None;
    }
    let label = ast::Component::Name {
        name: ast::Ident {
            name: "label".into(),
            ..name.clone()
        },
        arg: Some(ast::Literal {
            value: ast::LiteralValue::String("*".into()),
            span: name.span,
        }),
    };
    Some(ast::ProbePoint {
        components: before.iter().cloned().chain([label]).collect(),
        ..point.clone()
    })
}

/// All aliases of the library, sorted.
pub fn aliases(session: &Session<'_>) -> Vec<String> {
    let names: BTreeSet<&str> = session.library.aliases().map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter(|name| !name.starts_with('_'))
        .map(str::to_owned)
        .collect()
}

/// All public functions of the library and all builtins, sorted: `substr:string (str:string, start:long,
/// length:long)`. What has no value is `unknown`.
pub fn functions(session: &Session<'_>, files: &mut Files) -> Vec<String> {
    let mut loader = Loader::new(session);
    let numbers: BTreeSet<usize> = session
        .library
        .function_names()
        .flat_map(|name| session.library.function(name))
        .collect();
    let mut all = BTreeSet::new();
    for number in numbers {
        let (file, _) = loader.library_file(number, files);
        for item in &file.items {
            if let ast::Item::Function(function) = item
                && !function.private
                && !function.name.as_str().starts_with('_')
            {
                all.insert(signature(function));
            }
        }
    }
    let public = builtins::all().map(|(_, builtin)| builtin);
    for builtin in public.filter(|builtin| !builtin.name.starts_with('_')) {
        let params: Vec<&str> = builtin.params.iter().map(|ty| type_name(*ty)).collect();
        all.insert(format!(
            "{}:{} ({})",
            builtin.name,
            type_name(builtin.ret),
            params.join(", ")
        ));
    }
    all.into_iter().collect()
}

fn type_name(ty: Ty) -> &'static str {
    match ty {
        Ty::Long => "long",
        Ty::Str => "string",
        Ty::Stat => "stats",
        Ty::Unknown | Ty::Void | Ty::Error => "unknown",
    }
}

fn signature(function: &ast::Function) -> String {
    let ty = |ty: Option<ast::TypeRef>| match ty.map(|ty| ty.name) {
        Some(ast::TypeName::Long) => type_name(Ty::Long),
        Some(ast::TypeName::String) => type_name(Ty::Str),
        None => type_name(Ty::Unknown),
    };
    let params: Vec<String> = function
        .params
        .iter()
        .map(|param| format!("{}:{}", param.name.as_str(), ty(param.ty)))
        .collect();
    format!(
        "{}:{} ({})",
        function.name.as_str(),
        ty(function.ret),
        params.join(", ")
    )
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
        let mut readable = vars.list(self);
        readable.retain(|var| vars.is_readable(self, &var.name));
        let shown = readable.into_iter();
        all.extend(shown.map(|var| (format!("${}", var.name), var.c_type)));
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
            typed.push((local.name.clone(), type_name(local.ty).to_owned()));
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
