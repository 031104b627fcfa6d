//! Characters that user space makes better, made in kernel handlers after all, where something there
//! needs them: functions whose results are few (out of a table) or simple.

use bstr::BString;

use super::{Call, errno, symbols};
use crate::lir::{
    BinOp, Channel, CmpOp, Conv, ConvFlag, ConvKind, ConvSize, ErrorKind, Format, Op, Piece, Ty,
    Value,
};
use crate::lower::{Lower, Lowered};

/// The characters in a kernel handler, for those functions whose results are few or simple.
pub(super) fn in_kernel(l: &mut Lower<'_>, name: &str, call: &Call<'_>) -> Option<Lowered<Value>> {
    let (n, span) = (*call.args.first()?, call.span);
    let cap = call.cap.0;
    Some(match name {
        "errno_str" => errno_str(l, n, call),
        "syscall_name" => {
            let mut texts = Vec::new();
            for call in l.arch().syscall_table().iter() {
                let at = call.number as usize;
                // A few numbers far away belong to other ABIs.
                if at < 1024 {
                    texts.resize(texts.len().max(at + 1), BString::default());
                    texts[at] = BString::from(call.name.as_str());
                }
            }
            Ok(l.look_up(texts, n, cap, span))
        }
        "ip_ntop" => {
            let mut bytes = Vec::new();
            for shift in [0, 8, 16, 24] {
                let shift = l.const_int(shift, span);
                let value = l.int(Op::Bin(BinOp::Shr, n, shift), span);
                let byte = Op::Extend {
                    value,
                    bits: 8,
                    signed: false,
                };
                bytes.push(l.int(byte, span));
            }
            Ok(formatted(l, &[b"", b".", b".", b"."], bytes, call))
        }
        "ip6_ntop" => ip6(l, n, *call.args.get(1)?, call),
        "ctime" => date(l, n, call),
        "symname" => symbols::name(l, n, call),
        "symdata" => symbols::data(l, n, call),
        "modname" => symbols::module(l, n, call),
        _ => return None,
    })
}

/// The name of an error number: out of one table for the public ones and those that the kernel
/// keeps to itself, or the number.
fn errno_str(l: &mut Lower<'_>, n: Value, call: &Call<'_>) -> Lowered<Value> {
    let (ty, span) = (Ty::str(call.cap.0), call.span);
    let names = errno::ERRNO.iter().chain(&errno::INTERNAL);
    let texts: Vec<BString> = names.map(|name| BString::from(*name)).collect();
    let public = errno::ERRNO.len() as i64;
    // Where the kernel's own begin, after the number is brought down to the end of the public ones.
    let shift = l.const_int(public - errno::FIRST_INTERNAL, span);
    let end = l.const_int(public, span);
    let is_public = l.compare(CmpOp::Ult, n, end, span);
    let at = l.select(is_public, &[0], Ty::I64, span, |l, i| {
        if i != 0 {
            return Ok(n);
        }
        let at = l.int(Op::Bin(BinOp::Add, n, shift), span);
        // Numbers in between would come out as public ones again.
        let is_internal = l.compare(CmpOp::Ge, at, end, span);
        l.select(is_internal, &[0], Ty::I64, span, |l, i| {
            Ok(if i == 0 { l.const_int(-1, span) } else { at })
        })
    })?;
    let name = l.look_up(texts, at, call.cap.0, span);
    let first = l.const_int(0, span);
    let first = l.int(Op::StrByte(name, first), span);
    // No name: "" for 0, else the number.
    l.select(first, &[0], ty, span, |l, i| {
        if i != 0 {
            return Ok(name);
        }
        l.select(n, &[0], ty, span, |l, i| {
            Ok(if i == 0 {
                name
            } else {
                formatted(l, &[b"E#"], vec![n], call)
            })
        })
    })
}

