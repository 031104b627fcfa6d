//! Where a variable is at an address.

use std::cell::OnceCell;

use gimli::{AttributeValue, Expression};
use thiserror::Error;

use super::super::unit::Unit;
use super::super::{DwarfError, Slice};
use super::frame::LocationTables;
use super::stack;
use crate::lir::{BinOp, CmpOp};

/// Where a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the register of this DWARF number.
    Register(u16),
    /// In memory at this address.
    Memory(Value),
    /// Nowhere: this is its value.
    Value(Value),
    /// Nowhere: these bytes are its value.
    Bytes(Vec<u8>),
}

/// A number, as what the processor holds at the address tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Always this.
    Constant(i64),
    /// What the register of this DWARF number holds.
    Register(u16),
    /// An address in the file: where it is loaded is added.
    Address(u64),
    /// Two numbers put together.
    Binary(BinOp, Box<Value>, Box<Value>),
    /// Two numbers compared: 0 or 1.
    Compare(CmpOp, Box<Value>, Box<Value>),
    /// What so many bytes of memory at an address hold, zero-extended.
    Read(Box<Value>, u8),
    /// The lowest bits of a number, sign- or zero-extended.
    Low(Box<Value>, u8, bool),
}

/// Why a variable cannot be read. Its `Display` is a clause for a diagnostic, whose subject is the variable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is said of where it is.
    #[error("the compiler has optimised it out")]
    OptimisedOut,
    /// It is somewhere at other instructions only.
    #[error(
        "the compiler does not keep it at this instruction, though it does at others of the function"
    )]
    NotHere,
    /// `DW_OP_entry_value`
    #[error(
        "its value is what the function was called with, which is no longer kept at this instruction: take it where the function begins"
    )]
    AtEntry,
    /// `DW_OP_piece`
    #[error("it is in several pieces, in different places")]
    InPieces,
    /// `DW_OP_implicit_pointer`
    #[error("it points to a variable that the compiler keeps in no memory")]
    NoTarget,
    /// Neither .debug_frame nor .eh_frame has the address.
    #[error(
        "it is in the function's frame, and where that begins is told neither in .debug_frame nor in .eh_frame"
    )]
    NoFrame,
    /// What rtap does not know, or does not read.
    #[error("its place is {0}, which rtap does not read")]
    Unsupported(&'static str),
    /// It cannot be understood.
    #[error("{0}")]
    Damaged(DwarfError),
}

impl From<DwarfError> for Missing {
    fn from(error: DwarfError) -> Self {
        Self::Damaged(error)
    }
}

impl From<gimli::Error> for Missing {
    fn from(error: gimli::Error) -> Self {
        Self::Damaged(error.into())
    }
}

/// What locations at an address refer to.
pub(super) struct Surroundings<'u, 'd> {
    pub unit: &'u Unit<'d>,
    pub tables: &'d LocationTables,
    pub address: u64,
    /// Whether the function begins there: what it was called with is where the caller put it.
    pub is_entry: bool,
    /// Where the function's frame is.
    pub frame_base: Option<AttributeValue<Slice<'d>>>,
    /// The same as a number, and the frame's address, once they were asked for.
    pub known_base: OnceCell<Result<Value, Missing>>,
    pub known_address: OnceCell<Result<Value, Missing>>,
}

impl<'d> Surroundings<'_, 'd> {
    /// What the attribute of an entry says.
    pub fn locate(&self, value: AttributeValue<Slice<'d>>) -> Result<Location, Missing> {
        self.locate_within(value, 0)
    }

    pub(super) fn locate_within(
        &self,
        value: AttributeValue<Slice<'d>>,
        level: u8,
    ) -> Result<Location, Missing> {
        let expression = match value {
            AttributeValue::Exprloc(expression) => Some(expression),
            AttributeValue::Block(bytes) => Some(Expression(bytes)),
            list => self.listed(list)?,
        };
        let expression = expression.ok_or(Missing::NotHere)?;
        if expression.0.is_empty() {
            return Err(Missing::NotHere);
        }
        stack::evaluate(self, expression, level)
    }

    /// That of a list by address which is of this one.
    fn listed(
        &self,
        list: AttributeValue<Slice<'d>>,
    ) -> Result<Option<Expression<Slice<'d>>>, Missing> {
        let Some(mut list) = self.unit.dwarf.attr_locations(&self.unit.unit, list)? else {
            return Err(Missing::Unsupported("of a form that no standard has"));
        };
        while let Some(entry) = list.next()? {
            self.unit.budget.spend(1)?;
            if (entry.range.begin..entry.range.end).contains(&self.address) {
                return Ok(Some(entry.data));
            }
        }
        Ok(None)
    }
}
