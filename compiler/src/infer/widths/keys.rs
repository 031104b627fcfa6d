//! Keys that an older kernel's hash maps take.
//!
//! Before Linux 5.11 a key had to fit on the eBPF stack. There an array's string keys are made
//! narrower, the widest first, and the user is told; what is longer is cut, as it is at MAXSTRINGLEN. A late key that would have to
//! give way becomes characters: a record cannot be cut.

use rtap_grammar::diag::{Diagnostic, Diagnostics, codes};

use super::{Cx, Slot};
use crate::hir::{GlobalData, Program, Ty};
use crate::image::{SMALL_KEY_BYTES, width_bytes};
use crate::lir;
use crate::target::{Feature, Target};

/// A string's width, and whether it is late.
type Cap = (u32, bool);

/// Late keys that leave no room for the others.
pub(super) fn too_large(program: &Program, cx: &mut Cx, target: &dyn Target) -> Vec<Slot> {
    if target.has(Feature::LargeKeys) {
        return Vec::new();
    }
    let globals = program.globals.iter().filter_map(|(id, global)| {
        let slots = (0..global.keys.len()).map(|index| Slot::Key(id, index));
        let mut caps: Vec<Cap> = slots.map(|slot| cx.result(slot)).collect();
        let index = fit(&global.keys, &mut caps).err()?;
        Some(Slot::Key(id, index))
    });
    globals.collect()
}

/// Makes keys fit, where the kernel wants it.
pub(super) fn narrow(program: &mut Program, target: &dyn Target, found: &mut Diagnostics) {
    if target.has(Feature::LargeKeys) {
        return;
    }
    for global in program.globals.values_mut() {
        let whole = global.key_caps.clone();
        // Late keys that do not fit are characters by now.
        if fit(&global.keys, &mut global.key_caps).is_ok() && global.key_caps != whole {
            found.push(cut(global));
        }
    }
}

/// Says that keys are cut.
fn cut(global: &GlobalData) -> Diagnostic {
    let keys = global.keys.iter().zip(&global.key_caps);
    let widths = keys.filter(|(ty, _)| **ty == Ty::Str);
    let widths: Vec<String> = widths.map(|(_, (cap, _))| cap.to_string()).collect();
    Diagnostic::warning(
        codes::KEYS_CUT,
        format!("keys of '{}' may be cut", global.name),
    )
    .label(
        global.span,
        format!("its strings can have {} bytes", widths.join(", ")),
    )
    .note(format!(
        "keys of arrays have at most {SMALL_KEY_BYTES} bytes before Linux 5.11"
    ))
    .help("use shorter or fewer strings as keys: -DMAXSTRINGLEN, substr()")
}

fn bytes(keys: &[Ty], caps: &[Cap]) -> u32 {
    let key = |(ty, &(cap, late)): (&Ty, &Cap)| match ty {
        Ty::Str => width_bytes(lir::Ty::Str { cap, late }),
        _ => width_bytes(lir::Ty::I64),
    };
    keys.iter().zip(caps).map(key).sum()
}

/// Takes a word from the widest string until all fit. Fails at a late one, with its number.
fn fit(keys: &[Ty], caps: &mut [Cap]) -> Result<(), usize> {
    while bytes(keys, caps) > SMALL_KEY_BYTES {
        let strings = keys.iter().zip(&mut *caps).enumerate();
        let cuttable = strings.filter(|(_, (ty, (cap, _)))| **ty == Ty::Str && *cap >= 8);
        match cuttable.max_by_key(|(_, (_, (cap, _)))| *cap) {
            Some((index, (_, (_, true)))) => return Err(index),
            Some((_, (_, (cap, false)))) => *cap -= 8,
            None => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_strings_give_way() {
        let keys = [Ty::Str, Ty::Long, Ty::Str, Ty::Str];
        let mut caps = [(511, false), (0, false), (15, false), (511, false)];
        assert_eq!(fit(&keys, &mut caps), Ok(()));
        assert_eq!(caps, [(247, false), (0, false), (15, false), (239, false)]);
        assert!(bytes(&keys, &caps) <= SMALL_KEY_BYTES);
    }

    #[test]
    fn late_keys_give_way_as_wholes() {
        let keys = [Ty::Str, Ty::Str];
        assert_eq!(fit(&keys, &mut [(599, true), (15, false)]), Err(0));
        let mut caps = [(23, true), (511, false)];
        assert_eq!(fit(&keys, &mut caps), Ok(()));
        assert_eq!(caps, [(23, true), (487, false)]);
    }
}
