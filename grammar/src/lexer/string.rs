//! The values of string and number tokens.

use bstr::BString;

use crate::dialect::Dialect;

/// The bytes that a string token (quotes included) stands for, appended to `out`.
///
/// Escapes: `\a \b \t \n \v \f \r \\`, up to three octal digits, `\x` and any number of hexadecimal ones
/// (the value's low byte) if the dialect has it; a backslash before any other character stands for that character.
pub(crate) fn string_value(token: &str, dialect: Dialect, out: &mut BString) {
    let inside = token.strip_prefix('"').unwrap_or(token);
    let inside = inside.strip_suffix('"').unwrap_or(inside).as_bytes();
    out.reserve(inside.len());
    let mut at = 0;
    while let Some(&byte) = inside.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(&escape) = inside.get(at) else { break };
        at += 1;
        out.push(match escape {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'0'..=b'7' => {
                let (value, length) = digits(&inside[at - 1..], 8, 3);
                at += length - 1;
                value
            }
            b'x' if dialect.hex_escapes && inside.get(at).is_some_and(u8::is_ascii_hexdigit) => {
                let (value, length) = digits(&inside[at..], 16, usize::MAX);
                at += length;
                value
            }
            other => other,
        });
    }
}

/// The low byte of the number at the start of `text` and how many digits it has, at most `most`.
fn digits(text: &[u8], radix: u32, most: usize) -> (u8, usize) {
    let values = text
        .iter()
        .take(most)
        .map_while(|&b| char::from(b).to_digit(radix));
    values.fold((0u8, 0), |(value, length), digit| {
        (
            value.wrapping_mul(radix as u8).wrapping_add(digit as u8),
            length + 1,
        )
    })
}

/// The value of a number token: decimal, `0x` hexadecimal or `0` octal, up to 2^64-1, as an `i64` that may
/// have wrapped. The error says what is wrong with it.
pub(crate) fn number_value(token: &str) -> Result<i64, &'static str> {
    let (digits, radix, wrong) =
        if let Some(hex) = token.strip_prefix("0x").or(token.strip_prefix("0X")) {
            (hex, 16, "not a hexadecimal number")
        } else if token.len() > 1 && token.starts_with('0') {
            (
                &token[1..],
                8,
                "not an octal number, though it begins with 0",
            )
        } else {
            (token, 10, "not a number")
        };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(wrong);
    }
    u64::from_str_radix(digits, radix)
        .map(|n| n as i64)
        .map_err(|_| "more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(token: &str) -> Vec<u8> {
        value_in(token, Dialect::NEWEST)
    }

    fn value_in(token: &str, dialect: Dialect) -> Vec<u8> {
        let mut out = BString::default();
        string_value(token, dialect, &mut out);
        out.into()
    }

    #[test]
    fn escapes() {
        assert_eq!(value(r#""a\tb\n\"\\\q""#), b"a\tb\n\"\\q");
        assert_eq!(value(r#""\101\7\0101\x41\xff\xg""#), b"A\x07\x081A\xffxg");
        assert_eq!(value(r#""\x141""#), b"A", "as many digits as there are");
        assert_eq!(value(r#""\777""#), [0xff]);
        assert_eq!(value_in(r#""\x41\101""#, Dialect::of("2.2")), b"x41A");
        assert_eq!(value("\"é\""), "é".as_bytes());
        assert_eq!(value("\"open\\"), b"open");
    }

    #[test]
    fn numbers() {
        assert_eq!(number_value("0"), Ok(0));
        assert_eq!(number_value("010"), Ok(8));
        assert_eq!(number_value("0xFf"), Ok(255));
        assert_eq!(number_value("18446744073709551615"), Ok(-1));
        assert!(number_value("18446744073709551616").is_err());
        for bad in ["08", "0x", "12ab", "0b1", "1_0"] {
            assert!(number_value(bad).is_err(), "{bad}");
        }
    }
}
