//! A variable for each value: where a string of a kernel handler is made out of what it was before, as in
//! `x = x . symname(a)`, its record would seem to grow for ever, and it could not be late. As several variables, one for each assignment,
//! it grows as often as it is assigned, and for ever only round a loop.

use crate::hir::visit::{VisitMut, walk_expr_mut, walk_stmt_mut};
use crate::hir::{
    AssignOp, Delete, Expr, ExprKind, Local, LocalData, Place, Program, Stmt, StmtKind, Ty,
};
use cranelift_entity::PrimaryMap;
use rtap_grammar::source::Span;

use super::number_bodies;

/// Divides a local variable of a body. Whether there are more variables now.
pub(super) fn divide(program: &mut Program, body: u32, local: Local) -> bool {
    let (overloads, first_probe) = number_bodies(program);
    let number = body as usize;
    if let Some((function, index)) = overloads.get(number) {
        let body = &mut program.functions[*function].overloads[*index];
        return Versions::new(&mut body.locals, local)
            .run(&mut body.stmts)
            .1;
    }
    let Some(probe) = number
        .checked_sub(first_probe)
        .and_then(|number| program.probes.get_mut(number))
    else {
        return false;
    };
    let (last, more) = Versions::new(&mut probe.locals, local).run(&mut probe.stmts);
    let mut rename = Rename {
        from: local,
        to: last,
    };
    for variant in &mut probe.variants {
        rename.stmts(&mut variant.epilogue);
    }
    more
}

struct Versions<'a> {
    locals: &'a mut PrimaryMap<Local, LocalData>,
    local: Local,
    /// The variable that has its value now.
    current: Local,
    /// The one that has it where the innermost loop's rounds begin.
    back: Option<Local>,
}

impl<'a> Versions<'a> {
    fn new(locals: &'a mut PrimaryMap<Local, LocalData>, local: Local) -> Self {
        Versions {
            locals,
            local,
            current: local,
            back: None,
        }
    }

    /// The last variable, and whether it is another than the first.
    fn run(mut self, stmts: &mut [Stmt]) -> (Local, bool) {
        let count = self.locals.len();
        self.stmts(stmts);
        (self.current, self.locals.len() != count)
    }

    fn is_place(&self, place: &Place) -> bool {
        matches!(place, Place::Local(local) if *local == self.local)
    }

    fn next(&mut self) {
        let data = self.locals[self.local].clone();
        self.current = self.locals.push(data);
    }

