//! Reading one operation.

use super::cursor::{Cursor, Read};
use super::names::{self, BIN, CMP, ENV, POINT_TEXT, SPACE};
use super::parse::site;
use crate::lir::*;

/// A value.
pub(super) fn value(cursor: &mut Cursor<'_>) -> Read<Value> {
    Ok(Value::from_u32(cursor.entity("v")?))
}

/// An operation.
pub(super) fn op(cursor: &mut Cursor<'_>) -> Read<Op> {
    let start = cursor.clone();
    let mnemonic = cursor.word("an operation")?;
    if let Some(kind) = names::value(BIN, mnemonic) {
        let (a, b) = two(cursor)?;
        return Ok(Op::Bin(kind, a, b));
    }
    let (family, detail) = mnemonic.split_once('.').unwrap_or((mnemonic, ""));
    let read = match family {
        "str" => string_op(cursor, detail)?,
        "ctx" => context_op(cursor, detail)?,
        "mem" => memory_op(cursor, detail)?,
        "global" => global_op(cursor, detail)?,
        "array" => array_op(cursor, detail)?,
        "stat" => stat_op(cursor, detail)?,
        "iter" => iter_op(cursor, detail)?,
        _ => other_op(cursor, family, detail)?,
    };
    match read {
        Some(op) => Ok(op),
        None => start.error("an operation"),
    }
}

fn other_op(cursor: &mut Cursor<'_>, family: &str, detail: &str) -> Read<Option<Op>> {
    Ok(Some(match (family, detail) {
        ("iconst", "") => Op::Const(cursor.number()?),
        ("site", "") => Op::Site(site(cursor)?),
        ("core", "") => Op::Core(CoreId::from_u32(cursor.entity("core")?)),
        ("icmp", kind) => {
            let Some(kind) = names::value(CMP, kind) else {
                return Ok(None);
            };
            let (a, b) = two(cursor)?;
            Op::Cmp(kind, a, b)
        }
        ("extend", how) => {
            let Some((signed, bits)) = signed(how) else {
                return Ok(None);
            };
            Op::Extend {
                value: value(cursor)?,
                bits,
                signed,
            }
        }
        ("div", "") => {
            let (a, b) = two(cursor)?;
            Op::Div(a, b, site(cursor)?)
        }
        ("rem", "") => {
            let (a, b) = two(cursor)?;
            Op::Rem(a, b, site(cursor)?)
        }
        ("env", what) => match names::value(ENV, what) {
            Some(env) => Op::Env(env),
            None => return Ok(None),
        },
        ("point", what) => match names::value(POINT_TEXT, what) {
            Some(text) => Op::PointText(text, value(cursor)?),
            None => return Ok(None),
        },
        ("comm", "") => Op::Comm,
        ("perf_count", "") => Op::PerfCount(value(cursor)?, site(cursor)?),
        ("clear", "") => {
            let (global, keys) = slice(cursor)?;
            Op::Clear(global, keys)
        }
        ("emit", "") => {
            let (format, args) = formatted(cursor)?;
            Op::Emit(format, args)
        }
        ("emit", detail) => {
            let Some(histogram) = index(detail, "hist.") else {
                return Ok(None);
            };
            let (global, keys) = element(cursor)?;
            Op::EmitHist(global, keys, histogram, site(cursor)?)
        }
        ("hit", "") => Op::Hit(value(cursor)?),
        ("exit", "") => Op::RequestExit,
        ("err", "set") => Op::ErrSet(value(cursor)?),
        ("err", "text") => {
            let (a, b) = two(cursor)?;
            Op::ErrText(a, b)
        }
        ("call", "") => {
            let func = Func::from_u32(cursor.entity("fn")?);
            let args = args(cursor)?;
            Op::Call(func, args, site(cursor)?)
        }
        ("user", "") => {
            let name = UserFn(cursor.quoted_text()?);
            let args = args(cursor)?;
            Op::User(name, args, site(cursor)?)
        }
        _ => return Ok(None),
    }))
}

