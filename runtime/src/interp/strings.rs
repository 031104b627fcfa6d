//! The string operations of LIR, on bytes. Each must give what the eBPF back end's code
//! gives, to the byte.

/// `str.sub`: "" if start or length is out of range; what lies beyond the end is left out.
pub(super) fn substr(text: &[u8], start: i64, length: i64) -> &[u8] {
    if length <= 0 {
        return b"";
    }
    let Ok(start) = usize::try_from(start) else {
        return b"";
    };
    let rest = text.get(start..).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    &rest[..rest.len().min(length)]
}

/// `str.find`: offset of the first occurrence, or -1. The empty string is at 0.
pub(super) fn find(text: &[u8], part: &[u8]) -> i64 {
    if part.is_empty() {
        return 0;
    }
    let at = text.windows(part.len()).position(|window| window == part);
    at.map_or(-1, |at| at as i64)
}

/// `str.to_int`: C's strtol with 64 bits that wrap, so that addresses can be read; 0 for a base that is none.
pub(super) fn to_int(text: &[u8], base: i64) -> i64 {
    if base != 0 && !(2..=36).contains(&base) {
        return 0;
    }
    let space = |b: &&u8| matches!(b, b' ' | b'\t'..=b'\r');
    let mut rest = &text[text.iter().take_while(space).count()..];
    let negative = rest.first() == Some(&b'-');
    if let [b'-' | b'+', after @ ..] = rest {
        rest = after;
    }
    let mut base = base as u64;
    // `0x` counts as a prefix only when a hex digit follows.
    if let [b'0', b'x' | b'X', digit, ..] = rest
        && (base == 0 || base == 16)
        && digit.is_ascii_hexdigit()
    {
        rest = &rest[2..];
        base = 16;
    } else if base == 0 {
        base = if rest.first() == Some(&b'0') { 8 } else { 10 };
    }
    let mut sum: u64 = 0;
    for byte in rest {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            b'A'..=b'Z' => byte - b'A' + 10,
            _ => break,
        };
        if u64::from(digit) >= base {
            break;
        }
        sum = sum.wrapping_mul(base).wrapping_add(u64::from(digit));
    }
    if negative {
        (sum as i64).wrapping_neg()
    } else {
        sum as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        assert_eq!(substr(b"hello", 1, 3), b"ell");
        assert_eq!(substr(b"hello", 3, 10), b"lo");
        assert_eq!(substr(b"hello", -1, 2), b"");
        assert_eq!(substr(b"hello", 5, 1), b"");
        assert_eq!(substr(b"hello", 2, 0), b"");
        assert_eq!(substr(b"hello", 1, -1), b"");
        assert_eq!(substr(b"hello", 0, i64::MAX), b"hello");
        assert_eq!(substr(b"hello", i64::MAX, i64::MAX), b"");
    }

    #[test]
    fn finding() {
        assert_eq!(find(b"abcabc", b"ca"), 2);
        assert_eq!(find(b"abc", b"abcd"), -1);
        assert_eq!(find(b"abc", b""), 0);
        assert_eq!(find(b"", b"a"), -1);
    }

    #[test]
    fn numbers_as_strtol_reads_them() {
        let texts: [&[u8]; 20] = [
            b"0x1f",
            b"077",
            b" -12z",
            b"zz",
            b"5",
            b"-0x10",
            b"",
            b"-",
            b"0x",
            b"0xg",
            b"+7",
            b"\t\n 8",
            b"9223372036854775807",
            b"-9223372036854775808",
            b"08",
            b"0b1",
            b"1_000",
            b"--1",
            b"7f",
            b"0X7F",
        ];
        for text in texts {
            for base in [0, 2, 8, 10, 16, 36] {
                let c_text = std::ffi::CString::new(text).unwrap();
                // SAFETY: a NUL-terminated string, and no end pointer is wanted.
                let c = unsafe { libc::strtoll(c_text.as_ptr(), std::ptr::null_mut(), base) };
                // Where C's saturates, ours wraps.
                if !matches!(c, i64::MIN | i64::MAX) {
                    assert_eq!(to_int(text, i64::from(base)), c, "{text:?} {base}");
                }
            }
        }
        assert_eq!(to_int(b"ffffffff81000000", 16), -0x7f00_0000);
        assert_eq!(to_int(b"18446744073709551617", 10), 1);
        assert_eq!(to_int(b"9223372036854775807", 10), i64::MAX);
        assert_eq!(to_int(b"-9223372036854775809", 10), i64::MAX);
        assert_eq!(to_int(b"5", 1), 0);
        assert_eq!(to_int(b"5", 37), 0);
        assert_eq!(to_int(b"5", -10), 0);
    }
}
