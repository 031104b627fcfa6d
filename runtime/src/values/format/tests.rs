//! printf: what SystemTap 4.8 printed for the same calls, and C's own printf where both agree.

use rtap_compiler::lir::{Channel, Format, Piece};

use super::*;

/// The pieces of a format text; every conversion that the language has.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].into()));
        }
        rest = &rest[at + 1..];
        let flag = match rest.as_bytes()[0] {
            b'0' => Some(ConvFlag::Zero),
            b'+' => Some(ConvFlag::Plus),
            b'-' => Some(ConvFlag::Left),
            b' ' => Some(ConvFlag::Space),
            b'#' => Some(ConvFlag::Alternate),
            _ => None,
        };
        rest = &rest[usize::from(flag.is_some())..];
        let width = size(&mut rest);
        let precision = match rest.strip_prefix('.') {
            Some(after) => {
                rest = after;
                size(&mut rest)
            }
            None => ConvSize::None,
        };
        let kind = match rest.as_bytes()[0] {
            b'd' | b'i' => ConvKind::Decimal,
            b'u' => ConvKind::Unsigned,
            b'o' => ConvKind::Octal,
            b'x' => ConvKind::HexLower,
            b'X' => ConvKind::HexUpper,
            b'p' => ConvKind::Pointer,
            b'c' => ConvKind::Char,
            b's' => ConvKind::Str,
            b'b' => ConvKind::Binary,
            b'm' => ConvKind::Memory,
            other => panic!("no conversion {other}"),
        };
        pieces.push(Piece::Conv(Conv {
            flag,
            width,
            precision,
            kind,
        }));
        rest = &rest[1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    pieces
}

fn size(rest: &mut &str) -> ConvSize {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        return ConvSize::Arg;
    }
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    number.parse().map_or(ConvSize::None, ConvSize::Fixed)
}

fn print(format: &str, args: &[Value]) -> String {
    let format = Format {
        pieces: pieces(format),
        channel: Channel::Out,
    };
    let cooked = Cooked::new(&format).unwrap();
    let renderer = Renderer {
        formats: &[],
        records: &[],
        most_text_bytes: 511,
    };
    let mut out = Vec::new();
    let mut args = ValueArgs(args.iter().map(|value| (value, false)));
    renderer
        .render(&mut out, &cooked, &mut args, &mut Host::default())
        .unwrap();
    String::from_utf8(out).unwrap()
}

macro_rules! printed {
    ($($format:literal $(, $arg:expr)* => $expected:literal;)*) => {
        $(assert_eq!(print($format, &[$(Value::from($arg)),*]), $expected, "{}", $format);)*
    };
}

const I: i64 = 12345;
const J: i64 = -98765;

