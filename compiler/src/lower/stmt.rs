//! Statements.

use rtap_grammar::source::Span;

use super::{Leave, Lower, Lowered, Scope};
use crate::hir::{Delete, Expr, Local, Stmt, StmtKind};
use crate::lir::*;

impl Lower<'_> {
    /// Statements one after another. What follows one that never ends is left out. Faults
    /// are noted and lowering goes on after the statement.
    pub(super) fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            if let Err(fault) = self.stmt(stmt) {
                self.tables.faults.push(fault);
            }
            if self.builder.is_terminated() {
                return;
            }
        }
    }

    fn stmt(&mut self, stmt: &Stmt) -> Lowered<()> {
        let span = stmt.span;
        match &stmt.kind {
            StmtKind::Expr(expr) => self.effect_of(expr)?,
            StmtKind::Block(body) => self.stmts(body),
            StmtKind::If(cond, yes, no) => self.if_else(cond, yes, no, span)?,
            StmtKind::Loop { cond, body, step } => {
                self.loop_while(cond.as_ref(), body, step.as_ref(), span)?;
            }
            StmtKind::Foreach(foreach) => self.foreach(foreach, span)?,
            StmtKind::ForeachBucket {
                stat,
                histogram,
                var,
                value,
                limit,
                body,
            } => {
                let vars = (*var, *value);
                self.foreach_bucket(stat, *histogram, vars, limit.as_ref(), body, span)?;
            }
            StmtKind::Break => self.leave_loop(span, |on_break, _| on_break),
            StmtKind::Continue => self.leave_loop(span, |_, on_continue| on_continue),
            StmtKind::Next => self.next(span),
            StmtKind::Return(value) => self.return_value(value.as_ref(), span)?,
            StmtKind::Delete(delete) => self.delete(delete, span)?,
            StmtKind::Try { body, var, catch } => self.try_catch(body, *var, catch, span)?,
        }
        Ok(())
    }

    fn if_else(&mut self, cond: &Expr, yes: &[Stmt], no: &[Stmt], span: Span) -> Lowered<()> {
        let join = self.builder.new_block();
        let yes_block = self.builder.new_block();
        let no_block = if no.is_empty() {
            join
        } else {
            self.builder.new_block()
        };
        self.condition(cond, yes_block, no_block)?;
        for (block, stmts) in [(yes_block, yes), (no_block, no)] {
            if block == join {
                continue;
            }
            self.builder.seal(block);
            self.builder.switch_to(block);
            self.stmts(stmts);
            if !self.builder.is_terminated() {
                self.builder.jump(join, span);
            }
        }
        self.builder.seal(join);
        self.continue_in(join);
        Ok(())
    }

    /// Goes on in a sealed block. Nothing may lead there: then what follows is dead, and a
    /// terminated block stays current so that it is left out.
    fn continue_in(&mut self, block: Block) {
        if self.builder.has_preds(block) || !self.builder.is_terminated() {
            self.builder.switch_to(block);
        }
    }

    fn loop_while(
        &mut self,
        cond: Option<&Expr>,
        body: &[Stmt],
        step: Option<&Expr>,
        span: Span,
    ) -> Lowered<()> {
        let head = self.loop_start(span);
        let exit = self.builder.new_block();
        let body_block = self.builder.new_block();
        match cond {
            Some(cond) => self.condition(cond, body_block, exit)?,
            None => self.builder.jump(body_block, span),
        }
        self.builder.seal(body_block);
        self.builder.switch_to(body_block);
        let on_continue = match step {
            Some(_) => self.builder.new_block(),
            None => head,
        };
        self.scopes.push(Scope::Loop {
            on_break: exit,
            on_continue,
        });
        self.stmts(body);
        self.scopes.pop();
        if !self.builder.is_terminated() {
            self.builder.jump(on_continue, span);
        }
        if let Some(step) = step {
            self.builder.seal(on_continue);
            if self.builder.has_preds(on_continue) {
                self.builder.switch_to(on_continue);
                self.effect_of(step)?;
                self.builder.jump(head, span);
            }
        }
        self.builder.seal(head);
        self.builder.seal(exit);
        self.continue_in(exit);
        Ok(())
    }

    /// Begins a loop's head, which is still to be sealed.
    pub(super) fn loop_start(&mut self, span: Span) -> Block {
        let head = self.builder.new_block();
        let site = self.site(ErrorKind::MaxAction, span);
        self.builder.loop_head(head, site);
        self.builder.jump(head, span);
        self.builder.switch_to(head);
        head
    }

    /// `break` and `continue`. A loop is never left across an iteration: the
    /// innermost loop of a `foreach` is its own, whose exits end it.
    fn leave_loop(&mut self, span: Span, which: impl Fn(Block, Block) -> Block) {
        let innermost = self.scopes.iter().rev().find_map(|scope| match scope {
            Scope::Loop {
                on_break,
                on_continue,
            } => Some(which(*on_break, *on_continue)),
            Scope::Try { .. } | Scope::Iter { .. } => None,
        });
        if let Some(to) = innermost {
            self.builder.jump(to, span);
        }
    }

    /// Ends all iterations that are open here.
    fn end_iterations(&mut self, span: Span) {
        for i in (0..self.scopes.len()).rev() {
            if let Scope::Iter { handle, .. } = self.scopes[i] {
                self.effect(Op::IterEnd(handle), span);
            }
        }
    }

    fn next(&mut self, span: Span) {
        match self.leave {
            Leave::Handler => {
                self.end_iterations(span);
                self.builder.terminate(Terminator::Return(None), span);
            }
            Leave::Function {
                next: Some(next), ..
            } => {
                self.end_iterations(span);
                self.builder.jump(next, span);
            }
            Leave::Function { next: None, .. } => {
                let site = self.site(ErrorKind::NoOverload, span);
                self.raise_site(site, span);
            }
        }
    }

    fn return_value(&mut self, value: Option<&Expr>, span: Span) -> Lowered<()> {
        let ret = match self.leave {
            Leave::Handler => None,
            Leave::Function { ret, .. } => ret,
        };
        match (value, ret) {
            (Some(value), Some(ty)) => {
                let value = self.value_as(value, ty)?;
                self.end_iterations(span);
                self.builder
                    .terminate(Terminator::Return(Some(value)), span);
            }
            (value, _) => {
                if let Some(value) = value {
                    self.effect_of(value)?;
                }
                self.end_iterations(span);
                self.return_nothing(span);
            }
        }
        Ok(())
    }

    fn delete(&mut self, delete: &Delete, span: Span) -> Lowered<()> {
        match delete {
            Delete::Local(local) => {
                let variable = self.local(*local);
                let ty = self.builder.variable_ty(variable);
                let nothing = self.nothing(ty, span);
                self.builder.write(variable, nothing);
            }
            Delete::Global(global) => {
                let scalar = match self.tables.module.globals[*global].kind {
                    GlobalKind::Scalar { ty, .. } => Some(ty),
                    GlobalKind::Stat(_) | GlobalKind::Array { .. } => None,
                };
                match scalar {
                    Some(ty @ (Ty::I64 | Ty::Str { late: false, .. })) => {
                        let nothing = self.nothing(ty, span);
                        self.effect(Op::GlobalSet(*global, nothing), span);
                    }
                    _ => self.effect(Op::Clear(*global, Vec::new()), span),
                }
            }
            Delete::Element(array, keys) => {
                let keys = self.keys(*array, keys)?;
                self.effect(Op::ArrayDel(*array, keys), span);
            }
            Delete::Slice(array, keys) => {
                let keys = self.slice(*array, keys)?;
                let given: Option<Vec<Value>> = keys.iter().copied().collect();
                let op = match given {
                    Some(keys) if !keys.is_empty() => Op::ArrayDel(*array, keys),
                    _ if keys.iter().all(Option::is_none) => Op::Clear(*array, Vec::new()),
                    _ => Op::Clear(*array, keys),
                };
                self.effect(op, span);
            }
        }
        Ok(())
    }

    fn try_catch(
        &mut self,
        body: &[Stmt],
        var: Option<Local>,
        catch: &[Stmt],
        span: Span,
    ) -> Lowered<()> {
        let caught = self.catch_block();
        let join = self.builder.new_block();
        self.scopes.push(Scope::Try { catch: caught });
        self.stmts(body);
        self.scopes.pop();
        if !self.builder.is_terminated() {
            self.builder.jump(join, span);
        }
        self.builder.seal(caught);
        self.builder.switch_to(caught);
        if let Some(var) = var {
            let variable = self.local(var);
            let ty = self.builder.variable_ty(variable);
            let (site, arg) = self.error_numbers(caught);
            let cap = match ty {
                Ty::Str { cap, late: false } => cap,
                Ty::I64 | Ty::Str { .. } => self.max_cap(),
            };
            let text = self.text(Op::ErrText(site, arg), cap, span);
            let text = self.fit(text, ty, span)?;
            self.builder.write(variable, text);
        }
        self.stmts(catch);
        if !self.builder.is_terminated() {
            self.builder.jump(join, span);
        }
        self.builder.seal(join);
        self.continue_in(join);
        Ok(())
    }

    /// The two parameters that a catch block begins with.
    pub(super) fn error_numbers(&self, catch: Block) -> (Value, Value) {
        match self.builder.block_params(catch) {
            [site, arg, ..] => (*site, *arg),
            _ => unreachable!("catch blocks are made with two parameters"),
        }
    }
}
