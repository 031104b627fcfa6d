//! Keys that an older kernel's hash maps take.
//!
//! Before Linux 5.11 a key had to fit on the eBPF stack. There an array's string keys are made
//! narrower, the widest first; what is longer is cut, as it is at MAXSTRINGLEN.

use crate::hir::{Program, Ty};
use crate::image::{SMALL_KEY_BYTES, width_bytes};
use crate::lir;
use crate::target::{Feature, Target};

/// A string's width, and whether it is late.
type Cap = (u32, bool);

/// Makes keys fit, where the kernel wants it. Late keys are records and stay as they are.
pub(super) fn narrow(program: &mut Program, target: &dyn Target) {
    for global in program.globals.values_mut() {
        if bytes(&global.keys, &global.key_caps) > SMALL_KEY_BYTES
            && !target.has(Feature::LargeKeys)
        {
            fit(&global.keys, &mut global.key_caps);
        }
    }
}

fn bytes(keys: &[Ty], caps: &[Cap]) -> u32 {
    let key = |(ty, &(cap, late)): (&Ty, &Cap)| match ty {
        Ty::Str => width_bytes(lir::Ty::Str { cap, late }),
        _ => width_bytes(lir::Ty::I64),
    };
    keys.iter().zip(caps).map(key).sum()
}

/// Takes a word from the widest string until all fit.
fn fit(keys: &[Ty], caps: &mut [Cap]) {
    while bytes(keys, caps) > SMALL_KEY_BYTES {
        let strings = keys.iter().zip(&mut *caps);
        let cuttable = strings.filter(|(ty, (cap, late))| **ty == Ty::Str && !late && *cap >= 8);
        let Some((_, (cap, _))) = cuttable.max_by_key(|(_, (cap, _))| *cap) else {
            return;
        };
        *cap -= 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_strings_give_way() {
        let keys = [Ty::Str, Ty::Long, Ty::Str, Ty::Str];
        let mut caps = [(511, false), (0, false), (15, false), (511, false)];
        fit(&keys, &mut caps);
        assert_eq!(caps, [(247, false), (0, false), (15, false), (239, false)]);
        assert!(bytes(&keys, &caps) <= SMALL_KEY_BYTES);
    }

    #[test]
    fn late_keys_stay() {
        let mut caps = [(599, true), (15, false)];
        fit(&[Ty::Str, Ty::Str], &mut caps);
        assert_eq!(caps[0], (599, true));
    }
}
