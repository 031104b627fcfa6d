//! Widths of expressions, and what statements give to places.

use super::{Cx, Slot};
use crate::builtins;
use crate::hir::{
    AssignOp, Delete, Expr, ExprKind, Place, PointText, Print, PrintArg, PrintKind, StatRef, Stmt,
    StmtKind, Ty,
};
use crate::image::width_bytes;
use crate::lir::{self, Conv, ConvFlag, ConvKind, ConvSize, MAX_MEMORY_BYTES, Piece};

/// Bytes of a late record's head: the layout's number and padding.
const LATE_HEAD_BYTES: u32 = 8;
/// Longest decimal number.
const DECIMAL_BYTES: u32 = 20;

impl Cx {
    pub(super) fn stmts(&mut self, stmts: &mut [Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        match &mut stmt.kind {
            StmtKind::Expr(e) => {
                self.expr(e);
            }
            StmtKind::Block(body) => self.stmts(body),
            StmtKind::If(cond, yes, no) => {
                self.expr(cond);
                self.stmts(yes);
                self.stmts(no);
            }
            StmtKind::Loop { cond, body, step } => {
                for e in cond.iter_mut() {
                    self.expr(e);
                }
                self.stmts(body);
                for e in step.iter_mut() {
                    self.expr(e);
                }
            }
            StmtKind::Foreach(foreach) => {
                let array = foreach.array;
                for (index, local) in foreach.keys.iter().enumerate() {
                    self.copied(Slot::Key(array, index), Slot::Local(self.body, *local));
                }
                if let Some(value) = foreach.value {
                    self.copied(Slot::Value(array), Slot::Local(self.body, value));
                }
                self.keys(array, foreach.slice.iter_mut().map(Option::as_mut));
                if let Some(e) = &mut foreach.limit {
                    self.expr(e);
                }
                self.stmts(&mut foreach.body);
            }
            StmtKind::ForeachBucket {
                stat, limit, body, ..
            } => {
                self.stat(stat);
                for e in limit.iter_mut() {
                    self.expr(e);
                }
                self.stmts(body);
            }
            StmtKind::Return(Some(e)) => {
                let cap = self.expr(e);
                if let (Some(function), Ty::Str) = (self.function, e.ty) {
                    let slot = Slot::Ret(function);
                    let cap = self.stored(e, cap, slot);
                    self.raise(slot, cap);
                }
            }
            StmtKind::Delete(what) => match what {
                Delete::Global(_) | Delete::Local(_) => {}
                Delete::Element(global, keys) => self.keys(*global, keys.iter_mut().map(Some)),
                Delete::Slice(global, keys) => {
                    self.keys(*global, keys.iter_mut().map(Option::as_mut));
                }
            },
            StmtKind::Try { body, var, catch } => {
                self.stmts(body);
                if let Some(var) = var {
                    self.raise(Slot::Local(self.body, *var), self.max);
                }
                self.stmts(catch);
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Next | StmtKind::Return(None) => {}
        }
    }

    fn keys<'e>(
        &mut self,
        global: crate::hir::Global,
        keys: impl Iterator<Item = Option<&'e mut Expr>>,
    ) {
        for (index, key) in keys.enumerate() {
            let Some(key) = key else { continue };
            let cap = self.expr(key);
            if key.ty == Ty::Str && index < self.globals[global].keys.len() {
                let slot = Slot::Key(global, index);
                let cap = self.stored(key, cap, slot);
                self.raise(slot, cap);
            }
        }
    }

    fn stat(&mut self, stat: &mut StatRef) {
        self.keys(stat.global, stat.keys.iter_mut().map(Some));
    }

    /// What one place holds goes to another.
    fn copied(&mut self, from: Slot, to: Slot) {
        let cap = (self.cap(from), self.late.place(from));
        let cap = self.converted(cap, to);
        self.raise(to, cap);
    }

    /// The width with which an expression of width `cap` is stored in a place.
    fn stored(&mut self, expr: &Expr, cap: u32, slot: Slot) -> u32 {
        self.converted((cap, expr.cap.1), slot)
    }

    fn converted(&self, (cap, late): (u32, bool), slot: Slot) -> u32 {
        match (self.late.place(slot), late) {
            (true, false) => LATE_HEAD_BYTES + field_bytes(Ty::Str, (cap, false)) - 1,
            // Rendered, in user space.
            (false, true) => self.max,
            _ => cap,
        }
    }

    fn place(&mut self, place: &mut Place) -> Option<Slot> {
        match place {
            Place::Local(local) => Some(Slot::Local(self.body, *local)),
            Place::Global(global) => Some(Slot::Value(*global)),
            Place::Element(global, keys) => {
                self.keys(*global, keys.iter_mut().map(Some));
                Some(Slot::Value(*global))
            }
            Place::Memory { addr, .. } => {
                self.expr(addr);
                None
            }
            Place::Error => None,
        }
    }

    /// The width of an expression; 0 for numbers.
    pub(super) fn expr(&mut self, expr: &mut Expr) -> u32 {
        let bound = expr.cap;
        let late = match &expr.kind {
            ExprKind::Local(local) => self.late.place(Slot::Local(self.body, *local)),
            ExprKind::Global(global) | ExprKind::Element(global, _) => {
                self.late.place(Slot::Value(*global))
            }
            ExprKind::Call(function, _) => self.late.place(Slot::Ret(*function)),
            ExprKind::Assign { place, .. } => match place {
                Place::Local(local) => self.late.place(Slot::Local(self.body, *local)),
                Place::Global(global) | Place::Element(global, _) => {
                    self.late.place(Slot::Value(*global))
                }
                Place::Memory { .. } | Place::Error => false,
            },
            // Decided for the expression itself.
            ExprKind::Sprint(_)
            | ExprKind::Builtin(..)
            | ExprKind::Concat(_)
            | ExprKind::PointText(_)
            | ExprKind::HistText(..)
            | ExprKind::Ternary(..) => bound.1,
            _ => false,
        };
        expr.cap.1 = late && expr.ty == Ty::Str;
        let cap = self.kind(expr, bound);
        let cap = if expr.ty == Ty::Str { cap } else { 0 };
        expr.cap.0 = cap;
        cap
    }

    fn kind(&mut self, expr: &mut Expr, bound: (u32, bool)) -> u32 {
        let max = self.max;
        match &mut expr.kind {
            ExprKind::Str(s) => (s.len() as u32).min(max),
            ExprKind::Local(local) => self.cap(Slot::Local(self.body, *local)),
            ExprKind::Global(global) => self.cap(Slot::Value(*global)),
            ExprKind::Element(global, keys) => {
                let global = *global;
                self.keys(global, keys.iter_mut().map(Some));
                self.cap(Slot::Value(global))
            }
            ExprKind::Assign { place, op, value } => {
                let given = self.expr(value);
                let slot = self.place(place);
                let (Some(slot), Ty::Str) = (slot, value.ty) else {
                    return 0;
                };
                let cap = match op {
                    // User-side code renders what was there (kernel handlers have no such place).
                    Some(AssignOp::Concat) if self.late.place(slot) => {
                        LATE_HEAD_BYTES + field_bytes(Ty::Str, (max, false)) - 1
                    }
                    Some(AssignOp::Concat) => {
                        let given = if value.cap.1 { max } else { given };
                        (self.cap(slot) + given).min(max)
                    }
                    _ => self.stored(value, given, slot),
                };
                self.raise(slot, cap);
                self.cap(slot)
            }
            ExprKind::IncDec { place, .. } => {
                self.place(place);
                0
            }
            ExprKind::Push(stat, value) => {
                self.stat(stat);
                self.expr(value)
            }
            ExprKind::Neg(e) | ExprKind::BitNot(e) | ExprKind::Not(e) | ExprKind::Match(e, _) => {
                self.expr(e)
            }
            ExprKind::Bin(_, a, b)
            | ExprKind::Div(a, b)
            | ExprKind::Rem(a, b)
            | ExprKind::Cmp(_, a, b)
            | ExprKind::And(a, b)
            | ExprKind::Or(a, b) => {
                self.expr(a);
                self.expr(b);
                0
            }
            ExprKind::Ternary(c, a, b) => {
                self.expr(c);
                let (wide, wider) = (self.expr(a), self.expr(b));
                let as_late = |e: &Expr, cap| {
                    if bound.1 && !e.cap.1 {
                        LATE_HEAD_BYTES + field_bytes(Ty::Str, (cap, false)) - 1
                    } else {
                        cap
                    }
                };
                as_late(a, wide).max(as_late(b, wider))
            }
            ExprKind::Concat(parts) => {
                let caps: Vec<u32> = parts.iter_mut().map(|part| self.expr(part)).collect();
                if bound.1 {
                    let fields: u32 = parts
                        .iter()
                        .map(|part| field_bytes(part.ty, part.cap))
                        .sum();
                    return LATE_HEAD_BYTES + fields - 1;
                }
                caps.iter().sum::<u32>().min(max)
            }
            ExprKind::In(global, keys) => {
                self.keys(*global, keys.iter_mut().map(Option::as_mut));
                0
            }
            ExprKind::Call(function, args) => {
                let function = *function;
                for (index, arg) in args.iter_mut().enumerate() {
                    let cap = self.expr(arg);
                    if arg.ty == Ty::Str {
                        let slot = Slot::Param(function, index);
                        let cap = self.stored(arg, cap, slot);
                        self.raise(slot, cap);
                    }
                }
                self.cap(Slot::Ret(function))
            }
            ExprKind::Builtin(id, args) => {
                let row = builtins::get(*id);
                let mut caps: Vec<u32> = args.iter_mut().map(|arg| self.expr(arg)).collect();
                if row.whole_literals {
                    for (arg, cap) in args.iter_mut().zip(&mut caps) {
                        if let ExprKind::Str(s) = &arg.kind {
                            *cap = s.len() as u32;
                            arg.cap.0 = *cap;
                        }
                    }
                }
                let most = row.bound.and_then(|index| match args.get(index)?.kind {
                    ExprKind::Int(n) => u32::try_from(n).ok(),
                    _ => None,
                });
                let max = most.map_or(max, |most| most.min(max));
                match (&row.late, bound.1) {
                    (Some(late), true) => LATE_HEAD_BYTES + (late.bytes)(&caps, max) - 1,
                    _ if row.ret == Ty::Str => (row.cap)(&caps, max).min(max),
                    _ => 0,
                }
            }
            ExprKind::Print(print) => {
                self.print(print);
                0
            }
            ExprKind::Sprint(print) => {
                let cap = self.print(print);
                if bound.1 {
                    late_bytes(print, max) - 1
                } else {
                    cap.min(max)
                }
            }
            ExprKind::StatGet(stat, _) => {
                self.stat(stat);
                0
            }
            ExprKind::HistText(stat, histogram) => {
                self.stat(stat);
                if bound.1 {
                    let buckets = &self.globals[stat.global].buckets;
                    let buckets = buckets.get(usize::from(*histogram)).copied();
                    LATE_HEAD_BYTES + buckets.unwrap_or(0) * 8 - 1
                } else {
                    max
                }
            }
            ExprKind::HistBucket(stat, _, index) => {
                self.stat(stat);
                self.expr(index)
            }
            ExprKind::Read { addr, bits, .. } => {
                self.expr(addr);
                if let Some((left, right)) = bits {
                    self.expr(left);
                    self.expr(right);
                }
                0
            }
            ExprKind::ReadStr { addr, .. } => {
                self.expr(addr);
                if bound.0 == 0 { max } else { bound.0.min(max) }
            }
            ExprKind::PointText(text) => match (text, bound.1) {
                (_, true) => LATE_HEAD_BYTES + 8 - 1,
                (PointText::Full, false) => self.point_texts.0,
                (PointText::Function | PointText::Syscall, false) => self.point_texts.1,
                (PointText::Module, false) => self.point_texts.2,
            },
            ExprKind::Int(_)
            | ExprKind::Core(_)
            | ExprKind::Env(_)
            | ExprKind::CtxArg(_)
            | ExprKind::CtxRet
            | ExprKind::CtxReg(_)
            | ExprKind::EntryArg(_)
            | ExprKind::Error => 0,
        }
    }

    /// The width of what is printed.
    fn print(&mut self, print: &mut Print) -> u32 {
        let mut caps = Vec::new();
        for arg in &mut print.args {
            match arg {
                PrintArg::Value(e) => {
                    let cap = self.expr(e);
                    let rendered = if e.cap.1 { self.max } else { cap };
                    caps.push(if e.ty == Ty::Str {
                        rendered
                    } else {
                        DECIMAL_BYTES
                    });
                }
                PrintArg::Hist(stat, _) => {
                    self.stat(stat);
                    caps.push(0);
                }
            }
        }
        match &print.kind {
            PrintKind::Plain { delimiter, newline } => {
                let between = delimiter.len() as u32 * (caps.len() as u32).saturating_sub(1);
                caps.iter().fold(between + u32::from(*newline), |sum, cap| {
                    sum.saturating_add(*cap)
                })
            }
            PrintKind::Format(format) => format_cap(&format.pieces, &caps, self.max),
        }
    }
}

/// Bytes that a value takes in a record.
fn field_bytes(ty: Ty, cap: (u32, bool)) -> u32 {
    let ty = match ty {
        Ty::Str => lir::Ty::Str {
            cap: cap.0,
            late: cap.1,
        },
        _ => lir::Ty::I64,
    };
    width_bytes(ty)
}

/// Bytes of the record of a late `sprintf` and its like.
fn late_bytes(print: &Print, max: u32) -> u32 {
    let fields = print.args.iter().map(|arg| match arg {
        PrintArg::Value(e) => field_bytes(e.ty, e.cap),
        PrintArg::Hist(..) => 0,
    });
    // Memory stands there as text, not as its address.
    let memory = match &print.kind {
        PrintKind::Format(format) => format.pieces.as_slice(),
        PrintKind::Plain { .. } => &[],
    };
    let memory = memory.iter().filter_map(|piece| match piece {
        Piece::Conv(conv) if conv.kind == ConvKind::Memory => Some(memory_bytes(conv)),
        Piece::Conv(conv) if conv.kind == ConvKind::MemoryHex => Some(memory_bytes(conv) * 2),
        Piece::Conv(_) | Piece::Text(_) | Piece::Call(..) => None,
    });
    let memory = memory.map(|bytes| field_bytes(Ty::Str, (bytes.min(max), false)));
    LATE_HEAD_BYTES + fields.sum::<u32>() + memory.sum::<u32>()
}

/// The most bytes of memory that `%m` or `%M` shows.
fn memory_bytes(conv: &Conv) -> u32 {
    match conv.precision {
        ConvSize::Fixed(n) => n.min(MAX_MEMORY_BYTES),
        ConvSize::None => 1,
        ConvSize::Arg => MAX_MEMORY_BYTES,
    }
}

/// The width of what a format makes of arguments of widths `caps`.
fn format_cap(pieces: &[Piece], caps: &[u32], max: u32) -> u32 {
    let mut total = 0u32;
    let mut args = caps.iter();
    for piece in pieces {
        let bytes = match piece {
            Piece::Text(text) => text.len() as u32,
            Piece::Call(_, n) => {
                args.by_ref().take(usize::from(*n)).for_each(drop);
                max
            }
            Piece::Conv(conv) => {
                let mut unknown = false;
                for size in [conv.width, conv.precision] {
                    if size == ConvSize::Arg {
                        args.next();
                        unknown = true;
                    }
                }
                let arg = args.next().copied().unwrap_or(0);
                let alternate = if conv.flag == Some(ConvFlag::Alternate) {
                    2
                } else {
                    0
                };
                let bytes = memory_bytes(conv);
                let plain = match conv.kind {
                    ConvKind::Decimal | ConvKind::Unsigned => DECIMAL_BYTES + 1,
                    ConvKind::Octal => 22 + alternate,
                    ConvKind::HexLower | ConvKind::HexUpper | ConvKind::Pointer => 18,
                    // `%#c` escapes.
                    ConvKind::Char => 1 + 2 * alternate,
                    ConvKind::Binary => 8,
                    ConvKind::Str => arg,
                    ConvKind::Memory => bytes,
                    ConvKind::MemoryHex => bytes.saturating_mul(2),
                };
                let plain = match (conv.kind, conv.precision) {
                    (ConvKind::Str, ConvSize::Fixed(n)) => plain.min(n),
                    (ConvKind::Str | ConvKind::Memory | ConvKind::MemoryHex, _) => plain,
                    (_, ConvSize::Fixed(n)) => plain.max(n + 3),
                    _ => plain,
                };
                match conv.width {
                    _ if unknown => max,
                    ConvSize::Fixed(n) => plain.max(n),
                    ConvSize::None | ConvSize::Arg => plain,
                }
            }
        };
        total = total.saturating_add(bytes);
    }
    total
}