    /// Whether what follows is reached.
    fn stmts(&mut self, stmts: &mut [Stmt]) -> bool {
        stmts.iter_mut().all(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &mut Stmt) -> bool {
        let span = stmt.span;
        match &mut stmt.kind {
            StmtKind::Expr(Expr {
                kind: ExprKind::Assign { place, op, value },
                ..
            }) if self.is_place(place) && matches!(op, None | Some(AssignOp::Concat)) => {
                self.rename().expr(value);
                if op.take().is_some() {
                    let before = Expr::new(ExprKind::Local(self.current), Ty::Str, span);
                    let empty = Expr::new(ExprKind::Error, Ty::Error, span);
                    let added = std::mem::replace(&mut **value, empty);
                    **value = Expr::new(ExprKind::Concat(vec![before, added]), Ty::Str, span);
                }
                self.next();
                *place = Place::Local(self.current);
            }
            StmtKind::Block(body) => return self.stmts(body),
            StmtKind::If(cond, yes, no) => {
                self.rename().expr(cond);
                return self.either(yes, no, span);
            }
            StmtKind::Loop { .. } | StmtKind::Foreach(_) | StmtKind::ForeachBucket { .. } => {
                self.round(stmt);
            }
            StmtKind::Return(_) | StmtKind::Next => {
                self.rename().stmt(stmt);
                return false;
            }
            StmtKind::Break | StmtKind::Continue => {
                if let Some(back) = self.back.and_then(|head| self.copy_to(head, span)) {
                    let leave = Stmt {
                        kind: std::mem::replace(&mut stmt.kind, StmtKind::Break),
                        span,
                    };
                    stmt.kind = StmtKind::Block(vec![back, leave]);
                }
                return false;
            }
            // Where an error may lead out of the midst, the variable stays the same.
            _ => self.rename().stmt(stmt),
        }
        true
    }

    /// A loop: each round begins and ends with the same variable.
    fn round(&mut self, stmt: &mut Stmt) {
        let span = stmt.span;
        let mut inside = match &mut stmt.kind {
            StmtKind::Loop { body, .. } | StmtKind::ForeachBucket { body, .. } => {
                std::mem::take(body)
            }
            StmtKind::Foreach(foreach) => std::mem::take(&mut foreach.body),
            _ => return,
        };
        self.rename().stmt(stmt);
        let head = self.current;
        let outer = self.back.replace(head);
        if self.stmts(&mut inside) {
            inside.extend(self.copy_to(head, span));
        }
        self.back = outer;
        self.current = head;
        match &mut stmt.kind {
            StmtKind::Loop { body, .. } | StmtKind::ForeachBucket { body, .. } => *body = inside,
            StmtKind::Foreach(foreach) => foreach.body = inside,
            _ => {}
        }
    }

    /// Two branches: behind them one variable has what either left.
    fn either(&mut self, yes: &mut Vec<Stmt>, no: &mut Vec<Stmt>, span: Span) -> bool {
        let before = self.current;
        let goes_on = self.stmts(yes);
        let after_yes = std::mem::replace(&mut self.current, before);
        let also = self.stmts(no);
        if !goes_on {
            return also;
        }
        if !also {
            self.current = after_yes;
            return true;
        }
        if after_yes != self.current {
            let after_no = self.current;
            self.next();
            yes.push(copy(self.current, after_yes, span));
            no.push(copy(self.current, after_no, span));
        }
        true
    }

    /// Gives another variable the value of the present one.
    fn copy_to(&self, to: Local, span: Span) -> Option<Stmt> {
        (to != self.current).then(|| copy(to, self.current, span))
    }

    fn rename(&self) -> Rename {
        Rename {
            from: self.local,
            to: self.current,
        }
    }
}

fn copy(to: Local, from: Local, span: Span) -> Stmt {
    let assign = ExprKind::Assign {
        place: Place::Local(to),
        op: None,
        value: Box::new(Expr::new(ExprKind::Local(from), Ty::Str, span)),
    };
    Stmt {
        kind: StmtKind::Expr(Expr::new(assign, Ty::Str, span)),
        span,
    }
}

/// Puts one variable in the place of another.
struct Rename {
    from: Local,
    to: Local,
}

impl Rename {
    fn local(&self, local: &mut Local) {
        if *local == self.from {
            *local = self.to;
        }
    }
}

impl VisitMut for Rename {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Local(local) = &mut expr.kind {
            self.local(local);
        }
        walk_expr_mut(self, expr);
    }

    fn place(&mut self, place: &mut Place) {
        match place {
            Place::Local(local) => self.local(local),
            Place::Element(_, keys) => keys.iter_mut().for_each(|key| self.expr(key)),
            Place::Memory { addr, .. } => self.expr(addr),
            Place::Global(_) | Place::Error => {}
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        match &mut stmt.kind {
            StmtKind::Foreach(foreach) => {
                let value = foreach.value.iter_mut();
                for local in foreach.keys.iter_mut().chain(value) {
                    self.local(local);
                }
            }
            StmtKind::ForeachBucket { var, value, .. } => {
                for local in std::iter::once(var).chain(value) {
                    self.local(local);
                }
            }
            StmtKind::Try { var: Some(var), .. } => self.local(var),
            StmtKind::Delete(Delete::Local(local)) => self.local(local),
            _ => {}
        }
        walk_stmt_mut(self, stmt);
    }
}
