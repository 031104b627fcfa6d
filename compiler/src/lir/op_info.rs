//! What is known of each operation: failure, purity, where it can run, operands, result.

use super::{Env, Global, NestOp, Op, Place, ResultKind, SiteId, StatField, Value};

/// One list of every operation's operands for reading and for changing them.
macro_rules! visit_operands {
    ($op:expr, $f:expr, $iter:ident) => {{
        let mut visit = $f;
        match $op {
            Op::Const(_)
            | Op::Site(_)
            | Op::Core(_)
            | Op::StrConst(_)
            | Op::MatchedGroups
            | Op::Env(_)
            | Op::Comm
            | Op::CtxArg(_)
            | Op::CtxRet
            | Op::CtxReg(_)
            | Op::CtxLoad { .. }
            | Op::EntryArg(..)
            | Op::GlobalGet(_)
            | Op::RequestExit
            | Op::Nest(
                _,
                NestOp::Begin | NestOp::Push(_) | NestOp::Pop | NestOp::Get(_) | NestOp::Hub(_),
            ) => {}
            Op::Bin(_, a, b)
            | Op::Cmp(_, a, b)
            | Op::Div(a, b, _)
            | Op::Rem(a, b, _)
            | Op::StrCmp(a, b)
            | Op::StrEq(a, b)
            | Op::StrByte(a, b)
            | Op::StrFind(a, b)
            | Op::StrToInt(a, b)
            | Op::ErrText(a, b) => {
                visit(a);
                visit(b);
            }
            Op::Extend { value: a, .. }
            | Op::StrCut(a)
            | Op::StrLen(a)
            | Op::StrSome(a)
            | Op::StrFromByte(a)
            | Op::StrSymbol { addr: a, .. }
            | Op::StrMatch(_, a)
            | Op::Matched(a, _)
            | Op::StrQuote(a)
            | Op::CtxFrame(a, _)
            | Op::PerfCount(a, _)
            | Op::MemRead { addr: a, .. }
            | Op::MemReadStr { addr: a, .. }
            | Op::GlobalSet(_, a)
            | Op::GlobalAdd(_, a)
            | Op::GlobalFetchAdd(_, a)
            | Op::IterEnd(a)
            | Op::ErrSet(a)
            | Op::Hit(a)
            | Op::StrTable(_, a)
            | Op::StrFlags(_, a)
            | Op::PointText(_, a)
            | Op::Nest(_, NestOp::Set(_, a)) => visit(a),
            Op::StrSub(a, b, c) => {
                visit(a);
                visit(b);
                visit(c);
            }
            Op::MemReadStrN { addr, len, .. } | Op::MemReadHex { addr, len, .. } => {
                visit(addr);
                visit(len);
            }
            Op::StrConcat(args)
            | Op::StrFormat(_, args)
            | Op::StrLate(_, args)
            | Op::StrStack(_, args, _)
            | Op::Emit(_, args)
            | Op::Call(_, args, _)
            | Op::User(_, args, _)
            | Op::ArrayGet(_, args)
            | Op::ArrayHas(_, args)
            | Op::ArrayDel(_, args)
            | Op::StatGet(_, args, _, _)
            | Op::StrHist(_, _, args, _, _)
            | Op::EmitHist(_, args, _, _) => args.$iter().for_each(visit),
            Op::ArraySet(_, keys, value, _)
            | Op::ArrayAdd(_, keys, value, _)
            | Op::ArrayFetchAdd(_, keys, value, _)
            | Op::StatPush(_, keys, value, _)
            | Op::StatBucket(_, keys, value, _, _) => {
                keys.$iter().for_each(&mut visit);
                visit(value);
            }
            Op::Clear(_, slice) | Op::ArrayHasSlice(_, slice) => {
                slice.$iter().flatten().for_each(visit);
            }
            Op::IterBegin { slice, limit, .. } => {
                slice.$iter().flatten().chain(limit).for_each(visit);
            }
        }
    }};
}

