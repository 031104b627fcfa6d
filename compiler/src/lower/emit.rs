//! Appending operations: what expressions, statements and builtins are made with.

use bstr::{BStr, BString};
use rtap_grammar::source::Span;

use crate::target::arch::Arch;

use super::{Fault, Lower, Lowered, Scope};
use crate::lir::{
    Block, BlockCall, CmpOp, Context, ErrorKind, Exec, Format, FormatId, Op, Site, SiteId, TableId,
    Terminator, Ty, Value,
};

impl Lower<'_> {
    /// Appends an operation; its result's type, if it has one, is `ty`. An error goes to the
    /// innermost `catch` of the function, if there is one around.
    pub fn emit(&mut self, op: Op, ty: Option<Ty>, span: Span) -> Option<Value> {
        if op.can_fail()
            && let Some(catch) = self.error_target()
        {
            return self.builder.try_op(op, ty, catch, span);
        }
        if let Some(ty) = ty {
            return Some(self.builder.value(op, ty, span));
        }
        self.builder.effect(op, span);
        None
    }

    /// Appends an operation whose result is an integer.
    pub fn int(&mut self, op: Op, span: Span) -> Value {
        self.emit(op, Some(Ty::I64), span)
            .expect("a type was given, so there is a result")
    }

    /// Appends an operation whose result is a string of at most `cap` bytes.
    pub fn text(&mut self, op: Op, cap: u32, span: Span) -> Value {
        self.string(op, (cap, false), span)
    }

    /// Appends an operation whose result is a string as wide, and as late, as `cap` says.
    pub fn string(&mut self, op: Op, (cap, late): (u32, bool), span: Span) -> Value {
        self.emit(op, Some(Ty::Str { cap, late }), span)
            .expect("a type was given, so there is a result")
    }

    /// Appends an operation without a result.
    pub fn effect(&mut self, op: Op, span: Span) {
        self.emit(op, None, span);
    }

    /// A number.
    pub fn const_int(&mut self, n: i64, span: Span) -> Value {
        let value = self.int(Op::Const(n), span);
        self.constants.insert(value, n);
        value
    }

    /// The number that a value is known to be.
    pub fn as_const(&self, value: Value) -> Option<i64> {
        self.constants.get(&value).copied()
    }

    /// The text that a value is known to be.
    pub fn as_const_text(&self, value: Value) -> Option<BString> {
        let text = self.constant_texts.get(&value)?;
        Some(self.tables.module.strings[*text].clone())
    }

    /// A string constant in a value of at most `cap` bytes.
    pub fn const_text(&mut self, text: &[u8], cap: u32, span: Span) -> Value {
        let text = &text[..text.len().min(cap as usize)];
        let id = self.tables.string(BStr::new(text));
        let value = self.text(Op::StrConst(id), cap, span);
        self.constant_texts.insert(value, id);
        value
    }

    /// Compares two integers.
    pub fn compare(&mut self, op: CmpOp, a: Value, b: Value, span: Span) -> Value {
        self.int(Op::Cmp(op, a, b), span)
    }

    /// A format, to be used by `Op::Emit`, `Op::StrFormat`, `Op::StrLate`.
    pub fn format(&mut self, format: Format) -> FormatId {
        self.tables.format(format)
    }

    /// A table of strings.
    pub fn table(&mut self, texts: Vec<BString>) -> TableId {
        self.tables.table(texts)
    }

    /// String number `n` of a table; "" where it has none.
    pub fn look_up(&mut self, texts: Vec<BString>, n: Value, cap: u32, span: Span) -> Value {
        let table = self.table(texts);
        self.text(Op::StrTable(table, n), cap, span)
    }

    /// An error site at `span`, whose text the message names.
    pub fn site(&mut self, kind: ErrorKind, span: Span) -> SiteId {
        self.site_near(kind, self.near(span), span)
    }

    /// An error site with the words of the message.
    pub fn site_near(&mut self, kind: ErrorKind, near: String, span: Span) -> SiteId {
        let position = self.files.describe(span);
        self.tables.site(Site {
            kind,
            near,
            position,
            caller: self.caller,
        })
    }

    /// Raises the error of a site. What follows is not reachable.
    pub fn raise_site(&mut self, site: SiteId, span: Span) {
        let number = self.int(Op::Site(site), span);
        let arg = self.const_int(0, span);
        self.raise(number, arg, span);
    }

    /// Raises an error out of its two numbers. What follows is not reachable.
    pub(super) fn raise(&mut self, site: Value, arg: Value, span: Span) {
        match self.error_target() {
            Some(catch) => self.builder.jump_with(catch, vec![site, arg], span),
            None => self
                .builder
                .terminate(Terminator::Raise { site, arg }, span),
        }
    }

    /// Where errors go at this place: a block whose parameters are site and argument.
    /// `None` if they leave the function.
    pub(super) fn error_target(&mut self) -> Option<Block> {
        self.error_target_from(self.scopes.len())
    }

    /// The same for the outermost `depth` scopes.
    pub(super) fn error_target_from(&mut self, depth: usize) -> Option<Block> {
        let scopes = &self.scopes[..depth];
        if !scopes.iter().any(|s| matches!(s, Scope::Try { .. })) {
            return None;
        }
        let at = scopes
            .iter()
            .rposition(|s| !matches!(s, Scope::Loop { .. }))?;
        match self.scopes[at] {
            Scope::Try { catch } => Some(catch),
            Scope::Iter {
                landing: Some(landing),
                ..
            } => Some(landing),
            Scope::Iter { .. } | Scope::Loop { .. } => {
                let block = self.catch_block();
                if let Scope::Iter { landing, .. } = &mut self.scopes[at] {
                    *landing = Some(block);
                }
                Some(block)
            }
        }
    }

    /// A new block that takes an error's site and argument.
    pub(super) fn catch_block(&mut self) -> Block {
        let block = self.builder.new_block();
        self.builder.block_param(block, Ty::I64);
        self.builder.block_param(block, Ty::I64);
        block
    }

    /// The widest string there is, bytes.
    pub fn max_cap(&self) -> u32 {
        self.program.limits.max_string_len.saturating_sub(1)
    }

    /// The executor that this code is for; `None` if it is for both.
    pub fn exec(&self) -> Option<Exec> {
        self.spec.exec
    }

    /// The context that this code is for, if it is a handler or a function for one kind only.
    pub fn context(&self) -> Option<Context> {
        self.spec.context
    }

    /// Whether this code is for system calls.
    pub fn is_syscall(&self) -> bool {
        self.spec.syscall
    }

    /// The processor.
    pub fn arch(&self) -> Arch {
        self.tables.arch
    }

    /// A value of type `ty` that is computed in one of several ways: `arms` makes each, by its
    /// index, according to which of the constants `value` is; the last one is for all other
    /// numbers.
    pub fn select(
        &mut self,
        value: Value,
        constants: &[i64],
        ty: Ty,
        span: Span,
        mut arm: impl FnMut(&mut Self, usize) -> Lowered<Value>,
    ) -> Lowered<Value> {
        let join = self.builder.new_block();
        let result = self.builder.block_param(join, ty);
        let blocks: Vec<Block> = (0..=constants.len())
            .map(|_| self.builder.new_block())
            .collect();
        let to = |block: &Block| BlockCall {
            block: *block,
            args: Vec::new(),
        };
        let term = Terminator::Switch {
            value,
            cases: constants
                .iter()
                .zip(&blocks)
                .map(|(n, block)| (*n, to(block)))
                .collect(),
            default: to(&blocks[constants.len()]),
        };
        self.builder.terminate(term, span);
        let mut fault = None;
        for (i, block) in blocks.into_iter().enumerate() {
            self.builder.seal(block);
            self.builder.switch_to(block);
            match arm(self, i) {
                Ok(value) => self.builder.jump_with(join, vec![value], span),
                Err(error) => {
                    self.builder.terminate(Terminator::Unreachable, span);
                    fault = Some(error);
                }
            }
        }
        self.builder.seal(join);
        self.builder.switch_to(join);
        fault.map_or(Ok(result), Err)
    }

    /// A fault here, and what to do instead.
    pub fn fault<T>(
        &self,
        span: Span,
        message: impl Into<String>,
        help: &'static str,
    ) -> Lowered<T> {
        Err(Fault {
            span,
            message: message.into(),
            help: Some(help),
        })
    }

    /// The characters of a string are needed in a kernel handler, which only user space can make.
    pub fn no_characters<T>(&self, span: Span, what: &str) -> Lowered<T> {
        Err(Fault {
            span,
            message: format!("{what} is made in user space, and is needed in the kernel"),
            help: None,
        })
    }
}
