//! Reading what functions refer to: globals, constants, formats, sites, handlers, limits.

use super::cursor::{Cursor, Read};
use super::names::{self, CHANNEL, CONV, CORE, ERROR, FLAG};
use crate::lir::*;

/// The limits by their names.
pub(super) fn limit_fields(limits: &mut Limits) -> [(&'static str, &mut u32); 8] {
    let Limits {
        max_string_len,
        max_action,
        max_action_interruptible,
        max_backtrace,
        max_map_entries,
        max_errors,
        max_skipped,
        max_nesting,
    } = limits;
    [
        ("max_string_len", max_string_len),
        ("max_action", max_action),
        ("max_action_interruptible", max_action_interruptible),
        ("max_backtrace", max_backtrace),
        ("max_map_entries", max_map_entries),
        ("max_errors", max_errors),
        ("max_skipped", max_skipped),
        ("max_nesting", max_nesting),
    ]
}

/// One line of a table.
pub(super) fn item(cursor: &mut Cursor<'_>, module: &mut Module) -> Read<()> {
    if cursor.eat("limits") {
        return limits(cursor, &mut module.limits);
    }
    let start = cursor.clone();
    let word = cursor.word("a table's entry or a function")?;
    cursor.expect("=")?;
    let expected = match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "g" => module.globals.push(global(cursor)?).to_string(),
        "str" => module.strings.push(cursor.quoted()?).to_string(),
        "fmt" => module.formats.push(format(cursor)?).to_string(),
        "site" => module.sites.push(site(cursor)?).to_string(),
        "core" => module.core.push(core(cursor)?).to_string(),
        "re" => module.regexes.push(cursor.quoted()?).to_string(),
        "table" => module.tables.push(texts(cursor)?).to_string(),
        "handler" => module.handlers.push(handler(cursor)?).to_string(),
        _ => return start.error("a table's entry or a function"),
    };
    if expected == word {
        Ok(())
    } else {
        start.error(&format!("`{expected}`, in order"))
    }
}

fn texts(cursor: &mut Cursor<'_>) -> Read<Vec<bstr::BString>> {
    let mut texts = Vec::new();
    while !cursor.at_end() {
        texts.push(cursor.quoted()?);
    }
    Ok(texts)
}

fn limits(cursor: &mut Cursor<'_>, limits: &mut Limits) -> Read<()> {
    while !cursor.at_end() {
        let start = cursor.clone();
        let word = cursor.word("a limit")?;
        cursor.expect("=")?;
        let number = cursor.number()?;
        let mut fields = limit_fields(limits).into_iter();
        match fields.find(|(name, _)| *name == word) {
            Some((_, field)) => *field = number,
            None => return start.error("a limit"),
        }
    }
    Ok(())
}

fn global(cursor: &mut Cursor<'_>) -> Read<GlobalData> {
    cursor.expect("global")?;
    let name = cursor.quoted_text()?;
    let kind = match cursor.peek_word() {
        "stat" => GlobalKind::Stat(stat(cursor)?),
        "array" => {
            cursor.expect("array")?;
            cursor.expect("[")?;
            let keys = cursor.list_until("]", Cursor::ty)?;
            cursor.expect("->")?;
            let value = if cursor.peek_word() == "stat" {
                ElementKind::Stat(stat(cursor)?)
            } else {
                ElementKind::Plain(cursor.ty()?)
            };
            cursor.expect("max")?;
            GlobalKind::Array {
                keys,
                value,
                max_entries: cursor.number()?,
                wrap: cursor.eat("wrap"),
            }
        }
        _ => {
            let ty = cursor.ty()?;
            cursor.expect("=")?;
            let init = match ty {
                Ty::I64 => Init::Int(cursor.number()?),
                Ty::Str { .. } => Init::Str(cursor.quoted()?),
            };
            GlobalKind::Scalar { ty, init }
        }
    };
    Ok(GlobalData {
        name,
        kind,
        shared: cursor.eat("shared"),
        print_at_end: cursor.eat("print"),
    })
}

fn stat(cursor: &mut Cursor<'_>) -> Read<StatLayout> {
    let mut layout = StatLayout::default();
    cursor.expect("stat")?;
    cursor.expect("{")?;
    while !cursor.eat("}") {
        let start = cursor.clone();
        match cursor.word("a field")? {
            "count" => {}
            "sum" => layout.sum = true,
            "min" => layout.min = true,
            "max" => layout.max = true,
            "variance" => layout.variance = true,
            "log" => layout.histograms.push(Histogram::Log),
            "linear" => {
                let low = cursor.number()?;
                let high = cursor.number()?;
                let width = cursor.number()?;
                let histogram = Histogram::Linear { low, high, width };
                layout.histograms.push(histogram);
            }
            _ => return start.error("a field of a statistic"),
        }
    }
    Ok(layout)
}

