//! Damaging good inputs.

use crate::generate::Random;

/// A copy of one of `inputs`, damaged in a few places; other inputs give pieces.
pub fn mutate(random: &mut Random, inputs: &[Vec<u8>], most: usize) -> Vec<u8> {
    let mut bytes = pick(random, inputs).to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => {
                let other = pick(random, inputs);
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                // Sizes and offsets are little-endian words.
                let word = [0, 1, 0x7fff_ffff, u32::MAX, 0x8000_0000][random.below(5)];
                bytes.splice(at..(at + 4).min(bytes.len()), word.to_le_bytes());
            }
            5 => {
                for byte in &mut bytes[at..end] {
                    *byte = byte.wrapping_add(1);
                }
            }
            6 => bytes.insert(at, random.below(256) as u8),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes.truncate(most);
    bytes
}

fn pick<'i>(random: &mut Random, inputs: &'i [Vec<u8>]) -> &'i [u8] {
    match inputs.len() {
        0 => &[],
        n => &inputs[random.below(n)],
    }
}
