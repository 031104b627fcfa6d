//! printf conversions of numbers and strings, to a buffer.
//!
//! Differences from C's printf, all observed: a precision of 0 still prints the digit of 0;
//! flag `0` pads to the width even where a precision is given; `+` and space count for
//! `%d` only; `%#x` of 0 is `0x0`, `%#o` of 0 is `00`, and the prefix comes on top of the
//! precision's digits; `%p` is `%#x`.

use rtap_compiler::lir::{ConvFlag, ConvKind};

use super::escape::escape_char;
use super::format::Spec;
use super::hex::{hex, unhex};

/// Appends a number as `spec` shows it.
pub(super) fn integer(out: &mut Vec<u8>, spec: &Spec, n: i64) {
    match spec.kind {
        ConvKind::Decimal | ConvKind::Str => {
            let sign: &[u8] = match spec.flag {
                _ if n < 0 => b"-",
                Some(ConvFlag::Plus) => b"+",
                Some(ConvFlag::Space) => b" ",
                _ => b"",
            };
            let mut digits = [0; 20];
            let digits = decimal(&mut digits, n.unsigned_abs());
            field(out, spec, sign, digits);
        }
        ConvKind::Unsigned => {
            let mut digits = [0; 20];
            let digits = decimal(&mut digits, n as u64);
            field(out, spec, b"", digits);
        }
        ConvKind::Octal => radix(out, spec, n as u64, 3, b"0", false),
        ConvKind::HexLower => radix(out, spec, n as u64, 4, b"0x", false),
        ConvKind::HexUpper => radix(out, spec, n as u64, 4, b"0X", true),
        ConvKind::Pointer => radix(out, spec, n as u64, 4, b"0x", false),
        ConvKind::Char => {
            let mut text = Vec::with_capacity(4);
            if spec.flag == Some(ConvFlag::Alternate) {
                escape_char(&mut text, n as u8);
            } else {
                text.push(n as u8);
            }
            pad(out, spec, &text);
        }
        // Numbers of one to eight bytes, as they lie in memory.
        ConvKind::Binary | ConvKind::Memory => out.extend(&n.to_le_bytes()[..bytes_of(spec)]),
        ConvKind::MemoryHex => out.extend(hex(&n.to_le_bytes()[..bytes_of(spec)])),
    }
}

/// Appends a string as `%s` shows it. The precision is the most bytes of it that are taken.
pub(super) fn string(out: &mut Vec<u8>, spec: &Spec, text: &[u8]) {
    let text = &text[..text.len().min(spec.precision.unwrap_or(usize::MAX))];
    pad(out, spec, text);
}

/// Appends memory, given in hexadecimal, as `%m` shows it.
pub(super) fn memory(out: &mut Vec<u8>, spec: &Spec, digits: &[u8]) {
    pad(out, spec, &unhex(digits));
}

/// How many bytes of a number `%b` shows.
fn bytes_of(spec: &Spec) -> usize {
    spec.width.filter(|w| matches!(w, 1 | 2 | 4)).unwrap_or(8)
}

const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Writes `n` in decimal at the buffer's end; returns the digits.
pub(super) fn decimal(buffer: &mut [u8; 20], mut n: u64) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &buffer[at..];
        }
    }
}

/// Appends a number with `bits` bits a digit.
fn radix(out: &mut Vec<u8>, spec: &Spec, mut n: u64, bits: u32, prefix: &[u8], upper: bool) {
    let letters = if upper { HEX_UPPER } else { HEX_LOWER };
    let mut buffer = [0; 22];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = letters[(n & ((1 << bits) - 1)) as usize];
        n >>= bits;
        if n == 0 {
            break;
        }
    }
    let alternate = spec.flag == Some(ConvFlag::Alternate) || spec.kind == ConvKind::Pointer;
    field(
        out,
        spec,
        if alternate { prefix } else { b"" },
        &buffer[at..],
    );
}

/// Appends prefix and digits, filled up with zeros to the precision, padded to the width.
fn field(out: &mut Vec<u8>, spec: &Spec, prefix: &[u8], digits: &[u8]) {
    let width = spec.width.unwrap_or(0);
    let mut zeros = spec.precision.unwrap_or(0).saturating_sub(digits.len());
    let length = prefix.len() + zeros + digits.len();
    let mut blanks = width.saturating_sub(length);
    if spec.flag == Some(ConvFlag::Zero) {
        zeros += blanks;
        blanks = 0;
    }
    let left = spec.flag == Some(ConvFlag::Left);
    if !left {
        fill(out, b' ', blanks);
    }
    out.extend_from_slice(prefix);
    fill(out, b'0', zeros);
    out.extend_from_slice(digits);
    if left {
        fill(out, b' ', blanks);
    }
}

/// Appends text padded with blanks to the width.
fn pad(out: &mut Vec<u8>, spec: &Spec, text: &[u8]) {
    let blanks = spec.width.unwrap_or(0).saturating_sub(text.len());
    if spec.flag == Some(ConvFlag::Left) {
        out.extend_from_slice(text);
        fill(out, b' ', blanks);
    } else {
        fill(out, b' ', blanks);
        out.extend_from_slice(text);
    }
}

fn fill(out: &mut Vec<u8>, byte: u8, count: usize) {
    out.resize(out.len() + count, byte);
}
