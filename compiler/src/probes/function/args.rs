//! What parameters and results mean for how a function can be probed: where the calling convention puts them, and what
//! verifiers let programs on trampolines have.
//!
//! As C has it on x86-64 (System V ABI, section 3.2.3): what has up to two words is in registers, if there
//! are enough left, a structure as a whole; all else is on the stack. Of a result that has more, the caller passes the place, as
//! if it were the first argument, and gets it back.

use std::ops::Range;

use crate::btf::{Btf, Param, Signature, Type, TypeId};
use crate::probes::syscall;
use crate::target::{Feature, Target};

/// Bytes of a register, and of a place on the stack.
const WORD_BYTES: u64 = 8;
/// What is passed in registers has at most so many words.
const MAX_WORDS: usize = 2;
/// How many registers there are for arguments.
pub(super) const REGISTERS: usize = 6;
/// Words of an argument that are kept until the return.
const MAX_KEPT_WORDS: usize = 16;
/// Structures in structures.
const MAX_NESTING: u32 = 16;

/// Where a function finds an argument when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probes) enum Passed {
    /// In registers for arguments, from the one of this index on.
    Registers { first: usize, words: usize },
    /// So many bytes above the stack pointer.
    Stack(i64),
}

impl Passed {
    /// Which words these are to a return probe ([`crate::hir::ExprKind::EntryArg`]); `None` for what is too large to be kept.
    pub fn entry_words(self, bytes: u64) -> Option<Range<u8>> {
        let (first, words) = match self {
            Passed::Registers { first, words } => (first, words),
            Passed::Stack(offset) => {
                let below = usize::try_from(offset).ok()? / WORD_BYTES as usize - 1;
                (REGISTERS + below, bytes.div_ceil(WORD_BYTES) as usize)
            }
        };
        let end = u8::try_from(first + words).ok()?;
        (words <= MAX_KEPT_WORDS).then_some(first as u8..end)
    }
}

/// Where a function leaves its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// In registers for results.
    InRegisters { words: usize },
    /// In memory, of which the register for results has the address.
    InMemory,
}

/// How a type is passed.
#[derive(Clone, Copy)]
struct Shape {
    bytes: u64,
    alignment: u64,
    /// Whether it can be in registers.
    by_words: bool,
}

impl Shape {
    fn words(self) -> usize {
        self.bytes.div_ceil(WORD_BYTES) as usize
    }
}

/// Where the arguments are; `None` for those of which that depends on more than is known.
pub(super) fn passed(btf: &Btf, signature: &Signature) -> Vec<Option<Passed>> {
    let result = returned(btf, signature.result);
    let mut register = usize::from(result == Some(Returned::InMemory));
    // Above the return address.
    let mut stack = Some(WORD_BYTES as i64);
    let mut is_known = result.is_some();
    let mut all = Vec::with_capacity(signature.params.len());
    for param in &signature.params {
        let Some(shape) = shape(btf, param.ty).filter(|_| is_known) else {
            is_known = false;
            all.push(None);
            continue;
        };
        let words = shape.words();
        all.push(if shape.by_words && register + words <= REGISTERS {
            let first = register;
            register += words;
            Some(Passed::Registers { first, words })
        } else {
            // What the kernel aligns the stack to.
            let at = stack.filter(|_| shape.alignment <= WORD_BYTES);
            stack = at.map(|at| at + words as i64 * WORD_BYTES as i64);
            at.map(Passed::Stack)
        });
    }
    all
}

/// Where a result of a type is; `None` where that depends on more than is known.
pub(super) fn returned(btf: &Btf, ty: TypeId) -> Option<Returned> {
    if !is_composite(btf, ty) {
        return Some(Returned::InRegisters { words: 1 });
    }
    let shape = shape(btf, ty)?;
    Some(if shape.by_words {
        let words = shape.words();
        Returned::InRegisters { words }
    } else {
        Returned::InMemory
    })
}

fn shape(btf: &Btf, ty: TypeId) -> Option<Shape> {
    let bytes = btf.size_of(ty).ok()?;
    let (alignment, is_aligned) = alignment(btf, ty, 0)?;
    Some(Shape {
        bytes,
        alignment,
        by_words: bytes <= MAX_WORDS as u64 * WORD_BYTES && is_aligned,
    })
}

