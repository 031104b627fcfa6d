//! Takes the places out of a tree, so that two trees can be compared by what they say.

use super::*;
use crate::source::FileId;

/// Sets every span in the tree to [`Span::NONE`] and the file's id to [`FileId::NONE`].
pub fn strip_spans(file: &mut File) {
    file.id = FileId::NONE;
    file.items.iter_mut().for_each(item);
}

fn item(item: &mut Item) {
    match item {
        Item::Probe(p) => {
            none(&mut p.span);
            p.points.iter_mut().for_each(point);
            block(&mut p.body);
        }
        Item::Alias(a) => {
            none(&mut a.span);
            for name in &mut a.names {
                none(&mut name.span);
                name.parts.iter_mut().for_each(ident);
            }
            a.points.iter_mut().for_each(point);
            a.prologue.iter_mut().for_each(block);
            a.epilogue.iter_mut().for_each(block);
        }
        Item::Function(f) => {
            none(&mut f.span);
            ident(&mut f.name);
            f.ret.iter_mut().for_each(|t| none(&mut t.span));
            for p in &mut f.params {
                ident(&mut p.name);
                p.ty.iter_mut().for_each(|t| none(&mut t.span));
            }
            f.priority.iter_mut().for_each(literal);
            match &mut f.body {
                FunctionBody::Block(b) => block(b),
                FunctionBody::Embedded(e) => none(&mut e.span),
            }
        }
        Item::Global(g) => {
            none(&mut g.span);
            for v in &mut g.vars {
                ident(&mut v.name);
                v.size.iter_mut().for_each(literal);
                v.init.iter_mut().for_each(literal);
            }
        }
        Item::Embedded(e) => none(&mut e.span),
        Item::Error(span) => none(span),
    }
}

fn none(span: &mut Span) {
    *span = Span::NONE;
}

fn ident(ident: &mut Ident) {
    none(&mut ident.span);
}

fn literal(literal: &mut Literal) {
    none(&mut literal.span);
}

fn point(p: &mut ProbePoint) {
    none(&mut p.span);
    p.condition.iter_mut().for_each(|e| expr(e));
    for component in &mut p.components {
        match component {
            Component::Name { name, arg } => {
                ident(name);
                arg.iter_mut().for_each(literal);
            }
            Component::Braces { points, span } => {
                none(span);
                points.iter_mut().for_each(point);
            }
            Component::Error(span) => none(span),
        }
    }
}

fn block(b: &mut Block) {
    none(&mut b.span);
    b.stmts.iter_mut().for_each(stmt);
}

fn stmt(s: &mut Stmt) {
    none(&mut s.span);
    match &mut s.kind {
        StmtKind::Null
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Error => {}
        StmtKind::Block(b) => block(b),
        StmtKind::If {
            cond,
            then,
            otherwise,
        } => {
            expr(cond);
            stmt(then);
            if let Some(s) = otherwise {
                stmt(s);
            }
        }
        StmtKind::While { cond, body } => {
            expr(cond);
            stmt(body);
        }
        StmtKind::For { head, body } => {
            let ForHead { init, cond, step } = &mut **head;
            [init, cond, step].into_iter().flatten().for_each(expr);
            stmt(body);
        }
        StmtKind::Foreach(f) => {
            for var in f.value.iter_mut().chain(&mut f.keys) {
                ident(&mut var.name);
                var.sort.iter_mut().for_each(|s| none(&mut s.span));
            }
            indexable(&mut f.array);
            f.slice.iter_mut().for_each(key);
            f.array_sort.iter_mut().for_each(|s| none(&mut s.span));
            f.limit.iter_mut().for_each(expr);
            stmt(&mut f.body);
        }
        StmtKind::Return(value) => value.iter_mut().for_each(expr),
        StmtKind::Delete(e) | StmtKind::Expr(e) => expr(e),
        StmtKind::Try {
            body,
            message,
            handler,
        } => {
            block(body);
            message.iter_mut().for_each(ident);
            block(handler);
        }
    }
}

fn indexable(array: &mut Indexable) {
    match array {
        Indexable::Array(name) => ident(name),
        Indexable::Hist(e) => expr(e),
    }
}

fn key(k: &mut Key) {
    match k {
        Key::Expr(e) => expr(e),
        Key::Any(span) => none(span),
    }
}

fn expr(e: &mut Expr) {
    none(&mut e.span);
    match &mut e.kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Error => {}
        ExprKind::Name(name) | ExprKind::ContextVar(name) => ident(name),
        ExprKind::Index { array, keys } | ExprKind::In { keys, array } => {
            indexable(array);
            keys.iter_mut().for_each(key);
        }
        ExprKind::Call { name, args } => {
            ident(name);
            args.iter_mut().for_each(expr);
        }
        ExprKind::Member { base, field } => {
            expr(base);
            ident(field);
        }
        ExprKind::AddressOf(e)
        | ExprKind::Pretty { base: e, .. }
        | ExprKind::Unary { operand: e, .. }
        | ExprKind::IncDec { operand: e, .. } => expr(e),
        ExprKind::Subscript { base: a, index: b }
        | ExprKind::Binary { lhs: a, rhs: b, .. }
        | ExprKind::Assign {
            target: a,
            value: b,
            ..
        } => {
            expr(a);
            expr(b);
        }
        ExprKind::Ternary {
            cond,
            then,
            otherwise,
        } => {
            expr(cond);
            expr(then);
            expr(otherwise);
        }
        ExprKind::Regex {
            expr: e, pattern, ..
        } => {
            expr(e);
            none(&mut pattern.span);
        }
        ExprKind::At { args, .. } => args.iter_mut().for_each(expr),
        ExprKind::Embedded(code) => none(&mut code.span),
    }
}
