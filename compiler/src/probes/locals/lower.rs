//! From where a variable is to what reads it.

use std::ops::Range;

use rtap_grammar::source::Span;

use super::super::Typed;
use super::super::function::{Passed, values};
use super::Moment;
use crate::access::{BtfType, CType, extend};
use crate::btf::{self, Btf, PlaceKind};
use crate::dwarf::{Location, Value};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::{BinOp, CtxReg, Space};
use crate::resolve::{Cx, int};
use crate::target::KernelObject;

/// The DWARF numbers of the registers for arguments, in their order.
const ARGUMENTS: [u16; 6] = [5, 4, 1, 2, 8, 9];
/// The DWARF number of the stack pointer.
const STACK_POINTER: u16 = 7;
/// The registers that probes see: the general ones, and the instruction pointer.
const REGISTERS: u16 = 17;

/// What a location refers to.
pub(super) struct Lowering<'l> {
    pub object: &'l KernelObject,
    pub module: Option<&'l str>,
    pub moment: Moment,
    pub span: Span,
}

/// Which words ([`ExprKind::EntryArg`]) a variable of so many bytes has if this is where it is at a function's entry; an
/// error for what is no argument, a clause about the variable.
pub(super) fn entry_words(location: &Location, bytes: u64) -> Result<Range<u8>, String> {
    let passed = match location {
        Location::Register(register) => {
            let first = ARGUMENTS.iter().position(|known| known == register);
            first.map(|first| Passed::Registers { first, words: 1 })
        }
        Location::Memory(address) => above_stack(address)
            .filter(|offset| *offset > 0)
            .map(Passed::Stack),
        Location::Value(_) | Location::Bytes(_) => None,
    };
    let words = passed.and_then(|passed| passed.entry_words(bytes));
    words.ok_or_else(|| "only arguments of up to 128 bytes are kept until the return".to_owned())
}

/// How far an address is above the stack pointer, if that is what it is told by.
fn above_stack(address: &Value) -> Option<i64> {
    let Value::Binary(BinOp::Add, base, offset) = address else {
        return None;
    };
    match (&**base, &**offset) {
        (Value::Register(STACK_POINTER), Value::Constant(offset)) => Some(*offset),
        _ => None,
    }
}

impl Lowering<'_> {
    /// A variable of a type; an error is a clause about it.
    pub fn variable(
        &self,
        cx: &mut Cx<'_>,
        location: &Location,
        ty: BtfType,
        btf: &Btf,
    ) -> Result<Typed, String> {
        let span = self.span;
        let place = btf::place(btf, ty.id).map_err(|error| error.to_string())?;
        let signed = match place.kind {
            PlaceKind::Integer { signed } | PlaceKind::Enum { signed } => Some(signed),
            PlaceKind::Pointer(_) => Some(false),
            PlaceKind::Float
            | PlaceKind::Composite
            | PlaceKind::CharArray { .. }
            | PlaceKind::Array { .. }
            | PlaceKind::Opaque => None,
        };
        if self.moment == Moment::Return {
            let words = entry_words(location, place.size)?.map(ExprKind::EntryArg);
            let kept = values::in_words(btf, words, ty, span);
            return kept.ok_or_else(|| "it has no bytes".to_owned());
        }
        let expr = match location {
            Location::Memory(address) => {
                let address = self.number(cx, address)?;
                let Some(signed) = signed else {
                    let ty = CType::Object(ty);
                    return Ok(Typed { expr: address, ty });
                };
                if !matches!(place.size, 1 | 2 | 4 | 8) {
                    return Err(format!("it has {} bytes, more than a number", place.size));
                }
                self.read(address, place.size as u8, signed)
            }
            Location::Register(register) => self.register(*register)?,
            Location::Value(value) => {
                let value = self.number(cx, value)?;
                // What is read from memory is not made narrower by whoever takes it.
                let unused = 64 - (place.size as u32 * 8).min(64);
                extend(value, unused, signed.unwrap_or(false), span)
            }
            Location::Bytes(bytes) => {
                let mut word = [0; 8];
                let Some(low) = word.get_mut(..bytes.len()) else {
                    return Err(format!("it is {} bytes that are in no memory", bytes.len()));
                };
                low.copy_from_slice(bytes);
                int(i64::from_le_bytes(word), span)
            }
        };
        let is_number = signed.is_some() || place.kind == PlaceKind::Composite && place.size <= 8;
        if !is_number {
            let name = btf.c_name(ty.id);
            return Err(format!("it is of the type {name} and in no memory"));
        }
        Ok(Typed {
            expr,
            ty: CType::Value(ty),
        })
    }

    fn register(&self, register: u16) -> Result<Expr, String> {
        if register >= REGISTERS {
            return Err(format!(
                "it is in a register that probes do not see (number {register})"
            ));
        }
        let kind = ExprKind::CtxReg(CtxReg::Dwarf(register as u8));
        Ok(Expr::new(kind, Ty::Long, self.span))
    }

    fn read(&self, address: Expr, size: u8, signed: bool) -> Expr {
        let kind = ExprKind::Read {
            addr: Box::new(address),
            space: Space::Kernel,
            size,
            signed,
            bits: None,
        };
        Expr::new(kind, Ty::Long, self.span)
    }

    fn number(&self, cx: &mut Cx<'_>, value: &Value) -> Result<Expr, String> {
        let span = self.span;
        let kind = match value {
            Value::Constant(number) => return Ok(int(*number, span)),
            Value::Register(register) => return self.register(*register),
            Value::Address(address) => return self.loaded(cx, *address),
            Value::Read(address, size) => {
                let address = self.number(cx, address)?;
                return Ok(self.read(address, *size, false));
            }
            Value::Low(value, bits, signed) => {
                let value = self.number(cx, value)?;
                return Ok(extend(value, 64 - u32::from(*bits), *signed, span));
            }
            Value::Binary(op, a, b) => {
                let (a, b) = (self.number(cx, a)?, self.number(cx, b)?);
                ExprKind::Bin(*op, Box::new(a), Box::new(b))
            }
            Value::Compare(op, a, b) => {
                let (a, b) = (self.number(cx, a)?, self.number(cx, b)?);
                ExprKind::Cmp(*op, Box::new(a), Box::new(b))
            }
        };
        Ok(Expr::new(kind, Ty::Long, span))
    }

    /// Where what is at an address of the file is in the running kernel.
    fn loaded(&self, cx: &mut Cx<'_>, address: u64) -> Result<Expr, String> {
        if self.object.is_per_cpu(address) {
            return Err("it is static and per-CPU: @var(\"name\") reads this CPU's".to_owned());
        }
        let found = cx.in_kernel((self.object, self.module), address, self.span);
        found.ok_or_else(|| match self.module {
            None => "it is static, and where the kernel is loaded is not known".to_owned(),
            Some(module) => {
                format!("it is static, and where module {module} has its variables is not known")
            }
        })
    }
}