/// Numbers, each with a text before it.
fn formatted(l: &mut Lower<'_>, texts: &[&[u8]], numbers: Vec<Value>, call: &Call<'_>) -> Value {
    let mut pieces = Vec::new();
    for text in texts {
        if !text.is_empty() {
            pieces.push(Piece::Text(BString::from(*text)));
        }
        pieces.push(Piece::Conv(Conv::plain(ConvKind::Decimal)));
    }
    let format = l.format(Format {
        pieces,
        channel: Channel::Out,
    });
    l.text(Op::StrFormat(format, numbers), call.cap.0, call.span)
}

/// `Wed Jun 30 21:49:08 1993` of seconds since the epoch (in UTC), as `runtime/src/userfn/time.rs` has it.
fn date(l: &mut Lower<'_>, seconds: Value, call: &Call<'_>) -> Lowered<Value> {
    const DAYS: [&str; 7] = ["Wed", "Thu", "Fri", "Sat", "Sun", "Mon", "Tue"];
    // Years begin in March, so that the leap day is their last.
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    /// 1 March of year 0 to 1 January 1970.
    const DAYS_BEFORE: i64 = 719_468;
    let span = call.span;
    only_32_bits(l, seconds, call)?;
    let mut n = Numbers { l, call };
    let before = n.number(DAYS_BEFORE * 86_400);
    let since = n.bin(BinOp::Add, seconds, before);
    let (days, clock) = (n.div(since, 86_400), n.rem(since, 86_400));
    // Eras of 400 years.
    let (era, day) = (n.div(days, 146_097), n.rem(days, 146_097));
    let corrections = [
        (1460, BinOp::Sub),
        (36_524, BinOp::Add),
        (146_096, BinOp::Sub),
    ];
    let sum = corrections.into_iter().fold(day, |sum, (by, op)| {
        let part = n.div(day, by);
        n.bin(op, sum, part)
    });
    let year = n.div(sum, 365);
    let (whole, leap, centuries) = (n.times(year, 365), n.div(year, 4), n.div(year, 100));
    let day = n.bin(BinOp::Sub, day, whole);
    let day = n.bin(BinOp::Sub, day, leap);
    let day = n.bin(BinOp::Add, day, centuries);
    let fives = n.times(day, 5);
    let fives = n.plus(fives, 2);
    let month = n.div(fives, 153);
    let months = n.times(month, 153);
    let months = n.plus(months, 2);
    let months = n.div(months, 5);
    let day = n.bin(BinOp::Sub, day, months);
    let day = n.plus(day, 1);
    let eras = n.times(era, 400);
    let year = n.bin(BinOp::Add, eras, year);
    // January and February are the next year's.
    let next = n.plus(month, -10);
    let next = n.bin_with(BinOp::Shr, next, 63);
    let next = n.bin_with(BinOp::Xor, next, 1);
    let year = n.bin(BinOp::Add, year, next);
    let weekday = n.rem(days, 7);
    let (hours, seconds) = (n.div(clock, 3600), n.rem(clock, 60));
    let minutes = n.div(clock, 60);
    let minutes = n.rem(minutes, 60);
    let table = |names: &[&str]| names.iter().map(|name| BString::from(*name)).collect();
    let weekday = l.look_up(table(&DAYS), weekday, 3, span);
    let month = l.look_up(table(&MONTHS), month, 3, span);
    let text = |text: &str| Piece::Text(BString::from(text));
    let conv = |kind, flag, width| {
        Piece::Conv(Conv {
            flag,
            width: ConvSize::Fixed(width),
            ..Conv::plain(kind)
        })
    };
    let name = Piece::Conv(Conv::plain(ConvKind::Str));
    let two_digits = conv(ConvKind::Decimal, Some(ConvFlag::Zero), 2);
    let format = l.format(Format {
        pieces: vec![
            name.clone(),
            text(" "),
            name,
            text(" "),
            conv(ConvKind::Decimal, None, 2),
            text(" "),
            two_digits.clone(),
            text(":"),
            two_digits.clone(),
            text(":"),
            two_digits,
            text(" "),
            Piece::Conv(Conv::plain(ConvKind::Decimal)),
        ],
        channel: Channel::Out,
    });
    let args = vec![weekday, month, day, hours, minutes, seconds, year];
    Ok(l.text(Op::StrFormat(format, args), call.cap.0, span))
}