impl Op {
    /// The error site, if the operation can fail.
    pub fn site(&self) -> Option<SiteId> {
        match self {
            Op::Div(.., site)
            | Op::Rem(.., site)
            | Op::Matched(.., site)
            | Op::EntryArg(.., site)
            | Op::PerfCount(.., site)
            | Op::MemRead { site, .. }
            | Op::MemReadStr { site, .. }
            | Op::MemReadStrN { site, .. }
            | Op::MemReadHex { site, .. }
            | Op::ArraySet(.., site)
            | Op::ArrayAdd(.., site)
            | Op::ArrayFetchAdd(.., site)
            | Op::StatPush(.., site)
            | Op::StatBucket(.., site)
            | Op::IterBegin { site, .. }
            | Op::StrHist(.., site)
            | Op::EmitHist(.., site)
            | Op::Call(.., site)
            | Op::User(.., site)
            | Op::Nest(_, NestOp::Push(site)) => Some(*site),
            Op::StatGet(_, _, field, site) => match field {
                StatField::Count | StatField::Sum => None,
                StatField::Min | StatField::Max | StatField::Avg | StatField::Variance => {
                    Some(*site)
                }
            },
            _ => None,
        }
    }

    /// The site the operation names, whether or not it can fail: `site`, `stat.count` and `stat.sum`
    /// cannot.
    pub fn any_site(&self) -> Option<SiteId> {
        match self {
            Op::Site(site) | Op::StatGet(.., site) => Some(*site),
            _ => self.site(),
        }
    }

    /// Whether the operation can raise an error.
    pub fn can_fail(&self) -> bool {
        self.site().is_some()
    }

    /// Whether the result depends on the operands alone and nothing else happens: such an
    /// operation may be removed, merged with an equal one, or moved.
    pub fn is_pure(&self) -> bool {
        matches!(
            self,
            Op::Const(_)
                | Op::Site(_)
                | Op::Core(_)
                | Op::Bin(..)
                | Op::Cmp(..)
                | Op::Extend { .. }
                | Op::StrConst(_)
                | Op::StrConcat(_)
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
                | Op::StrSymbol { .. }
                | Op::StrQuote(_)
                | Op::Env(
                    Env::PidTgid
                        | Env::UidGid
                        | Env::Cpu
                        | Env::CurrentTask
                        | Env::CgroupId
                        | Env::Point
                        | Env::TargetPid
                )
                | Op::Comm
                | Op::CtxArg(_)
                | Op::CtxRet
                | Op::CtxReg(_)
                | Op::CtxLoad { .. }
                | Op::CtxFrame(..)
                | Op::StrTable(..)
                | Op::StrFlags(..)
                | Op::PointText(..)
        )
    }

    /// Whether the operation may be removed when its result is not used. This includes
    /// reads of traced memory, which could fail: tapsets read much that scripts do not use,
    /// and SystemTap drops such reads too.
    pub fn is_removable(&self) -> bool {
        self.is_pure()
            || matches!(
                self,
                Op::Env(_)
                    | Op::GlobalGet(_)
                    | Op::ArrayGet(..)
                    | Op::ArrayHas(..)
                    | Op::ArrayHasSlice(..)
                    | Op::MemRead { .. }
                    | Op::MemReadStr { .. }
                    | Op::MemReadStrN { .. }
                    | Op::MemReadHex { .. }
                    | Op::EntryArg(..)
                    | Op::MatchedGroups
                    | Op::ErrText(..)
            )
    }

    /// Whether the operation reads something that the handler itself may have changed, or
    /// that changes by itself: two equal ones with nothing relevant between them give the same.
    pub fn is_load(&self) -> bool {
        matches!(
            self,
            Op::GlobalGet(_)
                | Op::ArrayGet(..)
                | Op::ArrayHas(..)
                | Op::ArrayHasSlice(..)
                | Op::StatGet(..)
                | Op::MemRead { .. }
                | Op::MemReadStr { .. }
                | Op::MemReadStrN { .. }
                | Op::MemReadHex { .. }
                | Op::EntryArg(..)
        )
    }

