//! Reading modules and functions.

use cranelift_entity::PrimaryMap;
use rtap_grammar::source::{FileId, Span};

use super::cursor::{Cursor, ParseError, Read};
use super::parse_op::{op, value};
use super::{parse_table, points};
use crate::lir::*;

/// Reads a module.
pub fn parse(text: &str) -> Result<Module, ParseError> {
    let mut module = Module::default();
    let mut lines = text.lines().enumerate();
    while let Some((i, line)) = lines.next() {
        let mut cursor = Cursor::new(line, i + 1);
        if cursor.at_end() {
            continue;
        }
        if cursor.peek_word() == "point" {
            let Some((_, handler)) = module.handlers.last_mut() else {
                return cursor.error("a handler before its points");
            };
            handler.points.push(points::parse(&mut cursor)?);
        } else if let Some(number) = cursor.eat_entity("fn") {
            let function = function(cursor.clone(), &mut lines)?;
            if module.functions.push(function) != Func::from_u32(number) {
                return cursor.error("functions in order");
            }
            continue;
        } else {
            parse_table::item(&mut cursor, &mut module)?;
        }
        cursor.end()?;
    }
    Ok(module)
}

/// The blocks and values of a function while it is read.
struct Reading {
    blocks: Vec<Option<BlockData>>,
    values: Vec<Ty>,
}

impl Reading {
    /// Notes the type of a value where it is defined.
    fn define(&mut self, value: Value, ty: Ty) {
        let index = value.as_u32() as usize;
        if self.values.len() <= index {
            self.values.resize(index + 1, Ty::I64);
        }
        self.values[index] = ty;
    }
}

fn function<'a>(
    mut head: Cursor<'a>,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Read<Function> {
    let name = head.quoted_text()?;
    head.expect("(")?;
    let params = head.list_until(")", Cursor::ty)?;
    let ret = if head.eat("->") {
        Some(head.ty()?)
    } else {
        None
    };
    head.expect("{")?;
    let span = span(&mut head)?;
    head.end()?;
    let mut reading = Reading {
        blocks: Vec::new(),
        values: Vec::new(),
    };
    let mut current: Option<(usize, BlockData)> = None;
    let mut last = head.clone();
    for (i, line) in lines {
        let mut cursor = Cursor::new(line, i + 1);
        last = cursor.clone();
        if cursor.at_end() {
            continue;
        }
        if cursor.eat("}") {
            cursor.end()?;
            finish_block(&cursor, &mut reading, current.take())?;
            return finish(&cursor, reading, name, params, ret, span);
        }
        if let Some(number) = cursor.eat_entity("block") {
            finish_block(&cursor, &mut reading, current.take())?;
            let block = block_head(&mut cursor, &mut reading)?;
            current = Some((number as usize, block));
            cursor.end()?;
            continue;
        }
        let Some((_, block)) = &mut current else {
            return cursor.error("a block's head");
        };
        body_line(&mut cursor, &mut reading, block)?;
        cursor.end()?;
    }
    last.error("`}`")
}

fn finish_block(
    cursor: &Cursor<'_>,
    reading: &mut Reading,
    block: Option<(usize, BlockData)>,
) -> Read<()> {
    let Some((number, block)) = block else {
        return Ok(());
    };
    if number >= reading.blocks.len() {
        reading.blocks.resize(number + 1, None);
    }
    if reading.blocks[number].replace(block).is_some() {
        return cursor.error("blocks with distinct numbers");
    }
    Ok(())
}

fn finish(
    cursor: &Cursor<'_>,
    reading: Reading,
    name: String,
    params: Vec<Ty>,
    ret: Option<Ty>,
    span: Span,
) -> Read<Function> {
    let mut blocks = PrimaryMap::new();
    for block in reading.blocks {
        let Some(block) = block else {
            return cursor.error("all blocks up to the highest number");
        };
        blocks.push(block);
    }
    let mut values = PrimaryMap::new();
    for ty in reading.values {
        values.push(ValueData { ty });
    }
    Ok(Function {
        name,
        params,
        ret,
        blocks,
        values,
        span,
    })
}