/// An IPv6 address as RFC 5952 has it: eight groups in hexadecimal, the longest run of two or more
/// zero groups (the first of equal ones) as `::`; IPv4 addresses in it (`::ffff:0:0/96`) dotted.
fn ip6(l: &mut Lower<'_>, high: Value, low: Value, call: &Call<'_>) -> Lowered<Value> {
    let (ty, span) = (Ty::str(call.cap.0), call.span);
    let mut n = Numbers { l, call };
    let words: Vec<Value> = [high, low]
        .into_iter()
        .flat_map(|half| [0, 16, 32, 48].map(|at| (half, at)))
        .map(|(half, at)| n.swapped(half, at))
        .collect();
    // Is it of five zero groups and one of ones?
    let tail = n.bin_with(BinOp::And, low, 0xffff_ffff);
    let ones = n.bin_with(BinOp::Xor, tail, 0xffff_0000);
    let not_mapped = n.bin(BinOp::Or, ones, high);
    let dotted = n.bin_with(BinOp::Shr, low, 32);
    l.select(not_mapped, &[0], ty, span, |l, i| {
        if i != 0 {
            return groups(l, &words, call);
        }
        let bytes = [0, 8, 16, 24].map(|at| {
            let mut n = Numbers { l, call };
            let byte = n.bin_with(BinOp::Shr, dotted, at);
            n.bin_with(BinOp::And, byte, 0xff)
        });
        Ok(formatted(
            l,
            &[b"::ffff:", b".", b".", b"."],
            bytes.to_vec(),
            call,
        ))
    })
}

/// The groups of an IPv6 address, without branches: what is before each is out of a table, and those
/// of the run are cut to nothing.
fn groups(l: &mut Lower<'_>, words: &[Value], call: &Call<'_>) -> Lowered<Value> {
    let span = call.span;
    let mut n = Numbers { l, call };
    // The longest run: where it begins, and how long it is.
    let (mut length, mut best, mut begin) = (n.number(0), n.number(1), n.number(-1));
    for (at, word) in words.iter().enumerate() {
        let zero = n.is(CmpOp::Eq, *word, 0);
        let longer = n.plus(length, 1);
        length = n.bin(BinOp::Mul, longer, zero);
        let better = n.l.compare(CmpOp::Gt, length, best, span);
        let start = n.bin_with(BinOp::Sub, length, at as i64 + 1);
        let start = n.times(start, -1);
        best = n.either(better, length, best);
        begin = n.either(better, start, begin);
    }
    let end = n.bin(BinOp::Add, begin, best);
    // Without a run, nothing is inside and nothing comes after.
    let none = n.is(CmpOp::Lt, begin, 0);
    let nowhere = n.number(-1);
    let end = n.either(none, nowhere, end);
    let mut pieces = Vec::new();
    let mut args = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let mut n = Numbers { l, call };
        let at = n.number(at as i64);
        let from = n.l.compare(CmpOp::Ge, at, begin, span);
        let until = n.l.compare(CmpOp::Lt, at, end, span);
        let inside = n.bin(BinOp::And, from, until);
        let first = n.l.compare(CmpOp::Eq, at, begin, span);
        let after = n.l.compare(CmpOp::Eq, at, end, span);
        let zeroth = n.is(CmpOp::Eq, at, 0);
        // 0: nothing, 1: ":", 2: "::".
        let plain = n.bin(BinOp::Or, inside, after);
        let plain = n.bin(BinOp::Or, plain, zeroth);
        let plain = n.bin_with(BinOp::Xor, plain, 1);
        let twice = n.times(first, 2);
        let which = n.bin(BinOp::Add, plain, twice);
        let shown = n.bin_with(BinOp::Xor, inside, 1);
        let shown = n.times(shown, 4);
        let texts = ["", ":", "::"].map(BString::from).to_vec();
        args.push(l.look_up(texts, which, 2, span));
        let group = hexadecimal(l, *word, call);
        let start = l.const_int(0, span);
        args.push(l.text(Op::StrSub(group, start, shown), 4, span));
        pieces.extend([
            Piece::Conv(Conv::plain(ConvKind::Str)),
            Piece::Conv(Conv::plain(ConvKind::Str)),
        ]);
    }
    let format = l.format(Format {
        pieces,
        channel: Channel::Out,
    });
    Ok(l.text(Op::StrFormat(format, args), call.cap.0, span))
}

