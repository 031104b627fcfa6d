//! Values of LIR in machine code.

use regalloc2::VReg;

use super::Cx;
use super::text::Text;
use crate::bpf::frame::Access;
use crate::bpf::insn::{Cond, Src};
use crate::lir::{CoreId, SiteId, Ty, Value};

/// What a LIR value is in machine code.
#[derive(Clone, Copy, Debug)]
pub(super) enum Val {
    /// A known integer.
    Const(i64),
    /// An integer in a register.
    Reg(VReg),
    /// A kernel fact that the loader relocates.
    Core(CoreId),
    /// The outcome of a comparison that only branches use.
    Flag(Cond, VReg, Src<VReg>),
    /// A string.
    Text(Text),
}

/// What becomes of an operation's result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dest {
    /// The result, if there is one, and its type.
    pub value: Option<Value>,
    pub ty: Option<Ty>,
    /// First and last position at which it lives.
    pub range: (u32, u32),
    /// Whether a string should be zero-padded to its width: it is used as a key.
    pub padded: bool,
    /// Whether a string is read at variable offsets.
    pub variable: bool,
}

impl Dest {
    /// Most bytes of a string result.
    pub(super) fn cap(self) -> u32 {
        match self.ty {
            Some(Ty::Str { cap, .. }) => cap,
            Some(Ty::I64) | None => 0,
        }
    }

    pub(super) fn access(self) -> Access {
        if self.variable {
            Access::Variable
        } else {
            Access::Fixed
        }
    }
}

impl Cx<'_> {
    /// An integer value.
    pub(super) fn int(&mut self, value: Value) -> Val {
        self.vals[value].unwrap_or(Val::Const(0))
    }

    /// A string value.
    pub(super) fn text(&mut self, value: Value) -> Text {
        match self.vals[value] {
            Some(Val::Text(text)) => text,
            _ => Text::EMPTY,
        }
    }

    /// An integer in a register.
    pub(super) fn reg(&mut self, value: Value) -> VReg {
        let val = self.int(value);
        self.val_reg(val)
    }

    pub(super) fn val_reg(&mut self, val: Val) -> VReg {
        match val {
            Val::Const(value) => self.imm(value),
            Val::Reg(reg) => reg,
            Val::Core(core) => self.core(core),
            Val::Flag(cond, left, right) => self.flag_value(cond, true, left, right),
            Val::Text(_) => self.imm(0),
        }
    }

    /// A site's number as an operand of the error exit.
    pub(super) fn site(site: SiteId) -> Val {
        Val::Const(i64::from(site.as_u32()))
    }

    /// What becomes of `value`, defined here.
    pub(super) fn dest(&self, value: Option<Value>, ty: Option<Ty>) -> Dest {
        let Some(value) = value else {
            return Dest {
                value: None,
                ty,
                range: (self.pos, self.pos),
                padded: false,
                variable: false,
            };
        };
        let (first, last) = self.uses.range[value];
        Dest {
            value: Some(value),
            ty,
            range: (first.min(self.pos), last.max(self.pos)),
            padded: self.uses.padded[value],
            variable: self.uses.variable[value],
        }
    }
}