/// What addresses of a type are multiples of, and whether all that it consists of is where that wants it. `None` for
/// what is not passed as numbers are.
fn alignment(btf: &Btf, ty: TypeId, depth: u32) -> Option<(u64, bool)> {
    if depth > MAX_NESTING {
        return None;
    }
    let plain = |bytes: u32| Some((u64::from(bytes), true));
    match btf.get_stripped(ty).ok()?.1 {
        Type::Int { size, .. } => plain(size),
        Type::Enum(all) => plain(all.size),
        Type::Ptr(_) => Some((WORD_BYTES, true)),
        Type::Array { elem, .. } => alignment(btf, elem, depth + 1),
        Type::Struct(all) | Type::Union(all) => {
            let (mut most, mut is_aligned) = (1, true);
            for member in all.members() {
                let (own, within) = alignment(btf, member.ty, depth + 1)?;
                most = most.max(own);
                let bits = own.max(1) * 8;
                let is_in_place = u64::from(member.bit_offset).is_multiple_of(bits);
                is_aligned &= within && (member.bit_size != 0 || is_in_place);
            }
            Some((most, is_aligned))
        }
        Type::Void
        | Type::Fwd { .. }
        | Type::Func { .. }
        | Type::FuncProto(_)
        | Type::Float { .. }
        | Type::Var { .. }
        | Type::DataSec(_)
        | Type::DeclTag { .. }
        | Type::Modifier(..) => None,
    }
}

/// How many words a trampoline passes on, before the result, or why the kernel makes none for such a function.
pub(super) fn trampoline_words(
    target: &dyn Target,
    btf: &Btf,
    signature: &Signature,
) -> Result<usize, String> {
    if is_composite(btf, signature.result) {
        return Err("it returns a structure".to_owned());
    }
    let mut all = 0;
    for param in &signature.params {
        all += words_on_trampoline(target, btf, param)?;
    }
    if all > REGISTERS {
        return Err(format!(
            "its arguments take more than {REGISTERS} registers"
        ));
    }
    Ok(all)
}

fn words_on_trampoline(target: &dyn Target, btf: &Btf, param: &Param) -> Result<usize, String> {
    let ty = btf.get_stripped(param.ty);
    let shape = match ty {
        Ok((_, Type::Union(_))) => return Err("it takes a union by value".to_owned()),
        Ok((_, Type::Struct(_))) => shape(btf, param.ty),
        Ok((_, Type::Int { size, .. })) if u64::from(size) > WORD_BYTES => {
            return Err(format!("it takes a number of {size} bytes"));
        }
        _ => return Ok(1),
    };
    match shape {
        Some(shape) if shape.by_words && shape.bytes > 0 => {
            if target.has(Feature::StructArguments) {
                Ok(shape.words())
            } else {
                let (major, minor) = Feature::StructArguments.info().since;
                Err(format!(
                    "it takes a structure by value, which needs Linux {major}.{minor}"
                ))
            }
        }
        _ => Err("it takes a structure by value that is not in registers".to_owned()),
    }
}

/// Whether this kernel's verifier lets a program on a trampoline read all parameters, and the result where `is_return`.
pub(super) fn are_readable(
    target: &dyn Target,
    btf: &Btf,
    signature: &Signature,
    is_return: bool,
) -> bool {
    if target.has(Feature::PointerArguments) {
        return true;
    }
    let readable = |ty: TypeId| {
        syscall::readable(target, btf, ty)
            || target.has(Feature::NumberArguments) && to_number(btf, ty)
    };
    signature.params.iter().all(|param| readable(param.ty))
        && (!is_return || readable(signature.result))
}

/// Whether it is a structure or union.
pub(super) fn is_composite(btf: &Btf, ty: TypeId) -> bool {
    matches!(
        btf.get_stripped(ty),
        Ok((_, Type::Struct(_) | Type::Union(_)))
    )
}

/// Whether it points to a number.
fn to_number(btf: &Btf, ty: TypeId) -> bool {
    btf.pointee(ty)
        .is_some_and(|to| matches!(btf.get_stripped(to), Ok((_, Type::Int { .. }))))
}
