//! String operations on constants, and identities of strings.

#![allow(clippy::many_single_char_names, reason = "operands are a and b")]

use bstr::ByteSlice;

use super::fold::{Folded, Known};
use crate::builtins::names;
use crate::lir::{Function, Module, Op, PointText, Ty, Value};

/// Folds an operation of strings whose result is of type `ty`.
pub(super) fn fold(op: &Op, ty: Ty, known: &Known, function: &Function, module: &Module) -> Folded {
    let text = |value: &Value| known.text(*value).map(|id| module.strings[id].as_slice());
    match op {
        Op::StrSome(a) => match text(a) {
            Some(text) => Folded::Int(i64::from(!text.is_empty())),
            None => Folded::No,
        },
        Op::StrLen(a) => match text(a) {
            Some(a) => Folded::Int(a.len() as i64),
            None => Folded::No,
        },
        Op::StrEq(a, b) if a == b => Folded::Int(1),
        Op::StrEq(a, b) => match (text(a), text(b)) {
            (Some(a), Some(b)) => Folded::Int(i64::from(a == b)),
            // Constants to the right.
            (Some(_), None) => Folded::Op(Op::StrEq(*b, *a)),
            (None, _) => Folded::No,
        },
        Op::StrCmp(a, b) => match (text(a), text(b)) {
            (Some(a), Some(b)) => Folded::Int(a.cmp(b) as i64),
            _ => Folded::No,
        },
        Op::StrFind(a, b) => match (text(a), text(b)) {
            (Some(a), Some(b)) => Folded::Int(a.find(b).map_or(-1, |at| at as i64)),
            (None, Some([])) => Folded::Int(0),
            _ => Folded::No,
        },
        Op::StrByte(a, at) => match (text(a), known.int(*at)) {
            (Some(a), Some(at)) => {
                let byte = usize::try_from(at).ok().and_then(|at| a.get(at));
                Folded::Int(byte.copied().map_or(0, i64::from))
            }
            _ => Folded::No,
        },
        Op::StrFromByte(byte) => match known.int(*byte).map(|n| n as u8) {
            Some(0) => Folded::Text(Vec::new()),
            Some(byte) => Folded::Text(vec![byte]),
            None => Folded::No,
        },
        Op::StrCut(a) if function.ty(*a) == ty => Folded::Value(*a),
        Op::StrCut(a) => cut(*a, ty, known, function, text(a)),
        Op::StrConcat(parts) => concat(parts, ty, known, function, &text),
        Op::StrTable(table, n) => match known.int(*n) {
            Some(n) => {
                let found = usize::try_from(n).ok();
                let text = found.and_then(|n| module.tables[*table].get(n));
                Folded::Text(cut_to(text.map_or(b"", |text| text.as_slice()), ty).to_vec())
            }
            None => Folded::No,
        },
        Op::StrFlags(table, n) => match known.int(*n) {
            Some(n) => {
                let text = names::flags(n, names::items_of(&module.tables[*table]));
                Folded::Text(cut_to(text.as_bytes(), ty).to_vec())
            }
            None => Folded::No,
        },
        Op::PointText(which, number) => {
            let Some(point) = known.int(*number).and_then(|n| module.point(n)) else {
                return Folded::No;
            };
            let text = match which {
                PointText::Full => &point.text,
                PointText::Function => &point.function,
                PointText::Module => &point.module,
            };
            Folded::Text(cut_to(text.as_bytes(), ty).to_vec())
        }
        _ => Folded::No,
    }
}

/// A text as it is in a value of this type.
fn cut_to(text: &[u8], ty: Ty) -> &[u8] {
    match ty {
        Ty::Str { cap, .. } => &text[..text.len().min(cap as usize)],
        Ty::I64 => text,
    }
}

fn cut(value: Value, ty: Ty, known: &Known, function: &Function, text: Option<&[u8]>) -> Folded {
    if let (Some(text), Ty::Str { late: false, .. }) = (text, ty) {
        return Folded::Text(cut_to(text, ty).to_vec());
    }
    // A cut of a cut is one cut, unless it only widens what was narrowed.
    let Some(Op::StrCut(inner)) = known.op(value) else {
        return Folded::No;
    };
    match (function.ty(*inner), function.ty(value), ty) {
        (Ty::Str { cap: a, late: x }, Ty::Str { cap: b, late: y }, Ty::Str { cap: c, late: z })
            if x == y && y == z && (b >= a || c <= b) =>
        {
            Folded::Op(Op::StrCut(*inner))
        }
        _ => Folded::No,
    }
}

/// Neighbouring constants become one, empty ones vanish.
fn concat<'t>(
    parts: &[Value],
    ty: Ty,
    known: &Known,
    function: &Function,
    text: &impl Fn(&Value) -> Option<&'t [u8]>,
) -> Folded {
    if parts.iter().all(|part| text(part).is_some()) {
        let whole: Vec<u8> = parts.iter().filter_map(text).flatten().copied().collect();
        return Folded::Text(cut_to(&whole, ty).to_vec());
    }
    if let [only] = parts {
        return Folded::Op(Op::StrCut(*only));
    }
    if parts.iter().any(|part| text(part) == Some(b"")) {
        let kept = parts.iter().filter(|part| text(part) != Some(b""));
        return Folded::Op(Op::StrConcat(kept.copied().collect()));
    }
    // (a . b) . c is a . b . c, unless the inner one cuts.
    let inner = parts.iter().find_map(|part| match known.op(*part) {
        Some(Op::StrConcat(inner)) if !cuts(*part, inner, function) => Some((*part, inner)),
        _ => None,
    });
    if let Some((nested, inner)) = inner {
        let flat = parts.iter().flat_map(|part| {
            if *part == nested {
                inner.clone()
            } else {
                vec![*part]
            }
        });
        return Folded::Op(Op::StrConcat(flat.collect()));
    }
    Folded::No
}

/// Whether the parts of a concatenation can be longer than it has room for.
fn cuts(whole: Value, parts: &[Value], function: &Function) -> bool {
    let cap = |value: Value| match function.ty(value) {
        Ty::Str { cap, .. } => u64::from(cap),
        Ty::I64 => 0,
    };
    parts.iter().map(|part| cap(*part)).sum::<u64>() > cap(whole)
}