/// A group in hexadecimal.
fn hexadecimal(l: &mut Lower<'_>, word: Value, call: &Call<'_>) -> Value {
    let format = l.format(Format {
        pieces: vec![Piece::Conv(Conv::plain(ConvKind::HexLower))],
        channel: Channel::Out,
    });
    l.text(Op::StrFormat(format, vec![word]), 4, call.span)
}

/// Raises the error of times that 32 bits do not hold.
fn only_32_bits(l: &mut Lower<'_>, seconds: Value, call: &Call<'_>) -> Lowered<()> {
    let span = call.span;
    let low = Op::Extend {
        value: seconds,
        bits: 32,
        signed: true,
    };
    let low = l.int(low, span);
    let zero = l.const_int(0, span);
    let fits = l.compare(CmpOp::Eq, low, seconds, span);
    let past = l.compare(CmpOp::Lt, seconds, zero, span);
    l.select(fits, &[0], Ty::I64, span, |l, i| {
        if i != 0 {
            return Ok(zero);
        }
        let texts = ["future", "past"]
            .map(|when| BString::from(format!("Time too far in the {when} to be converted")));
        let message = l.look_up(texts.to_vec(), past, 48, span);
        let site = l.site(ErrorKind::UserFn, span);
        l.effect(Op::ErrSet(message), span);
        l.raise_site(site, span);
        Ok(zero)
    })?;
    Ok(())
}

/// Arithmetic with constants.
struct Numbers<'l, 'p, 'c> {
    l: &'l mut Lower<'p>,
    call: &'c Call<'c>,
}

impl Numbers<'_, '_, '_> {
    fn number(&mut self, n: i64) -> Value {
        self.l.const_int(n, self.call.span)
    }

    fn bin(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        self.l.int(Op::Bin(op, a, b), self.call.span)
    }

    fn bin_with(&mut self, op: BinOp, a: Value, n: i64) -> Value {
        let n = self.number(n);
        self.bin(op, a, n)
    }

    fn plus(&mut self, a: Value, n: i64) -> Value {
        self.bin_with(BinOp::Add, a, n)
    }

    fn times(&mut self, a: Value, n: i64) -> Value {
        self.bin_with(BinOp::Mul, a, n)
    }

    /// 1 if the comparison with a constant holds, else 0.
    fn is(&mut self, op: CmpOp, a: Value, n: i64) -> Value {
        let n = self.number(n);
        self.l.compare(op, a, n, self.call.span)
    }

    /// `a` if `flag` is 1, `b` if it is 0.
    fn either(&mut self, flag: Value, a: Value, b: Value) -> Value {
        let differ = self.bin(BinOp::Xor, a, b);
        let change = self.bin(BinOp::Mul, differ, flag);
        self.bin(BinOp::Xor, b, change)
    }

    /// The two bytes of `word` from bit `at` on, first byte first.
    fn swapped(&mut self, word: Value, at: i64) -> Value {
        let first = self.bin_with(BinOp::Shr, word, at);
        let first = self.bin_with(BinOp::And, first, 0xff);
        let first = self.times(first, 256);
        let second = self.bin_with(BinOp::Shr, word, at + 8);
        let second = self.bin_with(BinOp::And, second, 0xff);
        self.bin(BinOp::Or, first, second)
    }

    fn div(&mut self, a: Value, n: i64) -> Value {
        let n = self.number(n);
        let site = self.l.site(ErrorKind::DivisionByZero, self.call.span);
        self.l.int(Op::Div(a, n, site), self.call.span)
    }

    fn rem(&mut self, a: Value, n: i64) -> Value {
        let n = self.number(n);
        let site = self.l.site(ErrorKind::DivisionByZero, self.call.span);
        self.l.int(Op::Rem(a, n, site), self.call.span)
    }
}
