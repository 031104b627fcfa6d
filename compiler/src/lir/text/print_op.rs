//! One operation as text: its mnemonic, operands, immediates, error site.

use std::fmt::{self, Display, Write};

use super::names::{BIN, CMP, ENV, POINT_TEXT, SPACE, word};
use super::print::quote;
use crate::lir::{CtxReg, Global, NestOp, NestSlot, Op, Sort, SortBy, StatField, Value};

/// `a, b, c`
pub(super) fn list<T: Display>(out: &mut String, items: impl IntoIterator<Item = T>) {
    for (i, item) in items.into_iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}{item}");
    }
}

/// `g1[v2, v3]`; without keys just the global.
fn element(out: &mut String, global: Global, keys: &[Value]) {
    let _ = write!(out, "{global}");
    if !keys.is_empty() {
        out.push('[');
        list(out, keys);
        out.push(']');
    }
}

/// `g1[_, v3]`
fn slice(out: &mut String, global: Global, keys: &[Option<Value>]) {
    let _ = write!(out, "{global}");
    if !keys.is_empty() {
        out.push('[');
        list(out, keys.iter().map(|k| OrBlank(*k)));
        out.push(']');
    }
}

struct OrBlank(Option<Value>);

impl Display for OrBlank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("_"),
        }
    }
}

/// The word of a statistic's field: `variance`.
pub(super) struct Field(pub StatField);

impl Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StatField::Count => f.write_str("count"),
            StatField::Sum => f.write_str("sum"),
            StatField::Min => f.write_str("min"),
            StatField::Max => f.write_str("max"),
            StatField::Avg => f.write_str("avg"),
            StatField::Variance => f.write_str("variance"),
        }
    }
}

/// The word of a context's register.
struct Reg(CtxReg);

impl Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CtxReg::Arg(n) => write!(f, "arg{n}"),
            CtxReg::SyscallArg(n) => write!(f, "sys{n}"),
            CtxReg::Ret => f.write_str("ret"),
            CtxReg::RetHigh => f.write_str("rethigh"),
            CtxReg::Ip => f.write_str("ip"),
            CtxReg::Sp => f.write_str("sp"),
            CtxReg::Fp => f.write_str("fp"),
            CtxReg::Dwarf(n) => write!(f, "dwarf{n}"),
        }
    }
}

fn sign(signed: bool) -> char {
    if signed { 's' } else { 'u' }
}

/// `3`, or `next 3`.
struct Slot(NestSlot);

impl Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NestSlot::Own(slot) => write!(f, "{slot}"),
            NestSlot::Next(slot) => write!(f, "next {slot}"),
        }
    }
}

/// Appends the text of an operation.
pub(super) fn op(out: &mut String, op: &Op) {
    // Writing to a String cannot fail.
    let _ = write_op(out, op);
}