fn block_head(cursor: &mut Cursor<'_>, reading: &mut Reading) -> Read<BlockData> {
    let mut params = Vec::new();
    if cursor.eat("(") {
        let read = cursor.list_until(")", |c| {
            let value = value(c)?;
            c.expect(":")?;
            Ok((value, c.ty()?))
        })?;
        for (value, ty) in read {
            reading.define(value, ty);
            params.push(value);
        }
    }
    let loop_head = if cursor.eat("loop") {
        Some(site(cursor)?)
    } else {
        None
    };
    cursor.expect(":")?;
    Ok(BlockData {
        params,
        insts: Vec::new(),
        term: Terminator::Unreachable,
        term_span: Span::NONE,
        loop_head,
    })
}

/// An instruction or a terminator. Whatever follows a terminator before the next block
/// replaces it, which `verify` is not there to notice: the last one counts.
fn body_line(cursor: &mut Cursor<'_>, reading: &mut Reading, block: &mut BlockData) -> Read<()> {
    if let Some(term) = terminator(cursor)? {
        block.term = term;
        block.term_span = span(cursor)?;
        return Ok(());
    }
    let mut result = None;
    if let Some(number) = cursor.eat_entity("v") {
        let value = Value::from_u32(number);
        cursor.expect(":")?;
        reading.define(value, cursor.ty()?);
        cursor.expect("=")?;
        result = Some(value);
    }
    let op = op(cursor)?;
    let span = span(cursor)?;
    block.insts.push(Inst { op, result, span });
    Ok(())
}

/// A terminator, if one stands there.
fn terminator(cursor: &mut Cursor<'_>) -> Read<Option<Terminator>> {
    let term = match cursor.peek_word() {
        "jump" => {
            cursor.word("")?;
            Terminator::Jump(jump(cursor)?)
        }
        "branch" => {
            cursor.word("")?;
            let value = value(cursor)?;
            cursor.expect(",")?;
            let yes = jump(cursor)?;
            cursor.expect(",")?;
            Terminator::Branch(value, yes, jump(cursor)?)
        }
        "switch" => {
            cursor.word("")?;
            let value = value(cursor)?;
            let mut cases = Vec::new();
            loop {
                cursor.expect(",")?;
                if cursor.eat("else") {
                    break;
                }
                let n = cursor.number()?;
                cursor.expect(":")?;
                cases.push((n, jump(cursor)?));
            }
            Terminator::Switch {
                value,
                cases,
                default: jump(cursor)?,
            }
        }
        "return" => {
            cursor.word("")?;
            Terminator::Return(cursor.eat_entity("v").map(Value::from_u32))
        }
        "raise" => {
            cursor.word("")?;
            let site = value(cursor)?;
            cursor.expect(",")?;
            let arg = value(cursor)?;
            Terminator::Raise { site, arg }
        }
        "try" => {
            cursor.word("")?;
            let result = match cursor.peek_word() {
                "i64" | "str" | "late" => {
                    let ty = cursor.ty()?;
                    cursor.expect("=")?;
                    Some(ty)
                }
                _ => None,
            };
            let op = op(cursor)?;
            cursor.expect(",")?;
            let ok = jump(cursor)?;
            cursor.expect(",")?;
            let catch = jump(cursor)?;
            Terminator::Try {
                op,
                result,
                ok,
                catch,
            }
        }
        word @ ("iter.next" | "iter.next.value") => {
            cursor.word("")?;
            let iter = value(cursor)?;
            cursor.expect(",")?;
            let body = jump(cursor)?;
            cursor.expect(",")?;
            Terminator::IterNext {
                iter,
                body,
                with_value: word.ends_with("value"),
                done: jump(cursor)?,
            }
        }
        "unreachable" => {
            cursor.word("")?;
            Terminator::Unreachable
        }
        _ => return Ok(None),
    };
    Ok(Some(term))
}

fn jump(cursor: &mut Cursor<'_>) -> Read<BlockCall> {
    let block = Block::from_u32(cursor.entity("block")?);
    cursor.expect("(")?;
    let args = cursor.list_until(")", value)?;
    Ok(BlockCall { block, args })
}

/// `!site3`
pub(super) fn site(cursor: &mut Cursor<'_>) -> Read<SiteId> {
    cursor.expect("!")?;
    Ok(SiteId::from_u32(cursor.entity("site")?))
}

/// ` @file:start-end`, if there.
fn span(cursor: &mut Cursor<'_>) -> Read<Span> {
    if !cursor.eat("@") {
        return Ok(Span::NONE);
    }
    let file = cursor.number()?;
    cursor.expect(":")?;
    let start = cursor.number()?;
    cursor.expect("-")?;
    let end = cursor.number()?;
    Ok(Span {
        file: FileId(file),
        start,
        end,
    })
}