fn string_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    Ok(Some(match detail {
        "const" => Op::StrConst(StrId::from_u32(cursor.entity("str")?)),
        "concat" => {
            let mut parts = vec![value(cursor)?];
            // After `try`'s operation a comma and a block follow.
            loop {
                let mut ahead = cursor.clone();
                if !ahead.eat(",") {
                    break;
                }
                let Some(part) = ahead.eat_entity("v") else {
                    break;
                };
                parts.push(Value::from_u32(part));
                *cursor = ahead;
            }
            Op::StrConcat(parts)
        }
        "cut" => Op::StrCut(value(cursor)?),
        "cmp" => {
            let (a, b) = two(cursor)?;
            Op::StrCmp(a, b)
        }
        "eq" => {
            let (a, b) = two(cursor)?;
            Op::StrEq(a, b)
        }
        "len" => Op::StrLen(value(cursor)?),
        "some" => Op::StrSome(value(cursor)?),
        "byte" => {
            let (a, b) = two(cursor)?;
            Op::StrByte(a, b)
        }
        "sub" => {
            let (a, b) = two(cursor)?;
            cursor.expect(",")?;
            Op::StrSub(a, b, value(cursor)?)
        }
        "find" => {
            let (a, b) = two(cursor)?;
            Op::StrFind(a, b)
        }
        "from_byte" => Op::StrFromByte(value(cursor)?),
        "to_int" => {
            let (a, b) = two(cursor)?;
            Op::StrToInt(a, b)
        }
        "format" => {
            let (format, args) = formatted(cursor)?;
            Op::StrFormat(format, args)
        }
        "late" => {
            let (format, args) = formatted(cursor)?;
            Op::StrLate(format, args)
        }
        "stack.kernel" | "stack.user" => {
            let (format, args) = formatted(cursor)?;
            let of = if detail == "stack.user" {
                Space::User
            } else {
                Space::Kernel
            };
            Op::StrStack(format, args, of)
        }
        "symbol.name" | "symbol.offset" => Op::StrSymbol {
            addr: value(cursor)?,
            offset: detail == "symbol.offset",
        },
        "match" => {
            let regex = RegexId::from_u32(cursor.entity("re")?);
            cursor.expect(",")?;
            Op::StrMatch(regex, value(cursor)?)
        }
        "table" | "flags" => {
            let table = TableId::from_u32(cursor.entity("table")?);
            cursor.expect(",")?;
            let number = value(cursor)?;
            match detail {
                "table" => Op::StrTable(table, number),
                _ => Op::StrFlags(table, number),
            }
        }
        "matched" => {
            let n = value(cursor)?;
            Op::Matched(n, site(cursor)?)
        }
        "groups" => Op::MatchedGroups,
        "quote" => Op::StrQuote(value(cursor)?),
        detail => {
            let Some(histogram) = index(detail, "hist.") else {
                return Ok(None);
            };
            let format = FormatId::from_u32(cursor.entity("fmt")?);
            cursor.expect(",")?;
            let (global, keys) = element(cursor)?;
            Op::StrHist(format, global, keys, histogram, site(cursor)?)
        }
    }))
}

fn context_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    Ok(Some(match detail {
        "arg" => Op::CtxArg(cursor.number()?),
        "ret" => Op::CtxRet,
        "reg" => match register(cursor.word("a register")?) {
            Some(reg) => Op::CtxReg(reg),
            None => return Ok(None),
        },
        "frame.kernel" => Op::CtxFrame(value(cursor)?, Space::Kernel),
        "frame.user" => Op::CtxFrame(value(cursor)?, Space::User),
        "entry" => {
            let n = cursor.number()?;
            Op::EntryArg(n, site(cursor)?)
        }
        _ => {
            let Some((signed, size)) = detail.strip_prefix("load.").and_then(signed) else {
                return Ok(None);
            };
            Op::CtxLoad {
                offset: cursor.number()?,
                size,
                signed,
            }
        }
    }))
}

fn memory_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    let (kind, rest) = detail.split_once('.').unwrap_or((detail, ""));
    let (space, access) = rest.split_once('.').unwrap_or((rest, ""));
    let Some(space) = names::value(SPACE, space) else {
        return Ok(None);
    };
    let addr = value(cursor)?;
    Ok(Some(match kind {
        "read" => {
            let Some((signed, size)) = signed(access) else {
                return Ok(None);
            };
            Op::MemRead {
                addr,
                space,
                size,
                signed,
                site: site(cursor)?,
            }
        }
        "str" => Op::MemReadStr {
            addr,
            space,
            site: site(cursor)?,
        },
        "strn" => {
            cursor.expect(",")?;
            Op::MemReadStrN {
                addr,
                len: value(cursor)?,
                space,
                site: site(cursor)?,
            }
        }
        "hex" => {
            cursor.expect(",")?;
            Op::MemReadHex {
                addr,
                len: value(cursor)?,
                space,
                site: site(cursor)?,
            }
        }
        _ => return Ok(None),
    }))
}

fn global_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    let global = global(cursor)?;
    if detail == "get" {
        return Ok(Some(Op::GlobalGet(global)));
    }
    cursor.expect(",")?;
    let value = value(cursor)?;
    Ok(match detail {
        "set" => Some(Op::GlobalSet(global, value)),
        "add" => Some(Op::GlobalAdd(global, value)),
        "fetch_add" => Some(Op::GlobalFetchAdd(global, value)),
        _ => None,
    })
}