fn write_op(out: &mut String, op: &Op) -> fmt::Result {
    match op {
        Op::Const(n) => write!(out, "iconst {n}"),
        Op::Site(site) => write!(out, "site !{site}"),
        Op::Core(core) => write!(out, "core {core}"),
        Op::Bin(kind, a, b) => write!(out, "{} {a}, {b}", word(BIN, kind)),
        Op::Cmp(kind, a, b) => write!(out, "icmp.{} {a}, {b}", word(CMP, kind)),
        Op::Extend {
            value,
            bits,
            signed,
        } => write!(out, "extend.{}{bits} {value}", sign(*signed)),
        Op::Div(a, b, site) => write!(out, "div {a}, {b} !{site}"),
        Op::Rem(a, b, site) => write!(out, "rem {a}, {b} !{site}"),

        Op::StrConst(text) => write!(out, "str.const {text}"),
        Op::StrConcat(args) => {
            out.push_str("str.concat ");
            list(out, args);
            Ok(())
        }
        Op::StrCut(a) => write!(out, "str.cut {a}"),
        Op::StrCmp(a, b) => write!(out, "str.cmp {a}, {b}"),
        Op::StrEq(a, b) => write!(out, "str.eq {a}, {b}"),
        Op::StrLen(a) => write!(out, "str.len {a}"),
        Op::StrSome(a) => write!(out, "str.some {a}"),
        Op::StrByte(a, b) => write!(out, "str.byte {a}, {b}"),
        Op::StrSub(a, b, c) => write!(out, "str.sub {a}, {b}, {c}"),
        Op::StrFind(a, b) => write!(out, "str.find {a}, {b}"),
        Op::StrFromByte(a) => write!(out, "str.from_byte {a}"),
        Op::StrToInt(a, b) => write!(out, "str.to_int {a}, {b}"),
        Op::StrFormat(format, args) => call(out, &format_args!("str.format {format}"), args),
        Op::StrLate(format, args) => call(out, &format_args!("str.late {format}"), args),
        Op::StrStack(format, args, of) => call(
            out,
            &format_args!("str.stack.{} {format}", word(SPACE, of)),
            args,
        ),
        Op::StrSymbol { addr, offset } => {
            let what = if *offset { "offset" } else { "name" };
            write!(out, "str.symbol.{what} {addr}")
        }
        Op::StrMatch(regex, a) => write!(out, "str.match {regex}, {a}"),
        Op::Matched(n, site) => write!(out, "str.matched {n} !{site}"),
        Op::MatchedGroups => write!(out, "str.groups"),
        Op::StrQuote(a) => write!(out, "str.quote {a}"),

        Op::Env(env) => write!(out, "env.{}", word(ENV, env)),
        Op::Comm => write!(out, "comm"),
        Op::Nest(nest, op) => match op {
            NestOp::Begin => write!(out, "nest.begin {nest}"),
            NestOp::Push(site) => write!(out, "nest.push {nest} !{site}"),
            NestOp::Pop => write!(out, "nest.pop {nest}"),
            NestOp::Get(slot) => write!(out, "nest.get {nest}, {}", Slot(*slot)),
            NestOp::Set(slot, value) => write!(out, "nest.set {nest}, {}, {value}", Slot(*slot)),
            NestOp::Hub(passes) => write!(out, "nest.hub {nest}, {passes}"),
        },
        Op::CtxArg(n) => write!(out, "ctx.arg {n}"),
        Op::CtxRet => write!(out, "ctx.ret"),
        Op::CtxReg(reg) => write!(out, "ctx.reg {}", Reg(*reg)),
        Op::CtxLoad {
            offset,
            size,
            signed,
        } => write!(out, "ctx.load.{}{size} {offset}", sign(*signed)),
        Op::CtxFrame(up, of) => write!(out, "ctx.frame.{} {up}", word(SPACE, of)),
        Op::EntryArg(n, site) => write!(out, "ctx.entry {n} !{site}"),
        Op::PerfCount(number, site) => write!(out, "perf_count {number} !{site}"),

        Op::MemRead {
            addr,
            space,
            size,
            signed,
            site,
        } => {
            let space = word(SPACE, space);
            write!(
                out,
                "mem.read.{space}.{}{size} {addr} !{site}",
                sign(*signed)
            )
        }
        Op::MemReadStr { addr, space, site } => {
            write!(out, "mem.str.{} {addr} !{site}", word(SPACE, space))
        }
        Op::MemReadStrN {
            addr,
            len,
            space,
            site,
        } => write!(out, "mem.strn.{} {addr}, {len} !{site}", word(SPACE, space)),
        Op::MemReadHex {
            addr,
            len,
            space,
            site,
        } => write!(out, "mem.hex.{} {addr}, {len} !{site}", word(SPACE, space)),

        Op::GlobalGet(g) => write!(out, "global.get {g}"),
        Op::GlobalSet(g, v) => write!(out, "global.set {g}, {v}"),
        Op::GlobalAdd(g, v) => write!(out, "global.add {g}, {v}"),
        Op::GlobalFetchAdd(g, v) => write!(out, "global.fetch_add {g}, {v}"),
        Op::ArrayGet(g, keys) => keyed(out, "array.get", *g, keys),
        Op::ArrayHas(g, keys) => keyed(out, "array.has", *g, keys),
        Op::ArraySet(g, keys, v, site) => {
            keyed(out, "array.set", *g, keys)?;
            write!(out, ", {v} !{site}")
        }
        Op::ArrayAdd(g, keys, v, site) => {
            keyed(out, "array.add", *g, keys)?;
            write!(out, ", {v} !{site}")
        }
        Op::ArrayFetchAdd(g, keys, v, site) => {
            keyed(out, "array.fetch_add", *g, keys)?;
            write!(out, ", {v} !{site}")
        }
        Op::ArrayDel(g, keys) => keyed(out, "array.del", *g, keys),
        Op::Clear(g, keys) => {
            out.push_str("clear ");
            slice(out, *g, keys);
            Ok(())
        }
        Op::ArrayHasSlice(g, keys) => {
            out.push_str("array.has_slice ");
            slice(out, *g, keys);
            Ok(())
        }
        Op::StatPush(g, keys, v, site) => {
            keyed(out, "stat.push", *g, keys)?;
            write!(out, ", {v} !{site}")
        }
        Op::StatGet(g, keys, field, site) => {
            keyed(out, &format!("stat.{}", Field(*field)), *g, keys)?;
            write!(out, " !{site}")
        }
        Op::StatBucket(g, keys, bucket, histogram, site) => {
            keyed(out, &format!("stat.bucket.{histogram}"), *g, keys)?;
            write!(out, ", {bucket} !{site}")
        }
        Op::IterBegin {
            array,
            slice: keys,
            sort,
            limit,
            nest: _,
            site,
        } => {
            out.push_str("iter.begin ");
            slice(out, *array, keys);
            if let Some(Sort { by, descending }) = sort {
                out.push_str(if *descending { " desc " } else { " asc " });
                match by {
                    SortBy::Key(n) => write!(out, "key.{n}")?,
                    SortBy::Value => out.push_str("value"),
                    SortBy::Stat(field) => write!(out, "{}", Field(*field))?,
                }
            }
            if let Some(limit) = limit {
                write!(out, " limit {limit}")?;
            }
            write!(out, " !{site}")
        }
        Op::IterEnd(iter) => write!(out, "iter.end {iter}"),

        Op::Emit(format, args) => call(out, &format_args!("emit {format}"), args),
        Op::StrHist(format, g, keys, histogram, site) => {
            keyed(out, &format!("str.hist.{histogram} {format},"), *g, keys)?;
            write!(out, " !{site}")
        }
        Op::EmitHist(g, keys, histogram, site) => {
            keyed(out, &format!("emit.hist.{histogram}"), *g, keys)?;
            write!(out, " !{site}")
        }
        Op::Hit(point) => write!(out, "hit {point}"),
        Op::RequestExit => write!(out, "exit"),
        Op::ErrSet(a) => write!(out, "err.set {a}"),
        Op::ErrText(site, arg) => write!(out, "err.text {site}, {arg}"),
        Op::Call(func, args, site) => {
            call(out, &format_args!("call {func}"), args)?;
            write!(out, " !{site}")
        }
        Op::StrTable(table, n) => write!(out, "str.table {table}, {n}"),
        Op::StrFlags(table, n) => write!(out, "str.flags {table}, {n}"),
        Op::PointText(text, n) => write!(out, "point.{} {n}", word(POINT_TEXT, text)),
        Op::User(name, args, site) => {
            call(
                out,
                &format_args!("user {}", quote(name.0.as_bytes())),
                args,
            )?;
            write!(out, " !{site}")
        }
    }
}

fn keyed(out: &mut String, mnemonic: &str, global: Global, keys: &[Value]) -> fmt::Result {
    write!(out, "{mnemonic} ")?;
    element(out, global, keys);
    Ok(())
}

fn call(out: &mut String, head: &fmt::Arguments<'_>, args: &[Value]) -> fmt::Result {
    write!(out, "{head}(")?;
    list(out, args);
    out.push(')');
    Ok(())
}
