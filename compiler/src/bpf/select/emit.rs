//! Records in the ring buffer.
//!
//! A record of constant size is reserved in the ring buffer and filled in place; one
//! with long strings is built in the scratch frame, so that it takes no more room in the
//! ring buffer than its text, and copied out.

use regalloc2::VReg;

use super::call::Arg;
use super::prologue::record_head;
use super::{Cx, Lowered};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Src};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::BlockId;
use crate::image::{Field, ProgramCounter, RECORD_HEAD_BYTES, RecordKind, width_bytes};
use crate::lir::{FormatId, Ty, Value};

/// Strings up to this slot width are stored in full.
const FIXED_WIDTH_BYTES: u32 = 64;

impl Cx<'_> {
    pub(super) fn field(ty: Ty) -> Field {
        match ty {
            Ty::I64 => Field::Int,
            Ty::Str { late, .. } => {
                let width = width_bytes(ty);
                if late || width <= FIXED_WIDTH_BYTES {
                    Field::Fixed { width, late }
                } else {
                    Field::Variable { late }
                }
            }
        }
    }

    pub(super) fn emit(&mut self, format: FormatId, args: &[Value]) -> Lowered<()> {
        let func = self.func;
        let fields: Vec<Field> = args.iter().map(|arg| Self::field(func.ty(*arg))).collect();
        let id = self.plan.record(format, fields.clone());
        let head = record_head(RecordKind::Print, id);
        if fields
            .iter()
            .any(|field| matches!(field, Field::Variable { .. }))
        {
            return self.emit_variable(head, args, &fields);
        }
        let bytes = RECORD_HEAD_BYTES
            + fields
                .iter()
                .map(|field| match field {
                    Field::Fixed { width, .. } => *width,
                    Field::Int | Field::Variable { .. } => 8,
                })
                .sum::<u32>();
        let (record, done) = self.reserve(bytes);
        let record = Mem::Ptr(record, 0);
        self.store_imm(record, head);
        let mut at = RECORD_HEAD_BYTES;
        for (arg, field) in args.iter().zip(&fields) {
            at += self.store_field(*arg, *field, record.at(at));
        }
        self.submit(record, done);
        Ok(())
    }

    /// Stores an argument of constant size; gives its size.
    pub(super) fn store_field(&mut self, arg: Value, field: Field, to: Mem) -> u32 {
        match field {
            Field::Fixed { width, .. } => {
                let text = self.text(arg);
                self.copy_text(text, to, width, false);
                width
            }
            Field::Int | Field::Variable { .. } => {
                let val = self.int(arg);
                self.store_val(to, val);
                8
            }
        }
    }

    fn emit_variable(&mut self, head: i64, args: &[Value], fields: &[Field]) -> Lowered<()> {
        let func = self.func;
        let mut most = RECORD_HEAD_BYTES;
        let mut slack = 8;
        for (arg, field) in args.iter().zip(fields) {
            let width = width_bytes(func.ty(*arg));
            most += width
                + if matches!(field, Field::Variable { .. }) {
                    8
                } else {
                    0
                };
            slack = slack.max(width + 8);
        }
        // Offsets are masked to stay below a power of two; what is written at the highest
        // may reach behind it.
        let bound = (most + 1).next_power_of_two();
        let buffer = self.temp_variable(bound + slack);
        self.store_imm(buffer, head);
        let mut fixed = RECORD_HEAD_BYTES;
        let mut cursor: Option<VReg> = None;
        for (arg, field) in args.iter().zip(fields) {
            let at = match cursor {
                None => buffer.at(fixed),
                Some(cursor) => Mem::Ptr(self.address_at(buffer, cursor, bound), 0),
            };
            match field {
                Field::Int | Field::Fixed { .. } => {
                    let bytes = self.store_field(*arg, *field, at);
                    match cursor {
                        None => fixed += bytes,
                        Some(old) => {
                            cursor = Some(self.alu(AluOp::Add, old, Src::Imm(bytes as i32)));
                        }
                    }
                }
                Field::Variable { .. } => {
                    let width = width_bytes(func.ty(*arg));
                    let text = self.text(*arg);
                    let len = self.copy_text_len(text, at.at(8), width)?;
                    self.store_val(at, len);
                    let len = self.val_reg(len);
                    let padded = self.alu(AluOp::Add, len, Src::Imm(15));
                    let padded = self.alu(AluOp::And, padded, Src::Imm(-8));
                    cursor = Some(match cursor {
                        None => self.alu(AluOp::Add, padded, Src::Imm(fixed as i32)),
                        Some(old) => self.alu(AluOp::Add, old, Src::Reg(padded)),
                    });
                }
            }
        }
        let Some(cursor) = cursor else {
            return Err(self.internal("record without variable fields"));
        };
        self.output(buffer, cursor, bound);
        Ok(())
    }

    /// Copies `size` (below `bound`, a power of two) bytes to the ring buffer.
    pub(super) fn output(&mut self, buffer: Mem, size: VReg, bound: u32) {
        let result = self.call(
            Helper::RingbufOutput,
            &[
                Arg::Map(Plan::EVENTS),
                Arg::Addr(buffer),
                Arg::Masked(size, bound as i32 - 1),
                Arg::Imm(0),
            ],
        );
        let done = self.code.block(self.is_cold());
        let lost = self.lost(done);
        self.jump_if(Cond::Ne, result, Src::Imm(0), lost);
        self.jump(done, Vec::new());
        self.enter(done);
    }

    /// Reserves a record; goes on where there is room. The block is where to go on
    /// afterwards.
    pub(super) fn reserve(&mut self, bytes: u32) -> (VReg, BlockId) {
        let record = self.call(
            Helper::RingbufReserve,
            &[
                Arg::Map(Plan::EVENTS),
                Arg::Imm(i64::from(bytes)),
                Arg::Imm(0),
            ],
        );
        let done = self.code.block(self.is_cold());
        let lost = self.lost(done);
        self.jump_if(Cond::Eq, record, Src::Imm(0), lost);
        (record, done)
    }

    /// Hands a filled record over and goes on.
    pub(super) fn submit(&mut self, record: Mem, done: BlockId) {
        self.call_void(Helper::RingbufSubmit, &[Arg::Addr(record), Arg::Imm(0)]);
        self.jump(done, Vec::new());
        self.enter(done);
    }

    /// Counts a lost record.
    fn lost(&mut self, done: BlockId) -> BlockId {
        self.cold(|cx| {
            cx.count(ProgramCounter::Lost);
            cx.jump(done, Vec::new());
        })
    }
}
