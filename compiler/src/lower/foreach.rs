//! `foreach` over arrays and over histograms' buckets.
//!
//! An iteration is ended on every way out of its loop: when it is done, on `break` (which goes
//! where being done goes), on `return` and `next` (`stmt`), and on errors that are
//! caught outside of the loop (through a landing block, made when the first such error
//! is lowered). Errors that leave the function end its iterations by themselves.

use rtap_grammar::source::Span;

use super::{Lower, Lowered, Scope};
use crate::hir::{Expr, Foreach, Local, StatRef, Stmt};
use crate::lir::*;

impl Lower<'_> {
    pub(super) fn foreach(&mut self, foreach: &Foreach, span: Span) -> Lowered<()> {
        let array = foreach.array;
        let slice = self.slice(array, &foreach.slice)?;
        let limit = match &foreach.limit {
            Some(limit) => Some(self.value(limit)?),
            None => None,
        };
        let site = self.site(ErrorKind::IterationTooBig, span);
        let is_open = slice.iter().all(Option::is_none);
        let handle = self.int(
            Op::IterBegin {
                array,
                slice: if is_open { Vec::new() } else { slice },
                sort: foreach.sort,
                limit,
                nest: None,
                site,
            },
            span,
        );
        let head = self.loop_start(span);
        let (body, done) = (self.builder.new_block(), self.builder.new_block());
        let mut supplied = self.tables.key_types(array);
        if foreach.value.is_some() {
            supplied.push(self.tables.value_type(array));
        }
        let supplied: Vec<Value> = supplied
            .into_iter()
            .map(|ty| self.builder.block_param(body, ty))
            .collect();
        let to = |block| BlockCall {
            block,
            args: Vec::new(),
        };
        let term = Terminator::IterNext {
            iter: handle,
            body: to(body),
            with_value: foreach.value.is_some(),
            done: to(done),
        };
        self.builder.terminate(term, span);
        self.builder.seal(body);
        self.builder.switch_to(body);
        let variables = foreach.keys.iter().chain(&foreach.value);
        for (local, value) in variables.zip(supplied) {
            self.set_local(*local, value, span)?;
        }
        self.scopes.push(Scope::Iter {
            handle,
            landing: None,
        });
        self.scopes.push(Scope::Loop {
            on_break: done,
            on_continue: head,
        });
        self.stmts(&foreach.body);
        self.scopes.pop();
        if !self.builder.is_terminated() {
            self.builder.jump(head, span);
        }
        self.builder.seal(head);
        self.landing(handle, span);
        self.builder.seal(done);
        self.builder.switch_to(done);
        self.effect(Op::IterEnd(handle), span);
        Ok(())
    }

    /// Leaves the scope of an iteration and, if errors in it are caught outside, makes the
    /// block that ends it on their way.
    fn landing(&mut self, handle: Value, span: Span) {
        let Some(Scope::Iter {
            landing: Some(landing),
            ..
        }) = self.scopes.pop()
        else {
            return;
        };
        self.builder.seal(landing);
        self.builder.switch_to(landing);
        self.effect(Op::IterEnd(handle), span);
        let (site, arg) = self.error_numbers(landing);
        self.raise(site, arg, span);
    }

    /// Assigns a local.
    fn set_local(&mut self, local: Local, value: Value, span: Span) -> Lowered<()> {
        let variable = self.local(local);
        let ty = self.builder.variable_ty(variable);
        let value = self.fit(value, ty, span)?;
        self.builder.write(variable, value);
        Ok(())
    }

    /// Goes through the buckets of a histogram by their indices.
    pub(super) fn foreach_bucket(
        &mut self,
        stat: &StatRef,
        histogram: u8,
        (var, value): (Local, Option<Local>),
        limit: Option<&Expr>,
        body: &[Stmt],
        span: Span,
    ) -> Lowered<()> {
        let keys = self.keys(stat.global, &stat.keys)?;
        let histograms = &self.program.globals[stat.global].stat.histograms;
        let buckets = histograms
            .get(usize::from(histogram))
            .map_or(0, |h| h.buckets());
        let buckets = self.const_int(buckets as i64, span);
        let limit = match limit {
            Some(limit) => Some(self.value(limit)?),
            None => None,
        };
        let index = self.builder.variable(Ty::I64);
        let zero = self.const_int(0, span);
        self.builder.write(index, zero);

        let head = self.loop_start(span);
        let (round, exit) = (self.builder.new_block(), self.builder.new_block());
        let step = self.builder.new_block();
        for end in [Some(buckets), limit].into_iter().flatten() {
            let block = if end == buckets && limit.is_some() {
                self.builder.new_block()
            } else {
                round
            };
            let i = self.builder.read(index);
            let more = self.compare(CmpOp::Lt, i, end, span);
            self.builder.branch(more, block, exit, span);
            self.builder.seal(block);
            self.builder.switch_to(block);
        }
        let i = self.builder.read(index);
        self.set_local(var, i, span)?;
        if let Some(value) = value {
            let site = self.site(ErrorKind::EmptyStat, span);
            let op = Op::StatBucket(stat.global, keys, i, histogram, site);
            let count = self.int(op, span);
            self.set_local(value, count, span)?;
        }
        self.scopes.push(Scope::Loop {
            on_break: exit,
            on_continue: step,
        });
        self.stmts(body);
        self.scopes.pop();
        if !self.builder.is_terminated() {
            self.builder.jump(step, span);
        }
        self.builder.seal(step);
        if self.builder.has_preds(step) {
            self.builder.switch_to(step);
            let i = self.builder.read(index);
            let one = self.const_int(1, span);
            let i = self.int(Op::Bin(BinOp::Add, i, one), span);
            self.builder.write(index, i);
            self.builder.jump(head, span);
        }
        self.builder.seal(head);
        self.builder.seal(exit);
        self.builder.switch_to(exit);
        Ok(())
    }
}
