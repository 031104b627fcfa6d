//! Bytes as hexadecimal digits, and back.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of bytes.
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    let digits = bytes.iter().map(|b| [digit(b >> 4), digit(b & 15)]);
    digits.flatten().collect()
}

/// The bytes that digits stand for, as far as they are digits.
pub(super) fn unhex(digits: &[u8]) -> Vec<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|n| n as u8);
    let byte = |pair: &[u8]| Some(value(pair[0])? << 4 | value(pair[1])?);
    digits.chunks_exact(2).map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let digits = hex(&bytes);
        assert_eq!(&digits[..8], b"00010203");
        assert_eq!(&digits[508..], b"feff");
        assert_eq!(unhex(&digits), bytes);
        assert_eq!(unhex(b"41g042"), b"A");
        assert_eq!(unhex(b"414"), b"A");
    }
}