    /// The error site that the operation names, to change it.
    pub fn site_mut(&mut self) -> Option<&mut SiteId> {
        match self {
            Op::Site(site)
            | Op::Call(.., site)
            | Op::Div(.., site)
            | Op::Rem(.., site)
            | Op::Matched(.., site)
            | Op::EntryArg(.., site)
            | Op::PerfCount(.., site)
            | Op::MemRead { site, .. }
            | Op::MemReadStr { site, .. }
            | Op::MemReadStrN { site, .. }
            | Op::MemReadHex { site, .. }
            | Op::ArraySet(.., site)
            | Op::ArrayAdd(.., site)
            | Op::ArrayFetchAdd(.., site)
            | Op::StatPush(.., site)
            | Op::StatGet(.., site)
            | Op::StatBucket(.., site)
            | Op::IterBegin { site, .. }
            | Op::StrHist(.., site)
            | Op::EmitHist(.., site)
            | Op::User(.., site)
            | Op::Nest(_, NestOp::Push(site)) => Some(site),
            _ => None,
        }
    }

    /// The global that the operation reads or updates.
    pub fn global(&self) -> Option<Global> {
        match self {
            Op::GlobalGet(global)
            | Op::GlobalSet(global, _)
            | Op::GlobalAdd(global, _)
            | Op::GlobalFetchAdd(global, _)
            | Op::ArrayGet(global, _)
            | Op::ArrayHas(global, _)
            | Op::ArraySet(global, ..)
            | Op::ArrayAdd(global, ..)
            | Op::ArrayFetchAdd(global, ..)
            | Op::ArrayDel(global, _)
            | Op::Clear(global, _)
            | Op::ArrayHasSlice(global, _)
            | Op::StatPush(global, ..)
            | Op::StatGet(global, ..)
            | Op::StatBucket(global, ..)
            | Op::StrHist(_, global, ..)
            | Op::EmitHist(global, ..)
            | Op::IterBegin { array: global, .. } => Some(*global),
            _ => None,
        }
    }

    /// The global that the operation reads or updates, to change it.
    pub fn global_mut(&mut self) -> Option<&mut Global> {
        match self {
            Op::GlobalGet(global)
            | Op::GlobalSet(global, _)
            | Op::GlobalAdd(global, _)
            | Op::GlobalFetchAdd(global, _)
            | Op::ArrayGet(global, _)
            | Op::ArrayHas(global, _)
            | Op::ArraySet(global, ..)
            | Op::ArrayAdd(global, ..)
            | Op::ArrayFetchAdd(global, ..)
            | Op::ArrayDel(global, _)
            | Op::Clear(global, _)
            | Op::ArrayHasSlice(global, _)
            | Op::StatPush(global, ..)
            | Op::StatGet(global, ..)
            | Op::StatBucket(global, ..)
            | Op::StrHist(_, global, ..)
            | Op::EmitHist(global, ..)
            | Op::IterBegin { array: global, .. } => Some(global),
            _ => None,
        }
    }

    /// Whether the operation changes its global.
    pub fn updates_global(&self) -> bool {
        matches!(
            self,
            Op::GlobalSet(..)
                | Op::GlobalAdd(..)
                | Op::GlobalFetchAdd(..)
                | Op::ArraySet(..)
                | Op::ArrayAdd(..)
                | Op::ArrayFetchAdd(..)
                | Op::ArrayDel(..)
                | Op::Clear(..)
                | Op::StatPush(..)
        )
    }

    /// Whether the operation changes its global otherwise than by adding to it.
    pub fn resets_global(&self) -> bool {
        self.updates_global()
            && !matches!(
                self,
                Op::GlobalAdd(..)
                    | Op::GlobalFetchAdd(..)
                    | Op::ArrayAdd(..)
                    | Op::ArrayFetchAdd(..)
                    | Op::StatPush(..)
            )
    }

