//! From where a variable is to what reads it.

use rtap_grammar::source::Span;

use super::super::Typed;
use super::Moment;
use crate::access::{BtfType, CType, extend};
use crate::btf::{self, Btf, PlaceKind};
use crate::dwarf::{Location, Value};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::{CtxReg, Space};
use crate::resolve::{Cx, int};
use crate::target::KernelObject;

/// The DWARF numbers of the registers for arguments, in their order.
const ARGUMENTS: [u16; 6] = [5, 4, 1, 2, 8, 9];
/// The registers that probes see: the general ones, and the instruction pointer.
const REGISTERS: u16 = 17;

/// What a location refers to.
pub(super) struct Lowering<'l> {
    pub object: &'l KernelObject,
    pub module: Option<&'l str>,
    pub moment: Moment,
    pub span: Span,
}

/// Which argument register a location at a function's entry is; an error for others, a clause about the variable.
pub(super) fn argument(location: &Location) -> Result<u8, String> {
    let number = match location {
        Location::Register(register) => ARGUMENTS.iter().position(|known| known == register),
        Location::Memory(_) | Location::Value(_) | Location::Bytes(_) => None,
    };
    let number = number.map(|number| number as u8);
    number.ok_or_else(|| {
        "only what is in a register for arguments at the entry is kept until the return".to_owned()
    })
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
        let expr = match location {
            _ if self.moment == Moment::Return => {
                let kind = ExprKind::EntryArg(argument(location)?);
                Expr::new(kind, Ty::Long, span)
            }
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
        if let Some(module) = self.module {
            return Err(format!(
                "it is static, and where module {module} has its variables only its symbols tell: @var(\"name\", \"{module}\")"
            ));
        }
        if self.object.is_per_cpu(address) {
            return Err("it is static and per-CPU: @var(\"name\") reads this CPU's".to_owned());
        }
        let found = cx.in_kernel(self.object, address, self.span);
        found.ok_or("it is static, and where the kernel is loaded is not known".to_owned())
    }
}
