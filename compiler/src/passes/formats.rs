//! Formats see through their arguments: constants become text, strings made only to be printed are
//! printed as what they are made of, `sprintf` of strings alone is a concatenation.

use bstr::BString;
use cranelift_entity::{EntitySet, SecondaryMap};
use rustc_hash::FxHashMap;

use super::interner::Interner;
use crate::lir::*;

/// Rewrites the formats of all functions; gives the functions where that changed something.
pub(super) fn run(module: &mut Module, texts: &mut Interner) -> EntitySet<Func> {
    let mut changed = EntitySet::new();
    let formats = module.formats.iter();
    let mut known: FxHashMap<Format, FormatId> = formats.map(|(id, f)| (f.clone(), id)).collect();
    super::for_each_function(module, |module, func, function| {
        let defs = definitions(function);
        for id in function.blocks.keys() {
            let mut insts = std::mem::take(&mut function.blocks[id].insts);
            insts.retain_mut(|inst| {
                let (format, before, late) = match &inst.op {
                    Op::Emit(format, args) => (*format, args, true),
                    Op::StrFormat(format, args) => (*format, args, false),
                    _ => return true,
                };
                let mut cx = Cx {
                    module,
                    function,
                    defs: &defs,
                    late,
                    pieces: Vec::new(),
                    args: Vec::new(),
                };
                cx.format(&cx.module.formats[format], before, 0);
                let Cx { pieces, args, .. } = cx;
                let channel = module.formats[format].channel;
                if args == *before && pieces == module.formats[format].pieces {
                    return true;
                }
                changed.insert(func);
                match inst.op {
                    // An empty line of another channel is still a line.
                    Op::Emit(..) if pieces.is_empty() && channel == crate::lir::Channel::Out => {
                        return false;
                    }
                    Op::Emit(..) => {
                        let format = intern(module, &mut known, Format { pieces, channel });
                        inst.op = Op::Emit(format, args);
                    }
                    _ => {
                        let cap = inst.result.map_or(0, |result| cap(function, result));
                        let format = Format { pieces, channel };
                        inst.op = string(module, texts, &mut known, format, args, cap);
                    }
                }
                true
            });
            function.blocks[id].insts = insts;
        }
        if concatenations(module, texts, function) {
            changed.insert(func);
        }
    });
    changed
}

fn intern(
    module: &mut Module,
    known: &mut FxHashMap<Format, FormatId>,
    format: Format,
) -> FormatId {
    let formats = &mut module.formats;
    *known
        .entry(format)
        .or_insert_with_key(|format| formats.push(format.clone()))
}

/// `sprintf` as simple as it can be. Text among strings is still left in the format: see
/// [`concatenations`].
fn string(
    module: &mut Module,
    texts: &mut Interner,
    known: &mut FxHashMap<Format, FormatId>,
    format: Format,
    args: Vec<Value>,
    cap: u64,
) -> Op {
    match format.pieces.as_slice() {
        [] => Op::StrConst(texts.get(module, b"")),
        [Piece::Text(text)] => {
            let text = text.clone();
            Op::StrConst(texts.get(module, &text[..text.len().min(cap as usize)]))
        }
        pieces if pieces.iter().all(is_plain_string) => Op::StrConcat(args),
        _ => Op::StrFormat(intern(module, known, format), args),
    }
}

/// Turns formats of nothing but text and strings into concatenations, with constants for
/// the text; says whether there were any.
fn concatenations(module: &mut Module, texts: &mut Interner, function: &mut Function) -> bool {
    let mut changed = false;
    for id in function.blocks.keys() {
        if !function.blocks[id]
            .insts
            .iter()
            .any(|inst| matches!(inst.op, Op::StrFormat(..)))
        {
            continue;
        }
        let insts = std::mem::take(&mut function.blocks[id].insts);
        let mut out = Vec::with_capacity(insts.len());
        for mut inst in insts {
            if let Op::StrFormat(format, args) = &inst.op {
                let pieces = module.formats[*format].pieces.clone();
                let is_text = |piece: &Piece| matches!(piece, Piece::Text(_));
                if pieces.iter().all(|p| is_text(p) || is_plain_string(p)) {
                    let mut args = args.iter().copied();
                    let mut parts = Vec::new();
                    for piece in &pieces {
                        if let Piece::Text(text) = piece {
                            let value = function.new_value(Ty::str(text.len() as u32));
                            out.push(Inst {
                                op: Op::StrConst(texts.get(module, text)),
                                result: Some(value),
                                span: inst.span,
                            });
                            parts.push(value);
                        } else {
                            parts.extend(args.next());
                        }
                    }
                    inst.op = Op::StrConcat(parts);
                    changed = true;
                }
            }
            out.push(inst);
        }
        function.blocks[id].insts = out;
    }
    changed
}

fn is_plain_string(piece: &Piece) -> bool {
    *piece == Piece::Conv(Conv::plain(ConvKind::Str))
}

/// The operations that formats see through.
fn definitions(function: &Function) -> SecondaryMap<Value, Option<Op>> {
    let mut defs = SecondaryMap::new();
    for block in function.blocks.values() {
        for inst in &block.insts {
            if let (
                Some(result),
                Op::Const(_)
                | Op::StrConst(_)
                | Op::StrCut(_)
                | Op::StrConcat(_)
                | Op::StrFormat(..)
                | Op::StrLate(..),
            ) = (inst.result, &inst.op)
            {
                defs[result] = Some(inst.op.clone());
            }
        }
    }
    defs
}

/// Formats in formats that are seen through.
const DEPTH: usize = 8;

struct Cx<'a> {
    module: &'a Module,
    function: &'a Function,
    defs: &'a SecondaryMap<Value, Option<Op>>,
    /// Whether user space does the formatting.
    late: bool,
    pieces: Vec<Piece>,
    args: Vec<Value>,
}