    /// Where the operation can run.
    pub fn place(&self) -> Place {
        match self {
            Op::CtxArg(_)
            | Op::CtxRet
            | Op::CtxReg(_)
            | Op::CtxLoad { .. }
            | Op::CtxFrame(..)
            | Op::EntryArg(..)
            | Op::PerfCount(..)
            | Op::StrStack(..)
            | Op::StrSymbol { .. }
            | Op::Hit(_)
            | Op::Nest(..) => Place::Kernel,
            Op::User(..) => Place::User,
            _ => Place::Both,
        }
    }

    /// Calls `f` on every operand, in order.
    pub fn for_each_operand(&self, mut f: impl FnMut(Value)) {
        visit_operands!(self, |v: &Value| f(*v), iter);
    }

    /// Calls `f` on every operand, in order, to change it.
    pub fn for_each_operand_mut(&mut self, f: impl FnMut(&mut Value)) {
        visit_operands!(self, f, iter_mut);
    }

    /// The type of the result when the operation fixes it; `None` for no result, and
    /// `Some(None)` where the width is the instruction's own business.
    pub fn result_kind(&self) -> ResultKind {
        match self {
            Op::Const(_)
            | Op::Site(_)
            | Op::Core(_)
            | Op::Bin(..)
            | Op::Cmp(..)
            | Op::Extend { .. }
            | Op::Div(..)
            | Op::Rem(..)
            | Op::StrCmp(..)
            | Op::StrEq(..)
            | Op::StrLen(_)
            | Op::StrSome(_)
            | Op::StrByte(..)
            | Op::StrFind(..)
            | Op::StrToInt(..)
            | Op::StrMatch(..)
            | Op::MatchedGroups
            | Op::Env(_)
            | Op::CtxArg(_)
            | Op::CtxRet
            | Op::CtxReg(_)
            | Op::CtxLoad { .. }
            | Op::CtxFrame(..)
            | Op::EntryArg(..)
            | Op::PerfCount(..)
            | Op::MemRead { .. }
            | Op::GlobalFetchAdd(..)
            | Op::ArrayHas(..)
            | Op::ArrayFetchAdd(..)
            | Op::ArrayHasSlice(..)
            | Op::StatGet(..)
            | Op::StatBucket(..)
            | Op::IterBegin { .. } => ResultKind::I64,
            Op::StrConst(_)
            | Op::StrConcat(_)
            | Op::StrCut(_)
            | Op::StrSub(..)
            | Op::StrFromByte(_)
            | Op::StrFormat(..)
            | Op::StrLate(..)
            | Op::StrStack(..)
            | Op::StrSymbol { .. }
            | Op::Matched(..)
            | Op::StrQuote(_)
            | Op::Comm
            | Op::MemReadStr { .. }
            | Op::MemReadStrN { .. }
            | Op::MemReadHex { .. }
            | Op::StrTable(..)
            | Op::StrFlags(..)
            | Op::PointText(..)
            | Op::StrHist(..)
            | Op::ErrText(..) => ResultKind::Str,
            Op::GlobalGet(_)
            | Op::ArrayGet(..)
            | Op::Call(..)
            | Op::User(..)
            | Op::Nest(_, NestOp::Get(_)) => ResultKind::Declared,
            Op::GlobalSet(..)
            | Op::GlobalAdd(..)
            | Op::ArraySet(..)
            | Op::ArrayAdd(..)
            | Op::ArrayDel(..)
            | Op::Clear(..)
            | Op::StatPush(..)
            | Op::IterEnd(_)
            | Op::Emit(..)
            | Op::EmitHist(..)
            | Op::Hit(_)
            | Op::RequestExit
            | Op::ErrSet(_)
            | Op::Nest(..) => ResultKind::None,
        }
    }
}