#[test]
fn numbers() {
    printed! {
        "[%d][%i][%u][%x][%X][%o][%p]", J, I, J, J, I, I, I =>
            "[-98765][12345][18446744073709452851][fffffffffffe7e33][3039][30071][0x3039]";
        "[%#x][%#X][%#o][%#d][%#x][%#o][%p]", I, I, I, I, 0, 0, 0 =>
            "[0x3039][0X3039][030071][12345][0x0][00][0x0]";
        "[%+d][%+d][% d][% d][%-8d][%-8d][%08d][%08d]", I, J, I, J, I, J, I, J =>
            "[+12345][-98765][ 12345][-98765][12345   ][-98765  ][00012345][-0098765]";
        "[%8d][%2d][%.8d][%12.8d][%.0d][%.0d]", I, I, I, J, 0, 5 =>
            "[   12345][12345][00012345][   -00098765][0][5]";
        "[%08x][%#10x]", I, I => "[00003039][    0x3039]";
        "[%08.3d][%+8d][%016p][%20p][%-20p]", I, I, I, I, I =>
            "[00012345][  +12345][0x00000000003039][              0x3039][0x3039              ]";
        "[%.10x][%.3x][%12.10x][%#.10x]", I, I, I, I =>
            "[0000003039][3039][  0000003039][0x0000003039]";
        "[%+u][% x][%+x][% o]", I, I, I, I => "[12345][3039][3039][30071]";
        "[%x][%5x][%-5x]|", 0, 0, 0 => "[0][    0][0    ]|";
        "[%p][%#p][%8p][%.12p]", J, 255, 255, 255 =>
            "[0xfffffffffffe7e33][0xff][    0xff][0x0000000000ff]";
        "[%#o][%#.4o][%#5o]", 8, 8, 8 => "[010][00010][  010]";
        "%.3d|%+.3d|%+5d|% 5d|%5.3d|%-5.3d|", 5, 5, 5, 5, 5, 5 => "005|+005|   +5|    5|  005|005  |";
        "%#.3x|%#12.5x|%012x|%08p|%.3o|%5o|%05o|%#X|%#.2X", 5, 5, 5, 5, 5, 5, 5, 0xabc, 0xabc =>
            "0x005|     0x00005|000000000005|0x000005|005|    5|00005|0XABC|0XABC";
        "%08.3d|%08.3x|%08.10d|%016.3p", -5, 5, -5, 5 => "-0000005|00000005|-0000000005|0x00000000000005";
        "%p|%p|%20.3p|", 0, -1, 0xff => "0x0|0xffffffffffffffff|               0x0ff|";
        "[%d][%d]", i64::MAX, i64::MIN => "[9223372036854775807][-9223372036854775808]";
        "[%u][%x][%o]", -1, -1, -1 =>
            "[18446744073709551615][ffffffffffffffff][1777777777777777777777]";
        "[%5.0d]", 0 => "[    0]";
    }
}

#[test]
fn strings_and_characters() {
    printed! {
        "[%s][%10s][%-10s][%.3s][%10.3s][%2s]", "abcdef", "abcdef", "abcdef", "abcdef", "abcdef", "abcdef" =>
            "[abcdef][    abcdef][abcdef    ][abc][       abc][abcdef]";
        "[%#s][%+s][% s][%.0s][%.s]", "a\tb\n", "cd", "ef", "ab", "cd" => "[a\tb\n][cd][ef][][cd]";
        "[%#c][%#c][%#c][%#c][%#c][%#c]", 0, 9, 42, 200, 34, 92 => "[\\000][\\t][*][\\310][\"][\\\\]";
        "[%c][%5c][%-5c][%c%c]", 65, 66, 67, 0, 68 => "[A][    B][C    ][\0D]";
        "[%3c][%03c][%#6c]", 65, 65, 9 => "[  A][  A][    \\t]";
        "[%c][%#c][%#c][%#c]", 256 + 65, 256, 127, 128 => "[A][\\000][\\177][\\200]";
        "[%1b%1b][%4b][%b][%2b]", 65, 66, 0x4443_4241, 0x4847_4645_4443_4241, 0x4241 =>
            "[AB][ABCD][ABCDEFGH][AB]";
        "[%m][%5m]", "616263", "61004a" => "[abc][  a\0J]";
        "[%05s]", "ab" => "[   ab]";
    }
}

#[test]
fn sizes_from_arguments() {
    printed! {
        "[%*d][%*d][%-*d][%.*d][%*.*d]", 8, I, -8, I, 8, I, 7, I, 9, 7, I =>
            "[   12345][12345][12345   ][0012345][  0012345]";
        "[%.*s][%*s][%*.*s]", 2, "abcdef", 9, "abcdef", 9, 2, "abcdef" => "[ab][   abcdef][       ab]";
        "[%*s][%.*s]", -9, "ab", -1, "abc" => "[ab][]";
        "[%.*d][%0*d]", -1, 5, 6, 42 => "[5][000042]";
    }
    assert_eq!(
        print("%*d", &[Value::Int(i64::MAX), Value::Int(1)]).len(),
        MAX_FIELD
    );
    assert_eq!(
        print("%.*d", &[Value::Int(i64::MAX), Value::Int(1)]).len(),
        MAX_FIELD
    );
}

