//! Rules of globals and limits: what memory a module may ask for.

use crate::lir::*;

/// Most words of a statistic, histograms included.
const MOST_STAT_WORDS: usize = 1 << 16;

/// Checks a global: its types, its initial value.
pub(super) fn check(global: &GlobalData) -> Result<(), &'static str> {
    match &global.kind {
        GlobalKind::Scalar { ty, init } => {
            check_type(*ty)?;
            match (ty, init) {
                (Ty::I64, Init::Int(_)) => Ok(()),
                (Ty::Str { cap, late: false }, Init::Str(text)) if text.len() <= *cap as usize => {
                    Ok(())
                }
                (Ty::Str { late: true, .. }, Init::Str(text)) if text.is_empty() => Ok(()),
                _ => Err("the initial value is not of its type"),
            }
        }
        GlobalKind::Stat(layout) => check_stat(layout),
        GlobalKind::Array { keys, value, .. } => {
            if !(1..=9).contains(&keys.len()) {
                return Err("an array has 1 to 9 keys");
            }
            keys.iter().try_for_each(|key| check_type(*key))?;
            match value {
                ElementKind::Plain(ty) => check_type(*ty),
                ElementKind::Stat(layout) => check_stat(layout),
            }
        }
    }
}

/// Checks a type.
pub(super) fn check_type(ty: Ty) -> Result<(), &'static str> {
    match ty {
        Ty::Str { cap, .. } if cap > MOST_STRING_BYTES => Err("a string is too long"),
        Ty::Str { .. } | Ty::I64 => Ok(()),
    }
}

fn check_stat(layout: &StatLayout) -> Result<(), &'static str> {
    let mut words = 0;
    for histogram in &layout.histograms {
        if !histogram.is_sound() {
            return Err("a histogram has no width, no end or too many buckets");
        }
        words += histogram.buckets();
    }
    if words > MOST_STAT_WORDS {
        return Err("a statistic has too many histograms");
    }
    Ok(())
}

/// Checks what `-D` sets.
pub(super) fn check_limits(limits: &Limits) -> Result<(), &'static str> {
    if limits.max_nesting > Limits::MOST_NESTING {
        return Err("MAXNESTING is too large");
    }
    if !Limits::STRING_LENGTHS.contains(&limits.max_string_len) {
        return Err("MAXSTRINGLEN is out of its range");
    }
    Ok(())
}
