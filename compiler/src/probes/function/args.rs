//! What parameters mean for how a function can be probed: which types old verifiers keep from programs on
//! trampolines, and where arguments are when structures are passed by value.

use crate::btf::{Btf, Param, Signature, Type, TypeId};
use crate::probes::syscall;
use crate::target::{Feature, Target};

/// Structures up to this size are passed in registers.
const MAX_STRUCT_BYTES: u64 = 16;

/// Whether a structure is passed by value. On trampolines kernels before 6.1 refuse such functions.
pub(super) fn has_structures(btf: &Btf, signature: &Signature) -> bool {
    signature
        .params
        .iter()
        .any(|param| is_structure(btf, param.ty))
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
        syscall::readable(btf, ty) || target.has(Feature::NumberArguments) && to_number(btf, ty)
    };
    signature.params.iter().all(|param| readable(param.ty))
        && (!is_return || readable(signature.result))
}

/// Which of the registers for arguments has the one with this index; `None` where that depends on more than is known.
pub(super) fn register(btf: &Btf, params: &[Param], index: usize) -> Option<usize> {
    let mut register = 0;
    for param in params.get(..index)? {
        register += if is_structure(btf, param.ty) {
            let bytes = btf.size_of(param.ty).ok()?;
            if bytes > MAX_STRUCT_BYTES {
                return None;
            }
            bytes.div_ceil(8) as usize
        } else {
            1
        };
    }
    Some(register)
}

/// How far above the stack pointer a function finds, when it begins, the parameter with this index behind those in registers:
/// above it is where it returns to. `None` where structures may be on the stack too.
pub(super) fn stack_offset(
    btf: &Btf,
    params: &[Param],
    index: usize,
    registers: usize,
) -> Option<i64> {
    const WORD_BYTES: i64 = 8;
    let on_stack = index.checked_sub(registers)?;
    let plain = |param: &Param| {
        let bytes = btf.size_of(param.ty);
        !is_structure(btf, param.ty) && bytes.is_ok_and(|bytes| bytes <= 8)
    };
    let return_address = 1;
    params
        .iter()
        .all(plain)
        .then_some(WORD_BYTES * (on_stack as i64 + return_address))
}

/// Whether it is a structure or union: of such a result no kernel makes a trampoline.
pub(super) fn is_structure(btf: &Btf, ty: TypeId) -> bool {
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