#[test]
fn what_c_prints() {
    // All of flag × width × precision, where SystemTap and C agree: not `0` with a
    // precision, not `#` of zero or of octal, not a precision of 0.
    let numbers = [0_i64, 1, -1, 42, 255, i64::MAX, i64::MIN, 1 << 40];
    for flag in ["", "0", "-", "+", " ", "#"] {
        for width in ["", "1", "9", "30"] {
            for precision in ["", ".1", ".5", ".25"] {
                for kind in ["d", "u", "x", "X", "o"] {
                    if flag == "0" && !precision.is_empty() || flag == "#" && kind == "o" {
                        continue;
                    }
                    for n in numbers {
                        if flag == "#" && n == 0 {
                            continue;
                        }
                        let format = format!("%{flag}{width}{precision}{kind}");
                        let c = format!("%{flag}{width}{precision}ll{kind}");
                        assert_eq!(
                            print(&format, &[Value::Int(n)]),
                            c_printf(&c, n),
                            "{format} {n}"
                        );
                    }
                }
            }
        }
    }
}

fn c_printf(format: &str, n: i64) -> String {
    let format = std::ffi::CString::new(format).unwrap();
    let mut buffer = [0_u8; 256];
    // SAFETY: the format takes one long long, and the buffer's size is given.
    let length =
        unsafe { libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), n) };
    String::from_utf8(buffer[..usize::try_from(length).unwrap()].to_vec()).unwrap()
}

