//! The messages of caught errors.

use std::collections::BTreeSet;

use super::text::{Text, TextMem};
use super::text_ops::TextBuilder;
use super::{Cx, Dest, Val};
use crate::bpf::analysis::for_each_op;
use crate::bpf::insn::{Cond, Src};
use crate::bpf::vcode::BlockId;
use crate::lir::{
    Conv, ConvFlag, ConvKind, ConvSize, ErrorKind, ErrorPart, Function, SiteId, Value,
};

impl Cx<'_> {
    /// The message of an error whose site is only known when it happens.
    pub(super) fn error_text(&mut self, site: Value, arg: Value, cap: u32, dest: Dest) -> Val {
        let site = self.int(site);
        let arg = self.int(arg);
        let arg = match arg {
            Val::Const(_) => arg,
            arg => Val::Reg(self.val_reg(arg)),
        };
        let module = self.module;
        let raised = raised_in(self.func);
        let raised = raised.iter().filter(|id| match site {
            Val::Const(site) => i64::from(id.as_u32()) == site,
            _ => true,
        });
        let kinds: Vec<(SiteId, ErrorKind)> = raised
            .filter_map(|id| Some((*id, module.sites.get(*id)?.kind)))
            .collect();
        // One piece of code for each kind of error, whatever its site.
        let mut distinct: Vec<ErrorKind> = Vec::new();
        for (_, kind) in &kinds {
            if !distinct.contains(kind) {
                distinct.push(*kind);
            }
        }
        let bound = self.module.limits.max_string_len;
        let caps: Vec<u32> = distinct
            .iter()
            .map(|kind| {
                kind.parts()
                    .iter()
                    .map(|part| match part {
                        ErrorPart::Text(text) => text.len() as u32,
                        ErrorPart::Hex => 18,
                        ErrorPart::Decimal => 20,
                        ErrorPart::Buffer => bound,
                    })
                    .sum()
            })
            .collect();
        let most = caps.iter().copied().max().unwrap_or(0);
        let builder = self.begin_text(&[most], cap, dest);
        let done = self.code.block(self.is_cold());
        let blocks: Vec<BlockId> = distinct
            .iter()
            .map(|kind| {
                let block = self.code.block(true);
                self.in_block(block, |cx| {
                    if *kind == ErrorKind::HistRange {
                        // An empty statistic has no buckets to be out of range of.
                        let empty = cx.code.block(true);
                        cx.in_block(empty, |cx| {
                            cx.error_parts(&builder, ErrorKind::EmptyStat, arg, done);
                        });
                        let arg = cx.val_reg(arg);
                        let none = cx.imm(i64::MIN);
                        cx.jump_if(Cond::Eq, arg, Src::Reg(none), empty);
                    }
                    cx.error_parts(&builder, *kind, arg, done);
                });
                block
            })
            .collect();
        if let (Val::Const(_), [block]) = (site, blocks.as_slice()) {
            self.jump(*block, Vec::new());
        } else if let [block] = blocks.as_slice() {
            self.jump(*block, Vec::new());
        } else {
            let mut cases: Vec<(i64, BlockId)> = kinds
                .iter()
                .filter_map(|(id, kind)| {
                    let at = distinct.iter().position(|known| known == kind)?;
                    Some((i64::from(id.as_u32()), blocks[at]))
                })
                .collect();
            cases.sort_unstable_by_key(|(site, _)| *site);
            let site = self.val_reg(site);
            self.search(site, &cases, done);
        }
        self.enter(done);
        self.built(&builder)
    }

    /// Writes the message of a kind of error and goes on.
    fn error_parts(&mut self, builder: &TextBuilder, kind: ErrorKind, arg: Val, done: BlockId) {
        let mut branch = TextBuilder { ..*builder };
        for part in kind.parts() {
            self.append_error_part(&mut branch, &part, arg);
        }
        self.jump(done, Vec::new());
    }

    fn append_error_part(&mut self, builder: &mut TextBuilder, part: &ErrorPart, arg: Val) {
        let number = |kind, flag, width| Conv {
            flag,
            width,
            precision: ConvSize::None,
            kind,
        };
        match part {
            ErrorPart::Text(text) => {
                let text = self.literal(text.as_bytes());
                self.append(builder, text);
            }
            ErrorPart::Hex => {
                let conv = number(
                    ConvKind::HexLower,
                    Some(ConvFlag::Zero),
                    ConvSize::Fixed(16),
                );
                self.append_number(builder, &conv, arg);
            }
            ErrorPart::Decimal => {
                let conv = number(ConvKind::Decimal, None, ConvSize::None);
                self.append_number(builder, &conv, arg);
            }
            ErrorPart::Buffer => {
                if let Some(mem) = self.message_text() {
                    let cap = self.module.limits.max_string_len.saturating_sub(1);
                    let text = Text::Mem(TextMem {
                        mem,
                        cap,
                        padded: false,
                        late: false,
                    });
                    self.append(builder, text);
                }
            }
        }
    }
}

/// The sites of all errors that can be raised in a body.
fn raised_in(func: &Function) -> BTreeSet<SiteId> {
    let mut sites: BTreeSet<SiteId> = func.blocks.values().filter_map(|b| b.loop_head).collect();
    for_each_op(func, |op| sites.extend(op.any_site()));
    sites
}
