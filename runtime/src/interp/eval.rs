//! Operations, one arm each.

use cranelift_entity::EntityRef;
use rtap_compiler::builtins::names::{flags, items_of};
use rtap_compiler::image::{Field, width_bytes};
use rtap_compiler::lir::{
    BinOp, Channel, CmpOp, Env, Format, FormatId, Function, Global, GlobalKind, Histogram, Op,
    PointText, SiteId, SortBy, Space, StatField, Ty, Value as Reg,
};

use super::context::{Context, read_string};
use super::machine::{Iteration, Machine, Raised, raised};
use super::program::late_fields;
use super::sort;
use super::store::{Store, StoreError};
use super::strings;
use super::text_keys::TextKeys;
use crate::values::{Text, Value, ValueArgs, hex, histogram, quote};

type Evaluated = Result<Value, Raised>;

/// What operations without a result give.
const NOTHING: Evaluated = Ok(Value::Int(0));

impl<'p, S: Store> Machine<'p, S> {
    /// Does one operation of `function`, whose values begin at `base`. `ty` is the result's
    /// type, if it has one.
    pub(super) fn eval(
        &mut self,
        function: &Function,
        op: &Op,
        ty: Option<Ty>,
        base: usize,
        cx: &mut impl Context,
    ) -> Evaluated {
        let int = |machine: &Self, reg: &Reg| machine.int(base, *reg);
        Ok(match op {
            // ---- integers
            Op::Const(n) => Value::Int(*n),
            Op::Site(site) => Value::Int(i64::from(site.as_u32())),
            Op::Core(id) => match self.program.module.core.get(*id) {
                Some(core) => Value::Int(cx.core(core)),
                None => Value::Int(0),
            },
            Op::Bin(op, a, b) => Value::Int(arithmetic(*op, int(self, a), int(self, b))),
            Op::Cmp(op, a, b) => Value::Int(i64::from(compare(*op, int(self, a), int(self, b)))),
            Op::Extend {
                value,
                bits,
                signed,
            } => Value::Int(extend(int(self, value), *bits, *signed)),
            Op::Div(a, b, site) => match int(self, b) {
                0 => return Err(raised(*site, 0)),
                b => Value::Int(int(self, a).wrapping_div(b)),
            },
            Op::Rem(a, b, site) => match int(self, b) {
                0 => return Err(raised(*site, 0)),
                b => Value::Int(int(self, a).wrapping_rem(b)),
            },

            // ---- strings
            Op::StrConst(id) => {
                let bytes = self.program.module.strings.get(*id);
                string(bytes.map_or(b"", |b| b.as_slice()), ty)
            }
            Op::StrConcat(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend_from_slice(self.text(base, *part));
                }
                string(&all, ty)
            }
            Op::StrCut(text) => {
                let from_late = is_late(function.ty(*text));
                let to_late = ty.is_some_and(is_late);
                let text = self.text(base, *text).clone();
                match (from_late, to_late) {
                    (true, false) => string(&self.render_late(&text), ty),
                    (_, true) => Value::Str(text),
                    (false, false) => Value::Str(text.into_cut(cap(ty))),
                }
            }
            Op::StrCmp(a, b) => Value::Int(self.text(base, *a).cmp(self.text(base, *b)) as i64),
            Op::StrEq(a, b) => Value::Int(i64::from(self.text(base, *a) == self.text(base, *b))),
            Op::StrSome(text) => Value::Int(i64::from(!self.text(base, *text).is_empty())),
            Op::StrLen(text) => Value::Int(self.text(base, *text).len() as i64),
            Op::StrByte(text, at) => {
                let at = usize::try_from(int(self, at)).ok();
                let byte = at.and_then(|at| self.text(base, *text).get(at).copied());
                Value::Int(i64::from(byte.unwrap_or(0)))
            }
            Op::StrSub(text, start, length) => {
                let (start, length) = (int(self, start), int(self, length));
                string(strings::substr(self.text(base, *text), start, length), ty)
            }
            Op::StrFind(text, part) => Value::Int(strings::find(
                self.text(base, *text),
                self.text(base, *part),
            )),
            Op::StrFromByte(byte) => string(&[int(self, byte) as u8], ty),
            Op::StrToInt(text, number_base) => {
                let number_base = int(self, number_base);
                Value::Int(strings::to_int(self.text(base, *text), number_base))
            }
            Op::StrFormat(format, args) => {
                let mut out = Vec::new();
                self.format(function, *format, args, base, &mut out);
                string(&out, ty)
            }
            // Only in the kernel.
            Op::StrStack(..) | Op::StrSymbol { .. } => Value::Str(Text::EMPTY),
            Op::CtxFrame(..) | Op::PerfCount(..) => Value::Int(0),
            Op::StrLate(format, args) => self.late_record(function, *format, args, base),
            Op::StrMatch(regex, text) => {
                let text = self.text(base, *text).clone();
                let program = self.program;
                let compiled = program.regexes.get(regex.index());
                let cache = self.caches.get_mut(regex.index());
                let (Some(compiled), Some(cache)) = (compiled, cache) else {
                    return NOTHING;
                };
                let cache = cache.get_or_insert_with(|| compiled.cache());
                match compiled.find(cache, &text) {
                    Some(groups) => {
                        self.groups = groups;
                        Value::Int(1)
                    }
                    None => Value::Int(0),
                }
            }
            Op::Matched(group, site) => {
                let group = int(self, group);
                match self.groups.get(group) {
                    Some(text) => string(text, ty),
                    None => return Err(raised(*site, group)),
                }
            }
            Op::MatchedGroups => Value::Int(self.groups.count()),
            Op::StrQuote(text) => {
                let mut out = Vec::new();
                quote(&mut out, self.text(base, *text), cap(ty) as usize);
                string(&out, ty)
            }

            // ---- surroundings
            Op::Env(Env::Point) => Value::Int(self.point),
            Op::Env(env) => Value::Int(cx.env(*env)),
            Op::Comm => Value::Str(cx.comm().into_cut(cap(ty))),
            Op::CtxArg(n) => Value::Int(cx.ctx_arg(*n)),
            Op::CtxRet => Value::Int(cx.ctx_ret()),
            Op::CtxReg(reg) => Value::Int(cx.ctx_reg(*reg)),
            Op::CtxLoad {
                offset,
                size,
                signed,
            } => {
                let mut bytes = [0; 8];
                let size = usize::from(*size).min(8);
                if cx.ctx_load(*offset, &mut bytes[..size]) {
                    Value::Int(extend_bytes(bytes, size, *signed))
                } else {
                    Value::Int(0)
                }
            }
            Op::EntryArg(n, site) => match cx.entry_arg(*n) {
                Some(n) => Value::Int(n),
                None => return Err(raised(*site, 0)),
            },
            Op::StrTable(table, number) => {
                let texts = &self.program.module.tables[*table];
                let found = usize::try_from(int(self, number)).ok();
                let text = found.and_then(|n| texts.get(n));
                string(text.map_or(b"", |text| text.as_slice()), ty)
            }
            Op::StrFlags(table, number) => {
                let items = items_of(&self.program.module.tables[*table]);
                string(flags(int(self, number), items).as_bytes(), ty)
            }
            Op::PointText(which, number) => {
                let point = self.program.module.point(int(self, number));
                let text = point.map_or("", |point| match which {
                    PointText::Full => &point.text,
                    PointText::Function => &point.function,
                    PointText::Module => &point.module,
                });
                string(text.as_bytes(), ty)
            }

            // ---- memory
            Op::MemRead {
                addr,
                space,
                size,
                signed,
                site,
            } => {
                let addr = int(self, addr);
                let mut bytes = [0; 8];
                let size = usize::from(*size).min(8);
                if !cx.read(*space, addr as u64, &mut bytes[..size]) {
                    return Err(raised(*site, addr));
                }
                Value::Int(extend_bytes(bytes, size, *signed))
            }
            Op::MemReadStr { addr, space, site } => {
                self.read_text(int(self, addr), i64::MAX, *space, *site, ty, cx)?
            }
            Op::MemReadStrN {
                addr,
                len,
                space,
                site,
            } => self.read_text(int(self, addr), int(self, len), *space, *site, ty, cx)?,
            Op::MemReadHex {
                addr,
                len,
                space,
                site,
            } => {
                let (addr, len) = (int(self, addr), int(self, len));
                let most = cap(ty) as usize / 2;
                let mut bytes = vec![0; usize::try_from(len).unwrap_or(0).min(most)];
                if !bytes.is_empty() && !cx.read(*space, addr as u64, &mut bytes) {
                    return Err(raised(*site, addr));
                }
                string(&hex(&bytes), ty)
            }

            // ---- globals
            Op::GlobalGet(global) => self.store.get(*global),
            Op::GlobalSet(global, value) => {
                self.store.set(*global, &self.values[base + value.index()]);
                return NOTHING;
            }
            Op::GlobalAdd(global, n) => {
                self.store.fetch_add(*global, self.int(base, *n));
                return NOTHING;
            }
            Op::GlobalFetchAdd(global, n) => {
                Value::Int(self.store.fetch_add(*global, self.int(base, *n)))
            }
            Op::ArrayGet(global, keys) => {
                let found = self.with_keys(base, keys, |store, keys| store.element(*global, keys));
                match (found, ty) {
                    (Some(value), _) => value,
                    (None, ty) => ty.map_or(Value::Int(0), Value::zero),
                }
            }
            Op::ArrayHas(global, keys) => {
                let found = self.with_keys(base, keys, |store, keys| store.contains(*global, keys));
                Value::Int(i64::from(found))
            }
            Op::ArraySet(global, keys, value, site) => {
                let value = self.values[base + value.index()].clone();
                self.with_keys(base, keys, |store, keys| {
                    store.insert(*global, keys, &value)
                })
                .map_err(|error| full(*site, &error))?;
                return NOTHING;
            }
            Op::ArrayAdd(global, keys, n, site) | Op::ArrayFetchAdd(global, keys, n, site) => {
                let n = int(self, n);
                self.with_keys(base, keys, |store, keys| {
                    store.element_fetch_add(*global, keys, n)
                })
                .map(Value::Int)
                .map_err(|error| full(*site, &error))?
            }
            Op::ArrayDel(global, keys) => {
                self.with_keys(base, keys, |store, keys| store.remove(*global, keys));
                return NOTHING;
            }
            Op::Clear(global, slice) => {
                let slice = self.slice(base, slice);
                self.store.clear(*global, &slice);
                return NOTHING;
            }
            Op::ArrayHasSlice(global, slice) => {
                let slice = self.slice(base, slice);
                Value::Int(i64::from(self.store.contains_slice(*global, &slice)))
            }
            Op::StatPush(global, keys, n, site) => {
                let n = int(self, n);
                self.with_keys(base, keys, |store, keys| store.push(*global, keys, n))
                    .map_err(|error| full(*site, &error))?;
                return NOTHING;
            }
            Op::StatGet(global, keys, field, site) => {
                let found = self.with_keys(base, keys, |store, keys| {
                    store.stat_field(*global, keys, *field)
                });
                match (found, field) {
                    (Some(n), _) => Value::Int(n),
                    (None, StatField::Count | StatField::Sum) => Value::Int(0),
                    (None, _) => return Err(raised(*site, 0)),
                }
            }
            Op::StatBucket(global, keys, bucket, which, site) => {
                let bucket = int(self, bucket);
                let stat = self.with_keys(base, keys, |store, keys| store.stat(*global, keys));
                let Some(stat) = stat.filter(|stat| stat.count != 0) else {
                    return Err(raised(*site, i64::MIN));
                };
                let count = stat
                    .histograms
                    .get(usize::from(*which))
                    .and_then(|counts| counts.get(usize::try_from(bucket).ok()?).copied());
                match count {
                    Some(count) => Value::Int(count),
                    None => return Err(raised(*site, bucket)),
                }
            }
            Op::IterBegin {
                array,
                slice,
                sort,
                limit,
                nest: _,
                site,
            } => {
                let limit = limit.map_or(usize::MAX, |limit| {
                    usize::try_from(self.int(base, limit)).unwrap_or(0)
                });
                let slice = self.slice(base, slice);
                let snapshot = self
                    .store
                    .snapshot(*array, &slice)
                    .map_err(|error| full(*site, &error))?;
                let late = self.late_parts(*array);
                let program = self.program;
                let host = &mut self.store.host;
                let order = sort::order(&snapshot, *sort, limit, |by, value| {
                    let is_late = match by {
                        SortBy::Key(part) => late.0.get(usize::from(part)) == Some(&true),
                        SortBy::Value => late.1,
                        SortBy::Stat(_) => false,
                    };
                    if !is_late {
                        return value;
                    }
                    let mut text = Vec::new();
                    // What cannot be rendered sorts as the empty string.
                    let _ = program.renderer().late(&mut text, value.bytes(), host);
                    Value::from(&text[..])
                });
                self.iterations.push(Some(Iteration {
                    snapshot,
                    order,
                    next: 0,
                    keys: late.0.len(),
                }));
                Value::Int(self.iterations.len() as i64 - 1)
            }
            Op::IterEnd(handle) => {
                let handle = usize::try_from(int(self, handle)).ok();
                if let Some(open) = handle.and_then(|n| self.iterations.get_mut(n)) {
                    *open = None;
                }
                while matches!(self.iterations.last(), Some(None)) {
                    self.iterations.pop();
                }
                return NOTHING;
            }

            // ---- effects
            Op::Emit(format, args) => {
                self.emit(function, *format, args, base, cx);
                return NOTHING;
            }
            Op::EmitHist(global, keys, which, site) => {
                let (kind, counts) = self.histogram_counts(base, *global, keys, *which, *site)?;
                histogram(cx.out(), kind, &counts);
                cx.printed();
                return NOTHING;
            }
            Op::StrHist(format, global, keys, which, site) => {
                let (kind, counts) = self.histogram_counts(base, *global, keys, *which, *site)?;
                if ty.is_some_and(is_late) {
                    let fields = vec![Field::Int; counts.len()];
                    let number = self.program.late_number(*format, fields);
                    let words = std::iter::once(i64::from(number)).chain(counts);
                    Value::Str(Text::record(
                        &words.flat_map(i64::to_le_bytes).collect::<Vec<u8>>(),
                    ))
                } else {
                    let mut text = Vec::new();
                    histogram(&mut text, kind, &counts);
                    string(&text, ty)
                }
            }
            Op::RequestExit => {
                cx.request_exit();
                return NOTHING;
            }
            Op::ErrSet(text) => {
                self.message = self.text(base, *text).clone();
                return NOTHING;
            }
            Op::ErrText(site, arg) => string(&self.error_text(int(self, site), int(self, arg)), ty),
            // The loop's own business; and the back end's.
            Op::Call(..) | Op::Nest(..) | Op::Hit(_) => return NOTHING,
            Op::User(name, args, site) => {
                let Some(row) = self.program.function(name) else {
                    return Err(raised(*site, 0));
                };
                let args: Vec<Value> = args
                    .iter()
                    .map(|arg| self.values[base + arg.index()].clone())
                    .collect();
                match row.call(&mut self.store.host, &args) {
                    Ok(Value::Str(text)) => Value::Str(text.into_cut(cap(ty))),
                    Ok(value) => value,
                    Err(message) => {
                        self.message = Text::from(message.as_str());
                        return Err(raised(*site, 0));
                    }
                }
            }
        })
    }

    /// Calls `f` with the keys' values.
    fn with_keys<T>(
        &mut self,
        base: usize,
        keys: &[Reg],
        f: impl FnOnce(&mut TextKeys<'p, S>, &[Value]) -> T,
    ) -> T {
        if let [key] = keys {
            // The commonest case copies nothing.
            let key = &self.values[base + key.index()];
            return f(&mut self.store, std::slice::from_ref(key));
        }
        let mut operands = std::mem::take(&mut self.operands);
        operands.clear();
        operands.extend(
            keys.iter()
                .map(|key| self.values[base + key.index()].clone()),
        );
        let result = f(&mut self.store, &operands);
        operands.clear();
        self.operands = operands;
        result
    }

    fn slice(&self, base: usize, slice: &[Option<Reg>]) -> Vec<Option<Value>> {
        let value = |reg: &Reg| self.values[base + reg.index()].clone();
        slice.iter().map(|part| part.as_ref().map(value)).collect()
    }

    /// Reads a string of traced memory.
    fn read_text(
        &mut self,
        addr: i64,
        most: i64,
        space: Space,
        site: SiteId,
        ty: Option<Ty>,
        cx: &mut impl Context,
    ) -> Evaluated {
        let most = usize::try_from(most).unwrap_or(0).min(cap(ty) as usize);
        let mut out = Vec::new();
        if !read_string(cx, space, addr as u64, most, &mut out) {
            return Err(raised(site, addr));
        }
        Ok(string(&out, ty))
    }

    /// Appends a format's text.
    fn format(
        &mut self,
        function: &Function,
        format: FormatId,
        args: &[Reg],
        base: usize,
        out: &mut Vec<u8>,
    ) {
        let program = self.program;
        let Some(cooked) = program.format(format) else {
            return;
        };
        let values = &self.values;
        let args = args
            .iter()
            .map(|arg| (&values[base + arg.index()], is_late(function.ty(*arg))));
        // A verified module's arguments fit its formats; a function that fails leaves its part
        // out, as there is no error edge here.
        let _ = program
            .renderer()
            .render(out, cooked, &mut ValueArgs(args), &mut self.store.host);
    }

    /// Prints.
    fn emit(
        &mut self,
        function: &Function,
        format: FormatId,
        args: &[Reg],
        base: usize,
        cx: &mut impl Context,
    ) {
        let channel = self
            .program
            .format(format)
            .map_or(Channel::Out, |f| f.channel);
        if channel == Channel::Out {
            self.format(function, format, args, base, cx.out());
            cx.printed();
            return;
        }
        let mut text = Vec::new();
        self.format(function, format, args, base, &mut text);
        cx.send(channel, &text);
    }

    /// The text of a late string.
    pub(super) fn render_late(&mut self, record: &Text) -> Vec<u8> {
        let mut out = Vec::new();
        // What cannot be rendered is left out.
        let _ = self
            .program
            .renderer()
            .late(&mut out, record, &mut self.store.host);
        out
    }

    /// Makes a late string's record.
    fn late_record(
        &self,
        function: &Function,
        format: FormatId,
        args: &[Reg],
        base: usize,
    ) -> Value {
        let fields = late_fields(function, args);
        let mut record = Vec::new();
        let shape = self.program.module.formats.get(format);
        if let (true, [arg]) = (shape.is_some_and(Format::is_one_string), args)
            && self.text(base, *arg).is_empty()
        {
            return Value::Str(Text::EMPTY);
        }
        let number = self.program.late_number(format, fields.clone());
        record.extend_from_slice(&u64::from(number).to_le_bytes());
        for (arg, field) in args.iter().zip(fields) {
            match field {
                Field::Int => record.extend_from_slice(&self.int(base, *arg).to_le_bytes()),
                Field::Fixed { width, .. } => {
                    let start = record.len();
                    record.extend_from_slice(self.text(base, *arg));
                    record.resize(start + width as usize, 0);
                }
                Field::Variable { .. } => {}
            }
        }
        Value::Str(Text::record(&record))
    }

    /// Which keys of an array, and whether its values, are late strings.
    fn late_parts(&self, array: Global) -> (Vec<bool>, bool) {
        match self.program.module.globals.get(array).map(|g| &g.kind) {
            Some(GlobalKind::Array { keys, value, .. }) => {
                let value = match value {
                    rtap_compiler::lir::ElementKind::Plain(ty) => is_late(*ty),
                    rtap_compiler::lir::ElementKind::Stat(_) => false,
                };
                (keys.iter().copied().map(is_late).collect(), value)
            }
            _ => (Vec::new(), false),
        }
    }

    /// A statistic's histogram and its counts.
    fn histogram_counts(
        &mut self,
        base: usize,
        global: Global,
        keys: &[Reg],
        which: u8,
        site: SiteId,
    ) -> Result<(Histogram, Vec<i64>), Raised> {
        let stat = self.with_keys(base, keys, |store, keys| store.stat(global, keys));
        let counts = stat.filter(|stat| stat.count > 0);
        let counts = counts.and_then(|stat| stat.histograms.get(usize::from(which)).cloned());
        let (Some(counts), Some(kind)) = (counts, self.histogram_kind(global, which)) else {
            return Err(raised(site, 0));
        };
        Ok((kind, counts))
    }

    /// A statistic's histogram.
    fn histogram_kind(&self, global: Global, which: u8) -> Option<Histogram> {
        let layout = super::stat_layout(&self.program.module.globals.get(global)?.kind)?;
        layout.histograms.get(usize::from(which)).copied()
    }
}

