//! Expressions that tell a location: a machine with a stack, run over numbers that are not known yet.

use gimli::{DW_AT_byte_size, DW_AT_encoding, Expression, Operation, UnitOffset, constants as dw};

use super::super::Slice;
use super::location::{Location, Missing, Surroundings, Value};
use crate::lir::{BinOp, CmpOp};

/// Expressions refer to others no deeper: a variable's to the frame, this to the frame's address.
const MAX_LEVELS: u8 = 4;
/// Most operations of an expression, numbers on the stack, and parts of one number.
const MAX_OPERATIONS: usize = 256;
const MAX_STACK: usize = 64;
const MAX_PARTS: usize = 64;
/// The type of addresses.
const GENERIC: UnitOffset = UnitOffset(0);

/// The location that an expression tells.
pub(super) fn evaluate<'d>(
    around: &Surroundings<'_, 'd>,
    expression: Expression<Slice<'d>>,
    level: u8,
) -> Result<Location, Missing> {
    if level >= MAX_LEVELS {
        return Err(Missing::Unsupported("told by expressions in expressions"));
    }
    let mut machine = Machine {
        around,
        level,
        stack: Vec::new(),
    };
    machine.run(expression)
}

/// A number on the stack.
#[derive(Clone)]
struct Number {
    value: Value,
    parts: usize,
    /// Width in bits and sign, of numbers that are no addresses.
    ty: Option<(u8, bool)>,
}

struct Machine<'m, 'u, 'd> {
    around: &'m Surroundings<'u, 'd>,
    level: u8,
    stack: Vec<Number>,
}

impl<'d> Machine<'_, '_, 'd> {
    fn run(&mut self, expression: Expression<Slice<'d>>) -> Result<Location, Missing> {
        let mut operations = expression.operations(self.around.unit.unit.encoding());
        // What is told, once it is.
        let mut done: Option<Location> = None;
        let mut is_piece = false;
        for _ in 0..MAX_OPERATIONS {
            self.around.unit.budget.spend(1)?;
            let Some(operation) = operations.next()? else {
                return match (done, self.stack.pop()) {
                    (Some(done), _) => Ok(done),
                    (None, Some(address)) => Ok(Location::Memory(address.value)),
                    (None, None) => Err(Missing::NotHere),
                };
            };
            if is_piece {
                return Err(Missing::InPieces);
            }
            if let Operation::Piece { bit_offset, .. } = operation {
                let in_memory = self.stack.pop().map(|top| Location::Memory(top.value));
                done = done.or(in_memory);
                if done.is_none() || bit_offset.is_some_and(|bits| bits != 0) {
                    return Err(Missing::InPieces);
                }
                is_piece = true;
                continue;
            }
            if done.is_some() {
                return Err(Missing::Unsupported("told by an expression that goes on"));
            }
            done = self.step(operation)?;
        }
        Err(Missing::Unsupported("told by a very long expression"))
    }