#[test]
fn late_strings_nest() {
    use rtap_compiler::image::{Field, RecordLayout};
    let format = |text: &str| {
        Cooked::new(&Format {
            pieces: pieces(text),
            channel: Channel::Out,
        })
        .unwrap()
    };
    let formats = [format("<%d,%s>"), format("[%10s]"), format("%s")];
    let layout = |format, fields: &[Field]| RecordLayout {
        format: FormatId::from_u32(format),
        fields: fields.to_vec(),
    };
    let late = Field::Fixed {
        width: 24,
        late: true,
    };
    let records = [
        layout(2, &[]),
        layout(
            0,
            &[
                Field::Int,
                Field::Fixed {
                    width: 8,
                    late: false,
                },
            ],
        ),
        layout(1, &[late]),
        layout(2, &[Field::Variable { late: true }]),
    ];
    let renderer = Renderer {
        formats: &formats,
        records: &records,
        most_text_bytes: 511,
    };
    let mut inner = vec![1, 0, 0, 0, 0, 0, 0, 0];
    inner.extend_from_slice(&7_i64.to_le_bytes());
    inner.extend_from_slice(b"ab\0\0\0\0\0\0");
    let mut outer = vec![2, 0, 0, 0, 0, 0, 0, 0];
    outer.extend_from_slice(&inner);
    let mut host = Host::default();
    let mut text = Vec::new();
    renderer.late(&mut text, &outer, &mut host).unwrap();
    assert_eq!(text, b"[    <7,ab>]");
    // Zeroed memory is the empty string, zeros at the end may be missing.
    text.clear();
    renderer.late(&mut text, &[0; 24], &mut host).unwrap();
    renderer.late(&mut text, &[], &mut host).unwrap();
    assert_eq!(text, b"");
    renderer.late(&mut text, &inner[..18], &mut host).unwrap();
    assert_eq!(text, b"<7,ab>");
    // Ids out of range and endless nesting are errors.
    assert!(renderer.late(&mut text, &[9, 0, 0, 0], &mut host).is_err());
    let mut deep = Vec::new();
    for _ in 0..40 {
        let mut outer = vec![3, 0, 0, 0, 0, 0, 0, 0];
        outer.extend_from_slice(&(deep.len() as u64).to_le_bytes());
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    assert!(renderer.late(&mut text, &deep, &mut host).is_err());
}

#[test]
fn a_format_without_enough_arguments_is_an_error() {
    let cooked = Cooked::new(&Format {
        pieces: pieces("%d%d"),
        channel: Channel::Out,
    })
    .unwrap();
    let renderer = Renderer {
        formats: &[],
        records: &[],
        most_text_bytes: 511,
    };
    let one = [Value::Int(1)];
    let mut args = ValueArgs(one.iter().map(|v| (v, false)));
    let result = renderer.render(&mut Vec::new(), &cooked, &mut args, &mut Host::default());
    assert!(result.is_err());
}

/// Whatever bytes a record holds, it is text or an error.
#[test]
fn any_bytes_are_text_or_an_error() {
    use rtap_compiler::image::{Field, RecordLayout};
    use rtap_compiler::lir::UserFn;
    let mut state = 7_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut formats: Vec<Cooked> = ["%d%s", "%*.*d", "%-10s|%p", "%c%b%m", "%s%s%s"]
        .iter()
        .map(|text| {
            let format = Format {
                pieces: pieces(text),
                channel: Channel::Out,
            };
            Cooked::new(&format).unwrap()
        })
        .collect();
    formats.push(
        Cooked::new(&Format {
            pieces: vec![Piece::Call(UserFn("ip6_ntop".to_owned()), 2)],
            channel: Channel::Out,
        })
        .unwrap(),
    );
    let mut host = Host::default();
    let mut rendered = 0;
    for _ in 0..20_000 {
        let records: Vec<RecordLayout> = (0..6)
            .map(|_| RecordLayout {
                format: FormatId::from_u32(next(8) as u32),
                fields: (0..next(4))
                    .map(|_| match next(4) {
                        0 | 1 => Field::Int,
                        2 => Field::Fixed {
                            width: next(6) as u32 * 8,
                            late: next(2) == 0,
                        },
                        _ => Field::Variable { late: next(2) == 0 },
                    })
                    .collect(),
            })
            .collect();
        let renderer = Renderer {
            formats: &formats,
            records: &records,
            most_text_bytes: 511,
        };
        let bytes: Vec<u8> = (0..next(80))
            .map(|_| [0, 0, 0, 1, 2, 3, 8, 255][next(8)])
            .collect();
        let mut out = Vec::new();
        rendered += usize::from(renderer.late(&mut out, &bytes, &mut host).is_ok());
        assert!(out.len() < 1 << 20);
    }
    assert!(rendered > 100, "{rendered}");
}

#[test]
fn late_strings_are_cut_and_stacks_are_not() {
    use rtap_compiler::image::{Field, RecordLayout};
    use rtap_compiler::lir::UserFn;
    const FRAMES: usize = 20;
    let cooked = |pieces: Vec<Piece>| {
        let channel = Channel::Out;
        Cooked::new(&Format { pieces, channel }).unwrap()
    };
    let call = |name: &str| Piece::Call(UserFn(name.to_owned()), 3 + FRAMES as u8);
    let formats = [
        cooked(vec![call("ustack"), Piece::Text("".into())]),
        cooked(vec![call("ustack")]),
    ];
    let records = [0, 0, 1].map(|format| RecordLayout {
        format: FormatId::from_u32(format),
        fields: vec![Field::Int; 3 + FRAMES],
    });
    let renderer = Renderer {
        formats: &formats,
        records: &records,
        most_text_bytes: 100,
    };
    let lines = |record: u64| {
        // The record's number, how the stack is written, all of its frames, whose they are.
        let nobody = i64::MAX as u64;
        let numbers = [record, 2, u64::MAX, nobody].into_iter();
        let bytes: Vec<u8> = numbers
            .chain(1..=FRAMES as u64)
            .flat_map(u64::to_le_bytes)
            .collect();
        let mut text = Vec::new();
        renderer
            .late(&mut text, &bytes, &mut Host::default())
            .unwrap();
        String::from_utf8(text).unwrap()
    };
    assert_eq!(lines(1).len(), 100);
    let whole = lines(2);
    assert!(whole.starts_with(&lines(1)), "{whole}");
    assert!(whole.ends_with(" 0x14 : 0x14\n"), "{whole}");
}
