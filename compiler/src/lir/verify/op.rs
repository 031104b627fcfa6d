//! Rules of operations: types of operands and results, indices, formats.

use super::function::Cx;
use crate::lir::*;

/// Checks an operation and the type of its result.
pub(super) fn check(cx: &mut Cx<'_>, op: &Op, result: Option<Ty>) {
    if !op.result_kind().admits(result) {
        cx.error(format!("{} has the wrong kind of result", name(op)));
    }
    if let Some(site) = op.any_site()
        && !cx.module.sites.is_valid(site)
    {
        cx.error(format!("there is no {site}"));
    }
    let late_result = matches!(result, Some(Ty::Str { late: true, .. }));
    let may_be_late = matches!(
        op,
        Op::StrLate(..) | Op::StrStack(..) | Op::StrHist(..) | Op::StrCut(_)
    ) || op.result_kind() == ResultKind::Declared;
    if late_result && !may_be_late {
        cx.error(format!("{} cannot make a late string", name(op)));
    }
    match op {
        Op::Const(_)
        | Op::Site(_)
        | Op::MatchedGroups
        | Op::Env(_)
        | Op::CtxArg(_)
        | Op::CtxRet
        | Op::CtxReg(_)
        | Op::EntryArg(..)
        | Op::RequestExit
        | Op::Nest(..) => {}
        Op::Core(core) => exists(cx, cx.module.core.is_valid(*core), core),
        Op::Bin(_, a, b) | Op::Cmp(_, a, b) | Op::Div(a, b, _) | Op::Rem(a, b, _) => {
            ints(cx, &[*a, *b]);
        }
        Op::Extend { value, bits, .. } => {
            ints(cx, &[*value]);
            if !(1..=63).contains(bits) {
                cx.error(format!("cannot extend {bits} bits"));
            }
        }
        Op::StrConst(text) => exists(cx, cx.module.strings.is_valid(*text), text),
        Op::StrConcat(args) => strings(cx, args),
        Op::StrCut(a) => cut(cx, *a, result),
        Op::StrCmp(a, b) | Op::StrEq(a, b) | Op::StrFind(a, b) => strings(cx, &[*a, *b]),
        Op::StrSome(a) => {
            if !cx.func.ty(*a).is_str() {
                cx.error(format!("{a} is i64 where a string is wanted"));
            }
        }
        Op::StrLen(a) | Op::StrQuote(a) | Op::ErrSet(a) => strings(cx, &[*a]),
        Op::StrByte(a, n) | Op::StrToInt(a, n) => {
            strings(cx, &[*a]);
            ints(cx, &[*n]);
        }
        Op::StrSub(a, start, len) => {
            strings(cx, &[*a]);
            ints(cx, &[*start, *len]);
        }
        Op::StrTable(table, a) | Op::StrFlags(table, a) => {
            exists(cx, cx.module.tables.is_valid(*table), table);
            ints(cx, &[*a]);
        }
        Op::StrFromByte(a)
        | Op::StrSymbol { addr: a, .. }
        | Op::Matched(a, _)
        | Op::PointText(_, a) => ints(cx, &[*a]),
        Op::StrFormat(format, args) => formatted(cx, *format, args, false),
        Op::StrLate(format, args) => {
            if !late_result {
                cx.error("str.late makes a late string".to_owned());
            }
            formatted(cx, *format, args, true);
        }
        Op::StrStack(format, args, _) => {
            if !late_result {
                cx.error("str.stack makes a late string".to_owned());
            }
            exists(cx, cx.module.formats.is_valid(*format), format);
            ints(cx, args);
        }
        Op::Emit(format, args) => formatted(cx, *format, args, true),
        Op::StrMatch(regex, a) => {
            exists(cx, cx.module.regexes.is_valid(*regex), regex);
            strings(cx, &[*a]);
        }
        Op::Comm => {
            if result != Some(Ty::str(15)) {
                cx.error("comm is a str<15>".to_owned());
            }
        }
        Op::CtxLoad { size, .. } => access_size(cx, *size),
        Op::MemRead { addr, size, .. } => {
            ints(cx, &[*addr]);
            access_size(cx, *size);
        }
        Op::CtxFrame(value, _)
        | Op::PerfCount(value, _)
        | Op::Hit(value)
        | Op::MemReadStr { addr: value, .. } => ints(cx, &[*value]),
        Op::MemReadStrN { addr, len, .. } | Op::MemReadHex { addr, len, .. } => {
            ints(cx, &[*addr, *len]);
        }
        Op::ErrText(site, arg) => ints(cx, &[*site, *arg]),
        Op::Call(func, args, _) => call(cx, *func, args, result),
        Op::User(_, args, _) => {
            let late = args.iter().find(|v| is_late(cx.func.ty(**v)));
            if let Some(late) = late {
                cx.error(format!("{late} is late"));
            }
        }
        Op::IterEnd(_) => {}
        Op::GlobalGet(g) | Op::GlobalSet(g, _) | Op::GlobalAdd(g, _) | Op::GlobalFetchAdd(g, _) => {
            scalar(cx, op, *g, result);
        }
        Op::ArrayGet(g, _)
        | Op::ArrayHas(g, _)
        | Op::ArraySet(g, ..)
        | Op::ArrayAdd(g, ..)
        | Op::ArrayFetchAdd(g, ..)
        | Op::ArrayDel(g, _)
        | Op::ArrayHasSlice(g, _)
        | Op::IterBegin { array: g, .. } => array(cx, op, *g, result),
        Op::Clear(g, slice) => {
            if !slice.is_empty() {
                array(cx, op, *g, result);
            } else if !cx.module.globals.is_valid(*g) {
                cx.error(format!("there is no {g}"));
            }
        }
        Op::StatPush(g, keys, ..)
        | Op::StatGet(g, keys, ..)
        | Op::StatBucket(g, keys, ..)
        | Op::EmitHist(g, keys, ..) => statistic(cx, op, *g, keys),
        Op::StrHist(format, g, keys, ..) => {
            exists(cx, cx.module.formats.is_valid(*format), format);
            statistic(cx, op, *g, keys);
        }
    }
}

