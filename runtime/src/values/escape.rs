//! Escapes: `%#c`, and strings quoted as C would.

/// Appends `byte` as `%#c` shows it: C's letter escapes, `\'`, `\\`, printable ASCII as it
/// is (the double quote too), all else as three octal digits (observed; stap(1) has the rule
/// "escapes non-printing values with either C-like escapes or raw octal").
pub fn escape_char(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'\'' => out.extend_from_slice(b"\\'"),
        _ => escape(out, byte),
    }
}

/// Appends `text` in double quotes with quotes, backslashes and non-printable bytes escaped,
/// at most `cap` bytes in all. When it does not fit, `...` follows the closing quote. An
/// escape is never cut in two. A `cap` too small for the quotes gives nothing.
pub fn quote(out: &mut Vec<u8>, text: &[u8], cap: usize) {
    const CUT: &[u8] = b"\"...";
    if cap < 2 {
        return;
    }
    let start = out.len();
    out.push(b'"');
    // Where the text could be cut and the dots still fit.
    let mut last_fit = out.len();
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            _ => escape(out, *byte),
        }
        if out.len() - start + CUT.len() <= cap {
            last_fit = out.len();
        }
        if out.len() - start + 1 > cap {
            out.truncate(last_fit);
            out.extend_from_slice(CUT);
            out.truncate(start + cap);
            return;
        }
    }
    out.push(b'"');
}

/// Escapes that both share.
fn escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x07 => b'a',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        b'\\' => b'\\',
        0x20..=0x7e => {
            out.push(byte);
            return;
        }
        _ => {
            let octal = [
                b'\\',
                b'0' + (byte >> 6),
                b'0' + (byte >> 3 & 7),
                b'0' + (byte & 7),
            ];
            out.extend_from_slice(&octal);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        for byte in bytes {
            escape_char(&mut out, *byte);
        }
        String::from_utf8(out).unwrap()
    }

    fn quoted(text: &str, cap: usize) -> String {
        let mut out = Vec::new();
        quote(&mut out, text.as_bytes(), cap);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn characters() {
        assert_eq!(
            escaped(b"\0\x01\t\n\x7f\x80\xff"),
            r"\000\001\t\n\177\200\377"
        );
        assert_eq!(escaped(b"\x07\x08\x0b\x0c\r *"), r"\a\b\v\f\r *");
        assert_eq!(escaped(b"'\"\\"), r#"\'"\\"#);
    }

    #[test]
    fn quoting_fits_or_is_cut() {
        assert_eq!(quoted("a\"b\n", 100), r#""a\"b\n""#);
        assert_eq!(quoted("abcdef", 8), r#""abcdef""#);
        assert_eq!(quoted("abcdefg", 8), r#""abc"..."#);
        assert_eq!(quoted("abc\x01fgh", 8), r#""abc"..."#);
        assert_eq!(quoted("", 2), r#""""#);
        assert_eq!(quoted("x", 1), "");
        for cap in 0..20 {
            assert!(quoted("some \"text\" of any kind", cap).len() <= cap);
        }
    }
}