impl Cx<'_> {
    fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            last.extend_from_slice(text);
        } else {
            self.pieces.push(Piece::Text(BString::from(text)));
        }
    }

    /// Appends a format with its arguments.
    fn format(&mut self, format: &Format, args: &[Value], depth: usize) {
        let mut args = args.iter().copied();
        for piece in &format.pieces {
            match piece {
                Piece::Text(text) => self.text(text),
                Piece::Call(_, count) => {
                    self.args.extend(args.by_ref().take(usize::from(*count)));
                    self.pieces.push(piece.clone());
                }
                Piece::Conv(conv) => self.conversion(conv, &mut args, depth),
            }
        }
    }

    fn conversion(&mut self, conv: &Conv, args: &mut impl Iterator<Item = Value>, depth: usize) {
        let mut conv = conv.clone();
        for size in [&mut conv.width, &mut conv.precision] {
            if *size == ConvSize::Arg
                && let Some(arg) = args.next()
            {
                match self.defs[arg] {
                    // Negative widths mean something else, and huge ones nothing good.
                    Some(Op::Const(n @ 0..=4096)) => *size = ConvSize::Fixed(n as u32),
                    _ => self.args.push(arg),
                }
            }
        }
        let Some(arg) = args.next() else {
            return;
        };
        let is_plain = conv == Conv::plain(conv.kind);
        match (&self.defs[arg], conv.kind) {
            (Some(Op::Const(n)), ConvKind::Decimal) if is_plain => {
                let text = n.to_string();
                self.text(text.as_bytes());
            }
            (Some(_), ConvKind::Str) if is_plain => self.string(arg, depth),
            _ => {
                self.args.push(arg);
                self.pieces.push(Piece::Conv(conv));
            }
        }
    }

    /// Appends a string as what it is made of.
    fn string(&mut self, value: Value, depth: usize) {
        let module = self.module;
        let function = self.function;
        let op = self.defs[value].clone().filter(|_| depth < DEPTH);
        match op {
            Some(Op::StrConst(id)) => {
                let text = &module.strings[id];
                let cap = self.cap(value) as usize;
                self.text(&text[..text.len().min(cap)]);
            }
            Some(Op::StrCut(inner))
                if self.cap(inner) <= self.cap(value)
                    && self.is_late(inner) == self.is_late(value) =>
            {
                self.string(inner, depth + 1);
            }
            Some(Op::StrConcat(parts))
                if parts.iter().map(|part| self.cap(*part)).sum::<u64>() <= self.cap(value) =>
            {
                for part in parts {
                    self.string(part, depth + 1);
                }
            }
            Some(Op::StrLate(format, args))
                if self.late
                    && !may_end_early(&module.formats[format])
                    && most_bytes(function, &module.formats[format], &args)
                        .is_some_and(|n| n < u64::from(module.limits.max_string_len)) =>
            {
                self.format(&module.formats[format], &args, depth + 1);
            }
            Some(Op::StrFormat(format, args))
                if !may_end_early(&module.formats[format])
                    && most_bytes(function, &module.formats[format], &args)
                        .is_some_and(|n| n <= self.cap(value)) =>
            {
                self.format(&module.formats[format], &args, depth + 1);
            }
            _ => {
                self.args.push(value);
                self.pieces.push(Piece::Conv(Conv::plain(ConvKind::Str)));
            }
        }
    }

    fn cap(&self, value: Value) -> u64 {
        cap(self.function, value)
    }

    fn is_late(&self, value: Value) -> bool {
        matches!(self.function.ty(value), Ty::Str { late: true, .. })
    }
}

fn cap(function: &Function, value: Value) -> u64 {
    match function.ty(value) {
        Ty::Str { cap, .. } => u64::from(cap),
        Ty::I64 => 0,
    }
}

/// Whether a format can put a 0 into its text: a string ends there, what is printed does not.
fn may_end_early(format: &Format) -> bool {
    format.pieces.iter().any(|piece| match piece {
        Piece::Conv(conv) => match conv.kind {
            ConvKind::Char => conv.flag != Some(ConvFlag::Alternate),
            kind => kind == ConvKind::Binary,
        },
        Piece::Text(_) | Piece::Call(..) => false,
    })
}

/// The most bytes that a format can make, if that can be told: not of strings whose characters user
/// space makes.
fn most_bytes(function: &Function, format: &Format, args: &[Value]) -> Option<u64> {
    let mut args = args.iter();
    let mut total = 0;
    for piece in &format.pieces {
        total += match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::Call(..) => return None,
            Piece::Conv(conv) => {
                let fixed = |size| match size {
                    ConvSize::None => Some(0),
                    ConvSize::Fixed(n) => Some(u64::from(n)),
                    ConvSize::Arg => None,
                };
                let least = fixed(conv.width)?.max(fixed(conv.precision)?);
                let arg = *args.next()?;
                if matches!(function.ty(arg), Ty::Str { late: true, .. }) {
                    return None;
                }
                let natural = match conv.kind {
                    ConvKind::Str => cap(function, arg),
                    // Of hexadecimal digits.
                    ConvKind::Memory => cap(function, arg) / 2,
                    ConvKind::MemoryHex => 16,
                    ConvKind::Char => 4,
                    ConvKind::Decimal | ConvKind::Unsigned => 20,
                    // The longest is octal with its prefix.
                    ConvKind::Octal
                    | ConvKind::HexLower
                    | ConvKind::HexUpper
                    | ConvKind::Pointer
                    | ConvKind::Binary => 24,
                };
                // A sign or prefix comes on top of a precision.
                natural.max(least + 2)
            }
        };
    }
    Some(total)
}