/// The mnemonic, for messages.
fn name(op: &Op) -> String {
    let text = text::print_op_text(op);
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn is_late(ty: Ty) -> bool {
    matches!(ty, Ty::Str { late: true, .. })
}

fn exists(cx: &mut Cx<'_>, valid: bool, id: &dyn std::fmt::Display) {
    if !valid {
        cx.error(format!("there is no {id}"));
    }
}

fn ints(cx: &mut Cx<'_>, values: &[Value]) {
    for value in values {
        cx.want(*value, Ty::I64);
    }
}

/// Strings of characters.
fn strings(cx: &mut Cx<'_>, values: &[Value]) {
    for value in values {
        match cx.func.ty(*value) {
            Ty::Str { late: false, .. } => {}
            ty => cx.error(format!("{value} is {ty} where a string is wanted")),
        }
    }
}

fn access_size(cx: &mut Cx<'_>, size: u8) {
    if !matches!(size, 1 | 2 | 4 | 8) {
        cx.error(format!("cannot read {size} bytes at once"));
    }
}

fn cut(cx: &mut Cx<'_>, value: Value, result: Option<Ty>) {
    match (cx.func.ty(value), result) {
        (Ty::I64, _) => cx.error(format!("{value} is i64 where a string is wanted")),
        (Ty::Str { late: false, .. }, Some(Ty::Str { late: true, .. })) => {
            cx.error(format!("{value} is not late: str.late makes it so"));
        }
        (
            Ty::Str {
                late: true,
                cap: from,
            },
            Some(Ty::Str {
                late: true,
                cap: to,
            }),
        ) if to < from => cx.error(format!("the record in {value} would be cut")),
        _ => {}
    }
}

/// Checks a format's arguments. Late strings are for `%s` in what user space formats.
fn formatted(cx: &mut Cx<'_>, format: FormatId, args: &[Value], late: bool) {
    let Some(format) = cx.module.formats.get(format) else {
        cx.error(format!("there is no {format}"));
        return;
    };
    let mut args = args.iter().copied();
    for piece in &format.pieces {
        match piece {
            Piece::Text(_) => {}
            Piece::Conv(conv) => {
                for size in [conv.width, conv.precision] {
                    if size == ConvSize::Arg {
                        argument(cx, args.next(), false, late);
                    }
                }
                let arg = args.next();
                if conv.kind == ConvKind::Memory && !late {
                    cx.error("%m: only user space shows memory".to_owned());
                }
                let string = match conv.kind {
                    ConvKind::Str | ConvKind::Memory => true,
                    ConvKind::MemoryHex
                    | ConvKind::Decimal
                    | ConvKind::Unsigned
                    | ConvKind::Octal
                    | ConvKind::HexLower
                    | ConvKind::HexUpper
                    | ConvKind::Pointer
                    | ConvKind::Char
                    | ConvKind::Binary => false,
                };
                argument(cx, arg, string, late);
            }
            Piece::Call(name, count) => {
                if !late {
                    cx.error(format!("{}: only user space can call it", name.0));
                }
                if args.by_ref().take(usize::from(*count)).count() < usize::from(*count) {
                    cx.error("the format has more conversions than arguments".to_owned());
                }
            }
        }
    }
    if args.next().is_some() {
        cx.error("the format has fewer conversions than arguments".to_owned());
    }
}

fn argument(cx: &mut Cx<'_>, value: Option<Value>, string: bool, late: bool) {
    match value {
        None => cx.error("the format has more conversions than arguments".to_owned()),
        Some(value) if !string => cx.want(value, Ty::I64),
        Some(value) if late => {
            if !cx.func.ty(value).is_str() {
                cx.error(format!("{value} is i64 where a string is wanted"));
            }
        }
        Some(value) => strings(cx, &[value]),
    }
}

fn call(cx: &mut Cx<'_>, func: Func, args: &[Value], result: Option<Ty>) {
    let Some(callee) = cx.module.functions.get(func) else {
        cx.error(format!("there is no {func}"));
        return;
    };
    let (params, ret) = (callee.params.clone(), callee.ret);
    all(cx, args, &params);
    if result != ret {
        cx.error(format!("the result of {func} is of another type"));
    }
}

/// Checks values against the types wanted, one by one.
fn all(cx: &mut Cx<'_>, values: &[Value], types: &[Ty]) {
    if values.len() != types.len() {
        cx.error(format!(
            "{} values where {} are wanted",
            values.len(),
            types.len()
        ));
    }
    for (value, ty) in values.iter().zip(types) {
        cx.want(*value, *ty);
    }
}

fn scalar(cx: &mut Cx<'_>, op: &Op, global: Global, result: Option<Ty>) {
    let Some(GlobalData {
        kind: GlobalKind::Scalar { ty, .. },
        ..
    }) = cx.module.globals.get(global)
    else {
        cx.error(format!("{global} is no scalar"));
        return;
    };
    let ty = *ty;
    match op {
        Op::GlobalSet(_, value) => cx.want(*value, ty),
        Op::GlobalGet(_) if result != Some(ty) => {
            cx.error(format!("the value of {global} is {ty}"));
        }
        Op::GlobalAdd(_, value) | Op::GlobalFetchAdd(_, value) => {
            cx.want(*value, Ty::I64);
            if ty != Ty::I64 {
                cx.error(format!("{global} is no number"));
            }
        }
        _ => {}
    }
}

fn array(cx: &mut Cx<'_>, op: &Op, global: Global, result: Option<Ty>) {
    let Some(GlobalData {
        kind: GlobalKind::Array { keys, value, .. },
        ..
    }) = cx.module.globals.get(global)
    else {
        cx.error(format!("{global} is no array"));
        return;
    };
    let keys = keys.clone();
    let element = match value {
        ElementKind::Plain(ty) => Some(*ty),
        ElementKind::Stat(_) => None,
    };
    match op {
        Op::ArrayGet(_, given) => {
            all(cx, given, &keys);
            if element.is_none() || result != element {
                cx.error(format!("the elements of {global} are of another type"));
            }
        }
        Op::ArraySet(_, given, value, _) => {
            all(cx, given, &keys);
            match element {
                Some(ty) => cx.want(*value, ty),
                None => cx.error(format!("the elements of {global} are statistics")),
            }
        }
        Op::ArrayAdd(_, given, value, _) | Op::ArrayFetchAdd(_, given, value, _) => {
            all(cx, given, &keys);
            cx.want(*value, Ty::I64);
            if element != Some(Ty::I64) {
                cx.error(format!("the elements of {global} are no numbers"));
            }
        }
        Op::ArrayHas(_, given) | Op::ArrayDel(_, given) => all(cx, given, &keys),
        Op::ArrayHasSlice(_, given) | Op::Clear(_, given) => slice(cx, given, &keys),
        Op::IterBegin {
            slice: given,
            sort,
            limit,
            ..
        } => {
            if !given.is_empty() {
                slice(cx, given, &keys);
            }
            ints(cx, limit.as_slice());
            let by = sort.map(|sort| sort.by);
            let fits = match by {
                None => true,
                Some(SortBy::Key(n)) => usize::from(n) < keys.len(),
                Some(SortBy::Value) => element.is_some(),
                Some(SortBy::Stat(_)) => element.is_none(),
            };
            if !fits {
                cx.error(format!("{global} cannot be sorted like that"));
            }
        }
        _ => {}
    }
}

fn slice(cx: &mut Cx<'_>, given: &[Option<Value>], keys: &[Ty]) {
    if given.len() != keys.len() {
        cx.error(format!(
            "{} keys where {} are wanted",
            given.len(),
            keys.len()
        ));
    }
    for (value, ty) in given.iter().zip(keys) {
        if let Some(value) = value {
            cx.want(*value, *ty);
        }
    }
}

fn statistic(cx: &mut Cx<'_>, op: &Op, global: Global, given: &[Value]) {
    let (keys, layout) = match cx.module.globals.get(global).map(|g| &g.kind) {
        Some(GlobalKind::Stat(layout)) => (Vec::new(), layout.clone()),
        Some(GlobalKind::Array {
            keys,
            value: ElementKind::Stat(layout),
            ..
        }) => (keys.clone(), layout.clone()),
        _ => {
            cx.error(format!("{global} holds no statistics"));
            return;
        }
    };
    all(cx, given, &keys);
    let kept = match op {
        Op::StatPush(_, _, value, _) => {
            ints(cx, &[*value]);
            true
        }
        Op::StatGet(_, _, field, _) => {
            let mut with = layout.clone();
            with.require(*field);
            with == layout
        }
        Op::StatBucket(_, _, bucket, histogram, _) => {
            ints(cx, &[*bucket]);
            usize::from(*histogram) < layout.histograms.len()
        }
        Op::StrHist(_, _, _, histogram, _) | Op::EmitHist(_, _, histogram, _) => {
            usize::from(*histogram) < layout.histograms.len()
        }
        _ => true,
    };
    if !kept {
        cx.error(format!("{global} does not keep what is read"));
    }
}
