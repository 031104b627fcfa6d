//! Which operation is lowered where.

use super::{Cx, Dest, Lowered, Val};
use crate::lir::{CoreId, Op};

impl Cx<'_> {
    /// Lowers an operation.
    pub(super) fn op(&mut self, op: &Op, dest: Dest) -> Lowered<Option<Val>> {
        let some = |val: Val| Ok(Some(val));
        match op {
            Op::Const(value) => some(Val::Const(*value)),
            Op::Site(site) => some(Cx::site(*site)),
            Op::Core(core) => self.kernel_fact(*core).map(Some),
            Op::Bin(op, a, b) => some(self.bin(*op, *a, *b)),
            Op::Cmp(op, a, b) => some(self.compare(*op, *a, *b)),
            Op::Extend {
                value,
                bits,
                signed,
            } => some(self.extend(*value, *bits, *signed)),
            Op::Div(a, b, site) => some(self.divide(*a, *b, *site, false)),
            Op::Rem(a, b, site) => some(self.divide(*a, *b, *site, true)),

            Op::StrConst(text) => {
                let module = self.module;
                some(Val::Text(self.literal(&module.strings[*text])))
            }
            Op::StrTable(table, number) => some(self.str_table(*table, *number, dest)),
            Op::StrFlags(table, number) => some(self.str_flags(*table, *number, dest)),
            Op::PointText(what, number) => some(self.point_text(*what, *number)),
            Op::StrConcat(..)
            | Op::StrCut(_)
            | Op::StrCmp(..)
            | Op::StrEq(..)
            | Op::StrLen(_)
            | Op::StrSome(_)
            | Op::StrByte(..)
            | Op::StrSub(..)
            | Op::StrFind(..)
            | Op::StrFromByte(_)
            | Op::StrToInt(..)
            | Op::StrFormat(..)
            | Op::StrLate(..)
            | Op::StrStack(..)
            | Op::StrHist(..)
            | Op::StrSymbol { .. }
            | Op::StrMatch(..)
            | Op::Matched(..)
            | Op::MatchedGroups
            | Op::StrQuote(_)
            | Op::Comm => self.text_op(op, dest),

            Op::Env(env) => some(self.env(*env)),
            Op::CtxArg(_) | Op::CtxRet | Op::CtxReg(_) | Op::CtxLoad { .. } | Op::EntryArg(..) => {
                self.context(op).map(Some)
            }

            Op::CtxFrame(up, of) => self.stack_frame(*up, *of).map(Some),
            Op::PerfCount(number, site) => some(self.perf_count(*number, *site)),
            Op::MemRead {
                addr,
                space,
                size,
                signed,
                site,
            } => some(self.read_int(*addr, *space, *size, *signed, *site)),
            Op::MemReadStr { addr, space, site } => {
                self.read_str(*addr, None, *space, *site, dest).map(Some)
            }
            Op::MemReadStrN {
                addr,
                len,
                space,
                site,
            } => self
                .read_str(*addr, Some(*len), *space, *site, dest)
                .map(Some),
            Op::MemReadHex {
                addr,
                len,
                space,
                site,
            } => self.read_hex(*addr, *len, *space, *site, dest).map(Some),

            Op::GlobalGet(global) => self.global_get(*global, dest).map(Some),
            Op::GlobalSet(global, value) => self.global_set(*global, *value).map(|()| None),
            Op::GlobalAdd(global, value) => self.global_add(*global, *value).map(|()| None),
            Op::GlobalFetchAdd(global, value) => self.global_fetch_add(*global, *value).map(Some),
            Op::ArrayGet(array, keys) => self.array_get(*array, keys, dest).map(Some),
            Op::ArrayHas(array, keys) => self.array_has(*array, keys).map(Some),
            Op::ArraySet(array, keys, value, site) => {
                self.array_set(*array, keys, *value, *site).map(|()| None)
            }
            Op::ArrayAdd(array, keys, value, site) => self
                .array_add(*array, keys, *value, *site, false)
                .map(|_| None),
            Op::ArrayFetchAdd(array, keys, value, site) => {
                self.array_add(*array, keys, *value, *site, true)
            }
            Op::ArrayDel(array, keys) => self.array_del(*array, keys).map(|()| None),
            Op::Clear(global, slice) => self.clear(*global, slice).map(|()| None),
            Op::ArrayHasSlice(array, slice) => {
                let (map, layout) = self.array_place(*array)?;
                self.has_slice(map, &layout, slice).map(Some)
            }
            Op::StatPush(global, keys, value, site) => {
                self.stat_push(*global, keys, *value, *site).map(|()| None)
            }
            Op::StatGet(global, keys, field, site) => {
                self.stat_get(*global, keys, *field, *site).map(Some)
            }
            Op::StatBucket(global, keys, bucket, which, site) => self
                .stat_bucket(*global, keys, *bucket, *which, *site)
                .map(Some),
            Op::IterBegin {
                array,
                slice,
                sort,
                limit,
                site,
                ..
            } => self
                .iter_begin(*array, slice, *sort, *limit, *site, dest)
                .map(Some),
            Op::IterEnd(_) => Ok(None),

            Op::Emit(format, args) => self.emit(*format, args).map(|()| None),
            Op::EmitHist(global, keys, which, site) => self
                .emit_hist((*global, keys, *which, *site))
                .map(|()| None),
            Op::Hit(point) => {
                self.hit(*point);
                Ok(None)
            }
            Op::RequestExit => {
                self.request_exit();
                Ok(None)
            }
            Op::ErrSet(text) => self.set_message(*text).map(|()| None),
            Op::ErrText(site, arg) => {
                let cap = dest.cap();
                some(self.error_text(*site, *arg, cap, dest))
            }
            Op::Nest(nest, op) => self.nest(*nest, *op, dest),
            Op::Call(..) => Err(self.too_large(
                "all that the handler calls, copied into it,",
                "split the handler, or call less of it in an end or timer probe",
            )),
            Op::User(user, ..) => {
                Err(self.unsupported(&format!("{}()", user.0), "call it in an end or timer probe"))
            }
        }
    }

    /// A kernel fact: a number, or in an image for other kernels too, one that is relocated.
    fn kernel_fact(&mut self, core: CoreId) -> Lowered<Val> {
        let fact = &self.module.core[core];
        if !self.portable {
            return Ok(Val::Const(fact.value));
        }
        if let Some(module) = &fact.module {
            return Err(self.unsupported(
                &format!("a type of module {module} in an image for other machines"),
                "run the script where it is needed instead of building it",
            ));
        }
        Ok(Val::Core(core))
    }
}