fn format(cursor: &mut Cursor<'_>) -> Read<Format> {
    let start = cursor.clone();
    let Some(channel) = names::value(CHANNEL, cursor.word("a channel")?) else {
        return start.error("a channel");
    };
    let mut pieces = Vec::new();
    while !cursor.at_end() {
        if cursor.eat("call") {
            let name = UserFn(cursor.quoted_text()?);
            pieces.push(Piece::Call(name, cursor.number()?));
        } else if cursor.eat("%") {
            pieces.push(Piece::Conv(conversion(cursor)?));
        } else {
            pieces.push(Piece::Text(cursor.quoted()?));
        }
    }
    Ok(Format { pieces, channel })
}

/// What follows `%`, all in one piece; the flag ` ` is written `_`.
fn conversion(cursor: &mut Cursor<'_>) -> Read<Conv> {
    let start = cursor.clone();
    let text = cursor.chunk();
    match parse_conversion(text) {
        Some(conv) => Ok(conv),
        None => start.error("a conversion"),
    }
}

fn parse_conversion(text: &str) -> Option<Conv> {
    let flag = FLAG.iter().find(|(_, word)| text.starts_with(word));
    let mut rest = text;
    if let Some((_, word)) = flag {
        rest = &rest[word.len()..];
    }
    let (width, rest) = conversion_size(rest)?;
    let (precision, rest) = match rest.strip_prefix('.') {
        Some(rest) => conversion_size(rest)?,
        None => (ConvSize::None, rest),
    };
    Some(Conv {
        flag: flag.map(|(flag, _)| *flag),
        width,
        precision,
        kind: names::value(CONV, rest)?,
    })
}

fn conversion_size(text: &str) -> Option<(ConvSize, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((ConvSize::Arg, rest));
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - rest.len()];
    if digits.is_empty() {
        return Some((ConvSize::None, rest));
    }
    Some((ConvSize::Fixed(digits.parse().ok()?), rest))
}

fn site(cursor: &mut Cursor<'_>) -> Read<Site> {
    let start = cursor.clone();
    let kind = match cursor.word("an error")? {
        "array_overflow" => ErrorKind::ArrayOverflow {
            max_entries: cursor.number()?,
            declared: !cursor.eat("default"),
        },
        word => match names::value(ERROR, word) {
            Some(kind) => kind,
            None => return start.error("an error"),
        },
    };
    cursor.expect("near")?;
    let near = cursor.quoted_text()?;
    cursor.expect("at")?;
    let position = cursor.quoted_text()?;
    let caller = if cursor.eat("from") {
        Some(SiteId::from_u32(cursor.entity("site")?))
    } else {
        None
    };
    Ok(Site {
        kind,
        near,
        position,
        caller,
    })
}

fn core(cursor: &mut Cursor<'_>) -> Read<Core> {
    let start = cursor.clone();
    let Some(kind) = names::value(CORE, cursor.word("a kind of fact")?) else {
        return start.error("a kind of fact");
    };
    let type_name = cursor.quoted_text()?;
    let type_id = cursor.number()?;
    let module = if cursor.eat("module") {
        Some(cursor.quoted_text()?)
    } else {
        None
    };
    let access = cursor.quoted_text()?;
    cursor.expect("=")?;
    Ok(Core {
        kind,
        type_name,
        type_id,
        module,
        access,
        value: cursor.number()?,
    })
}

fn handler(cursor: &mut Cursor<'_>) -> Read<Handler> {
    let start = cursor.clone();
    let exec = match cursor.word("an executor")? {
        "kernel" => Exec::Kernel,
        "user" => Exec::User,
        _ => return start.error("`kernel` or `user`"),
    };
    let early = cursor.peek_word() == "early";
    if early {
        cursor.word("`early`")?;
    }
    let start = cursor.clone();
    let context = match cursor.word("a context")? {
        "none" => Context::None,
        "raw_tracepoint" => Context::RawTracepoint,
        "btf_tracepoint" => Context::BtfTracepoint,
        "raw_syscall.enter" => Context::RawSyscall { is_return: false },
        "raw_syscall.exit" => Context::RawSyscall { is_return: true },
        "fentry" => Context::Fentry,
        "regs" => Context::Regs,
        "perf_event" => Context::PerfEvent,
        word => match word.strip_prefix("fexit.").and_then(|n| n.parse().ok()) {
            Some(args) => Context::Fexit { args },
            None => return start.error("a context"),
        },
    };
    Ok(Handler {
        func: Func::from_u32(cursor.entity("fn")?),
        name: cursor.quoted_text()?,
        exec,
        context,
        early,
        points: Vec::new(),
    })
}