fn is_late(ty: Ty) -> bool {
    matches!(ty, Ty::Str { late: true, .. })
}

/// The result's width, or that of one slot for a late string.
fn cap(ty: Option<Ty>) -> u32 {
    match ty {
        Some(Ty::Str { cap, late: false }) => cap,
        Some(ty @ Ty::Str { late: true, .. }) => width_bytes(ty),
        Some(Ty::I64) | None => 0,
    }
}

/// A string result.
fn string(bytes: &[u8], ty: Option<Ty>) -> Value {
    Value::Str(Text::cut(bytes, cap(ty)))
}

/// The error of an array that takes no more.
fn full(site: SiteId, error: &StoreError) -> Raised {
    let arg = match error {
        StoreError::Full => 0,
        StoreError::System(error) => i64::from(error.raw_os_error().unwrap_or(0)),
    };
    raised(site, arg)
}

/// Integer arithmetic.
#[inline]
pub(super) fn arithmetic(op: BinOp, a: i64, b: i64) -> i64 {
    // Shift counts are taken modulo 64, which the wrapping shifts do.
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a.wrapping_shl(b as u32),
        BinOp::Shr => (a as u64).wrapping_shr(b as u32) as i64,
        BinOp::Sar => a.wrapping_shr(b as u32),
    }
}

/// Integer comparison.
#[inline]
pub(super) fn compare(op: CmpOp, a: i64, b: i64) -> bool {
    match op {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Ult => (a as u64) < b as u64,
    }
}

fn extend(n: i64, bits: u8, signed: bool) -> i64 {
    let shift = 64 - u32::from(bits.clamp(1, 64));
    if signed {
        n << shift >> shift
    } else {
        ((n as u64) << shift >> shift) as i64
    }
}

fn extend_bytes(bytes: [u8; 8], size: usize, signed: bool) -> i64 {
    extend(i64::from_le_bytes(bytes), size as u8 * 8, signed)
}