    /// Gives the location if the operation tells it.
    fn step(&mut self, operation: Operation<Slice<'d>>) -> Result<Option<Location>, Missing> {
        match operation {
            Operation::Register { register } => return Ok(Some(Location::Register(register.0))),
            Operation::StackValue => {
                let top = self.pop()?;
                return Ok(Some(Location::Value(top.value)));
            }
            Operation::ImplicitValue { data } => {
                return Ok(Some(Location::Bytes(data.slice().to_vec())));
            }
            Operation::ImplicitPointer { .. } => return Err(Missing::NoTarget),
            Operation::Nop => {}
            Operation::UnsignedConstant { value } => self.push(constant(value.cast_signed()))?,
            Operation::SignedConstant { value } => self.push(constant(value))?,
            Operation::Address { address } => self.push(number(Value::Address(address)))?,
            Operation::AddressIndex { index } => {
                let unit = self.around.unit;
                let address = unit.dwarf.address(&unit.unit, index)?;
                self.push(number(Value::Address(address)))?;
            }
            Operation::ConstantIndex { index } => {
                let unit = self.around.unit;
                let value = unit.dwarf.address(&unit.unit, index)?;
                self.push(constant(value.cast_signed()))?;
            }
            Operation::RegisterOffset {
                register,
                offset,
                base_type,
            } => {
                let ty = self.type_of(base_type)?;
                let register = number(Value::Register(register.0));
                let sum = binary(BinOp::Add, register, constant(offset));
                self.push(typed(sum, ty))?;
            }
            Operation::FrameOffset { offset } => {
                let base = self.frame_base()?;
                self.push(binary(BinOp::Add, number(base), constant(offset)))?;
            }
            Operation::CallFrameCFA => {
                let frame = self.around.frame_address(self.level + 1)?;
                self.push(number(frame))?;
            }
            Operation::EntryValue { expression } => {
                let inner = evaluate(self.around, Expression(expression), self.level + 1)?;
                let value = match inner {
                    _ if !self.around.is_entry => return Err(Missing::AtEntry),
                    Location::Register(register) => Value::Register(register),
                    Location::Memory(value) => value,
                    Location::Value(_) | Location::Bytes(_) => return Err(Missing::AtEntry),
                };
                self.push(number(value))?;
            }
            Operation::Deref {
                base_type,
                size,
                space: false,
            } => {
                let address = self.pop()?;
                if !matches!(size, 1 | 2 | 4 | 8) {
                    return Err(Missing::Unsupported("told by memory of an odd size"));
                }
                let ty = self.type_of(base_type)?;
                let read = Number {
                    value: Value::Read(Box::new(address.value), size),
                    parts: address.parts + 1,
                    ty: None,
                };
                self.push(typed(read, ty))?;
            }
            Operation::Drop => {
                self.pop()?;
            }
            Operation::Pick { index } => {
                let at = self.stack.len().checked_sub(1 + usize::from(index));
                let picked = at.and_then(|at| self.stack.get(at)).cloned();
                self.push(picked.ok_or(TOO_FEW)?)?;
            }
            Operation::Swap => {
                let (under, top) = self.pop2()?;
                self.stack.push(top);
                self.push(under)?;
            }
            Operation::Rot => {
                let (second, top) = self.pop2()?;
                let third = self.pop()?;
                self.stack.push(top);
                self.stack.push(third);
                self.push(second)?;
            }
            Operation::Neg => {
                let top = self.pop()?;
                let ty = top.ty;
                self.push(typed(binary(BinOp::Sub, constant(0), top), ty))?;
            }
            Operation::Not => {
                let top = self.pop()?;
                let ty = top.ty;
                self.push(typed(binary(BinOp::Xor, top, constant(-1)), ty))?;
            }
            Operation::PlusConstant { value } => {
                let top = self.pop()?;
                let ty = top.ty;
                let sum = binary(BinOp::Add, top, constant(value.cast_signed()));
                self.push(typed(sum, ty))?;
            }
            Operation::Plus => self.combine(BinOp::Add)?,
            Operation::Minus => self.combine(BinOp::Sub)?,
            Operation::Mul => self.combine(BinOp::Mul)?,
            Operation::And => self.combine(BinOp::And)?,
            Operation::Or => self.combine(BinOp::Or)?,
            Operation::Xor => self.combine(BinOp::Xor)?,
            Operation::Shl => self.combine(BinOp::Shl)?,
            Operation::Shr => self.combine(BinOp::Shr)?,
            Operation::Shra => self.combine(BinOp::Sar)?,
            Operation::Eq => self.compare(CmpOp::Eq)?,
            Operation::Ne => self.compare(CmpOp::Ne)?,
            Operation::Lt => self.compare(CmpOp::Lt)?,
            Operation::Le => self.compare(CmpOp::Le)?,
            Operation::Gt => self.compare(CmpOp::Gt)?,
            Operation::Ge => self.compare(CmpOp::Ge)?,
            Operation::TypedLiteral { base_type, value } => {
                let ty = self.type_of(base_type)?;
                let value = number_of(value.slice()).ok_or(Missing::Unsupported(WIDE))?;
                self.push(typed(constant(value), ty))?;
            }
            Operation::Convert { base_type } => {
                let ty = self.type_of(base_type)?;
                let top = self.pop()?;
                self.push(typed(top, ty))?;
            }
            Operation::Reinterpret { base_type } => {
                let ty = self.type_of(base_type)?;
                let top = self.pop()?;
                self.push(typed(top, ty))?;
            }
            Operation::TLS => return Err(Missing::Unsupported("in the thread's own storage")),
            Operation::ParameterRef { .. } => return Err(Missing::AtEntry),
            Operation::Uninitialized => return Err(Missing::NotHere),
            Operation::Div | Operation::Mod | Operation::Abs => {
                return Err(Missing::Unsupported(
                    "told by a division or an absolute value",
                ));
            }
            Operation::Bra { .. } | Operation::Skip { .. } => {
                return Err(Missing::Unsupported("told by an expression with branches"));
            }
            Operation::Deref { space: true, .. }
            | Operation::PushObjectAddress
            | Operation::Call { .. }
            | Operation::VariableValue { .. }
            | Operation::Piece { .. }
            | Operation::WasmLocal { .. }
            | Operation::WasmGlobal { .. }
            | Operation::WasmStack { .. } => {
                return Err(Missing::Unsupported(
                    "told by operations of other languages",
                ));
            }
        }
        Ok(None)
    }

    fn push(&mut self, number: Number) -> Result<(), Missing> {
        if number.parts > MAX_PARTS || self.stack.len() >= MAX_STACK {
            return Err(Missing::Unsupported("told by a very long expression"));
        }
        self.stack.push(number);
        Ok(())
    }

    fn pop(&mut self) -> Result<Number, Missing> {
        self.stack.pop().ok_or(TOO_FEW)
    }