fn array_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    if detail == "has_slice" {
        let (global, keys) = slice(cursor)?;
        return Ok(Some(Op::ArrayHasSlice(global, keys)));
    }
    let (global, keys) = element(cursor)?;
    let mut stored = || {
        cursor.expect(",")?;
        Ok((value(cursor)?, site(cursor)?))
    };
    Ok(Some(match detail {
        "get" => Op::ArrayGet(global, keys),
        "has" => Op::ArrayHas(global, keys),
        "del" => Op::ArrayDel(global, keys),
        "set" => {
            let (value, site) = stored()?;
            Op::ArraySet(global, keys, value, site)
        }
        "add" => {
            let (value, site) = stored()?;
            Op::ArrayAdd(global, keys, value, site)
        }
        "fetch_add" => {
            let (value, site) = stored()?;
            Op::ArrayFetchAdd(global, keys, value, site)
        }
        _ => return Ok(None),
    }))
}

fn stat_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    let (global, keys) = element(cursor)?;
    if let Some(field) = stat_field(detail) {
        return Ok(Some(Op::StatGet(global, keys, field, site(cursor)?)));
    }
    cursor.expect(",")?;
    let value = value(cursor)?;
    let site = site(cursor)?;
    if detail == "push" {
        return Ok(Some(Op::StatPush(global, keys, value, site)));
    }
    let bucket = index(detail, "bucket.");
    Ok(bucket.map(|n| Op::StatBucket(global, keys, value, n, site)))
}

fn iter_op(cursor: &mut Cursor<'_>, detail: &str) -> Read<Option<Op>> {
    match detail {
        "end" => return Ok(Some(Op::IterEnd(value(cursor)?))),
        "begin" => {}
        _ => return Ok(None),
    }
    let (array, slice) = slice(cursor)?;
    let descending = match cursor.peek_word() {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    };
    let sort = match descending {
        None => None,
        Some(descending) => {
            cursor.word("")?;
            let word = cursor.word("what is sorted by")?;
            let by = if word == "value" {
                SortBy::Value
            } else if let Some(n) = index(word, "key.") {
                SortBy::Key(n)
            } else if let Some(field) = stat_field(word) {
                SortBy::Stat(field)
            } else {
                return Ok(None);
            };
            Some(Sort { by, descending })
        }
    };
    let limit = if cursor.eat("limit") {
        Some(value(cursor)?)
    } else {
        None
    };
    Ok(Some(Op::IterBegin {
        array,
        slice,
        sort,
        limit,
        nest: None,
        site: site(cursor)?,
    }))
}

fn two(cursor: &mut Cursor<'_>) -> Read<(Value, Value)> {
    let a = value(cursor)?;
    cursor.expect(",")?;
    Ok((a, value(cursor)?))
}

fn global(cursor: &mut Cursor<'_>) -> Read<Global> {
    Ok(Global::from_u32(cursor.entity("g")?))
}

fn element(cursor: &mut Cursor<'_>) -> Read<(Global, Vec<Value>)> {
    let global = global(cursor)?;
    let keys = if cursor.eat("[") {
        cursor.list_until("]", value)?
    } else {
        Vec::new()
    };
    Ok((global, keys))
}

fn slice(cursor: &mut Cursor<'_>) -> Read<(Global, Vec<Option<Value>>)> {
    let global = global(cursor)?;
    let keys = if cursor.eat("[") {
        cursor.list_until("]", |c| {
            if c.eat("_") {
                Ok(None)
            } else {
                value(c).map(Some)
            }
        })?
    } else {
        Vec::new()
    };
    Ok((global, keys))
}

fn args(cursor: &mut Cursor<'_>) -> Read<Vec<Value>> {
    cursor.expect("(")?;
    cursor.list_until(")", value)
}

fn formatted(cursor: &mut Cursor<'_>) -> Read<(FormatId, Vec<Value>)> {
    let format = FormatId::from_u32(cursor.entity("fmt")?);
    Ok((format, args(cursor)?))
}

/// `s8` or `u32`.
fn signed(text: &str) -> Option<(bool, u8)> {
    let signed = text.starts_with('s');
    let digits = text.strip_prefix(['s', 'u'])?;
    Some((signed, digits.parse().ok()?))
}

/// The number after `prefix`.
fn index(text: &str, prefix: &str) -> Option<u8> {
    text.strip_prefix(prefix)?.parse().ok()
}

fn stat_field(word: &str) -> Option<StatField> {
    Some(match word {
        "count" => StatField::Count,
        "sum" => StatField::Sum,
        "min" => StatField::Min,
        "max" => StatField::Max,
        "avg" => StatField::Avg,
        "variance" => StatField::Variance,
        _ => return None,
    })
}

fn register(word: &str) -> Option<CtxReg> {
    Some(match word {
        "ret" => CtxReg::Ret,
        "rethigh" => CtxReg::RetHigh,
        "ip" => CtxReg::Ip,
        "sp" => CtxReg::Sp,
        "fp" => CtxReg::Fp,
        _ => {
            if let Some(n) = index(word, "arg") {
                CtxReg::Arg(n)
            } else if let Some(n) = index(word, "sys") {
                CtxReg::SyscallArg(n)
            } else {
                CtxReg::Dwarf(index(word, "dwarf")?)
            }
        }
    })
}