    /// The two on top, the upper one last.
    fn pop2(&mut self) -> Result<(Number, Number), Missing> {
        let top = self.pop()?;
        Ok((self.pop()?, top))
    }

    fn combine(&mut self, op: BinOp) -> Result<(), Missing> {
        let (mut a, b) = self.pop2()?;
        let ty = a.ty;
        // A logical shift brings in zeros at the number's own width.
        if op == BinOp::Shr
            && let Some((bits, true)) = ty
        {
            a = typed(a, Some((bits, false)));
        }
        self.push(typed(binary(op, a, b), ty))
    }

    fn compare(&mut self, op: CmpOp) -> Result<(), Missing> {
        let (a, b) = self.pop2()?;
        self.push(Number {
            parts: a.parts + b.parts + 1,
            value: Value::Compare(op, Box::new(a.value), Box::new(b.value)),
            ty: None,
        })
    }

    /// The value of `DW_AT_frame_base`.
    fn frame_base(&self) -> Result<Value, Missing> {
        let known = &self.around.known_base;
        if let Some(known) = known.get() {
            return known.clone();
        }
        let base = self.around.frame_base.ok_or(Missing::NoFrame)?;
        let found = match self.around.locate_within(base, self.level + 1) {
            Ok(Location::Register(register)) => Ok(Value::Register(register)),
            Ok(Location::Memory(value) | Location::Value(value)) => Ok(value),
            Ok(Location::Bytes(_)) => Err(Missing::NoFrame),
            Err(why) => Err(why),
        };
        known.get_or_init(|| found).clone()
    }

    /// Width and sign of a base type; `None` for addresses.
    fn type_of(&self, base_type: UnitOffset) -> Result<Option<(u8, bool)>, Missing> {
        if base_type == GENERIC {
            return Ok(None);
        }
        self.around.unit.budget.spend(1)?;
        let entry = self.around.unit.unit.entry(base_type)?;
        let size = entry.attr_value(DW_AT_byte_size);
        let bytes = size.and_then(|size| size.udata_value());
        let encoding = match entry.attr_value(DW_AT_encoding) {
            Some(gimli::AttributeValue::Encoding(encoding)) => encoding,
            _ => return Err(Missing::Unsupported(WIDE)),
        };
        let signed = match encoding {
            dw::DW_ATE_signed | dw::DW_ATE_signed_char => true,
            dw::DW_ATE_unsigned
            | dw::DW_ATE_unsigned_char
            | dw::DW_ATE_boolean
            | dw::DW_ATE_address => false,
            _ => return Err(Missing::Unsupported("told by a floating-point number")),
        };
        match bytes {
            Some(bytes @ 1..=8) => Ok(Some((bytes as u8 * 8, signed))),
            _ => Err(Missing::Unsupported(WIDE)),
        }
    }
}

const WIDE: &str = "told by a number of more than 64 bits";
const TOO_FEW: Missing = Missing::Unsupported("told by an expression that takes more than it has");

fn number(value: Value) -> Number {
    let parts = match &value {
        Value::Binary(..) => 3,
        _ => 1,
    };
    Number {
        value,
        parts,
        ty: None,
    }
}

fn constant(value: i64) -> Number {
    number(Value::Constant(value))
}

/// Two numbers put together, constants at once.
fn binary(op: BinOp, a: Number, b: Number) -> Number {
    let parts = a.parts + b.parts + 1;
    let value = match (op, a.value, b.value) {
        (BinOp::Add, a, Value::Constant(0)) => a,
        (BinOp::Add, Value::Constant(a), Value::Constant(b)) => Value::Constant(a.wrapping_add(b)),
        (BinOp::Add, Value::Binary(BinOp::Add, base, first), Value::Constant(second)) => {
            match *first {
                Value::Constant(first) if first == second.wrapping_neg() => *base,
                Value::Constant(first) => Value::Binary(
                    BinOp::Add,
                    base,
                    Box::new(Value::Constant(first.wrapping_add(second))),
                ),
                first => Value::Binary(
                    BinOp::Add,
                    Box::new(Value::Binary(BinOp::Add, base, Box::new(first))),
                    Box::new(Value::Constant(second)),
                ),
            }
        }
        (op, a, b) => Value::Binary(op, Box::new(a), Box::new(b)),
    };
    Number {
        value,
        parts,
        ty: None,
    }
}

/// A number of a type: of its width.
fn typed(number: Number, ty: Option<(u8, bool)>) -> Number {
    match ty {
        Some((bits, signed)) if bits < 64 => Number {
            value: Value::Low(Box::new(number.value), bits, signed),
            parts: number.parts + 1,
            ty,
        },
        _ => Number { ty, ..number },
    }
}

/// The number that so many bytes are; `None` for more than eight.
pub(in crate::dwarf) fn number_of(bytes: &[u8]) -> Option<i64> {
    let mut word = [0; 8];
    word.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(word))
}
